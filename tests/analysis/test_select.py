import random

from analysis.collect import collect
from analysis.select import choose, natural, row_name
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


def test_names_of_rows() -> None:
    same = choose(collect(logged(*sweep("a", {"0.2": [0.5]}), *sweep("b", {"0.2": [0.5]}))).runs)
    assert row_name(same) == "infonce (tau validated: 0.2)"
    different = choose(collect(logged(*sweep("a", {"0.2": [0.5]}), *sweep("b", {"0.5": [0.5]}))).runs)
    assert row_name(different) == "infonce (tau validated)"


def test_natural_order() -> None:
    assert sorted(["t=10", "t=9", "t=1e-3", "s=50"], key=natural) == ["s=50", "t=1e-3", "t=9", "t=10"]
