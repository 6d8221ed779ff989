"""Where a campaign of the storm logs to: a SQLite file beside its records, or a server that goes and comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from tests.cluster import mlflow_runs, prepare_store
from tests.tracking.servers import MlflowServer


class Tracking(Protocol):
    """What a campaign asks of the place that it logs to."""

    def options(self, folder: Path) -> list[str]:
        """Return what ``run`` and ``sync`` need to know of it."""

    def statuses(self, folder: Path) -> dict[str, list[str]]:
        """Return the statuses of the runs of every key."""

    def do_as_told(self, folder: Path) -> bool:
        """Do what a command told its user to do about the store; False if it said nothing of it."""


class File:
    """``results/mlflow.db``."""

    def options(self, folder: Path) -> list[str]:
        """Nothing: it is the default. The store is made, which takes seconds."""
        prepare_store(folder)
        return []

    def statuses(self, folder: Path) -> dict[str, list[str]]:
        """Read them from the file."""
        return mlflow_runs(folder)

    def do_as_told(self, folder: Path) -> bool:
        """Move a damaged store away: ``sync`` makes it anew."""
        store, said = folder / "results" / "mlflow.db", (folder / "said.txt").read_text(errors="replace")
        if not store.exists() or "move it away" not in said.rpartition("mlflow.db")[2]:
            return False
        os.replace(store, folder / "damaged.db")
        with (folder / "said.txt").open("a") as file:
            file.write("(the store was moved away)\n")
        return True


class Server:
    """An experiment a campaign on one MLflow server, which is killed and started again."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server

    def options(self, folder: Path) -> list[str]:
        """Its address, and an experiment of the campaign's own."""
        return ["--tracking-uri", self.server.uri, f"experiment={folder.name}"]

    def statuses(self, folder: Path) -> dict[str, list[str]]:
        """Ask the server."""
        from mlflow import MlflowClient

        client = MlflowClient(self.server.uri)
        experiment = client.get_experiment_by_name(folder.name)
        found: dict[str, list[str]] = {}
        for run in client.search_runs([experiment.experiment_id], max_results=1000) if experiment else []:
            found.setdefault(run.data.tags["suite.key"], []).append(run.info.status)
        return found

    def do_as_told(self, folder: Path) -> bool:
        """Nothing: it comes back."""
        return False
