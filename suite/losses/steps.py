"""Where training stands, and how long it is: what a benchmark and a loss are told of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Where training stands: `index` counts all steps from 0, `epoch` and `within` split it."""

    index: int
    epoch: int
    within: int


@dataclass(frozen=True)
class Training:
    """How large the training is: `samples` in the training set, `epochs`, and `steps_per_epoch`."""

    samples: int
    epochs: int
    steps_per_epoch: int

    def step(self, index: int) -> Step:
        """Return step number `index`, split into its epoch and its place within it."""
        return Step(index, index // self.steps_per_epoch, index % self.steps_per_epoch)

    @property
    def steps(self) -> int:
        """All steps of the training."""
        return self.epochs * self.steps_per_epoch
