"""The figures of one profile: as svg, pdf and png, readable in print and for colour-blind readers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
from matplotlib.figure import Figure

from analysis.evidence import series
from analysis.evidence.gather import Evidence
from analysis.figures import (
    cost,
    curves,
    differences,
    forest,
    geometry,
    histograms,
    length,
    margins,
    pairs,
    ranks,
    scores,
)
from analysis.figures.canvas import Drawing, NothingToDraw, settle
from analysis.figures.dense import SAID, draw_as_pixels, with_few_colours
from analysis.figures.style import styled
from analysis.figures.tuning import budget, temperature
from analysis.read.collect import Collected

if TYPE_CHECKING:
    from analysis.read.logged import Logged

Names = tuple[str, ...]

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
OF_RUNS: Final = frozenset({"temperature"})
"""Which of these are drawn of single runs; all others of rows, and of what is said of them."""
OF_CURVES: Final[dict[str, tuple[Callable[[Evidence, pd.DataFrame], Drawing], Callable[[Evidence], Names]]]] = {
    "length": (length.figure, length.names),
    "curves": (curves.figure, lambda _: curves.SERIES),
    "histograms": (histograms.figure, lambda _: histograms.SERIES),
    "geometry": (geometry.figure, lambda _: geometry.SERIES),
}
"""What is drawn of what was logged on the way, and of which series."""
METADATA: Final[dict[str, dict[str, None]]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""The formats of a figure, and what would say in each when and with what it was made."""
FOR_THE_PAGE: Final = ("svg",)
FOR_PAPERS: Final = tuple(METADATA)
CAPTIONS: Final = "captions.md"


@dataclass(frozen=True)
class Image:
    """A figure as it is written into files.

    Attributes
    ----------
    name : str
        Names its files.
    caption : str
        Sentences; what is missing where there is no figure.
    files : mapping of str to bytes
        Contents by format; none where there is no figure.
    """

    name: str
    caption: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def tasks(evidence: Evidence, logged: Logged) -> dict[str, Callable[[], Drawing]]:
    """Return what draws each figure of one profile, by name; it can be sent to another process.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, now.
    """
    run_ids = series.run_ids(evidence)
    # each task is sent with what it draws of, of which nine tenths would be collected runs
    runs = evidence.collected.runs
    nothing = Collected(runs.iloc[:0], evidence.collected.left_out.iloc[:0], evidence.collected.tested.iloc[:0])
    of_rows = replace(evidence, collected=nothing)
    of_runs = replace(evidence, collected=replace(nothing, runs=runs))
    of_results = {name: partial(draw, of_runs if name in OF_RUNS else of_rows) for name, draw in OF_RESULTS.items()}
    of_curves = {
        name: partial(draw, of_rows, logged.curves(run_ids, names(evidence)))
        for name, (draw, names) in OF_CURVES.items()
    }
    return {**of_results, **of_curves}


def begin(evidence: Evidence, logged: Logged, pool: Executor, formats: Sequence[str]) -> list[Future[Image]]:
    """Let other processes draw the figures of one profile: the same runs give the same bytes.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, now.
    pool : Executor
    formats : sequence of str
        Of `FOR_PAPERS`.
    """
    todo = tasks(evidence, logged)
    # those of curves take longest: they must not be the last to begin
    begun = {name: pool.submit(_image, name, draw, formats) for name, draw in reversed(todo.items())}
    return [begun[name] for name in todo]


def _image(name: str, draw: Callable[[], Drawing], formats: Sequence[str] = FOR_THE_PAGE) -> Image:
    with warnings.catch_warnings():
        # names in letters that the font lacks: boxes in a png and a pdf; an svg is shown in the reader's own fonts
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        try:
            drawing = draw()
        except NothingToDraw as nothing:
            return Image(name, str(nothing))
        with styled():
            settle(drawing.figure)
        is_dense = draw_as_pixels(drawing.figure)
        files = {suffix: _saved(drawing.figure, suffix) for suffix in formats}
        if is_dense and "svg" in files:
            files["svg"] = with_few_colours(files["svg"])
        return Image(name, drawing.caption + SAID if is_dense else drawing.caption, files)


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
        captions.append(f"**{image.name}**: {'' if image.files else 'not drawn. '}{image.caption}\n")
        for suffix, content in image.files.items():
            path = folder / f"{image.name}.{suffix}"
            path.write_bytes(content)
            written.append(path)
    page = folder / CAPTIONS
    page.write_text("\n".join(captions), encoding="utf-8")
    return [*written, page]
