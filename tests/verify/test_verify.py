"""Verification: results run again, and everything that can differ from what was logged."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from analysis.read.bundle import write
from analysis.read.logged import Logged
from suite.data import describe
from suite.plan.run import run_of
from suite.registry.load import load
from suite.tracking.bundle import NEEDED
from suite.tracking.entry import flatten
from suite.verify.replay import Replayer, replayer
from suite.verify.results import COLUMNS
from tests.cluster import command, environment, suite_here, toy_registry
from tests.conftest import Project
from tests.tracking.gated import GATE
from tests.waiting import PATIENCE_S, until

SMOKE = ("--profile", "smoke", "--losses", "cosine", "infonce", "references", "--seeds", "0")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign of two losses and two references; tests work on copies."""
    folder = tmp_path_factory.mktemp("campaign")
    toy_registry(folder)
    done = suite(folder, "run", *SMOKE, "--quiet", "--launcher", "debug")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def replay() -> Iterator[Replayer]:
    """One process for all tests: importing torch takes longer than the toys."""
    with replayer([]) as made:
        yield made


@pytest.fixture
def finished(
    campaign: Path,
    replay: Replayer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    """A copy of the campaign, and what a user types there."""
    copy = tmp_path / "copy"
    shutil.copytree(campaign, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setattr("suite.cli.runs.verify.replayer", lambda catalogues: contextlib.nullcontext(replay))
    return Project(copy, capsys)


def suite(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments), cwd=folder, env={**environment(), **variables}, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip


def verified(project: Project, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Verify and return the exit status and the verified runs by name."""
    status, out, errors = project.suite("verify", "--json", *arguments)
    assert out, errors
    return status, {run["run"]: run for run in json.loads(out)["runs"]}


def record_of(folder: Path, loss: str) -> Path:
    for file in sorted((folder / "results" / "runs").glob("*/run.json")):
        if json.loads(file.read_text())["loss"] == loss:
            return file.parent
    raise AssertionError(loss)


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


def bundle(folder: Path, change: Callable[[pd.DataFrame], object] = lambda frame: None) -> Path:
    """Write the finished runs as a bundle has them, and take the records away."""
    rows = []
    for file in sorted((folder / "results" / "runs").glob("*/run.json")):
        run, result = json.loads(file.read_text()), json.loads((file.parent / "result.json").read_text())
        rows.append(
            {
                **{name: run[name] for name in ("key", "benchmark", "loss", "kind", "seed", "profile")},
                **{f"param.{name}": value for name, value in flatten(run["config"])},
                **result["metrics"],
                **{f"seconds/{part}": value for part, value in result["seconds"].items()},
                "code": json.dumps({module: digest[:12] for module, digest in run["code"].items()}),
                "packages": json.dumps(run["provenance"]["packages"]),
                "hardware": json.dumps(run["provenance"]["hardware"]),
                "status": "FINISHED",
                "run_id": run["key"],
            }
        )
    frame = pd.DataFrame(rows)
    change(frame)
    shutil.rmtree(folder / "results")
    return export(frame, folder)


def export(frame: pd.DataFrame, folder: Path) -> Path:
    """Write a bundle of runs; the columns that a bundle has beside those of the frame hold nothing."""
    times = pd.Series(pd.NaT, frame.index, dtype="datetime64[ns, UTC]")
    nothing = {name: times if name in ("start", "end") else None for name in NEEDED if name not in frame}
    return write(Logged(frame.assign(**nothing).astype({"seed": "int64"}), experiment="toy"), folder)[0]


def test_results_come_back_bit_for_bit_and_nothing_is_written(campaign: Path) -> None:
    before = tree(campaign)
    done = suite(campaign, "verify", *SMOKE, "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"blobs/cosine/seed0 +identical", done.stdout)
    assert re.search(r"blobs/chance/seed0 +identical", done.stdout)
    assert "4 runs verified: nothing differs" in done.stdout
    assert "[4/4]" in done.stderr and "verifying 4 of 4 finished runs" in done.stderr
    assert tree(campaign) == before


def test_a_bundle_is_verified_without_its_records(finished: Project) -> None:
    file = bundle(finished.folder)
    status, runs = verified(finished, "--from", str(file), "--all")
    assert {name: run["verdict"] for name, run in runs.items()} == {
        f"blobs/{loss}/seed0": "identical" for loss in ("cosine", "infonce", "chance", "untrained")
    }
    assert status == 0
    assert set(verified(finished, "--from", str(file), "--losses", "references")[1]) == {
        "blobs/chance/seed0",
        "blobs/untrained/seed0",
    }


def test_a_tampered_result_stale_code_and_a_damaged_configuration_are_found(finished: Project) -> None:
    def nudge(result: dict[str, Any]) -> None:
        result["metrics"]["test/accuracy"] += 1e-12

    edit(record_of(finished.folder, "cosine") / "result.json", nudge)
    edit(record_of(finished.folder, "untrained") / "result.json", lambda r: r["code"].update({"tests.toys": "0" * 64}))
    edit(record_of(finished.folder, "chance") / "run.json", lambda run: run["config"]["benchmark"].update(batch=99))
    status, out, _ = finished.suite("verify", *SMOKE, "--all")
    assert status == 1
    assert re.search(r"blobs/infonce/seed0 +identical", out)
    assert re.search(r"blobs/cosine/seed0 +DIFFERENT +test/accuracy", out)
    assert "numbers: blobs/cosine/seed0: 1 of 2 metrics differ; most of all test/accuracy" in out
    assert re.search(r"blobs/untrained/seed0 +STALE, identical", out)
    assert "code: blobs/untrained/seed0: made by other code: tests.toys" in out
    assert re.search(r"blobs/chance/seed0 +OTHER SETTINGS", out)
    assert "does not belong to its key: benchmark.batch 32, logged 99" in out
    assert "3 differ from what was logged" in out


def test_what_another_kind_of_machine_computes_is_held_against_the_scatter_of_the_seeds(finished: Project) -> None:
    def elsewhere(frame: pd.DataFrame) -> None:
        frame["hardware"] = [json.dumps({**json.loads(h), "processor": "Other 9000"}) for h in frame["hardware"]]
        trained = frame["kind"] == "loss"
        frame.loc[trained, "test/accuracy"] += 0.015
        for loss in frame.loc[trained, "loss"].tolist():
            for seed, step in ((1, -0.02), (2, 0.02)):
                mine = frame[frame["loss"] == loss].iloc[0].to_dict()
                moved = {"seed": seed, "key": f"{loss}{seed}", "test/accuracy": mine["test/accuracy"] + step}
                frame.loc[len(frame)] = {**mine, **moved}

    file = bundle(finished.folder, elsewhere)
    chosen = ("verify", "--from", str(file), "--all", "--seeds", "0")
    status, out, _ = finished.suite(*chosen)
    assert status == 0
    assert re.search(r"blobs/cosine/seed0 +other bits", out)
    assert re.search(r"blobs/untrained/seed0 +identical", out)
    assert "4 of them were made on another kind of machine (processor" in out
    assert "logged Other 9000" in out
    # two losses, each with deviations of 0, -.02 and .02 from its mean, have s = .02 with 4 degrees of freedom; two
    # losses on validation and on test are four primary means; one seed
    allowed = stats.t.isf(0.025 / 4, 4) * 0.02 * math.sqrt(2)
    status, out, _ = finished.suite(*chosen, "--json")
    means = {(mean["loss"], mean["metric"]): mean for mean in json.loads(out)["means"]}
    found = means["cosine", "test/accuracy"]
    assert (found["allowed"], found["freedom"], found["seeds"]) == (pytest.approx(allowed), 4, [0])
    assert found["logged"] - found["found"] == pytest.approx(0.015)


def test_a_mean_that_differs_by_more_than_seeds_do_is_named(finished: Project) -> None:
    def elsewhere(frame: pd.DataFrame) -> None:
        frame["hardware"] = [json.dumps({**json.loads(h), "processor": "Other 9000"}) for h in frame["hardware"]]
        frame.loc[frame["loss"] == "chance", "test/accuracy"] += 0.02

    file = bundle(finished.folder, elsewhere)
    status, out, _ = finished.suite("verify", "--from", str(file), "--all")
    assert status == 1
    assert re.search(r"blobs/chance +test/accuracy +1 .*\(seeds do not tell\) +DIFFERENT", out)
    assert re.search(r"1 of \d+ means differ by more than the seeds allow", out)
    assert finished.suite("verify", "--from", str(file), "--all", "--tolerance", "0.03")[0] == 0


def test_runs_of_a_bundle_that_the_registry_no_longer_makes_are_named_with_what_changed(finished: Project) -> None:
    file = bundle(finished.folder)
    registry = finished.folder / "benchmarks.yaml"
    registry.write_text(registry.read_text().replace("smoke: {epochs: 2}", "smoke: {epochs: 4}"))
    status, runs = verified(finished, "--from", str(file), "--losses", "cosine")
    (problem,) = runs["blobs/cosine/seed0"]["problems"]
    assert (status, problem["topic"]) == (1, "settings")
    assert problem["text"] == "the registry makes this run with other settings: benchmark.epochs 4, logged 2"
    registry.write_text(registry.read_text().replace("  blobs:", "  bubbles:"))
    status, runs = verified(finished, "--from", str(file), "--sample", "1")
    (run,) = runs.values()
    assert (status, run["verdict"]) == (1, "OTHER SETTINGS")
    assert "no benchmark 'blobs'" in run["problems"][0]["text"]


def test_a_run_that_fails_now_is_a_difference_and_the_others_go_on(finished: Project) -> None:
    registry = load()

    def add(frame: pd.DataFrame) -> None:
        settings = [name for name in frame if name.startswith("param.")]
        for loss in ("raises", "dies"):
            row = {**frame.iloc[0].to_dict(), **dict.fromkeys(settings), "loss": loss, "kind": "loss", "code": "{}"}
            frame.loc[len(frame)] = {**row, "key": run_of(registry, "blobs", loss, "loss", 0, "smoke").key}

    file = bundle(finished.folder, add)
    status, runs = verified(finished, "--from", str(file), "--all")
    assert status == 1
    assert {name.split("/")[1]: run["verdict"] for name, run in runs.items()} == {
        **dict.fromkeys(("cosine", "infonce", "chance", "untrained"), "identical"),
        **dict.fromkeys(("raises", "dies"), "FAILED"),
    }
    assert runs["blobs/raises/seed0"]["problems"][0]["text"] == "KeyError: 'no such thing'"
    assert runs["blobs/dies/seed0"]["problems"][0]["text"].startswith("its process ended with exit status 9")
    assert verified(finished, "--from", str(file), "--losses", "cosine")[0] == 0


def test_a_changed_data_file_is_found_and_a_missing_one_is_fetched(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "cache"))
    original = finished.folder / "points.bin"
    original.write_bytes(b"0123456789")
    finished.write(describe([original]), "mine.yaml")
    finished.edit("  blobs:\n", "  blobs:\n    data: [points]\n")
    finished.edit("experiment: toy\n", "experiment: toy\ncatalogues: [mine.yaml]\n")
    select = ("--profile", "smoke", "--losses", "references", "--seeds", "0", "--sample", "1")
    assert finished.suite("run", *select[:-2], "--quiet", "--launcher", "debug")[0] == 0
    file = tmp_path / "cache" / "points" / "points.bin"
    file.write_bytes(b"0123456780")
    status, out, _ = finished.suite("verify", *select)
    assert status == 1
    assert re.search(r"blobs/\w+/seed0 +OTHER DATA", out)
    assert "points.bin is corrupted" in out and f"not {hashlib.sha256(b'0123456789').hexdigest()}" in out
    assert file.read_bytes() == b"0123456780"
    file.unlink()
    status, out, errors = finished.suite("verify", *select)
    assert (status, file.read_bytes()) == (0, b"0123456789")
    assert "data  points: " in errors and "data" not in out


def alive_in_group(group: int) -> list[int]:
    """Return the processes of a group that are not merely waiting to be buried."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def replays(process: int) -> bool:
    return any("suite.verify.replay" in child.cmdline() for child in psutil.Process(process).children())


def test_an_interrupted_verification_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, temporary, folder = tmp_path / "gate", tmp_path / "temporary", tmp_path / "campaign"
    monkeypatch.setenv(GATE, str(gate))
    gate.touch()
    temporary.mkdir()
    folder.mkdir()
    registry = toy_registry(folder)
    registry.write_text(registry.read_text().replace("tests.toys.Blobs", "tests.tracking.gated.GatedBlobs"))
    made = suite_here(folder, "run", *SMOKE, "--quiet", "--launcher", "debug")
    assert made.returncode == 0, made.stderr
    before = tree(folder)
    gate.unlink()  # a run that is replayed does not end by itself
    started = subprocess.Popen(
        command(folder, "verify", *SMOKE, "--all"), cwd=folder, env={**environment(), "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    until(lambda: replays(started.pid), "a process replays")
    os.killpg(started.pid, signal.SIGINT)
    assert started.wait(PATIENCE_S) == 130
    # the replaying process, without its parent, needs a moment to end
    until(lambda: not alive_in_group(started.pid), "its process is gone")
    assert tree(folder) == before
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--profile", "smoke", "--seeds", "1"], "no run of the selection is done"),
        (["--sample", "0"], "--sample: 0 runs cannot be drawn"),
        (["--tolerance", "nan"], "--tolerance: nan will not do"),
        (["--from", "nowhere.parquet"], "nowhere.parquet: there is no such file"),
        (["--from", "benchmarks.yaml"], "benchmarks.yaml: is not a parquet file, or was cut off"),
        (["--from", "table.parquet"], "table.parquet: is not a bundle of this suite; `python -m analysis export`"),
        (["--from", "runs.parquet", "--losses", "cosinus"], "did you mean 'cosine'?"),
    ],
)
def test_bad_input_is_refused_with_status_2(project: Project, arguments: list[str], says: str) -> None:
    pd.DataFrame({"key": ["0"]}).to_parquet(project.folder / "table.parquet")
    export(pd.DataFrame({name: [] for name in (*COLUMNS, "run_id")}, dtype=object), project.folder)
    status, out, errors = project.suite("verify", *arguments)
    assert (status, out) == (2, "")
    assert says in errors
    assert not (project.folder / "results").exists()


def test_a_bundle_that_was_changed_after_its_export_is_refused(project: Project) -> None:
    row = {"key": "0", "benchmark": "blobs", "loss": "cosine", "seed": 0, "profile": "smoke", "kind": "loss"}
    file = export(pd.DataFrame([{**row, "status": "FINISHED", "run_id": "0", "test/accuracy": 0.5}]), project.folder)
    table = pq.read_table(file)
    column = table.column_names.index("test/accuracy")
    pq.write_table(table.set_column(column, "test/accuracy", pa.array([0.5 + 1e-12])), file)
    status, out, errors = project.suite("verify", "--from", str(file), "--all")
    assert (status, out) == (2, "")
    assert f"{file}: was changed after its export: its runs have sha256" in errors
    assert "the manifest says" in errors and "export it again, or take the original" in errors
