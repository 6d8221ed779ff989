"""What whoever writes a benchmark works with: the contract of a task, and the loop that trains it."""

from suite.compute import Compute
from suite.losses.steps import Step, Training
from suite.outcomes import Outcomes
from suite.training.evaluated import Evaluated, Metrics, on_both_splits
from suite.training.loop import (
    Batches,
    Checkpoint,
    Context,
    Interrupted,
    NonFiniteLoss,
    Objective,
    Task,
    evaluate,
    train,
)
from suite.training.similarities import Histograms
from suite.training.streams import Streams

__all__ = [
    "Batches",
    "Checkpoint",
    "Compute",
    "Context",
    "Evaluated",
    "Histograms",
    "Interrupted",
    "Metrics",
    "NonFiniteLoss",
    "Objective",
    "Outcomes",
    "Step",
    "Streams",
    "Task",
    "Training",
    "evaluate",
    "on_both_splits",
    "train",
]
