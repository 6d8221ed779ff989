"""Names of metrics and parameters, and texts, as every MLflow store takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

#: MLflow takes 250 characters; the rest is for what a name may grow by when it is cleaned.
NAME_LIMIT: Final = 240
_UNNAMED: Final = ("", ".", "..")
"""Parts of a path that lead elsewhere: MLflow may keep a metric as a file, and takes neither ``a//b`` nor ``a/``."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean_name(name: str) -> str:
    """Return the name under which MLflow has a metric or a parameter: what it refuses is replaced by ``_``."""
    cleaned = re.sub(r"[^\w\-./: ]", "_", clean_text(name))[:NAME_LIMIT]
    parts = ("_" * max(1, len(part)) if part in _UNNAMED else part for part in cleaned.split("/"))
    joined = "/".join(parts)
    return joined if len(joined) <= NAME_LIMIT else f"{joined[: NAME_LIMIT - 1]}_"


def is_path(name: str) -> bool:
    """Whether a name is a plain path, so that MLflow takes it behind ``val/`` and ``test/`` without renaming parts."""
    return len(f"test/{name}") <= NAME_LIMIT and not any(part in _UNNAMED for part in name.split("/"))


def clashes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of different names that become one in MLflow, where one value would replace the other."""
    known: dict[str, str] = {}
    found = []
    for name in names:
        first = known.setdefault(clean_name(name), name)
        if first != name:
            found.append((first, name))
    return found


def clean_text(text: str) -> str:
    """Escape what no database takes, and what a terminal would obey.

    These are bytes that are no text (as in undecodable file names), and control characters but for tabs and the ends of
    lines.
    """
    return _CONTROL.sub(lambda found: rf"\x{ord(found[0]):02x}", text.encode(errors="backslashreplace").decode())
