"""``python -m suite cancel``: end runs at their next step, with a checkpoint."""

from __future__ import annotations

import argparse
import json

from suite.cli.arguments import FAILED, OK
from suite.cli.options import found_key, is_override, plan_of
from suite.launch.cancel import Cancelled, cancel
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store


def execute(options: argparse.Namespace) -> int:
    """End the runs that keys or a selection name; all without either."""
    store = Store(options.out)
    prefixes = [text for text in options.keys if not is_override(text)]
    options.overrides = [text for text in options.keys if is_override(text)]
    named = (options.benchmarks, options.losses, options.seeds, options.slice, options.profile)
    is_selection = any((*named, options.overrides))
    if prefixes and is_selection:
        raise InputError([Problem(COMMAND_LINE, " ".join(prefixes), "give keys or a selection, not both")])
    keys = {found_key(store, prefix) for prefix in prefixes} if prefixes else None
    if is_selection:
        keys = {run.key for run in plan_of(options)[1].runs}
    ended = cancel(store, keys)
    if options.json:
        print(json.dumps(vars(ended), indent=1))
    else:
        show(ended)
    return FAILED if ended.silence else OK


def show(ended: Cancelled) -> None:
    """Print what came of a cancellation."""
    if ended.silence:
        silence = f"{ended.silent} does not answer: {ended.silence}"
        print(f"{ended.runs} runs cancelled, but {silence}. Its tasks end by themselves")
    elif not (ended.runs or ended.workers or ended.tasks):
        print("nothing runs")
    else:
        parts = [f"{ended.runs} runs cancelled"]
        parts += [f"{n} {what} ended" for n, what in ((ended.workers, "workers"), (ended.tasks, "array tasks")) if n]
        print(f"{', '.join(parts)}; what they have done is kept, and the next `run` goes on from there")
