"""A clock that jumps is one that campaigns can live with: else the fault would strike the tool that makes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.storm.campaign import CLOCK

WAITS = """\
import threading, time
began = time.monotonic()
time.sleep(0.1)
threading.Event().wait(0.1)
threading.Lock().acquire(timeout=0.1)
print(time.time(), time.monotonic() - began)
"""


@pytest.mark.parametrize("days", [-3, 1])
def test_with_another_time_python_sleeps_and_waits(days: int) -> None:
    if shutil.which("faketime") is None:
        pytest.skip("needs faketime: tests/slurm/install.sh")
    given = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(CLOCK)}
    command = ["faketime", "-f", f"{days:+}d", sys.executable, "-c", WAITS]
    plain = float(subprocess.check_output(["date", "+%s"]))
    said = subprocess.run(command, env=given, capture_output=True, text=True, timeout=100)
    assert said.returncode == 0, said.stderr
    wall, spent = map(float, said.stdout.split())
    assert abs(wall - plain - days * 86_400) < 100
    assert 0.2 <= spent < 50
