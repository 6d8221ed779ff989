"""What is drawn to be verified, and how what was found is held against what was logged."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from suite.verify.replay import Replay
from suite.verify.results import LoggedRun
from suite.verify.verification import Difference, differences, draw, other_kind


def logged(benchmark: str = "image", number: int = 0, **fields: Any) -> LoggedRun:
    given = {"metrics": {}, "settings": {}, "code": {}, "packages": {"torch": "2"}, "hardware": HARDWARE, **fields}
    return LoggedRun(f"{benchmark}{number}", benchmark, "infonce", "loss", number, "mini", **given)


HARDWARE = {"processor": "A", "device": "cpu", "threads": 1, "processes": 1, "cores": 2, "system": "Linux"}


def test_the_draw_goes_round_the_benchmarks_and_repeats_itself() -> None:
    runs = [logged(benchmark, number) for benchmark in ("image", "graph", "text") for number in range(5)]
    for seed in range(20):
        drawn = draw(runs, 7, seed)
        assert draw(list(reversed(runs)), 7, seed) == drawn
        assert len({run.key for run in drawn}) == 7
        assert (
            {run.benchmark for run in drawn[:3]} == {run.benchmark for run in drawn[3:6]} == {"image", "graph", "text"}
        )
    assert len({draw(runs, 1, seed)[0].key for seed in range(200)}) == 15
    assert sorted(run.key for run in draw(runs, 99, 0)) == sorted(run.key for run in runs)


def test_trained_runs_are_drawn_before_reference_figures() -> None:
    runs = [replace(logged("image", number), kind="reference") for number in range(9)] + [logged("image", 9)]
    assert all(draw(runs, 1, seed)[0].kind == "loss" for seed in range(20))


@pytest.mark.parametrize(
    ("before", "now", "different"),
    [
        ({"a": 0.1}, {"a": 0.1}, []),
        ({"a": 0.1}, {"a": math.nextafter(0.1, 1)}, ["a"]),
        ({"a": math.nan}, {"a": math.nan}, []),
        ({"a": math.nan}, {"a": 0.1}, ["a"]),
        ({"a": math.inf}, {"a": math.inf}, []),
        ({"a": math.inf}, {"a": -math.inf}, ["a"]),
        ({"a": 0.1, "b": 1.0}, {"a": 0.1}, ["b"]),
        ({"a": 0.1}, {"a": 0.1, "c": 1.0}, ["c"]),
        ({"a": 0.1}, {"a": 0.1, "c": math.nan}, []),
    ],
)
def test_metrics_are_compared_bit_for_bit(
    before: Mapping[str, float], now: Mapping[str, float], different: list[str]
) -> None:
    found = differences(before, now)
    assert [difference.metric for difference in found] == different
    assert all(difference.size > 0 for difference in found)


def test_a_difference_is_measured_absolutely_for_small_and_relatively_for_large_values() -> None:
    assert Difference("m", 0.0, 0.01).size == pytest.approx(0.01)
    assert Difference("m", 100.0, 101.01).size == pytest.approx(0.01)
    assert Difference("m", math.nan, 0.5).size == math.inf


@pytest.mark.parametrize(
    ("hardware", "versions", "python", "says"),
    [
        ({}, {}, "3.11.9", []),
        ({"cores": 64, "system": "Linux-6"}, {}, "3.11.2", []),
        ({"processor": "B"}, {}, "3.11.9", ["processor B, logged A"]),
        ({"device": "NVIDIA H100"}, {"torch": "3"}, "3.11.9", ["device NVIDIA H100, logged cpu", "torch 3, logged 2"]),
        ({"threads": 2}, {}, "3.12.0", ["threads 2, logged 1", "python 3.12, logged 3.11"]),
    ],
)
def test_the_kind_of_a_machine_is_what_the_last_bits_depend_on(
    hardware: Mapping[str, Any], versions: Mapping[str, str], python: str, says: list[str]
) -> None:
    origin = {"hardware": {**HARDWARE, **hardware}, "packages": {"torch": "2", **versions}, "python": python}
    assert other_kind(logged(python="3.11.7"), Replay(1.0, provenance=origin)) == says
    assert other_kind(logged(hardware={}), Replay(1.0, provenance=origin)) != []


def test_a_run_that_may_add_in_any_order_is_never_of_the_same_kind() -> None:
    origin = {"hardware": HARDWARE, "packages": {"torch": "2"}, "python": "3.11.7"}
    again = Replay(1.0, provenance=origin)
    unordered = logged(python="3.11.7", settings={"compute.deterministic": "false"})
    assert other_kind(unordered, again) == ["it was computed with deterministic: false, which repeats no bits"]
    assert other_kind(logged(python="3.11.7", settings={"compute.precision": "bfloat16"}), again) == []
