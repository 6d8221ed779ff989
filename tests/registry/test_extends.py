"""A registry that says ``extends: suite``: merged by name, mistakes where they stand, runs as they were."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.plan.run import expand
from suite.problems import InputError
from suite.registry.load import load
from suite.registry.named_loss import find
from suite.registry.registry import Registry
from tests.conftest import Project, forget_sources

STUDY = """\
extends: suite
keep: {benchmarks: [graph], claims: []}
experiment: mine
seeds: 0-2
losses:
  infonce: {sweep: {temperature: [0.1, 0.2]}}
  square: {_target_: my_squares.Square, scale: 2.0}
  dystress: {_target_: suite.losses.TemperatureFree}
benchmarks:
  graph: {metric: {margin: 0.02}}
claims:
  square_is_better: {loss: square, is: better, than: infonce}
"""
SQUARE = """\
from suite.losses import LogitLoss


class Square(LogitLoss):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def logits(self, similarity):
        return self.scale * similarity**2
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A study in a folder that is not the current one."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "my_squares.py").write_text(SQUARE)
    (folder / "mine.yaml").write_text(STUDY)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("sys.path", list(sys.path))
    with contextlib.chdir(tmp_path / "elsewhere"):
        forget_sources()
        yield folder / "mine.yaml"
        forget_sources()


def test_what_it_names_is_merged_and_the_rest_is_the_suite_s(study: Path, shipped: Registry) -> None:
    registry = load(study)
    document = registry.document
    assert (document.experiment, registry.seeds, document.baseline) == ("mine", [0, 1, 2], "infonce")
    assert list(document.benchmarks) == ["graph"]
    assert document.benchmarks["graph"].metric.margin == 0.02
    assert document.benchmarks["graph"].profiles == shipped.document.benchmarks["graph"].profiles
    assert list(document.claims) == ["square_is_better"]
    members = [n for n, entry in registry.losses.items() if entry.sweep_of == "infonce" and entry.is_of_sweep]
    assert members == ["infonce@temperature=0.1", "infonce@temperature=0.2"]
    assert set(shipped.document.losses) < set(document.losses)


def test_slices_of_what_a_study_did_not_keep_or_replaced_go_and_its_own_are_checked(study: Path) -> None:
    slices = load(study).document.slices  # text, recommendation and DySTreSS's shape are not there
    assert "shifted" not in slices and "contrastive_weight" not in slices
    assert {"default", "headline", "clamp"} <= set(slices)
    study.write_text(f"{STUDY}slices: {{few: {{benchmarks: [text]}}}}\n")
    with pytest.raises(InputError, match=r"mine.yaml:13: slices.few.benchmarks: no benchmark or slice 'text'"):
        load(study)


def test_an_entry_of_another_class_replaces_the_suite_s_with_its_arguments(study: Path) -> None:
    assert load(study).losses["dystress"].arguments == {}


def test_a_loss_beside_the_registry_is_found_from_another_folder(study: Path) -> None:
    assert load(study).losses["square"].target.module == "my_squares"


def test_the_keys_of_what_a_study_leaves_alone_are_the_suite_s(study: Path, shipped: Registry) -> None:
    keys = []
    for registry in (load(study), shipped):
        keys.append([run.key for run in expand(registry, ["graph"], ["infonce", "macl", "references"], [0, 1], "mini")])
    assert keys[0] == keys[1]
    assert len(keys[0]) == 12


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("extends: suite", "extends: sweet", ("mine.yaml:1: extends: 'sweet' will not do",)),
        ("experiment: mine\n", "", ("mine.yaml:1: experiment: is missing",)),
        ("[graph]", "[graf]", ("mine.yaml:2: keep.benchmarks: the suite has no benchmark 'graf'; did you mean",)),
        ("[graph]", "[graph: {}]", ("mine.yaml:2: keep.benchmarks: expected a list of names",)),
        ("claims: []", "losses: []", ("mine.yaml:2: keep.losses: no such section; Valid: benchmarks, claims",)),
        ("{benchmarks: [graph], claims: []}", "graph", ("mine.yaml:2: keep: expected names by section",)),
        ("margin: 0.02", "margin: -1", ("mine.yaml:10: benchmarks.graph.metric.margin",)),
        ("scale: 2.0", "skale: 2.0", ("mine.yaml:7: losses.square.scale", "mine.yaml:7: losses.square.skale")),
        ("seeds: 0-2", "baseline: square_2", ("mine.yaml:4: baseline",)),
        ("than: infonce", "than: infonse", ("mine.yaml:12: claims.square_is_better.than",)),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_where_it_stands(study: Path, old: str, new: str, says: tuple[str, ...]) -> None:
    study.write_text(STUDY.replace(old, new))
    with contextlib.chdir(study.parent), pytest.raises(InputError) as error:
        load(study)
    reported = [str(problem) for problem in error.value.problems]
    assert len(reported) == len(says), reported
    assert all(one.startswith(start) for one, start in zip(reported, says, strict=True)), reported


def test_a_mistake_in_the_suite_s_part_is_reported_in_the_suite_s_file(study: Path) -> None:
    """Losses of the suite refer to what a study has taken from a benchmark."""
    study.write_text(STUDY.replace("metric: {margin: 0.02}", "host_temperature: null"))
    with pytest.raises(InputError) as error:
        load(study)
    places = [problem.where for problem in error.value.problems if problem.key.startswith("losses.")]
    assert places and all("benchmarks.yaml:" in place and "mine.yaml" not in place for place in places)


def test_a_registry_may_end_in_yml(study: Path, project: Project) -> None:
    other = study.with_suffix(".yml")
    study.rename(other)
    assert list(load(other).document.benchmarks) == ["graph"]
    (project.folder / "benchmarks.yaml").rename(project.folder / "toy.yml")
    assert load(project.folder / "toy.yml", ["seeds=3"]).seeds == [3]


def test_a_loss_beside_the_registry_is_checked_from_another_folder(study: Path) -> None:
    assert str(find("my_squares.Square", ["scale=2.0"], study)) == "my_squares.Square(scale=2.0)"
