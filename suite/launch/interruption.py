"""An interruption ends a command in time, whatever it is doing: also what waits in native code or for a server."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from suite.process import leave

#: Seconds after a first Ctrl-C or TERM in which workers save and end, those in which MLflow takes what it lacks, and
#: those after which the process is ended; and those after a second one.
WORKERS_S: Final = 7.0
MIRROR_S: Final = 8.0
LAST_S: Final = 9.0
SECOND_S: Final = 1.0

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED: Final = 130


@contextlib.contextmanager
def ending_in_time(kill: Callable[[], None]) -> Iterator[None]:
    """End this process when it goes on in the block for too long after a signal for which Python has a handler.

    Python calls handlers between two steps of the main thread. Where that waits in native code there is none, so a
    thread looks on.

    Parameters
    ----------
    kill : callable () -> None
        Ends what must not outlive the process; called from the thread.
    """
    if threading.current_thread() is not threading.main_thread():  # it gets no signals
        yield
        return
    told, tells = socket.socketpair()
    tells.setblocking(False)
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(told, kill), name="interruption", daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        tells.close()
        watch.join()
        told.close()


@contextlib.contextmanager
def handling(handlers: Mapping[int, Any]) -> Iterator[None]:
    """Have signals handled otherwise in the block, as :func:`signal.signal` says.

    Only the main thread may say so. A campaign in another one, as of a notebook's own server, is not interrupted: no
    signal is meant for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(told: socket.socket, kill: Callable[[], None]) -> None:
    """Read the numbers of signals until the other end is closed or the time is over."""
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([told], [], [], left)[0]:
            break
        numbers = told.recv(64)
        if not numbers:
            return
        for _ in (number for number in numbers if number in SIGNALS):
            now = time.monotonic()
            deadline = now + LAST_S if deadline is None else min(deadline, now + SECOND_S)
    with contextlib.suppress(Exception):
        kill()
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted; the same command goes on from the last checkpoints\n")
    leave(INTERRUPTED)
