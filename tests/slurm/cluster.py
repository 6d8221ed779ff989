"""A real SLURM on one machine, under one folder, as root, without systemd: for tests and for trying things out.

::

    python -m tests.slurm.cluster start DIR     # prints what to export
    python -m tests.slurm.cluster status DIR
    python -m tests.slurm.cluster stop DIR

Two nodes (gpu1, gpu2) with two pretended GPUs each; two partitions, of which ``high`` preempts ``low``, the default.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from tests.slurm import configuration, warden

NODES = ("gpu1", "gpu2")
PACKAGES = {"munged": "munge", "mariadbd": "mariadb-server", "slurmdbd": "slurmdbd", "slurmctld": "slurm-wlm"}
INSTALL = Path(__file__).with_name("install.sh")
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
#: Of a folder's name: sockets in it must stay under the 107 characters that the kernel takes.
LONGEST_FOLDER = 70


class ClusterError(RuntimeError):
    """The cluster cannot run; what to do about it."""


def obstacle() -> str | None:
    """Return why no cluster can run on this machine, and what to do; None if one can."""
    if os.geteuid() != 0:
        return "SLURM's daemons act for other users: start the cluster as root"
    missing = [package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None]
    if missing:
        return f"{', '.join(missing)} missing: run {INSTALL}, or apt-get install --no-install-recommends {' '.join(missing)}"
    return None


class Cluster:
    """SLURM with munge and MariaDB, every file of it in one folder, on ports of its own.

    Parameters
    ----------
    folder : Path
        Made if missing; anything of an earlier cluster in it is removed.
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
        """Start every daemon and wait until both nodes are idle.

        Raises
        ------
        ClusterError
            With the end of the log of the daemon that failed.
        """
        if problem := obstacle():
            raise ClusterError(problem)
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise ClusterError(f"{self.folder}: choose a folder whose path has at most {LONGEST_FOLDER} characters")
        try:
            self._prepare()
            self._start_munge()
            if self.accounting:
                self._start_accounting()
            self.start_daemon("slurmctld")
            for node in NODES:
                self.start_daemon(node)
            self._wait_for_start("slurmctld", self._are_nodes_idle, "both nodes idle")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill everything that belongs to the cluster, jobs too; logs and configuration stay."""
        for name in list(self._wardens):
            self.kill_daemon(name)
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        for generated in ("database", "state"):
            shutil.rmtree(self.folder / generated, ignore_errors=True)

    def run(self, *command: str, given: str | None = None, timeout: float = 60) -> str:
        """Run a command of SLURM and return its standard output.

        Raises
        ------
        ClusterError
            If it fails: what it said.
        """
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, env=self.environment, timeout=timeout
        )
        if done.returncode:
            raise ClusterError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def nodes(self) -> dict[str, str]:
        """Return the state of each node: ``idle``, ``mixed``, ``down*``, ..."""
        return dict(line.split() for line in self.run("sinfo", "--noheader", "--Node", "--format", "%N %T").splitlines())

    def jobs(self) -> dict[str, str]:
        """Return the state of each job in the queue, array tasks one by one."""
        lines = self.run("squeue", "--noheader", "--array", "--format", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def kill_node(self, name: str) -> None:
        """Have a node lose its power: its slurmd and all processes of its jobs are killed."""
        self.kill_daemon(name)

    def restart_node(self, name: str) -> None:
        """Bring a killed node back and wait until SLURM uses it again."""
        self.start_daemon(name)
        self._wait_for_start(name, lambda: self.nodes()[name] in ("idle", "mixed", "allocated"), "the node back")

    def wait_for(self, condition: Callable[[], Any], what: str = "the condition", timeout: float = 60) -> Any:
        """Poll until a condition holds; return its value.

        Raises
        ------
        ClusterError
            If it does not within `timeout` seconds: what is in the queue, and the nodes.
        """
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            if time.monotonic() > deadline:
                seen = [self.run("sinfo", "--Node", "--long"), self.run("squeue", "--array")]
                raise ClusterError("\n".join([f"waited {timeout:g} s in vain for {what}", *seen]))
            time.sleep(0.1)
        return value

    def wait_until_idle(self, timeout: float = 60) -> None:
        """Wait until no job is left and both nodes are idle."""
        self.wait_for(lambda: not self.jobs() and self._are_nodes_idle(), "an idle cluster", timeout)

    def start_daemon(self, name: str) -> None:
        """Start ``slurmctld``, ``slurmdbd``, ``mariadbd``, ``munged``, or a node's slurmd."""
        commands = configuration.commands(self.folder)
        program = shutil.which(commands[name][0], path=PATH)
        with open(self._log(name), "ab") as log:
            self._wardens[name] = subprocess.Popen(
                [sys.executable, warden.__file__, str(program), *commands[name][1:]],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**self.environment, "MYSQL_UNIX_PORT": str(self.folder / "database.socket")},
                cwd=self.folder,
                start_new_session=True,
            )

    def kill_daemon(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a daemon and every process that came of it; with SIGTERM, slurmctld saves its state first."""
        process = self._wardens.pop(name)
        assert process.stdin is not None
        if number != signal.SIGKILL:
            for daemon in psutil.Process(process.pid).children():
                daemon.send_signal(number)
            process.wait(timeout=30)
        process.stdin.close()
        process.wait(timeout=30)

    def _prepare(self) -> None:
        for generated in ("database", "state", "log"):
            shutil.rmtree(self.folder / generated, ignore_errors=True)
            (self.folder / generated).mkdir(parents=True)
        for stale in ("gpu0", "gpu1", "munge.key", "munge.socket", "database.socket"):
            (self.folder / stale).unlink(missing_ok=True)
        for index in range(2):
            os.mknod(self.folder / f"gpu{index}", 0o20666, os.makedev(1, 3))
        self._guard, ports = _reserve_ports()
        configuration.write(self.folder, ports, self.accounting, self.settings)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self.start_daemon("munged")
        self._wait_for_start("munged", (self.folder / "munge.socket").is_socket, "its socket")

    def _start_accounting(self) -> None:
        with open(self._log("mariadbd"), "ab") as log:
            done = subprocess.run(configuration.database_setup(self.folder), stdout=log, stderr=log)
        if done.returncode:
            raise ClusterError(self._with_log("mariadbd", "the database could not be made"))
        self.start_daemon("mariadbd")
        self._wait_for_start("mariadbd", (self.folder / "database.socket").is_socket, "its socket")
        self.start_daemon("slurmdbd")
        register = ("sacctmgr", "--immediate", "add", "cluster", "test")
        self._wait_for_start("slurmdbd", lambda: self._succeeds(*register), "an answer to sacctmgr")

    def _are_nodes_idle(self) -> bool:
        try:
            return list(self.nodes().values()) == ["idle"] * len(NODES)
        except ClusterError:
            return False

    def _succeeds(self, *command: str) -> bool:
        try:
            self.run(*command)
        except ClusterError:
            return False
        return True

    def _wait_for_start(self, name: str, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if self._wardens[name].poll() is not None:
                raise ClusterError(self._with_log(name, f"{name} ended with status {self._wardens[name].returncode}"))
            if time.monotonic() > deadline:
                raise ClusterError(self._with_log(name, f"waited {timeout:g} s in vain for {what} ({name})"))
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def _with_log(self, name: str, message: str) -> str:
        lines = self._log(name).read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"{message}; the end of {self._log(name)}:", *lines])


def _reserve_ports() -> tuple[socket.socket, range]:
    """Return free ports, and the socket that keeps other clusters off them until it is closed."""
    for first in range(20_000, 32_000, 10):  # below the ports that the kernel hands out
        guard = socket.socket()
        ports = range(first + 1, first + 10)
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
