"""The site that `make docs` builds: its links hold, it asks the net for nothing, and it has what the code knows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from analysis.cli.main import COMMANDS
from suite.cli.arguments import make_parser
from suite.registry.schema import registry_schema
from tests.conftest import ROOT

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given[LOADED[tag]])


def build(checkout: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    ended = build(ROOT, target)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html") if file.name != "404.html"}


def test_every_link_of_the_site_leads_to_a_page_and_a_place_on_it(pages: dict[Path, Page]) -> None:
    followed = 0
    for file, page in pages.items():
        for target in page.links + page.loaded:
            link = urlsplit(target)
            if link.scheme or target == ".":
                continue
            other = (file.parent / unquote(link.path)).resolve() if link.path else file
            assert other.is_file(), (file, target)
            if link.fragment and other in pages:
                assert unquote(link.fragment) in pages[other].places, (file, target)
            followed += 1
    assert followed > 1000


def test_the_site_asks_the_net_for_nothing(site: Path, pages: dict[Path, Page]) -> None:
    assert not [target for page in pages.values() for target in page.loaded if urlsplit(target).netloc]
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles)


def test_every_page_can_be_searched(site: Path, pages: dict[Path, Page]) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    made = {str(file.relative_to(site)) for file in pages} - {"results/reference/report.html"}  # a file as it is
    assert made == found and len(made) > 25


def test_the_reference_has_every_command_and_every_key_of_the_registry(pages: dict[Path, Page], site: Path) -> None:
    names = {*(f"suite-{name}" for name in make_parser()[1]), *(f"analysis-{name}" for name in COMMANDS)}
    assert names <= pages[site / "reference" / "commands.html"].places
    text = (site / "reference" / "registry.html").read_text()
    parts = [registry_schema()["else"], *(part for name, part in registry_schema()["$defs"].items() if "." not in name)]
    assert all(f"<code>{key}</code>" in text for part in parts for key in part.get("properties", {}))


def test_formulas_are_shown_without_a_script(site: Path) -> None:
    losses = (site / "docs" / "losses" / "losses.html").read_text()
    formulas = (ROOT / "docs" / "losses" / "losses.md").read_text().count("$`")
    assert losses.count("<math") == formulas > 20 and "$<code>" not in losses and r"\frac" not in losses


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("docs", "results/reference", "results/first", "results/citeseer", "suite", "launchers"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        shutil.copy(file, checkout)
    with (checkout / "docs" / "study.md").open("a") as page:
        page.write("\n[a page](nowhere.md), [a place](verdicts.md#nowhere)\n")
    ended = build(checkout, tmp_path / "site")
    assert ended.returncode != 0
    warnings = [line for line in ended.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 2 and all("nowhere" in line for line in warnings), ended.stderr
