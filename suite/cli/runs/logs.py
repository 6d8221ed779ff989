"""``python -m suite logs``: what a run has printed, followed while it runs."""

from __future__ import annotations

import argparse

from suite.cli.arguments import OK
from suite.cli.options import found_key
from suite.launch.view import follow, task_log, waiting
from suite.records.record import Store
from suite.text.naming import clean_text


def execute(options: argparse.Namespace) -> int:
    """Print the log of a run, or of the array task that had it last."""
    store = Store(options.out)
    key = found_key(store, options.key)
    if options.task:
        file = task_log(store, key)
        if file is None:
            print("no array task has had this run")
        else:
            print(clean_text(file.read_text(errors="replace", encoding="utf-8")), end="")
        return OK
    record = store.record(key)
    if not record.log.exists():
        print(waiting(store, key))
    for text in follow(record):
        print(clean_text(text), end="", flush=True)
    return OK
