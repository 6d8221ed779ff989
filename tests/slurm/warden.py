"""Runs a command that dies with whoever started it, together with every process that came of it.

``python warden.py COMMAND ...`` ends when the command does, or when its standard input closes: a parent that is killed
closes its pipes, whatever it was doing. Daemons that detach themselves come back to the warden (a "subreaper").
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import threading

import psutil

PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run the command; return its exit status once nothing is left of it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_kill_at_end_of_input, args=(child.pid,), daemon=True).start()
    status = None
    while status is None:
        pid, ended = os.waitpid(-1, 0)
        if pid == child.pid:
            status = os.waitstatus_to_exitcode(ended)
    _kill_descendants()
    return status if status >= 0 else 128 - status


def _kill_at_end_of_input(pid: int) -> None:
    sys.stdin.read()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


def _kill_descendants() -> None:
    while left := psutil.Process().children(recursive=True):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
