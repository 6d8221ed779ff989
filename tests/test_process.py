"""What a process may compute on, its streams, and that it ends when it is interrupted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.process import gpus
from tests.cluster import environment
from tests.conftest import ROOT, Project

#: Interrupts a process when it imports a module.
INTERRUPTED = """\
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["MODULE"]:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


def test_visible_gpus_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    assert gpus() == ["1", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-377e-1, GPU-8f2,0")
    assert gpus() == ["MIG-377e-1", "GPU-8f2", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,-1,1")
    assert gpus() == ["0"], "CUDA stops at the first name that is none"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


def test_the_driver_is_asked_once_which_gpus_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == []
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/log\necho 'GPU 0: one'\necho 'GPU 1: two'\n")
    program.chmod(0o755)
    assert [gpus() for _ in range(3)] == [["0", "1"]] * 3
    assert (tmp_path / "log").read_text() == "asked\n"


@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-"])
def test_a_command_works_when_its_streams_are_closed(project: Project, closed: str) -> None:
    shell = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-m", "suite", "plan", "--profile", "smoke"]
    done = subprocess.run(shell, cwd=project.folder, env=environment(is_forked=False), capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert bool(done.stdout) == (closed == "2>&-")


@pytest.mark.parametrize(
    "module", ["suite.cli.main", "suite.cli.runs.plan", "analysis.cli.main", "analysis.cli.commands"]
)
def test_a_command_that_is_interrupted_while_it_imports_says_so(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED)
    variables = {**environment(is_forked=False), "MODULE": module, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    wing = module.partition(".")[0]
    command = [sys.executable, "-m", wing, "plan" if wing == "suite" else "tables"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
