"""``python -m suite sync``: bring MLflow up to date with the records."""

from __future__ import annotations

import argparse
import sys

from suite.cli.arguments import FAILED, OK
from suite.cli.options import load_registry
from suite.plan.belonging import of_experiment
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.record import Store
from suite.text.masking import masked
from suite.tracking import Mirror, TrackingUnavailable, default_uri
from suite.tracking.store import check_whole


def execute(options: argparse.Namespace) -> int:
    """Mirror every record of the registry's experiment that MLflow lacks, and say how many.

    Raises
    ------
    InputError
        If the folder that ``--out`` names is missing: one that is mistyped is not made.
    """
    registry = load_registry(options)
    experiment = registry.document.experiment
    if not Store(options.out).is_default and not options.out.is_dir():
        raise InputError([Problem(COMMAND_LINE, "--out", f"there is no folder {options.out}")])
    uri = default_uri(options.out, options.tracking_uri)
    try:
        check_whole(uri)
        mirror = Mirror(options.out, uri, experiment, with_items=options.items)
        pushed = mirror.push(of_experiment(registry, Store(options.out)))
        mirror.close_abandoned()
        gone = mirror.gone()
        pruned = mirror.forget(dict.fromkeys(gone, "")) if options.prune else 0
    except TrackingUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    for key, reason in pushed.rejected.items():
        print(f"error: {key[:12]}: {reason}", file=sys.stderr)
    for key, reason in pushed.refused.items():
        print(f"error: {key[:12]}: this MLflow refuses it for good: {reason}", file=sys.stderr)
    print(f"{masked(uri)}: {pushed.updated} runs brought up to date in {experiment}, {pushed.unchanged} were already")
    if pruned:
        print(f"{pruned} runs whose records are gone were deleted from MLflow")
    elif gone:
        print(f"{len(gone)} runs in MLflow were made here and their records are gone: --prune deletes them there, too")
    return FAILED if pushed.rejected or pushed.refused else OK
