"""Inputs on which a verdict once said what the data do not support: each with what it must say."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.evidence.gather import Evidence, gather
from analysis.evidence.verdict import Verdict
from analysis.evidence.words import Bounds, answer, by_margin, turning_margin, word
from analysis.read.collect import collect
from analysis.report import words
from analysis.tables import render
from analysis.tables.across import across_table
from analysis.tables.main import main_table
from analysis.tables.verdict_text import lines
from analysis.tables.verdicts import seeds_table, significance_table, verdicts_table
from suite.registry.claims import Claim, Declared
from tests.analysis.frames import logged, row
from tests.analysis.test_verdict import BETTER, MARGIN, NOT_WORSE, SPREAD, runs

FIVE = ("a", "b", "c", "d", "e")


def evidence(rows: list[dict], claim: Claim = NOT_WORSE, accept_changes: bool = False, **declared: object) -> Evidence:
    said = Declared("infonce", {"claim": claim}, **declared)  # type: ignore[arg-type]
    return gather(collect(logged(*rows)), said, "mini", accept_changes)


def judged(rows: list[dict], claim: Claim = NOT_WORSE, **others: object) -> dict[str, Verdict]:
    return {one.benchmark: one for one in evidence(rows, claim, **others).verdicts}  # type: ignore[arg-type]


def failing(
    rows: list[dict], seeds: tuple[int, ...] = (3, 4), failure: str = "non_finite: loss", loss: str = "free"
) -> list[dict]:
    return [
        {**one, "status": "FAILED", "failure": failure, "test/accuracy": None}
        if one["loss"] == loss and one["seed"] in seeds
        else one
        for one in rows
    ]


def untrained(benchmarks: tuple[str, ...], value: float = 0.3) -> list[dict]:
    return [row(name, "untrained", s, value, kind="reference", margin=MARGIN) for name in benchmarks for s in range(5)]


def test_a_worse_on_common_seeds_is_neither_bold_nor_first() -> None:
    rows = []
    for name in FIVE:
        for seed, deviation in enumerate(SPREAD):
            level = 0.9 if seed < 3 else 0.4
            rows.append(row(name, "infonce", seed, level, margin=MARGIN))
            if seed < 3:
                rows.append(row(name, "x", seed, level - 0.02 + 0.0005 * deviation, margin=MARGIN))
    found = evidence(rows)
    data = main_table(found).data
    assert set(data.loc[data["best"], "row"]) == {"infonce"}
    ranks = across_table(found)
    assert ranks is not None and ranks.data.set_index("row")["mean_rank"].to_dict() == {"infonce": 1.0, "x": 2.0}


@pytest.mark.parametrize("seeds", [(0,), tuple(range(5, 10))])
def test_a_row_with_other_seeds_takes_neither_bold_marks_nor_ranks_from_the_others(seeds: tuple[int, ...]) -> None:
    rows = runs({"a": 0.02, "b": 0.02})
    apart = [row(name, "apart", seed, 0.5, margin=MARGIN) for name in "ab" for seed in seeds]
    alone, beside = evidence(rows), evidence(rows + apart)
    bold = [set(one.data.loc[one.data["best"], "row"]) for one in (main_table(alone), main_table(beside))]
    assert bold == [{"free"}] * 2
    ranked = [across_table(one) for one in (alone, beside)]
    assert ranked[0] is not None and ranked[1] is not None
    assert [one.data["row"].tolist() for one in ranked if one is not None] == [["free", "infonce"]] * 2
    assert any("a: left out of what is bold" in note and note.endswith(": apart.") for note in main_table(beside).notes)
    assert ranked[1].notes[1].endswith("of half of the seeds that most rows have: apart.") and len(ranked[0].notes) == 1
    shorter = across_table(evidence([one for one in rows if one["loss"] == "infonce" or one["seed"] < 3]))
    assert shorter is not None and shorter.notes[1] == "Ranks rest on common seeds: a 3, b 3."


def test_b_a_claim_of_better_fails_where_the_loss_is_surely_below() -> None:
    found = judged(runs(dict.fromkeys(FIVE, -0.006), 0.0003), BETTER)
    assert {found[name].label for name in FIVE} == {"worse within the margin"}
    assert found[""].holds is False and found[""].label == "worse within the margin"
    straddling = judged(runs({"a": -0.0135}, 0.004), BETTER)["a"]
    assert straddling.label == "inconclusive" and straddling.holds is False


def test_d_failed_seeds_count_as_untrained_and_stand_in_line_and_cell() -> None:
    rows = failing(runs(dict.fromkeys(FIVE, 0.02))) + untrained(FIVE)
    found = evidence(rows)
    overall, *parts = found.verdicts
    assert overall.holds is None and {part.label for part in parts} == {"inconclusive"}
    said = "free failed on 2 of 5 seeds (2 non_finite, counted as the untrained"
    assert all(said in "; ".join(part.doubts) for part in parts)
    assert all("free failed on 2 of 5 seeds" in line for line in lines(found) if line.startswith("  a "))
    cell = dict(main_table(found).blocks[0].rows)["free"][0].text
    assert "(5), 2 failed" in cell
    (figure,) = main_table(found).data.query("row == 'free' and benchmark == 'a'")["mean"]
    finished = [one["test/accuracy"] for one in rows if one["loss"] == "free" and one["benchmark"] == "a"][:3]
    assert figure == pytest.approx((sum(finished) + 2 * 0.3) / 5)


@pytest.mark.parametrize("rule", ["exclude", "worst"])
def test_d_failures_that_nothing_stands_for_forbid_better_and_not_worse(rule: str) -> None:
    references = untrained(FIVE) if rule == "exclude" else []
    found = judged(failing(runs(dict.fromkeys(FIVE, 0.02))) + references, failures=rule)
    assert found[""].holds is None and found[""].label == "inconclusive"
    assert all("better, but without seeds that free failed on (2 of 5)" in found[name].reason for name in FIVE)
    worse = judged(failing(runs({"a": -0.03})) + references, failures=rule)
    assert worse["a"].label == "worse" and worse[""].holds is False


@pytest.mark.parametrize(("claim", "loss"), [(BETTER, "infonce"), (NOT_WORSE, "infonce"), (NOT_WORSE, "free")])
def test_a_side_that_machines_or_code_failed_on_every_seed_is_said_nothing_of(claim: Claim, loss: str) -> None:
    for name in ("data", "out_of_memory", "cancelled"):
        rows = failing(runs({"a": 0.0, "b": 0.0}), tuple(range(5)), f"{name}: what happened", loss)
        found = evidence(rows + untrained(("a", "b")), claim)
        assert [(one.label, one.holds) for one in found.verdicts] == [("inconclusive", None)] * 3
        assert found.verdicts[1].reason == f"no finished evaluation run of {loss}"
        assert found.verdicts[1].doubts == (f"{loss} failed on 5 of 5 seeds (5 {name}, left out)",)
        said = f"; {loss} failed on 10 of 10 seeds (10 {name})"
        _, headline, overall, *_ = lines(found)
        assert headline == f"{claim.in_words()}: open{said}" and overall == f"  overall inconclusive{said}"
        assert verdicts_table(found).data["reason"][0].endswith(said)
        assert dict(main_table(found).blocks[0].rows)[loss][0].text == "—, 5 failed"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_seed_that_finished_without_a_finite_metric_counts_as_collapsed(value: float) -> None:
    rows = [
        {**one, "test/accuracy": value} if one["loss"] == "free" and one["seed"] > 2 else one
        for one in runs({"a": 0.02})
    ]
    found = judged(rows + untrained(("a",)), BETTER)["a"]
    assert found.label == "inconclusive" and found.comparison is not None and found.comparison.paired.n == 5
    assert found.doubts[0].startswith("free failed on 2 of 5 seeds (2 non_finite, counted as")


def test_of_failed_seeds_those_that_collapsed_count_and_the_others_are_left_out() -> None:
    lost = failing(failing(runs({"a": -0.03}), (3,)), (4,), "node_lost: gone") + untrained(("a",))
    found = evidence(lost)
    part = found.verdicts[1]
    assert part.comparison is not None and part.comparison.seeds == (0, 1, 2, 3)
    assert found.rows.query("row == 'free' and seed == 3")["test"].item() == 0.3
    assert part.doubts[0].startswith("free failed on 2 of 5 seeds (1 non_finite, counted as")
    assert part.doubts[0].endswith("; 1 node_lost, left out)")
    assert dict(main_table(found).blocks[0].rows)["free"][0].text.endswith("(4 of 5), 2 failed")
    assert [note.split(" (")[1].split(";")[0] for note in found.notes if "free failed on seed" in note] == [
        "node_lost",
        "non_finite",
    ]
    good = judged(failing(runs({"a": 0.03}), (4,), "data: gone") + untrained(("a",)))["a"]
    assert good.label == "inconclusive" and "better, but without seeds that free failed on (1 of 5)" in good.reason


@pytest.mark.parametrize(
    ("shift", "loss", "mark"), [(0.03, "free", "d"), (-0.03, "free", "⁻"), (-0.03, "infonce", ")")]
)
def test_no_mark_favours_a_side_that_failed_on_seeds_without_a_figure(shift: float, loss: str, mark: str) -> None:
    found = evidence(failing(runs({"a": shift}), (4,), "data: gone", loss) + untrained(("a",)))
    (one,) = found.comparisons
    assert one.p_holm < 0.05
    assert dict(main_table(found).blocks[0].rows)["free"][0].text[-1] == mark  # "... (4 of 5), 1 failed", "... (5)"


def test_a_side_without_a_finished_seed_that_did_not_collapse_alone_is_said_nothing_of() -> None:
    every = failing(runs({"a": 0.02}), tuple(range(5)), loss="infonce")
    assert judged(every + untrained(("a",)), BETTER)["a"].label == "better"  # all five collapsed
    some = failing(every, (4,), "timeout: too slow", "infonce")
    assert judged(some + untrained(("a",)), BETTER)["a"].reason.startswith("infonce did not finish on any seed")


def test_where_both_sides_failed_on_a_benchmark_a_claim_does_not_hold_overall() -> None:
    rows = runs({"a": 0.0, "b": 0.0})
    for loss in ("free", "infonce"):
        here = failing([one for one in rows if one["benchmark"] == "b"], tuple(range(5)), "node_lost: gone", loss)
        rows = [*(one for one in rows if one["benchmark"] == "a"), *here]
    found = judged(rows + untrained(("a", "b")))
    assert found["b"].label == "inconclusive" and found["a"].holds is True and found[""].holds is None


def test_a_failed_run_with_another_configuration_or_a_finished_one_in_its_place_is_no_failure() -> None:
    finished = [{**one, "param.loss.scale": "1"} for one in runs({"a": 0.0})]
    failed = {**finished[1], "status": "FAILED", "run_id": "x", "start": pd.Timestamp(9, unit="s", tz="UTC")}
    assert judged([*finished, failed])["a"].doubts == ()
    other = {**failed, "seed": 7, "param.loss.scale": "2"}
    assert judged([*finished, other])["a"].doubts == ()
    assert "free failed on 1 of 6 seeds" in judged([*finished, {**failed, "seed": 7}])["a"].doubts[0]


def test_e_a_margin_changed_while_runs_existed_is_listed_and_not_judged_by_unless_asked() -> None:
    rows = [{**one, "margin": 0.02 if one["seed"] > 2 else MARGIN} for one in runs({"a": 0.0, "b": 0.0})]
    rows = [{**one, "start": pd.Timestamp(one["seed"], unit="s", tz="UTC")} for one in rows]
    found = judged(rows)
    assert found["a"].label == "inconclusive" and found[""].holds is None
    assert "the margin was 0.01 (6 runs), then 0.02 (4 runs)" in found["a"].doubts[0]
    asked = judged(rows, accept_changes=True)
    assert asked[""].holds is True and asked["a"].doubts == found["a"].doubts


def test_f_better_by_a_fifth_of_the_margin_is_said_to_be_within_it() -> None:
    found = judged(runs(dict.fromkeys(FIVE, 0.0) | {"a": 0.002}, 0.0005), BETTER)
    assert found["a"].label == "better within the margin" and found["b"].label == "equivalent"
    assert found[""].label == "better within the margin" and found[""].holds is True


def test_g_the_overall_verdict_needs_no_correction_and_the_parts_agree_with_their_intervals() -> None:
    names = [f"b{i}" for i in range(20)]
    found = judged(runs(dict.fromkeys(names, -0.001), 0.005))
    assert found[""].label == "not worse" or found[""].label == "equivalent"
    assert found[""].holds is True
    for name in names:
        one = found[name].comparison
        assert one is not None and found[name].label == word(Bounds(one.paired.low, one.paired.high), MARGIN)


def test_h_every_inconclusive_row_says_how_many_seeds_after_the_correction_with_an_interval() -> None:
    found = judged(runs(dict.fromkeys(FIVE, -0.004), 0.01))
    for name in FIVE:
        needed = found[name].seeds
        assert found[name].label == "inconclusive" and needed is not None
        assert needed.level == pytest.approx(0.025 / 5)
        assert needed.low is not None and needed.seeds is not None and needed.high is not None
        assert needed.low < needed.seeds < needed.high and needed.text in found[name].reason


def test_k_marks_do_not_depend_on_unrelated_rows() -> None:
    rows = runs({"a": 0.004, "b": 0.0})
    rng = np.random.default_rng(0)
    noise = [
        row(b, f"n{i}", s, 0.7 + rng.normal(0, 0.01), margin=MARGIN) for b in "ab" for i in range(8) for s in range(5)
    ]
    marks = [
        significance_table(evidence(some)).data.query("row == 'free'")["p_holm"].tolist()
        for some in (rows, rows + noise)
    ]
    assert marks[0] == marks[1]


def test_n_fewer_than_four_benchmarks_have_no_interval_and_no_nan() -> None:
    found = evidence(runs({"a": 0.0, "b": 0.01}))
    said = "\n".join(lines(found)) + json.dumps(
        [[c.text for _, cells in b.rows for c in cells] for b in verdicts_table(found).blocks]
    )
    assert "nan" not in said
    aggregate = found.verdicts[0].aggregate
    assert aggregate is not None and words.in_margins(aggregate) == "+0.50"  # on the page


def test_a_claim_without_a_margin_has_no_nan_in_its_table() -> None:
    table = verdicts_table(evidence([{**one, "margin": math.nan} for one in runs({"a": 0.0, "b": 0.01})]))
    assert "nan" not in render.markdown(table)


def test_the_page_prints_a_mean_in_margins_as_tables_do() -> None:
    found = evidence(runs(dict.fromkeys(FIVE, 0.001) | {"e": -0.31}))
    cells = [cell.text for cell in verdicts_table(found).blocks[0].rows[0][1][2:4]]
    aggregate = found.verdicts[0].aggregate
    assert aggregate is not None and cells[0] == "-6 margins"
    assert words.in_margins(aggregate) == f"-6 {cells[1]}".replace("-", words.MINUS)


def test_o_one_benchmark_far_off_leaves_the_median_and_the_interquartile_mean_where_the_others_are() -> None:
    found = judged(runs(dict.fromkeys(FIVE, 0.001) | {"e": -0.31}))[""].aggregate
    assert found is not None and found.mean < -6
    assert found.median.value == pytest.approx(0.1) and found.middle.value == pytest.approx(0.1)
    table = across_table(evidence(runs(dict.fromkeys(FIVE, 0.001) | {"e": -0.31})))
    assert table is not None
    mean = dict(table.blocks[0].rows)["free"][2].text
    assert mean == "-6"


def test_p_differences_without_scatter_give_no_verdict() -> None:
    found = judged(runs({"a": 0.0}, noise=0.0))
    assert found["a"].label == "inconclusive" and found[""].holds is None and "no noise to go by" in found["a"].reason


def test_q_confounded_hardware_is_named() -> None:
    rows = [
        {
            **one,
            "hardware": json.dumps({"gpu": "A100" if one["loss"] == "free" else "T4"}),
            "git": f"abc{'+dirty' * (one['loss'] == 'free')}",
        }
        for one in runs({"a": 0.0})
    ]
    doubts = judged(rows)["a"].doubts
    said = "confounded: other hardware (gpu) in every pair, uncommitted code in every pair"
    assert doubts == (said,)
    elsewhere = {"hardware": json.dumps({"gpu": "A100"}), "git": "abc"}
    more = [*rows, row("a", "infonce", 9, 0.7, margin=MARGIN, **elsewhere)]  # no seed of free, and on its machine
    assert judged(more)["a"].doubts == (said,)
    one = [{**one, "hardware": rows[1]["hardware"], "git": "abc"} if one["seed"] == 2 else one for one in rows]
    assert judged(one)["a"].doubts == (said.replace("every pair", "4 of 5 pairs"),)
    assert judged([{**one, "hardware": "{}"} if one["loss"] == "infonce" else one for one in rows])["a"].doubts == (
        "confounded: unknown hardware in every pair, uncommitted code in every pair",
    )
    mixed = [{**one, "hardware": json.dumps({"gpu": "A100" if one["seed"] % 2 else "T4"})} for one in runs({"a": 0.0})]
    assert judged(mixed)["a"].doubts == ()


def test_t_a_profile_with_one_loss_has_no_verdict_and_no_count_of_seeds() -> None:
    found = evidence([row("a", "infonce", seed, 0.5, margin=MARGIN) for seed in range(3)])
    assert found.verdicts == () and seeds_table(found) is None


def swept(spread: float) -> list[dict]:
    same = {"purpose": "selection", "margin": MARGIN}
    levels = {0.1: 0.5, 0.2: 0.5 + spread}
    return [
        row("a", f"infonce@temperature={t}", seed, None, **same, **{"val/accuracy": level})
        for t, level in levels.items()
        for seed in (10, 11)
    ]


def test_where_the_worst_setting_passes_not_worse_is_insensitive_and_does_not_count() -> None:
    rows = runs({"a": 0.0, "b": 0.0})
    blind, seeing = judged(rows + swept(0.009)), judged(rows + swept(0.02))
    assert blind["a"].label == "insensitive" and blind["a"].holds is None and not blind["a"].counts
    assert "spans 0.009" in blind["a"].reason and "equivalent by the interval" in blind["a"].reason
    assert blind[""].holds is True and "1 of 2 benchmarks could tell" in blind[""].reason
    assert seeing["a"].label == "equivalent" and seeing[""].holds is True
    alone = judged([one for one in rows if one["benchmark"] == "a"] + swept(0.009))
    assert alone[""].label == "insensitive" and alone[""].holds is None
    assert judged(runs({"a": -0.02}) + swept(0.009))[""].holds is False


@pytest.mark.parametrize("bounds", [Bounds(-0.3, 0.2), Bounds(0.1, 0.4), Bounds(-0.5, -0.1), Bounds(-0.2, 0.3)])
def test_the_word_by_margin_is_that_of_every_margin(bounds: Bounds) -> None:
    ranges = by_margin(bounds)
    assert ranges[0].low == 0 and ranges[-1].high == math.inf
    for margin in np.linspace(0.005, 0.7, 140):
        (said,) = (one.word for one in ranges if one.low < margin <= one.high)
        if not np.isclose(margin, [abs(bounds.low), abs(bounds.high)]).any():
            assert said == word(bounds, margin)
    turning = turning_margin(bounds)
    assert answer(bounds, turning + 1e-9, "not_worse") and (
        turning == 0 or not answer(bounds, turning - 1e-9, "not_worse")
    )


def test_what_is_printed_as_insensitive_does_not_count_although_its_own_interval_is_above_0() -> None:
    names = "abcdefgh"
    rows = runs(dict.fromkeys(names, 0.0046), 0.0035)
    found = judged(rows + [one | {"benchmark": name} for name in names for one in swept(0.009)])
    assert {found[name].label for name in names} == {"insensitive"} and found["a"].alone.low > 0
    assert found[""].label == "insensitive" and found[""].holds is None
    assert judged(rows)[""].holds is True  # where nothing is known of a sweep


def test_a_claim_does_not_hold_on_benchmarks_that_it_names_and_that_were_not_run() -> None:
    claim = Claim("free", "not_worse", "infonce", benchmarks=("a", "b"))
    found = judged(runs({"a": 0.0, "c": 0.0}), claim)
    assert list(found) == ["", "a", "b"] and found["a"].holds is True
    assert (found["b"].label, found["b"].reason) == ("inconclusive", "no evaluation run of free nor of infonce")
    assert (found[""].label, found[""].holds, found[""].aggregate) == ("inconclusive", None, None)
    whole = evidence(runs({"a": 0.0, "c": 0.0}), claim)
    assert "  b  inconclusive  no evaluation run" in "\n".join(lines(whole)) and len(verdicts_table(whole).data) == 3


def test_a_sweep_with_a_setting_that_failed_could_have_said_otherwise() -> None:
    lost = [
        {**one, "loss": "infonce@temperature=0.01", "run_id": f"f{seed}", "seed": seed, "status": "FAILED"}
        | {"failure": "non_finite: loss", "val/accuracy": None}
        for seed, one in zip((10, 11), swept(0.009)[:2], strict=True)
    ]
    found = judged(runs({"a": 0.0}) + swept(0.009) + lost)
    assert found["a"].label == "equivalent" and found[""].holds is True
    elsewhere = [{**one, "benchmark": "b"} for one in lost]
    assert judged(runs({"a": 0.0, "b": 0.0}) + swept(0.009) + elsewhere)["a"].label == "insensitive"
    machines = [{**one, "failure": "node_lost: its node went away"} for one in lost]
    assert judged(runs({"a": 0.0}) + swept(0.009) + machines)["a"].label == "insensitive"


@pytest.mark.parametrize("goal", ["maximise", "minimise"])
def test_to_fail_is_no_gain_where_training_makes_things_worse(goal: str) -> None:
    """The untrained encoder scores better than what was trained."""
    sign = -1.0 if goal == "minimise" else 1.0
    rows = [{**one, "goal": goal, "test/accuracy": sign * one["test/accuracy"]} for one in runs({"a": -0.02})]
    references = [{**one, "goal": goal} for one in untrained(("a",), sign * 0.9)]
    found = evidence(failing(rows, (1,)) + references)
    mine = found.rows.query("row == 'free'").set_index("seed")["test"]
    assert sign * mine[1] == pytest.approx((sign * mine.drop(1)).min())
    how = "counted as the untrained encoder or as chance, and no better than the worst"
    assert found.verdicts[1].doubts[0].startswith(f"free failed on 1 of 5 seeds (1 non_finite, {how}")
