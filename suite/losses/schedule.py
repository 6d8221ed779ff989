"""A temperature that oscillates over training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import torch
from torch import Tensor

from suite.losses.base import LogitLoss
from suite.losses.exponentials import Exponential, of_temperature
from suite.losses.steps import Step, Training
from suite.pairs import Pairs
from suite.parameters import Positive

FOLLOWS: Final = (
    "TemperatureSchedule follows the training: call loss.prepare(training) once and loss.start(training.step(index)) "
    "before each step, with training = suite.losses.steps.Training(samples, epochs, steps_per_epoch)"
)


class TemperatureSchedule(LogitLoss):
    """InfoNCE at tau(e) = tau_min + (tau_max - tau_min)(1 + cos(2 pi e / period)) / 2 in epoch e.

    Kukleva et al. 2023, arXiv 2303.13664. The authors' code has period 400 epochs, whatever the length of training;
    their Algorithm 1 gives the period as a parameter T. The two agree at T = 400.

    Parameters
    ----------
    tau_min, tau_max : float
        Of the authors' runs.
    period : float
        Epochs of one full oscillation, or its share of the training.
    per : "epoch", "step" or "training"
        Whether e is the whole epoch, as published; or grows with every step; or is the share of the training that is
        behind, so that one setting suits trainings of any length.

    Raises
    ------
    ValueError
        If tau_min exceeds tau_max.
    """

    equation = (
        r"-\log \frac{e^{s_+/\tau}}{\sum_j e^{s_j/\tau}},\ "
        r"\tau = \tau_{\min} + \tfrac{1}{2}(\tau_{\max} - \tau_{\min})(1 + \cos \tfrac{2\pi e}{T})"
    )
    source = "Kukleva et al. 2023, arXiv 2303.13664, Algorithm 1; period 400 epochs in the authors' code"
    needs = "the epoch"

    def __init__(
        self,
        tau_min: Positive = 0.1,
        tau_max: Positive = 1.0,
        period: Positive = 400.0,
        per: Literal["epoch", "step", "training"] = "epoch",
    ) -> None:
        super().__init__()
        if tau_min > tau_max:
            raise ValueError(f"tau_min must not exceed tau_max, got {tau_min} and {tau_max}")
        self.tau_min = tau_min
        self.tau_max = tau_max
        self.period = period
        self.per = per
        self._temperature: float | None = None
        self._training: Training | None = None

    @property
    def temperature(self) -> float:
        """The temperature of the step.

        Raises
        ------
        ValueError
            Before the first call of :meth:`start`.
        """
        if self._temperature is None:
            raise ValueError(FOLLOWS)
        return self._temperature

    def prepare(self, training: Training) -> None:
        """Note the length of the training."""
        self._training = training

    def start(self, step: Step) -> None:
        """Set the temperature of a step.

        Raises
        ------
        ValueError
            If it depends on the length of the training, and :meth:`prepare` was not called.
        """
        if self.per == "epoch":
            time: float = step.epoch
        elif self._training is None:
            raise ValueError(FOLLOWS)
        else:
            time = step.index / (self._training.steps_per_epoch if self.per == "step" else self._training.steps)
        wave = 0.5 * (1.0 + math.cos(2.0 * math.pi * time / self.period))
        self._temperature = self.tau_min + (self.tau_max - self.tau_min) * wave

    def logits(self, similarity: Tensor) -> Tensor:
        """Return s / tau."""
        return similarity / self.temperature

    def exponential(self, dtype: torch.dtype, shared: Any) -> Exponential | None:
        """Return e^(s / tau), unless it would overflow."""
        return of_temperature(self.temperature, dtype)

    def diagnostics(self, pairs: Pairs) -> Mapping[str, float]:
        """Return the temperature of the step."""
        return {"temperature": self.temperature}
