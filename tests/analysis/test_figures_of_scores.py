"""Figures of raw scores, of all pairs, of costs and of the length of training; and names that would break them."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from analysis.evidence.gather import Evidence
from analysis.figures import cost, differences, margins, pairs, plots, ranks, scores
from analysis.figures.canvas import NothingToDraw, lines_of, settle, wrapped
from analysis.figures.image import subjects
from analysis.figures.style import styled
from analysis.figures.training import length
from analysis.figures.tuning import temperature
from analysis.statistics.differences import holm
from suite.registry.claims import Claim
from tests.analysis import evidences, searches
from tests.analysis.evidences import DECLARED, LOSSES, VALIDATED, evidence

NAMES = (r"x$\foo{$", "$x^2$", "a_name_of_" + "n" * 50, "o" * 60, "对比损失函数的名字", '<b>&"')


@pytest.fixture(scope="module")
def two() -> Evidence:
    return evidence(effects={("temperature_free", "graph"): -60.0}, goals={"image": "minimise"})


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axis for axis in figure.axes if axis.get_title() == title]
    return found


def values(of: Evidence, benchmark: str, row: str) -> pd.Series:
    mine = of.rows[(of.rows["benchmark"] == benchmark) & (of.rows["row"] == row)]
    return mine.set_index("seed")["test"].sort_index()


def test_every_score_of_every_seed_is_a_dot_beside_its_mean(two: Evidence) -> None:
    axis = panel(scores.figure(two).figure, "graph")
    for place, row in enumerate(two.labels):
        dots, mean = [
            line
            for line in axis.lines
            if line.get_marker() not in ("None", "") and abs(line.get_ydata()[0] - place) < 0.3
        ]
        assert sorted(dots.get_xdata()) == sorted(values(two, "graph", row))
        assert list(mean.get_xdata()) == [pytest.approx(values(two, "graph", row).mean())]


def test_a_reference_far_from_all_losses_is_written_and_a_near_one_is_a_line() -> None:
    near = evidence(["image"], effects={(row, "image"): -20.0 for row in LOSSES[:2]})
    far = evidence(["image"])
    (axis,), (other,) = scores.figure(near).figure.axes, scores.figure(far).figure.axes
    assert not any("untrained" in text.get_text() for text in axis.texts)
    assert [line for line in axis.lines if list(line.get_xdata()) == [0.5, 0.5]]
    assert [text.get_text() for text in other.texts if text.get_text()] == ["← untrained 0.5"]


def test_pairs_are_paired_differences_in_margins_with_the_sign_of_the_goal(two: Evidence) -> None:
    for benchmark, sign in (("graph", 1.0), ("image", -1.0)):
        means, ps, counts = pairs.differences(two, benchmark)
        gaps = {
            (a, b): sign * (values(two, benchmark, a) - values(two, benchmark, b))
            for a in two.labels
            for b in two.labels
        }
        expected = np.array([[gaps[a, b].mean() / 0.01 for b in two.labels] for a in two.labels])
        assert means == pytest.approx(expected)
        above = [(i, j) for i in range(len(means)) for j in range(i + 1, len(means))]
        plain = [stats.ttest_1samp(gaps[two.labels[i], two.labels[j]], 0.0).pvalue for i, j in above]
        assert [ps[i, j] for i, j in above] == pytest.approx(holm(plain))
        assert (ps == ps.T)[np.triu_indices(len(ps), 1)].all() and set(counts.ravel()) == {5}


def test_pairs_that_share_no_seed_or_do_not_scatter_have_no_p(two: Evidence) -> None:
    rows = two.rows.copy()
    rows.loc[rows["row"] == DECLARED, "seed"] += 50
    of_free = (rows["row"] == "temperature_free") & (rows["benchmark"] == "graph")
    rows.loc[of_free, "test"] = rows.loc[
        (rows["row"] == "dystress") & (rows["benchmark"] == "graph"), "test"
    ].to_numpy()
    means, ps, counts = pairs.differences(replace(two, rows=rows), "graph")
    first, free, other = (two.labels.index(row) for row in (DECLARED, "temperature_free", "dystress"))
    assert counts[first, free] == 0 and math.isnan(means[first, free]) and math.isnan(ps[first, free])
    assert means[free, other] == 0 and math.isnan(ps[free, other])


def test_pairs_that_are_told_apart_are_bold(two: Evidence) -> None:
    axis = panel(pairs.figure(two).figure, "graph")
    bold = {tuple(map(round, text.get_position()))[::-1] for text in axis.texts if text.get_weight() == "bold"}
    _, ps, _ = pairs.differences(two, "graph")
    assert bold == {tuple(map(int, place)) for place in np.argwhere(ps < 0.05)} and bold


def test_a_single_row_has_no_pairs() -> None:
    with pytest.raises(NothingToDraw, match="there is one"):
        pairs.figure(evidence(["image"], losses=["infonce"], sweep=False))


def test_costs_are_seconds_of_training_and_those_of_the_search_where_one_chose_the_row(two: Evidence) -> None:
    found = cost.points(two).set_index(["benchmark", "row"])
    choice = next(one for one in two.choices if one.benchmark == "graph")
    assert found.loc[("graph", VALIDATED), "seconds"] == 10.0
    assert found.loc[("graph", VALIDATED), "searched"] == 10.0 + choice.seconds == 10.0 + 15 * 10.0
    assert math.isnan(found.loc[("graph", "dystress"), "searched"])
    assert found.loc[("graph", "dystress"), "score"] == pytest.approx(values(two, "graph", "dystress").mean())
    without = replace(two, rows=two.rows.drop(columns="seconds/training"))
    with pytest.raises(NothingToDraw, match="logged the seconds"):
        cost.figure(without)


def test_the_primary_metric_over_training_is_drawn_where_it_is_logged(two: Evidence) -> None:
    points = evidences.curves(two, without=["graph:train/accuracy"])
    drawn = length.figure(two, points).figure
    assert [axis.get_title() for axis in drawn.axes] == ["image"]
    means = length.means(two, points)
    mine = means[means["row"] == "dystress"].set_index("step")
    logged = points[(points["name"] == "train/accuracy") & points["run_id"].str.contains("image-dystress")]
    assert mine["mean"].to_numpy() == pytest.approx(logged.groupby("step")["value"].mean().to_numpy())
    with pytest.raises(NothingToDraw, match="No benchmark logged its primary metric"):
        length.figure(two, points[points["name"] != "train/accuracy"])


def test_every_verdict_has_a_bar_that_turns_where_its_interval_ends(two: Evidence) -> None:
    (axis,) = margins.figure(two).figure.axes
    free = next(one for one in two.verdicts if one.benchmark == "graph")
    assert free.comparison is not None and free.label == "worse"
    said = [text.get_text() for text in axis.texts]
    paired = free.comparison.paired
    words = f"worse, from {-paired.high:.2g} inconclusive, from {-paired.low:.2g} worse within the margin"
    assert words in said
    assert free.declared.in_words() in said
    ends = {round(bar.get_x(), 9) for bar in axis.patches}
    assert round(-paired.high / 0.01, 9) in ends and round(-paired.low / 0.01, 9) in ends
    with pytest.raises(NothingToDraw, match="No claim is declared"):
        margins.figure(replace(two, verdicts=()))


def test_long_names_are_broken_at_their_joints_and_cut_after_three_lines() -> None:
    assert wrapped("a_name_of_sixty characters", 12) == "a_name_of_\nsixty\ncharacters"
    assert wrapped("w" * 60, 24).split("\n") == ["w" * 24, "w" * 24, "w" * 12]
    assert wrapped("对比损失函数", 8) == "对比损失\n函数"
    assert wrapped("w" * 90, 24).split("\n")[2] == "w" * 23 + "…" and lines_of(["a", "w" * 90]) == 3


def with_search(made: Evidence, levels: dict[str, tuple[float, ...]]) -> Evidence:
    """Return evidence that holds a finished search on each of its benchmarks, too."""
    return replace(made, searches=searches.evidence(searches.runs(levels, made.benchmarks)).searches)


def test_benchmarks_stand_in_natural_order() -> None:
    many = evidence([f"benchmark_{i}" for i in (1, 2, 10)], seeds=range(2))
    many = with_search(many, {"infonce": (0.0, 0.01)})
    points = evidences.curves(many)
    for subject in subjects(many, evidences.logged(many, points)):
        titles = [text for axis in plots.drawing(subject).figure.axes for text in (axis.get_title(), axis.get_ylabel())]
        order = list(dict.fromkeys(title for title in titles if title.startswith("benchmark_")))
        assert order in ([], ["benchmark_1", "benchmark_2", "benchmark_10"])


def test_hostile_names_are_drawn_as_they_are_and_inside_of_every_figure() -> None:
    claims = {name: Claim(name, "better", NAMES[(i + 1) % len(NAMES)]) for i, name in enumerate(NAMES)}
    made = evidence([NAMES[0], NAMES[2]], [*LOSSES, *NAMES], seeds=range(2), claims=claims)
    made = with_search(made, dict.fromkeys(NAMES, (0.0, 0.01)))
    for subject in subjects(made, evidences.logged(made, evidences.curves(made))):
        name, figure = subject.name, plots.drawing(subject).figure
        with styled(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            settle(figure)
            box = figure.get_tightbbox()
        shown = " ".join(text.get_text() for text in figure.findobj(Text))
        assert r"x$\foo{$" in shown and (name == "temperature" or '<b>&"' in shown), name
        assert box.x0 >= -0.02 and box.x1 <= figure.get_figwidth() + 0.02, name


def test_a_logarithmic_panel_has_a_tick_beyond_the_margin_on_either_side_that_reaches_there() -> None:
    made = evidence(["text"], effects={("temperature_free", "text"): -31.0, ("dystress", "text"): 5.9})
    (axis,) = differences.figure(made).figure.axes
    ticks = axis.get_xticks()
    assert axis.get_xscale() == "symlog" and min(ticks) == pytest.approx(-0.3) and max(ticks) == pytest.approx(0.03)


def test_a_profile_is_the_share_of_runs_that_reach_a_difference() -> None:
    of = evidence(effects={("dystress", "graph"): 2.0, ("temperature_free", "image"): -60.0})
    (axis,) = ranks.profiles(of).figure.axes
    rows = [row for row in of.labels if row != of.baseline]
    drawn = [line for line in axis.lines if len(line.get_xdata()) > 2]
    assert len(drawn) == len(axis.collections) == len(rows)
    for row, line in zip(rows, drawn, strict=True):
        mine = [one.differences / one.margin for one in of.comparisons if one.row == row]
        left, *inner, right = zip(line.get_xdata(), line.get_ydata(), strict=True)
        assert (left[1], right[1]) == (1.0, 0.0)
        for at, share in inner:
            assert share == pytest.approx(np.mean([np.mean(each >= at) for each in mine]))
    for few in (evidence(["image"]), evidence(margin=math.nan)):
        with pytest.raises(NothingToDraw, match="Profiles need"):
            ranks.profiles(few)


def test_with_many_rows_a_long_name_takes_two_lines_and_what_is_written_at_an_edge_covers_no_marker() -> None:
    rows = ["w" * 60, *(f"loss_{i}" for i in range(29))]
    made = evidence(["image"], rows, seeds=range(3), effects={("loss_28", "image"): -3.0}, sweep=False)
    (axis,) = scores.figure(made).figure.axes
    settle(axis.figure)
    assert max(label.get_text().count("\n") for label in axis.get_yticklabels()) == 1
    assert axis.figure.get_figheight() < 9.0
    (edge,) = [text.get_window_extent() for text in axis.texts if "untrained" in text.get_text()]
    places = np.concatenate(
        [axis.transData.transform(line.get_xydata()) for line in axis.lines if line.get_marker() != "None"]
    )
    assert edge.y1 < places[:, 1].min()


def test_what_is_written_of_levels_far_off_stays_inside_of_its_panel() -> None:
    far = {(name, "image"): 60.0 for name in ("o" * 60, "temperature_free")}
    made = evidence(["graph", "image", "text"], [*LOSSES, "o" * 60], effects=far)
    figure = temperature.figure(made).figure
    settle(figure)
    for axis in figure.axes:
        written = [text for text in axis.texts if "↑" in text.get_text()]
        assert len(written) == (2 if axis.get_title() == "image" else 0)
        assert all(text.get_window_extent().x1 <= axis.get_window_extent().x1 for text in written)
