"""What became of every item of an evaluation: what a metric is a statistic of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

STATISTICS: Final = ("mean", "roc_auc", "spearman")
#: How far a metric may lie from the statistic of its outcomes, which are kept in float32 where that is enough.
TOLERANCE: Final = 1e-6
FIELDS: Final = ("values", "truth", "weights")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcomes of items, and the statistic of them that a metric is.

    Items are numbered alike for every seed and every loss of a benchmark: place 7 is the same image, node, user or pair
    of sentences in all of its runs. That is what pairs runs by item.

    Attributes
    ----------
    statistic : str
        ``mean``, ``roc_auc`` or ``spearman``.
    values : array [items] or [parts, items]
        Of an item: whether it was right, or how often; its gain; its score, higher for a positive; its similarity.
        Where the metric is a mean over parts (classes, say), those of each.
    truth : array of the same shape, or None
        For ``roc_auc`` whether an item is a positive, for ``spearman`` the scores that the values are to order.
    weights : array of the same shape, or None
        For ``mean``, what an item counts, 0 for one that was not tested; by default all count alike.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or the statistic is undefined.
    """

    statistic: str
    values: np.ndarray
    truth: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ValueError("outcomes: " + "; ".join(problems))

    @property
    def items(self) -> int:
        """The number of items."""
        return int(self.values.shape[-1])

    def value(self) -> float:
        """Return the statistic: the mean over parts."""
        return float(np.mean([self._of_part(place) for place in range(len(np.atleast_2d(self.values)))]))

    def compact(self) -> Outcomes:
        """Return the same in float32, if that leaves the statistic what it is."""
        arrays = {
            name: array.astype(np.float32) if array.dtype == np.float64 else array
            for name, array in self.arrays().items()
        }
        small = Outcomes(self.statistic, **arrays)
        return small if math.isclose(small.value(), self.value(), abs_tol=TOLERANCE / 10) else self

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that there are, by name."""
        return {name: array for name in FIELDS if (array := getattr(self, name)) is not None}

    def _of_part(self, place: int) -> float:
        part = {name: np.atleast_2d(array)[place].astype(float) for name, array in self.arrays().items()}
        values = part["values"]
        if self.statistic == "mean":
            return float(np.average(values, weights=part.get("weights")))
        truth, ranks = part["truth"], mean_ranks(values)
        if self.statistic == "roc_auc":
            positives = float(truth.sum())
            above = float(ranks[truth == 1].sum()) - positives * (positives + 1) / 2
            return above / (positives * (len(truth) - positives))
        if np.ptp(values) == 0:
            return 0.0
        return float(np.corrcoef(ranks, mean_ranks(truth))[0, 1])

    def _problems(self) -> Iterable[str]:
        if self.statistic not in STATISTICS:
            yield f"statistic {self.statistic!r} is unknown; there are {', '.join(STATISTICS)}"
        if self.values.ndim not in (1, 2) or not self.values.size:
            yield f"values have the shape {self.values.shape}, not [items] or [parts, items]"
            return
        for name, array in self.arrays().items():
            if array.shape != self.values.shape:
                yield f"{name} have the shape {array.shape}, values have {self.values.shape}"
                return
            if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                yield f"{name} are not all finite numbers"
                return
        needs_truth = self.statistic in ("roc_auc", "spearman")
        if needs_truth != (self.truth is not None):
            yield f"{self.statistic} {'needs a' if needs_truth else 'has no'} truth"
        elif self.truth is not None and any(np.ptp(row.astype(float)) == 0 for row in np.atleast_2d(self.truth)):
            yield "the truth of all items is the same"
        elif self.statistic == "roc_auc" and self.truth is not None and not np.isin(self.truth, (0, 1)).all():
            yield "the truth of roc_auc is 0 or 1"
        if self.weights is None:
            return
        if self.statistic != "mean":
            yield f"{self.statistic} has no weights"
        elif (self.weights < 0).any() or not np.atleast_2d(self.weights).any(axis=1).all():
            yield "weights are not negative, and not all 0"


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values [n], from 1; equal ones have their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def to_arrays(outcomes: Mapping[str, Outcomes]) -> dict[str, np.ndarray]:
    """Return outcomes by metric as arrays by ``<metric>/<statistic>/<field>``, which is how files name them."""
    return {
        f"{metric}/{one.statistic}/{field}": array
        for metric, one in outcomes.items()
        for field, array in one.arrays().items()
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, Outcomes]:
    """Return the outcomes that :func:`to_arrays` was given.

    Raises
    ------
    ValueError
        If a name or an array is none of outcomes.
    """
    found: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        metric, statistic, field = ["", "", *name.rsplit("/", 2)][-3:]
        if not metric or field not in FIELDS:
            raise ValueError(f"outcomes: {name!r} names no metric, statistic and field")
        found.setdefault((metric, statistic), {})[field] = array
    if incomplete := [metric for (metric, _), fields in found.items() if "values" not in fields]:
        raise ValueError(f"outcomes: {', '.join(incomplete)} have no values")
    return {metric: Outcomes(statistic, **fields) for (metric, statistic), fields in found.items()}
