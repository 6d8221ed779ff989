import math
from dataclasses import replace
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.evidence.gather import Evidence
from analysis.figures import differences, forest
from analysis.figures import ranks as rank_figure
from analysis.figures.canvas import NothingToDraw, counted, number, settle, wrapped
from analysis.figures.style import look
from analysis.figures.training import curves, geometry, histograms
from analysis.figures.tuning import temperature
from analysis.statistics.ranks import ranks
from suite.registry.claims import Claim
from tests.analysis import evidences
from tests.analysis.evidences import CHOSEN, CLAIMS, DECLARED, HOST, LOSSES, MEDIAN, VALIDATED, evidence

NO_CURVES = pd.DataFrame(columns=["run_id", "name", "step", "value"])


@pytest.fixture(scope="module")
def two() -> Evidence:
    effects = {("temperature_free", "graph"): -60.0, ("dystress", "image"): 3.0}
    return evidence(effects=effects, goals={"image": "minimise"})


@pytest.fixture(scope="module")
def points(two: Evidence) -> pd.DataFrame:
    return evidences.curves(two, without=["graph:train/alignment"], collapsed=["temperature_free"])


def marked(axis: Axes, row: str) -> list[Line2D]:
    drawn = look(row)
    return [
        line for line in axis.lines if to_hex(line.get_color()) == drawn.colour and line.get_marker() == drawn.marker
    ]


def bars(axis: Axes, row: str) -> list[Line2D]:
    plain = [line for line in axis.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2]
    return [line for line in plain if to_hex(line.get_color()) == look(row).colour]


def texts(axis: Axes) -> list[str]:
    return [text.get_text() for text in axis.texts]


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title() == title]
    return found


def without_claims(of: Evidence, claims: dict[str, Claim]) -> Evidence:
    return replace(of, verdicts=tuple(one for one in of.verdicts if one.claim in claims))


def test_a_row_looks_the_same_whichever_others_are_there(two: Evidence, points: pd.DataFrame) -> None:
    few = replace(two, labels=(VALIDATED, "temperature_free"))
    for draw in (curves.figure, geometry.figure):
        for one in (two, few):
            (axis, *_) = draw(one, points).figure.axes
            assert marked(axis, "temperature_free") and marked(axis, VALIDATED)


# words and numbers


@pytest.mark.parametrize(
    ("value", "form", "text"), [(-0.04, "+.1f", "0.0"), (-31.0, "g", "\N{MINUS SIGN}31"), (0.04, "+.2f", "+0.04")]
)
def test_numbers_have_a_minus_sign_and_zero_has_none(value: float, form: str, text: str) -> None:
    assert number(value, form) == text


def test_counts_and_long_names() -> None:
    assert [counted([1, 1]), counted([5, 3]), counted([])] == ["1 seed", "3 to 5 seeds", "0 seeds"]
    assert wrapped("a_benchmark_with_a_long_name") == "a_benchmark_\nwith_a_long_name"
    assert wrapped("recommendation") == "recommendation"


# paired differences


def test_every_seed_is_a_dot_and_the_interval_stands_where_its_numbers_do(two: Evidence) -> None:
    figure = differences.figure(two).figure
    assert [axis.get_title() for axis in figure.axes] == ["graph", "image"]
    for one in two.comparisons:
        axis = panel(figure, one.benchmark)
        seeds, mean = marked(axis, one.row)
        assert list(seeds.get_xdata()) == list(one.differences) and len(one.differences) == 5
        assert list(mean.get_xdata()) == [one.paired.mean]
        (bar,) = bars(axis, one.row)
        assert list(bar.get_xdata()) == [one.paired.low, one.paired.high]
        (band,) = axis.patches
        assert band.get_extents().transformed(axis.transData.inverted()).intervalx == pytest.approx([-0.01, 0.01])


def test_the_rows_are_named_in_the_order_of_the_tables_and_the_baseline_is_not_among_them(two: Evidence) -> None:
    axis = panel(differences.figure(two).figure, "graph")
    assert [text.get_text() for text in axis.get_yticklabels()] == [DECLARED, "dystress", "temperature_free"]


def test_better_is_to_the_right_where_the_metric_is_minimised_and_the_axis_says_so(two: Evidence) -> None:
    axis = panel(differences.figure(two).figure, "image")
    assert marked(axis, "dystress")[1].get_xdata()[0] > 0.02
    assert axis.get_xlabel() == "difference in accuracy →\n(sign turned)"


def test_a_difference_of_sixty_margins_is_printed_and_leaves_room_for_the_others(two: Evidence) -> None:
    drawing = differences.figure(two)
    axis = panel(drawing.figure, "graph")
    assert axis.get_xscale() == "symlog" and "logarithmic" in axis.get_xlabel() and "logarithmic" in drawing.caption
    assert "\N{MINUS SIGN}0.6" in texts(axis)
    low, high = axis.transAxes.inverted().transform(axis.transData.transform([(-0.01, 0), (0.01, 0)]))[:, 0]
    assert high - low > 0.2


def test_of_one_seed_there_is_a_dot_and_no_bar() -> None:
    (axis,) = differences.figure(evidence(["image"], seeds=[0])).figure.axes
    assert len(marked(axis, "dystress")) == 2 and bars(axis, "dystress") == []


def test_a_row_made_of_the_runs_of_the_baseline_says_so(two: Evidence) -> None:
    same = [replace(one, is_same=one.row == DECLARED) for one in two.comparisons]
    same[1] = replace(same[0], is_same=False)
    figure = differences.figure(replace(two, comparisons=tuple(same))).figure
    assert "the baseline's runs" in texts(panel(figure, "image"))


def test_without_a_margin_there_is_no_band() -> None:
    (axis,) = differences.figure(evidence(["image"], margin=math.nan)).figure.axes
    assert len(axis.patches) == 0 and axis.get_xscale() == "linear"


# forest


def test_the_forest_stands_in_margins_with_its_verdicts_in_words(two: Evidence) -> None:
    (axis,) = forest.figure(two).figure.axes
    lines = forest.lines(two)
    assert [line.text for line in lines] == [
        "temperature_free is not worse than infonce (validated)", "graph", "image", "mean of 2",
        "dystress is better than infonce (declared)", "graph", "image", "mean of 2",
    ]  # fmt: skip
    graph = next(one for one in two.verdicts if one.benchmark == "graph")
    assert graph.comparison is not None
    assert lines[1].mean == pytest.approx(graph.comparison.paired.mean / 0.01)
    colour, marker = forest.LABELS["worse"]
    (point,) = [line for line in axis.lines if line.get_marker() == marker]
    assert point.get_color() == colour and list(point.get_xdata()) == [lines[1].mean]
    interval = [list(line.get_xdata()) for line in axis.lines if list(line.get_ydata()) == [1, 1] and line != point]
    assert interval == [[lines[1].low, lines[1].high]]
    said = texts(axis)
    assert f"worse ({number(lines[1].mean, '+.1f')}, n = 5)" in said and "worse overall" in said
    verticals = [line.get_xdata()[0] for line in axis.lines if list(line.get_ydata()) == [0, 1]]
    assert sorted(verticals) == [-1.0, 0.0, 1.0]


def test_labels_have_shapes_as_well_as_colours() -> None:
    kinds = [*forest.LABELS.values(), forest.OVERALL]
    assert len({colour for colour, _ in kinds}) == len({marker for _, marker in kinds}) == len(kinds)


def test_without_claims_or_without_margins_there_is_no_forest(two: Evidence) -> None:
    for one in (without_claims(two, {}), evidence(["image"], margin=math.nan)):
        with pytest.raises(NothingToDraw, match="No claim is declared"):
            forest.figure(one)


# temperature


def test_the_curve_holds_the_means_over_the_selection_seeds_and_the_levels_those_of_the_same_seeds() -> None:
    made = evidence(["image"])
    (axis,) = temperature.figure(made).figure.axes
    runs = made.collected.runs[made.collected.runs["purpose"] == "selection"]
    (container,) = axis.containers
    curve = container.lines[0]
    taus = list(curve.get_xdata())
    assert taus == [0.05, 0.1, 0.2, 0.5, 1.0]
    for tau, mean in zip(taus, curve.get_ydata(), strict=True):
        assert mean == pytest.approx(runs.loc[runs["loss"] == f"infonce@temperature={tau}", "val"].mean())
    for loss in ("dystress", "temperature_free"):
        levels = [line for line in axis.lines if to_hex(line.get_color()) == look(loss).colour]
        assert [line.get_ydata()[0] for line in levels] == [pytest.approx(runs.loc[runs["loss"] == loss, "val"].mean())]


def test_the_chosen_the_middle_and_the_declared_temperature_are_marked_in_the_looks_of_their_rows() -> None:
    (axis,) = temperature.figure(evidence(["image"])).figure.axes
    assert [list(line.get_xdata()) for line in marked(axis, VALIDATED)] == [[CHOSEN]]
    assert [list(line.get_xdata()) for line in marked(axis, MEDIAN)] == [[evidences.MIDDLE]]
    (declared,) = [line for line in axis.lines if line.get_label() == "declared temperature"]
    assert list(declared.get_xdata()) == [HOST, HOST]


def test_a_sweep_of_a_loss_that_logs_no_declared_value_is_drawn_without_it() -> None:
    made = evidence(["image"])
    runs = made.collected.runs.drop(columns="param.loss.temperature")
    (axis,) = temperature.figure(replace(made, collected=replace(made.collected, runs=runs))).figure.axes
    assert [list(line.get_xdata()) for line in marked(axis, VALIDATED)] == [[CHOSEN]]
    assert not [line for line in axis.lines if line.get_label() == "declared temperature"]


def test_a_level_far_off_is_written_so_that_the_sweep_stays_a_curve(two: Evidence) -> None:
    axis = panel(temperature.figure(two).figure, "graph")
    low, high = axis.get_ylim()
    assert [text for text in texts(axis) if text.startswith("↓ temperature_free 0.")] and low > 0.6 and high < 0.8


def test_the_axis_says_the_metric_and_its_direction(two: Evidence) -> None:
    figure = temperature.figure(two).figure
    assert panel(figure, "graph").get_ylabel() == "validation\naccuracy ↑"
    assert panel(figure, "image").get_ylabel() == "validation\naccuracy ↓"


def test_without_a_sweep_there_is_no_figure_of_it() -> None:
    with pytest.raises(NothingToDraw, match="No run of a sweep over the temperature of infonce"):
        temperature.figure(evidence(["image"], losses=["infonce", "dystress"], sweep=False))


# over training


def test_losses_are_divided_by_their_first_value_run_by_run(two: Evidence, points: pd.DataFrame) -> None:
    means = curves.means(two, points)
    mine = means[(means["row"] == "dystress") & (means["benchmark"] == "graph") & (means["name"] == "train/loss")]
    ids = two.rows.loc[(two.rows["row"] == "dystress") & (two.rows["benchmark"] == "graph"), "run_id"]
    layout = points[points["run_id"].isin(ids) & (points["name"] == "train/loss")].pivot(
        index="step", columns="run_id", values="value"
    )
    expected = layout / layout.iloc[0]
    assert mine["mean"].to_numpy() == pytest.approx(expected.mean(axis=1).to_numpy())
    assert mine["std"].to_numpy() == pytest.approx(expected.std(axis=1, ddof=1).to_numpy())
    assert set(mine["n"]) == {5} and mine["mean"].iloc[0] == 1.0


def test_a_loss_that_starts_below_zero_has_no_relative_curve(two: Evidence, points: pd.DataFrame) -> None:
    turned = points.assign(value=points["value"].where(points["name"] != "train/loss", -points["value"]))
    means = curves.means(two, turned)
    assert set(means["name"]) == {"train/similarity_positive", "train/similarity_negative"}
    assert texts(curves.figure(two, turned).figure.axes[0]) == ["not logged"]


def test_curves_of_every_row_stand_in_three_panels_a_benchmark(two: Evidence, points: pd.DataFrame) -> None:
    figure = curves.figure(two, points).figure
    assert len(figure.axes) == 6 and [axis.get_ylabel() for axis in figure.axes[::3]] == ["graph", "image"]
    assert all(len(marked(axis, row)) == 1 for axis in figure.axes for row in LOSSES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(two.labels)


def test_geometry_takes_the_last_logged_point_against_alignment_and_against_rank(
    two: Evidence, points: pd.DataFrame
) -> None:
    ends = geometry.last_points(two, points)
    assert ends.groupby("across")["benchmark"].unique().map(list).to_dict() == {
        "train/alignment": ["image"],
        "train/effective_rank": ["graph", "image"],
    }
    mine = ends[(ends["benchmark"] == "image") & (ends["row"] == "dystress") & (ends["seed"] == 3)]
    last = points[points["run_id"] == "id-image-dystress-3-0"].sort_values("step").groupby("name")["value"].last()
    assert list(mine["x"]) == [last[f"train/{name}"] for name in ("alignment", "effective_rank")]
    assert set(mine["uniformity"]) == {last["train/uniformity"]}


def test_geometry_draws_a_point_a_seed_and_their_mean_and_no_line_of_panels_has_two_meanings(
    two: Evidence, points: pd.DataFrame
) -> None:
    figure = geometry.figure(two, points).figure
    ends = geometry.last_points(two, points)
    seeds, mean = marked(panel(figure, "graph"), "dystress")
    mine = ends[(ends["benchmark"] == "graph") & (ends["row"] == "dystress")]
    assert len(seeds.get_xdata()) == 5 and mean.get_xdata()[0] == pytest.approx(mine["x"].mean())
    drawn = [(axis.get_title(), axis.get_xlabel().partition(" (")[0]) for axis in figure.axes]
    assert drawn == [("image", "alignment"), ("graph", "effective rank"), ("image", "effective rank")]
    first, *others = (axis.get_subplotspec().rowspan.start for axis in figure.axes)
    assert all(first < other for other in others)


def test_histograms_are_the_mean_over_seeds(two: Evidence, points: pd.DataFrame) -> None:
    shares = histograms.shares(two, points)
    one = shares[(shares["benchmark"] == "graph") & (shares["row"] == "dystress")].set_index("name")
    ids = two.rows.loc[(two.rows["row"] == "dystress") & (two.rows["benchmark"] == "graph"), "run_id"]
    for name in ("histogram/similarity_positive", "histogram/similarity_negative"):
        mine = points[points["run_id"].isin(ids) & (points["name"] == name)]
        expected = mine.groupby("step")["value"].mean()
        assert one.loc[name, list(range(100))].astype(float).to_numpy() == pytest.approx(expected.to_numpy())
    assert set(one["n"]) == {5}


def test_a_bin_that_a_run_did_not_log_counts_as_empty(two: Evidence, points: pd.DataFrame) -> None:
    positive = points["name"] == "histogram/similarity_positive"
    some = points[~(positive & (points["value"] < 1e-3))]
    shares = histograms.shares(two, some).set_index("name").loc["histogram/similarity_positive", list(range(100))]
    assert (shares.astype(float).sum(axis=1) <= 1.0 + 1e-12).all() and shares.notna().to_numpy().all()


def test_a_collapse_is_said_in_words(two: Evidence, points: pd.DataFrame) -> None:
    axis = panel(histograms.figure(two, points).figure, "graph")
    assert texts(axis) == ["100 % of negatives in 0.98 to 1", "100 % of positives in 0.98 to 1"]
    assert len(axis.collections) == len(LOSSES)  # what is filled: negatives
    assert sum(len(line.get_xdata()) > 100 for line in axis.lines) == len(LOSSES)  # positives


def test_what_was_not_logged_is_said_by_every_figure_over_training(two: Evidence) -> None:
    for draw, missing in (
        (curves.figure, "No training loss"),
        (geometry.figure, "No benchmark logged uniformity"),
        (histograms.figure, "No run logged histograms"),
    ):
        with pytest.raises(NothingToDraw, match=missing):
            draw(two, NO_CURVES)


# ranks


def test_groups_are_the_longest_runs_of_ranks_nearer_than_the_critical_difference() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        means, critical = np.sort(rng.uniform(1, 6, 6)).round(1), rng.uniform(0.3, 4)
        spans = [(a, b) for a in means for b in means if a < b and b - a < critical]
        longest = {
            one
            for one in spans
            if not any(other != one and other[0] <= one[0] and other[1] >= one[1] for other in spans)
        }
        assert rank_figure.groups([float(x) for x in rng.permutation(means)], critical) == sorted(longest)


def test_ranks_stand_where_their_numbers_do_with_the_power_beside_them(two: Evidence) -> None:
    (axis,) = (figure := rank_figure.figure(two).figure).axes
    for name, rank in zip((ranked := ranks(two.scores())).names, ranked.mean_ranks, strict=True):
        assert [list(line.get_xdata()) for line in marked(axis, name)] == [[rank]]
    text = " ".join(figure.get_supxlabel().split())
    assert text.startswith("With 2 benchmarks and 4 rows nothing can be told apart: the critical difference, 3.32")
    assert any("nothing can be told apart" in one for one in texts(axis))


def test_the_power_is_said_where_ranks_could_differ_enough() -> None:
    scores = pd.DataFrame(np.arange(15.0).reshape(5, 3), columns=list("abc"))
    assert "in 100 % of such campaigns" in rank_figure.power_sentence(ranks(scores, 0.0))
    unknown = rank_figure.power_sentence(ranks(scores))
    assert "Friedman's p = 0.0067" in unknown and "The noise is not known" in unknown


def test_the_noise_behind_ranks_is_that_of_paired_differences_in_margins(two: Evidence) -> None:
    mine = [one.paired.std / 0.01 / math.sqrt(10) for one in two.comparisons if one.benchmark == "image"]
    assert two.standard_errors()[two.benchmarks.index("image")] == pytest.approx(np.median(mine))


def test_ranks_need_three_rows_and_two_benchmarks() -> None:
    with pytest.raises(NothingToDraw, match="there are 4 rows that every one of 1 benchmarks has"):
        rank_figure.figure(evidence(["image"], claims=CLAIMS))


# all


def test_no_two_texts_of_the_tick_labels_of_a_panel_overlap(two: Evidence, points: pd.DataFrame) -> None:
    of_results = [draw(two) for draw in (differences.figure, temperature.figure)]
    of_curves = [draw(two, points) for draw in (curves.figure, geometry.figure, histograms.figure)]
    for figure in (drawing.figure for drawing in (*of_results, *of_curves)):
        settle(figure)
        figure.draw_without_rendering()
        for axis in figure.axes:
            for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
                boxes = [tick.get_window_extent() for tick in ticks if tick.get_text() and tick.get_visible()]
                assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_drawing_leaves_the_settings_of_the_reader_alone(two: Evidence) -> None:
    before = dict(mpl.rcParams)
    differences.figure(two)
    assert dict(mpl.rcParams) == before
