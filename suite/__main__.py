"""``python -m suite``."""

import logging
import os
import sys

from suite.cli import main

status = main()
if "mlflow" in sys.modules:
    # Taking mlflow and pandas apart costs the interpreter more than a second, of which nobody has anything.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
