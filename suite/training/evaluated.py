"""Metrics with the outcomes that they are made of, as an evaluation gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from suite.outcomes import Outcomes

Metrics = Mapping[str, float]

SPLITS = ("val", "test")


class Evaluated(dict[str, float]):
    """The metrics of an evaluation, and the outcomes of its items for those of them that are a statistic of items.

    Parameters
    ----------
    metrics : mapping of name to float
    outcomes : mapping of name to Outcomes, optional
        By metric; see :class:`suite.outcomes.Outcomes` for what an item is.

    Raises
    ------
    ValueError
        If there are outcomes of something that is no metric here.
    """

    def __init__(self, metrics: Mapping[str, float], outcomes: Mapping[str, Outcomes] | None = None) -> None:
        super().__init__(metrics)
        self.outcomes = dict(outcomes or {})
        unknown = sorted(self.outcomes.keys() - self.keys())
        if unknown:
            raise ValueError(f"outcomes of {', '.join(unknown)}, which the evaluation does not name among its metrics")


def on_both_splits(evaluate: Callable[[str], Mapping[str, float]]) -> Evaluated:
    """Return what ``evaluate("val")`` and ``evaluate("test")`` give, as ``val/<name>`` and ``test/<name>``."""
    found = {split: evaluate(split) for split in SPLITS}
    return Evaluated(
        {f"{split}/{name}": value for split, metrics in found.items() for name, value in metrics.items()},
        {f"{split}/{name}": one for split, metrics in found.items() for name, one in outcomes_of(metrics).items()},
    )


def outcomes_of(metrics: Mapping[str, float]) -> Mapping[str, Outcomes]:
    """Return the outcomes by metric; none where the evaluation gave metrics alone."""
    return metrics.outcomes if isinstance(metrics, Evaluated) else {}
