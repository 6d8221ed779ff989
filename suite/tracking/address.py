"""Tracking addresses: built from paths and taken apart in one place, so that no path is ever read as part of a URI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

#: The drivers of SQLAlchemy that keep a database in a file.
_SQLITE = re.compile(r"sqlite(?:\+pysqlite)?:///([^?]*)(\?.*)?", re.DOTALL)
#: What SQLAlchemy leaves as it is in the path of an address.
_PLAIN = " +/"


def default_uri(out: Path, uri: str | None = None) -> str:
    """Return the tracking address: `uri`, else ``MLFLOW_TRACKING_URI``, else a SQLite file in `out`."""
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return sqlite_uri(out.resolve() / "mlflow.db")
    file = sqlite_file(given)
    return given if file is None else sqlite_uri(file, options_of(given))


def sqlite_uri(file: Path, options: str = "") -> str:
    """Return the address of a SQLite file.

    Parameters
    ----------
    file : Path
        Any path: percent signs, question marks and hashes in it are quoted.
    options : str
        What follows the path, as in ``?timeout=30``.
    """
    quoted = quote(os.fsencode(file), safe=_PLAIN)
    # MLflow makes the folders of a path behind `sqlite:///` without unquoting it: with the driver named, it leaves that
    # to us.
    scheme = "sqlite" if quoted == str(file) else "sqlite+pysqlite"
    return f"{scheme}:///{quoted}{options}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file behind a SQLite address, None for any other address."""
    match = _SQLITE.fullmatch(uri)
    if match is None or match[1] in ("", ":memory:") or match[1].startswith("file:"):
        return None
    return Path(unquote(match[1], errors="surrogateescape"))


def options_of(uri: str) -> str:
    """Return what follows the path of a SQLite address, as in ``?timeout=30``; empty without it."""
    match = _SQLITE.fullmatch(uri)
    return (match[2] or "") if match is not None else ""
