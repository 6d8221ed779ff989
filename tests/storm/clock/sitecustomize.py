"""Imported by Python processes with another time: lets them sleep.

libfaketime, told to leave the monotonic clock alone (threads that wait would otherwise wait for ever), gives the kernel
a deadline that it refuses: :func:`time.sleep` raises ``OSError: [Errno 22] Invalid argument``.
"""

import select
import time


def sleep(seconds: float) -> None:
    """Sleep as :func:`time.sleep` does, which goes on after a signal, too."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep
