"""The figures of one profile: png and svg, readable in print and for colour-blind readers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
from matplotlib.figure import Figure

from analysis.evidence import Evidence
from analysis.figures import curves, differences, forest, geometry, histograms, ranks, series, temperature
from analysis.figures.canvas import Drawing, NothingToDraw, settle
from analysis.figures.style import styled

if TYPE_CHECKING:
    from analysis.source import Logged

FIGURES: Final[dict[str, Callable[[Evidence, pd.DataFrame], Drawing]]] = {
    "forest": forest.figure,
    "differences": differences.figure,
    "temperature": temperature.figure,
    "ranks": ranks.figure,
    "curves": curves.figure,
    "histograms": histograms.figure,
    "geometry": geometry.figure,
}
METADATA: Final[dict[str, dict[str, None]]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
CAPTIONS: Final = "captions.md"


@dataclass(frozen=True)
class Shown:
    """A figure with its caption, or why there is none.

    Attributes
    ----------
    name : str
        Names its files.
    caption : str
        Sentences; what is missing where there is no figure.
    figure : Figure or None
    """

    name: str
    caption: str
    figure: Figure | None


@dataclass(frozen=True)
class Image:
    """A figure as it is written into files.

    Attributes
    ----------
    name, caption : str
        As those of :class:`Shown`.
    png, svg : bytes
        Contents of the files; empty where there is no figure.
    """

    name: str
    caption: str
    png: bytes = b""
    svg: bytes = b""


def figures(evidence: Evidence, logged: Logged) -> Iterator[Shown]:
    """Draw the figures of one profile one after the other.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, once for all figures.
    """
    points = logged.curves(series.run_ids(evidence), series.NAMES)
    for name, draw in FIGURES.items():
        try:
            drawing = draw(evidence, points)
        except NothingToDraw as nothing:
            yield Shown(name, str(nothing), None)
        else:
            with styled():
                settle(drawing.figure)
            yield Shown(name, drawing.caption, drawing.figure)


def images(evidence: Evidence, logged: Logged) -> list[Image]:
    """Draw the figures of one profile in all formats: the same runs give the same bytes.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, once for all figures.
    """
    return [
        Image(one.name, one.caption, **{name: _saved(one.figure, name) for name in METADATA if one.figure})
        for one in figures(evidence, logged)
    ]


def _saved(figure: Figure, suffix: str) -> bytes:
    content = io.BytesIO()
    with styled():
        figure.savefig(content, format=suffix, metadata=METADATA[suffix])
    return content.getvalue()


def write(drawn: Iterable[Image], folder: Path) -> list[Path]:
    """Write figures into a folder, and return the files.

    Beside them goes ``captions.md``, which also says of every figure that could not be drawn what is missing.

    Parameters
    ----------
    drawn : iterable of Image
    folder : Path
        Made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, captions = [], []
    for image in drawn:
        captions.append(f"**{image.name}**: {'' if image.svg else 'not drawn. '}{image.caption}\n")
        for path, content in ((folder / f"{image.name}.png", image.png), (folder / f"{image.name}.svg", image.svg)):
            if content:
                path.write_bytes(content)
                written.append(path)
    page = folder / CAPTIONS
    page.write_text("\n".join(captions), encoding="utf-8")
    return [*written, page]


def write_figures(evidence: Evidence, logged: Logged, folder: Path) -> list[Path]:
    """Draw the figures of one profile and write them into a folder: :func:`images`, then :func:`write`."""
    return write(images(evidence, logged), folder)
