"""``doctor`` and ``clean`` as people see them."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from suite.cli.printing import table
from suite.launch.clean import Litter, describe, find, remove
from suite.records.record import Store

if TYPE_CHECKING:
    from suite.doctor import Finding

SIGNS: Final = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM", "unknown": "UNKNOWN"}


def show_finding(finding: Finding) -> None:
    """Print what the doctor found, with what to do about it."""
    print(f"{finding.topic:<9} {SIGNS[finding.state]:<8} {finding.what}", flush=True)
    if finding.advice:
        print(f"{'':<18} -> {finding.advice}", flush=True)


def clean(store: Store, days: float, options: Collection[str], yes: bool, as_json: bool) -> int:
    """Show the litter of a results folder, ask, and remove it; returns the exit status.

    Parameters
    ----------
    store : Store
    days : float
        How long the files of a launch with unfinished runs are kept.
    options : collection of str
        ``--superseded`` and ``--unknown``, as far as they were given.
    yes : bool
        Do not ask.
    as_json : bool
        Print JSON; removes only with `yes`.
    """
    found = find(store, days, options)
    chosen = [litter for litter in found if litter.option is None or litter.option in options]
    rows = describe(found)
    if as_json:
        print(json.dumps({"found": rows, "removed": _remove(store, chosen) if yes else 0}, indent=1))
        return 0
    if not rows:
        print("nothing to remove")
        return 0
    shown = [
        (str(row["count"]), row["kind"], _size(row["bytes"]), row["reason"], _needs(row["option"], options))
        for row in rows
    ]
    table(("", "what", "size", "why it can go", ""), shown)
    if not chosen:
        return 0
    if yes or _agreed(f"Remove {len(chosen)} of these, {_size(sum(litter.size for litter in chosen))}?"):
        print(f"removed {_remove(store, chosen)}; no result was touched")
    return 0


def _needs(option: str | None, options: Collection[str]) -> str:
    return f"only with {option}" if option is not None and option not in options else ""


def _remove(store: Store, chosen: Collection[Litter]) -> int:
    return sum(remove(store, litter) for litter in chosen)


def _agreed(question: str) -> bool:
    """Ask; anything but yes, or nobody there to answer, means no."""
    if not sys.stdin.isatty():
        print(f"{question} Nobody is there to answer: --yes removes them")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
