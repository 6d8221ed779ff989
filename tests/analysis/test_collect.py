import math

import pytest

from analysis.collect import collect
from tests.analysis.frames import logged, row


def test_finished_runs_count_and_carry_their_primary_metric() -> None:
    runs = collect(logged(row("image", "infonce", 0, 0.25), row("graph", "infonce", 0, 0.75, metric="f1"))).runs
    assert list(zip(runs["benchmark"], runs["test"], strict=True)) == [("graph", 0.75), ("image", 0.25)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "FAILED", "failure": "data: no file"}, "failed: data: no file"),
        ({"status": "KILLED"}, "ended before it was done"),
        ({"status": "RUNNING"}, "still running"),
        ({"test/accuracy": math.nan}, "test/accuracy is missing"),
        ({"test/accuracy": math.inf}, "test/accuracy is infinite"),
        ({"goal": None}, "has no tag suite.goal"),
    ],
)
def test_what_does_not_count_is_listed(changes: dict[str, object], reason: str) -> None:
    collected = collect(logged(row("image", "infonce", 0), row("image", "infonce", 1, **changes)))
    assert list(collected.runs["seed"]) == [0]
    assert list(collected.left_out["seed"]) == [1] and collected.left_out["reason"][0] == reason


def test_selection_runs_need_no_test_metric() -> None:
    assert len(collect(logged(row("image", "infonce@temperature=0.1", 9, None, purpose="selection"))).runs) == 1


def test_of_duplicates_the_newest_counts() -> None:
    rows = [row("image", "infonce", 0, test, start=start) for start, test in ((5, 0.2), (9, 0.3), (1, 0.1))]
    for order in (rows, rows[::-1]):
        collected = collect(logged(*order))
        assert list(collected.runs["test"]) == [0.3] and len(collected.left_out) == 2
        assert set(collected.left_out["reason"]) == {"duplicate of run id-image-infonce-0-9"}


def test_no_cell_mixes_two_configurations() -> None:
    old = [row("image", "infonce", seed, start=1, **{"param.benchmark.epochs": "3"}) for seed in range(3)]
    new = [row("image", "dystress", 0, start=2, **{"param.benchmark.epochs": "5"})]
    elsewhere = [row("graph", "infonce", 0, start=0, **{"param.benchmark.epochs": "3"})]
    collected = collect(logged(*old, *new, *elsewhere))
    assert list(collected.runs["loss"]) == ["infonce", "dystress"] and collected.runs["benchmark"][0] == "graph"
    assert set(collected.left_out["reason"]) == {
        "run with another configuration than the newest: benchmark.epochs 3, now 5"
    }


def test_configuration_of_one_loss_does_not_outdate_another() -> None:
    rows = [row("image", "infonce", 0, start=1, **{"param.loss.temperature": "0.1"})]
    rows += [row("image", "infonce", 1, start=2, **{"param.loss.temperature": "0.2"})]
    rows += [row("image", "dystress", 0, start=0, **{"param.loss.tau_min": "0.07"})]
    collected = collect(logged(*rows))
    assert list(collected.runs["loss"]) == ["dystress", "infonce"] and list(collected.left_out["seed"]) == [0]


def test_a_changed_primary_metric_is_taken_of_all_runs_of_its_benchmark() -> None:
    old = [row("image", "infonce", seed, 0.8, start=1, **{"test/error": 0.2 + seed}) for seed in range(2)]
    older = row("image", "infonce", 2, 0.8, start=0)
    new = row("image", "dystress", 0, 0.3, start=2, metric="error", goal="minimise")
    elsewhere = row("graph", "infonce", 0, 0.7, start=0)
    collected = collect(logged(*old, older, new, elsewhere))
    runs = collected.runs
    assert list(runs["metric"]) == ["accuracy", "error", "error", "error"]
    assert list(runs["goal"]) == ["maximise", "minimise", "minimise", "minimise"]
    assert list(runs["test"]) == [0.7, 0.3, 0.2, 1.2]
    assert collected.left_out["reason"][0] == "test/error is missing"


def test_profiles_are_kept_apart() -> None:
    collected = collect(
        logged(row("image", "infonce", 0), row("image", "infonce", 0, profile="smoke", status="KILLED"))
    )
    assert collected.profiles == ["mini"] and collected.of("mini").left_out.empty
    assert len(collected.of("smoke").left_out) == 1
