"""Words that YAML 1.1 reads as something else than what stands there are refused, each with what it would mean."""

import pytest

from tests.conftest import Project
from tests.registry.test_malformed import F, rejected


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("seeds: 0-3", "seeds: 010", 3, ("seeds", "010 is an octal number here, 8", "in quotes")),
        ("seeds: 0-3", "seeds: [1, 07]", 3, ("seeds.1", "07 is an octal number here, 7")),
        ("seeds: 0-3", "seeds: 1:30", 3, ("seeds", "1:30 is a number of base 60 here")),
        ("{epochs: 3}, mini", "{epochs: 012}, mini", 16, ("benchmarks.blobs.profiles.smoke.epochs", "octal", "10")),
        ("pause_s: 0.02", "pause_s: 1:30.5", 16, ("benchmarks.blobs.profiles.mini.pause_s", "base 60")),
        ("experiment: toy", "experiment: no", 2, ("experiment", "no means false here", "in quotes")),
        ("experiment: toy", "experiment: Yes", 2, ("experiment", "Yes means true here")),
        ("  infonce: {", "  on: {", 8, ("losses.on", "on means true here")),
    ],
)
def test_surprises(project: Project, old: str, new: str, line: int, says: tuple[str, ...]) -> None:
    text = (project.folder / F).read_text(encoding="utf-8")
    project.write(text.replace(old, new, 1))
    rejected(project, ((f"{F}:{line}: {says[0]}", *says[1:]),), "plan")


@pytest.mark.parametrize("value", ["'010'", "10", "0", '"0-1"', "0x1", "1_0"])
def test_what_means_what_it_says_is_taken(project: Project, value: str) -> None:
    project.edit("seeds: 0-3", f"seeds: {value}")
    project.edit("selection_seeds: 10-11", "selection_seeds: 20-21")
    project.edit("seeds: 1-2", "seeds: 0")
    status, _, errors = project.suite("plan")
    assert status == 0, errors
