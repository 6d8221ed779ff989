"""All files of a report: tables, figures, and the page that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.evidence import Evidence
from analysis.main_table import Spread
from analysis.plots import write_figures
from analysis.render import write
from analysis.report.page import write_report
from analysis.source import Logged
from analysis.tables import all_tables


def write_everything(
    evidence: Mapping[str, Evidence], logged: Logged, out: Path, spread: Spread = "std"
) -> list[Path]:
    """Write ``report.html``, ``tables/<profile>/`` and ``plots/<profile>/`` and return the files, the page first.

    Parameters
    ----------
    evidence : mapping of profile to Evidence
    logged : Logged
        Where the curves of the runs are read from.
    out : Path
    spread : str
        What stands behind ± in the main table.
    """
    tables = {profile: all_tables(one, spread) for profile, one in evidence.items()}
    files = [path for made in tables.values() for path in write(made, out / "tables")]
    drawn = {profile: write_figures(one, logged, out / "plots" / profile) for profile, one in evidence.items()}
    page = write_report(list(evidence.values()), tables, drawn, logged, out / "report.html")
    return [page, *files]
