"""Whether the MLflow store that runs are mirrored into can be reached. Nothing is created."""

from __future__ import annotations

import importlib.metadata
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from suite.doctor.findings import Finding
from suite.text.masking import masked
from suite.tracking import store
from suite.tracking.address import sqlite_file

PATIENCE_S = 10.0
ADVICE = (
    "start it, or name another with --tracking-uri; runs go on without it, and python -m suite sync brings it up to "
    "date later"
)


def findings(uri: str, experiment: str) -> Iterator[Finding]:
    """Yield whether the store answers, in which version, and what it says of the experiment."""
    shown = masked(uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        yield Finding("tracking", "ok", f"{shown} is made by the first run")
        return
    if uri.startswith("http"):
        version = _version(uri, shown)
        yield version
        if version.state == "problem":
            return
    try:
        with store.reachable(uri):
            store.check_whole(uri)
            found = store.open_client(uri).get_experiment_by_name(experiment)
    except store.TrackingUnavailable as error:
        yield Finding("tracking", "problem", str(error), ADVICE)
        return
    if found is None:
        yield Finding("tracking", "ok", f"{shown} answers; the first run makes experiment {experiment!r} there")
    elif found.lifecycle_stage != "active":
        what, _, advice = store.deleted(experiment, found.experiment_id).partition("; ")
        yield Finding("tracking", "problem", f"{shown}: {what}", advice)
    else:
        yield Finding("tracking", "ok", f"{shown} answers and has experiment {experiment!r}")


def answers(uri: str) -> bool:
    """Whether a tracking server is there."""
    return not isinstance(_ask(uri, "health"), OSError)


def _version(uri: str, shown: str) -> Finding:
    ours, theirs = importlib.metadata.version("mlflow"), _ask(uri, "version")
    if isinstance(theirs, OSError):
        why = getattr(theirs, "reason", theirs)
        return Finding("tracking", "problem", f"{shown}: no server answers there ({why})", ADVICE)
    if not theirs:
        return Finding("tracking", "unknown", f"{shown} does not tell its version", "look at the server's own log")
    if theirs.partition(".")[0] != ours.partition(".")[0]:
        what = f"{shown} is MLflow {theirs}, this is MLflow {ours}"
        return Finding("tracking", "warning", what, "bring both to the same major version if calls are refused")
    return Finding("tracking", "ok", f"{shown} is MLflow {theirs}; this is {ours}")


def _ask(uri: str, what: str) -> str | OSError:
    """Return what a server says; nothing where it wants credentials first; the error where there is none."""
    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        with urllib.request.urlopen(f"{address}/{what}", timeout=PATIENCE_S) as answer:
            return str(answer.read(100).decode(errors="replace").strip())
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        return error
