"""docs/python.md: its blocks run, one after the other, in a folder with the registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import load
from tests.cluster import environment
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
TYPES = {"str": "text", "float64": "float", "Int64": "whole number", "datetime64[us, UTC]": "time"}


@pytest.mark.data
def test_every_block_of_the_page_runs(tmp_path: Path) -> None:
    for name in ("benchmarks.yaml", "launchers", "results"):
        (tmp_path / name).symlink_to(ROOT / name)
    program = "\n".join(f"{block}\nprint('block {n} ends')" for n, block in enumerate(BLOCKS))
    command, variables = [sys.executable, "-c", program], {**environment(), "MPLBACKEND": "Agg"}
    ended = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(" ends\n") == len(BLOCKS) >= 6
    assert "2 runs executed" in ended.stdout
    assert (tmp_path / "differences.png").stat().st_size > 1000


def test_training_by_hand_takes_ten_lines() -> None:
    (block,) = (block for block in BLOCKS if "train(task" in block)
    assert len(block.splitlines()) - block.count("\n\n") <= 11


def test_the_table_of_columns_has_those_of_a_bundle_with_their_types() -> None:
    rows = re.findall(r"^\| (`.+?`) \| ([^|]+) \| .*\|$", PAGE, re.MULTILINE)
    told: dict[str, str] = {}
    for names, types in rows:
        columns, kinds = re.findall(r"`(.+?)`", names), types.strip().split(", ")
        told |= dict(zip(columns, kinds if len(kinds) > 1 else kinds * len(columns), strict=True))
    found = {}
    for column, kind in load(ROOT / "results" / "reference" / "runs.parquet").runs.dtypes.items():
        family = re.sub(r"(?<=/).+|(?<=^param\.).+", "…", str(column))
        found.setdefault(family, set()).add(TYPES[str(kind)])
    assert told == {column: kinds.pop() for column, kinds in found.items() if len(kinds) == 1}
    assert all(len(kinds) == 0 for kinds in found.values())
