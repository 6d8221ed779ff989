"""The command line of ``python -m analysis``: parses and prints."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from types import FrameType
from typing import Final

from suite.process import escape_what_cannot_be_shown, have_a_home, have_streams, name_files_in_utf_8

BROKEN, BAD_INPUT = 1, 2

DESCRIPTION = """\
Logged results to tables, tests, verdicts, figures and a report. Nothing is trained; the same runs give the same
bytes."""

LOSSES = """\
Draw what losses make of a cosine, computed by the losses themselves. Writes into OUT/losses: maps and gradients as png
and svg, the curves behind them as curves.csv, and losses.md, the reference table of all losses of the suite.

NAME is a loss of the registry, an entry point of suite.losses, or the dotted path of your own class; with parameters:
  python -m analysis losses --losses temperature_free dystress@tau_min=0.1@tau_max=0.3 my_losses.Cubic@scale=2"""

COMMANDS: Final = {
    "report": "everything: tables, figures, and one page of HTML with the verdicts first",
    "verdict": "what the runs say of the claims of the registry, and of published figures",
    "tables": "losses by benchmarks, verdicts, tests, sweeps, costs, as Markdown, LaTeX, CSV and HTML",
    "significance": "paired tests against the baseline, across benchmarks, and what the seeds at hand can show",
    "select": "what validation chose of every sweep, what that cost, and what is still to be run",
    "plots": "figures, as svg, pdf and png",
    "export": "all logged runs as one bundle, runs.parquet and manifest.json",
    "publish": "one archive for an artefact evaluation: bundle, tables, figures, page, and how to check them",
    "separation": "whether each benchmark tells losses apart, as Markdown, LaTeX, CSV and HTML",
}

TARGETS: Final = {"export": "OUT, or results/bundle", "publish": "OUT/EXPERIMENT.zip"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0; 2 if what was given will not do or there is nothing to show, 1 if a process that drew figures was killed, 128
    and the signal's number if this one was interrupted, terminated or hung up.
    """
    try:
        have_streams()
        if arguments is None:
            name_files_in_utf_8()
            _take_endings_for_interruptions()
        return _carried_out(arguments)
    except KeyboardInterrupt as ended:
        number: int = ended.args[0] if ended.args else signal.SIGINT
        if number != signal.SIGHUP:  # its terminal is gone
            print("interrupted", file=sys.stderr)
        return 128 + number


def _carried_out(arguments: Sequence[str] | None) -> int:
    escape_what_cannot_be_shown()
    have_a_home()
    options = make_parser().parse_args(arguments)
    from analysis.cli import commands
    from analysis.read.load import NothingToShow
    from suite.problems import InputError
    from suite.tracking import TrackingUnavailable

    handler: Callable[[argparse.Namespace], None] = getattr(commands, options.command)
    try:
        handler(options)
    except InputError as error:
        print(error.report(), file=sys.stderr)
        return BAD_INPUT
    except BrokenExecutor:
        print("error: a process that drew figures was killed, perhaps for want of memory", file=sys.stderr)
        return BROKEN
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NothingToShow, TrackingUnavailable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _take_endings_for_interruptions() -> None:
    """Let TERM and HUP end this process as Ctrl-C does: with the processes that work for it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m analysis``."""
    parser = argparse.ArgumentParser(prog="python -m analysis", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        _add_source(command)
        _add_output(command)
        if name in ("export", "publish"):
            what = "folder for the bundle" if name == "export" else "archive to write"
            command.add_argument("--to", type=Path, metavar="PATH", help=f"{what} (default: {TARGETS[name]})")
        if name == "plots":
            known = ("svg", "pdf", "png")  # figures.image.FOR_PAPERS, whose import would delay every --help
            text = f"{' '.join(known)} (default: all)"
            command.add_argument("--formats", nargs="+", choices=known, default=known, metavar="FORMAT", help=text)
        if name in ("report", "tables"):
            command.add_argument(
                "--spread", choices=("std", "interval"), default="std", help="what ± is (default: std, over seeds)"
            )
    losses = commands.add_parser("losses", help="the losses themselves: curves, figures and a table of all")
    losses.formatter_class = argparse.RawDescriptionHelpFormatter
    losses.description = LOSSES
    losses.add_argument("--losses", nargs="+", metavar="NAME", help="default: InfoNCE, TemperatureFree, DySTreSS, ...")
    losses.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    _add_output(losses)
    return parser


def _add_source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="mlflow (the default), or bundles FILE.parquet; all that are named are merged",
    )
    command.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow (default: MLFLOW_TRACKING_URI, else OUT/mlflow.db)"
    )
    command.add_argument("--experiment", metavar="NAME", help="MLflow experiment (default: the only one)")
    command.add_argument("--profile", metavar="NAME", help="only this profile (default: every one)")
    command.add_argument(
        "--registry",
        type=Path,
        metavar="FILE",
        help="whose claims count: a registry, or a bundle (default: those that the results were made with)",
    )
    command.add_argument(
        "--accept-changes",
        action="store_true",
        help="judge claims by margins, goals and metrics that were changed while runs existed",
    )
    command.add_argument("--keep-stale", action="store_true", help="let runs count that were made with older code")


def _add_output(command: argparse.ArgumentParser) -> None:
    where = "default: results, or the folder of the bundle"
    command.add_argument("--out", type=Path, metavar="DIR", help=where)
    command.add_argument("--json", action="store_true", help="print JSON for programs")
