"""Records to MLflow, idempotent; MLflow to a frame.

The files under ``results/runs/`` are the truth. MLflow is a mirror of them that can be brought up to date at any
moment, by any process, as often as one likes: there is one MLflow run a key. Importing this package imports neither
mlflow nor pandas; the first use does (about 2 s).
"""

from suite.tracking.address import default_uri
from suite.tracking.frame import experiments, frame
from suite.tracking.live import LiveMirror
from suite.tracking.mirror import Mirror, Pushed
from suite.tracking.store import TrackingUnavailable, create_store

__all__ = [
    "LiveMirror",
    "Mirror",
    "Pushed",
    "TrackingUnavailable",
    "create_store",
    "default_uri",
    "experiments",
    "frame",
]
