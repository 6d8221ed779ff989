"""``python -m suite clean``: remove what finished and abandoned launches have left."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection

from suite.cli.arguments import OK
from suite.cli.options import agreed
from suite.cli.table import show_table
from suite.launch.clean import Litter, describe, find, remove
from suite.records.record import Store


def execute(options: argparse.Namespace) -> int:
    """Show the litter of the results folder, ask, and remove it; with JSON, removes only with ``--yes``."""
    store = Store(options.out)
    given = [f"--{name}" for name in ("superseded", "unknown") if getattr(options, name)]
    found = find(store, options.days, given)
    chosen = [litter for litter in found if litter.option is None or litter.option in given]
    rows = describe(found)
    if options.json:
        print(json.dumps({"found": rows, "removed": _remove(store, chosen) if options.yes else 0}, indent=1))
        return OK
    if not rows:
        print("nothing to remove")
        return OK
    shown = [
        (str(row["count"]), row["kind"], _size(row["bytes"]), row["reason"], _needs(row["option"], given))
        for row in rows
    ]
    show_table(("", "what", "size", "why it can go", ""), shown)
    if not chosen:
        return OK
    if options.yes or agreed(f"Remove {len(chosen)} of these, {_size(sum(litter.size for litter in chosen))}?"):
        print(f"removed {_remove(store, chosen)}; no result was touched")
    return OK


def _needs(option: str | None, given: Collection[str]) -> str:
    return f"only with {option}" if option is not None and option not in given else ""


def _remove(store: Store, chosen: Collection[Litter]) -> int:
    return sum(remove(store, litter) for litter in chosen)


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
