"""Results folders of several people: what to do is said, and files can be shared with a group."""

import os
import stat
from pathlib import Path

import pytest

from suite.records.permissions import keep_shared, permission_advice, share_with_group
from tests.conftest import Project
from tests.waiting import until


@pytest.fixture(autouse=True)
def umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_the_advice_names_the_folder_its_owner_and_the_steps(tmp_path: Path) -> None:
    said = permission_advice(PermissionError(13, "Permission denied", str(tmp_path / "results" / ".probe.1")))
    assert said.startswith(f"{tmp_path} belongs to {tmp_path.owner()}")
    for part in ("--out", "chgrp -R GROUP", "chmod g+s", "launcher.share=group"):
        assert part in said


def test_a_refused_folder_is_one_line_with_the_advice(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied", str(project.folder / "results" / ".probe.1"))

    monkeypatch.setattr("suite.records.record.Store.prepare", refuse)
    status, _, errors = project.suite("run", "--benchmarks", "nothing", "--launcher", "debug")
    assert status == 1
    registry, error = errors.splitlines()
    assert registry.startswith("registry  ") and "Permission denied" in error and "launcher.share=group" in error


def test_shared_files_can_be_written_by_the_group(tmp_path: Path) -> None:
    out = tmp_path / "results"
    share_with_group(out)
    (out / "runs").mkdir()
    (out / "runs" / "file").touch()
    assert stat.S_IMODE((out / "runs").stat().st_mode) & 0o2070 == 0o2070
    assert stat.S_IMODE((out / "runs" / "file").stat().st_mode) & 0o060 == 0o060


def test_files_of_libraries_follow_their_folder(tmp_path: Path) -> None:
    private, shared = tmp_path / "private", tmp_path / "shared"
    private.mkdir()
    share_with_group(shared)
    for folder, expected in ((private, 0), (shared, stat.S_IWGRP)):
        file = folder / "mlflow.db"
        file.touch()
        file.chmod(0o644)
        keep_shared(file)
        assert file.stat().st_mode & stat.S_IWGRP == expected


def test_a_shared_campaign(project: Project) -> None:
    select = ["--benchmarks", "nothing", "--losses", "infonce", "--seeds", "0", "--profile", "smoke"]
    assert project.suite("run", *select, "--launcher", "debug", "launcher.share=group", "--quiet")[0] == 0
    results = project.folder / "results"
    until(lambda: not list(results.glob(".mlflow.db.*")), "MLflow's store is made")
    for path in results.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & stat.S_IWGRP, path
