"""What the pages for users say agrees with the code: commands, launcher fields, failure classes, links."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import MISSING, fields
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from suite.cli.arguments import make_parser
from suite.launch.kinds.local import LocalLauncher
from suite.launch.kinds.slurm import SlurmLauncher
from suite.records.failures import REMEDIES
from suite.registry.launchers import kinds
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
CLUSTER = ROOT / "docs" / "cluster.md"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = "python -m suite "
OPERATORS = ("&&", "|", ">")

page = pytest.mark.parametrize("page", PAGES, ids=lambda file: str(file.relative_to(ROOT)))


def defaults(launcher: type[SlurmLauncher] | type[LocalLauncher]) -> dict[str, Any]:
    """Return the fields of a launcher with their defaults; a field without one stands for itself."""
    found = {}
    for field in fields(launcher):
        made = field.default_factory() if field.default_factory is not MISSING else field.default
        found[field.name] = field.name if made is MISSING else made
    return found


def commands(text: str) -> list[list[str]]:
    """Return the arguments of every `python -m suite COMMAND`, in code blocks and in code between backticks."""
    lines = [line for _, block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`]+)`", FENCED.sub("", text).replace("\n", " "))
    called = [line.partition(CALL)[2] for line in lines if re.match(rf"(\$ )?{CALL}[a-z]", line)]
    return [list(takewhile(lambda word: word not in OPERATORS, shlex.split(words, comments=True))) for words in called]


def without_code(text: str) -> str:
    return re.sub(r"`[^`]*`", "", FENCED.sub("", text))


def anchors(file: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_every_command_on_a_page_is_one_that_the_parser_takes(page: Path) -> None:
    parser, _ = make_parser()
    for words in commands(page.read_text()):
        _, unknown = parser.parse_known_args(words)  # raises at a wrong command, choice or type
        assert not [word for word in unknown if word.startswith("-")], words


def test_commands_are_found_in_code_blocks_and_in_prose() -> None:
    text = (
        "`python -m suite plan\n--runs`\n\n```sh\n$ python -m suite run --seeds 0 \\\n    --detach && date  # x\n```\n"
    )
    assert commands(text) == [["run", "--seeds", "0", "--detach"], ["plan", "--runs"]]


@page
def test_every_link_into_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        link = urlsplit(target)
        if link.scheme:
            continue
        file = (page.parent / link.path).resolve() if link.path else page
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if link.fragment:
            assert link.fragment in anchors(file), target


@page
def test_every_launcher_setting_on_a_page_is_a_field_of_a_launcher(page: Path) -> None:
    known = defaults(SlurmLauncher).keys() | defaults(LocalLauncher).keys()
    assert set(re.findall(r"\blauncher\.(\w+)(?==)", page.read_text())) <= known


@pytest.mark.parametrize(("name", "default"), defaults(SlurmLauncher).items())
def test_every_field_of_the_slurm_launcher_is_explained_with_its_default(name: str, default: Any) -> None:
    shown = "slurm" if name == "kind" else yaml.safe_dump(default, default_flow_style=True).split("\n")[0]
    row = re.search(rf"^\| `{name}` \| `(.*?)` \| .+ \|$", CLUSTER.read_text(), re.MULTILINE)
    assert row is not None, f"{CLUSTER.name} has no row for {name}"
    assert yaml.safe_load(row[1]) == yaml.safe_load(shown)


def test_the_slurm_launcher_s_file_names_every_field_with_its_default() -> None:
    written = yaml.safe_load((ROOT / "launchers" / "slurm.yaml").read_text())
    assert written == {**defaults(SlurmLauncher), "kind": "slurm"}


def test_the_page_s_launcher_files_are_ones_that_the_launcher_takes() -> None:
    examples = [yaml.safe_load(block) for language, block in FENCED.findall(CLUSTER.read_text()) if language == "yaml"]
    launchers = [example for example in examples if "kind" in example]
    assert [example["kind"] for example in launchers] == ["slurm", "slurm", "slurm", "generic"]
    for example in launchers:
        assert example.keys() <= {field.name for field in fields(kinds()[example["kind"]])}  # type: ignore[arg-type]
        assert not list(kinds()[example["kind"]](**example).problems())


@pytest.mark.parametrize("failure", REMEDIES)
def test_every_failure_class_is_explained(failure: str) -> None:
    section = CLUSTER.read_text().partition("\n## What happens when\n")[2].partition("\n## ")[0]
    assert re.search(rf"^\|.*`{failure}`", section, re.MULTILINE)


def test_the_wheel_that_the_page_installs_is_the_one_that_a_checkout_gives() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    named = {name for page in PAGES for name in re.findall(r"pip install (\S+\.whl)", page.read_text())}
    assert named == {f"contrastive_suite-{version}-py3-none-any.whl"}
