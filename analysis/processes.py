"""Processes that work beside this one."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

MOST = 8


@contextmanager
def beside(modules: Sequence[str]) -> Iterator[Executor]:
    """Give processes, one a core, that import `modules` from now on, once for all of them.

    They are forked from a server that has nothing but these modules: a process with threads, as numpy and Arrow start
    them, is not safe to fork. An interruption is left to this process; what nobody has begun is then not done.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["analysis.uninterrupted", *modules])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ProcessPoolExecutor(min(MOST, cores), context)
    # the first process comes when the server has imported everything: nobody waits for that yet
    start = threading.Thread(target=pool.submit, args=(int,))
    start.start()
    try:
        yield pool
    finally:
        start.join()
        pool.shutdown(cancel_futures=True)
