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

from suite.text.masking import masked

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "hydra-core", "submitit", "mlflow")


def changed_modules(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the modules that differ between two fingerprints of code, with what happened to them."""
    if before == now:
        return []
    changed = [module for module in before if module in now and before[module] != now[module]]
    gone = [f"{module} (no longer used)" for module in before if module not in now]
    new = [f"{module} (newly used)" for module in now if module not in before]
    return sorted([*changed, *gone, *new])


@functools.cache
def git() -> str:
    """Return the commit of this checkout, ``+dirty`` if it has changes; ``unknown`` outside git."""
    folder = Path(__file__).resolve().parent

    def run(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(
            command, capture_output=True, check=True, timeout=10, encoding="utf-8", errors="replace"
        ).stdout.strip()

    try:
        return run("rev-parse", "HEAD") + ("+dirty" if run("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


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
