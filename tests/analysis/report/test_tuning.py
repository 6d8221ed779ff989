"""The page of a campaign with searches: curves and prices stand beside the verdicts, once, and can be read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from analysis.evidence.gather import Evidence
from analysis.figures import plots
from analysis.figures.image import Subject
from analysis.read.logged import Logged
from analysis.report import write_report
from analysis.report.paragraph import paragraph
from analysis.tables.tables import all_tables
from tests.analysis import searches

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def made() -> Evidence:
    return searches.evidence()


@pytest.fixture(scope="module")
def page(made: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Path:
    drawn = [plots.image(Subject(name, made)) for name in ("forest", "budget")]
    figures = [(one.name, one.caption, one.files["svg"].decode()) for one in drawn]
    logged = Logged(
        made.collected.runs.join(made.collected.tested, on="run_id").assign(status="FINISHED"), made.declared
    )
    path = tmp_path_factory.mktemp("tuning") / "report.html"
    return write_report([made], {"mini": all_tables(made)}, {"mini": figures}, logged, path)


def test_curves_and_prices_stand_between_verdicts_and_the_other_tables_once(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    places = [text.index(f'id="mini-{part}"') for part in ("claim-4", "tuning", "unsupported", "tables", "figures")]
    assert places == sorted(places)
    assert text.count("The price of tuning, profile mini") == text.count("What a search is worth, profile mini") == 1
    assert text.count('aria-label="Figure: budget"') == 1
    assert '<a href="#mini-tuning">' in text


def test_without_a_search_the_page_says_nothing_of_it(made: Evidence, tmp_path: Path) -> None:
    plain = replace(made, searches=())
    logged = Logged(made.collected.runs.assign(status="FINISHED"), made.declared)
    text = write_report([plain], {"mini": all_tables(plain)}, {}, logged, tmp_path / "report.html").read_text("utf-8")
    assert "mini-tuning" not in text


def test_the_paragraph_says_how_losses_were_tuned(made: Evidence) -> None:
    expected = (
        "Tuned on validation: infonce and temperature_free, with 9 configurations .* 8 drawn .* 3 selection seeds"
    )
    assert re.search(expected, paragraph(made))


@pytest.mark.parametrize("width", [400, 1280])
def test_they_can_be_read_in_a_browser(visit: Visit, page: Path, width: int) -> None:
    shown = visit("#mini-tuning", file=page, viewport={"width": width, "height": 900})
    section = shown.locator("#mini-tuning")
    assert section.locator("figure img").evaluate("i => [i.naturalWidth > 300, i.complete]") == [True, True]
    assert section.locator("table").count() == 2
    cells = section.locator("tbody tr", has_text="image: infonce").first.inner_text()
    assert "> 8" in cells and "[" in cells
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
