"""The command line of ``python -m suite``: parses and prints; no logic."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from suite.problems import COMMAND_LINE, InputError, Problem, choices

if TYPE_CHECKING:
    from suite.plan import Plan, Selection
    from suite.records import Store
    from suite.registry import Registry

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

EPILOG = """\
selections take names, comma lists, globs, slices of the registry, `all`, and ~name to leave one out;
anything else is a Hydra override, e.g. launcher.workers=1 or benchmarks.image.profiles.mini.epochs=5.
exit status: 0 all selected runs done, 1 some failed, 2 bad input, 130 interrupted."""


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests the option that was meant."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong, to be reported like any other problem."""
        raise InputError([Problem(COMMAND_LINE, "", f"{message}; see {self.prog} --help")])

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"there is no {value!r}; {choices(value, action.choices)}")

    def options(self) -> list[str]:
        """Return the long options."""
        return [text for action in self._actions for text in action.option_strings if text.startswith("--")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # the installed script would not find a user's own losses
        options = _parsed(arguments)
        handler: Callable[[argparse.Namespace], int] = options.handler
        return handler(options)
    except InputError as error:
        print(error.report(), file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"error: {error.strerror or error}{where}; nothing that was computed is lost", file=sys.stderr)
        return FAILED


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser, commands = _parser()
    options, unknown = parser.parse_known_args(arguments)
    command = commands[options.command]
    problems = []
    for text in unknown:
        if text.startswith("-"):
            hint = choices(text.partition("=")[0], command.options())
            problems.append(Problem(COMMAND_LINE, text, f"no such option; {hint}"))
        elif not hasattr(options, "overrides"):
            problems.append(Problem(COMMAND_LINE, text, "is one argument too many"))
        else:
            options.overrides.append(text)
    if problems:
        raise InputError(problems)
    return options


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(prog="python -m suite", description="Reproducibility benchmarks of contrastive losses.")
    commands: dict[str, Parser] = {}
    adder = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def add(
        name: str, handler: Callable[[argparse.Namespace], int], text: str, *groups: Callable[[Parser], None]
    ) -> Parser:
        commands[name] = adder.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=EPILOG)
        for group in groups:
            group(commands[name])
        commands[name].set_defaults(handler=handler)
        return commands[name]

    run = add("run", _run, "execute what the selection lacks", _selection, _registry, _out, _tracking, _json)
    run.add_argument("--rerun", action="append", default=[], metavar="STATES", help="also execute: stale, failed, done")
    run.add_argument("--detach", action="store_true", help="return once the workers are started")
    run.add_argument("--offline", action="store_true", help="never fetch data")
    run.add_argument("--mirror", metavar="DIR_OR_URL", help="where to look for data first")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    plan = add("plan", _plan, "what would run, what is done, why something is stale, cost", _selection, _registry, _out)
    plan.add_argument("--runs", action="store_true", help="list every run with its key")
    _json(plan)
    add("status", _status, "seeds done, a row a loss, and what the workers do", _selection, _registry, _out, _json)
    add("cancel", _cancel, "stop all workers at their next step, with a checkpoint", _out)
    logs = add("logs", _logs, "what a run printed; follows it while it runs", _out)
    logs.add_argument("key", help="the beginning of a key is enough")
    why = add("why", _why, "what is known of one run, and why it is stale", _registry, _out)
    why.add_argument("key", help="the beginning of a key is enough")
    add("sync", _sync, "bring MLflow up to date with the records", _out, _tracking, _registry)
    add("list", _list, "benchmarks, losses, slices and launchers of the registry", _registry, _json)
    check = add("check-loss", _check_loss, "check a loss, your own or one of the registry, before it is used", _json)
    check.add_argument("loss", help="my_losses.MyLoss, a loss of the registry, or an entry point")
    check.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="its parameters")
    check.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    check.epilog = "exit status: 0 it conforms, 1 a check failed, 2 bad input."
    schema = add("schema", _schema, "a JSON Schema of benchmarks.yaml, for editors")
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it there")
    ui = add("ui", _ui, "MLflow's own page on the results, on the loopback", _out, _tracking)
    ui.add_argument("--port", type=int, default=5000)
    data = add("data", _data, "fetch, list or verify data sets, or describe files of your own for a catalogue")
    data.add_argument("action", choices=["fetch", "list", "verify", "describe"])
    data.add_argument("datasets", nargs="*", metavar="DATASET", help="default: all; with `describe`: files")
    data.add_argument("--profile", default=None, metavar="NAME", help="only what the benchmarks with this profile read")
    data.add_argument("--mirror", metavar="DIR_OR_URL", help="where to look first")
    data.add_argument("--offline", action="store_true", help="take nothing from the network")
    data.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    _json(data)
    return parser, commands


def _selection(parser: Parser) -> None:
    for name, text in (
        ("--benchmarks", "default: all"),
        ("--losses", "default: the slice `default`; `references` are the reference figures"),
        ("--seeds", "e.g. 0-4 or 0,2; default: the registry's"),
    ):
        parser.add_argument(name, nargs="+", action="extend", default=None, metavar="NAME", help=text)
    parser.add_argument("--profile", default="mini", metavar="NAME", help="smoke, mini or paper; default: mini")
    parser.add_argument("--launcher", metavar="NAME", help="a file of launchers/; default: the registry's")


def _registry(parser: Parser) -> None:
    parser.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    if parser.prog.split()[-1] != "why":
        parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="Hydra overrides")


def _out(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="default: results")


def _tracking(parser: Parser) -> None:
    parser.add_argument("--tracking-uri", metavar="URI", help="default: MLFLOW_TRACKING_URI, else OUT/mlflow.db")


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _load(options: argparse.Namespace) -> Registry:
    from suite.compose import load

    # `--benchmarks image seeds=0` puts the override behind the names
    overrides = list(getattr(options, "overrides", []))
    for name in ("benchmarks", "losses", "seeds"):
        texts = getattr(options, name, None) or []
        overrides += [text for text in texts if _is_override(text)]
        if texts:
            setattr(options, name, [text for text in texts if not _is_override(text)])
    return load(options.registry, overrides, getattr(options, "launcher", None))


def _is_override(text: str) -> bool:
    return "=" in text and "@" not in text.partition("=")[0]


def _made_plan(options: argparse.Namespace) -> tuple[Registry, Plan, Store]:
    from suite.plan import Selection, make_plan
    from suite.records import Store

    registry, store = _load(options), Store(options.out)
    selected: Selection = Selection(
        tuple(options.benchmarks or ("all",)), tuple(options.losses or ()), tuple(options.seeds or ()), options.profile
    )
    return registry, make_plan(registry, selected, store), store


def _run(options: argparse.Namespace) -> int:
    from suite import printing
    from suite.commands import RunOptions, carry_out
    from suite.data import DataError
    from suite.launch import LaunchError
    from suite.plan import rerun_states
    from suite.terminal import make_display
    from suite.tracking import default_uri

    states = rerun_states(options.rerun)
    registry, plan, store = _made_plan(options)
    uri = default_uri(options.out, options.tracking_uri)
    chosen = RunOptions(states, options.detach, options.offline, uri, options.mirror)
    display = make_display(store, options.quiet or options.json)
    try:
        report = carry_out(registry, plan, store, chosen, display)
    except (LaunchError, DataError) as error:
        display.close()
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    finally:
        display.close()
    if options.json:
        printing.report_json(report)
    elif not options.quiet:
        printing.report(report, plan, store, uri)
    if report.outcome.interrupted:
        return INTERRUPTED
    return FAILED if report.outcome.failed or report.not_retried else OK


def _plan(options: argparse.Namespace) -> int:
    from suite import printing

    registry, plan, _ = _made_plan(options)
    if options.json:
        print(json.dumps(plan.to_json(), indent=1))
    else:
        printing.plan(plan, registry, options.runs)
    return OK


def _status(options: argparse.Namespace) -> int:
    from suite import printing
    from suite.commands import status_json

    _, plan, store = _made_plan(options)
    if options.json:
        print(json.dumps(status_json(plan, store), indent=1))
    else:
        printing.status(plan, store)
    return OK


def _cancel(options: argparse.Namespace) -> int:
    from suite.commands import cancel
    from suite.records import Store

    workers = cancel(Store(options.out))
    stopped = f"{workers} workers stopped; their runs continue where they were with the next `run`"
    print(stopped if workers else "nothing runs")
    return OK


def _logs(options: argparse.Namespace) -> int:
    from suite.commands import follow
    from suite.records import Store

    try:
        record = Store(options.out).find(options.key)
    except LookupError as error:
        raise InputError([_argument_problem(options.key, error)]) from error
    for text in follow(record):
        sys.stdout.write(text)
        sys.stdout.flush()
    return OK


def _why(options: argparse.Namespace) -> int:
    from suite import printing
    from suite.commands import explain
    from suite.plan import find_run
    from suite.records import Store

    registry, store = _load(options), Store(options.out)
    run = find_run(registry, store, options.key)
    try:
        record = store.record(run.key) if run is not None else store.find(options.key)
    except LookupError as error:
        raise InputError([_argument_problem(options.key, error)]) from error
    printing.facts(explain(record, run))
    return OK


def _argument_problem(text: str, error: Exception) -> Any:
    return Problem(COMMAND_LINE, text, str(error))


def _sync(options: argparse.Namespace) -> int:
    from suite.tracking import Mirror, TrackingUnavailable, default_uri

    experiment = _load(options).document.experiment
    uri = default_uri(options.out, options.tracking_uri)
    try:
        pushed = Mirror(options.out, uri, experiment).push()
    except TrackingUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    for key, reason in pushed.rejected.items():
        print(f"error: {key[:12]}: {reason}", file=sys.stderr)
    print(f"{uri}: {pushed.updated} runs brought up to date in {experiment}, {pushed.unchanged} were already")
    return FAILED if pushed.rejected else OK


def _list(options: argparse.Namespace) -> int:
    from suite import printing

    registry = _load(options)
    if options.json:
        print(json.dumps(printing.listing(registry), indent=1))
    else:
        printing.registry(registry)
    return OK


def _check_loss(options: argparse.Namespace) -> int:
    from suite import printing
    from suite.named_loss import find

    found = find(options.loss, options.overrides, options.registry)
    from suite.conformance import check

    with contextlib.redirect_stdout(sys.stderr):  # what the loss may print is no part of the answer
        results = check(found.factory())
    if options.json:
        print(json.dumps(printing.conformance_json(found, results), indent=1))
    else:
        printing.conformance(found, results)
    return FAILED if any(result.state == "fail" for result in results) else OK


def _schema(options: argparse.Namespace) -> int:
    from suite.schema import registry_schema

    text = json.dumps(registry_schema(), indent=1) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text)
    return OK


def _ui(options: argparse.Namespace) -> int:
    from suite.tracking import default_uri

    uri = default_uri(options.out, options.tracking_uri)
    print(f"MLflow on {uri}: http://127.0.0.1:{options.port} (Ctrl-C ends it)", flush=True)
    arguments = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(options.port)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments])


def _data(options: argparse.Namespace) -> int:
    from suite.data_command import data

    return OK if data(options) else FAILED
