"""What a registry declared when its runs were started, kept in the results folder: the claims that are judged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.records.files import read_json, write_json
from suite.registry.claims import Declared
from suite.registry.registry import Registry


@dataclass(frozen=True)
class Kept:
    """What is kept of a registry.

    Attributes
    ----------
    file : Path
        The registry.
    sha256 : str
        Of that file, as it was.
    declared : Declared
    """

    file: Path
    sha256: str
    declared: Declared

    @property
    def is_edited(self) -> bool:
        """Whether the file is there and holds something else now."""
        return self.file.is_file() and _sha256(self.file) != self.sha256


def keep(registry: Registry, out: Path) -> None:
    """Write into a results folder what a registry declares, in place of what its experiment declared before.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    content: dict[str, Any] = {
        "registry": str(registry.file),
        "sha256": _sha256(registry.file),
        "experiment": registry.document.experiment,
        "declared": registry.declared.to_json(),
    }
    file = _file(out, registry.document.experiment)
    if read_json(file) != content:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)


def kept(out: Path, experiment: str) -> Kept | None:
    """Return what was kept of the registry of an experiment; None if nothing was, or nothing that can be read."""
    content = read_json(_file(out, experiment))
    try:
        if content is None:
            return None
        return Kept(Path(content["registry"]), str(content["sha256"]), Declared.from_json(content["declared"]))
    except (KeyError, TypeError, ValueError):
        return None  # by another version of the suite: as if it were not there


def _file(out: Path, experiment: str) -> Path:
    return out / "registries" / f"{hashlib.sha256(experiment.encode()).hexdigest()[:16]}.json"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
