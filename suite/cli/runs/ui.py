"""``python -m suite ui``: MLflow's own page on the results."""

from __future__ import annotations

import argparse
import os
import sys

from suite.text.masking import masked
from suite.tracking import default_uri
from suite.tracking.store import check_home


def execute(options: argparse.Namespace) -> int:
    """Become MLflow's server, on the loopback."""
    check_home()
    uri = default_uri(options.out, options.tracking_uri)
    print(f"MLflow on {masked(uri)}: http://127.0.0.1:{options.port} (Ctrl-C ends it)", flush=True)
    arguments = ["--host", "127.0.0.1", "--port", str(options.port)]
    # every user of the machine sees the arguments of a process: the address may hold a password
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments], environment)
