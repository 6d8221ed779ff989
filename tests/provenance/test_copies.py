"""Snapshots: the code that was submitted is the code that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suite.provenance import machine, snapshot
from suite.provenance.snapshot import Snapshot, SnapshotError, snapshots, take
from suite.records.record import Store
from tests.conftest import ROOT, forget_sources
from tests.provenance.folders import copied, described, package, python, write


def test_the_suite_is_copied_whole_and_its_files_are_listed_with_their_hashes(store: Store) -> None:
    taken = take(store, [])
    assert taken.folder == snapshots(store) / taken.id
    assert taken.git == machine.git()
    originals = (path for path in (ROOT / "suite").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    expected = {str(path.relative_to(ROOT)): path.read_bytes() for path in originals}
    assert "suite/data/catalogue.yaml" in expected
    assert copied(taken, "") == expected
    listed = described(taken)["files"]
    assert isinstance(listed, dict)
    assert listed == {name: snapshot._digest(ROOT / name) for name in expected}


def test_unchanged_code_has_the_same_snapshot_and_edited_code_another(user: Path, store: Store) -> None:
    write(user, {"my_losses.py": "VALUE = 1\n"})
    first = take(store, ["my_losses"])
    written = (first.folder / "snapshot.json").stat().st_mtime_ns
    assert take(store, ["my_losses"]) == first
    assert (first.folder / "snapshot.json").stat().st_mtime_ns == written
    write(user, {"my_losses.py": "VALUE = 2\n"})
    second = take(store, ["my_losses"])
    assert second.id != first.id
    assert copied(first, "my_losses") == {"my_losses.py": b"VALUE = 1\n"}
    assert copied(second, "my_losses") == {"my_losses.py": b"VALUE = 2\n"}
    write(user, {"my_losses.py": "VALUE = 1\n"})
    assert take(store, ["my_losses"]) == first


def test_a_file_that_moves_makes_another_snapshot(user: Path, store: Store) -> None:
    package(user / "mine")
    first = take(store, ["mine.losses"])
    os.rename(user / "mine/losses.py", user / "mine/other.py")
    forget_sources()
    assert take(store, ["mine.other"]).id != first.id


@pytest.mark.slow
def test_imports_come_from_the_copy_where_the_original_is_the_current_directory_and_installed(
    user: Path, store: Store
) -> None:
    write(user, {"my_losses.py": "VALUE = 1\n"})
    package(user / "mine")
    taken = take(store, ["my_losses", "mine.losses"])
    write(user, {"my_losses.py": "VALUE = 2\n", "mine/losses.py": "VALUE = 2\n"})
    code = "import suite.losses.base as s, my_losses as a, mine.losses as b; "
    code += "print(s.__file__, a.__file__, b.__file__, a.VALUE, b.VALUE)"
    files = [str(taken.code / name) for name in ("suite/losses/base.py", "my_losses.py", "mine/losses.py")]
    assert python(code, taken.code, cwd=user).split() == [*files, "1", "1"]
    assert python("import suite; print(suite.__file__)", taken.code, cwd=ROOT) == str(taken.code / "suite/__init__.py")


def test_a_single_module_brings_nothing_that_lies_beside_it(user: Path, store: Store) -> None:
    write(user, {"my_losses.py": "", "other.py": "", "notes": ""})
    taken = take(store, ["my_losses"])
    assert {name for name in copied(taken, "") if not name.startswith("suite/")} == {"my_losses.py"}


def test_a_package_comes_whole_whichever_of_its_modules_is_named(user: Path, store: Store) -> None:
    package(user / "mine")
    write(user, {"mine/deep/other.py": "", "mine/deep/data/weights": b"\0\1"})
    write(user, {"mine/__pycache__/losses.cpython-311.pyc": "", "mine/.hidden": "", "mine/.git/config": ""})
    taken = take(store, ["mine.losses"])
    assert copied(taken, "mine") == {
        "mine/__init__.py": b"",
        "mine/losses.py": b"VALUE = 1\n",
        "mine/data/table": b"1,2\n",
        "mine/deep/other.py": b"",
        "mine/deep/data/weights": b"\0\1",
    }
    assert take(store, ["mine", "mine.losses", "mine.deep.other"]) == taken


def test_of_a_package_without_init_only_the_folders_of_the_named_modules_come(user: Path, store: Store) -> None:
    write(user, {"space/mine.py": "VALUE = 1", "space/helper.py": "", "space/table": "1,2"})
    write(user, {"space/outputs/huge": "", "space/far/theirs.py": "", "space/big": b"\0" * (2**20 + 1)})
    package(user / "space" / "whole")
    package(user / "space" / "another")
    taken = take(store, ["space.mine", "space.whole.losses"])
    assert set(copied(taken, "space")) == {
        *("space/mine.py", "space/helper.py", "space/table"),
        *("space/whole/__init__.py", "space/whole/losses.py", "space/whole/data/table"),
    }
    assert taken.left_out == {"space/big": "more than 1 MiB"}
    assert python("from space.mine import VALUE; print(VALUE)", taken.code, cwd=store.out) == "1"


def test_of_a_crowded_folder_without_init_only_python_comes(
    user: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MOST_ENTRIES", 3)
    write(user, {"space/mine.py": "", "space/helper.py": "", "space/a": "", "space/b": ""})
    taken = take(store, ["space.mine"])
    assert set(copied(taken, "space")) == {"space/mine.py", "space/helper.py"}
    assert "space/*" in taken.left_out


def test_what_is_no_code_is_left_out_and_listed(user: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = package(user / "mine")
    monkeypatch.setattr(snapshot, "MOST_ENTRIES", 400)
    with (mine / "weights.bin").open("wb") as file:
        file.truncate(10 * 2**20 + 1)
    with (mine / "small.bin").open("wb") as file:
        file.truncate(10 * 2**20)
    (mine / "images").mkdir()
    for number in range(401):
        (mine / "images" / f"{number}.png").touch()
    write(mine, {"env/pyvenv.cfg": "", "env/thing.py": "", "old/runs/a": "", "old/launches/b": ""})
    os.mkfifo(mine / "pipe")
    taken = take(store, ["mine"])
    assert set(copied(taken, "mine")) == {
        *("mine/__init__.py", "mine/losses.py", "mine/data/table", "mine/small.bin"),
    }
    assert taken.left_out == {
        "mine/weights.bin": "more than 10 MiB",
        "mine/images": "more than 400 entries",
        "mine/env": "a Python environment",
        "mine/old": "a results folder",
        "mine/pipe": "not a file, or a link to nothing",
    }


def test_a_results_folder_inside_a_package_is_not_copied_into_itself(user: Path) -> None:
    mine = package(user / "mine")
    store = Store(mine / "results")
    first = take(store, ["mine"])
    assert not any("results" in name for name in copied(first, "mine"))
    assert take(store, ["mine"]) == first


def test_a_package_with_too_many_files_is_refused_with_what_to_do(
    user: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = package(user / "mine")
    monkeypatch.setattr(snapshot, "MOST_FILES", 500)
    for number in range(500):
        (mine / f"{number}.txt").touch()
    with pytest.raises(SnapshotError, match=r"mine holds more than 500 files.*begin with a dot"):
        take(store, ["mine"])
    assert not snapshots(store).exists()


def test_a_module_that_does_not_exist_is_named(user: Path, store: Store) -> None:
    write(user, {"space/mine.py": ""})
    with pytest.raises(SnapshotError, match=r"there is no module space\.nothing"):
        take(store, ["space.mine", "space.nothing"])


def test_links_are_followed_and_loops_are_not(user: Path, store: Store, tmp_path: Path) -> None:
    mine = package(user / "mine")
    write(tmp_path / "elsewhere", {"table": "3,4\n", "code/more.py": "MORE = 1\n"})
    (mine / "linked.csv").symlink_to(tmp_path / "elsewhere/table")
    (mine / "linked").symlink_to(tmp_path / "elsewhere/code")
    (mine / "loop").symlink_to(mine)
    (mine / "self").symlink_to("self")
    (mine / "nothing").symlink_to("nowhere")
    taken = take(store, ["mine"])
    assert set(copied(taken, "mine")) == {
        *("mine/__init__.py", "mine/losses.py", "mine/data/table", "mine/linked.csv", "mine/linked/more.py")
    }
    assert not any(path.is_symlink() for path in taken.folder.rglob("*"))
    assert set(taken.left_out) == {"mine/loop", "mine/self", "mine/nothing"}


def test_copies_of_read_only_files_can_be_removed_and_written(user: Path, store: Store) -> None:
    mine = package(user / "mine")
    for path in (mine / "losses.py", mine / "data/table"):
        path.chmod(0o444)
    (mine / "data").chmod(0o555)
    try:
        taken = take(store, ["mine"])
    finally:
        (mine / "data").chmod(0o755)
    assert all(path.stat().st_mode & 0o200 for path in taken.folder.rglob("*"))


def test_a_take_that_is_killed_leaves_no_snapshot_and_the_next_one_is_complete(user: Path, store: Store) -> None:
    package(user / "mine")
    code = """if True:
        import os, shutil
        from pathlib import Path
        from suite.records.record import Store
        from suite.provenance.snapshot import take
        copy, count = shutil.copyfile, 0
        def dying(*arguments):
            global count
            count += 1
            if count == 20:
                os._exit(9)
            return copy(*arguments)
        shutil.copyfile = dying
        take(Store(Path("../results")), ["mine"])
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(user)])}
    assert subprocess.run([sys.executable, "-c", code], cwd=user, env=environment).returncode == 9
    assert [path.name[0] for path in snapshots(store).iterdir()] == ["."]
    taken = take(store, ["mine"])
    assert set(described(taken)["files"]) == set(copied(taken, ""))  # type: ignore[call-overload]


def test_a_snapshot_that_was_damaged_is_repaired_in_place(user: Path, store: Store) -> None:
    package(user / "mine")
    taken = take(store, ["mine"])
    before = copied(taken, "")
    (taken.code / "mine/losses.py").write_text("torn")
    shutil.rmtree(taken.code / "mine/data")
    assert take(store, ["mine"]) == taken
    assert copied(taken, "") == before
    (taken.folder / "snapshot.json").write_text("{")
    assert take(store, ["mine"]) == taken
    assert "files" in described(taken)
    assert list(snapshots(store).iterdir()) == [taken.folder]


def test_two_takers_at_once_have_one_snapshot_between_them(user: Path, store: Store) -> None:
    package(user / "mine")
    with ThreadPoolExecutor(4) as pool:
        taken = set(pool.map(lambda _: take(store, ["mine"]), range(4)))
    assert len(taken) == 1
    assert list(snapshots(store).iterdir()) == [taken.pop().folder]


def in_between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen just before a snapshot gets its name, once."""
    rename, pending = os.rename, [act]

    def renamed(*arguments: Path) -> None:
        if pending:
            pending.pop()()
        rename(*arguments)

    monkeypatch.setattr(os, "rename", renamed)


def test_a_taker_that_comes_second_uses_the_snapshot_of_the_first(
    user: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(user / "mine")
    first: list[Snapshot] = []
    in_between(monkeypatch, lambda: first.append(take(store, ["mine"])))
    second = take(store, ["mine"])
    assert [second] == first
    assert list(snapshots(store).iterdir()) == [second.folder]


def test_code_that_is_edited_while_it_is_copied_is_named_by_what_was_copied(
    user: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(user / "mine")
    is_intact = snapshot._is_intact

    def edited(target: Path, digests: dict[str, str]) -> bool:
        write(user, {"mine/losses.py": "VALUE = 2\n"})
        return is_intact(target, digests)

    monkeypatch.setattr(snapshot, "_is_intact", edited)
    taken = take(store, ["mine"])
    assert copied(taken, "mine")["mine/losses.py"] == b"VALUE = 2\n"
    monkeypatch.undo()
    monkeypatch.syspath_prepend(user)
    assert take(store, ["mine"]) == taken


def test_an_installed_suite_outside_any_repository_is_copied(store: Store, tmp_path: Path) -> None:
    installed = tmp_path / "site-packages"
    shutil.copytree(ROOT / "suite", installed / "suite", ignore=shutil.ignore_patterns("__pycache__"))
    code = "from pathlib import Path; from suite.records.record import Store; "
    code += "from suite.provenance.snapshot import take; "
    code += f"print(take(Store(Path({str(store.out)!r})), []))"
    assert "git='unknown'" in python(code, installed, cwd=tmp_path)
    (folder,) = snapshots(store).iterdir()
    taken = Snapshot(folder.name, folder, "unknown")
    assert copied(taken, "") == copied(take(Store(tmp_path / "other"), []), "")
    assert described(taken)["repositories"] == []
    assert not (folder / "uncommitted.patch").exists()


def test_a_module_two_folders_deep_without_init_is_found(user: Path, store: Store) -> None:
    write(user, {"space/near/mine.py": "VALUE = 1", "space/near/helper.py": "", "space/far/theirs.py": ""})
    taken = take(store, ["space.near.mine"])
    assert set(copied(taken, "space")) == {"space/near/mine.py", "space/near/helper.py"}
