"""Checkpoints on disk: with a checksum, and the one before kept, so that a damaged file costs some steps and no run."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from suite.records.files import atomic_write
from suite.records.record import CHECKPOINTS

logger = logging.getLogger("suite")

_HEADING: Final = b"contrastive-suite checkpoint, sha256 "


def previous(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` lies."""
    return path.with_name(CHECKPOINTS[1])


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, and keep the one before it.

    Raises
    ------
    OSError
        If it cannot be written; the one before is still there.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)  # straight to the file, torch would report a full disk as an error of its own
    content = buffer.getbuffer()
    heading = _HEADING + hashlib.sha256(content).hexdigest().encode() + b"\n"
    if path.exists():
        os.replace(path, previous(path))
    atomic_write(path, lambda file: file.writelines((heading, content)))


def read(path: Path) -> bytes | None:
    """Return what the newest sound checkpoint holds, as torch saved it; None if there is none.

    A damaged one is removed, so that it never takes the place of a sound predecessor, and the log says so.
    """
    for candidate in (path, previous(path)):
        content, damage = _checked(candidate)
        if content is not None:
            if candidate != path:
                logger.warning("continuing from the checkpoint before the last: %s", candidate.name)
            return content
        if damage:
            logger.warning("%s is damaged (%s) and is not used", candidate.name, damage)
            candidate.unlink(missing_ok=True)
    return None


def _checked(file: Path) -> tuple[bytes | None, str]:
    """Return a file's content behind its heading if its checksum holds, else what is wrong; neither without a file."""
    try:
        heading, _, content = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    if not heading.startswith(_HEADING):
        return None, "its heading is missing"
    if hashlib.sha256(content).hexdigest().encode() != heading[len(_HEADING) :]:
        return None, "its checksum does not hold"
    return content, ""
