import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from analysis.statistics.aggregates import hierarchical_bootstrap
from analysis.statistics.differences import paired
from analysis.statistics.ranks import _friedman, critical_difference, range_tail, rank_power, ranks
from analysis.tables.across import across_table
from tests.analysis import evidences

SCORES = pd.DataFrame(np.random.default_rng(1).normal([0.0, 0.2, 0.5, 1.5], 1.0, (7, 4)), columns=["a", "b", "c", "d"])
SIMULATION_ERROR = 4 * math.sqrt(0.25 / 10_000)


def test_the_best_score_ranks_first_and_equal_scores_share_their_ranks() -> None:
    scores = pd.DataFrame([[0.9, 0.5, 0.9, 0.1], [0.1, 0.2, 0.3, 0.4]], columns=["a", "b", "c", "d"])
    found = ranks(scores)
    assert found.names == ("a", "b", "c", "d") and found.benchmarks == 2
    assert found.mean_ranks == ((1.5 + 4) / 2, 3.0, (1.5 + 2) / 2, (4 + 1) / 2)


def test_scores_that_differ_by_rounding_alone_are_equal() -> None:
    ties = pd.DataFrame([[0.1 + 0.2, 0.3, 0.29], [1e-5, 1e-5 + 1e-20, 0.0]], columns=["a", "b", "c"])
    assert ties.loc[0, "a"] != ties.loc[0, "b"]
    assert ranks(ties).mean_ranks == (1.5, 1.5, 3.0)


def test_mean_ranks_are_those_of_pandas() -> None:
    expected = SCORES.rank(axis=1, ascending=False).mean()
    assert ranks(SCORES).mean_ranks == pytest.approx(tuple(expected))


def test_friedman_is_scipys_on_the_scores_themselves() -> None:
    found, theirs = ranks(SCORES), stats.friedmanchisquare(*SCORES.to_numpy().T)
    assert (found.friedman_statistic, found.friedman_p) == pytest.approx((theirs.statistic, theirs.pvalue))


def test_nemenyi_is_the_studentised_range_of_mean_ranks() -> None:
    found = ranks(SCORES)
    rows, benchmarks = len(found.names), found.benchmarks
    for (i, first), (j, second) in itertools.product(enumerate(found.names), repeat=2):
        gap = abs(found.mean_ranks[i] - found.mean_ranks[j])
        q = gap / math.sqrt(rows * (rows + 1) / (12 * benchmarks))
        expected = 1.0 if first == second else stats.studentized_range.sf(q, rows, math.inf)
        assert found.nemenyi.loc[first, second] == pytest.approx(expected, abs=1e-9)
    theirs = scikit_posthocs.posthoc_nemenyi_friedman(SCORES)
    # arrays: how pandas stores the names depends on the commands that other tests have called in this process
    np.testing.assert_allclose(found.nemenyi, theirs.loc[list(found.names), list(found.names)], rtol=1e-5)


@pytest.mark.parametrize("rows", [2, 3, 10, 40])
def test_the_tail_of_a_range_is_scipys_and_of_two_that_of_their_difference(rows: int) -> None:
    q = np.array([0.0, 1e-3, 1.0, 3.0, 5.0, 8.0])
    np.testing.assert_allclose(range_tail(q, rows), stats.studentized_range.sf(q, rows, math.inf), atol=1e-9)
    far = np.array([8.0, 12.0])
    np.testing.assert_allclose(range_tail(far, 2), 2 * stats.norm.sf(far / math.sqrt(2)), rtol=1e-9)


def test_a_gap_of_the_critical_difference_has_a_p_of_five_per_cent() -> None:
    for rows, benchmarks in [(2, 5), (4, 5), (6, 20)]:
        q = critical_difference(rows, benchmarks) / math.sqrt(rows * (rows + 1) / (12 * benchmarks))
        assert stats.studentized_range.sf(q, rows, math.inf) == pytest.approx(0.05, abs=1e-6)


def test_the_critical_difference_is_the_published_one() -> None:
    # Demšar (2006), table 5 (a): q of two to ten classifiers at .05.
    q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for rows, of_rows in enumerate(q, start=2):
        expected = of_rows * math.sqrt(rows * (rows + 1) / (6 * 14))
        assert critical_difference(rows, 14) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("rows", "benchmarks", "can"), [(4, 2, False), (4, 3, True), (4, 5, True), (2, 3, False)])
def test_so_few_benchmarks_may_not_separate_any_rows(rows: int, benchmarks: int, can: bool) -> None:
    names = [f"row {i}" for i in range(rows)]
    as_far_apart_as_can_be = pd.DataFrame([range(rows)] * benchmarks, columns=names)
    found = ranks(as_far_apart_as_can_be)
    assert found.largest_difference == rows - 1 == found.mean_ranks[0] - found.mean_ranks[-1]
    assert found.can_separate is can is bool(found.nemenyi.to_numpy().min() <= 0.05)


def test_what_ranks_cannot_say_is_nan() -> None:
    two, one_benchmark, one_row = SCORES[["a", "b"]], SCORES.iloc[:1], SCORES[["a"]]
    equal = pd.DataFrame(np.ones((5, 4)), columns=["a", "b", "c", "d"])
    for scores in (two, one_benchmark, one_row, equal):
        found = ranks(scores)
        assert math.isnan(found.friedman_statistic) and math.isnan(found.friedman_p)
    assert ranks(equal).mean_ranks == (2.5,) * 4 and (ranks(equal).nemenyi == 1).all(axis=None)
    assert ranks(one_row).mean_ranks == (1.0,) and not ranks(one_row).can_separate
    assert not ranks(one_benchmark).can_separate
    assert math.isnan(ranks(SCORES).power)


def test_scores_that_cannot_be_ranked_are_refused_all_at_once() -> None:
    holes = pd.DataFrame([[0.1, math.nan], [math.inf, 0.2]], columns=["a", "a"], index=["image", "graph"])
    with pytest.raises(ValueError, match=r"a on image, a on graph; every row needs a name of its own"):
        ranks(holes)
    for empty in (pd.DataFrame(columns=["a", "b"]), pd.DataFrame(index=["image"])):
        with pytest.raises(ValueError, match="no score to rank"):
            ranks(empty)


def test_friedmans_test_is_at_most_at_its_level_over_all_rankings_of_three_rows() -> None:
    layouts = itertools.product(itertools.permutations([1.0, 2.0, 3.0]), repeat=3)
    ps = np.array([_friedman(np.array(layout))[1] for layout in layouts])
    assert np.mean(ps <= 0.05) == pytest.approx(6 / 216)


@pytest.mark.parametrize("benchmarks", [3, 5, 10])
@pytest.mark.parametrize("standard_error", [0.1, 0.5, 1.0, 5.0])
def test_the_power_of_two_rows_is_that_of_a_count_of_wins(benchmarks: int, standard_error: float) -> None:
    win = stats.norm.cdf(1 / (standard_error * math.sqrt(2)))
    wins = np.arange(benchmarks + 1)
    enough = (2 * wins - benchmarks) / benchmarks >= critical_difference(2, benchmarks)
    expected = float(stats.binom.pmf(wins, benchmarks, win)[enough].sum())
    assert rank_power(2, benchmarks, standard_error) == pytest.approx(expected, abs=SIMULATION_ERROR)


@pytest.mark.parametrize(("rows", "benchmarks"), [(3, 5), (4, 5), (5, 4)])
def test_without_noise_the_power_is_that_of_chance_among_the_equal_rows(rows: int, benchmarks: int) -> None:
    gaps = [np.mean(gap) for gap in itertools.product(range(1, rows), repeat=benchmarks)]
    expected = float(np.mean(np.array(gaps) >= critical_difference(rows, benchmarks)))
    assert 0 < expected < 1
    assert rank_power(rows, benchmarks, 1e-6) == pytest.approx(expected, abs=SIMULATION_ERROR)


def test_rows_that_tie_share_their_ranks_in_the_power_too() -> None:
    for rows, benchmarks in [(4, 5), (4, 6), (3, 5), (3, 8)]:
        assert rank_power(rows, benchmarks, 0.0) == float(rows / 2 >= critical_difference(rows, benchmarks))


def test_in_nothing_but_noise_the_power_is_half_the_level_of_one_comparison() -> None:
    rows, benchmarks = 3, 4
    places = np.array(list(itertools.permutations(range(rows))))
    gaps = [np.mean(gap) for gap in itertools.product(places[:, 1] - places[:, 0], repeat=benchmarks)]
    expected = float(np.mean(np.array(gaps) >= critical_difference(rows, benchmarks)))
    assert rank_power(rows, benchmarks, 1e9) == pytest.approx(expected, abs=4 * math.sqrt(expected / 10_000))


def test_power_grows_with_benchmarks_and_falls_with_noise() -> None:
    by_noise = [rank_power(4, 10, error) for error in (0.2, 0.5, 1.0, 2.0)]
    by_benchmarks = [rank_power(4, n, 0.5) for n in (2, 5, 10, 30)]
    assert by_noise == sorted(by_noise, reverse=True) and by_benchmarks == sorted(by_benchmarks)
    assert by_benchmarks[0] == 0.0 and by_benchmarks[-1] > 0.99
    assert rank_power(4, 10, 2.0, shift=2.0) == rank_power(4, 10, 1.0)


def test_the_noise_of_each_benchmark_counts_by_itself() -> None:
    assert rank_power(4, 3, [0.5, 0.5, 0.5]) == rank_power(4, 3, 0.5)
    assert rank_power(2, 5, [1e-9, 1e-9, 1e-9, 1e-9, 1e9]) == pytest.approx(0.5, abs=SIMULATION_ERROR)
    assert ranks(SCORES, 0.5).power == rank_power(4, 7, 0.5)
    assert math.isnan(rank_power(4, 3, math.nan))


def test_power_of_nothing_is_refused() -> None:
    for rows, benchmarks in [(1, 5), (4, 0)]:
        with pytest.raises(ValueError, match=f"not {rows} and {benchmarks}"):
            rank_power(rows, benchmarks, 0.5)
    with pytest.raises(ValueError, match="not negative"):
        rank_power(4, 5, -0.5)


def test_the_aggregate_counts_every_benchmark_alike() -> None:
    found = hierarchical_bootstrap({"a": [1.0, 3.0], "b": [0.0], "c": [4.0, 4.0, 4.0], "d": [-2.0, 0.0]}, 500)
    assert found.mean == pytest.approx((2 + 0 + 4 - 1) / 4) and found.low < found.mean < found.high
    assert (found.benchmarks, found.resamples) == (4, 500)
    assert found == hierarchical_bootstrap({"a": [1.0, 3.0], "b": [0.0], "c": [4.0] * 3, "d": [-2.0, 0.0]}, 500)


def test_benchmarks_with_one_seed_each_are_resampled_like_seeds() -> None:
    values = [0.3, -0.1, 0.5, 0.2, 0.9]
    found, one = hierarchical_bootstrap({str(i): [value] for i, value in enumerate(values)}), paired(values)
    assert (found.mean, found.low, found.high) == pytest.approx((one.mean, one.boot_low, one.boot_high))


@pytest.mark.parametrize("benchmarks", [1, 2, 3])
def test_too_few_benchmarks_have_a_mean_and_no_interval(benchmarks: int) -> None:
    found = hierarchical_bootstrap({str(i): [0.0, 1.0, 2.0] for i in range(benchmarks)})
    assert found.mean == 1.0 and math.isnan(found.low) and math.isnan(found.high)


def test_differences_that_are_missing_are_refused() -> None:
    with pytest.raises(ValueError, match="no differences to average"):
        hierarchical_bootstrap({})
    with pytest.raises(ValueError, match="no differences to average on image, text"):
        hierarchical_bootstrap({"image": [], "graph": [1.0], "text": []})
    with pytest.raises(ValueError, match="differences at 1 are not finite"):
        hierarchical_bootstrap({"image": [1.0, math.nan]})


def test_the_table_tests_each_row_against_the_baseline_by_nemenyi() -> None:
    made = evidences.evidence(["graph", "image", "text"], effects={("dystress", "graph"): 4.0})
    table = across_table(made)
    assert table is not None
    expected = ranks(made.scores()).nemenyi[made.baseline]
    shown = table.data.set_index("row")["p_nemenyi"]
    assert math.isnan(shown[made.baseline]) and len(shown) == len(expected)
    assert shown.drop(made.baseline).to_dict() == pytest.approx(expected.drop(made.baseline).to_dict())
