"""What ``python -m suite run`` prints at its end: the entry point ``suite.summary`` of this package."""

from __future__ import annotations

from analysis.evidence.gather import gather
from analysis.read.collect import collect
from analysis.read.load import NothingToShow, experiment_in
from analysis.tables.main import main_table
from analysis.tables.render import show
from suite.registry.claims import Declared
from suite.tracking import TrackingUnavailable, frame


def show_summary(uri: str, experiment: str, profile: str, declared: Declared) -> None:
    """Print the main table of one profile, marked against the baseline of the registry.

    Parameters
    ----------
    uri : str
        The MLflow store.
    experiment, profile : str
    declared : Declared
        What the registry says about results.
    """
    try:
        collected = collect(frame(uri, experiment_in(uri, experiment)), profile, searched=declared.searched)
    except (NothingToShow, TrackingUnavailable) as error:
        print(error)
        return
    table = main_table(gather(collected, declared, profile))
    if table.blocks:
        show(table)
    else:
        print("no run with an evaluation seed is done: there is nothing to report on test yet")
