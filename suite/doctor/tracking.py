"""Whether the MLflow store that runs are mirrored into can be reached. Nothing is created."""

from __future__ import annotations

import importlib.metadata
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from suite.doctor.findings import Finding
from suite.tracking import store

LATER = "runs go on without it, and python -m suite sync brings it up to date later"


def findings(uri: str, experiment: str) -> Iterator[Finding]:
    """Yield whether the store answers, in which version, and what it says of the experiment."""
    shown = without_password(uri)
    file = store.sqlite_file(uri)
    if file is not None and not file.exists():
        yield Finding("tracking", "ok", f"{shown} is made by the first run")
        return
    if uri.startswith("http"):
        yield _version(uri, shown)
    try:
        with store.reachable(uri):
            found = store.open_client(uri).get_experiment_by_name(experiment)
    except store.TrackingUnavailable as error:
        what = str(error).replace(uri, shown)
        yield Finding("tracking", "problem", what, f"start it, or name another with --tracking-uri; {LATER}")
        return
    if found is None:
        yield Finding("tracking", "ok", f"{shown} answers; the first run makes experiment {experiment!r} there")
    elif found.lifecycle_stage != "active":
        what = f"{shown}: experiment {experiment!r} is deleted"
        advice = f"mlflow experiments restore --experiment-id {found.experiment_id}, or name another in the registry"
        yield Finding("tracking", "problem", what, advice)
    else:
        yield Finding("tracking", "ok", f"{shown} answers and has experiment {experiment!r}")


def without_password(uri: str) -> str:
    """Return an address as it may be printed."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@") if password else uri


def answers(uri: str, patience_s: float = 5.0) -> bool:
    """Whether a tracking server is there, as far as one can tell without credentials."""
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=patience_s).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _version(uri: str, shown: str) -> Finding:
    ours = importlib.metadata.version("mlflow")
    try:
        with urllib.request.urlopen(f"{uri}/version", timeout=10) as answer:
            theirs = answer.read(100).decode(errors="replace").strip()
    except (OSError, ValueError):
        return Finding("tracking", "unknown", f"{shown} does not tell its version")
    if theirs.partition(".")[0] != ours.partition(".")[0]:
        what = f"{shown} is MLflow {theirs}, this is MLflow {ours}"
        return Finding("tracking", "warning", what, "bring both to the same major version if calls are refused")
    return Finding("tracking", "ok", f"{shown} is MLflow {theirs}; this is {ours}")
