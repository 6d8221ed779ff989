"""Processes that work beside this one."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor

MOST = 8


def begin(modules: Sequence[str]) -> Executor:
    """Start one process a core, and return while they import `modules`, once for all of them.

    They are forked from a server that has nothing but these modules: a process with threads, as numpy and Arrow start
    them, is not safe to fork.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ProcessPoolExecutor(min(MOST, cores), context)
    pool.submit(int)
    return pool
