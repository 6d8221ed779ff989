import itertools
import json
import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.read.collect import IDENTITY, collect
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
        ({"test/accuracy": -math.inf}, "test/accuracy is infinite"),
        ({"status": "FAILED", "failure": ""}, "failed"),
        ({"status": "SCHEDULED"}, "not started"),
        ({"status": "ODD"}, "status ODD"),
        ({"status": None}, "status unknown"),
        ({"goal": None}, "has no tag suite.goal"),
        ({"goal": math.nan, "metric": None}, "has no tag suite.metric, suite.goal"),
        ({"goal": "sideways"}, "suite.goal is sideways, neither maximise nor minimise"),
        ({"kind": "dream"}, "suite.kind is dream, neither loss nor reference"),
        ({"purpose": "fun"}, "suite.purpose is fun, neither evaluation nor selection"),
        ({"metric": "unheard_of"}, "test/accuracy is missing"),
    ],
)
def test_what_does_not_count_is_listed(changes: dict[str, object], reason: str) -> None:
    collected = collect(logged(row("image", "infonce", 0, start=9), row("image", "infonce", 1, **changes)))
    assert list(collected.runs["seed"]) == [0]
    assert list(collected.left_out["seed"]) == [1] and collected.left_out["reason"][0] == reason


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_that_was_finished_without_a_finite_metric_failed_as_training_that_collapses(value: float) -> None:
    collapsed = row("image", "infonce", 1, value)
    chosen = row("image", "infonce@temperature=0.1", 9, None, purpose="selection", **{"val/accuracy": value})
    changed = row("image", "infonce", 2, value, metric="f1")  # declared when another metric was primary
    reference = row("image", "raw", 1, value, kind="reference")
    collected = collect(logged(row("image", "infonce", 0, start=9), collapsed, chosen, changed, reference))
    what = "missing" if math.isnan(value) else "infinite"
    assert dict(zip(collected.failed["seed"], collected.failed["failure"], strict=True)) == {
        1: f"non_finite: test/accuracy is {what}", 9: f"non_finite: val/accuracy is {what}",
    }  # fmt: skip
    assert set(collected.left_out["seed"]) == {1, 2, 9} and f"test/accuracy is {what}" in set(
        collected.left_out["reason"]
    )


def test_selection_runs_need_no_test_metric() -> None:
    assert len(collect(logged(row("image", "infonce@temperature=0.1", 9, None, purpose="selection"))).runs) == 1


def test_of_duplicates_the_newest_counts() -> None:
    rows = [row("image", "infonce", 0, test, start=start) for start, test in ((5, 0.2), (9, 0.3), (1, 0.1))]
    for order in (rows, rows[::-1]):
        collected = collect(logged(*order))
        assert list(collected.runs["test"]) == [0.3] and len(collected.left_out) == 2
        assert set(collected.left_out["reason"]) == {"duplicate of run id-image-infonce-0-9"}


@pytest.mark.parametrize("status", ["FINISHED", "FAILED"])
def test_what_was_declared_otherwise_for_runs_that_were_repeated_is_a_change(status: str) -> None:
    old = [row("image", "infonce", seed, start=1, margin=0.05, status=status) for seed in range(2)]
    new = [row("image", "infonce", seed, start=9, margin=0.01) for seed in range(3)]
    other = row("image", "infonce", 0, start=1, margin=0.07, key="of another configuration", status="FAILED")
    (change,) = collect(logged(*old, *new, other)).changes
    assert change.text == "the margin was 0.05 (2 runs), then 0.01 (3 runs)"


def test_no_cell_mixes_two_configurations() -> None:
    old = [row("image", "infonce", seed, start=1, **{"param.benchmark.epochs": "3"}) for seed in range(3)]
    new = [row("image", "dystress", 0, start=2, **{"param.benchmark.epochs": "5"})]
    elsewhere = [row("graph", "infonce", 0, start=0, **{"param.benchmark.epochs": "3"})]
    collected = collect(logged(*old, *new, *elsewhere))
    assert list(collected.runs["loss"]) == ["infonce", "dystress"] and collected.runs["benchmark"][0] == "graph"
    assert set(collected.left_out["reason"]) == {
        "run with another configuration than the newest: benchmark.epochs 3, now 5"
    }


def test_no_cell_mixes_two_ways_to_compute() -> None:
    rows = [row("image", "infonce", 0, start=2, **{"param.compute.precision": "bfloat16"})]
    rows += [row("image", "dystress", 0, start=1)]
    collected = collect(logged(*rows))
    assert list(collected.runs["loss"]) == ["infonce"]
    assert set(collected.left_out["reason"]) == {
        "run with another configuration than the newest: compute.precision , now bfloat16"
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


def test_goal_and_margin_are_those_of_the_newest_run_too() -> None:
    old = row("image", "infonce", 0, start=1, goal="minimise", margin=0.5)
    new = row("image", "infonce", 1, start=2, margin=0.01)
    unknown = row("image", "infonce", 2, start=3, margin=math.nan)
    runs = collect(logged(old, new)).runs
    assert list(runs["goal"]) == ["maximise"] * 2 and list(runs["margin"]) == [0.01, 0.01]
    assert list(collect(logged(old, new, unknown)).runs["margin"].fillna(0)) == [0.5, 0.01, 0]


def coded(loss: str, seed: int, start: int, benchmark: str = "image", **modules: str) -> dict[str, Any]:
    code = json.dumps({f"suite.{name}": version for name, version in modules.items()}) if modules else None
    return row(benchmark, loss, seed, start=start, code=code)


def reasons(*rows: dict[str, Any], **options: Any) -> dict[tuple[str, int], str]:
    left_out = collect(logged(*rows), **options).left_out
    return {(one["loss"], one["seed"]): one["reason"] for one in left_out.to_dict("records")}


def test_runs_with_other_code_than_the_newest_are_stale_and_name_the_modules() -> None:
    rows = [coded("infonce", 0, 1, training="a", pairs="a", old="a"), coded("infonce", 1, 2, training="b", pairs="b")]
    assert reasons(*rows) == {
        ("infonce", 0): "stale: made with other code than newer runs: suite.pairs, suite.training"
    }
    assert reasons(*rows, keep_stale=True) == {}


def test_only_modules_that_both_used_make_a_run_stale() -> None:
    assert (
        reasons(coded("infonce", 0, 1, training="a", infonce="x"), coded("dystress", 0, 2, training="a", d="y")) == {}
    )


def test_a_loss_that_the_newest_run_did_not_use_is_compared_among_its_own_runs() -> None:
    rows = [coded("infonce", 0, 1, training="a", infonce="x"), coded("infonce", 1, 2, training="a", infonce="y")]
    assert set(reasons(*rows, coded("dystress", 0, 3, training="a"))) == {("infonce", 0)}


def test_stale_runs_do_not_make_others_stale() -> None:
    rows = [coded("infonce", 0, 1, training="a", infonce="x"), coded("infonce", 1, 2, training="b", infonce="y")]
    assert set(reasons(*rows, coded("dystress", 0, 3, training="a"))) == {("infonce", 1)}


def test_runs_without_code_are_not_stale_and_make_none_stale() -> None:
    rows = [coded("infonce", 0, 1), coded("infonce", 1, 2, training="a"), coded("infonce", 2, 3)]
    assert reasons(*rows) == {}
    assert reasons(row("image", "infonce", 0)) == {}, "frames of older stores have no such column"


def test_other_benchmarks_failed_runs_and_other_profiles_make_no_run_stale() -> None:
    elsewhere = coded("infonce", 0, 2, benchmark="graph", training="b")
    failed = {**coded("infonce", 1, 3, training="b"), "status": "FAILED"}
    smoke = {**coded("infonce", 2, 4, training="b"), "profile": "smoke"}
    found = reasons(coded("infonce", 0, 1, training="a"), elsewhere, failed, smoke)
    assert found == {("infonce", 1): "failed"}


def test_a_stale_run_is_no_original_of_a_duplicate() -> None:
    newest = coded("infonce", 1, 9, training="b")
    again = [coded("infonce", 0, 5, training="a"), coded("infonce", 0, 1, training="b")]
    collected = collect(logged(newest, *again))
    assert list(collected.runs["seed"]) == [0, 1]
    assert [reason.split(":")[0] for reason in collected.left_out["reason"]] == ["stale"]


@pytest.mark.parametrize("profile", [None, "mini", "none"])
def test_no_runs_at_all(profile: str | None) -> None:
    collected = collect(logged(row("image", "infonce", 0)).iloc[:0], profile)
    assert collected.runs.empty and collected.left_out.empty and collected.profiles == []


def test_a_frame_whose_index_is_any_counts_the_same() -> None:
    rows = [row("image", "infonce", seed, start=seed, **{"param.loss.t": str(seed // 2)}) for seed in range(4)]
    frame = logged(*rows)
    expected = collect(frame)
    for index in ([7, 7, 7, 7], list("dcba")):
        found = collect(frame.set_axis(pd.Index(index)))
        pd.testing.assert_frame_equal(found.runs, expected.runs)
        pd.testing.assert_frame_equal(found.left_out, expected.left_out)


RUN = st.fixed_dictionaries(
    {
        "benchmark": st.sampled_from(["image", "graph"]),
        "loss": st.sampled_from(["infonce", "a loss nobody knows"]),
        "seed": st.integers(0, 2),
        "test": st.sampled_from([0.5, 0.7, math.nan, math.inf]),
        "start": st.integers(0, 5),
        "status": st.sampled_from(["FINISHED"] * 4 + ["FAILED", "RUNNING"]),
        "goal": st.sampled_from(["maximise"] * 4 + ["minimise", math.nan, "sideways"]),
        "metric": st.sampled_from(["accuracy"] * 3 + ["f1", None]),
        "purpose": st.sampled_from(["evaluation", "selection"]),
        "profile": st.sampled_from(["mini", "mini", "smoke", None]),
        "code": st.sampled_from([None, '{"a":"1"}', '{"a":"2","b":"1"}', '{"b":"2"}', '{"a":"1","b":"1"}']),
        "param.benchmark.epochs": st.sampled_from(["3", "3", "5", None]),
        "param.loss.scale": st.sampled_from(["1", "1", "2"]),
    }
)


@settings(max_examples=40)
@given(st.lists(RUN, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_run_counts_or_is_listed_and_what_counts_belongs_together(runs: list[dict[str, Any]], draws: Any) -> None:
    rows = [row(**run, run_id=f"id{number}") for number, run in enumerate(runs)]
    collected = collect(logged(*rows))
    counted, left_out = collected.runs, collected.left_out
    assert sorted([*counted["run_id"], *left_out["run_id"]]) == sorted(one["run_id"] for one in rows)
    assert (left_out["reason"] != "").all() and not counted.duplicated(IDENTITY).any()
    assert set(counted["status"]) <= {"FINISHED"} and set(counted["goal"]) <= {"maximise", "minimise"}
    whole = counted.merge(logged(*rows)[["run_id", "code", "param.benchmark.epochs"]], on="run_id")
    for _, group in whole.groupby(["profile", "benchmark"]):
        assert group[["metric", "goal"]].nunique().max() == 1
        assert group["param.benchmark.epochs"].nunique(dropna=False) == 1
        for one, other in itertools.combinations(map(json.loads, group["code"].dropna()), 2):
            assert all(one[module] == other[module] for module in one.keys() & other.keys())
    for _, group in counted.groupby(["profile", "benchmark", "loss"]):
        assert group["param.loss.scale"].nunique() == 1
    draws.shuffle(rows)
    again = collect(logged(*rows))
    pd.testing.assert_frame_equal(again.runs, counted, check_like=True, check_dtype=False)
    pd.testing.assert_frame_equal(again.left_out, left_out, check_dtype=False)
