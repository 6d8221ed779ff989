"""A catalogue entry for files that somebody has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path


def describe(files: Sequence[Path]) -> str:
    """Return the catalogue entry of a data set made of local files, to be completed by hand.

    Parameters
    ----------
    files : sequence of Path
        Relative to the folder that the catalogue is going to be in, or absolute. The first one names the data set.
    """
    import yaml

    name = re.sub(r"[^a-z0-9]+", "_", files[0].stem.lower()).strip("_") or "data"  # what a catalogue takes
    described = {file: _digest(file) for file in files}
    entry = {
        "title": name,
        "licence": "say under which terms",
        "origin": "https://example.org/say/where/it/comes/from",
        "reference": "say which paper to cite",
        "members": {file.name: described[file] for file in files},
        "sources": [
            {"url": file.as_posix(), "file": file.name, **described[file], "members": {file.name: "."}}
            for file in files
        ],
    }
    text: str = yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True, width=120)
    return text


def _digest(file: Path) -> dict[str, str | int]:
    content = file.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
