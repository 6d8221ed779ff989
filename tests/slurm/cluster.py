"""A real SLURM on one machine, in one folder, as root, without systemd.

Nodes gpu1 and gpu2 have two pretended GPUs each. Of the partitions, ``high`` preempts ``low``, the default.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.slurm import configuration, warden
from tests.slurm.configuration import GPUS, NODES
from tests.waiting import PATIENCE_S, rest

PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
#: The kernel takes 107 characters for a socket, and slurmd's are named ``state/gpu1/gpu1_1234567.4294967292``.
LONGEST_FOLDER = 70
USABLE = ("idle", "mixed", "allocated")


class ClusterError(RuntimeError):
    """The cluster does not do what was asked; why."""


def obstacle() -> str | None:
    """Return why no cluster can run on this machine, and what to do about it; None if one can."""
    missing = sorted({package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None})
    if missing:
        return f"missing packages: run tests/slurm/install.sh, or apt-get install {' '.join(missing)}"
    if os.geteuid() != 0:
        return "SLURM's daemons act for other users: a test cluster must be started as root"
    return None


class Cluster:
    """SLURM with munge and MariaDB: every file in one folder, ports of its own, nothing global.

    Its processes die with the process that started them, however that ends.

    Parameters
    ----------
    folder : Path
        Made if missing; what an earlier cluster left in it is removed.
    accounting : bool
        Whether there is a slurmdbd, so that `sacct` answers.
    max_array_size : int
        Array indices stay below it.
    settings : mapping of str to str
        More of slurm.conf, or other values.
    """

    def __init__(
        self,
        folder: Path,
        *,
        accounting: bool = True,
        max_array_size: int = 1001,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.accounting = accounting
        self.settings = {"MaxArraySize": str(max_array_size), **(settings or {})}
        self._wardens: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: socket.socket | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment of processes that use this cluster."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
        return {**outside, "PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start every daemon and wait until both nodes are idle: a few seconds.

        Raises
        ------
        ClusterError
            With the end of the log of the daemon that failed.
        """
        if problem := obstacle():
            raise ClusterError(problem)
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise ClusterError(f"{self.folder}: too long for the paths of sockets, at most {LONGEST_FOLDER} characters")
        try:
            self._prepare()
            self.start_daemon("munged")
            self._wait_for_start("munged", (self.folder / "munge.socket").is_socket, "its socket")
            if self.accounting:
                self._start_accounting()
            for name in ("slurmctld", *NODES):
                self.start_daemon(name)
            self._wait_for_start("slurmctld", self._is_idle, "two idle nodes")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill everything that belongs to the cluster, jobs too; configuration and logs stay."""
        for name in reversed(list(self._wardens)):
            self.kill_daemon(name)
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        for generated in ("database", "state"):
            shutil.rmtree(self.folder / generated, ignore_errors=True)

    def run(self, *command: str, given: str | None = None) -> str:
        """Run a command of SLURM; return what it printed.

        Raises
        ------
        ClusterError
            If it fails: what it said.
        """
        done = subprocess.run(command, input=given, capture_output=True, text=True, env=self.environment, timeout=120)
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def nodes(self) -> dict[str, str]:
        """Return the state of each node: ``idle``, ``mixed``, ``down*``, ..."""
        lines = self.run("sinfo", "--noheader", "--Node", "--format", "%N %T").splitlines()
        return {name: state for name, state in map(str.split, lines)}

    def jobs(self) -> dict[str, str]:
        """Return the state of each job in the queue, array tasks one by one."""
        lines = self.run("squeue", "--noheader", "--array", "--format", "%i %T").splitlines()
        return {job: state for job, state in map(str.split, lines)}

    def kill_node(self, name: str, *, noticed: bool = False) -> None:
        """Have a node lose its power: slurmd and all processes of its jobs are killed.

        SLURM finds out after about 18 s, or at once if `noticed`, as where a site checks its nodes' health.
        """
        self.kill_daemon(name)
        if noticed:
            self._report_down(name)

    def restart_node(self, name: str) -> None:
        """Bring a killed node back and wait until SLURM uses it again.

        SLURM is told first that the node was down: jobs that had run for a few seconds would stay RUNNING for ever.
        """
        if not self.nodes()[name].startswith("down"):
            self._report_down(name)
        self.start_daemon(name)
        self._wait_for_start(name, lambda: self.nodes()[name] in USABLE, f"{name} to be used again")

    def wait_for(self, condition: Callable[[], Any], what: str = "the condition", timeout: float = PATIENCE_S) -> Any:
        """Poll until a condition holds; return its value.

        Raises
        ------
        ClusterError
            If it does not within `timeout` seconds: with the nodes and the queue as they are.
        """
        deadline, began = time.monotonic() + timeout, time.monotonic()
        while not (value := condition()):
            if time.monotonic() > deadline:
                seen = [self.run("sinfo", "--Node", "--long"), self.run("squeue", "--array")]
                raise ClusterError("\n".join([f"waited {timeout:g} s in vain for {what}", *seen]))
            began = rest(began)
        return value

    def wait_until_idle(self, timeout: float = PATIENCE_S) -> None:
        """Wait until no job is left and both nodes are idle."""
        self.wait_for(lambda: not self.jobs() and self._is_idle(), "an idle cluster", timeout)

    def clear(self) -> None:
        """Cancel all jobs and wait until the cluster is idle."""
        if jobs := {job.partition("_")[0] for job in self.jobs()}:
            self.run("scancel", *jobs)
        self.wait_until_idle()

    def start_daemon(self, name: str) -> None:
        """Start ``slurmctld``, ``slurmdbd``, ``mariadbd``, ``munged``, or the slurmd of a node, named as the node."""
        program, *arguments = configuration.commands(self.folder)[name]
        found = shutil.which(program, path=PATH) or program
        with open(self._log(name), "ab") as log:
            self._wardens[name] = subprocess.Popen(
                [sys.executable, warden.__file__, found, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**self.environment, "MYSQL_UNIX_PORT": f"{self.folder}/database.socket"},
                cwd=self.folder,
                start_new_session=True,
            )

    def kill_daemon(self, name: str) -> None:
        """Kill a daemon and every process that came of it."""
        process = self._wardens.pop(name)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)

    def stop_daemon(self, name: str) -> None:
        """Have a daemon save its state and end."""
        for daemon in psutil.Process(self._wardens[name].pid).children():
            daemon.terminate()
        self._wardens[name].wait(timeout=60)
        self.kill_daemon(name)

    def _prepare(self) -> None:
        for generated in ("database", "state", "log"):
            shutil.rmtree(self.folder / generated, ignore_errors=True)
            (self.folder / generated).mkdir(parents=True)
        for stale in (*GPUS, "munge.key", "munge.socket", "database.socket"):
            (self.folder / stale).unlink(missing_ok=True)
        for gpu in GPUS:
            os.mknod(self.folder / gpu, 0o20666, os.makedev(1, 3))
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self._guard, ports = _reserve_ports(4)
        configuration.write(self.folder, ports, self.accounting, self.settings)

    def _start_accounting(self) -> None:
        with open(self._log("mariadbd"), "ab") as log:
            done = subprocess.run(configuration.database_setup(self.folder), stdout=log, stderr=log)
        if done.returncode:
            raise ClusterError(self._with_log("mariadbd", "the database could not be made"))
        self.start_daemon("mariadbd")
        self._wait_for_start("mariadbd", self._does_database_answer, "an answer at its socket")
        self.start_daemon("slurmdbd")
        self._wait_for_start("slurmdbd", self._register, "an answer to sacctmgr")

    def _does_database_answer(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{self.folder}/database.socket")
            return True
        return False

    def _register(self) -> bool:
        with contextlib.suppress(ClusterError):
            self.run("sacctmgr", "--immediate", "add", "cluster", "test")
            return True
        return False

    def _is_idle(self) -> bool:
        with contextlib.suppress(ClusterError):
            return list(self.nodes().values()) == ["idle"] * len(NODES)
        return False

    def _report_down(self, name: str) -> None:
        self.run("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=killed")

    def _wait_for_start(self, name: str, condition: Callable[[], bool], what: str) -> None:
        deadline, began = time.monotonic() + PATIENCE_S, time.monotonic()
        while not condition():
            if self._wardens[name].poll() is not None:
                raise ClusterError(self._with_log(name, f"{name} ended with status {self._wardens[name].returncode}"))
            if time.monotonic() > deadline:
                raise ClusterError(self._with_log(name, f"waited in vain for {what}"))
            began = rest(began)

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def _with_log(self, name: str, message: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"{message}; {self._log(name)} ends with", *lines])


def _reserve_ports(count: int) -> tuple[socket.socket, list[int]]:
    """Return free ports, and the socket that keeps other clusters off them until it is closed."""
    for first in range(20_000, 32_000, 10):  # below those that the kernel hands out
        guard = socket.socket()
        ports = list(range(first + 1, first + 1 + count))
        try:
            guard.bind(("127.0.0.1", first))
            for port in ports:
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("", port))
        except OSError:
            guard.close()
        else:
            return guard, ports
    raise ClusterError("no free ports between 20000 and 32000")
