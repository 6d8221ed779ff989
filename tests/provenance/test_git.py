"""What a snapshot, and a run, says of the repository that the code comes from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from suite.provenance import snapshot
from suite.provenance.snapshot import Snapshot, take
from suite.records.record import Store
from tests.conftest import ROOT
from tests.provenance.folders import copied, described, git, package, python, repository, write


def of_user(taken: Snapshot, user: Path) -> dict[str, object]:
    """What a snapshot says of the user's repository."""
    repositories = described(taken)["repositories"]
    assert isinstance(repositories, list)
    (found,) = (one for one in repositories if one["folder"] == str(user.resolve()))
    assert isinstance(found, dict)
    return found


def test_a_clean_repository_is_named_by_its_commit(user: Path, store: Store) -> None:
    package(user / "mine")
    commit = repository(user)
    write(user, {"notes": "of no concern"})
    taken = take(store, ["mine"])
    assert of_user(taken, user) == {"folder": str(user.resolve()), "commit": commit, "patch": None, "untracked": []}
    write(user, {"mine/new.py": ""})
    said = of_user(take(store, ["mine"]), user)
    assert (said["commit"], said["untracked"]) == (f"{commit}+dirty", ["mine/new.py"])


def test_the_patch_of_a_dirty_repository_leads_from_the_commit_to_the_copy(
    user: Path, store: Store, tmp_path: Path
) -> None:
    package(user / "mine")
    write(user, {"mine/gone.py": "", "mine/picture": bytes(range(256)), "unrelated": "1"})
    commit = repository(user)
    git(user, "config", "diff.noprefix", "true")
    git(user, "config", "color.diff", "always")
    write(user, {"mine/losses.py": "VALUE = 2\n", "mine/picture": bytes(reversed(range(256))), "unrelated": "2"})
    write(user, {"mine/new.py": "NEW = 1\n"})
    (user / "mine/gone.py").unlink()
    taken = take(store, ["mine"])
    said = of_user(taken, user)
    assert said["commit"] == f"{commit}+dirty"
    assert said["untracked"] == ["mine/new.py"]

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(user), str(clone))
    git(clone, "apply", str(taken.folder / str(said["patch"])))
    (clone / "mine/new.py").write_text("NEW = 1\n")
    files = (path for path in (clone / "mine").rglob("*") if path.is_file())
    assert {str(path.relative_to(clone)): path.read_bytes() for path in files} == copied(taken, "mine")
    assert (clone / "unrelated").read_text() == "1"


def test_a_patch_that_is_too_large_is_not_kept(user: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    package(user / "mine")
    commit = repository(user)
    write(user, {"mine/losses.py": "VALUE = 2\n"})
    monkeypatch.setattr(snapshot, "LARGEST_PATCH", 10)
    taken = take(store, ["mine"])
    assert of_user(taken, user) == {
        "folder": str(user.resolve()),
        "commit": f"{commit}+dirty",
        "patch": None,
        "untracked": [],
    }


def test_an_environment_that_a_checkout_ignores_is_not_taken_for_part_of_it(user: Path, store: Store) -> None:
    write(user, {".gitignore": "mine/\n", "readme": ""})
    repository(user)
    package(user / "mine")
    repositories = described(take(store, ["mine"]))["repositories"]
    assert isinstance(repositories, list)
    assert str(user.resolve()) not in [one["folder"] for one in repositories]


COMMIT = "from suite.provenance.machine import git; print(git())"


def with_suite(folder: Path) -> Path:
    """Copy the suite into a folder."""
    shutil.copytree(ROOT / "suite", folder / "suite", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_suite_in_an_environment_that_a_repository_ignores_has_no_commit(user: Path) -> None:
    write(user, {".gitignore": "venv/\n", "readme": ""})
    repository(user)
    assert python(COMMIT, with_suite(user / "venv"), cwd=user) == "unknown"


def test_the_repository_that_has_the_code_counts_and_not_that_of_the_shell(
    user: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(with_suite(user) / "mine")
    other = package(tmp_path / "other")
    commit, _ = repository(user), repository(other)
    for name, value in (("DIR", ".git"), ("WORK_TREE", "."), ("INDEX_FILE", ".git/index")):
        monkeypatch.setenv(f"GIT_{name}", str(other / value))
    assert python(COMMIT, user, cwd=other) == commit
    assert of_user(take(store, ["mine"]), user)["commit"] == commit


def test_to_ask_for_the_commit_writes_nothing_into_the_repository(user: Path) -> None:
    commit = repository(with_suite(user))
    os.utime(user / "suite/__init__.py", (0, 0))  # which `git status` would note in the index, under its lock
    index = (user / ".git/index").read_bytes()
    assert python(COMMIT, user, cwd=user) == commit
    assert (user / ".git/index").read_bytes() == index
    write(user, {"suite/new.py": ""})
    assert python(COMMIT, user, cwd=user) == f"{commit}+dirty"
