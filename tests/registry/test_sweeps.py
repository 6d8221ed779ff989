"""Members of sweeps, of a loss's parameters and of a benchmark's settings, side by side, and kept as a sweep grows."""

from suite.plan.plan import find_run
from suite.plan.run import expand, run_of
from suite.records.files import write_json
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.selection import select_losses
from tests.conftest import Project

HOST = "    host_temperature: 0.5\n"
COSINE = "tests.toys.Cosine, sweep: {scale: [2.0, 10.0]}"


def keys(*names: str) -> dict[str, str]:
    registry = load()
    benchmarks, losses = list(registry.document.benchmarks), select_losses(registry, names)
    return {run.name: run.key for run in expand(registry, benchmarks, losses, [0], "smoke")}


def test_a_sweep_of_settings_makes_members_of_every_loss_beside_those_of_its_own(project: Project) -> None:
    project.edit(HOST, HOST + "    sweep: {epochs: [1, 9]}\n")
    registry = load()
    members = [name for name, entry in registry.losses.items() if entry.sweep_of is not None]
    of_host = [f"{name}@epochs={epochs}" for name in ("cosine", "infonce") for epochs in (1, 9)]
    assert members == ["cosine@scale=2.0", "cosine@scale=10.0", *of_host]
    (run,) = expand(registry, ["blobs"], ["infonce@epochs=9"], [0], "smoke")
    assert run.config["benchmark"]["epochs"] == 9
    assert run.config["loss"]["temperature"] == 0.5
    assert registry.settings["blobs", "smoke"]["epochs"] == 3


def test_a_loss_may_refer_to_a_setting_that_its_member_changes(project: Project) -> None:
    project.edit('temperature: "${host_temperature}"', 'temperature: "${epochs}"')
    project.edit("profiles: {smoke: {}, mini: {}}", "profiles: {smoke: {epochs: 1}, mini: {epochs: 1}}")
    project.edit("tests.toys.Nothing", "tests.toys.Blobs")
    project.edit(HOST, HOST + "    sweep: {epochs: [9]}\n")
    assert load().loss_config("infonce@epochs=9", "blobs", "smoke")["temperature"] == 9.0


def test_a_member_has_runs_only_where_its_setting_is_swept(project: Project) -> None:
    project.edit(HOST, HOST + "    sweep: {epochs: [1, 9]}\n")
    assert set(keys("infonce@epochs=9")) == {"blobs/infonce@epochs=9/seed0"}
    status, _, errors = project.suite("plan", "--benchmarks", "nothing", "--losses", "infonce@epochs=9")
    assert status == 2
    assert "--losses: no selected benchmark has infonce@epochs=9" in errors


def test_sweeps_of_a_list_vary_one_thing_at_a_time(project: Project) -> None:
    project.edit(COSINE, "suite.losses.SigLIP, sweep: [{scale: [2.0, 20.0]}, {bias: [-5.0, -1.0]}]")
    project.edit(HOST, HOST + "    sweep: [{epochs: [1, 9]}, {batch: [16]}]\n")
    members = [name for name, entry in load().losses.items() if entry.sweep_of == "cosine"]
    own = ["cosine@scale=2.0", "cosine@scale=20.0", "cosine@bias=-5.0", "cosine@bias=-1.0"]
    assert members == [*own, "cosine@epochs=1", "cosine@epochs=9", "cosine@batch=16"]


def test_a_member_that_two_sweeps_of_a_list_make_is_refused(project: Project) -> None:
    project.edit(COSINE, "suite.losses.SigLIP, sweep: [{scale: [2.0, 20.0]}, {scale: [3.0, 2.0]}, 5]")
    status, _, errors = project.suite("plan")
    assert status == 2
    assert "losses.cosine.sweep.1: scale=2.0 stands in an earlier sweep, too" in errors
    assert "losses.cosine.sweep.2: expected parameters with a list of values each" in errors


def test_a_sweep_of_one_more_parameter_keeps_the_runs_that_it_has(project: Project) -> None:
    project.edit(COSINE, "suite.losses.SigLIP, sweep: {scale: [2.0, 20.0]}")
    before = keys("cosine@*")
    project.edit("{scale: [2.0, 20.0]}", "{scale: [2.0, 20.0], bias: [-10.0, -5.0]}")
    after = keys("cosine@*")
    assert len(after) == 2 * len(before)
    assert set(before.values()) <= set(after.values())  # those with the bias that is declared, -10
    assert after["blobs/cosine@scale=2.0@bias=-10.0/seed0"] == before["blobs/cosine@scale=2.0/seed0"]


def test_a_growing_sweep_of_settings_keeps_its_runs_too(project: Project) -> None:
    project.edit(HOST, HOST + "    sweep: {epochs: [1, 9]}\n")
    before = keys("infonce@*")
    project.edit("{epochs: [1, 9]}", "{epochs: [1, 9, 20], batch: [16, 32]}")  # 32 is declared
    after = keys("infonce@*")
    assert set(before.values()) < set(after.values())
    assert len(after) == 6


def test_a_run_is_found_by_the_name_that_it_had_before_its_sweep_grew(project: Project) -> None:
    project.edit(COSINE, "suite.losses.SigLIP, sweep: {scale: [2.0, 20.0], bias: [-10.0, -5.0]}")
    names = [f"cosine@scale=2.0@bias={bias}" for bias in (-10.0, -5.0)]
    assert select_losses(load(), ["cosine@scale=2.0"]) == names
    assert run_of(load(), "blobs", "cosine@scale=2.0", "loss", 0, "smoke").loss == names[0]


def test_a_name_that_two_sweeps_make_is_refused(project: Project) -> None:
    project.edit("[2.0, 10.0]", "[2.0]")
    project.write(
        "from dataclasses import dataclass\nfrom tests.toys import Blobs\n\n\n"
        "@dataclass(frozen=True)\nclass Scaled(Blobs):\n    scale: float = 1.0\n",
        "scaled.py",
    )
    project.edit("tests.toys.Blobs", "scaled.Scaled")
    project.edit(HOST, HOST + "    sweep: {scale: [2.0]}\n")
    status, _, errors = project.suite("plan")
    assert status == 2
    assert "benchmarks.blobs.sweep: cosine@scale=2.0 is a member of the sweep of cosine, too" in errors


MIXED = """\
from suite.losses import LogitLoss


class Mixed(LogitLoss):
    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
"""


def test_a_member_whose_value_is_a_list_is_selected_by_its_name(project: Project) -> None:
    project.write(MIXED, "my_mixed.py")
    mixed = "my_mixed.Mixed, weights: [], sweep: {weights: [[[1.0, 2.0], [3.0]], [[4.0]]]}"
    project.edit("losses:\n", f"losses:\n  mixed: {{_target_: {mixed}}}\n")
    registry = load()
    first, second = "mixed@weights=[[1.0, 2.0], [3.0]]", "mixed@weights=[[4.0]]"
    assert select_losses(registry, [first]) == [first]
    assert select_losses(registry, [f"{first},{second}, infonce"]) == [first, second, "infonce"]
    assert select_losses(registry, ["mixed*", f"~{first}"]) == ["mixed", second]
    (run,) = expand(registry, ["blobs"], [first], [0], "smoke")
    store = Store(project.folder / "results")
    store.record(run.key).folder.mkdir(parents=True)
    write_json(store.record(run.key).folder / "run.json", run.to_json())
    found = find_run(registry, store, run.key)
    assert found is not None and found.loss == first, "so that `why` knows what it is"
