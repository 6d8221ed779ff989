"""A Ctrl-C or TERM ends the command in time, whatever it is doing, and the same command goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cluster import command, environment, metrics, suite, toy_registry
from tests.waiting import PATIENCE_S, until

PROMISED_S = 10.0
#: On a machine with several times as much work as cores.
UNDER_LOAD = 1.5
SELECT = ["--profile", "smoke", "--losses", "deaf", "--seeds", "0"]

HANGING = """\
import signal, sys, time
from pathlib import Path
from suite.launch import interruption
interruption.LAST_S = {last}
interruption.SECOND_S = 0.1
def wait(*ignored):  # as native code that never comes back to the interpreter
    Path("waits").touch()
    time.sleep(600)
signal.signal(signal.SIGTERM, wait)
with interruption.ending_in_time(lambda: Path("killed").touch()):
    Path("begun").touch()
    wait()
"""


def deaf_registry(folder: Path, how: str) -> None:
    file = toy_registry(folder)
    losses = f"losses:\n  deaf: {{_target_: tests.launch.toys.Deaf, how: {how}}}\n"
    file.write_text(file.read_text().replace("losses:\n", losses, 1))


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(folder, "run", *SELECT, *arguments),
        cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def left_over(folder: Path) -> list[list[str]]:
    """Return the command lines of processes that have to do with a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if any(str(folder) in part for part in line) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(line)
    return found


@pytest.mark.parametrize("how", ["masked", "stopped"])
def test_a_worker_that_never_answers_does_not_hold_the_command(tmp_path: Path, how: str) -> None:
    deaf_registry(tmp_path, how)
    process = started(tmp_path)
    until((tmp_path / "deaf").exists, "the worker hangs")
    worker = int((tmp_path / "deaf").read_text())
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    said, _ = process.communicate(timeout=PATIENCE_S)
    took = time.monotonic() - began
    assert took < PROMISED_S * UNDER_LOAD, said
    assert process.returncode == 130, said
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE
    until(lambda: not left_over(tmp_path), "nothing is left running")
    (tmp_path / "awake").touch()
    done = suite(tmp_path, "run", *SELECT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(metrics(tmp_path)) == 1


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    deaf_registry(tmp_path, "masked")
    process = started(tmp_path)
    until((tmp_path / "deaf").exists, "the worker hangs")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)  # two that are pending at a time are one
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - began < 3 * UNDER_LOAD, said
    assert process.returncode == 130, said
    until(lambda: not left_over(tmp_path), "nothing is left running")


def test_a_server_that_never_answers_does_not_hold_it(tmp_path: Path) -> None:
    deaf_registry(tmp_path, "masked")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = started(tmp_path, "--tracking-uri", uri)
        until((tmp_path / "deaf").exists, "the worker hangs")
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        said, _ = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - began < PROMISED_S * UNDER_LOAD, said
    assert process.returncode == 130, said
    places = f"--out {tmp_path / 'results'} --registry {tmp_path / 'benchmarks.yaml'}"
    assert f"python -m suite sync {places} --tracking-uri {uri} completes it" in said
    until(lambda: not left_over(tmp_path), "nothing is left running")


@pytest.mark.parametrize(("last", "signals"), [(0.5, 1), (600.0, 2)])
def test_what_never_returns_to_the_interpreter_is_ended(tmp_path: Path, last: float, signals: int) -> None:
    code = HANGING.format(last=last)
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, env=environment(False)
    )
    until((tmp_path / "waits").exists, "it hangs")
    for _ in range(signals):
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert b"the same command goes on" in said and (tmp_path / "killed").exists()


def test_without_a_signal_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from suite.launch import interruption

    monkeypatch.setattr(interruption, "leave", lambda status: pytest.fail("it left"))
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with interruption.ending_in_time(lambda: pytest.fail("it killed")):
        pass
    assert signal.set_wakeup_fd(before) == before
