"""The end of a command."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this process with an exit status.

    Without what the interpreter does at its end: taking mlflow and pandas apart costs it more than a second, of which
    nobody has anything.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):  # whoever read it has seen enough
            stream.flush()
    os._exit(status)
