"""Good registries: what is composed, resolved and filled in."""

from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from suite.problems import choices, shown
from suite.registry import places
from suite.registry.binding import interpolate
from suite.registry.load import load
from suite.registry.registry import Registry
from tests.conftest import REGISTRY, ROOT, Project


def test_the_shipped_registry_is_valid(shipped: Registry) -> None:
    assert {"image", "graph", "anomaly", "text", "recommendation"} <= set(shipped.document.benchmarks)
    assert {"infonce", "temperature_free", "dystress"} <= set(shipped.losses)
    assert not set(shipped.seeds) & set(shipped.selection_seeds)


def test_defaults_are_filled_in_and_numbers_get_their_declared_types(project: Project) -> None:
    registry = load(None, ["benchmarks.blobs.profiles.smoke.pause_s=1"])
    settings = registry.settings["blobs", "smoke"]
    assert settings == {"epochs": 3, "batch": 32, "pause_s": 1.0}
    assert isinstance(settings["pause_s"], float)


def test_losses_see_the_benchmark_that_hosts_them(project: Project) -> None:
    registry = load()
    assert registry.loss_config("infonce", "blobs", "smoke")["temperature"] == 0.5
    assert registry.loss_config("infonce", "nothing", "smoke")["temperature"] == 0.2
    assert registry.loss_config("cosine@scale=2.0", "blobs", "smoke") == {"_target_": "tests.toys.Cosine", "scale": 2.0}


def test_sweeps_of_several_parameters_are_their_product(project: Project) -> None:
    text = REGISTRY.replace(
        '{_target_: suite.losses.InfoNCE, temperature: "${host_temperature}"}',
        "{_target_: suite.losses.DySTreSS, tau_min: 0.1, tau_max: 0.2, "
        "sweep: {tau_min: [0.05, 0.1], tau_max: [0.3, 1]}}",
    )
    project.write(text)
    members = [name for name, entry in load().losses.items() if entry.sweep_of == "infonce"]
    assert members == [f"infonce@tau_min={low}@tau_max={high}" for low in (0.05, 0.1) for high in (0.3, 1.0)]


def test_keys_of_the_registry_may_refer_to_each_other(project: Project) -> None:
    project.edit(
        "{smoke: {}, mini: {}}",
        '{smoke: {}, mini: {}}\n    estimate_s: {smoke: "${benchmarks.blobs.estimate_s.smoke}"}',
    )
    assert load().document.benchmarks["nothing"].estimate_s == {"smoke": 1.0}


OWN = """\
class Foo: ...

class {name}:
    def __init__(self, epochs: int = 1, part: list["Foo"] | None = None, other: {other}) -> None: ...
    def forward(self, pairs): ...
    def task(self, context): ...
"""
"""A loss and a benchmark with an argument of a class of its author's."""


def with_own(project: Project, other: str, arguments: str = "") -> None:
    project.write("".join(OWN.format(name=name, other=other) for name in ("MyLoss", "MyBenchmark")), "mine.py")
    project.edit("  infonce: {", f"  own: {{_target_: mine.MyLoss{arguments}}}\n  infonce: {{")
    project.edit("tests.toys.Nothing", "mine.MyBenchmark")


def test_an_argument_of_a_class_of_the_authors_own_is_not_checked(project: Project) -> None:
    with_own(project, "tuple[int, ...] = (1, 2)", ", part: [1]")
    status, _, errors = project.suite("plan", "--profile", "smoke")
    assert status == 0, errors
    assert load().loss_config("own", "nothing", "smoke")["part"] == [1]


def test_what_is_given_for_a_set_keeps_its_order_whatever_the_seed_of_hashes(project: Project) -> None:
    names = [f"name {index}" for index in range(20)]
    with_own(project, "set[str] = ()", f", other: {names}")
    assert load().loss_config("own", "blobs", "smoke")["other"] == names


@pytest.mark.parametrize("default", ["{1, 2}", "1e999", "1j", "{1: 2, 'a': 3}"])
def test_a_default_that_json_cannot_hold_is_a_problem_until_a_value_is_given(project: Project, default: str) -> None:
    with_own(project, f"object = {default}")
    status, _, errors = project.suite("plan", "--profile", "smoke")
    assert status == 2
    assert [line.split(" has the default ")[0] for line in errors.splitlines()[1:]] == [
        "  benchmarks.yaml:8: losses.own.other: mine.MyLoss",
        "  benchmarks.yaml:22: benchmarks.nothing.profiles.mini.other: mine.MyBenchmark",
        "  benchmarks.yaml:22: benchmarks.nothing.profiles.smoke.other: mine.MyBenchmark",
    ]
    given = ["+losses.own.other=1", *(f"+benchmarks.nothing.profiles.{name}.other=1" for name in ("smoke", "mini"))]
    assert project.suite("plan", "--profile", "smoke", *given)[0] == 0
    status, _, errors = project.suite("plan", "--profile", "smoke", *given, "losses.own.other=inf")
    assert status == 2
    assert ".inf cannot be part of a run's key" in errors


@pytest.mark.parametrize("overrides", [["launcher=debug"], ["launchers@launcher=debug"]], ids=str)
def test_the_launcher_is_chosen_by_name(project: Project, overrides: list[str]) -> None:
    assert load().document.launcher.kind == "local"
    assert load(None, overrides).document.launcher.kind == "debug"
    assert load(launcher="debug").document.launcher.kind == "debug"


def test_a_launcher_beside_the_registry_comes_before_the_suites_own(project: Project) -> None:
    project.write("kind: debug\nmax_attempts: 9\n", "launchers/mine.yaml")
    launcher = load(launcher="mine", overrides=["launcher.workers=2"]).document.launcher
    assert (launcher.kind, launcher.max_attempts, launcher.workers) == ("debug", 9, 2)


@pytest.mark.parametrize("name", ["launcher.workers=3", "it's [new], {a: b}", "50% of $HOME"])
def test_a_folder_of_any_name_holds_a_registry_and_launchers(project: Project, name: str) -> None:
    project.write((project.folder / "benchmarks.yaml").read_text(), f"{name}/benchmarks.yaml")
    project.write("kind: debug\n", f"{name}/launchers/mine.yaml")
    assert load(project.folder / name / "benchmarks.yaml", launcher="mine").document.launcher.kind == "debug"


def test_an_override_sets_what_the_file_leaves_out_without_ceremony(project: Project) -> None:
    registry = load(None, ["benchmarks.nothing.estimate_s.smoke=5", "losses.cosine.scale=7", "+slices.new.seeds=3"])
    assert registry.document.benchmarks["nothing"].estimate_s == {"smoke": 5.0}
    assert registry.loss_config("cosine", "blobs", "smoke")["scale"] == 7.0
    assert registry.document.slices["new"].seeds == 3


@pytest.mark.parametrize("value", [True, None, 3, 0.5, float("nan"), "0.1", [1, "a"], {"a": None}], ids=repr)
def test_values_are_shown_as_yaml(value: object) -> None:
    assert repr(yaml.safe_load(shown(value))) == repr(value)


def test_choices_prefer_another_case_and_stay_short() -> None:
    assert choices("Infonce", ["infonce", "InfoNCE"]) == "did you mean 'infonce'? Valid: infonce, InfoNCE"
    assert choices("x", []) == "Valid: none"
    assert choices("x", range(100)).endswith("29, ... (100 in all)")


@pytest.mark.parametrize(
    "value", ["${width}", "${name}", "${deep}", "${again}", "${nothing}", "x${width}", ["${width}"], "${w}"]
)
def test_a_reference_that_is_looked_up_is_what_omegaconf_makes_of_it(value: object) -> None:
    scope = {"width": 0.5, "name": "wide", "deep": {"a": [1, 2]}, "again": "${width}", "nothing": None}
    config = OmegaConf.create({**scope, "_argument": value})
    found, problems = interpolate({"argument": value}, scope)
    if value == "${w}":
        assert found == {"argument": value} and problems == [("argument", problems[0][1])]
        assert "${w} is not defined here" in problems[0][1]
        return
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict) and found == {"argument": resolved["_argument"]} and not problems


def test_libyaml_reads_the_shipped_registry_as_pyyaml_does() -> None:
    text = (ROOT / "benchmarks.yaml").read_text()
    assert yaml.load(text, Loader=places.FAST) == yaml.safe_load(text)

    def seen(node: Any) -> Any:
        line = node.start_mark.line
        if isinstance(node, yaml.ScalarNode):
            return node.tag, node.value, bool(node.style), line
        parts = node.value if isinstance(node, yaml.SequenceNode) else [one for pair in node.value for one in pair]
        return node.tag, line, [seen(one) for one in parts]

    assert seen(yaml.compose(text, Loader=places.FAST)) == seen(yaml.compose(text, Loader=yaml.SafeLoader))


POWERS_OF_TEN = "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]\n" for i in range(1, 10))


@pytest.mark.parametrize(
    "text", ["[" * 900 + "]" * 900, f"toy\nx0: &x0 [1]\n{POWERS_OF_TEN}"], ids=["nested", "aliases"]
)
def test_what_is_nested_too_deeply_or_stands_for_billions_is_refused(project: Project, text: str) -> None:
    project.edit("experiment: toy", f"experiment: {text}")
    status, _, errors = project.suite("plan", "--profile", "smoke")
    assert status == 2
    assert "benchmarks.yaml:1: it is nested too deeply, or an alias in it" in errors
