"""The beginning of a training at published settings, which are too large to be trained to the end in a test."""

import pytest

from suite.losses import InfoNCE
from suite.training import Interrupted, Step, Task, train


def train_three_steps(task: Task, temperature: float) -> None:
    """Train a task with InfoNCE, and stop it after three steps."""
    seen: list[Step] = []
    with pytest.raises(Interrupted):
        train(
            task,
            InfoNCE(temperature),
            task.context.streams,
            report=lambda step, metrics: seen.append(step),
            stop=lambda: len(seen) == 3,
        )
