"""The commands of ``python -m suite`` and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from suite.problems import COMMAND_LINE, InputError, Problem, choices

#: Exit statuses.
OK, FAILED, BAD_INPUT, WORK_LEFT, INTERRUPTED = 0, 1, 2, 3, 130

EPILOG = """\
selections take names, comma lists, globs, slices of the registry, `all`, and ~name to leave one out;
anything else is a Hydra override, e.g. launcher.workers=1 or benchmarks.image.profiles.mini.epochs=5.
"""
RUN = "a run by its name, as in image/infonce/seed0, or by the beginning of its key"
RUNS = "runs by name, as in image/infonce/seed0, or by the beginning of their keys"
RUN_STATUS = "exit status: 0 all selected runs done, 1 some failed, 2 bad input, 130 interrupted."
STATUS_STATUS = "exit status: 0 no selected run has failed, 1 some have, 2 bad input."
USUAL_STATUS = "exit status: 0, 1 it could not be done, 2 bad input."

VERIFY_EPILOG = """\
Where processor, device, threads and packages are those that a result was made with, all metrics must come back bit for
bit; elsewhere means over seeds may differ by what the seeds scatter (docs/verdicts.md). Settings, data files and code
are compared with what was logged, too. Without a selection, --from draws from all runs of the bundle. Nothing is
written: no record, no MLflow.
exit status: 0 nothing differs, 1 something does, 2 bad input or nothing to verify, 130 interrupted."""
WORKER_EPILOG = """\
Start it in any number of jobs, pods and shells, on machines that see the folder: each run is taken by one of them. What
it holds when it leaves is checkpointed, and others go on with it. GPUs are those of CUDA_VISIBLE_DEVICES.
exit status: 0 nothing is left to take, 1 workers cannot work here, 2 bad input, 3 it left with work to do: its time is
over, or it was asked to by HUP, TERM, USR1 or USR2; 130 interrupted."""
DATA_EPILOG = """\
Without data sets, benchmarks or a profile, `list` shows all, and the others take what the benchmarks read at any
profile but paper. What is pinned has a checksum in the catalogue; what is recorded got it when it was first fetched.
exit status: 0, 1 something is missing or wrong, 2 bad input."""
TOLERANCE = "where seeds do not tell how much a mean may differ on a machine of another kind: T + T x its value; 0.01"


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


def make_parser(prog: str = "python -m suite") -> tuple[Parser, dict[str, Parser]]:
    """Return the parser, and the parsers of the commands by name."""
    parser = Parser(prog=prog, description="Reproducibility benchmarks of contrastive losses.")
    commands: dict[str, Parser] = {}
    adder = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def add(name: str, text: str, *groups: Callable[[Parser], None]) -> Parser:
        described = f"{text[0].upper()}{text[1:]}."
        commands[name] = adder.add_parser(name, help=text, description=described, epilog=EPILOG + USUAL_STATUS)
        for group in groups:
            group(commands[name])
        return commands[name]

    run = add("run", "execute what the selection lacks", _selection, _registry, _out, _tracking, _json, _execution)
    tune = add(
        "tune", "search every loss on the same budget: selection runs, choice, evaluation runs",
        _selection, _registry, _out, _tracking, _json, _execution,
    )  # fmt: skip
    run.epilog = tune.epilog = EPILOG + RUN_STATUS
    tune.add_argument("--budget", type=_count, metavar="N", help="configurations of each loss; default: the registry's")
    tune.add_argument("--selection-seeds", metavar="SEEDS", help="e.g. 100-102; default: the registry's")
    tune.add_argument("--choose", action="store_true", help="start no selection run: choose, and evaluate")
    # what --rerun names has been begun by the command that is gone on with
    tune.add_argument("--goes-on", action="store_true", help=argparse.SUPPRESS)
    tune.add_argument("--dry-run", action="store_true", help="both stages with their cost; nothing is executed")
    plan = add("plan", "what would run, what is done, why something is stale, cost", _selection, _registry, _out)
    plan.add_argument("--runs", action="store_true", help="list every run with its key")
    _json(plan)
    worker = add("worker", "take runs of a results folder from any allocation, until none is left", _out)
    worker.add_argument("--time", metavar="DURATION", help="leave when so much is nearly over, as in 2h")
    worker.add_argument("--idle", metavar="DURATION", help="stay for more to do for so long; default: not at all")
    worker.add_argument("--launch", metavar="ID", help="runs of this launch only; status shows launches")
    worker.add_argument("--benchmarks", nargs="+", action="extend", default=[], metavar="NAME", help="default: all")
    worker.add_argument("--workers", type=int, metavar="N", help="runs side by side; default: one a GPU, else a core")
    worker.epilog = WORKER_EPILOG
    status = add("status", "seeds done, a row a loss, and what the workers do", _selection, _registry, _out, _tracking)
    status.epilog = EPILOG + STATUS_STATUS
    status.add_argument("--table", action="store_true", help="also the results so far, as `run` prints them")
    _json(status)
    cancel = add("cancel", "end runs at their next step, with a checkpoint", _selection, _out, _json)
    cancel.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    cancel.add_argument("keys", nargs="*", default=[], metavar="KEY", help=RUNS)
    logs = add("logs", "what a run printed; follows it while it runs", _out)
    logs.add_argument("key", help=RUN)
    logs.add_argument("--task", action="store_true", help="on a cluster: what the array task printed that had it last")
    why = add("why", "what is known of one run, and why it is stale", _registry, _out)
    why.add_argument("key", help=RUN)
    sync = add("sync", "bring MLflow up to date with the records", _out, _tracking, _registry)
    _items(sync)
    sync.add_argument("--prune", action="store_true", help="delete from MLflow the runs whose records are gone")
    init = add("init", "write a small study: a registry that extends the suite's, a loss, its test, a README")
    init.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: the current folder")
    init.epilog = "exit status: 0 written, 2 a file is there already."
    explain = add("explain", "what a word of the suite means; all words without one")
    explain.add_argument("term", nargs="*", metavar="WORD", help="as in: explain fingerprint")
    explain.epilog = "exit status: 0, 2 no such word."
    completion = add("completion", "a script that completes `suite` in a shell")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    completion.epilog = (
        'bash: eval "$(suite completion bash)" in ~/.bashrc; zsh: > a file _suite in a folder of $fpath.'
    )
    add("list", "benchmarks, losses, slices and launchers of the registry", _registry, _json)
    check = add("check-loss", "check a loss, your own or one of the registry, before it is used", _json)
    check.add_argument("loss", help="my_losses.MyLoss, a loss of the registry, or an entry point")
    check.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="its parameters")
    check.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    check.epilog = "exit status: 0 it conforms, 1 a check failed, 2 bad input."
    verify = add("verify", "run a sample of finished runs again and compare", _selection, _registry, _out, _json)
    verify.add_argument(
        "--from", dest="bundle", type=Path, metavar="FILE", help="runs of a bundle (.parquet), not of OUT"
    )
    verify.add_argument("--sample", type=int, default=3, metavar="N", help="how many, over the benchmarks in turn; 3")
    verify.add_argument("--all", action="store_true", help="every finished run of the selection")
    verify.add_argument("--seed", type=int, default=0, metavar="S", help="of the draw: another draws others; 0")
    verify.add_argument("--tolerance", type=float, default=0.01, metavar="T", help=TOLERANCE)
    verify.add_argument("--offline", action="store_true", help="never fetch data")
    verify.add_argument("--mirror", metavar="DIR_OR_URL", help="where to look for data first")
    verify.epilog = VERIFY_EPILOG
    doctor = add("doctor", "check this machine, the data, tracking and the cluster", _registry, _out, _tracking)
    doctor.add_argument("--launcher", metavar="NAME", help="a file of launchers/; default: the registry's")
    _json(doctor)
    doctor.epilog = "exit status: 0 nothing that would stop runs, 1 a problem, 2 bad input."
    clean = add("clean", "remove what finished and abandoned launches have left; asks first", _out, _json)
    clean.add_argument("--yes", action="store_true", help="do not ask")
    clean.add_argument("--days", type=float, default=14.0, metavar="N", help="unfinished launches older than that; 14")
    clean.add_argument("--superseded", action="store_true", help="also the records that stale runs had before")
    clean.add_argument("--unknown", action="store_true", help="also launches whose jobs SLURM cannot be asked about")
    forget = add(
        "forget", "remove runs from OUT, MLflow and the tables; asks first", _selection, _out, _tracking, _json
    )
    forget.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    forget.add_argument("keys", nargs="*", default=[], metavar="KEY", help=RUNS)
    forget.add_argument("--yes", action="store_true", help="do not ask")
    forget.epilog = "exit status: 0, 1 MLflow could not be reached, 2 bad input."
    schema = add("schema", "a JSON Schema of benchmarks.yaml, for editors")
    schema.add_argument("--output", type=Path, metavar="FILE", help="write it there")
    ui = add("ui", "MLflow's own page on the results, on the loopback", _out, _tracking)
    ui.add_argument("--port", type=int, default=5000)
    data = add("data", "fetch, list or verify data sets, or describe files of your own for a catalogue")
    data.add_argument("action", choices=["fetch", "list", "verify", "describe"])
    data.add_argument("datasets", nargs="*", metavar="DATASET", help="with `describe`: files")
    data.add_argument("--profile", default=None, metavar="NAME", help="what the benchmarks with this profile read")
    data.add_argument("--benchmarks", nargs="+", action="extend", default=[], metavar="NAME", help="what these read")
    data.add_argument("--mirror", metavar="DIR_OR_URL", help="where to look first")
    data.add_argument("--offline", action="store_true", help="take nothing from the network")
    data.add_argument("--yes", action="store_true", help="do not ask before a large download")
    data.add_argument(
        "--accept-changed", action="store_true", help="take what is not pinned as it is now, and record that"
    )
    data.epilog = DATA_EPILOG
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
    parser.add_argument("--profile", metavar="NAME", help="smoke, mini or paper; default: mini")
    parser.add_argument("--slice", metavar="NAME", help="all that a slice names; options beside it replace parts of it")
    parser.add_argument("--launcher", metavar="NAME", help="a file of launchers/; default: the registry's")


def _execution(parser: Parser) -> None:
    parser.add_argument(
        "--rerun", action="append", default=[], metavar="STATES", help="also execute: stale, failed, done"
    )
    parser.add_argument("--detach", action="store_true", help="return once the workers are started")
    parser.add_argument("--offline", action="store_true", help="never fetch data")
    parser.add_argument("--mirror", metavar="DIR_OR_URL", help="where to look for data first")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    _items(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of configurations: expected a whole number, 1 or more")
    return int(text)


def _registry(parser: Parser) -> None:
    parser.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    if parser.prog.split()[-1] != "why":
        parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="Hydra overrides")


def _out(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="default: results")


def _tracking(parser: Parser) -> None:
    parser.add_argument("--tracking-uri", metavar="URI", help="default: MLFLOW_TRACKING_URI, else OUT/mlflow.db")


def _items(parser: Parser) -> None:
    text = "log the outcomes of test items, too, as artifacts: analysis then needs no records"
    parser.add_argument("--items", action="store_true", help=text)


def _json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
