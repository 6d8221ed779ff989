"""``python -m suite data``: fetch, list, verify, describe."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from suite.cli.arguments import FAILED, OK
from suite.cli.display import PlainDisplay
from suite.cli.options import say_registry
from suite.cli.table import show_table
from suite.data import DataError, Finding, Status, describe
from suite.data import Store as DataStore
from suite.launch.data import FetchLines, data_of, show_downloads
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry
from suite.registry.selection import SelectionError, select_benchmarks
from suite.text.sizes import shown_bytes

LARGE = 1_000_000_000
"""A download of more bytes is asked about, at a terminal."""


def execute(options: argparse.Namespace) -> int:
    """Fetch, list, verify or describe.

    Raises
    ------
    InputError
        If a data set, a profile or a file is not there.
    """
    if options.action == "describe":
        print(_described(options.datasets), end="")
        return OK
    registry = load(options.registry)
    store, names = registry.data, _names(registry, options)
    say_registry(registry, options)
    if options.action == "verify":
        found = store.verify(names)
        show_findings(found, options.json)
        return OK if all(one.state == "ok" for one in found) else FAILED
    if options.action == "fetch" and not _fetched(store, names, options):
        return FAILED
    show([status for status in store.status() if status.dataset.name in names], options.json)
    return OK


def _fetched(store: DataStore, names: Sequence[str], options: argparse.Namespace) -> bool:
    """Fetch; returns whether all is there now."""
    out = sys.stderr if options.json else sys.stdout
    say = PlainDisplay(Store(Path("results")), out).say
    lacking = store.missing(names)
    size = show_downloads(store, lacking, say)
    asked = size > LARGE and not (options.yes or options.offline) and sys.stdin.isatty() and out.isatty()
    if asked and input(f"Download up to {shown_bytes(size)}? [y/N] ").strip().lower() not in ("y", "yes"):
        return False
    try:
        store.fetch(names, options.mirror, options.offline, FetchLines(say), options.accept_changed)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return False
    return True


def show(datasets: Sequence[Status], as_json: bool) -> None:
    """Print data sets and where they stand."""
    if as_json:
        described = [
            {
                "dataset": s.dataset.name,
                "state": s.state,
                "path": str(s.path),
                "bytes": s.dataset.size,
                "download_bytes": s.dataset.download_size,
                "sums": s.sums,
                "checksums": {m: s.recorded.get(m, one.identity) for m, one in s.dataset.members.items()},
            }
            for s in datasets
        ]
        print(json.dumps(described, indent=1))
        return
    rows = [
        (s.dataset.name, s.state, shown_bytes(s.dataset.size), s.sums, s.dataset.licence, str(s.path)) for s in datasets
    ]
    show_table(("data set", "state", "size", "checksums", "licence", "folder"), rows)


def show_findings(found: Sequence[Finding], as_json: bool) -> None:
    """Print what a verification found."""
    if as_json:
        print(json.dumps([{**vars(f), "path": str(f.path)} for f in found], indent=1))
        return
    rows = [(f.dataset, f.member, f.state, "" if f.state == "ok" else f"{f.actual}, not {f.expected}") for f in found]
    show_table(("data set", "member", "state", ""), rows)


def _names(registry: Registry, options: argparse.Namespace) -> list[str]:
    known = registry.data.catalogue
    if options.datasets and (options.profile or options.benchmarks):
        message = "name data sets, or benchmarks and a profile, not both"
        raise InputError([Problem(COMMAND_LINE, " ".join(options.datasets), message)])
    wrong = [name for name in options.datasets if name not in known]
    if wrong:
        raise InputError(Problem(COMMAND_LINE, name, f"no such data set; {choices(name, known)}") for name in wrong)
    if options.datasets or not (options.profile or options.benchmarks or options.action != "list"):
        return options.datasets or list(known)
    try:
        chosen = select_benchmarks(registry, options.benchmarks or ["all"])
    except SelectionError as error:
        raise InputError([Problem(COMMAND_LINE, "--benchmarks", str(error))]) from error
    entries = [registry.document.benchmarks[name] for name in chosen]
    offered = sorted({profile for entry in entries for profile in entry.profiles})
    if options.profile is not None and options.profile not in offered:
        message = f"no such profile; {choices(options.profile, offered)}"
        raise InputError([Problem(COMMAND_LINE, "--profile", message)])
    if options.profile is None and options.benchmarks:
        return sorted({name for entry in entries for name in entry.data})
    return data_of(registry, chosen, options.profile)


def _described(files: list[str]) -> str:
    if not files:
        raise InputError([Problem(COMMAND_LINE, "data describe", "name the files that make up the data set")])
    problems = [Problem(COMMAND_LINE, file, "no such file") for file in files if not Path(file).is_file()]
    for name, number in Counter(Path(file).name for file in dict.fromkeys(files)).items():
        if number > 1:
            message = f"{number} files have this name: the files of a data set lie in one folder, give them other names"
            problems.append(Problem(COMMAND_LINE, name, message))
    if problems:
        raise InputError(problems)
    return describe([Path(file) for file in dict.fromkeys(files)])
