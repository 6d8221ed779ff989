"""The environment of what the suite starts: what a site, a job around us or a shell sets does not decide there.

Dropped are the variables of SLURM's commands and of the job that the launcher may itself run in, and those by which the
processes of a spread run find each other. What says where SLURM is and who asks it stays, and so does all the rest:
``PATH``, ``LD_LIBRARY_PATH``, ``CUDA_VISIBLE_DEVICES``, proxies, credentials.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

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
