"""The process itself: what it may compute on, what other processes take over from it, and its end."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

#: Variables by which libraries learn at their import how many threads to start.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: by numbers or identities."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return list(takewhile(_is_device, (part.strip() for part in visible.split(","))))
    program = shutil.which("nvidia-smi")
    return [str(number) for number in range(_listed(program))] if program else []


def _is_device(name: str) -> bool:
    """Whether CUDA would take a name; it stops at the first that it does not, as at ``-1``."""
    return name.isdigit() or name.startswith(("GPU-", "MIG-"))


@functools.cache
def _listed(program: str) -> int:
    """Return how many GPUs `program` lists; asked once, as a launcher wants to know several times a second."""
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, timeout=10, check=True, encoding="utf-8", errors="replace"
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(listed.splitlines())


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def code_first(folder: Path) -> dict[str, str]:
    """Return the variables with which a Python process imports from `folder` before anything else.

    What this process was told to import from comes next; the current directory, which ``python -m`` would put first,
    does not come in.
    """
    inherited = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {"PYTHONPATH": os.pathsep.join([str(folder), *inherited]), "PYTHONSAFEPATH": "1"}


def importable() -> list[str]:
    """Return this process's import path, for a process in another folder to :func:`import_from`."""
    return [os.path.abspath(entry) for entry in sys.path]


def import_from(entries: Iterable[str]) -> None:
    """Append to the import path what another process could import from: a user's own losses among it."""
    sys.path.extend(entry for entry in entries if entry not in sys.path)


def signal_at_parents_death(number: int) -> None:
    """Let the kernel send this process a signal when its parent dies; on Linux only."""
    pr_set_pdeathsig = 1  # prctl(2)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def leave(status: int) -> NoReturn:
    """End this process with an exit status, and without what the interpreter does at its end.

    Taking torch, mlflow and pandas apart costs the interpreter more than a second.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # its reader has left
            stream.flush()
    os._exit(status)
