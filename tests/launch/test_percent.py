"""A results folder with ``%j`` in its name: submitit and SLURM replace that, wherever a path has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suite.launch.jobs import unpatterned
from suite.launch.slurm.jobs import SlurmJobs
from suite.records.record import Store
from tests.cluster import metrics, suite, toy_registry
from tests.launch.simulated import Queue, keys, launcher, made_launch, runs

SELECT = ["--profile", "smoke", "--losses", "cosine", "--seeds", "0"]


def visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


def test_a_campaign_in_such_a_folder_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "x%j"
    folder.mkdir()
    toy_registry(folder)
    done = suite(folder, "run", *SELECT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(metrics(folder)) == 1
    assert visible(tmp_path) == ["x%j"]


def test_what_a_worker_says_there_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "x%A%t" / "100%"
    folder.mkdir(parents=True)
    toy_registry(folder)
    done = suite(folder, "run", *SELECT[:-3], "raises", *SELECT[-2:], "launcher.max_attempts=1")
    assert done.returncode == 1, done.stdout + done.stderr
    (jobs,) = (folder / "results" / "launches").glob("*/jobs")
    assert list(jobs.glob("*_log.out"))
    assert visible(tmp_path) == ["x%A%t"] and visible(tmp_path / "x%A%t") == ["100%"]


def test_a_batch_script_names_no_such_path_where_slurm_would_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(tmp_path / "site", monkeypatch)
    store = Store(tmp_path / "%u" / "x%j")
    store.prepare()
    launch = made_launch(store, *([key] for key in keys(2)))
    SlurmJobs(launch, launcher(), store).begin(runs(keys(2)), detached=False)
    (script,) = queue.scripts().values()
    outputs = re.findall(r"--output[= ]'?([^\s']+)", script)
    assert len(outputs) == 2  # of sbatch and of srun
    for output in outputs:
        folder, name = Path(output).parent, Path(output).name
        assert "%" not in str(folder) and "%" in name
        assert folder.resolve() == (launch.folder / "jobs").resolve()
    (command,) = re.findall(r"submitit.core._submit (.*)", script)
    assert "%" not in command


def test_other_paths_stay_as_they_are(tmp_path: Path) -> None:
    assert unpatterned(tmp_path / "a b") == tmp_path / "a b"
    assert visible(tmp_path) == [] and not list(tmp_path.iterdir())


def test_where_no_link_can_be_made_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(link: Path, target: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(OSError, match=r"replace the % in .*x%j.*Permission denied.*take a results folder without %"):
        unpatterned(tmp_path / "x%j")


def test_what_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x%j").mkdir()
    link = unpatterned(tmp_path / "x%j")
    link.unlink()
    link.mkdir()
    with pytest.raises(OSError, match="in the way"):
        unpatterned(tmp_path / "x%j")
