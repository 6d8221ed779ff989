"""Data on a node's own disk: copied there once, before the time of a run is taken, for as long as workers use it.

Copies are made as data sets are fetched, under a lock and by checksum, with the cache as the mirror. Where that cannot
be done, data is read where it lies, and the run's log says why.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final

from suite.data import DataError, Dataset
from suite.data import Store as DataStore
from suite.data.recorded import Recorded
from suite.records.files import held, in_use

logger = logging.getLogger("suite")

#: What is left free on a node's disk, for whatever else runs there.
RESERVE_BYTES: Final = 64 * 2**20


class Staging:
    """A worker's part in what is staged on its node; a context, behind which the last worker removes it.

    Parameters
    ----------
    data : suite.data.Store
        Where data lies.
    scratch : str or None
        The launcher's `scratch`, with variables of this node; None stages nothing.
    """

    def __init__(self, data: DataStore, scratch: str | None) -> None:
        self._data = data
        self._scratch = scratch
        self._folder: Path | None = None
        self._open = contextlib.ExitStack()

    @property
    def is_asked_for(self) -> bool:
        """Whether the launcher names a folder."""
        return self._scratch is not None

    def __enter__(self) -> Staging:
        """Return itself; what is staged is first looked for when a run needs data."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was staged, unless other workers use it."""
        self._open.close()

    def of(self, names: Iterable[str]) -> DataStore:
        """Return the store to read data sets from, having copied to this node what is not there yet.

        Parameters
        ----------
        names : iterable of str
            Of data sets.
        """
        wanted = list(names)
        if self._scratch is None or not wanted:
            return self._data
        try:
            known = {name: self._known(name) for name in wanted}
            folder = self._entered(self._scratch)
            staged = DataStore({**self._data.catalogue, **known}, folder)
            with held(folder / "staging.lock", math.inf):
                lacking = staged.missing(wanted)
                _check_room(folder, sum(known[name].size for name in lacking))
                staged.fetch(lacking, mirror=self._data.root, offline=True)
        except (DataError, OSError) as error:
            logger.warning("data is read from %s, not from this node's own disk: %s", self._data.root, error)
            return self._data
        if lacking:
            logger.info("copied %s to %s", ", ".join(lacking), folder)
        return staged

    def _known(self, name: str) -> Dataset:
        """Return a data set with the checksums that were recorded of what its catalogue does not pin.

        Raises
        ------
        DataError
            If none were: a copy would be held to nothing.
        """
        dataset = self._data.dataset(name)
        known = replace(dataset, members=Recorded(self._data.root).members(dataset))
        if known.unpinned:
            raise DataError(f"{name} was not fetched: nobody knows what {', '.join(known.unpinned)} must be")
        return known

    def _entered(self, scratch: str) -> Path:
        """Return the folder of this user on this node, counting as one who uses it.

        Raises
        ------
        OSError
            If there is none, and none can be made.
        """
        if self._folder is None:
            folder = _folder(scratch)
            self._open.enter_context(in_use(folder / "in-use.lock", lambda: shutil.rmtree(folder, ignore_errors=True)))
            self._folder = folder
        return self._folder


def _folder(scratch: str) -> Path:
    """Make and return a folder that no other user can write.

    Raises
    ------
    OSError
        If a variable is not set here, or the folder is another user's.
    """
    place = Path(os.path.expandvars(scratch)).expanduser()
    if "$" in str(place) or not place.is_absolute():
        raise OSError(f"launcher.scratch is {scratch}, of which this node makes {place}")
    folder = place / f"contrastive-suite-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to somebody else")
    return folder


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed and needed + RESERVE_BYTES > free:
        raise OSError(
            f"{folder} has room for {max(0, free - RESERVE_BYTES) / 1e6:.1f} MB, and {needed / 1e6:.1f} are needed"
        )
