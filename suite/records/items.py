"""``items.npz`` of a record: the outcome of every test item, beside the result, which has its checksum."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from suite.outcomes import Outcomes, from_arrays, to_arrays
from suite.records.files import atomic_write

FILE = "items.npz"
#: Bytes of unpacked outcomes, beyond which a file is none of this suite.
LARGEST = 2**31


def write(folder: Path, outcomes: Mapping[str, Outcomes]) -> dict[str, Any]:
    """Write the outcomes of a run's test items, by metric, atomically; returns what the result says of the file.

    The same outcomes give the same bytes.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **to_arrays(outcomes))
    content = packed.getvalue()
    atomic_write(folder / FILE, lambda file: file.write(content))
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "metrics": {name: {"statistic": one.statistic, "items": one.items} for name, one in outcomes.items()},
    }


def read(file: Path, sha256: str) -> dict[str, Outcomes]:
    """Return the outcomes by metric.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not the file that the result speaks of, or holds something else than outcomes.
    """
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file} is not what its run wrote: its sha256 differs from that in the result")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > LARGEST:
            raise ValueError(f"{size} bytes when unpacked")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return from_arrays(dict(arrays))
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} holds no outcomes: {error}") from error
