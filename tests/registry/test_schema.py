"""The JSON Schema of benchmarks.yaml."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from suite.provenance import targets
from suite.registry.schema import registry_schema
from tests.conftest import REGISTRY, ROOT, Project


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    names = {group: {k: v.replace(":", ".") for k, v in entries.items()} for group, entries in declared.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "short_names", names.__getitem__)
        schema = registry_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(validator: Draft202012Validator, document: Any) -> list[str]:
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(document)]


@pytest.mark.parametrize("text", [(ROOT / "benchmarks.yaml").read_text(), REGISTRY], ids=["shipped", "toy"])
def test_good_registries_pass(validator: Draft202012Validator, text: str) -> None:
    assert problems(validator, yaml.load(text, yaml.CSafeLoader)) == []


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["experimemt"], "x", ""),
        (["seeds"], 1.5, "seeds"),
        (["benchmarks", "image", "metric", "goal"], "maximize", "benchmarks.image.metric.goal"),
        (["benchmarks", "image", "metric", "margin"], 0, "benchmarks.image.metric.margin"),
        (["benchmarks", "image", "metrics"], {}, "benchmarks.image"),
        (["benchmarks", "image", "profiles", "smoke", "epoch"], 3, "benchmarks.image.profiles.smoke"),
        (["benchmarks", "image", "profiles", "huge"], {}, "benchmarks.image.profiles"),
        (["losses", "infonce", "temperature"], -1, "losses.infonce.temperature"),
        (["losses", "infonce", "temprature"], 0.1, "losses.infonce"),
        (["losses", "infonce", "_target_"], 3, "losses.infonce._target_"),
        (["launcher"], {"workers": 0}, "launcher.workers"),
        (["slices", "headline", "loses"], ["infonce"], "slices.headline"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, list) else None,
)
def test_malformed_registries_fail_where_they_are_wrong(
    validator: Draft202012Validator, path: list[str], value: object, place: str
) -> None:
    document = yaml.load((ROOT / "benchmarks.yaml").read_text(), yaml.CSafeLoader)
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert problems(validator, document) == [place]


def test_the_command_writes_it(project: Project) -> None:
    status, out, _ = project.suite("schema")
    assert status == 0
    assert json.loads(out)["title"] == "benchmarks.yaml"
    file: Path = project.folder / "schema.json"
    assert project.suite("schema", "--output", str(file))[:2] == (0, "")
    assert file.read_text() == out


def test_what_cannot_be_described_is_left_open(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write(
        "class Foo: ...\n\nclass Loss:\n"
        '    def __init__(self, part: list["Foo"] | None = None, names: list[str] = {"a"}, number: int = 1): ...\n'
        "    def forward(self, pairs): ...\n",
        "mine.py",
    )
    own = {"suite.losses": {"mine": "mine.Loss"}, "suite.benchmarks": {}}
    monkeypatch.setattr(targets, "short_names", own.__getitem__)
    status, out, errors = project.suite("schema")
    assert status == 0, errors
    (entry,) = json.loads(out)["else"]["properties"]["losses"]["additionalProperties"]["allOf"]
    described = entry["then"]["properties"]
    assert described["part"] == {}
    assert described["names"]["anyOf"][0] == {"type": "array", "items": {"type": "string"}}
    assert "default" not in described["names"] and described["number"]["default"] == 1
