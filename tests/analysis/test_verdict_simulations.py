"""The page of simulations: what it promises of normal seeds, and that it says what its script computes."""

import re

import pytest

from tests.analysis import budget_simulations
from tests.analysis.verdict_simulations import (
    ERRORS,
    NOISES,
    OF_ITEMS,
    PAGE,
    TEXT,
    coverage,
    crossed_coverage,
    holds_the_best,
    overall_error,
)

NORMAL = NOISES["normal"]


def test_the_page_is_that_of_the_script() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.startswith(TEXT)
    (row,) = re.findall(r"\| better, at 0 \| ([\d. /]+) \|", page)
    assert row == " / ".join(f"{ERRORS['better, at 0'](NORMAL, n):.3f}" for n in (5, 10, 20))


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("n", [5, 20])
def test_words_err_in_a_fortieth_of_normal_campaigns_at_their_boundary(name: str, n: int) -> None:
    assert ERRORS[name](NORMAL, n) <= 0.025 + 3 * 0.0025


@pytest.mark.parametrize("benchmarks", [1, 5, 20])
def test_simultaneous_intervals_cover(benchmarks: int) -> None:
    assert coverage(NORMAL, 5, benchmarks) == pytest.approx(0.95, abs=0.0105)


@pytest.mark.parametrize("noise", OF_ITEMS)
def test_intervals_over_seeds_and_items_cover(noise: str) -> None:
    assert crossed_coverage(NORMAL, 5, noise, over_items=True) >= 0.95 - 3 * 0.007
    if noise == "three times that":
        assert crossed_coverage(NORMAL, 5, noise, over_items=False) < 0.7, "the simulation has no noise of items"


@pytest.mark.parametrize("losses", [5, 10, 30])
def test_the_bold_set_holds_the_best(losses: int) -> None:
    assert holds_the_best(NORMAL, 5, losses) >= 0.95 - 0.015


@pytest.mark.parametrize("claim", ["not worse", "better"])
def test_overall_verdicts_err_in_a_fortieth(claim: str) -> None:
    assert overall_error(NORMAL, 5, 5, claim, 2000) <= 0.025 + 3 * 0.0035


def test_the_page_has_what_the_script_of_budget_curves_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert budget_simulations.TEXT in page
    (row,) = re.findall(
        r"\| saturating \| ([\d.]+) \|[^\n]*\|\n\| normal [^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n\n\| coverage, 16", page
    )
    assert row == f"{budget_simulations.coverage('saturating', 8)[0]:.3f}"


@pytest.mark.parametrize("name", ["saturating", "a third fails", "nothing to tune"])
def test_intervals_of_budget_curves_cover(name: str) -> None:
    assert (budget_simulations.coverage(name, 8, 300) >= 0.95 - 3 * 0.0126).all()


def test_where_a_search_space_has_a_tail_the_intervals_of_few_trials_cover_and_of_many_do_not() -> None:
    covered = budget_simulations.coverage("long tail above", 8, 300)
    assert covered[0] >= 0.95 - 3 * 0.0126 and covered[-1] < 0.9


@pytest.mark.parametrize("trials", [2, 4])
def test_the_interval_of_a_price_holds_it(trials: int) -> None:
    assert budget_simulations.price_coverage("saturating", 8, trials, 300) >= 0.95 - 3 * 0.0126
