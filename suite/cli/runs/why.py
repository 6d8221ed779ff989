"""``python -m suite why``: what is known of one run, and why it is stale."""

from __future__ import annotations

import argparse

from suite.cli.arguments import OK
from suite.cli.options import found_key, load_registry
from suite.launch.view import explain, queued
from suite.plan.plan import find_run
from suite.records.record import Store


def execute(options: argparse.Namespace) -> int:
    """Print a labelled fact a line."""
    registry, store = load_registry(options), Store(options.out)
    key = found_key(store, options.key)
    in_launches = queued(store)
    for name, text in explain(store.record(key), find_run(registry, store, key, in_launches), store, in_launches):
        print(f"{name:<22} {text}")
    return OK
