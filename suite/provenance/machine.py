"""Where a result comes from: code, packages, hardware."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.provenance.definitions import is_file, module_of, named
from suite.text.masking import masked

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "hydra-core", "submitit", "mlflow")


def changed_modules(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the modules, and parts of them, that differ between two fingerprints of code, with what happened to them.

    A fingerprint of an earlier version of the suite holds a whole module where one of today holds parts of it: it
    agrees as long as the file is the same.
    """
    if before == now:
        return []
    changed = [named(entry) for entry in before if entry in now and before[entry] != now[entry]]
    gone = [entry for entry in before if entry not in now and not is_file(entry, before[entry])]
    parted = {module_of(entry) for entry in now}
    told = [entry if entry in parted else f"{named(entry)} (no longer used)" for entry in gone]
    new = [f"{named(one)} (newly used)" for one in now if one not in before and module_of(one) not in before]
    return sorted([*changed, *told, *new])


def from_git(folder: Path, *arguments: str) -> str | None:
    """Return what git says in a folder; None if it fails.

    Of the shell's ``GIT_...`` it is told its settings alone: in a hook, or under ``git rebase --exec``, others name a
    repository, whatever the folder.
    """
    command = ["git", "-C", str(folder), *arguments]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("GIT_") or n.startswith("GIT_CONFIG")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # never in the way of what the user does there
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout)


@functools.cache
def git() -> str:
    """Return the commit of this checkout, ``+dirty`` if it has changes; ``unknown`` where git does not track it."""
    file = Path(__file__).resolve()
    commit = from_git(file.parent, "rev-parse", "HEAD")
    # an environment in a folder that somebody's repository ignores is not of that repository
    if commit is None or from_git(file.parent, "ls-files", "--error-unmatch", "--", file.name) is None:
        return "unknown"
    changes = from_git(file.parent, "status", "--porcelain")
    return "unknown" if changes is None else commit.strip() + ("+dirty" if changes else "")


@functools.cache
def packages() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@functools.cache
def processor() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def collect(device: str, threads: int, processes: int = 1) -> dict[str, Any]:
    """Return the provenance of a run that is about to start here.

    Parameters
    ----------
    device : str
        What it computes on, e.g. ``cpu`` or ``NVIDIA H200``.
    threads : int
        Threads that it computes with: with processor and packages, what bit-identical results depend on.
    processes : int
        Processes that it is spread over.
    """
    return {
        "git": git(),
        "python": platform.python_version(),
        "packages": packages(),
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "device": device,
            "threads": threads,
            "processes": processes,
            "system": platform.platform(),
        },
        "host": socket.gethostname(),
        "command": [masked(part) for part in sys.argv],
    }
