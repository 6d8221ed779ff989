"""The figures of one profile as files, drawn by other processes: matplotlib, which takes a second, is theirs alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from analysis.evidence import series
from analysis.evidence.gather import Evidence
from analysis.processes.pool import by_name
from analysis.read.collect import Collected

if TYPE_CHECKING:
    from analysis.read.logged import Logged

OF_RESULTS: Final = (
    "forest", "margins", "scores", "differences", "pairs", "cost", "budget", "temperature", "ranks", "profiles",
)  # fmt: skip
OF_RUNS: Final = frozenset({"temperature"})
"""Which of these are drawn of single runs; all others of rows, and of what is said of them."""
FOR_THE_PAGE: Final = ("svg",)
FOR_PAPERS: Final = ("svg", "pdf", "png")
CAPTIONS: Final = "captions.md"


@dataclass(frozen=True)
class Subject:
    """What a figure is drawn of.

    Attributes
    ----------
    name : str
        Of the figure.
    evidence : Evidence
        Without what the figure does not show.
    curves : DataFrame or None
        What was logged on the way, columns ``run_id name step value``; None for figures of results.
    """

    name: str
    evidence: Evidence
    curves: pd.DataFrame | None = None


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


def subjects(evidence: Evidence, logged: Logged) -> Iterator[Subject]:
    """Yield what each figure of one profile is drawn of, as it is sent to another process.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, now.
    """
    run_ids = series.run_ids(evidence)
    # nine tenths of what is sent would be collected runs
    runs = evidence.collected.runs
    nothing = Collected(runs.iloc[:0], evidence.collected.left_out.iloc[:0], evidence.collected.tested.iloc[:0])
    of_rows = replace(evidence, collected=nothing)
    of_runs = replace(evidence, collected=replace(nothing, runs=runs))
    for name in OF_RESULTS:
        yield Subject(name, of_runs if name in OF_RUNS else of_rows)
    for name, names in series.DRAWN.items():
        yield Subject(name, of_rows, logged.curves(run_ids, names(evidence)))


def begin(evidence: Evidence, logged: Logged, pool: Executor, formats: Sequence[str]) -> list[Future[Image]]:
    """Let other processes draw the figures of one profile: the same runs give the same bytes.

    Parameters
    ----------
    evidence : Evidence
    logged : Logged
        Where the curves of its runs are read from, now.
    pool : Executor
        Of :func:`analysis.processes.pool.beside`, with :mod:`analysis.figures.plots`.
    formats : sequence of str
        Of `FOR_PAPERS`.
    """
    todo = list(subjects(evidence, logged))
    # those of curves take longest: they must not be the last to begin
    begun = {one.name: pool.submit(by_name, "analysis.figures.plots", "image", one, formats) for one in reversed(todo)}
    return [begun[one.name] for one in todo]


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
