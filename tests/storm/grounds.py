"""Where a storm rages: on this machine, on a pool of workers, on a SLURM cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from tests.cluster import command, environment
from tests.slurm.cluster import Cluster
from tests.slurm.sites import SITE
from tests.storm.campaign import Campaign
from tests.storm.faults import EVERYWHERE, Draw, Fault
from tests.storm.tracking import File, Server, Tracking
from tests.tracking.servers import MlflowServer

#: Room for a campaign; little enough to be filled in an instant.
DISK = "96m"
#: Of so many campaigns, one logs to a server.
A_SERVER_EVERY = 4
#: Processes of ``suite worker`` beside a launcher of the pool.
POOL = 2
HARDENED = ["--quiet", "launcher.checkpoint_minutes=0.005", "launcher.max_attempts=50"]


class Ground(Protocol):
    """A launcher, and the faults that it knows."""

    faults: dict[str, Fault]

    def campaign(self, number: int) -> Campaign:
        """Return a new campaign."""

    def tend(self, campaign: Campaign) -> None:
        """Do what goes on beside the launcher: nothing, or start workers."""


class Local:
    """``--launcher local``: on a file system of its own, every fourth time with a server."""

    faults = EVERYWHERE

    def __init__(self, folder: Path, server: MlflowServer) -> None:
        self.folder = folder
        self.server = server

    def options(self) -> list[str]:
        """Of ``run``."""
        return ["launcher.workers=2"]

    def campaign(self, number: int) -> Campaign:
        """Return a campaign in a folder of its own."""
        tracking: Tracking = Server(self.server) if number % A_SERVER_EVERY == 3 else File()
        return Campaign(self.folder / f"campaign{number}", [*HARDENED, *self.options()], tracking)

    def tend(self, campaign: Campaign) -> None:
        """Nothing: the launcher starts its workers."""


class Pool(Local):
    """``--launcher pool`` with two ``suite worker`` processes, started again whenever one has ended."""

    def __init__(self, folder: Path, server: MlflowServer) -> None:
        super().__init__(folder, server)
        self.workers: list[subprocess.Popen[bytes]] = []

    def options(self) -> list[str]:
        """Of ``run``."""
        return ["--launcher", "pool"]

    def tend(self, campaign: Campaign) -> None:
        """Start workers where some have ended."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        for _ in range(POOL - len(self.workers)):
            full = command(campaign.folder, "worker", "--workers", "1")
            with campaign.said.open("ab") as said:
                self.workers.append(
                    subprocess.Popen(full, cwd=campaign.folder, env=environment(), stdout=said, stderr=said)
                )


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give a folder a small file system in memory, where root may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "storm", folder], capture_output=True
    ).returncode == 0  # fmt: skip
    try:
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


class Slurm(Local):
    """A SLURM cluster of this machine: nodes go down, jobs are requeued by others."""

    def __init__(self, folder: Path, server: MlflowServer, cluster: Cluster) -> None:
        super().__init__(folder, server)
        self.cluster = cluster
        os.environ["SLURM_CONF"] = cluster.environment["SLURM_CONF"]
        # its processes are children of a node's daemon: a lost node is one that SLURM loses, too
        left_out = ("lost node", "removed", "clock")
        self.faults = {name: fault for name, fault in EVERYWHERE.items() if not any(word in name for word in left_out)}
        self.faults |= {"node down": self.node_down, "job requeued": self.requeue, "job cancelled": self.cancel}

    def options(self) -> list[str]:
        """Of ``run``: small jobs, looked at every second."""
        return [*SITE, "launcher.array_parallelism=2"]

    def node_down(self, campaign: Campaign, draw: Draw) -> str | None:
        """A node loses its power and comes back."""
        node = f"gpu{draw.integers(1, 3)}"
        self.cluster.kill_node(node, noticed=True)
        self.cluster.restart_node(node)
        return node

    def requeue(self, campaign: Campaign, draw: Draw) -> str | None:
        """An operator requeues a job."""
        return self._to_a_job(draw, "scontrol", "requeue")

    def cancel(self, campaign: Campaign, draw: Draw) -> str | None:
        """An operator cancels a job."""
        return self._to_a_job(draw, "scancel")

    def _to_a_job(self, draw: Draw, *words: str) -> str | None:
        running = sorted(job for job, state in self.cluster.jobs().items() if state == "RUNNING")
        if not running:
            return None
        job = running[draw.integers(len(running))]
        with contextlib.suppress(Exception):
            self.cluster.run(*words, job)
            return job
        return None


@contextmanager
def ground(name: str) -> Iterator[Ground]:
    """Prepare one of ``local``, ``pool`` and ``slurm``, and take it down again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True)))
        place = stack.enter_context(disk(folder / "disk"))
        (folder / "server").mkdir()
        server = MlflowServer(f"sqlite:///{folder / 'server' / 'mlflow.db'}", folder / "server")
        server.start()
        stack.callback(server.stop)
        if name != "slurm":
            yield {"local": Local, "pool": Pool}[name](place, server)
        else:
            cluster = stack.enter_context(Cluster(folder / "slurm"))
            yield Slurm(place, server, cluster)
