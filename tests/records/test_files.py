"""Folders that other processes remove while they are listed."""

import shutil
from pathlib import Path

import pytest

from suite.records.files import matching


def test_the_files_that_match(tmp_path: Path) -> None:
    for name in ("1.0.lock", "1.joined", "x.json"):
        (tmp_path / name).touch()
    assert [path.name for path in matching(tmp_path, "*.*.*")] == ["1.0.lock"]
    assert matching(tmp_path / "none", "*") == []


def test_a_folder_that_goes_between_the_look_and_the_list_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workers"
    folder.mkdir()
    is_dir = Path.is_dir

    def gone(path: Path) -> bool:
        found = is_dir(path)
        if path == folder:
            shutil.rmtree(folder, ignore_errors=True)
        return found

    monkeypatch.setattr(Path, "is_dir", gone)
    with pytest.raises(FileNotFoundError):
        list(folder.glob("*"))
    folder.mkdir()
    assert matching(folder, "*") == []
