"""All files of a report: tables, figures, and the page that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path

from analysis.evidence import series
from analysis.evidence.gather import Evidence
from analysis.figures import image
from analysis.read.logged import Logged
from analysis.report import paragraph, scores
from analysis.report.drilldown import run_ids
from analysis.report.page import Figure, write_report
from analysis.tables import render
from analysis.tables.main import Spread
from analysis.tables.render import folder_of
from analysis.tables.tables import all_tables


def write_everything(
    evidence: Mapping[str, Evidence], logged: Logged, out: Path, pool: Executor, spread: Spread = "std"
) -> list[Path]:
    """Write ``report.html``, ``tables/<profile>/`` and ``plots/<profile>/`` and return the files, the page first.

    Parameters
    ----------
    evidence : mapping of profile to Evidence
    logged : Logged
        Where the curves of the runs are read from.
    out : Path
    pool : Executor
        Draws the figures while this process makes the tables.
    spread : str
        What stands behind ± in the main table.
    """
    of_figures = {one for each in evidence.values() for one in series.run_ids(each)}
    held = logged.holding(of_figures.union(run_ids(list(evidence.values()), logged.runs)))
    begun = {profile: image.begin(one, held, pool, image.FOR_THE_PAGE) for profile, one in evidence.items()}
    tables = {profile: all_tables(one, spread) for profile, one in evidence.items()}
    files = [path for made in tables.values() for path in render.write(made, out / "tables")]
    for profile, one in evidence.items():
        folder = out / "tables" / folder_of(profile)
        files += [scores.write(one, logged.runs, folder), *paragraph.write(one, folder)]
    figures = {profile: _figures(drawn) for profile, drawn in begun.items()}
    page = write_report(list(evidence.values()), tables, figures, held, out / "report.html")
    for profile, drawn in begun.items():
        files += image.write([one.result() for one in drawn], out / "plots" / profile)
    return [page, *files]


def _figures(drawn: Iterable[Future[image.Image]]) -> Iterator[Figure]:
    """Yield figures as the page takes them, as soon as they are drawn; without those that could not be."""
    images = (one.result() for one in drawn)
    return ((one.name, one.caption, one.files["svg"].decode()) for one in images if one.files)
