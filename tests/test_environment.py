"""What a site, a job around us or a shell sets does not decide what the suite starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite.launch.slurm import client
from suite.process import KEPT, in_own_environment, is_foreign, own_environment
from tests.conftest import Project

FOREIGN = {
    **{"SQUEUE_STATES": "R", "SQUEUE_FORMAT": "%i", "SACCT_FORMAT": "x", "SLURM_TIME_FORMAT": "relative"},
    **{"SBATCH_PARTITION": "high", "SBATCH_TIMELIMIT": "1", "SBATCH_JOB_NAME": "x", "SRUN_CPU_BIND": "no"},
    **{"SLURM_MEM_PER_CPU": "500", "SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_JOB_ID": "16", "SLURM_CLUSTERS": "b"},
    **{"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577", "LOCAL_RANK": "0"},
    **{"OMP_NUM_THREADS": "7", "KMP_AFFINITY": "disabled", "SUBMITIT_EXECUTOR": "slurm", "TORCHELASTIC_RUN_ID": "1"},
}
OURS = {
    **{"SLURM_CONF": "/etc/slurm.conf", "SLURM_JWT": "a.b.c", "PATH": "/bin", "LD_LIBRARY_PATH": "/opt/lib"},
    **{"CUDA_VISIBLE_DEVICES": "MIG-377e", "MLFLOW_TRACKING_URI": "http://there", "SUITE_DATA_DIR": "/data"},
    **{"HTTPS_PROXY": "http://proxy", "MYRANK": "3", "PYTHONPATH": "/code", "RANKING": "x"},
}


def test_what_is_dropped_and_what_stays() -> None:
    assert [name for name in FOREIGN if not is_foreign(name)] == []
    assert [name for name in (*OURS, *KEPT) if is_foreign(name)] == []


def test_a_command_gets_the_suites_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**FOREIGN, **OURS}.items():
        monkeypatch.setenv(name, value)
    made = own_environment(SLURM_BITSTR_LEN="0")
    assert made.keys().isdisjoint(FOREIGN)
    assert {name: made[name] for name in OURS} == OURS
    assert made["SLURM_BITSTR_LEN"] == "0" and made["PYTHONIOENCODING"] == "utf-8:backslashreplace"


def test_the_block_is_undone_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    before = dict(os.environ)
    with in_own_environment({"OMP_NUM_THREADS": "1"}):
        assert os.environ["OMP_NUM_THREADS"] == "1" and "RANK" not in os.environ
        del os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]  # as another thread may
    assert dict(os.environ) == {k: v for k, v in before.items() if k != "MLFLOW_HTTP_REQUEST_TIMEOUT"}


def test_slurms_commands_are_asked_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\nenv\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    seen = dict(line.partition("=")[::2] for line in client._answer("squeue").splitlines())
    assert seen.keys().isdisjoint(FOREIGN)
    assert seen["SLURM_CONF"] == "/etc/slurm.conf" and seen["SLURM_BITSTR_LEN"] == "0"


@pytest.mark.parametrize("size", ["2", ""])
def test_a_campaign_does_not_wait_for_partners_that_a_shell_names(
    project: Project, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    """Before, it waited for ever for a partner, and neither TERM nor INT ended it."""
    rendezvous = {"RANK": "0", "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577"}
    for name, value in rendezvous.items():
        monkeypatch.setenv(name, value)
    select = ["--benchmarks", "nothing", "--losses", "infonce", "--seeds", "0", "--profile", "smoke", "--quiet"]
    status, out, errors = project.suite("run", "--launcher", "debug", *select)
    assert status == 0, out + errors


def test_local_workers_start_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FOREIGN.items():
        monkeypatch.setenv(name, value)
    with in_own_environment():
        said = subprocess.run(
            [sys.executable, "-S", "-c", "import os; print(sorted(os.environ)); print(chr(0x2713))"],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "LC_ALL": "C"},
            check=True,
        ).stdout
    assert not [name for name in FOREIGN if repr(name) in said] and "\u2713" in said
