"""Python, torch and devices of a machine.

torch is imported in a process of its own, so that one that is broken breaks nothing here.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from suite.doctor.findings import Finding
from suite.process import code_first

PATIENCE_S = 180.0
#: What cuBLAS needs to add in the same order every time; workers set the first unless something else is set.
REPEATABLE = (":4096:8", ":16:8")
INSTALL = "install the suite into this interpreter's environment: python -m pip install -e ."


@dataclass(frozen=True)
class Machine:
    """What a machine offers to a worker.

    Attributes
    ----------
    python, executable : str
        Version and path of the interpreter.
    torch : mapping
        As :func:`inspect` returns it, or ``{"error": why}``.
    gpus : list of str
        What ``nvidia-smi`` lists.
    variables : mapping of str to str
        Variables of the environment that change what runs compute on, where they are set.
    """

    python: str
    executable: str
    torch: Mapping[str, Any]
    gpus: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the same for another machine to read."""
        return asdict(self)


def measure() -> Machine:
    """Look at this machine; torch is imported elsewhere."""
    names = ("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS")
    variables = {name: os.environ[name] for name in names if name in os.environ}
    return Machine(platform.python_version(), sys.executable, _torch(), _nvidia_smi(), variables)


def interpreter() -> Finding:
    """Return which Python this is; an older one than 3.11 would not have come so far."""
    return Finding("python", "ok", f"Python {platform.python_version()}, {sys.executable}")


def findings(machine: Machine) -> Iterator[Finding]:
    """Yield what the measurements of torch and of the devices say."""
    yield from torch_findings(machine)
    if "error" not in machine.torch:
        yield from _devices(machine)


def torch_findings(machine: Machine) -> Iterator[Finding]:
    """Yield whether torch and torchvision can be imported."""
    torch = machine.torch
    if "error" in torch:
        yield Finding("torch", "problem", f"torch cannot be imported: {torch['error']}", INSTALL)
        return
    built = f"built for CUDA {torch['cuda']}" if torch["cuda"] else "built for the CPU alone"
    yield Finding("torch", "ok", f"torch {torch['version']}, {built}")
    if torch["torchvision_error"]:
        yield Finding("torch", "problem", f"torchvision cannot be imported: {torch['torchvision_error']}", INSTALL)


def inspect() -> dict[str, Any]:
    """Import torch here and say what it is."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        importlib.import_module("torchvision")
        torchvision_error = ""
    except Exception as error:  # whatever breaks it is what the user has to know
        torchvision_error = _line(error)
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda or "",
        "devices": [torch.cuda.get_device_name(index) for index in range(count)],
        "said": " ".join(str(caught[0].message).split()) if caught else "",
        "torchvision_error": torchvision_error,
    }


def print_inspection() -> None:
    """Print what :func:`inspect` returns, as JSON."""
    print(json.dumps(inspect()))


def _torch() -> dict[str, Any]:
    command = [sys.executable, "-c", "from suite.doctor import devices; devices.print_inspection()"]
    environment = {**os.environ, **code_first(Path(__file__).parents[2])}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it took more than {PATIENCE_S:g} s"}
    try:
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        if done.returncode < 0:
            return {"error": f"the process ended with signal {-done.returncode}"}
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return said


def _nvidia_smi() -> list[str]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            encoding="utf-8",
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.partition(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]


def _devices(machine: Machine) -> Iterator[Finding]:
    torch, listed, chosen = machine.torch, machine.gpus, machine.variables.get("CUDA_VISIBLE_DEVICES")
    seen = ", ".join(torch["devices"]) or "none"
    if not listed and not torch["devices"]:
        yield Finding("devices", "ok", "no GPU: runs compute on the CPU")
    elif not torch["cuda"]:
        what = f"nvidia-smi lists {len(listed)} GPUs, and torch is built for the CPU alone: runs would compute there"
        yield Finding("devices", "problem", what, "install a build of torch for CUDA: see pytorch.org, Get started")
    elif chosen is not None and len(torch["devices"]) < len(listed):
        what = f"CUDA_VISIBLE_DEVICES={chosen} leaves {len(torch['devices'])} of {len(listed)} GPUs: {seen}"
        yield Finding("devices", "warning", what, "unset CUDA_VISIBLE_DEVICES to use all of them")
    elif len(torch["devices"]) < len(listed):
        what = f"nvidia-smi lists {len(listed)} GPUs, torch sees {len(torch['devices'])}. {torch['said']}".rstrip()
        advice = f"the driver is too old for CUDA {torch['cuda']}, or a device is broken: nvidia-smi shows both"
        yield Finding("devices", "problem", what, advice)
    else:
        yield Finding("devices", "ok", f"torch sees {len(torch['devices'])} GPUs: {seen}")
    workspace = machine.variables.get("CUBLAS_WORKSPACE_CONFIG")
    if torch["cuda"] and workspace is not None and workspace not in REPEATABLE:
        what = f"CUBLAS_WORKSPACE_CONFIG={workspace}: on a GPU the last bits may differ from time to time"
        yield Finding("devices", "warning", what, f"unset it: workers then take {REPEATABLE[0]}")


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
