"""Losses that keep a state for each sample: whether there is room for those behind the pairs at hand."""

from __future__ import annotations

from torch import Tensor


def check_samples(loss: str, index: Tensor, samples: int) -> None:
    """Refuse pairs of samples that a loss has no state for.

    Parameters
    ----------
    loss : str
        The name of its class.
    index : Tensor [anchors], int64
        The sample behind each anchor.
    samples : int
        How many ``prepare`` was told of; 0 if it was not called.

    Raises
    ------
    ValueError
        If it was not called, or a sample is not among them.
    """
    if not samples:
        raise ValueError(
            f"{loss} keeps a state for each sample: call loss.prepare(suite.losses.steps.Training(samples, epochs, "
            "steps_per_epoch)) once, before anything else"
        )
    first, last = index.aminmax()
    if first < 0 or last >= samples:
        wrong = int(first if first < 0 else last)
        raise ValueError(
            f"sample {wrong} is not among the {samples} that prepare() was told of: the index of pairs holds numbers "
            "from 0 to samples - 1"
        )
