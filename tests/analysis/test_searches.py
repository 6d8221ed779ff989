"""Rows, verdicts, curves and prices of searches: where tuning helps, where it does not, and where runs are missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.evidence.failures import Failed
from analysis.evidence.gather import Evidence, Verdict
from analysis.figures import cost, pairs
from analysis.figures.canvas import NothingToDraw
from analysis.figures.tuning import budget as budget_figure
from analysis.read.collect import collect
from analysis.report.paragraph import paragraph
from analysis.tables import render, verdict_text
from analysis.tables.tables import all_tables
from analysis.tables.tuning.budget import budget_table
from analysis.tables.tuning.price import price_table
from suite.registry.claims import Claim, Trials
from tests.analysis.searches import LEVELS, evidence, runs, with_failure, without

TUNED, FREE_TUNED = "infonce (tuned, 9 trials)", "temperature_free (tuned, 9 trials)"
COMMAND = (
    "run `python -m suite tune --benchmarks {} --losses infonce --selection-seeds 100-102 --budget 9 --profile mini`"
)


@pytest.fixture(scope="module")
def made() -> Evidence:
    return evidence()


def verdicts(of: Evidence, claim: str) -> dict[str, Verdict]:
    return {one.benchmark: one for one in of.verdicts if one.claim == claim}


def chosen(of: Evidence, row: str, benchmark: str) -> set[str]:
    ids = of.rows[(of.rows["row"] == row) & (of.rows["benchmark"] == benchmark)]["run_id"]
    logged = of.collected.runs.set_index("run_id")["loss"]
    return set(logged[ids])


def test_every_table_has_declared_and_tuned_rows_and_no_other_trial(made: Evidence) -> None:
    assert made.labels == ("infonce", "infonce (tuned, 3 trials)", TUNED, "temperature_free", FREE_TUNED)
    assert chosen(made, TUNED, "image") == {"infonce@trial=5"} and chosen(made, "infonce", "image") == {"infonce"}
    assert made.baseline == TUNED and not made.choices
    for table in all_tables(made):
        assert not [label for block in table.blocks for label, _ in block.rows if "@trial" in label]


def test_where_tuning_does_not_help_the_declared_one_may_be_chosen() -> None:
    levels = {**LEVELS, "temperature_free": (0.1, 0.0, 0.0, 0.0)}
    of = evidence(runs(levels))
    assert chosen(of, "temperature_free (tuned, 4 trials)", "image") == {"temperature_free"}
    both = evidence(runs(levels), {"self": Claim("temperature_free", "not_worse", "temperature_free", "tuned")})
    assert {one.label for one in both.verdicts if one.benchmark} == {"equivalent"}  # the same runs


@pytest.mark.parametrize(
    ("claim", "word", "holds"),
    [("as_declared", "better", True), ("after_three", "better", True), ("tuned", "equivalent", True)],
)
def test_a_claim_is_judged_at_the_trials_that_it_names(claim: str, word: str, holds: bool) -> None:
    levels = {"infonce": (-0.06, -0.09, -0.05, 0.0), "temperature_free": (0.0, -0.02, -0.02, -0.02)}
    of = evidence(runs(levels, evaluated={"infonce": {0, 2, 3}, "temperature_free": {0}}))
    found = verdicts(of, claim)
    assert (found["image"].label, found["image"].holds, found[""].holds) == (word, holds, holds)


def test_equal_trials_leave_the_lower_one() -> None:
    levels = {"infonce": (0.0, 0.1, 0.1)}
    logged = [run | {"val/accuracy": round(run["val/accuracy"], 1)} for run in runs(levels)]
    assert chosen(evidence(logged), "infonce (tuned, 3 trials)", "image") == {"infonce@trial=1"}


def test_a_failed_selection_run_is_the_worst() -> None:
    logged = with_failure(
        runs(evaluated={"infonce": {0, 3, 5}, "temperature_free": {0}}), "image", "infonce@trial=5", 101
    )
    of = evidence(logged)
    assert chosen(of, TUNED, "image") == {"infonce@trial=3"} and chosen(of, TUNED, "graph") == {"infonce@trial=5"}


def test_a_failed_evaluation_run_of_what_was_chosen_counts_as_the_untrained_encoder() -> None:
    of = evidence(with_failure(runs(), "image", "infonce@trial=5", 3))
    assert of.failures["image", TUNED] == Failed({3: "non_finite"})
    row = of.rows[(of.rows["row"] == TUNED) & (of.rows["benchmark"] == "image") & (of.rows["seed"] == 3)]
    assert row["test"].tolist() == [0.5]


def test_nothing_is_chosen_while_a_trial_lacks_a_seed_and_it_is_said_which() -> None:
    of = evidence(without(runs(), "image", "infonce@trial=4", 102))
    assert not chosen(of, TUNED, "image") and chosen(of, TUNED, "graph")
    lacks = f"trial 4 lacks selection seed 102: {COMMAND.format('image')}"
    assert verdicts(of, "tuned")["image"].reason == f"no evaluation run of {TUNED}; {lacks}"
    assert f"image: {TUNED} has no evaluation run yet: {lacks}." in of.notes
    assert chosen(of, "infonce (tuned, 3 trials)", "image") == {"infonce@trial=2"}  # the first three are complete


def test_what_was_chosen_and_is_still_to_be_evaluated_is_said_with_the_command() -> None:
    of = evidence(runs(evaluated={"infonce": {0, 2}}))
    assert verdicts(of, "tuned")["image"].reason == (
        f"no evaluation run of {TUNED}; validation chose trial 5: {COMMAND.format('image')}"
    )


@pytest.mark.parametrize(("seeds", "named"), [((100,), "100"), ((100, 102), "100,102"), ((5, 6, 7, 8), "5-8")])
def test_the_command_has_the_seeds_that_the_other_losses_were_tuned_with(seeds: tuple[int, ...], named: str) -> None:
    of = evidence(runs(evaluated={"infonce": {0}}, benchmarks=("image",), selection=seeds))
    assert f"--losses infonce --selection-seeds {named} --budget 9" in verdicts(of, "tuned")["image"].reason


def test_a_benchmark_with_fewer_trials_than_others_has_no_tuned_row() -> None:
    logged = [
        run
        for run in runs()
        if not (run["benchmark"] == "image" and run["loss"] in ("infonce@trial=7", "infonce@trial=8"))
    ]
    of = evidence(logged)
    assert not chosen(of, TUNED, "image")
    assert f"7 of 9 trials were run: {COMMAND.format('image')}" in verdicts(of, "tuned")["image"].reason


def test_without_any_trial_a_claim_of_tuning_says_what_to_run() -> None:
    of = evidence(runs({loss: levels[:1] for loss, levels in LEVELS.items()}))
    reasons = {name: verdicts(of, name)["image"].reason for name in ("tuned", "after_three")}
    assert reasons["tuned"] == (
        "no evaluation run of infonce (tuned); no trial was run: "
        "run `python -m suite tune --benchmarks image --losses infonce --profile mini`"
    )
    assert reasons["after_three"].startswith("no evaluation run of infonce (tuned, 3 trials); no trial was run: run `")
    assert budget_table(of) is None and price_table(of) is None
    with pytest.raises(NothingToDraw, match="suite tune"):
        budget_figure.figure(of)


def test_a_search_that_makes_no_difference_cannot_tell() -> None:
    levels = {"infonce": (0.0, 0.001, 0.0005), "temperature_free": (0.0, 0.0, 0.0)}
    of = evidence(runs(levels, evaluated={"infonce": {0, 1, 2}}))
    found = verdicts(of, "tuned")["image"]
    assert found.holds is None and "the whole search of infonce (3 trials) spans" in found.reason
    assert verdicts(of, "as_declared")["image"].label == "equivalent"  # nothing is known of a sweep


def test_a_claim_may_be_about_some_benchmarks_and_name_members_of_sweeps() -> None:
    extra = runs({"pps@scale=0.5": (0.05,)}, stream=1) + runs({"pps@scale=2.0": (0.07,)}, stream=2)
    members = [run for run in extra if run["kind"] == "loss"]
    claims = {
        "here": Claim("pps@scale=0.5", "better", "infonce", benchmarks=("image",)),
        "members": Claim("infonce", "better", "pps@scale=2.0"),
        "elsewhere": Claim("temperature_free", "better", "infonce", benchmarks=("text", "anomaly")),
    }
    of = evidence([*runs(), *members], claims)
    assert set(verdicts(of, "here")) == {"", "image"} and verdicts(of, "here")[""].label == "better"
    assert {one.label for one in verdicts(of, "members").values()} == {"worse"}
    assert "pps@scale=0.5" in of.labels and "pps@scale=2.0" in of.labels
    assert verdicts(of, "elsewhere")[""].reason == "no run on text nor on anomaly"
    # the correction is over the benchmarks that the claim is about
    alone = verdicts(of, "here")["image"]
    assert alone.comparison is not None and alone.comparison.level == pytest.approx(0.95)


def test_the_curve_rises_where_tuning_helps_and_hardly_where_it_does_not(made: Evidence) -> None:
    table = budget_table(made)
    assert table is not None and not [note for note in table.notes if "no curve" in note]
    data = table.data.set_index(["benchmark", "loss", "question", "k"])["mean"].sort_index()
    helps, helps_not = (data["image", loss, "drawn"] for loss in ("infonce", "temperature_free"))
    assert helps.index.tolist() == list(range(1, 9)) and helps.is_monotonic_increasing
    assert helps[8] - helps[1] > 0.04 and helps_not[8] - helps_not[1] < 0.008
    first = data["image", "infonce", "declared first"]
    selected = made.collected.runs.query("purpose == 'selection' and benchmark == 'image' and loss == 'infonce'")
    assert first.index.tolist() == list(range(1, 10)) and first[1] == pytest.approx(selected["test"].mean())


def test_the_price_of_tuning(made: Evidence) -> None:
    table = price_table(made)
    assert table is not None
    data = table.data.set_index(["benchmark", "loss", "question"])
    drawn = data.loc[("image", "infonce", "drawn")]
    assert drawn["trials"] == float("inf") and drawn["budget"] == 8  # even the best stays below
    cheap = evidence(runs({"infonce": tuple(level + 0.03 for level in LEVELS["infonce"]), "temperature_free": (0.0,)}))
    found = price_table(cheap)
    assert found is not None
    price = found.data.set_index(["benchmark", "loss", "question"]).loc[("image", "infonce", "drawn")]
    assert 2 <= price["trials"] <= 5 and price["low"] <= price["trials"] <= price["high"]
    at_once = price_table(evidence(runs({"infonce": [0.1] * 6, "temperature_free": (0.0,)})))
    assert at_once is not None and set(at_once.data["trials"]) == {1}


def test_what_is_minimised_has_the_same_prices_and_mirrored_curves(made: Evidence) -> None:
    turned = evidence(runs(goals={"graph": "minimise", "image": "minimise"}))
    prices = [price_table(of) for of in (made, turned)]
    assert prices[0] is not None and prices[1] is not None
    assert prices[0].data["trials"].tolist() == prices[1].data["trials"].tolist()
    table = budget_table(turned)
    assert table is not None
    block = table.blocks[0]
    declared, *curve = (
        cell.value for label, cells in block.rows if label == "image: infonce (accuracy ↓)" for cell in cells
    )
    assert declared == pytest.approx(0.86, abs=0.01) and declared > curve[1] > curve[2]
    (axis,) = [axis for axis in budget_figure.figure(turned).figure.axes if axis.get_title() == "image"]
    assert declared in [line.get_ydata()[0] for line in axis.lines if len(line.get_xdata()) == 1]
    data = table.data.query("loss == 'infonce' and question == 'drawn' and benchmark == 'image'")
    assert (
        data["mean"].is_monotonic_decreasing
        and (data["low"] <= data["mean"]).all()
        and (data["mean"] <= data["high"]).all()
    )


def test_a_reference_without_selection_runs_has_no_price_and_it_is_said() -> None:
    logged = [
        run for run in runs() if not (run["loss"].startswith("temperature_free") and run["purpose"] == "selection")
    ]
    table = price_table(evidence(logged))
    assert table is not None and table.data["reason"].str.contains("was not run with the selection seeds").all()
    assert "image: no price of infonce against temperature_free" in " ".join(table.notes)


def test_a_member_of_a_sweep_that_a_claim_is_about_has_prices_by_its_own_selection_runs() -> None:
    member = [run for run in runs({"pps@scale=0.5": (-0.03,)}, stream=1) if run["kind"] == "loss"]
    claims = {"member": Claim("pps@scale=0.5", "better", "infonce")}
    of = evidence([*runs(), *member], claims)
    table = price_table(of)
    assert table is not None and table.data["reason"].eq("").all()
    price = table.data.set_index(["benchmark", "loss", "question"]).loc[("image", "infonce", "drawn")]
    assert 2 <= price["trials"] <= 8 and table.blocks[0].title == "to reach pps@scale=0.5"
    elsewhere = price_table(evidence([*runs(), *member[:0]], claims))
    assert elsewhere is not None and elsewhere.data["reason"].str.contains("was not run with the selection").all()


def test_rows_of_fewer_trials_say_which_one_they_are_and_what_it_took(made: Evidence) -> None:
    noted = [note for note in made.notes if note.startswith("infonce (tuned, 3 trials)")]
    assert noted == [
        "infonce (tuned, 3 trials): trial graph 2, image 2; chosen on validation, 0 is the declared one; "
        f"{2 * 3 * 3} training runs."
    ]
    taken = cost.points(made).set_index(["benchmark", "row"])["searched"]
    assert taken["image", "infonce (tuned, 3 trials)"] == 10.0 + 3 * 3 * 10.0
    assert taken["image", TUNED] == 10.0 + 9 * 3 * 10.0 and pd.isna(taken["image", "infonce"])


def test_where_what_was_tuned_is_missing_it_is_said_that_nothing_is_compared_with_it(made: Evidence) -> None:
    declared = [run for run in runs() if run["benchmark"] == "graph" or "@trial" not in run["loss"]]
    of = evidence(declared)
    assert of.baseline == TUNED and {one.benchmark for one in of.comparisons} == {"graph"}
    said = f"image: no row is compared with {TUNED}, which has no finished evaluation run there."
    assert said in of.notes and not [note for note in made.notes if "no row is compared" in note]


def test_a_benchmark_of_which_only_references_were_run_so_far_has_no_panel_of_pairs() -> None:
    of = evidence([run for run in runs() if run["benchmark"] == "graph" or run["kind"] == "reference"])
    assert [axis.get_title() for axis in pairs.figure(of).figure.axes[:-1]] == ["graph"]


def test_a_search_that_chose_nothing_is_in_no_sentence_of_a_paper() -> None:
    logged = without(runs(), "image", "infonce@trial=4", 102)
    assert "Tuned on graph on validation: infonce, with 9 configurations" in paragraph(evidence(logged))
    nowhere = paragraph(evidence(without(logged, "graph", "infonce@trial=4", 102)))
    assert "Tuned on validation: temperature_free, with 9" in nowhere and nowhere.count("Tuned") == 1
    assert f"{9 * 3} training runs" in next(note for note in evidence(logged).notes if note.startswith(TUNED))


def test_a_claim_does_not_hold_while_its_losses_are_still_tuned_on_another_benchmark() -> None:
    begun = [run for run in runs() if run["benchmark"] == "graph" or run["purpose"] == "selection"]
    found = verdicts(evidence(without(begun, "image", "infonce@trial=4", 102)), "tuned")
    assert (found["image"].label, found[""].label, found[""].holds) == ("inconclusive", "inconclusive", None)
    assert found["image"].reason == (
        f"no evaluation run of temperature_free nor of {TUNED}; "
        f"trial 4 lacks selection seed 102: {COMMAND.format('image')}"
    )
    alone = verdicts(evidence([run for run in begun if run["benchmark"] == "graph"]), "as_declared")
    assert set(alone) == {"", "graph"} and alone[""].holds is True


def test_failed_trials_enter_the_curve_as_what_they_count_as_or_leave_none() -> None:
    logged = with_failure(runs(), "image", "infonce@trial=6", 100)
    table, without_it = budget_table(evidence(logged)), budget_table(evidence(runs()))
    assert table is not None and without_it is not None
    first = [
        one.data.query("benchmark == 'image' and loss == 'infonce' and k == 1")["mean"].iloc[0]
        for one in (table, without_it)
    ]
    assert first[0] < first[1] - 0.005
    excluded = budget_table(evidence(logged, failures="exclude"))
    assert (
        excluded is not None
        and "image: no curve of infonce: trial 6 has no test score with seed 100." in excluded.notes
    )


def test_one_selection_seed_chooses_and_reports_and_that_is_said() -> None:
    single = evidence(runs(selection=(100,)))
    table = budget_table(single)
    assert table is not None and any("With one selection seed" in note for note in table.notes)
    assert budget_figure.figure(single).caption.endswith("1 selection seed; a single one does both.")


def test_a_single_trial_beside_the_declared_one_has_a_curve_without_interval() -> None:
    table = budget_table(evidence(runs({loss: levels[:2] for loss, levels in LEVELS.items()})))
    assert table is not None
    assert table.data.query("question == 'drawn'")["low"].isna().all() and table.data["mean"].notna().all()
    budget_figure.figure(evidence(runs({loss: levels[:2] for loss, levels in LEVELS.items()})))


def test_prices_stand_beside_the_verdicts_on_the_terminal(made: Evidence) -> None:
    shown = "\n".join(verdict_text.lines(made))
    assert "Trials to reach temperature_free (declared), drawn from the search space" in shown
    assert "image  infonce  > 8 [" in shown


def test_a_figure_has_a_line_a_loss_and_the_levels_of_what_is_declared(made: Evidence) -> None:
    axes = budget_figure.figure(made).figure.axes
    assert [axis.get_title() for axis in axes] == ["graph", "image"]
    lines = [line for line in axes[1].lines if len(line.get_xdata()) == 8]
    assert len(lines) == 2
    levels = sorted(line.get_ydata()[0] for line in axes[1].lines if len(line.get_xdata()) == 1)
    selected = made.collected.runs.query("purpose == 'selection' and benchmark == 'image'")
    expected = sorted(selected.loc[selected["loss"] == loss, "test"].mean() for loss in LEVELS)
    assert levels == pytest.approx(expected)


def test_every_format_has_the_tables(made: Evidence, tmp_path: Path) -> None:
    tables = [table for table in all_tables(made) if table.name in ("budget", "price")]
    files = render.write(tables, tmp_path)
    assert {(file.stem, file.suffix) for file in files} == {
        (name, suffix) for name in ("budget", "price") for suffix in (".md", ".tex", ".csv", ".html")
    }
    assert len(pd.read_csv(next(file for file in files if file.name == "price.csv"))) == 4


def test_trials_of_a_claim_that_are_all_trials_are_the_same_row(made: Evidence) -> None:
    of = evidence(claims={"all": Claim("temperature_free", "better", "infonce", Trials(9))})
    assert of.labels == ("infonce", TUNED, "temperature_free", FREE_TUNED)
    assert verdicts(of, "all")["image"].comparison is not None


def test_trials_set_what_a_search_may_set_and_stand_side_by_side() -> None:
    rate, epochs = "param.benchmark.learning_rate", "param.benchmark.epochs"
    logged = [
        run
        | {
            rate: "0.1" if run["loss"] == "infonce" else f"0.{n}",
            epochs: "2",
            "start": pd.Timestamp(n, unit="s", tz="UTC"),
        }
        for n, run in enumerate(runs({"infonce": LEVELS["infonce"][:3]}))
        if run["kind"] == "loss"
    ]
    by_trial = {run["loss"]: run[rate] for run in logged}
    logged = [run | {rate: by_trial[run["loss"]]} for run in logged]
    assert len({run[rate] for run in logged}) == 3
    counted = collect(pd.DataFrame(logged), searched={"graph": ["learning_rate"], "image": ["learning_rate"]})
    assert counted.left_out.empty
    assert len(collect(pd.DataFrame(logged)).runs) < len(logged)  # who knows nothing of a search takes it for a change
    # a change of anything else, or of the declared value, makes another benchmark as ever
    newer = {"start": pd.Timestamp(10_000, unit="s", tz="UTC"), "run_id": "new"}
    changed = collect(pd.DataFrame([*logged, logged[0] | newer | {epochs: "3"}]), searched={"graph": ["learning_rate"]})
    assert (changed.runs["benchmark"] == "graph").sum() == 1
    plain = logged[0] | newer | {rate: "0.7"}
    moved = collect(pd.DataFrame([*logged, plain]), searched={"graph": ["learning_rate"]}).runs
    assert (moved.query("benchmark == 'graph'")["loss"] == "infonce").sum() == 1
    assert moved.query("benchmark == 'graph'")["loss"].str.contains("@trial").sum() > 1


def test_members_of_a_sweep_of_settings_leave_other_runs_in_place() -> None:
    rate = "param.benchmark.learning_rate"
    of_sweep = [
        run | {rate: "0.5", "loss": "infonce@learning_rate=0.5", "run_id": f"s{run['run_id']}"}
        for run in runs()
        if run["loss"] == "infonce"
    ]
    others = [run | {rate: "0.1"} for run in runs({"infonce": (0.0,), "temperature_free": (0.0,)})]
    assert collect(pd.DataFrame([*others, *of_sweep])).left_out.empty
