"""Named random streams of one seed.

Every draw is a function of (seed, name of the stream, counters) and of nothing else: not of what was drawn before, of
the loss, or of the process. So all losses of one benchmark and seed share initial weights, data order and augmentation
draws (paired seeds), and a run that resumes at step n draws what it would have drawn.

Where several processes share a run, each draws for its own part of the batch: what is drawn at counters (an epoch, a
step) differs between processes, but for the first of them, which draws as if it were alone. What is drawn without
counters (weights, a split, a queue) is drawn once for the run and is the same in all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Streams:
    """The random streams of one seed.

    Parameters
    ----------
    seed : int
        Non-negative.
    process : int
        The number of this process among those that share the run.
    """

    def __init__(self, seed: int, process: int = 0) -> None:
        self.seed = seed
        self.process = process

    @property
    def shared(self) -> Streams:
        """The streams of the first process, for draws at counters that have to be the same in all."""
        return Streams(self.seed)

    def sequence(self, name: str, *counters: int) -> np.random.SeedSequence:
        """Return the seed sequence of a stream at the given counters (epoch, step, ...)."""
        if self.process and counters:
            name = f"{name}\0{self.process}"
        name_key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return np.random.SeedSequence(entropy=self.seed, spawn_key=(name_key, *counters))

    def numpy(self, name: str, *counters: int) -> np.random.Generator:
        """Return a fresh NumPy generator for a stream at the given counters."""
        return np.random.default_rng(self.sequence(name, *counters))

    def torch(self, name: str, *counters: int, device: torch.device | str = "cpu") -> torch.Generator:
        """Return a fresh torch generator for a stream at the given counters, on `device`."""
        return torch.Generator(device=device).manual_seed(self._word(name, *counters))

    @contextmanager
    def seeded(self, name: str, *counters: int) -> Iterator[None]:
        """Seed torch's default generators inside the block and restore them after it.

        For what takes no generator: the initialisers and the dropout of ``torch.nn``.
        """
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            word = self._word(name, *counters)
            # torch.manual_seed would note, with its stack, every call for a CUDA that is not there: half a millisecond
            torch.default_generator.manual_seed(word)
            if devices:
                torch.cuda.manual_seed(word)
            yield

    def _word(self, name: str, *counters: int) -> int:
        return int(self.sequence(name, *counters).generate_state(1, np.uint64)[0] >> 1)
