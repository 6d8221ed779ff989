"""How the figures of one profile are drawn: readable in print and for colour-blind readers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from analysis.evidence.gather import Evidence
from analysis.figures import cost, differences, forest, margins, pairs, ranks, scores
from analysis.figures.canvas import Drawing, NothingToDraw, settle
from analysis.figures.dense import SAID, draw_as_pixels, with_few_colours
from analysis.figures.image import FOR_THE_PAGE, Image, Subject
from analysis.figures.style import styled
from analysis.figures.training import curves, geometry, histograms, length
from analysis.figures.tuning import budget, temperature

OF_RESULTS: Final[dict[str, Callable[[Evidence], Drawing]]] = {
    "forest": forest.figure,
    "margins": margins.figure,
    "scores": scores.figure,
    "differences": differences.figure,
    "pairs": pairs.figure,
    "cost": cost.figure,
    "budget": budget.figure,
    "temperature": temperature.figure,
    "ranks": ranks.figure,
    "profiles": ranks.profiles,
}
OF_CURVES: Final[dict[str, Callable[[Evidence, pd.DataFrame], Drawing]]] = {
    "length": length.figure,
    "curves": curves.figure,
    "histograms": histograms.figure,
    "geometry": geometry.figure,
}
METADATA: Final[dict[str, dict[str, None]]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""What would say in each format when and with what it was made."""


def drawing(subject: Subject) -> Drawing:
    """Draw a figure.

    Raises
    ------
    NothingToDraw
        If there is nothing that it could show.
    """
    if subject.curves is None:
        return OF_RESULTS[subject.name](subject.evidence)
    return OF_CURVES[subject.name](subject.evidence, subject.curves)


def image(subject: Subject, formats: Sequence[str] = FOR_THE_PAGE) -> Image:
    """Return a figure as files; without any where there is nothing to draw."""
    with warnings.catch_warnings():
        # names in letters that the font lacks: boxes in a png and a pdf; an svg is shown in the reader's own fonts
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        try:
            return files_of(subject.name, drawing(subject), formats)
        except NothingToDraw as nothing:
            return Image(subject.name, str(nothing))


def files_of(name: str, drawn: Drawing, formats: Sequence[str]) -> Image:
    """Lay out what was drawn, and save it in each format."""
    with styled():
        settle(drawn.figure)
    is_dense = draw_as_pixels(drawn.figure)
    files = {suffix: _saved(drawn.figure, suffix) for suffix in formats}
    if is_dense and "svg" in files:
        files["svg"] = with_few_colours(files["svg"])
    return Image(name, drawn.caption + SAID if is_dense else drawn.caption, files)


def _saved(figure: Figure, suffix: str) -> bytes:
    content = io.BytesIO()
    with styled():
        figure.savefig(content, format=suffix, metadata=METADATA[suffix])
    return content.getvalue()
