"""Failure classes, and how often what failed is tried again."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.data import DataError
from suite.launch.campaign import Campaign
from suite.launch.kind import kind_of
from suite.launch.start import start
from suite.plan.plan import Selection, make_plan
from suite.records.failures import (
    REMEDIES,
    classify,
    deaths,
    deserves_fewer_beside,
    fruitless_interruptions,
    is_final,
    record_failure,
)
from suite.records.record import Record, Store
from suite.registry.load import load
from suite.training import NonFiniteLoss
from tests.cluster import suite_here, toy_registry
from tests.launch.simulated import A, made_launch

OURS, EARLIER = "20260101-000000-aaaaaa", "20250101-000000-bbbbbb"


def event(text: str) -> dict[str, Any]:
    """Return the event behind ``name``, ``name:reason@step`` or ``name/class``; with ``-``, of another launch."""
    launch = EARLIER if text.startswith("-") else OURS
    name, _, kind = text.lstrip("-").partition("/")
    name, _, reason = name.partition(":")
    reason, _, step = reason.partition("@")
    fields: dict[str, Any] = {"class": kind} if kind else {}
    if reason:
        fields |= {"reason": reason, "step": int(step or 0)}
    return {"event": name, "launch": launch, **fields}


def record_of(folder: Path, *texts: str) -> Record:
    record = Record(folder / ("a" * 64))
    record.folder.mkdir()
    for text in texts:
        record.append(**event(text))
    return record


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLoss("the loss is nan"), "non_finite"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (DataError("checksum"), "data"),
        (KeyError("no such thing"), "user_code"),
        (RuntimeError("shapes do not fit"), "user_code"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out_of_memory"),
        (OSError(errno.ENOENT, "No such file or directory"), "user_code"),
    ],
)
def test_an_exception_has_a_class(error: Exception, kind: str) -> None:
    assert classify(error) == kind
    assert kind in REMEDIES


def test_what_the_cpus_allocator_cannot_give_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**48)
    assert classify(raised.value) == "out_of_memory"


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([], 0),
        (["started"], 1),
        (["started", "metrics", "started", "started"], 3),
        (["started", "started", "interrupted:terminated@3", "started"], 1),
        (["started", "failed/user_code"], 0),
        (["-started", "-started", "started"], 1),
    ],
)
def test_starts_without_an_end_count_as_deaths_of_the_worker(
    tmp_path: Path, happened: Sequence[str], expected: int
) -> None:
    assert deaths(record_of(tmp_path, *happened), OURS) == expected


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        (["interrupted:timeout@-1"] * 3, 3),
        (["interrupted:timeout@9", "interrupted:timeout@9", "interrupted:timeout@8"], 2),
        (["interrupted:timeout@9", "interrupted:timeout@9", "interrupted:timeout@10"], 0),
        (["interrupted:timeout@9", "interrupted:terminated@9", "interrupted:timeout@9"], 1),
        (["-interrupted:timeout@9", "interrupted:timeout@9"], 0),
        (["interrupted:timeout@-1"] * 3 + ["failed/timeout"], 0),
    ],
)
def test_a_time_limit_counts_as_fruitless_if_not_one_more_step_was_done(
    tmp_path: Path, happened: Sequence[str], expected: int
) -> None:
    assert fruitless_interruptions(record_of(tmp_path, *happened), OURS) == expected


@pytest.mark.parametrize(
    ("happened", "beside", "expected"),
    [
        ([], 2, True),
        ([], 1, False),
        (["failed/out_of_memory"], 4, False),
        (["-failed/out_of_memory"], 4, True),
        (["failed/user_code"], 4, True),
    ],
)
def test_out_of_memory_is_tried_with_fewer_beside_it_once_a_launch(
    tmp_path: Path, happened: Sequence[str], beside: int, expected: bool
) -> None:
    assert deserves_fewer_beside(record_of(tmp_path, *happened), OURS, beside) is expected


@pytest.mark.parametrize(
    ("noted", "taken_by"),
    [({"beside": 4}, [1, 2, 3]), ({"beside": 2}, [1]), ({"beside": 1}, [1, 2, 3, 4]), ({}, [1])],
    ids=["four", "two", "alone", "by an earlier version"],
)
def test_what_ran_out_of_memory_is_for_fewer_beside_it_though_that_try_was_interrupted(
    tmp_path: Path, noted: dict[str, int], taken_by: list[int]
) -> None:
    store = Store(tmp_path)
    store.prepare()
    ours, other = made_launch(store, [A]), made_launch(store, [A])
    record = record_of(store.runs, "started")
    record.append("failed", **{"class": "out_of_memory", "launch": ours.id, **noted})
    record.append("started", launch=ours.id)
    record.append("interrupted", reason="timeout", step=10, launch=ours.id)
    assert [beside for beside in range(1, 5) if ours.is_for(A, store, beside)] == taken_by
    assert other.is_for(A, store, 4)


def test_torn_and_strange_lines_change_no_count(tmp_path: Path) -> None:
    record = record_of(tmp_path, "started", "interrupted:timeout@5")
    with (record.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "start')  # the worker was killed while it wrote
    for text in ("started", "interrupted:timeout@5", "started"):
        record.append(**event(text))
    with (record.folder / "events.jsonl").open("ab") as file:
        file.write(b"\x00\xff\n[1]\n\n")
    record.append(**event("started"))
    assert (deaths(record, OURS), fruitless_interruptions(record, OURS)) == (2, 1)


def test_a_failure_that_no_worker_lived_to_write_is_written_as_a_worker_would(tmp_path: Path) -> None:
    record = record_of(tmp_path, "started")
    record.begin({"code": {}})
    run = record.run()
    assert run is not None
    record_failure(record, OURS, "out_of_memory", "the kernel killed it", 1, beside=2)
    first = record.failure()
    assert first is not None
    assert (first["record"], first["launch"], first["beside"], first["again"]) == (run["record"], OURS, 2, True)
    assert not is_final(first)
    assert [e.get("beside") for e in record.events()] == [None, 2]
    record_failure(record, OURS, "out_of_memory", "the kernel killed it", 2, beside=2)
    second = record.failure()
    assert second is not None
    assert is_final(second)
    assert [e.get("class") for e in record.events()] == [None, "out_of_memory", "out_of_memory"]
    assert deaths(record, OURS) == 0


def test_a_failure_before_the_first_start_can_be_written(tmp_path: Path) -> None:
    record = Record(tmp_path / ("b" * 64))
    with record.claimed() as ours:
        assert ours
        record_failure(record, OURS, "node_lost", "array task 7_0 ended as NODE_FAIL", 3)
    failure = record.failure()
    assert failure is not None
    assert (failure["class"], failure["record"], is_final(failure)) == ("node_lost", "", True)


def test_on_this_machine_what_runs_out_of_memory_is_tried_once_more_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toy_registry(tmp_path)
    hungry = "  shy: {_target_: tests.launch.toys.Shy}\n  insatiable: {_target_: tests.launch.toys.Insatiable}\n"
    file.write_text(file.read_text().replace("losses:\n", f"losses:\n{hungry}", 1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    registry, store = load(file, ["launcher.workers=2"]), Store(tmp_path / "results")
    runs = make_plan(registry, Selection(("blobs",), ("shy", "insatiable"), ("0",), "smoke"), store).runs
    jobs = kind_of(registry).jobs(start(runs, registry, store), store)
    campaign = Campaign(jobs, runs, store)
    campaign.begin()
    outcome = campaign.watch(lambda view: None)
    campaign.close()
    assert ([run.loss for run in outcome.failed], outcome.executed, outcome.left) == (["insatiable"], 1, 0)
    happened = {run.loss: [e["event"] for e in store.record(run.key).events()] for run in runs}
    shy = [name for name in happened["shy"] if name not in ("metrics", "histograms")]
    assert shy == ["started", "failed", "started", "finished"]
    assert happened["insatiable"] == ["started", "failed", "started", "failed"]


def test_an_exit_and_an_exception_without_words_are_failures_of_the_users_code(tmp_path: Path) -> None:
    file = toy_registry(tmp_path)
    strange = "  exits: {_target_: tests.launch.toys.Exits}\n  speechless: {_target_: tests.launch.toys.Speechless}\n"
    file.write_text(file.read_text().replace("losses:\n", f"losses:\n{strange}", 1))
    chosen = ["--profile", "smoke", "--losses", "exits", "speechless", "--seeds", "0", "--benchmarks", "blobs"]
    assert suite_here(tmp_path, "run", *chosen, "--quiet", "--launcher", "debug").returncode == 1
    store = Store(tmp_path / "results")
    failures = [record.failure() or {} for record in map(store.record, store.keys())]
    said = {(failure["class"], failure["message"], failure["attempt"]) for failure in failures}
    assert said == {("user_code", "SystemExit: no more", 1), ("user_code", "Error", 1)}


def test_status_ends_with_1_where_a_run_has_failed(tmp_path: Path) -> None:
    toy_registry(tmp_path)
    failing = ["--profile", "smoke", "--losses", "raises", "--seeds", "0"]
    assert suite_here(tmp_path, "status", *failing).returncode == 0
    assert suite_here(tmp_path, "run", *failing, "--quiet", "--launcher", "debug").returncode == 1
    assert suite_here(tmp_path, "status", *failing).returncode == 1
    assert suite_here(tmp_path, "status", "--json", *failing).returncode == 1
    assert suite_here(tmp_path, "status", "--profile", "smoke", "--losses", "cosine", "--seeds", "0").returncode == 0
