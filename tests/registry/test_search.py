"""Search spaces: as many configurations for every loss, known before anything runs, and kept when more come."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.plan.plan import find_run
from suite.plan.run import Run, expand, run_of
from suite.records.files import write_json
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry
from suite.registry.search import Axis, Overrides, Range, draw
from tests.conftest import ROOT, Project

HOST = "    host_temperature: 0.5\n"
SEARCHED = HOST + "    search: {epochs: {low: 1, high: 9, scale: log}, pause_s: {low: 0.0, high: 0.5}}\n"
INFONCE = 'temperature: "${host_temperature}"'
TAU = Axis("tau", "loss", Range(0.05, 1.0, "log"))


def trials(registry: Registry, loss: str, benchmark: str, profile: str = "smoke") -> list[Run]:
    names = [loss, *(name for name, one in registry.losses.items() if one.sweep_of == loss and one.trial)]
    return list(expand(registry, [benchmark], names, registry.selection_seeds, profile))


def searched(project: Project, *overrides: str) -> Registry:
    project.edit(HOST, SEARCHED)
    project.edit(INFONCE, INFONCE + ", search: {temperature: {low: 0.05, high: 1.0, scale: log}}")
    return load(None, overrides)


@pytest.mark.slow
def test_every_loss_of_a_benchmark_has_as_many_configurations_and_selection_runs_plug_ins_too(
    project: Project,
) -> None:
    project.write("from tests.toys import Cosine\n\n\nclass Mine(Cosine):\n    pass\n", "mine.py")
    registry = load(ROOT / "benchmarks.yaml", ["+losses.mine={_target_: mine.Mine}"])
    assert "mine" in registry.document.losses
    for benchmark, entry in registry.document.benchmarks.items():
        for loss in registry.document.losses:
            assert len(registry.trials(loss, benchmark)) == 7, (loss, benchmark)
            runs = trials(registry, loss, benchmark, next(iter(entry.profiles)))
            assert len({run.key for run in runs}) == 8 * len(registry.selection_seeds), (loss, benchmark)
            assert {run.purpose for run in runs} == {"selection"}


def test_a_larger_budget_keeps_every_configuration_and_adds_some(project: Project) -> None:
    project.edit(HOST, SEARCHED)
    eight, sixteen = (
        [run.key for loss in ("cosine", "infonce") for run in trials(load(None, [f"budget={n}"]), loss, "blobs")]
        for n in (8, 16)
    )
    assert (len(eight), len(sixteen)) == (2 * 8 * 2, 2 * 16 * 2)
    assert set(eight) < set(sixteen)


def test_a_trial_is_a_run_with_its_settings_in_its_configuration(project: Project) -> None:
    registry = searched(project)
    drawn = registry.trials("infonce", "blobs")[2]
    (run, *_) = expand(registry, ["blobs"], ["infonce@trial=3"], [10], "smoke")
    assert run.name == "blobs/infonce@trial=3/seed10"
    assert run.config["loss"] == {
        "name": "infonce@trial=3", "_target_": "suite.losses.InfoNCE", **drawn.parameters
    }  # fmt: skip
    assert run.config["benchmark"] == {
        "name": "blobs", "_target_": "tests.toys.Blobs", "batch": 32, **drawn.settings
    }  # fmt: skip
    assert set(drawn.settings) == {"epochs", "pause_s"}


def test_the_declared_configuration_is_the_first_and_has_the_key_that_it_has_without_a_search(
    project: Project,
) -> None:
    before = [run.key for run in expand(load(), ["blobs"], ["infonce"], [0, 10], "smoke")]
    assert [run.key for run in expand(searched(project), ["blobs"], ["infonce"], [0, 10], "smoke")] == before


def test_losses_of_a_benchmark_are_tried_at_the_same_settings_of_the_host(project: Project) -> None:
    registry = searched(project)
    of_infonce, of_cosine = (registry.trials(loss, "blobs") for loss in ("infonce", "cosine"))
    assert [one.settings for one in of_infonce] == [one.settings for one in of_cosine]
    assert all(one.parameters for one in of_infonce) and not any(one.parameters for one in of_cosine)


def test_a_benchmark_without_anything_to_search_offers_what_the_loss_has(project: Project) -> None:
    registry = searched(project)
    assert len(trials(registry, "infonce", "nothing")) == 8 * 2
    assert [run.loss for run in trials(registry, "cosine", "nothing")] == ["cosine", "cosine"]


def test_the_draws_are_these_whatever_the_version_of_scipy() -> None:
    """They are in run keys."""
    found = draw([TAU, Axis("rate", "benchmark", Range(0.0001, 0.003, "log"))], 4)
    assert [one.settings["rate"] for one in found] == [0.0018, 0.000318, 0.000184, 0.000875]
    assert [one.parameters["tau"] for one in found] == [0.814, 0.199, 0.367, 0.0898]


@given(st.floats(1e-6, 1e6), st.floats(1.1, 1e4), st.sampled_from(["log", "linear"]), st.integers(1, 20))
def test_drawn_values_lie_within_the_range_have_three_digits_and_come_once(
    low: float, factor: float, scale: str, number: int
) -> None:
    high = low * factor
    values = [one.parameters["tau"] for one in draw([Axis("tau", "loss", Range(low, high, scale))], number)]  # type: ignore[arg-type]
    assert all(low <= value <= high for value in values)
    assert all(float(f"{value:.3g}") == value for value in values if value not in (low, high))
    assert len(set(values)) == len(values)
    if factor > 2:
        assert len(values) == number


def test_points_fill_the_range_evenly_in_its_scale() -> None:
    logarithms = sorted(math.log(one.parameters["tau"]) for one in draw([TAU], 64))
    shares = [(value - math.log(0.05)) / (math.log(1.0) - math.log(0.05)) for value in logarithms]
    assert all(abs(share - (place + 0.5) / 64) < 1 / 64 for place, share in enumerate(shares))


def test_lists_are_drawn_from_once_each_without_what_is_declared() -> None:
    axes = [Axis("tau", "loss", (0.1, 0.2, 0.3)), Axis("epochs", "benchmark", (1, 2))]
    found = draw(axes, 8, [Overrides({"tau": 0.1}, {"epochs": 2})])
    assert len(found) == 5  # all that there are
    assert Overrides({"tau": 0.1}, {"epochs": 2}) not in found
    assert found[:3] == draw(axes, 3, [Overrides({"tau": 0.1}, {"epochs": 2})])


def test_whole_numbers_stay_whole(project: Project) -> None:
    drawn = [one.settings["epochs"] for one in searched(project).trials("cosine", "blobs")]
    assert all(isinstance(value, int) and 1 <= value <= 9 for value in drawn)


def test_all_leaves_trials_out_and_a_glob_selects_them(project: Project) -> None:
    project.edit(HOST, SEARCHED)
    for losses, number in (("all", 2), ("cosine@trial=*", 7), ("cosine@scale=*", 2)):
        status, out, errors = project.suite(
            "plan", "--benchmarks", "blobs", "--losses", losses, "--seeds", "0", "--profile", "smoke"
        )
        assert status == 0, errors
        assert f"{number} runs at profile smoke" in out


def test_check_loss_takes_a_trial_with_its_parameters(project: Project) -> None:
    drawn = searched(project).trials("infonce", "blobs")[0].parameters["temperature"]
    status, out, errors = project.suite("check-loss", "infonce@trial=1")
    assert status == 0, errors
    assert f"suite.losses.InfoNCE(temperature={drawn}) as in benchmark blobs conforms" in out


@pytest.mark.parametrize(
    "search, says",
    [
        ("{temperature: 0.1}", "losses.infonce.search.temperature: 0.1 will not do: expected a range or a list"),
        ("{temperatur: [0.1]}", "losses.infonce.search.temperatur: suite.losses.InfoNCE has no parameter"),
        ("{temperature: {low: -1, high: 1}}", "losses.infonce.search.temperature.low: -1 will not do: must be > 0"),
        ("{temperature: {low: 1, high: 1}}", "losses.infonce.search.temperature.high: must be > low, 1"),
        ("{temperature: {low: 1}}", "losses.infonce.search.temperature.high: is missing"),
        ("{temperature: {low: 1, high: 2, step: 1}}", "search.temperature.step: unknown key; Valid: low, high"),
        ("{temperature: {low: 1, high: 2, scale: lgo}}", "search.temperature.scale: 'lgo' will not do: expected 'log'"),
        ("{temperature: [0.1, 0]}", "losses.infonce.search.temperature.1: 0 will not do: must be > 0"),
        ("3", "losses.infonce.search: expected parameters with a range or a list"),
    ],
)  # fmt: skip
def test_a_search_space_is_checked_like_what_is_declared(search: str, says: str, project: Project) -> None:
    project.edit(INFONCE, f"{INFONCE},\n    search: {search}")
    status, _, errors = project.suite("plan")
    assert status == 2
    assert f"benchmarks.yaml:9: {says}" in errors or f"benchmarks.yaml:9: losses.infonce.{says}" in errors, errors


def test_every_problem_of_a_hosts_search_and_sweep_is_reported_at_once(project: Project) -> None:
    search = "search: {epochs: {low: 0.5, high: 2}, width: [1]}"
    project.edit(HOST, f"{HOST}    {search}\n    sweep: {{batch: [0], pause_s: 3}}\n")
    status, _, errors = project.suite("plan")
    assert status == 2
    for line in (
        "benchmarks.yaml:14: benchmarks.blobs.search.epochs.low: 0.5 will not do: expected a whole number",
        "benchmarks.yaml:14: benchmarks.blobs.search.width: tests.toys.Blobs has no parameter 'width'",
        "benchmarks.yaml:15: benchmarks.blobs.sweep.batch.0: 0 will not do: must be >= 1",
        "benchmarks.yaml:15: benchmarks.blobs.sweep.pause_s: 3 will not do: expected a list of values",
    ):
        assert line in errors, errors


def test_a_trial_of_a_larger_budget_is_the_run_that_it_was(project: Project) -> None:
    searched(project)
    (made,) = expand(load(None, ["budget=16"]), ["blobs"], ["infonce@trial=12"], [10], "smoke")
    found = run_of(load(), "blobs", "infonce@trial=12", "loss", 10, "smoke")
    assert (found.key, found.name) == (made.key, "blobs/infonce@trial=12/seed10")
    store = Store(project.folder / "results")
    store.record(made.key).folder.mkdir(parents=True)
    write_json(store.record(made.key).folder / "run.json", made.to_json())
    known = find_run(load(), store, made.key)
    assert known is not None and known.key == made.key, "`why` knows what `tune --budget 16` has run"


def test_a_trial_that_no_search_draws_is_said_to_be_missing(project: Project) -> None:
    searched(project)
    project.edit("search: {temperature: {low: 0.05, high: 1.0, scale: log}}", "search: {temperature: [0.1, 0.2, 0.3]}")
    registry = load()
    for loss, benchmark in (
        ("infonce@trial=5", "nothing"),
        ("infonce@trial=12", "nothing"),
        ("infonce@trial=x", "blobs"),
    ):
        with pytest.raises(LookupError, match=f"the registry has no loss '{loss}'"):
            run_of(registry, benchmark, loss, "loss", 10, "smoke")
