"""Processes that share a run, on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from random import SystemRandom
from typing import Any

import torch
from torch import multiprocessing

from suite.training import distributed

Work = Callable[[int, Path], Any]

#: No answer in this time is a failed test, not a slow machine.
DEADLINE = timedelta(minutes=2)


def free_port() -> str:
    """Return a port below those that the kernel hands out: nothing takes it until the processes meet there."""
    for port in SystemRandom().sample(range(10_000, 20_000), 100):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return str(port)
    raise AssertionError("no free port")


def of_torchrun(number: int, count: int, port: str) -> Mapping[str, str]:
    return {"RANK": str(number), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def of_submitit(number: int, count: int, port: str) -> Mapping[str, str]:
    """Return what submitit sets in a job of several tasks."""
    variables = {"JOB_ID": port, "NTASKS": count, "GLOBALID": number, "LOCALID": number, "NNODES": 1, "NODEID": 0}
    named = {f"SUBMITIT_LOCAL_{name}": str(value) for name, value in variables.items()}
    return {"SUBMITIT_EXECUTOR": "local", "MASTER_PORT": port, **named}


def started(
    count: int,
    work: Work,
    folder: Path,
    environment: Callable[[int, int, str], Mapping[str, str]] = of_torchrun,
    timeout: timedelta = DEADLINE,
) -> list[Any]:
    """Start processes that join, do `work` and save what it returns; see :func:`result_of`."""
    port, server = free_port(), multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([work.__module__])  # imported once for all of them
    processes = [
        server.Process(target=_be, args=(number, work, folder, environment(number, count, port), timeout), daemon=True)
        for number in range(count)
    ]
    for process in processes:
        process.start()
    return processes


def result_of(number: int, process: Any, folder: Path) -> Any:
    """Return what a process's work returned, once it has ended."""
    process.join(DEADLINE.total_seconds())
    assert process.exitcode == 0, f"process {number} ended with {process.exitcode}"
    return torch.load(folder / f"{number}.pt", weights_only=False)


def results(count: int, work: Work, folder: Path, **options: Any) -> list[Any]:
    """Return what each of some processes returns for the same work."""
    processes = started(count, work, folder, **options)
    return [result_of(number, process, folder) for number, process in enumerate(processes)]


def _be(number: int, work: Work, folder: Path, environment: Mapping[str, str], timeout: timedelta) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment)
    distributed.start("cpu", timeout)
    torch.save(work(number, folder), folder / f"{number}.pt")
    distributed.stop()
