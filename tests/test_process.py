"""What a process may compute on."""

from pathlib import Path

import pytest

from suite.process import gpus


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
