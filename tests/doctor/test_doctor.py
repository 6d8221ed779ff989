"""The doctor without a cluster: what it finds, that it says what to do, and that nothing breaks or stays behind."""

import errno
import fcntl
import os
import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from suite.data import describe
from suite.doctor import Finding, devices, examine, folders, has_problem, to_json, tracking
from suite.doctor.devices import Machine
from suite.doctor.folders import Mount, Space
from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.slurm import client
from suite.records.record import Store
from suite.registry.load import load
from suite.tracking import create_store
from tests.cluster import toy_registry
from tests.tracking.servers import free_port

TORCH = {"version": "2.15.0", "cuda": "13.2", "devices": ["H100", "H100"], "said": "", "torchvision_error": ""}
NO_GPU = {**TORCH, "cuda": "", "devices": []}
MACHINE = Machine("3.11.7", "/usr/bin/python", TORCH, ["GPU 0: H100", "GPU 1: H100"])


def states(findings: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    """Return what was found and is not fine; each of it comes with advice."""
    bad = [finding for finding in findings if finding.state != "ok"]
    assert all(finding.advice for finding in bad)
    return {finding.what: finding.state for finding in bad}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write modules that Python finds first in a process of its own, and an nvidia-smi."""

    def write(gpus: int = 0, **modules: str) -> None:
        folder = tmp_path / "stubs"
        folder.mkdir()
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
        lines = [f"echo 'GPU {number}: Pretended (UUID: GPU-{number})'" for number in range(gpus)]
        (folder / "nvidia-smi").write_text("\n".join(["#!/bin/sh", *lines]))
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return write


def torch_stub(cuda: str | None, seen: int) -> str:
    return f"""
        __version__ = "2.15.0"
        class version: cuda = {cuda!r}
        class cuda:
            is_available = lambda: {seen > 0}
            device_count = lambda: {seen}
            get_device_name = lambda index: "Pretended"
    """


def test_a_machine_that_is_well_has_only_good_findings_and_nothing_stays_behind(tmp_path: Path) -> None:
    registry = load(toy_registry(tmp_path), [], None)
    uri = f"sqlite:///{tmp_path}/results/mlflow.db"
    before = sorted(tmp_path.rglob("*"))
    found = list(examine(registry, Store(tmp_path / "results"), uri))
    assert [finding for finding in found if finding.state in ("problem", "unknown")] == []
    assert {finding.topic for finding in found} == {"python", "torch", "devices", "data", "disk", "tracking"}
    assert any(finding.what.startswith("torch 2.") for finding in found)
    assert sorted(tmp_path.rglob("*")) == before


def test_findings_come_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "measure", lambda: pytest.fail("torch is looked at later"))
    found = examine(load(toy_registry(tmp_path), [], None), Store(tmp_path / "results"), "sqlite:///nowhere.db")
    assert next(found).topic == "python"


def test_a_missing_torch_is_a_problem_and_no_traceback(stub: Callable[..., None]) -> None:
    stub(torch="raise ModuleNotFoundError(\"No module named 'torch'\")")
    found = states(devices.findings(devices.measure()))
    assert found == {"torch cannot be imported: ModuleNotFoundError: No module named 'torch'": "problem"}


def test_a_torch_that_crashes_takes_nothing_down(stub: Callable[..., None]) -> None:
    stub(torch="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    found = states(devices.findings(devices.measure()))
    assert found == {"torch cannot be imported: the process ended with signal 11": "problem"}


def test_a_torchvision_of_another_version_is_a_problem(stub: Callable[..., None]) -> None:
    stub(torch=torch_stub(None, 0), torchvision="raise RuntimeError('operator torchvision::nms does not exist\\nmore')")
    found = states(devices.findings(devices.measure()))
    what = "torchvision cannot be imported: RuntimeError: operator torchvision::nms does not exist"
    assert found == {what: "problem"}


@pytest.mark.parametrize(
    "cuda, seen, listed, expected",
    [
        (None, 0, 0, None),
        ("13.2", 2, 2, None),
        (None, 0, 2, "nvidia-smi lists 2 GPUs, and torch is built for the CPU alone: runs would compute there"),
        ("13.2", 0, 2, "nvidia-smi lists 2 GPUs, torch sees 0."),
    ],
)
def test_gpus_that_torch_cannot_use_are_a_problem(
    stub: Callable[..., None], cuda: str | None, seen: int, listed: int, expected: str | None
) -> None:
    stub(listed, torch=torch_stub(cuda, seen), torchvision="")
    found = states(devices.findings(devices.measure()))
    assert found == ({} if expected is None else {expected: "problem"})


def test_variables_set_by_hand_that_change_what_runs_compute_on_are_named() -> None:
    hidden = replace(MACHINE, torch={**TORCH, "devices": ["H100"]}, variables={"CUDA_VISIBLE_DEVICES": "1"})
    assert states(devices.findings(hidden)) == {"CUDA_VISIBLE_DEVICES=1 leaves 1 of 2 GPUs: H100": "warning"}
    loose = replace(MACHINE, variables={"CUBLAS_WORKSPACE_CONFIG": ":0:0"})
    (what,) = states(devices.findings(loose))
    assert what.startswith("CUBLAS_WORKSPACE_CONFIG=:0:0: on a GPU the last bits may differ")


def test_data_that_is_missing_or_damaged_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "points.bin"
    file.write_bytes(b"0123456789")
    (tmp_path / "mine.yaml").write_text(describe([file]))
    registry_file = toy_registry(tmp_path)
    text = registry_file.read_text().replace("  blobs:\n", "  blobs:\n    data: [points]\n")
    registry_file.write_text(f"catalogues: [mine.yaml]\n{text}")
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    from suite.doctor import data

    registry = load(registry_file, [], None)
    (missing,) = [finding for finding in data.findings(registry) if finding.state != "ok"]
    assert (missing.state, missing.what) == (
        "warning", "points is not in the cache (10 bytes unpacked): the first run of it fetches it"
    )  # fmt: skip
    fetch = f"python -m suite data fetch points --registry {registry_file}"
    assert missing.advice.startswith(f"{fetch}, which tries ") and str(file) in missing.advice
    monkeypatch.chdir(registry_file.parent)
    (missing,) = [finding for finding in data.findings(registry) if finding.state != "ok"]
    assert missing.advice.startswith("python -m suite data fetch points, which tries ")
    registry.data.fetch(["points"], offline=True)
    assert states(data.findings(registry)) == {}
    cached = tmp_path / "cache" / "points" / "points.bin"
    cached.write_bytes(b"9876543210")
    assert states(data.findings(registry)) == {f"points is damaged in {cached.parent}": "problem"}
    monkeypatch.setattr(data, "space", lambda folder: Space(3, None))
    (_, room) = states(data.findings(registry)).items()
    assert room == (f"what is missing needs 10 bytes, more than is free in {registry.data.root}", "problem")


def test_data_that_is_put_there_by_hand_is_neither_fetched_nor_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "points: {title: Points, licence: CC0, origin: 'https://example.org/points', reference: Me 2024,\n"
        "  members: {points.bin: {sha256: recorded, about: 10}}}\n"
    )
    registry_file = toy_registry(tmp_path)
    text = registry_file.read_text().replace("  blobs:\n", "  blobs:\n    data: [points]\n")
    registry_file.write_text(f"catalogues: [mine.yaml]\n{text}")
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    from suite.doctor import data

    registry = load(registry_file, [], None)
    folder = tmp_path / "cache" / "points"
    (missing,) = [finding for finding in data.findings(registry) if finding.state != "ok"]
    assert missing.what == "points is not in the cache (10 bytes unpacked), nor fetched by a run"
    assert missing.advice == (
        f"no program may download it: see https://example.org/points, and put its files into {folder}; "
        "then python -m suite data fetch points"
    )
    folder.mkdir(parents=True)
    (folder / "points.bin").write_bytes(b"0123456789")
    what = f"points was put into {folder} by hand: its first use records what it is"
    assert states(data.findings(registry)) == {what: "warning"}
    registry.data.fetch(["points"], offline=True)
    assert states(data.findings(registry)) == {}
    (folder / "points.bin").write_bytes(b"9876543210")
    assert states(data.findings(registry)) == {f"points is damaged in {folder}": "problem"}


@pytest.mark.parametrize(
    "left, state",
    [(Space(2**40, None), None), (Space(5 * 2**27, 10**6), "warning"), (Space(0, 10**6), "problem"),
     (Space(2**40, 500), "warning"), (Space(2**40, 0), "problem")],
)  # fmt: skip
def test_a_folder_without_room_is_found(
    left: Space, state: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "space", lambda folder: left)
    assert list(states(folders.findings("results folder", tmp_path, False)).values()) == ([state] if state else [])


@pytest.fixture
def powerless() -> Iterator[Path]:
    """A folder in which this process may not write, though it is root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_results_folder_that_may_not_be_written_is_a_problem(powerless: Path) -> None:
    found = states(folders.findings("results folder", powerless / "results", False))
    assert found == {f"results folder {powerless / 'results'} cannot be written: Permission denied": "problem"}


def test_a_file_in_the_place_of_the_results_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    found = states(folders.findings("results folder", tmp_path / "results", False))
    assert found == {f"results folder {tmp_path / 'results'} cannot be written: Not a directory": "problem"}


def test_refused_locks_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: IO[str], operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    (what,) = states(folders.findings("results folder", tmp_path, False))
    assert "locks are refused: No locks available; without locks a run may be executed twice" in what


def test_locks_that_are_granted_twice_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
    (what,) = states(folders.findings("results folder", tmp_path, False))
    assert "a lock is granted twice" in what


def test_a_file_system_that_replaces_files_in_two_steps_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_slowly(path: Path, write: Callable[[IO[bytes]], Any], durable: bool = True) -> None:
        with path.open("wb") as file:
            time.sleep(0.001)
            write(file)

    monkeypatch.setattr(folders, "atomic_write", replace_slowly)
    (what,) = states(folders.findings("results folder", tmp_path, False))
    assert "readers found it missing or incomplete" in what


@pytest.mark.parametrize(
    "kind, options, shared, expected",
    [
        ("ext4", ["rw"], True, None),
        ("nfs4", ["rw", "vers=4.2", "local_lock=none"], True, None),
        ("nfs4", ["rw", "vers=4.2", "local_lock=all"], True, "problem"),
        ("nfs", ["rw", "nolock"], False, "warning"),
        ("lustre", ["rw", "flock"], True, None),
        ("lustre", ["rw", "localflock"], True, "problem"),
        ("fuse.sshfs", ["rw"], True, "problem"),
        ("fuse.s3fs", ["rw"], False, "problem"),
        ("tmpfs", ["rw"], True, "warning"),
    ],
)
def test_file_systems_with_known_trouble_are_named(
    kind: str, options: list[str], shared: bool, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "mount", lambda folder: Mount("/scratch", kind, tuple(options)))
    found = states(folders.findings("results folder", tmp_path, shared))
    assert list(found.values()) == ([expected] if expected else [])


def test_the_file_system_of_a_folder_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    found = folders.mount(tmp_path / "not" / "there")
    assert found is not None
    inner = next(one for one in (tmp_path, *tmp_path.parents) if os.path.ismount(one))
    assert Path(found.point) == inner
    assert folders.mount(Path("/proc/self")) == Mount("/proc", "proc", folders.mount(Path("/proc")).options)  # type: ignore[union-attr]


def test_a_tracking_server_that_is_down_is_a_problem_and_its_password_is_not_printed() -> None:
    uri = f"http://me:secret@127.0.0.1:{free_port()}"
    found = list(tracking.findings(uri, "toy"))
    assert [finding.state for finding in found] == ["problem"]
    assert "no server answers there" in found[0].what and "python -m suite sync" in found[0].advice
    assert "secret" not in "".join(finding.what + finding.advice for finding in found)


def test_looking_at_a_store_creates_nothing_in_it(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert [finding.state for finding in tracking.findings(uri, "toy")] == ["ok"]
    assert not list(tmp_path.iterdir())
    create_store(uri)
    assert "makes experiment 'toy'" in next(tracking.findings(uri, "toy")).what
    assert "makes experiment 'toy'" in next(tracking.findings(uri, "toy")).what
    create_store(uri, "toy")
    assert "has experiment 'toy'" in next(tracking.findings(uri, "toy")).what


def test_a_machine_without_slurm_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "measure", lambda: MACHINE)
    monkeypatch.setenv("PATH", str(tmp_path))
    registry = load(toy_registry(tmp_path), [], "slurm")
    *_, last = examine(registry, Store(tmp_path / "results"), f"sqlite:///{tmp_path}/mlflow.db")
    assert (last.topic, last.state) == ("slurm", "problem")
    assert last.what == "not installed here: sbatch, srun, squeue, scancel, scontrol, sinfo"


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("30:00", 1800),
        ("4:00:00", 14_400),
        ("1-12:00:00", 129_600),
        ("2-00:00:00", 172_800),
        ("infinite", float("inf")),
    ],
)
def test_time_limits_are_read_as_sinfo_prints_them(text: str, seconds: float) -> None:
    assert client.limit_s(text) == seconds


REPORT = {
    "host": "n1", "here": True, "lock": "held", "code": "/shared/x/suite", "is_copy": True, "round_trip_s": 0.4,
    "ahead_s": 0.1, "machine": MACHINE.to_json(), "data_root": "/cache", "data_missing": [], "tracking": True,
}  # fmt: skip
BARE = {**MACHINE.to_json(), "torch": NO_GPU}
OLD = {**MACHINE.to_json(), "torch": {**TORCH, "version": "2.1.0"}}
NO_TORCH = {**MACHINE.to_json(), "torch": {"error": "ModuleNotFoundError: No module named 'torch'"}}
HELD = "a lock held here is"
TWICE = ": runs could be executed twice"
SYSTEM = {**MACHINE.to_json(), "variables": {"CUDA_VISIBLE_DEVICES": "0,1"}}


@pytest.mark.parametrize(
    "changed, lock, gpus, expected",
    [
        ({}, "held", 1, {}),
        ({"tracking": False}, "held", 1, {}),
        ({"lock": "free"}, "held", 1, {f"{HELD} free on the node, one held there is held here{TWICE}": "problem"}),
        ({}, "free", 1, {f"{HELD} held on the node, one held there is free here{TWICE}": "problem"}),
        ({"here": False}, "held", 1, {"files written here are not seen on n1, or only after 60 s": "problem"}),
        ({"data_missing": ["cora/x", "cora/y"]}, "held", 1, {"n1 does not see cora in /cache": "problem"}),
        ({"is_copy": False}, "held", 1,
         {"on n1 the suite is imported from /shared/x/suite, not from the copy in the results folder": "problem"}),
        ({"ahead_s": -7.25}, "held", 1, {"the clock of n1 is 7.2 s behind ours": "warning"}),
        ({"ahead_s": 7.25, "round_trip_s": 60.0}, "held", 1, {}),
        ({"machine": NO_TORCH}, "held", 0,
         {"n1: torch cannot be imported: ModuleNotFoundError: No module named 'torch'": "problem"}),
        ({"machine": OLD}, "held", 1,
         {"torch is 2.1.0 on n1 and 2.15.0 here: results are not the same to the last bit": "warning"}),
        ({"machine": BARE}, "held", 0, {}),
        ({"machine": BARE}, "held", 1,
         {"n1: a GPU was asked for, CUDA_VISIBLE_DEVICES=None, and torch sees none": "problem"}),
        ({"machine": SYSTEM}, "held", 0,
         {"n1: no GPU was asked for, and CUDA_VISIBLE_DEVICES=0,1 came along from here": "warning"}),
    ],
)  # fmt: skip
def test_what_a_node_reports_is_judged(
    changed: dict[str, Any], lock: str, gpus: int, expected: dict[str, str], tmp_path: Path
) -> None:
    from suite.doctor.visit import Visit, judge

    visit = Visit(tmp_path, "17", 3.0, lock)
    launcher = SlurmLauncher("slurm", gpus=gpus)
    assert states(judge({**REPORT, **changed}, visit, launcher, MACHINE, 2, "http://there")) == expected


def test_findings_for_programs() -> None:
    fine = Finding("disk", "ok", "room")
    found = [fine, Finding("slurm", "problem", "no", "do")]
    assert has_problem(found) and not has_problem([fine, Finding("probe", "unknown", "?", "later")])
    assert to_json(found)["healthy"] is False and to_json(found)["findings"][1]["advice"] == "do"
