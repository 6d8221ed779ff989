"""The process itself: what it may compute on, what other processes take over from it, and its end.

What a site, a job around us or a shell sets does not decide what the suite starts: dropped are the variables of SLURM's
commands and of the job that the launcher may itself run in, and those by which the processes of a spread run find each
other. What says where SLURM is and who asks it stays, and so does all the rest: ``PATH``, ``LD_LIBRARY_PATH``,
``CUDA_VISIBLE_DEVICES``, proxies, credentials.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final, NoReturn

#: Variables by which libraries learn at their import how many threads to start.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

KEPT: Final = frozenset({"SLURM_CONF", "SLURM_JWT", "SLURM_SACK_KEY", "SLURM_SACK_SOCKET"})
"""Of SLURM's variables, those that say where its controller is and prove who asks."""

RENDEZVOUS: Final = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("NODE_RANK", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME"),
)
"""Variables by which the processes of one training find each other: as torchrun, and some job prologues, set them."""

_FOREIGN: Final = re.compile(
    r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|SQUEUE|SACCT|SACCTMGR|SINFO|SCANCEL|SCONTROL|SPRIO|SSHARE|SSTAT)_\w+"
    r"|SUBMITIT_\w+|TORCHELASTIC_\w+|PMI_\w+|PMIX_\w+|OMPI_\w+"
    r"|OMP_\w+|GOMP_\w+|KMP_\w+|MKL_\w+|OPENBLAS_\w+|" + "|".join(RENDEZVOUS)
)

#: Text is UTF-8 whatever the locale, and what is printed never fails on a character.
TEXT: Final = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}

#: For workers on nodes: hubs are not asked, as data is fetched before. What a user has set counts.
OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


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


def is_foreign(name: str) -> bool:
    """Whether a variable would decide, from outside, what the suite decides itself."""
    return name not in KEPT and _FOREIGN.fullmatch(name) is not None


def own_environment(**added: str) -> dict[str, str]:
    """Return the environment for a command or process that the suite starts, with some variables of its own."""
    return {name: value for name, value in os.environ.items() if not is_foreign(name)} | TEXT | added


@contextlib.contextmanager
def in_own_environment(added: Mapping[str, str] | None = None) -> Iterator[None]:
    """Give the block, and what a library starts in it, the environment of :func:`own_environment`."""
    names = [name for name in os.environ if is_foreign(name)]
    given = TEXT | dict(added or {})
    before = {name: os.environ.get(name) for name in (*names, *given)}
    for name in names:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def has_a_home() -> bool:
    """Whether this user has a home, by ``HOME`` or in passwd."""
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def have_a_home() -> None:
    """Name a home where this user has none, neither by ``HOME`` nor in passwd: MLflow cannot be imported without.

    It lies in the folder for data sets, the only one that such a user has named.
    """
    folder = os.environ.get("SUITE_DATA_DIR")
    if folder and not has_a_home():
        os.environ["HOME"] = os.path.join(os.path.abspath(folder), "home")


def name_files_in_utf_8() -> None:
    """Begin this process anew where its locale has another encoding for the names of files than UTF-8.

    Processes that the suite starts have UTF-8, see :data:`TEXT`: a path that one of them writes down would be another
    one for the next. The terminal keeps its encoding.
    """
    # what is set already did not help: python -X utf8=0, or -E
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, sys.orig_argv)


def have_streams() -> None:
    """Read from and print to nowhere where the caller has closed a standard stream.

    Else the next file to be opened, here or in a process that is started, would get its number and what is printed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def escape_what_cannot_be_shown() -> None:
    """Print what the terminal's encoding lacks, and bytes that are no text, as escapes: never fail on them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
