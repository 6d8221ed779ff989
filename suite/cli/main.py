"""The command line of ``python -m suite``: parses and prints; no logic."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from suite.cli.arguments import make_parser
from suite.masking import masked
from suite.problems import COMMAND_LINE, InputError, Problem, choices

if TYPE_CHECKING:
    from suite.plan.plan import Plan, Selection
    from suite.records.record import Store
    from suite.registry.registry import Registry

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # the installed script would not find a user's own losses
        options = _parsed(arguments)
        return HANDLERS[options.command](options)
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
    parser, commands = make_parser()
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


def _load(options: argparse.Namespace) -> Registry:
    from suite.registry.load import load

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
    from suite.launch.view import queued
    from suite.plan.plan import Selection, make_plan
    from suite.records.record import Store

    registry, store = _load(options), Store(options.out)
    selected: Selection = Selection(
        tuple(options.benchmarks or ("all",)), tuple(options.losses or ()), tuple(options.seeds or ()), options.profile
    )
    return registry, make_plan(registry, selected, store, queued(store)), store


def _run(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.cli.display import make_display
    from suite.data import DataError
    from suite.launch.jobs import LaunchError
    from suite.launch.run import RunOptions, carry_out
    from suite.plan.plan import rerun_states
    from suite.provenance.snapshot import SnapshotError
    from suite.tracking import default_uri

    states = rerun_states(options.rerun)
    registry, plan, store = _made_plan(options)
    uri = default_uri(options.out, options.tracking_uri)
    chosen = RunOptions(states, options.detach, options.offline, uri, options.mirror)
    display = make_display(store, options.quiet or options.json)
    try:
        report = carry_out(registry, plan, store, chosen, display)
    except (LaunchError, DataError, SnapshotError) as error:
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
    return FAILED if report.outcome.failed or report.outcome.cancelled or report.not_retried else OK


def _plan(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.plan.forecast import forecast

    registry, plan, store = _made_plan(options)
    power = forecast(plan, registry, store)
    if options.json:
        print(json.dumps({**plan.to_json(), "power": power.to_json() if power is not None else None}, indent=1))
        return OK
    printing.plan(plan, registry, options.runs)
    if power is not None:
        printing.power(power)
    return OK


def _status(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.launch.view import status_json

    _, plan, store = _made_plan(options)
    if options.json:
        print(json.dumps(status_json(plan, store), indent=1))
    else:
        printing.status(plan, store)
    return OK


def _cancel(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.launch.cancel import cancel
    from suite.records.record import Store

    store = Store(options.out)
    prefixes = [text for text in options.keys if not _is_override(text)]
    options.overrides = [text for text in options.keys if _is_override(text)]
    is_selection = any((options.benchmarks, options.losses, options.seeds, options.overrides))
    if prefixes and is_selection:
        raise InputError([Problem(COMMAND_LINE, " ".join(prefixes), "give keys or a selection, not both")])
    keys = {_found_key(store, prefix) for prefix in prefixes} if prefixes else None
    if is_selection:
        keys = {run.key for run in _made_plan(options)[1].runs}
    ended = cancel(store, keys)
    if options.json:
        print(json.dumps(vars(ended), indent=1))
    else:
        printing.cancelled(ended)
    return FAILED if ended.silence else OK


def _found_key(store: Store, prefix: str) -> str:
    from suite.records.launch import find_key

    try:
        return find_key(store, prefix)
    except LookupError as error:
        raise InputError([Problem(COMMAND_LINE, prefix, str(error))]) from error


def _logs(options: argparse.Namespace) -> int:
    from suite.launch.view import follow, task_log, waiting
    from suite.records.record import Store

    store = Store(options.out)
    key = _found_key(store, options.key)
    if options.task:
        file = task_log(store, key)
        print(file.read_text(errors="replace") if file is not None else "no array task has had this run", end="")
        return OK
    record = store.record(key)
    if not record.log.exists():
        print(waiting(store, key))
    for text in follow(record):
        sys.stdout.write(text)
        sys.stdout.flush()
    return OK


def _why(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.launch.view import explain, queued
    from suite.plan.plan import find_run
    from suite.records.record import Store

    registry, store = _load(options), Store(options.out)
    key = _found_key(store, options.key)
    printing.facts(explain(store.record(key), find_run(registry, store, key, queued(store))))
    return OK


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
    for key, reason in pushed.refused.items():
        print(f"error: {key[:12]}: this MLflow refuses it for good: {reason}", file=sys.stderr)
    print(f"{masked(uri)}: {pushed.updated} runs brought up to date in {experiment}, {pushed.unchanged} were already")
    return FAILED if pushed.rejected or pushed.refused else OK


def _list(options: argparse.Namespace) -> int:
    from suite.cli import listing

    registry = _load(options)
    if options.json:
        print(json.dumps(listing.to_json(registry), indent=1))
    else:
        listing.show(registry)
    return OK


def _check_loss(options: argparse.Namespace) -> int:
    from suite.cli import printing
    from suite.registry.named_loss import find

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
    from suite.registry.schema import registry_schema

    text = json.dumps(registry_schema(), indent=1) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text)
    return OK


def _ui(options: argparse.Namespace) -> int:
    from suite.tracking import default_uri

    uri = default_uri(options.out, options.tracking_uri)
    print(f"MLflow on {masked(uri)}: http://127.0.0.1:{options.port} (Ctrl-C ends it)", flush=True)
    arguments = ["--host", "127.0.0.1", "--port", str(options.port)]
    # every user of the machine sees the arguments of a process: the address may hold a password
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments], environment)


def _data(options: argparse.Namespace) -> int:
    from suite.cli.data import data

    return OK if data(options) else FAILED


def _verify(options: argparse.Namespace) -> int:
    from suite.cli.verify import check_options, of_bundle, of_plan, verify

    check_options(options)
    if options.bundle is not None:
        registry = _load(options)
        logged = of_bundle(options.bundle, registry, options)
    else:
        options.profile = options.profile or "mini"
        registry, plan, store = _made_plan(options)
        logged = of_plan(plan, store)
    return OK if verify(registry, logged, options) else FAILED


def _doctor(options: argparse.Namespace) -> int:
    from suite.cli.maintenance import show_finding
    from suite.doctor import examine, has_problem, to_json
    from suite.records.record import Store
    from suite.tracking import default_uri

    found = []
    for finding in examine(_load(options), Store(options.out), default_uri(options.out, options.tracking_uri)):
        found.append(finding)
        if not options.json:
            show_finding(finding)
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    return FAILED if has_problem(found) else OK


def _clean(options: argparse.Namespace) -> int:
    from suite.cli.maintenance import clean
    from suite.records.record import Store

    asked = [f"--{name}" for name in ("superseded", "unknown") if getattr(options, name)]
    return clean(Store(options.out), options.days, asked, options.yes, options.json)


HANDLERS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run,
    "plan": _plan,
    "status": _status,
    "cancel": _cancel,
    "logs": _logs,
    "why": _why,
    "sync": _sync,
    "list": _list,
    "check-loss": _check_loss,
    "schema": _schema,
    "ui": _ui,
    "data": _data,
    "verify": _verify,
    "doctor": _doctor,
    "clean": _clean,
}
