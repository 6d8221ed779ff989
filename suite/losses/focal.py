"""Focal-InfoNCE: hard positives and hard negatives weigh more."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from suite.losses.base import AnchorLoss, cross_entropy
from suite.pairs import Pairs
from suite.parameters import Fraction, Positive


class FocalInfoNCE(AnchorLoss):
    """Cross-entropy over s^2 / tau for the positive and s (s + m) / tau for a negative (EMNLP 2023).

    Neither map is monotone: the positive's turns at 0, a negative's at -m / 2, as in the authors' code.

    Parameters
    ----------
    temperature : float
        tau; that of the authors' script.
    margin : float
        m; that of the authors' script.
    """

    equation = r"-\log \frac{e^{s_+^2/\tau}}{e^{s_+^2/\tau} + \sum_{j \neq +} e^{s_j (s_j + m)/\tau}}"
    source = "Focal-InfoNCE, EMNLP 2023; the authors' code, focalNCE/models.py and run_unsup_example.sh"

    def __init__(self, temperature: Positive = 0.05, margin: Fraction = 0.3) -> None:
        super().__init__()
        self.temperature = temperature
        self.margin = margin

    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        """Return the cross-entropy of each anchor's positives."""
        s = pairs.similarity
        logits = (s.square() + (self.margin * s).masked_fill(pairs.positive, 0.0)) / self.temperature
        return cross_entropy(logits, pairs.roles)
