"""How far means may lie apart that two kinds of machine computed."""

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from suite.cli.runs.verify import to_json
from suite.verify.means import Mean, compare_means
from suite.verify.results import LoggedRun
from suite.verify.verification import Numbers, Verified

HERE, THERE = "Here 1", "There 2"


def logged(loss: str, seed: int, value: float, kind: str = "loss", processor: str = THERE) -> LoggedRun:
    return LoggedRun(
        f"{loss}{seed}{processor}", "image", loss, kind, seed, "mini", {"test/accuracy": value}, {}, {}, {},
        {"processor": processor},
    )  # type: ignore[arg-type]  # fmt: skip


def verified(run: LoggedRun, value: float, numbers: Numbers = "other bits", **more: float) -> Verified:
    return Verified(run, numbers, found={"test/accuracy": value, **more})


def compare(done: Sequence[Verified], runs: Sequence[LoggedRun], tolerance: float = 0.01) -> list[Mean]:
    return compare_means(done, runs, lambda benchmark: "accuracy", tolerance)


def test_the_scatter_is_pooled_over_losses_each_around_its_own_mean() -> None:
    runs = [logged("a", s, v) for s, v in enumerate([0.1, 0.2, 0.3])] + [
        logged("b", s, v) for s, v in enumerate([0.9, 0.9, 0.6])
    ]
    (mean,) = compare([verified(runs[0], 0.15), verified(runs[1], 0.15)], runs)
    std = math.sqrt((0.01 + 0 + 0.01 + 0.01 + 0.01 + 0.04) / 4)
    assert mean.allowed == pytest.approx(stats.t.isf(0.025, 4) * std * math.sqrt(2 / 2))
    assert (mean.logged, mean.found, mean.seeds, mean.freedom) == (pytest.approx(0.15), 0.15, (0, 1), 4)
    assert mean.agrees


def test_seeds_of_two_machines_scatter_around_the_mean_of_each() -> None:
    runs = [logged("a", s, v, processor=p) for p, at in ((HERE, 0.0), (THERE, 9.0)) for s, v in enumerate([at, at + 1])]
    (mean,) = compare([verified(runs[0], 0.0)], runs)
    assert mean.freedom == 2
    assert mean.allowed == pytest.approx(stats.t.isf(0.025, 2) * math.sqrt(0.5) * math.sqrt(2))


def test_a_reference_has_the_scatter_of_its_own_seeds_alone() -> None:
    runs = [logged("raw", s, v, "reference") for s, v in enumerate([0.1, 0.2, 0.3])]
    runs += [logged("chance", s, v, "reference") for s, v in enumerate([5.0, 9.0, 1.0])]
    (mean,) = compare([verified(runs[0], 0.1)], runs)
    assert (mean.freedom, mean.allowed) == (2, pytest.approx(stats.t.isf(0.025, 2) * 0.1 * math.sqrt(2)))


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6], [0.5, 0.5, 0.5, 0.5]], ids=["one seed", "two", "no scatter"])
def test_where_the_seeds_do_not_tell_a_constant_stands_in(values: list[float]) -> None:
    runs = [logged("a", seed, value) for seed, value in enumerate(values)]
    (mean,) = compare([verified(runs[0], 0.516)], runs, 0.01)
    assert (mean.freedom, mean.allowed) == (0, pytest.approx(0.015))
    assert not mean.agrees


def test_runs_of_this_kind_of_machine_and_those_without_numbers_are_passed_over() -> None:
    run = logged("a", 0, 0.5)
    assert compare([verified(run, 0.5, "identical"), verified(run, 0.9, "different"), Verified(run)], [run]) == []


def test_a_metric_that_is_missing_or_not_finite_on_one_side_differs() -> None:
    runs = [logged("a", seed, value) for seed, value in enumerate([0.1, 0.2, 0.3])]
    new, old = compare([Verified(runs[0], "other bits", found={"test/other": 1.0})], runs)
    assert (old.metric, new.metric) == ("test/other", "test/accuracy")
    assert not old.agrees and not new.agrees
    printed = json.loads(json.dumps(to_json([], [new, old]), allow_nan=False))
    assert [mean["logged"] for mean in printed["means"]] == [0.1, "nan"]
    (same,) = compare([verified(logged("a", 0, math.nan), math.nan)], runs)
    assert same.agrees


def test_the_more_means_are_compared_the_more_each_may_differ() -> None:
    runs = [logged(loss, s, v) for loss in "abcd" for s, v in enumerate([0.1, 0.2, 0.3])]
    (alone,) = compare([verified(runs[0], 0.1)], runs)
    four = compare([verified(run, 0.1) for run in runs if run.seed == 0], runs)
    assert [mean.allowed / alone.allowed for mean in four] == pytest.approx(
        [stats.t.isf(0.025 / 4, 8) / stats.t.isf(0.025, 8)] * 4
    )


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_campaigns_that_are_draws_of_the_same_law_rarely_differ(shared: float) -> None:
    """At most one verification in twenty, and fewer where a seed moves both machines alike."""
    rng, wrong, trials = np.random.default_rng(0), 0, 300
    for _ in range(trials):
        common = math.sqrt(shared) * rng.normal(size=(3, 5))
        there, here = (common + math.sqrt(1 - shared) * rng.normal(size=(3, 5)) for _ in range(2))
        runs = [logged(loss, s, there[i, s]) for i, loss in enumerate("abc") for s in range(5)]
        done = [verified(run, here["abc".index(run.loss), run.seed]) for run in runs if run.seed < 2]
        wrong += not all(mean.agrees for mean in compare(done, runs))
    assert wrong / trials <= (0.05 + 3 * math.sqrt(0.05 * 0.95 / trials) if shared == 0 else 0.002)


def test_another_law_is_found() -> None:
    rng = np.random.default_rng(1)
    runs = [logged(loss, s, rng.normal()) for loss in "abc" for s in range(5)]
    done = [verified(run, run.metrics["test/accuracy"] + 4.0) for run in runs if run.loss == "a"]
    (mean,) = compare(done, runs)
    assert not mean.agrees
