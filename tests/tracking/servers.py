"""Real servers on the loopback, which the tests start and which end with them: PostgreSQL, and MLflow on it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from tests.waiting import PATIENCE_S, until

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dies_with_us(number: signal.Signals) -> Callable[[], None]:
    """Return what a child calls before exec, to get this signal when the process of the tests is gone."""
    return lambda: LIBC.prctl(PR_SET_PDEATHSIG, number)


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's newest programs; skip the test, or fail where they must be, without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not found:
        missing = "PostgreSQL is not installed here (Debian: apt-get install postgresql)"
        pytest.fail(missing) if os.environ.get("SUITE_REQUIRE_SLURM") == "1" else pytest.skip(missing)
    return found[-1]


class Postgres:
    """A PostgreSQL of our own; it refuses to run as root and then runs as the user that the package has made.

    Its folder is not one of pytest's, which that user may not enter.
    """

    def __init__(self) -> None:
        self.programs = postgres_programs()
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="suite-postgres-"))
        shutil.chown(self.folder, self.user)
        self.port = free_port()
        self.address = f"{self.user}@127.0.0.1:{self.port}/postgres"
        self.uri = f"postgresql+psycopg2://{self.address}"
        self.process: subprocess.Popen[bytes] | None = None
        made = self._start("initdb", "--pgdata", "data", "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
                           "--no-sync", "--no-instructions")  # fmt: skip
        assert made.wait(PATIENCE_S) == 0, self._log()

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder,
                   "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # fmt: skip
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = self._start("postgres", "-D", "data", *settings)
        until(self._answers, "PostgreSQL takes connections")

    def stop(self) -> None:
        """End it at once, whoever is connected; what was committed stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
            self.process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self.programs / program, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, user=self.user if os.getuid() == 0 else None, start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGQUIT),
            )  # fmt: skip

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self._log()
        try:
            psycopg2.connect(f"postgresql://{self.address}").close()
        except psycopg2.OperationalError:
            return False
        return True

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


class MlflowServer:
    """``mlflow server`` on a backend store, artifacts below a folder."""

    def __init__(self, backend: str, folder: Path) -> None:
        self.backend = backend
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, at the same address every time, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self.backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **quiet}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=dies_with_us(signal.SIGTERM),
            )  # fmt: skip
        until(self._answers, "the MLflow server answers")

    def stop(self) -> None:
        """Kill it with all its processes, amid whatever it does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """Return what it has said, a line a request."""
        return (self.folder / "server.log").read_text(errors="replace")

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
