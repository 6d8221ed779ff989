"""Array tasks whose processes begin with torch in memory, where a test is about their number and not about their lives.

SLURM starts a small client as the task's interpreter. A nursery forks the process proper, outside of SLURM's tree; the
client passes signals on, and ends as that process ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

#: What SLURM sends to processes of a task.
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGCONT)


def script(place: str) -> str:
    """Return a program that is used in place of the interpreter, for the nursery that listens at `place`."""
    return f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{place}" "{sys.executable}" "$@"\n'


def main(place: str, *command: str) -> None:
    """Be the client of a process."""
    nursery = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nursery.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    nursery.connect(place)
    for number in PASSED_ON:
        signal.signal(number, lambda number, frame: nursery.send(str(int(number)).encode()))
    request = {"command": command, "cwd": os.getcwd(), "environment": dict(os.environ)}
    kept = os.umask(0)
    os.umask(kept)
    request |= {"ignored": [], "session": True, "group": 0, "umask": kept}
    socket.send_fds(nursery, [json.dumps(request).encode()], [0, 1, 2])
    status = int(nursery.recv(100) or 70)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
