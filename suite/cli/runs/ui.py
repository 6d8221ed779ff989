"""``python -m suite ui``: MLflow's own page on the results."""

from __future__ import annotations

import argparse
import os
import sys

from suite.tracking import default_uri


def execute(options: argparse.Namespace) -> int:
    """Become MLflow's server, on the loopback."""
    uri = default_uri(options.out, options.tracking_uri)
    print(f"MLflow on {uri}: http://127.0.0.1:{options.port} (Ctrl-C ends it)", flush=True)
    arguments = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(options.port)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *arguments])
