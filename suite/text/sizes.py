"""Numbers of bytes as people read them."""

from __future__ import annotations


def shown_bytes(size: int) -> str:
    """Return a number of bytes as people read it: ``570 bytes``, ``17.4 MB``, ``1.2 GB``."""
    if size < 1e5:
        return f"{size} bytes"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
