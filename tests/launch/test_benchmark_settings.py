"""Launcher settings for single benchmarks: array tasks of their own, asked for with what they say."""

from __future__ import annotations

import json
import re
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from suite.launch.kinds.slurm import SlurmLauncher
from suite.launch.slurm import client
from suite.launch.slurm.jobs import SlurmJobs
from suite.launch.slurm.sbatch import check, packs
from suite.plan.run import Run
from suite.problems import InputError
from suite.records.arrays import TaskReport, order, report_task
from suite.records.launch import Launch
from suite.records.record import Store
from suite.records.specs import LaunchSpec, Pack
from suite.registry.registry import Registry
from tests.cluster import ROOT
from tests.conftest import Project
from tests.launch.simulated import Queue, keys, launch_of, launcher, run

IMAGE: dict[str, Any] = {"partition": "gpu", "memory": "16G", "time": "2h", "gpus": 1, "cpus": 4}
REGISTRY = cast(
    Registry,
    SimpleNamespace(
        document=SimpleNamespace(
            benchmarks={name: SimpleNamespace(resources={}) for name in ("blobs", "image", "text")}
        )
    ),
)


def mixed(count: int = 3) -> list[Run]:
    """Return so many runs of each benchmark, the keys in turns."""
    names = ("blobs", "image", "text")
    return [run(key, 40.0, names[number % 3]) for number, key in enumerate(keys(3 * count))]


def of_image(**fields: Any) -> SlurmLauncher:
    return launcher(**{"partition": "low", "benchmarks": {"image": IMAGE}, **fields})


def launch_for(store: Store, asked: list[Run], given: SlurmLauncher) -> Launch:
    """Return the launch of some runs, with nothing submitted."""
    runs, packed = {one.key: one for one in asked}, tuple(packs(asked, REGISTRY, given))
    work, array = given.work_settings(), given.array_settings()
    return Launch.create(store, LaunchSpec("slurm", store.out, time.time(), "toy", runs, packed, work, array))


def test_runs_of_benchmarks_with_other_settings_never_share_an_array_task() -> None:
    asked = mixed()
    found = packs(asked, REGISTRY, of_image())
    benchmark = {one.key: one.benchmark for one in asked}
    assert sorted(key for one in found for key in one.keys) == sorted(benchmark)
    for one in found:
        names = {benchmark[key] for key in one.keys}
        assert names == {"image"} or "image" not in names
        assert one.settings == ({**IMAGE, "threads": None} if names == {"image"} else {})
    assert any({benchmark[key] for key in one.keys} == {"blobs", "text"} for one in found), "the others still do"


def test_equal_settings_make_one_kind_of_array_task() -> None:
    both = of_image(benchmarks={"image": IMAGE, "text": IMAGE, "blobs": {"memory": "1G"}})
    found = packs(mixed(1), REGISTRY, both)
    assert sorted(len(one.keys) for one in found) == [1, 2]


def test_a_benchmarks_time_bounds_how_much_its_array_tasks_hold() -> None:
    found = packs(mixed(4), REGISTRY, launcher(benchmarks={"image": {"target": "40s"}}))
    assert sorted(len(one.keys) for one in found) == [1, 1, 1, 1, 2, 2, 2, 2]


def test_every_array_is_asked_for_with_its_own_settings(store: Store, queue: Queue) -> None:
    asked, given = mixed(), of_image(poll_seconds=1e-9)
    launch = launch_for(store, asked, given)
    SlurmJobs(launch, given, store).begin({one.key: one for one in asked}, detached=False)
    texts = sorted(queue.scripts().values(), key=lambda text: "--partition=gpu" in text)
    assert len(texts) == 2
    for text, expected in zip(
        texts,
        (
            {"partition=low", "mem=1024M", "cpus-per-task=1", "time=10"},
            {"partition=gpu", "mem=16384M", "cpus-per-task=4", "time=120", "gpus-per-node=1"},
        ),
        strict=True,
    ):
        lines = set(re.findall(r"^#SBATCH --(\S+)$", text, re.MULTILINE))
        assert expected <= lines
        assert ("gpus-per-node=1" in lines) == ("gpus-per-node=1" in expected)


def test_array_tasks_have_the_threads_of_their_own_settings(store: Store) -> None:
    on_gpus = of_image(gpus=1, cpus=8, benchmarks={"image": {"gpus": 0, "cpus": 2}, "text": {"cpus": 6}})
    asked = mixed(1)
    launch = launch_for(store, asked, on_gpus)
    found = {launch.spec.runs[one.keys[0]].benchmark: launch.threads(i) for i, one in enumerate(launch.spec.packs)}
    assert found == {"blobs": 8, "image": 1, "text": 6}, "on a CPU one, so that no result depends on the launcher"


def test_array_tasks_take_over_what_tasks_of_their_own_settings_have_left(store: Store) -> None:
    a, b, c = keys(3)
    launch = launch_of(store, [Pack((a,), 1.0), Pack((b,), 1.0, settings={"gpus": 1}), Pack((c,), 1.0)])
    for number in (1, 2):
        report_task(launch, TaskReport(number, "7", "here", state="ended"))
    report_task(launch, TaskReport(0, "7", "here"))
    assert list(order(launch, 0)) == [a, c]


def test_settings_of_packs_are_read_back(store: Store) -> None:
    launch = launch_of(store, packs(mixed(1), REGISTRY, of_image()))
    assert LaunchSpec.from_json(json.loads(json.dumps(launch.spec.to_json())), store.out).packs == launch.spec.packs


@pytest.mark.usefixtures("queue")
def test_the_site_is_asked_about_the_settings_of_the_benchmarks_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(script: str) -> str | None:
        asked.append(script)
        return "no such account" if "--account=nobody" in script else None

    monkeypatch.setattr(client, "partitions", lambda cluster: {"low": "30:00", "gpu": "1:00:00"})
    monkeypatch.setattr(client, "submission_problem", answer)
    given = of_image(benchmarks={"image": IMAGE, "text": {"account": "nobody"}})
    check(given, ["blobs"])
    assert len(asked) == 1
    with pytest.raises(InputError) as refused:
        check(given, ["blobs", "image", "text"])
    assert [(one.where, one.key) for one in refused.value.problems] == [
        ("launcher.benchmarks.image", "time"),
        ("launcher.benchmarks.text", ""),
    ]


LAUNCHER = """\
kind: slurm
gpus: 0
cpus: 1
target: 1s
benchmarks:
  nothing: {gpus: 1, memory: 32G, partition: null}
"""


def test_the_plan_says_which_array_tasks_are_others_and_keys_stay(project: Project) -> None:
    project.write(LAUNCHER, "launchers/mine.yaml")
    select = ["plan", "--losses", "cosine", "--seeds", "0", "--profile", "smoke"]
    status, printed, errors = project.suite(*select, "--launcher", "mine")
    assert status == 0, errors
    assert "2 array tasks" in printed and "of GPU time" in printed and "of 1 cores" in printed
    assert "\n  nothing: 1 of them, with partition default, gpus 1, memory 32G\n" in printed
    of_both = [project.suite(*select, "--json", *more)[1] for more in ([], ["--launcher", "mine"])]
    found = [[one["key"] for one in json.loads(text)["runs"]] for text in of_both]
    assert found[0] == found[1] and len(found[0]) == 2
    assert "\nbenchmarks: {}" in (ROOT / "launchers" / "slurm.yaml").read_text(encoding="utf-8")
    status, printed, errors = project.suite(*select, "--launcher", "slurm", "launcher.benchmarks={nothing: {time: 2h}}")
    assert status == 0 and "nothing: 1 of them, with time 2h" in printed, errors
