"""Losses that run out of memory or hang, and benchmarks whose figures nobody could show."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from torch import Tensor

from suite.losses.base import Loss
from suite.pairs import Pairs
from suite.records.launch import Launch
from suite.training import Context, Metrics, Task
from tests.toys import Blobs, BlobsTask


class Insatiable(Loss):
    """No memory is enough."""

    def forward(self, pairs: Pairs) -> Tensor:
        raise MemoryError("out of memory")


class Shy(Loss):
    """Runs out of memory at first, and then wants to be alone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ["SUBMITIT_FOLDER"])

    def forward(self, pairs: Pairs) -> Tensor:
        if self.training:
            self.eval()
            with contextlib.suppress(FileExistsError):
                (self.folder / "shy").touch(exist_ok=False)
                raise MemoryError
            assert len(Launch(self.folder.parent).workers()) == 1, "it is not alone"
        return pairs.similarity.sum()


class Exits(Loss):
    """Ends its process, as a user's ``sys.exit()`` or argparse would."""

    def forward(self, pairs: Pairs) -> Tensor:
        raise SystemExit("no more")


class Speechless(Loss):
    """Raises what cannot tell its message."""

    class Error(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def forward(self, pairs: Pairs) -> Tensor:
        raise self.Error


class Deaf(Loss):
    """Answers no signal, or is stopped, until the file ``awake`` is in the current directory."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.calls = 0

    def forward(self, pairs: Pairs) -> Tensor:
        self.calls += 1
        if self.calls == 5 and not Path("awake").exists():
            Path("deaf").write_text(str(os.getpid()), encoding="utf-8")
            if self.how == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
            while True:
                time.sleep(1)
        return pairs.similarity.sum()


class Picky(Loss):
    """Wants no scale above 1."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, pairs: Pairs) -> Tensor:
        if self.scale > 1.0:
            raise ValueError(f"a scale of {self.scale}")
        return self.scale * pairs.similarity.sum()


class Undefined(Blobs):
    """Trains, and its accuracy is not a number."""

    def task(self, context: Context) -> Task:
        return UndefinedTask(self, context)


class UndefinedTask(BlobsTask):
    def evaluate(self, split: str) -> Metrics:
        return {"accuracy": float("nan"), "loss": 1.0}


class Ambiguous(Blobs):
    """Names two metrics that would be one in MLflow."""

    def task(self, context: Context) -> Task:
        return AmbiguousTask(self, context)


class AmbiguousTask(BlobsTask):
    def evaluate(self, split: str) -> Metrics:
        return {"accuracy": 0.5, "recall@10": 0.1, "recall_10": 0.2}
