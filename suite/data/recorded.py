"""The checksums of what the catalogue does not pin: recorded when it is first fetched, and held from then on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite.data.dataset import Dataset, Member
from suite.data.errors import writing
from suite.problems import DataError
from suite.records.files import held, write_json

FILE = "recorded.json"
"""In the cache folder: ``{data set: {member: {sha256, size, from, on}}}``."""


@dataclass(frozen=True)
class Recorded:
    """What was recorded in a cache folder.

    Parameters
    ----------
    root : Path
        The cache folder.
    """

    root: Path

    def entries(self, dataset: str) -> dict[str, dict[str, Any]]:
        """Return what is recorded of a data set, member by member.

        Raises
        ------
        DataError
            If the file is damaged: what was held is not known any more, so nothing may be taken for it.
        """
        return self._all().get(dataset, {})

    def members(self, dataset: Dataset) -> Mapping[str, Member]:
        """Return the members of a data set, those that are not pinned with what is recorded of them, if it is."""
        if not dataset.unpinned:
            return dataset.members
        known = self.entries(dataset.name)
        return {
            name: replace(member, sha256=known[name]["sha256"], size=known[name]["size"])
            if not member.pinned and name in known
            else member
            for name, member in dataset.members.items()
        }

    def checksums(self, dataset: Dataset) -> dict[str, str]:
        """Return the recorded sha256 of the members that are not pinned; members not fetched yet are left out."""
        known = self.entries(dataset.name) if dataset.unpinned else {}
        return {name: known[name]["sha256"] for name in dataset.unpinned if name in known}

    def record(self, dataset: str, member: str, sha256: str, size: int, origin: str) -> None:
        """Note what a member is from now on."""
        entry = {"sha256": sha256, "size": size, "from": origin, "on": time.strftime("%Y-%m-%d", time.gmtime())}
        with writing(self.root / FILE), held(self.root / ".fetch" / "recorded.lock", math.inf):
            found = self._all()
            found.setdefault(dataset, {})[member] = entry
            write_json(self.root / FILE, found)

    def forget(self, dataset: str) -> None:
        """Take the next files that come for a data set as they are."""
        with writing(self.root / FILE), held(self.root / ".fetch" / "recorded.lock", math.inf):
            found = self._all()
            if found.pop(dataset, None) is not None:
                write_json(self.root / FILE, found)

    def _all(self) -> dict[str, dict[str, dict[str, Any]]]:
        path = self.root / FILE
        try:
            found = json.loads(path.read_bytes())
            for members in found.values():
                for entry in members.values():
                    str(entry["sha256"]), int(entry["size"])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path} is damaged, so that nobody knows what the data that is not pinned was: {error!r}. Put a copy "
                "of it back, or remove it, and fetch anew: the checksums that runs had are in their records"
            ) from error
        return dict(found)
