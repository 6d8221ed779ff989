"""A SLURM cluster to try things on: ``python -m tests.slurm start DIR``, then ``status DIR`` and ``stop DIR``."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.slurm.cluster import Cluster, ClusterError

HELLO = """\
SLURM runs in {folder}: nodes gpu1 and gpu2 with two pretended GPUs each; partition high preempts low, the default.

  export SLURM_CONF={folder}/slurm.conf
  sinfo
  python -m suite run --benchmarks all --profile smoke --losses headline --seeds 0-1 --launcher slurm \\
      launcher.gpus=0 launcher.cpus=2 launcher.memory=4G

Logs are in {folder}/log. To end it: python -m tests.slurm stop {folder}"""


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser("python -m tests.slurm", description="A real SLURM on one machine, as root.")
    commands = parser.add_subparsers(required=True)
    for function, explanation in (
        (start, "start it in the background, and say what to export"),
        (serve, "start it in the foreground, until ^C"),
        (status, "show its nodes and its queue"),
        (stop, "end it, its jobs too"),
    ):
        command = commands.add_parser(function.__name__, help=explanation, description=explanation)
        command.add_argument("folder", type=lambda name: Path(name).resolve(), metavar="DIR", help="where its files go")
        command.set_defaults(function=function)
        if function in (start, serve):
            command.add_argument("--no-accounting", action="store_true", help="without slurmdbd: sacct has no answer")
            command.add_argument("--max-array-size", type=int, default=1001, metavar="N")
    asked = parser.parse_args()
    try:
        return int(asked.function(asked))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def start(asked: argparse.Namespace) -> int:
    """Start a server of its own and wait until the cluster is ready."""
    if _server(asked.folder):
        raise ClusterError(f"a cluster runs in {asked.folder} already")
    options = [f"--max-array-size={asked.max_array_size}", *["--no-accounting"] * asked.no_accounting]
    command = [sys.executable, "-m", "tests.slurm", "serve", str(asked.folder), *options]
    asked.folder.mkdir(parents=True, exist_ok=True)
    log = asked.folder / "server.log"
    with open(log, "w") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    while server.poll() is None and not _server(asked.folder):
        time.sleep(0.1)
    print(log.read_text(), end="", file=sys.stderr if server.returncode else sys.stdout)
    return server.returncode or 0


def serve(asked: argparse.Namespace) -> int:
    """Start the cluster, and stop it on SIGTERM and on ^C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cluster = Cluster(asked.folder, accounting=not asked.no_accounting, max_array_size=asked.max_array_size)
    with contextlib.suppress(KeyboardInterrupt), cluster:
        print(HELLO.format(folder=asked.folder), flush=True)
        _pid_file(asked.folder).write_text(str(os.getpid()))
        signal.pause()
    return 0


def status(asked: argparse.Namespace) -> int:
    """Show the nodes and the queue."""
    _running(asked.folder)
    cluster = Cluster(asked.folder)
    print(cluster.run("sinfo", "--Node", "--long"), cluster.run("squeue", "--array"), sep="\n\n")
    return 0


def stop(asked: argparse.Namespace) -> int:
    """End the server and wait until all is gone."""
    server = _running(asked.folder)
    server.terminate()
    server.wait(timeout=60)
    return 0


def _pid_file(folder: Path) -> Path:
    return folder / "server.pid"


def _server(folder: Path) -> psutil.Process | None:
    """Return the process that keeps the cluster of a folder."""
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        process = psutil.Process(int(_pid_file(folder).read_text()))
        if str(folder) in process.cmdline():
            return process
    return None


def _running(folder: Path) -> psutil.Process:
    server = _server(folder)
    if server is None:
        raise ClusterError(f"no cluster runs in {folder}")
    return server


if __name__ == "__main__":
    sys.exit(main())
