"""Array tasks read data from their node's own disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import suite
from tests.slurm.cluster import Cluster
from tests.slurm.sites import SITE
from tests.work.test_staging import Place


def test_array_tasks_of_a_node_copy_data_once_and_leave_nothing(
    on_slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    place = Place(tmp_path)
    *selection, _ = place.options
    on_the_node = f"launcher.setup=['export NODE_DISK={place.disk}']"
    done = suite(place.folder, "run", *selection, *SITE, "launcher.cpus=2", on_the_node, "launcher.scratch=$NODE_DISK")
    assert done.returncode == 0, done.stdout + done.stderr
    place.check(4)
