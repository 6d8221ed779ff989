"""The contract of a benchmark."""

from __future__ import annotations

from typing import Protocol

from suite.training import Context, Task


class Benchmark(Protocol):
    """A recipe: a dataclass whose fields are the settings of the registry's profiles.

    ``benchmark.task(context)`` loads the data and draws the initial weights for one seed.

    A run of it may be spread over several processes if the class says ``distributed: ClassVar[bool] = True``. Then its
    objective is that of this process's items, which :class:`~suite.training.Batches` gives; its pairs come from
    :mod:`suite.pairs`, which gathers; and neither ``evaluate`` nor ``diagnostics`` gathers anything.
    """

    def task(self, context: Context) -> Task:
        """Return the task of the context's seed, ready to be trained or evaluated."""
        ...
