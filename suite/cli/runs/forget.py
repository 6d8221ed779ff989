"""``python -m suite forget``: remove runs from the results folder, from MLflow, and so from the tables."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter

from suite.cli.arguments import FAILED, OK
from suite.cli.options import agreed, carried, found_key, is_override, load_registry, plan_of
from suite.cli.table import show_table
from suite.launch.view import in_hand
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Record, Store
from suite.tracking import Mirror, TrackingUnavailable, default_uri


def execute(options: argparse.Namespace) -> int:
    """Show what would be forgotten, ask, and remove it; with JSON, removes only with ``--yes``.

    Raises
    ------
    InputError
        If neither keys nor a selection is given, or both.
    """
    store = Store(options.out)
    keys, experiment = _chosen(options, store)
    held = in_hand(store)
    records = [store.record(key) for key in sorted(keys & store.keys())]
    free = [record for record in records if not record.is_running() and record.key not in held]
    if options.json and not options.yes:
        print(json.dumps({"found": [record.key for record in free], "removed": 0, "in_mlflow": 0}, indent=1))
        return OK
    if not options.json:
        _show(free, len(records) - len(free), store)
    if not free or not (options.yes or agreed(f"Forget these {len(free)} runs for good?")):
        return OK
    ids = {record.key: str((record.run() or {}).get("record", "")) for record in free}
    removed = {record.key: ids[record.key] for record in free if _removed(record)}
    try:
        mirrored = Mirror(options.out, default_uri(options.out, options.tracking_uri), experiment).forget(removed)
    except TrackingUnavailable as error:
        print(f"error: {len(removed)} records are removed, but {error}", file=sys.stderr)
        stored = carried(options, "out", "registry", "tracking_uri", "overrides")
        print(f"python -m suite sync --prune{stored} removes them from MLflow, too", file=sys.stderr)
        return FAILED
    if options.json:
        print(json.dumps({"found": [r.key for r in free], "removed": len(removed), "in_mlflow": mirrored}, indent=1))
    else:
        print(f"{len(removed)} records removed, {mirrored} runs in MLflow deleted; the tables no longer hold them")
    return OK


def _chosen(options: argparse.Namespace, store: Store) -> tuple[set[str], str]:
    """Return the keys that are meant, and the experiment of the registry."""
    prefixes = [text for text in options.keys if not is_override(text)]
    options.overrides = [text for text in options.keys if is_override(text)]
    is_selection = any((options.benchmarks, options.losses, options.seeds, options.slice))
    if bool(prefixes) == is_selection:
        message = "give keys or a selection, not both" if prefixes else "name runs: by keys, --losses, --benchmarks ..."
        raise InputError([Problem(COMMAND_LINE, " ".join(prefixes) or "forget", message)])
    if prefixes:
        return {found_key(store, prefix) for prefix in prefixes}, load_registry(options).document.experiment
    registry, plan, _ = plan_of(options)
    return {run.key for run in plan.runs}, registry.document.experiment


def _show(records: list[Record], in_use: int, store: Store) -> None:
    counted: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        run = record.run() or {}
        state = "done" if record.is_done() else "failed" if record.failure() else "interrupted"
        name = f"{run.get('benchmark', '?')}/{run.get('loss', '?')} at profile {run.get('profile', '?')}"
        counted[name, state, str(run.get("purpose", "?"))] += 1
    if counted:
        rows = [(name, str(number), state, purpose) for (name, state, purpose), number in counted.items()]
        show_table(("runs of", "", "state", "purpose"), rows)
    else:
        print("nothing to forget: no record of these runs" + (" that is not in use" if in_use else ""))
    if in_use:
        print(f"{in_use} more are running or queued: python -m suite cancel{store.option} ends them")


def _removed(record: Record) -> bool:
    """Remove a record, unless a worker has taken it meanwhile."""
    with record.claimed() as ours:
        if ours:
            shutil.rmtree(record.folder)
    return ours
