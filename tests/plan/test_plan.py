"""Runs, their keys, states and estimates."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.data import Store as DataStore
from suite.launch.view import queued
from suite.plan.plan import Plan, Selection, make_plan
from suite.plan.run import Run, key_of
from suite.provenance.machine import changed_modules
from suite.records.files import write_json
from suite.records.record import Store
from suite.registry.load import load
from tests.conftest import REGISTRY, ROOT, Project
from tests.launch.simulated import local_launch

SMOKE = Selection(("all",), ("all", "references"), ("all",), "smoke")


def planned(project: Project, selection: Selection = SMOKE, *overrides: str) -> Plan:
    store = Store(project.folder / "results")
    return make_plan(load(None, overrides), selection, store, queued(store))


def keys(project: Project, *overrides: str) -> dict[str, str]:
    return {run.name: run.key for run in planned(project, SMOKE, *overrides).runs}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert set(before) == set(after)
    return {name for name in before if before[name] != after[name]}


CONFIG = {
    "benchmark": {"name": "blobs", "_target_": "tests.toys.Blobs", "epochs": 3, "batch": 32, "pause_s": 0.0},
    "loss": {"name": "infonce", "_target_": "suite.losses.InfoNCE", "temperature": 0.5},
    "profile": "smoke",
    "data": {},
    "seed": 2,
}


def test_a_key_is_the_sha256_of_canonical_json(project: Project) -> None:
    (run,) = planned(project, Selection(("blobs",), ("infonce",), ("2",), "smoke")).runs
    assert run.config == CONFIG
    # sha256sum of {"benchmark":{"_target_":"tests.toys.Blobs","batch":32,...},"data":{},...,"seed":2}
    assert run.key == "be51ffbbdd07341cd31e71a176775de526aa13c547a7394754691ba2e2c364eb"


def test_the_plan_is_in_registry_order_with_references_once_or_per_seed(project: Project) -> None:
    runs = planned(project, Selection(("all",), ("all", "references"), ("0-1",), "smoke")).runs
    assert [run.name for run in runs] == [
        "blobs/cosine/seed0", "blobs/cosine/seed1", "blobs/infonce/seed0", "blobs/infonce/seed1",
        "blobs/chance/seed0", "blobs/untrained/seed0", "blobs/untrained/seed1",
        "nothing/cosine/seed0", "nothing/cosine/seed1", "nothing/infonce/seed0", "nothing/infonce/seed1",
    ]  # fmt: skip
    assert len({run.key for run in runs}) == len(runs)
    assert {run.loss: run.kind for run in runs}["untrained"] == "reference"


def test_selection_seeds_are_marked(project: Project) -> None:
    runs = planned(project, Selection(("blobs",), ("infonce",), ("0,selection",), "smoke")).runs
    assert {run.seed: run.purpose for run in runs} == {0: "evaluation", 10: "selection", 11: "selection"}


@pytest.mark.parametrize(
    "override",
    [
        "launcher=debug", "launcher.workers=7", "launcher.threads=3", "experiment=other", "+slices.x.seeds=1",
        "benchmarks.blobs.metric.margin=0.5", "benchmarks.blobs.estimate_s.smoke=9", "losses.cosine.scale=5",
        "losses.cosine.scale=5.0", "benchmarks.blobs.profiles.smoke.batch=32",
        "benchmarks.blobs.profiles.smoke.pause_s=0",
        "benchmarks.blobs.profiles.mini.epochs=77", "losses.cosine.sweep.scale=[3]",
    ],
)  # fmt: skip
def test_what_does_not_enter_a_key(project: Project, override: str) -> None:
    assert keys(project, override) == keys(project)


@pytest.mark.parametrize(
    ("override", "prefix"),
    [
        ("losses.cosine.scale=5.5", ("blobs/cosine/", "nothing/cosine/")),
        ("losses.infonce.temperature=0.5", ("nothing/infonce/",)),
        ("benchmarks.nothing.host_temperature=0.3", ("nothing/infonce/",)),
        ("benchmarks.blobs.profiles.smoke.epochs=4", ("blobs/",)),
        ("benchmarks.blobs._target_=tests.plan.test_plan.OtherBlobs", ("blobs/",)),
    ],
)
def test_what_enters_a_key(project: Project, override: str, prefix: tuple[str, ...]) -> None:
    before = keys(project)
    assert changed(before, keys(project, override)) == {name for name in before if name.startswith(prefix)}


class OtherBlobs:
    def __init__(self, epochs: int = 1, batch: int = 32, pause_s: float = 0.0) -> None: ...

    def task(self, context: object) -> None: ...


class Spread:
    distributed: ClassVar[bool] = True


class SpreadBlobs(OtherBlobs, Spread): ...


def test_a_run_that_is_spread_over_processes_is_another_run_but_a_reference_never_is(project: Project) -> None:
    project.edit("_target_: tests.toys.Blobs", "_target_: tests.plan.test_plan.SpreadBlobs")
    before = keys(project)
    after = keys(project, "benchmarks.blobs.resources.smoke.gpus=2")
    assert changed(before, after) == {name for name in before if name.startswith(("blobs/cosine", "blobs/infonce"))}
    assert keys(project, "benchmarks.blobs.resources.smoke={gpus: 1, nodes: 2}") == after
    assert keys(project, "benchmarks.blobs.resources.mini.gpus=2") == before


def test_what_is_traded_for_speed_enters_a_key_and_the_default_does_not(project: Project) -> None:
    before = keys(project)
    of_blobs = {name for name in before if name.startswith("blobs/")}
    assert keys(project, "benchmarks.blobs.compute.smoke={precision: float32, deterministic: true}") == before
    assert keys(project, "benchmarks.blobs.compute.mini.precision=bfloat16") == before
    rounded = keys(project, "benchmarks.blobs.compute.smoke.precision=bfloat16")
    unordered = keys(project, "benchmarks.blobs.compute.smoke.deterministic=false")
    assert changed(before, rounded) == changed(before, unordered) == changed(rounded, unordered) == of_blobs


def test_profile_and_seed_enter_a_key(project: Project) -> None:
    project.edit("{smoke: {}, mini: {}}", "{smoke: {}, mini: {}}  # the same settings")
    runs = [
        run
        for profile in ("smoke", "mini")
        for run in planned(project, Selection(("nothing",), ("infonce",), ("0-1",), profile)).runs
    ]
    assert len({run.key for run in runs}) == 4


def test_the_content_of_data_enters_a_key_and_its_place_does_not(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.edit("    host_temperature: 0.2", "    host_temperature: 0.2\n    data: [fashion_mnist]")
    before = keys(project)
    monkeypatch.setenv("SUITE_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    assert keys(project) == before
    monkeypatch.setattr(DataStore, "checksums", lambda self, names: {name: {"member": "0" * 64} for name in names})
    assert changed(before, keys(project)) == {name for name in before if name.startswith("nothing/")}


def test_members_of_sweeps_have_one_name_and_key_however_their_number_is_written(project: Project) -> None:
    selection = Selection(("blobs",), ("cosine@*",), ("0",), "smoke")
    whole, fraction = (
        planned(project, selection, f"losses.cosine.sweep.scale=[{value}]").runs for value in ("3", "3.0")
    )
    assert [(run.name, run.key) for run in whole] == [(run.name, run.key) for run in fraction]
    assert whole[0].name == "blobs/cosine@scale=3.0/seed0"


def test_a_key_does_not_depend_on_where_the_checkout_lies(project: Project) -> None:
    shutil.copytree(ROOT / "suite", project.folder / "moved" / "suite", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "launchers", project.folder / "moved" / "launchers")
    (project.folder / "moved" / "tests").mkdir()
    for name in ("__init__.py", "toys.py"):
        shutil.copy(ROOT / "tests" / name, project.folder / "moved" / "tests")
    project.write(REGISTRY, "moved/benchmarks.yaml")
    command = [sys.executable, "-m", "suite", "plan", "--profile", "smoke", "--json", "--out", "/nowhere"]
    ended = subprocess.run(command, cwd=project.folder / "moved", capture_output=True, text=True, env={}, check=True)
    there = {run["key"] for run in json.loads(ended.stdout)["runs"]}
    assert there == set(keys(project).values())


WORDS = st.text("ab é", max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.dictionaries(WORDS, JSON, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(config: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = list(value.items())
            random.shuffle(items)
            return {key: shuffled(inner) for key, inner in items}
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    assert key_of(shuffled(config)) == key_of(config)


@settings(max_examples=50)
@given(JSON, JSON)
def test_different_configurations_have_different_keys(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key_of({"x": one}) == key_of({"x": other})) == same


def test_a_configuration_without_canonical_json_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"x": float("nan")})


# states


def record(store: Store, run: Run, seconds: float | None = None, code: Mapping[str, str] | None = None) -> Path:
    """Simulate a run that began, and with `seconds` finished."""
    folder = store.record(run.key).folder
    folder.mkdir(parents=True)
    described = {k: copy.deepcopy(getattr(run, k)) for k in ("benchmark", "loss", "kind", "seed", "profile")}
    store.record(run.key).begin({**described, "config": dict(run.config), "code": dict(run.code)})
    if seconds is not None:
        times = {"setup": 0.0, "training": seconds, "evaluation": 0.0}
        result = {"record": "r", "metrics": {}, "seconds": times, "code": dict(run.code if code is None else code)}
        write_json(folder / "result.json", result)
    return folder


def test_states(project: Project) -> None:
    selection = Selection(("blobs",), ("all",), ("0-3",), "smoke")
    store = Store(project.folder / "results")
    runs = planned(project, selection).runs
    assert {run.state for run in runs} == {"missing"}
    done, stale, failed, interrupted, running, in_launch, begun_in_launch, missing = runs
    record(store, done, 2.0)
    record(store, stale, 2.0, {**stale.code, "suite.pairs.pairs": "0" * 64, "gone": "1" * 64})
    failure = {"class": "non_finite", "message": "the loss is nan\nat step 3", "record": "f"}
    write_json(record(store, failed) / "failure.json", failure)
    record(store, interrupted)
    record(store, running)
    record(store, begun_in_launch)
    store.launches.mkdir()
    launch = local_launch(store, [r.key for r in (done, in_launch, begun_in_launch)])
    hold = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(store.record(running.key).folder / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker, launch.enter(0) as alive:
        assert worker.stdout is not None and worker.stdout.readline() == b"held\n"
        assert alive
        after = planned(project, selection)
        worker.communicate()
    assert [(run.state, run.reason) for run in after.runs] == [
        ("done", ""),
        ("stale", "changed since: gone (no longer used), suite.pairs.pairs"),
        ("failed", "non_finite: the loss is nan"),
        ("missing", "interrupted"),
        ("running", ""),
        ("queued", ""),
        ("queued", ""),
        ("missing", ""),
    ]
    assert missing.key == after.runs[-1].key
    assert after.count() == {"missing": 2, "queued": 2, "running": 1, "done": 1, "failed": 1, "stale": 1}
    # the worker and the launch have ended
    assert [run.state for run in planned(project, selection).runs[4:7]] == ["missing"] * 3


def test_there_is_one_definition_of_what_is_to_do(project: Project) -> None:
    selection = Selection(("blobs",), ("all",), ("0-1",), "smoke")
    store = Store(project.folder / "results")
    done, crashed, hopeless, missing = planned(project, selection).runs
    record(store, done, 3.0)
    for run, kind in ((crashed, "user_code"), (hopeless, "non_finite")):
        write_json(record(store, run) / "failure.json", {"class": kind, "message": "no", "record": "f"})
    plan = planned(project, selection)
    assert [run.key for run in plan.to_do()] == [crashed.key, missing.key]
    assert [run.key for run in plan.to_do(("failed",))] == [crashed.key, hopeless.key, missing.key]
    assert [run.key for run in plan.to_do(("done",))] == [done.key, crashed.key, missing.key]
    assert plan.to_json()["summary"]["to_do_s"] == 6.0, "the time of what run would start"
    queued_elsewhere = make_plan(load(None), selection, store, {missing.key: "array task 7_0: PENDING"})
    assert [run.key for run in queued_elsewhere.to_do()] == [crashed.key]
    assert queued_elsewhere.runs[-1].reason == "array task 7_0: PENDING"


def test_an_edited_loss_makes_its_own_runs_stale_and_says_why(project: Project) -> None:
    head = "from suite.losses.base import LogitLoss\n"
    body = "class Mine(LogitLoss):\n    def logits(self, similarity): return {} * similarity\n"
    project.write(head + body.format(3), "mine.py")
    project.edit("_target_: tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}", "_target_: mine.Mine")
    project.edit('  scales: {losses: ["cosine@*"], seeds: 1-2}\n', "")
    store = Store(project.folder / "results")
    for run in planned(project).runs:
        record(store, run, 1.0)
    assert {run.state for run in planned(project).runs} == {"done"}
    project.write(head + body.format(4), "mine.py")
    after = planned(project).runs
    assert {run.loss for run in after if run.state == "stale"} == {"cosine"}
    assert {run.reason for run in after if run.state == "stale"} == {"changed since: mine.Mine"}
    assert {run.state for run in after if run.loss != "cosine"} == {"done"}


def test_changed_modules() -> None:
    assert changed_modules({"a": "1", "b": "2"}, {"b": "2", "a": "1"}) == []
    assert changed_modules({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "4", "d": "5"}) == [
        "b", "c (no longer used)", "d (newly used)"]  # fmt: skip


# estimates


def estimates(project: Project, *overrides: str) -> dict[str, float]:
    selection = Selection(("all",), ("all", "references"), ("3",), "smoke")
    return {f"{run.benchmark}/{run.loss}": run.estimate_s for run in planned(project, selection, *overrides).runs}


def test_estimates_are_the_registrys_until_runs_tell(project: Project) -> None:
    assert estimates(project) == {
        "blobs/cosine": 1.0, "blobs/infonce": 1.0, "blobs/chance": 1.0, "blobs/untrained": 1.0,
        "nothing/cosine": 60.0, "nothing/infonce": 60.0,
    }  # fmt: skip


def test_estimates_are_learnt_from_runs_of_the_plan_and_of_other_seeds(project: Project) -> None:
    store = Store(project.folder / "results")
    finished = planned(project, Selection(("blobs",), ("cosine", "references"), ("0-2",), "smoke")).runs
    for run, seconds in zip(finished, (5.0, 7.0, 30.0, 0.25, 0.5, 0.5, 0.75), strict=True):
        record(store, run, seconds)
    learnt = estimates(project)
    assert learnt["blobs/cosine"] == 7.0  # the median
    assert learnt["blobs/infonce"] == 7.0  # of the same benchmark and profile
    assert learnt["blobs/untrained"] == 0.5  # a reference goes by its own history
    assert learnt["nothing/infonce"] == 60.0
    whole = {run.name: run.estimate_s for run in planned(project).runs}
    assert (whole["blobs/cosine/seed3"], whole["blobs/infonce/seed0"], whole["nothing/cosine/seed0"]) == (
        7.0,
        7.0,
        60.0,
    )


def test_estimates_are_not_learnt_from_other_settings_of_the_benchmark(project: Project) -> None:
    store = Store(project.folder / "results")
    for run in planned(project, Selection(("blobs",), ("cosine",), ("0",), "smoke")).runs:
        record(store, run, 5.0)
    assert estimates(project)["blobs/cosine"] == 5.0
    assert estimates(project, "benchmarks.blobs.profiles.smoke.epochs=300")["blobs/cosine"] == 1.0


def test_json_of_a_plan(project: Project) -> None:
    (run,) = planned(project, Selection(("blobs",), ("infonce",), ("2",), "smoke")).runs
    status, out, _ = project.suite(
        "plan", "--json", "--profile", "smoke", "--benchmarks", "blobs", "--losses", "infonce", "--seeds", "2"
    )
    assert status == 0
    assert json.loads(out) == {
        "runs": [
            {
                "key": run.key,
                "benchmark": "blobs",
                "loss": "infonce",
                "kind": "loss",
                "seed": 2,
                "profile": "smoke",
                "purpose": "evaluation",
                "state": "missing",
                "reason": "",
                "estimate_s": 1.0,
            }
        ],
        "summary": {
            "runs": 1, "missing": 1, "queued": 0, "running": 0, "done": 0, "failed": 0, "stale": 0, "to_do_s": 1.0
        },
        "power": None,
    }  # fmt: skip
    assert not (project.folder / "results").exists()
