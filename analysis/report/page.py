"""One HTML page that holds everything and asks nothing of any server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from analysis.evidence.gather import Evidence, Verdict
from analysis.evidence.words import ANSWERS
from analysis.read.logged import Logged
from analysis.report import doubts, words
from analysis.report.drilldown import MAX_POINTS, as_json, drilldown
from analysis.report.paragraph import paragraph
from analysis.report.provenance import provenance
from analysis.tables import html as html_table
from analysis.tables import render
from analysis.tables.main import left_out_notes
from analysis.tables.table import Table

Figure = tuple[str, str, str]
"""Name, caption, and the text of an SVG file."""

SAID_OTHERWISE = {"verdicts", "published", "left-out"}  # tables that the page has in a form of its own
TUNING = ("price", "budget")  # tables and figures that stand beside the verdicts


@dataclass(frozen=True)
class ClaimView:
    """A claim with its verdicts."""

    name: str
    words: str
    source: str
    overall: Verdict
    parts: tuple[Verdict, ...]

    @property
    def is_touched(self) -> bool:
        """Whether the runs of the profile say anything about it: both of its losses have a seed in common somewhere."""
        return any(one.comparison is not None and one.comparison.paired.n for one in self.parts)

    @property
    def labels(self) -> dict[str, str]:
        """The verdicts' labels by benchmark."""
        return {one.benchmark: one.label for one in self.parts}


@dataclass(frozen=True)
class FigureView:
    """A figure as an image that carries its own data."""

    name: str
    caption: str
    address: str


@dataclass(frozen=True)
class ProfileView:
    """What the page shows of a profile."""

    id: str
    evidence: Evidence
    claims: tuple[ClaimView, ...]
    untouched: int
    limit: float
    unsupported: list[str]
    tables: list[Table]
    figures: list[FigureView]
    missing: list[Table]
    paragraph: str
    tuning: list[Table]
    tuning_figures: list[FigureView]

    @property
    def name(self) -> str:
        """The name of the profile."""
        return self.evidence.profile

    @property
    def folder(self) -> str:
        """The folder with the files of the profile."""
        return render.folder_of(self.evidence.profile)

    @property
    def labels(self) -> list[str]:
        """The words of verdicts that stand in the table of all claims, each once."""
        return sorted({label for claim in self.claims for label in (claim.overall.label, *claim.labels.values())})

    @property
    def seeds(self) -> int:
        """The largest number of evaluation seeds that a loss has on a benchmark."""
        rows = self.evidence.rows
        counts = rows[rows["kind"] == "loss"].groupby(["benchmark", "row"])["seed"].nunique()
        return int(counts.max()) if len(counts) else 0


def write_report(
    evidences: Sequence[Evidence],
    tables: Mapping[str, Sequence[Table]],
    figures: Mapping[str, Iterable[Figure]],
    logged: Logged,
    path: Path,
) -> Path:
    """Write everything on one page; the same input gives the same bytes.

    Parameters
    ----------
    evidences : sequence of Evidence
        A profile each, in the order of the page.
    tables : mapping of profile to sequence of Table
        In the order of the page.
    figures : mapping of profile to iterable of (str, str, str)
        In the order of the page; name, caption and SVG. Asked for after all else is computed: they may be drawn
        meanwhile.
    logged : Logged
        What single runs and their curves are read from.
    path : Path

    Returns
    -------
    Path
        `path`.
    """
    environment = _environment()
    script = _source(environment, "report.js")
    known = drilldown(evidences, logged)
    counted = pd.concat([one.collected.runs["run_id"] for one in evidences])
    origin = provenance(logged.runs[logged.runs["run_id"].isin(counted)])
    profiles = [_profile(one, tables.get(one.profile, ()), figures.get(one.profile, ())) for one in evidences]
    page = environment.get_template("report.html.j2").render(
        profiles=profiles,
        provenance=origin,
        known=known,
        data=Markup(as_json({**known, "latex": _latex()})),
        max_points=MAX_POINTS,
        style=Markup(_source(environment, "report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["words"] = words
    environment.globals["answers"] = ANSWERS
    environment.globals["table_element"] = html_table.table_element
    environment.globals["notes_list"] = html_table.notes_list
    environment.filters["slug"] = words.slug
    environment.filters["sentence"] = words.sentence
    return environment


def _latex() -> dict[str, object]:
    """Return what the page's script needs to write tables as the files beside the page do."""
    return {"commands": render.LATEX, "last_latin": render.LAST_LATIN, "packages": render.LATEX_NEEDS}


def _source(environment: jinja2.Environment, name: str) -> str:
    """Return a file that goes onto the page as it is."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _profile(evidence: Evidence, tables: Sequence[Table], figures: Iterable[Figure]) -> ProfileView:
    said = {*evidence.notes, *left_out_notes(evidence.collected)}
    missing = [doubts.missing_seeds(evidence), doubts.left_out(evidence)]
    claims = _claims(evidence.verdicts)
    touched = tuple(claim for claim in claims if claim.is_touched)
    shown = {table.name: _without(table, said) for table in tables if table.name not in SAID_OTHERWISE}
    drawn = [FigureView(name, caption, _address(svg)) for name, caption, svg in figures]
    return ProfileView(
        id=words.slug(evidence.profile),
        evidence=evidence,
        claims=touched,
        untouched=len(claims) - len(touched),
        limit=words.strip_limit(evidence.verdicts),
        unsupported=doubts.unsupported(evidence),
        tables=[table for name, table in shown.items() if name not in TUNING],
        figures=[figure for figure in drawn if figure.name not in TUNING],
        missing=[table for table in missing if table is not None],
        paragraph=paragraph(evidence),
        tuning=[shown[name] for name in TUNING if name in shown],
        tuning_figures=[figure for figure in drawn if figure.name in TUNING],
    )


def _without(table: Table, said: Collection[str]) -> Table:
    """Return a table without the notes that the page says elsewhere."""
    return replace(table, notes=[note for note in table.notes if note not in said])


def _claims(verdicts: Sequence[Verdict]) -> list[ClaimView]:
    claims = []
    for overall in (verdict for verdict in verdicts if not verdict.benchmark):
        parts = tuple(one for one in verdicts if one.claim == overall.claim and one.benchmark)
        said = overall.declared
        claims.append(ClaimView(overall.claim, said.in_words(), said.source, overall, parts))
    return claims


def _address(svg: str) -> str:
    """Return an SVG as an address of its own, so that ids inside of two figures cannot collide."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
