"""``python -m suite why``: what is known of one run, and why it is stale."""

from __future__ import annotations

import argparse

from suite.cli.arguments import OK
from suite.cli.options import load_registry
from suite.launch.run import explain
from suite.plan.plan import find_run
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store


def execute(options: argparse.Namespace) -> int:
    """Print a labelled fact a line."""
    registry, store = load_registry(options), Store(options.out)
    run = find_run(registry, store, options.key)
    try:
        record = store.record(run.key) if run is not None else store.find(options.key)
    except LookupError as error:
        raise InputError([Problem(COMMAND_LINE, options.key, str(error))]) from error
    for name, text in explain(record, run):
        print(f"{name:<22} {text}")
    return OK
