import random

from analysis.evidence.choice import MEDIAN, VALIDATED, choose, incomplete, natural, row_label
from analysis.evidence.gather import gather
from analysis.evidence.separation import benchmark_runs
from analysis.figures.tuning import temperature
from analysis.read.collect import collect
from suite.registry.claims import Claim, Declared
from tests.analysis.frames import logged, row


def sweep(benchmark: str, values: dict[str, list[float]], goal: str = "maximise", test: float = 0.0) -> list[dict]:
    return [
        row(
            benchmark,
            f"infonce@temperature={setting}",
            10 + i,
            test,
            purpose="selection",
            goal=goal,
            **{"val/accuracy": v},
        )
        for setting, vals in values.items()
        for i, v in enumerate(vals)
    ]


def chosen(*rows: dict) -> list[tuple[str, str]]:
    return [(choice.benchmark, choice.setting) for choice in choose(collect(logged(*rows)).runs)]


def test_best_mean_on_validation_in_the_direction_of_the_goal() -> None:
    values = {"0.1": [0.1, 0.9], "0.2": [0.6, 0.6], "1.0": [0.2, 0.2]}
    assert chosen(*sweep("image", values), *sweep("anomaly", values, "minimise")) == [
        ("anomaly", "temperature=1.0"),
        ("image", "temperature=0.2"),
    ]


def test_evaluation_seeds_and_test_figures_have_no_say() -> None:
    rows = sweep("image", {"0.1": [0.5], "0.2": [0.6]})
    rows += [row("image", "infonce@temperature=0.1", seed, 0.99, **{"val/accuracy": 0.99}) for seed in range(5)]
    for one in rows:
        one["test/accuracy"] = random.random() + ("0.1" in one["loss"])
    assert chosen(*rows) == [("image", "temperature=0.2")]


def test_members_without_all_selection_seeds_do_not_compete() -> None:
    runs = collect(logged(*sweep("image", {"0.1": [0.99], "0.2": [0.6, 0.5]}))).runs
    (choice,) = choose(runs)
    assert choice.setting == "temperature=0.2" and choice.skipped == ("temperature=0.1",)
    assert (choice.mean, choice.seeds, choice.member) == (0.55, 2, "infonce@temperature=0.2")


def test_of_equals_the_first_in_natural_order() -> None:
    assert chosen(*sweep("image", {"10.0": [0.5], "9.0": [0.5]})) == [("image", "temperature=9.0")]


def test_the_middle_of_the_grid_is_the_better_of_two_and_the_cost_is_counted() -> None:
    values = {"0.1": [0.1, 0.1], "0.2": [0.9, 0.9], "0.5": [0.4, 0.6], "1.0": [0.7, 0.7]}
    timed = [{**one, "seconds/training": 30.0, "seconds/setup": 1.5} for one in sweep("image", values)]
    (choice,) = choose(collect(logged(*timed)).runs)
    assert (choice.at(VALIDATED), choice.at(MEDIAN)) == ("temperature=0.2", "temperature=1.0")
    assert (choice.settings, choice.seeds, choice.runs, choice.seconds) == (4, 2, 8, 8 * 31.5)
    (three,) = choose(collect(logged(*(one for one in timed if "=0.2" not in one["loss"]))).runs)
    assert three.median == "temperature=0.5" and three.median_mean == 0.5
    (down,) = choose(collect(logged(*({**one, "goal": "minimise"} for one in timed))).runs)
    assert (down.setting, down.median) == ("temperature=0.1", "temperature=0.5")


def test_names_of_rows() -> None:
    assert row_label("infonce", VALIDATED, "temperature") == "infonce (tau validated)"
    assert row_label("temperature_free", MEDIAN, "scale") == "temperature_free (scale median)"


def test_natural_order() -> None:
    assert sorted(["t=10", "t=9", "t=1e-3", "s=50"], key=natural) == ["s=50", "t=1e-3", "t=9", "t=10"]


def test_ties_are_said_and_broken_by_natural_order() -> None:
    (choice,) = choose(
        collect(logged(*sweep("image", {"10.0": [0.5, 0.7], "9.0": [0.7, 0.5], "1.0": [0.1, 0.1]}))).runs
    )
    assert choice.setting == "temperature=9.0" and choice.tied == ("temperature=10.0",)


def test_a_sweep_whose_members_all_lack_a_seed_is_named_with_what_it_lacks() -> None:
    rows = sweep("image", {"0.1": [0.9, 0.8], "0.2": [0.6, 0.5]})
    runs = collect(logged(*(one for one in rows if (one["seed"] == 10) == ("=0.1" in one["loss"])))).runs
    assert choose(runs) == []
    (one,) = incomplete(runs)
    assert one.missing == (("temperature=0.1", (11,)), ("temperature=0.2", (10,)))
    assert "temperature=0.1 lacks 11; temperature=0.2 lacks 10" in one.text


def test_the_uncertainty_of_a_choice_is_that_of_all_resamples_of_the_selection_seeds() -> None:
    values = {"0.1": [0.9, 0.1], "0.2": [0.6, 0.6]}
    (choice,) = choose(collect(logged(*sweep("image", values))).runs)
    assert choice.setting == "temperature=0.2"
    assert choice.support == (("temperature=0.2", 0.75), ("temperature=0.1", 0.25))


def varied(benchmark: str, best: str) -> list[dict]:
    """Members of a list of sweeps, of which one is the best; all have evaluation runs."""
    rows = [row(benchmark, "free", seed, 0.5 + 0.001 * seed, margin=0.01) for seed in range(5)]
    for setting in ("scale=1.0", "scale=2.0", "eps=0.01", "eps=0.1"):
        level = 0.6 if setting == best else 0.5
        selection = {"purpose": "selection", "margin": 0.01, "val/accuracy": level}
        rows += [row(benchmark, f"free@{setting}", seed, None, **selection) for seed in (10, 11)]
        rows += [row(benchmark, f"free@{setting}", seed, level + 0.002 * seed, margin=0.01) for seed in range(5)]
    return rows


def test_the_rows_of_a_list_of_sweeps_have_the_same_names_on_every_benchmark() -> None:
    claim = Claim("free", "better", "free", loss_at="validated")
    runs = varied("a", "scale=2.0") + varied("b", "eps=0.01")
    found = gather(collect(logged(*runs)), Declared("infonce", {"claim": claim}), "mini")
    assert found.labels == ("free (declared)", "free (validated)", "free (median)")
    assert {one.label for one in found.verdicts} == {"better"} and found.verdicts[0].holds is True
    assert found.notes[0] == "free (validated): a scale=2.0, b eps=0.01; chosen on validation, 16 training runs."
    one = gather(collect(logged(*(run for run in runs if "eps" not in run["loss"]))), Declared(), "mini")
    assert "free (scale validated)" in one.labels  # of a single parameter its name stands there


def test_whether_the_temperature_matters_is_asked_of_sweeps_of_the_temperature_alone() -> None:
    values = {"0.1": [0.5, 0.5], "0.2": [0.51, 0.52], "0.1@norm=True": [0.6, 0.6]}
    runs = [*sweep("image", values), row("image", "infonce", 0, 0.5), row("image", "untrained", 0, 0.4)]
    other = sweep("image", {"9": [0.7, 0.7]})
    runs += [{**one, "loss": "infonce@norm=False", "run_id": f"n{one['seed']}"} for one in other]
    collected = collect(logged(*runs))
    assert choose(collected.runs)[0].setting == "norm=False"
    (image,) = benchmark_runs(collected, "mini")
    assert image.choice is not None and image.choice.setting == "temperature=0.2" and image.validated is None
    assert list(image.sweep.columns) == [0.1, 0.2]
    temperature.figure(gather(collected, Declared(), "mini"))  # what was chosen is none of its points
