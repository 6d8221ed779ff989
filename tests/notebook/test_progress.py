"""What `run` shows in a notebook: one line that is written over, in a kernel as Jupyter starts it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from suite.launch.campaign import View
from suite.notebook.progress import MOST_FAILURES, progress
from suite.records.launch import Worker
from tests.cluster import prepare_store
from tests.conftest import REGISTRY
from tests.notebook.kernels import execute, notebook_of

CAMPAIGN = """
import suite
registry = suite.load_registry("benchmarks.yaml", "launcher.workers=1")
plan = suite.make_plan(registry, "blobs", ["cosine", "raises"], seeds="0-6", profile="smoke")
report = suite.run(registry, plan)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = REGISTRY.replace("benchmarks:\n", "  raises: {_target_: tests.toys.Raises}\nbenchmarks:\n", 1)
    text = text.replace("smoke: {epochs: 3}", "smoke: {epochs: 3, pause_s: 0.05}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "benchmarks.yaml").write_text(text)
    prepare_store(folder)
    return folder


def printed(cell: Any) -> list[str]:
    return "".join(one["text"] for one in cell["outputs"] if one.get("name") == "stdout").splitlines()


def test_a_campaign_in_a_notebook_is_one_line_and_its_first_failures(folder: Path, tmp_path: Path) -> None:
    notebook = notebook_of(CAMPAIGN, CAMPAIGN.replace('"raises"', ""))
    began = time.monotonic()
    updates = execute(notebook, folder, tmp_path).updates
    first, again = notebook.cells
    (line,) = (output["data"]["text/plain"] for output in first["outputs"] if output["output_type"] == "display_data")
    assert re.fullmatch(r"7 of 14 runs done, 7 failed   took \d+:\d\d", line)
    *failures, counted = printed(first)
    assert len(failures) == MOST_FAILURES + 1 and "further failures are counted above" in failures.pop()
    assert all("blobs/raises/seed" in text and "no such thing" in text for text in failures)
    assert re.match(r"7 runs done, 7 failed in \d+:\d\d; 0 were done before", counted)
    at_work = [text for text in updates if "training" in text]
    assert at_work, updates
    assert all(re.match(r"\d of 14 runs done.*   eta \d:\d\d   blobs/", text) for text in at_work)
    assert len(updates) < 3 + 2 * (time.monotonic() - began)
    assert printed(again) == ["nothing to run: 7 of 7 runs are done"]


def test_of_many_workers_the_first_are_named_and_the_line_stays_one() -> None:
    workers = [Worker(n, phase="training", key="k", name=f"a/b/seed{n}", step=1, steps=2) for n in range(9)]
    text = progress(View((), 10, 0, 1000, workers, 60.0, stopping=False))
    assert text.startswith("10 of 1000 runs done   eta 1:00   a/b/seed0  training step 1/2")
    assert text.endswith(" and 6 more") and "seed2" in text and "seed3" not in text and "\n" not in text
    waiting = View((), 0, 0, 2, [Worker(0)], 60.0, stopping=False, notice="4 tasks are in the queue")
    assert progress(waiting).endswith("4 tasks are in the queue")
    assert "saving checkpoints" in progress(View((), 0, 0, 2, [], 60.0, stopping=True))
