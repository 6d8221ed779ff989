"""A benchmark whose training waits half-way until a file appears: a test says how long a run is in progress."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from suite.training import Context, Objective, Step, Task
from tests.toys import Blobs, BlobsTask

GATE = "SUITE_TEST_GATE"


@dataclass(frozen=True)
class GatedBlobs(Blobs):
    """Blobs that wait at a gate; where the gate is does not enter the key."""

    def task(self, context: Context) -> Task:
        return GatedTask(self, context)


class GatedTask(BlobsTask):
    def objective(self, step: Step) -> Objective:
        while step.index == self.epochs * self.steps_per_epoch // 2 and not Path(os.environ[GATE]).exists():
            time.sleep(0.02)
        return super().objective(step)
