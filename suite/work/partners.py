"""One run spread over several processes: the first executes and records it, the others compute their share."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suite.data import Store as DataStore
    from suite.records.launch import Launch
    from suite.records.record import Store

logger = logging.getLogger("suite")


class Spread:
    """The processes that share a run: mostly one.

    Attributes
    ----------
    processes : int
    rank : int
    """

    def __init__(self, processes: int = 1, rank: int = 0) -> None:
        self.processes = processes
        self.rank = rank

    @classmethod
    def joined(cls) -> Spread:
        """Join the others, if the environment names any (``WORLD_SIZE``, as torchrun and submitit export it)."""
        if int(os.environ.get("WORLD_SIZE") or "1") == 1:
            return cls()
        import torch

        from suite.pairs import gather
        from suite.training import distributed

        distributed.start("cuda" if torch.cuda.is_available() else "cpu")
        return cls(gather.world_size(), gather.rank())

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that records."""
        return self.rank == 0

    def announce(self, key: str | None) -> None:
        """Tell the others which run is next; None if none is left."""
        if self.processes > 1:
            from suite.training import distributed

            distributed.from_first(key)

    def meet(self) -> None:
        """Wait for the others, for as long as they live."""
        if self.processes > 1:
            from suite.training import distributed

            distributed.meet()

    def __enter__(self) -> Spread:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the others home, unless something broke: they learn that from the broken connection."""
        if kind is None:
            self.announce(None)
        if self.processes > 1:
            from suite.training import distributed

            distributed.stop()

    def follow(self, launch: Launch, number: int) -> None:
        """Compute this process's share of every run that the first process announces, until there is none left."""
        from suite.data import Store as DataStore
        from suite.records.record import Store
        from suite.training import distributed
        from suite.work.setup import logged, prepare_process
        from suite.work.staging import Staging

        prepare_process(launch.threads(number))
        store = Store(launch.spec.out)
        with Staging(DataStore.of(launch.spec.catalogues), launch.spec.work.scratch) as staging:
            while (key := distributed.from_first(None)) is not None:
                with logged(store.record(key).folder / f"log.{self.rank}.txt"):
                    data = staging.of(launch.spec.runs[key].config.get("data", ()))
                    if staging.is_asked_for:
                        self.meet()
                    self._share(launch, store, data, key)

    def _share(self, launch: Launch, store: Store, data: DataStore, key: str) -> None:
        from suite.training import Checkpoint, Interrupted, NonFiniteLoss, train
        from suite.work.setup import build

        task, loss, context = build(launch.spec.runs[key], data, self.rank)
        checkpoint = Checkpoint(store.record(key).checkpoint, lambda: False, lambda path, state: None)
        try:
            train(task, loss, context.streams, checkpoint=checkpoint, compute=context.compute)  # type: ignore[arg-type]
        except (Interrupted, NonFiniteLoss) as error:
            logger.info("%s; the first process records it", error)
