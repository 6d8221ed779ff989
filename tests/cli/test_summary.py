"""What ``run`` prints of the results at its end: by an entry point, against the baseline of the registry."""

import importlib.metadata
import re
import tomllib
from collections.abc import Callable

import pytest

from suite.cli import summary
from tests.conftest import ROOT, Project

pytestmark = pytest.mark.slow

RUN = ["run", "--profile", "smoke", "--benchmarks", "blobs", "--losses", "cosine", "infonce", "--seeds", "0-2"]


def offered(*values: str) -> Callable[..., list[importlib.metadata.EntryPoint]]:
    return lambda group: [importlib.metadata.EntryPoint("one", value, group) for value in values]


def test_the_table_is_marked_against_the_baseline_of_the_registry(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][summary.GROUP]
    monkeypatch.setattr(summary, "entry_points", offered(*declared.values()))
    status, out, err = project.suite(*RUN, "--launcher", "debug")
    assert status == 0, err
    assert "better or worse than cosine " in re.sub(r"\s+", " ", out)
    project.edit("baseline: cosine", "baseline: infonce")
    _, out, _ = project.suite(*RUN, "--launcher", "debug")
    assert "better or worse than infonce " in re.sub(r"\s+", " ", out)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "no summary: no installed package has an entry point 'suite.summary'"),
        (["tests.cli.test_summary:nothing_of_that_name"], "no summary by tests.cli.test_summary:nothing_of_that_name"),
        (["builtins:len"], "no summary by builtins:len: TypeError"),
    ],
)
def test_a_summary_that_fails_is_named_and_costs_nothing_else(
    project: Project, monkeypatch: pytest.MonkeyPatch, points: list[str], said: str
) -> None:
    monkeypatch.setattr(summary, "entry_points", offered(*points))
    status, out, _ = project.suite(*RUN, "--launcher", "debug")
    assert status == 0
    assert said in out
    assert "python -m analysis tables" in out
