"""What test items add to the noise of two rows' difference: what each does to a run's metric, computed once a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.read.items import OutcomesReader
from analysis.statistics.items import influence, item_variance
from suite.outcomes import Outcomes


@dataclass(frozen=True)
class OfItems:
    """What the test items of a comparison add to its noise.

    Attributes
    ----------
    items : int
        How many there are.
    variance : float
        Of the mean difference, as far as it comes from which items they are.
    """

    items: int
    variance: float


class Items:
    """The outcomes of runs' test items.

    Parameters
    ----------
    read : callable
        From :attr:`analysis.read.logged.Logged.outcomes`.
    run_ids : iterable of str
        All that will be asked for.
    """

    def __init__(self, read: OutcomesReader, run_ids: Iterable[str]) -> None:
        self._found = read(sorted(set(run_ids)))
        self._influences: dict[tuple[str, str], np.ndarray] = {}

    def between(self, first: Sequence[str], second: Sequence[str], metric: str) -> OfItems | None:
        """Return what items add to the noise of the mean difference of a metric between runs, paired in their order.

        None where a run did not keep its outcomes, or where the runs were tested on different items.
        """
        pairs = [(run_id, self._found.get(run_id, {}).get(metric)) for run_id in (*first, *second)]
        known = [(run_id, outcomes) for run_id, outcomes in pairs if outcomes is not None]
        if not known or len(known) < len(pairs) or not all(_are_alike(known[0][1], one) for _, one in known):
            return None
        values = [self._of_run(run_id, metric, outcomes) for run_id, outcomes in known]
        differences = np.mean(values[: len(first)], axis=0) - np.mean(values[len(first) :], axis=0)
        return OfItems(known[0][1].items, item_variance(differences))

    def _of_run(self, run_id: str, metric: str, outcomes: Outcomes) -> np.ndarray:
        if (run_id, metric) not in self._influences:
            self._influences[run_id, metric] = influence(outcomes)
        return self._influences[run_id, metric]


def _are_alike(one: Outcomes, other: Outcomes) -> bool:
    """Whether outcomes are of the same items: as many, and the same truth where there is one."""
    same = one.statistic == other.statistic and one.values.shape == other.values.shape
    if not same or one.truth is None or other.truth is None:
        return same and one.truth is other.truth
    return bool(np.array_equal(one.truth, other.truth))
