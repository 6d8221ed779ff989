"""How much memory a run takes at its peak: what decides how many runs fit side by side."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
from pathlib import Path


def start() -> None:
    """Measure from here on."""
    with contextlib.suppress(OSError):  # without it, the peak is that of the process's life so far: an upper bound
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # proc(5): resets the peak resident set size
    if _cuda_is_up():
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak() -> dict[str, float]:
    """Return the peak since :func:`start`, in MiB: ``host`` and, on a GPU, ``device`` with what the device has in all.

    The device's part is what torch reserved. The CUDA context, a few hundred MiB a process, comes on top.
    """
    found = {"host": _resident_mib()}
    if _cuda_is_up():
        import torch

        found["device"] = torch.cuda.max_memory_reserved() / 2**20
        found["device_total"] = torch.cuda.get_device_properties(0).total_memory / 2**20
    return found


def _resident_mib() -> float:
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    except OSError:
        match = None
    if match is not None:
        return int(match[1]) / 1024
    peak_size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_size / 2**20 if sys.platform == "darwin" else peak_size / 1024


def _cuda_is_up() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def oom_kills() -> int:
    """Return how many processes of this control group the kernel has killed for memory; 0 if it cannot tell."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = Path("/sys/fs/cgroup") / controllers
        for name in ("memory.events", "memory.oom_control"):
            try:
                match = re.search(
                    r"^oom_kill (\d+)", (root / path.lstrip("/") / name).read_text(encoding="utf-8"), re.MULTILINE
                )
            except OSError:
                continue
            if match is not None:
                return int(match[1])
    return 0
