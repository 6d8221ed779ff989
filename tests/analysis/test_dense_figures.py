"""Figures of large studies: data as pixels inside of an SVG, words as text."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image as Pillow

from analysis.evidence.gather import Evidence
from analysis.figures import dense, plots
from analysis.figures.image import FOR_THE_PAGE, Image, Subject, subjects
from analysis.figures.style import look
from analysis.report import write_report
from tests.analysis import evidences
from tests.analysis.evidences import LOSSES, evidence

EMBEDDED = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=]+)")
BENCHMARKS = [f"benchmark_{i}" for i in range(4)]


def drawn(made: Evidence, name: str) -> Image:
    return plots.image(todo(made)[name])


def todo(made: Evidence) -> dict[str, Subject]:
    return {one.name: one for one in subjects(made, evidences.logged(made, evidences.curves(made)))}


@pytest.fixture(scope="module")
def many() -> Evidence:
    return evidence(BENCHMARKS, ["infonce", *(f"loss_{i}" for i in range(27))], seeds=range(2), sweep=False)


@pytest.fixture(scope="module")
def curves(many: Evidence) -> Image:
    return drawn(many, "curves")


def test_a_figure_of_many_lines_is_pixels_panel_by_panel_and_its_words_are_text(many: Evidence, curves: Image) -> None:
    svg = curves.files["svg"].decode()
    assert len(EMBEDDED.findall(svg)) == 3 * len(BENCHMARKS)
    assert len(svg) < 0.5 * dense.LARGE
    assert curves.caption.endswith(dense.SAID)
    assert all(f">{word}</text>" in svg for word in (*many.labels, *BENCHMARKS, "training step"))


def test_the_pixels_hold_the_lines_in_their_colours(curves: Image) -> None:
    (content,) = EMBEDDED.findall(curves.files["svg"].decode())[:1]
    with Pillow.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.mode == "P" and min(image.size) > 100
        pixels = np.asarray(image.convert("RGBA")) / 255
    solid = pixels[pixels[..., 3] > 0.95, :3]
    for row in ("infonce", "loss_0", "loss_26"):
        assert np.abs(solid - to_rgb(look(row).colour)).max(axis=1).min() < 0.08, row


def test_figures_of_a_few_rows_hold_no_pixels_and_what_decides_is_about_what_an_svg_takes() -> None:
    made = evidence(["graph", "image"], LOSSES, seeds=range(2))
    subjects_of = todo(made)
    for name in ("curves", "histograms", "scores"):
        drawing = plots.drawing(subjects_of[name])
        one = plots.files_of(name, drawing, FOR_THE_PAGE)
        assert b"<image" not in one.files["svg"] and one.caption == drawing.caption, name
        words = len(re.sub(rb"<defs>.*?</defs>", b"", one.files["svg"], flags=re.DOTALL).split(b"<text")) * 300
        assert 0.4 < (dense.size(drawing.figure) + words) / len(one.files["svg"]) < 1.6, name


def test_the_page_of_a_large_study_stays_small_and_says_why(many: Evidence, curves: Image, tmp_path: Path) -> None:
    drawn_too = [curves, *(drawn(many, name) for name in ("histograms", "ranks"))]
    figures = [(one.name, one.caption, one.files["svg"].decode()) for one in drawn_too]
    logged = evidences.logged(many, evidences.curves(many))
    plain = write_report([many], {}, {}, logged, tmp_path / "plain.html")
    page = write_report([many], {}, {"mini": figures}, logged, tmp_path / "report.html")
    assert page.stat().st_size - plain.stat().st_size < 700_000  # 2 MB, were the two of them lines
    assert page.read_text(encoding="utf-8").count(dense.SAID.strip()) == 2
