"""``python -m suite data``: fetch, list, verify, describe."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from suite.cli import printing
from suite.cli.display import PlainDisplay
from suite.data import DataError, describe
from suite.launch.data import FetchLines, show_licences
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry


def data(options: argparse.Namespace) -> bool:
    """Do what the options say; return whether all is well.

    Raises
    ------
    InputError
        If a data set, a profile or a file is not there.
    """
    if options.action == "describe":
        print(_described(options.datasets), end="")
        return True
    registry = load(options.registry)
    store, names = registry.data, _names(registry, options)
    if options.action == "verify":
        return printing.findings(store.verify(names), options.json)
    if options.action == "fetch":
        display = PlainDisplay(Store(Path("results")), sys.stderr if options.json else sys.stdout)
        show_licences(store, names, display.say)
        try:
            store.fetch(names, options.mirror, options.offline, FetchLines(display.say))
        except DataError as error:
            print(f"error: {error}", file=sys.stderr)
            return False
    printing.datasets([status for status in store.status() if status.dataset.name in names], options.json)
    return True


def _names(registry: Registry, options: argparse.Namespace) -> list[str]:
    known = registry.data.catalogue
    wrong = [name for name in options.datasets if name not in known]
    if wrong:
        raise InputError(Problem(COMMAND_LINE, name, f"no such data set; {choices(name, known)}") for name in wrong)
    if options.profile is None:
        return options.datasets or list(known)
    entries = registry.document.benchmarks.values()
    offered = sorted({profile for entry in entries for profile in entry.profiles})
    if options.profile not in offered:
        message = f"no such profile; {choices(options.profile, offered)}"
        raise InputError([Problem(COMMAND_LINE, "--profile", message)])
    return sorted({name for entry in entries if options.profile in entry.profiles for name in entry.data})


def _described(files: list[str]) -> str:
    if not files:
        raise InputError([Problem(COMMAND_LINE, "data describe", "name the files that make up the data set")])
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise InputError(Problem(COMMAND_LINE, file, "no such file") for file in missing)
    return describe([Path(file) for file in files])
