"""Benchmark names of sixty letters: in every figure, and on the page."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.text import Text
from playwright.sync_api import Page

from analysis.evidence.gather import Evidence
from analysis.figures import plots
from analysis.figures.canvas import settle
from analysis.figures.image import subjects
from analysis.figures.style import styled
from analysis.report import write_report
from analysis.tables.tables import all_tables
from tests.analysis import evidences
from tests.analysis.evidences import LOSSES, evidence

Visit = Callable[..., Page]

NAMES = ("o" * 60, "recommendation_of_films_by_the_ratings_of_943_readers_in_1998", "graph-" + "n" * 54)


@pytest.fixture(scope="module")
def made() -> Evidence:
    return evidence(NAMES, LOSSES, seeds=range(2))


def test_no_title_of_a_panel_meets_another_or_leaves_the_figure(made: Evidence) -> None:
    for subject in subjects(made, evidences.logged(made, evidences.curves(made))):
        name = subject.name
        if name == "budget":
            continue  # of searches, which there are none of
        figure = plots.drawing(subject).figure
        with styled():
            settle(figure)
        width = figure.bbox.width
        titles: list[Text] = [axis.title for axis in figure.axes if axis.get_title()]
        titles += [axis.yaxis.label for axis in figure.axes if axis.get_ylabel()]
        boxes = {text: text.get_window_extent() for text in titles}
        assert all(box.x0 >= -1 and box.x1 <= width + 1 for box in boxes.values()), name
        for one, other in combinations(titles, 2):
            assert not boxes[one].overlaps(boxes[other]), (name, one.get_text(), other.get_text())
        assert len(titles) >= len(NAMES) or name in ("forest", "margins", "ranks", "profiles"), name


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_is_no_wider_than_its_window_and_every_name_can_be_read(
    visit: Visit, made: Evidence, tmp_path: Path, width: int
) -> None:
    logged = evidences.logged(made, evidences.curves(made))
    file = write_report([made], {"mini": all_tables(made)}, {}, logged, tmp_path / "report.html")
    page = visit(file=file, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    heads = page.locator("table.verdicts tbody th")
    assert heads.count() == len(NAMES) * len(evidences.CLAIMS)
    assert all(heads.evaluate_all("all => all.map(one => one.scrollWidth <= one.clientWidth + 1)"))
    assert all(any(text.startswith(name) for text in heads.all_inner_texts()) for name in NAMES)
