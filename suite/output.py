"""What this process prints, on whatever terminal."""

from __future__ import annotations

import io
import sys


def escape_what_cannot_be_shown() -> None:
    """Print what the terminal's encoding lacks, and bytes that are no text, as escapes: never fail on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
