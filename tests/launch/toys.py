"""Losses that run out of memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from torch import Tensor

from suite.losses.base import Loss
from suite.pairs import Pairs
from suite.records.launch import Launch


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
