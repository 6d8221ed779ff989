"""Folders that several people write into."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

SHARED: Final = stat.S_ISGID | stat.S_IWGRP
"""The permissions by which a folder is known to be a group's: what is made in it belongs to that group."""


def permission_advice(error: PermissionError) -> str:
    """Return what to do about a file or folder that this user may not write."""
    folder = nearest_folder(Path(os.fsdecode(error.filename or ".")))
    owner = _owner(folder)
    return (
        f"{folder} belongs to {owner}: write elsewhere (--out), or let its owner share it with a group: "
        f"chgrp -R GROUP {folder}, chmod -R g+rwX {folder}, find {folder} -type d -exec chmod g+s {{}} +; "
        "from then on whatever writes there keeps it so (a new folder: launcher.share=group)"
    )


def nearest_folder(path: Path) -> Path:
    """Return the folder that a path is in, or the closest one above that exists."""
    return next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))


def share_with_group(folder: Path) -> None:
    """Let the group of a folder write into it, and into everything that this process and its children make there."""
    _let_the_group_write()
    folder.mkdir(parents=True, exist_ok=True)
    for one in (folder, *(entry for entry in folder.iterdir() if entry.is_dir())):
        with contextlib.suppress(PermissionError):  # another's, who has shared it already
            one.chmod(one.stat().st_mode | stat.S_IRWXG | stat.S_ISGID)


def follow_sharing(folder: Path) -> None:
    """Let the group write what this process and its children make from now on, if a folder is shared with one."""
    if _is_shared(folder):
        _let_the_group_write()


def keep_shared(file: Path) -> None:
    """Let the group write a file that a library made with permissions of its own, if its folder is shared."""
    if _is_shared(file.parent):
        file.chmod(file.stat().st_mode | stat.S_IRGRP | stat.S_IWGRP)


def _is_shared(folder: Path) -> bool:
    try:
        return folder.stat().st_mode & SHARED == SHARED
    except OSError:
        return False


def _let_the_group_write() -> None:
    os.umask(os.umask(0o007) & ~0o070)  # of another thread, what is made meanwhile is the group's, too


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except (KeyError, OSError):
        return f"user {folder.stat().st_uid}"
