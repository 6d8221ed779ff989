"""Processes that work beside this one."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from suite.process import cores

MOST = 8


@contextmanager
def beside(modules: Sequence[str]) -> Iterator[Executor]:
    """Give processes, one a core, that import `modules` from now on, once for all of them.

    They are forked from a server that has nothing but these modules: a process with threads, as numpy and Arrow start
    them, is not safe to fork. An interruption is left to this process; what nobody has begun is then not done. When
    this process is killed, they end.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["analysis.processes.prepared", *modules])
    # it starts the process that notes semaphores, which leaves INT and TERM to this one, but not a terminal's HUP
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    pool = ProcessPoolExecutor(min(MOST, cores()), context, _end_with_parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    starter = ThreadPoolExecutor(1)
    try:
        # the first process comes when the server has imported everything: nobody waits for that yet
        starter.submit(pool.submit, int)
        yield _StartedInAThread(pool, starter)
    finally:
        starter.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def by_name(module: str, function: str, *arguments: Any) -> Any:
    """Call a function of a module that this process does not import, and that others have imported already."""
    return getattr(importlib.import_module(module), function)(*arguments)


def _end_with_parent() -> None:
    """Let this process end when the one that it works for is gone: its server, which lives while it does, is not."""
    threading.Thread(target=_await_end, daemon=True).start()


def _await_end() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


class _StartedInAThread(Executor):
    """Processes that a thread starts: only the main one feels an interruption.

    One between the start of a process and the note that it was started would leave it unknown: it would take an end
    that is meant for a known one, which would then be waited for in vain.
    """

    def __init__(self, pool: Executor, starter: Executor) -> None:
        self._pool, self._starter = pool, starter

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._starter.submit(self._pool.submit, fn, *args, **kwargs).result()
