"""Where workers come from: what a campaign asks of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from suite.plan.run import Run
from suite.records.launch import Launch, Worker


class LaunchError(RuntimeError):
    """Workers cannot do their work here, whatever the run."""


class Jobs(Protocol):
    """Where the workers of a launch come from."""

    launch: Launch

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Start what may be started now; if `detached`, everything: the launcher leaves.

        Raises
        ------
        LaunchError
            If that is not possible.
        """
        ...

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Replace what was lost and start what had to wait.

        Parameters
        ----------
        open_runs : mapping of key to Run
            What is not settled yet.
        is_getting_on : bool
            Whether something was settled since the last time.

        Raises
        ------
        LaunchError
            If workers die again and again without finishing anything.
        """
        ...

    def parallel(self) -> int:
        """Return how many runs are carried out at a time, at least one."""
        ...

    def workers(self) -> list[Worker]:
        """Return what the living workers are doing."""
        ...

    def notice(self) -> str:
        """Return a sentence on what is being waited for; empty if nothing needs saying."""
        ...

    def stop(self, hard: bool) -> bool:
        """End the workers, or leave them to themselves; returns whether there is nothing more to wait for."""
        ...

    def close(self) -> None:
        """Wait for what leaves within seconds."""
        ...


def kill(workers: Sequence[Worker]) -> None:
    """Kill worker processes of this machine; their runs go on from their last checkpoints."""
    for worker in workers:
        if worker.process and worker.host == socket.gethostname():
            # another user's has joined, and ends by itself where it is asked to
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(worker.process, signal.SIGKILL)


def unpatterned(folder: Path) -> Path:
    """Return a path to a folder without ``%``, by a link beside each part of it that has one.

    submitit and SLURM replace ``%j`` and its like in every path that they are given, and submitit has no escape for it.

    Raises
    ------
    OSError
        If such a link cannot be made.
    """
    for part in [*reversed(folder.absolute().parents), folder.absolute()]:
        if "%" in part.name:
            link = part.with_name(
                f".suite-{hashlib.sha256(part.name.encode(errors='surrogateescape')).hexdigest()[:12]}"
            )
            with contextlib.suppress(FileExistsError):
                _link(link, part)
            if link.resolve() != part.resolve():
                raise OSError(f"{link} is in the way: it would be the way to {part}; move it")
            return unpatterned(link / folder.absolute().relative_to(part))
    return folder.absolute()


def _link(link: Path, folder: Path) -> None:
    try:
        link.symlink_to(folder.name)
    except FileExistsError:
        raise
    except OSError as error:
        what = f"submitit and SLURM replace the % in {folder}, and a link to go around that, {link}, cannot be made"
        raise OSError(f"{what} ({error.strerror}); take a results folder without %") from error
