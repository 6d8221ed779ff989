"""The script for an accelerator runs to its end without one."""

import re

import pytest

from suite.benchmarks.image.colour import data
from tests.perf import gpu


@pytest.mark.slow
def test_the_script_asks_everything_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(data.DATASETS, "cifar10", data.DATASETS["cifar10"])  # restored after it
    monkeypatch.setattr(gpu, "side_by_side", lambda quick: ["left out: processes that import torch"])
    gpu.main(["--quick"])
    page = capsys.readouterr().out
    assert len(re.findall("^## ", page, re.M)) == 5
    differences = re.findall(r"^\| \d+ \|.*\| (\S+) \|$", page, re.M)
    assert len(differences) >= gpu.EXACT_STEPS
    assert {float(one) for one in differences} == {0.0}  # a CPU agrees with itself
    assert len(re.findall(r"^\| bfloat16", page, re.M)) == 2
