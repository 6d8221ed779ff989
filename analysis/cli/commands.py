"""What the commands of ``python -m analysis`` do; their handlers bear the commands' names."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.processes.pool import beside
from suite.records.permissions import follow_sharing

if TYPE_CHECKING:
    import pandas as pd

    from analysis.evidence.gather import Evidence
    from analysis.read.collect import Collected
    from analysis.read.logged import Logged
    from analysis.tables.table import Table

DEFAULT_OUT = Path("results")

LOSS_COLUMNS = {
    "logit_0.9": "logit(.9)",
    "local_temperature_0": "T(0)",
    "local_temperature_0.9": "T(.9)",
    "positive_by_similarity_0.999": "dL/ds+",
    "positive_by_angle_0.999": "dL/dθ+",
}


@dataclass(frozen=True)
class Loaded:
    """What a command works on.

    Attributes
    ----------
    logged : Logged
    collected : Collected
        With at least one finished run.
    out : Path
        Where files go.
    accept_changes : bool
        Judge by margins, goals and metrics that were changed while runs existed.
    """

    logged: Logged
    collected: Collected
    out: Path
    accept_changes: bool = False

    def evidence(self) -> dict[str, Evidence]:
        """Return the evidence of every profile."""
        from analysis.evidence.gather import gather

        declared = self.logged.declared
        accept, outcomes = self.accept_changes, self.logged.outcomes
        return {name: gather(self.collected, declared, name, accept, outcomes) for name in self.collected.profiles}


def report(options: argparse.Namespace) -> None:
    """Write tables, figures and the page."""
    loaded = _load(options)
    with beside(["analysis.figures.plots"]) as pool:
        from analysis.report.everything import write_everything

        evidence = loaded.evidence()
        files = write_everything(evidence, loaded.logged, loaded.out, pool, options.spread)
    if options.json:
        print(json.dumps({"files": [str(path) for path in files]}, indent=1))
        return
    _show_verdicts(evidence)
    print(f"\n{loaded.out / 'report.html'}: the report; beside it {len(files) - 1} files of tables and figures")


def verdict(options: argparse.Namespace) -> None:
    """Print and write the verdicts."""
    from analysis.tables.tuning.price import price_table
    from analysis.tables.verdicts import published_table, verdicts_table

    loaded = _load(options)
    evidence = loaded.evidence()
    made = {
        profile: [table for make in (verdicts_table, price_table, published_table) if (table := make(one)) is not None]
        for profile, one in evidence.items()
    }
    if not options.json:
        _show_verdicts(evidence)
    _write_and_show(loaded, made, options.json, first=0)


def tables(options: argparse.Namespace) -> None:
    """Print the main table and write all of them."""
    from analysis.tables.tables import all_tables

    loaded = _load(options)
    made = {profile: all_tables(one, options.spread) for profile, one in loaded.evidence().items()}
    _write_and_show(loaded, made, options.json, first=1)


def significance(options: argparse.Namespace) -> None:
    """Print and write the tests."""
    from analysis.tables.tables import significance_tables

    loaded = _load(options)
    _write_and_show(loaded, {p: significance_tables(one) for p, one in loaded.evidence().items()}, options.json)


def select(options: argparse.Namespace) -> None:
    """Print and write what validation chose."""
    from analysis.evidence.sweeps import swept_losses
    from analysis.tables.sweeps import TO_RUN, selection_table, sweep_table

    loaded = _load(options)
    made: dict[str, list[Table]] = {}
    for profile, one in loaded.evidence().items():
        chosen = selection_table(one)
        made[profile] = [*([chosen] if chosen else []), *(sweep_table(one, x) for x in swept_losses(one.collected))]
    _write_and_show(loaded, made, options.json)
    asked = [note.removeprefix(TO_RUN) for tables in made.values() for table in tables for note in table.notes]
    commands = [text for text in dict.fromkeys(asked) if text.startswith("python -m suite run")]
    if commands and not options.json:
        print(f"next      {' && '.join(commands)}")
    if not any(made.values()) and not options.json:
        print("no sweep was run: python -m suite run --losses temperature_sweep --seeds selection")


def plots(options: argparse.Namespace) -> None:
    """Write the figures."""
    loaded = _load(options)
    with beside(["analysis.figures.plots"]) as pool:
        from analysis.figures.image import begin, write

        evidence = loaded.evidence()
        begun = {profile: begin(one, loaded.logged, pool, options.formats) for profile, one in evidence.items()}
        files = [
            path
            for profile, drawn in begun.items()
            for path in write([one.result() for one in drawn], loaded.out / "plots" / profile)
        ]
    print(
        json.dumps({"files": [str(path) for path in files]}, indent=1) if options.json else "\n".join(map(str, files))
    )


def export(options: argparse.Namespace) -> None:
    """Write a bundle of all logged runs, whatever their state."""
    from analysis.read.bundle import write

    loaded = _load(options, all_runs=True)
    files = write(loaded.logged, options.to or (loaded.out / "bundle" if options.out is None else loaded.out))
    if options.json:
        print(json.dumps({"files": [str(path) for path in files]}, indent=1))
    else:
        print(f"{len(loaded.logged.runs)} runs of {loaded.logged.origin}: {', '.join(map(str, files))}")


def publish(options: argparse.Namespace) -> None:
    """Write an archive of the runs and of all that is made of them."""
    from analysis.report.archive import publish as write_archive

    loaded = _load(options)
    name = re.sub(r"[^\w.-]+", "-", loaded.logged.experiment) or "runs"
    with beside(["analysis.figures.plots"]) as pool:
        file = write_archive(loaded.logged, loaded.evidence(), options.to or loaded.out / f"{name}.zip", pool)
    if options.json:
        print(json.dumps({"files": [str(file)]}, indent=1))
    else:
        print(f"{file}: {len(loaded.logged.runs)} runs, tables, figures, page; README.md in it says how to check them")


def separation(options: argparse.Namespace) -> None:
    """Print and write whether each benchmark tells losses apart."""
    from analysis.tables.curves import training_points, training_tables
    from analysis.tables.separation import SECTIONS, document, separation_tables

    loaded = _load(options)
    collected = loaded.collected
    points = training_points(loaded.logged, collected.runs)
    made = {
        profile: [*separation_tables(collected, profile), *training_tables(collected, profile, points)]
        for profile in collected.profiles
    }
    page = loaded.out / "separation.md"
    _write_and_show(loaded, made, options.json, first=len(SECTIONS), folder="separation", page=page)
    page.write_text(document(table for tables in made.values() for table in tables), encoding="utf-8")


def losses(options: argparse.Namespace) -> None:
    """Draw the losses themselves."""
    from analysis.explorer.figures import write_figures
    from analysis.explorer.losses import HEADLINE, curves, key_numbers, named, write_csv
    from analysis.explorer.table import write_markdown

    chosen = named(options.losses or HEADLINE, options.registry)
    follow_sharing(options.out or DEFAULT_OUT)
    folder = (options.out or DEFAULT_OUT) / "losses"
    folder.mkdir(parents=True, exist_ok=True)
    frame = curves(chosen)
    files = [*write_figures(frame, folder), write_csv(frame, folder), write_markdown(folder)]
    numbers = key_numbers(chosen)
    if options.json:
        shown = json.loads(numbers.to_json(orient="records", double_precision=15))
        print(json.dumps({"losses": shown, "files": [str(path) for path in files]}, indent=1))
    else:
        _show_losses(numbers, files)


def _load(options: argparse.Namespace, all_runs: bool = False) -> Loaded:
    from analysis.read.collect import collect
    from analysis.read.load import NothingToShow, keep_text_in_numpy, load

    keep_text_in_numpy()
    bundles = [Path(source) for source in options.sources if source != "mlflow"]
    out = options.out or (bundles[0].parent if bundles else DEFAULT_OUT)
    follow_sharing(out)
    logged = load(
        options.sources,
        out=out,
        tracking_uri=options.tracking_uri,
        experiment=options.experiment,
        registry=options.registry,
    )
    if options.profile is not None:
        profiles = sorted(logged.runs["profile"].dropna().unique())
        if options.profile not in profiles:
            other = f"no run of profile {options.profile!r}; it has {', '.join(profiles)}"
            raise NothingToShow(f"{logged.origin} holds {other}")
        logged = logged.of_profile(options.profile)
    collected = collect(logged.runs, options.profile, options.keep_stale, logged.declared.searched)
    if not collected.profiles and not all_runs:
        raise NothingToShow(f"{logged.origin} holds no finished run")
    return Loaded(logged, collected, out, options.accept_changes)


def _write_and_show(
    loaded: Loaded,
    made: Mapping[str, Sequence[Table]],
    as_json: bool,
    first: int | None = None,
    folder: str = "tables",
    page: Path | None = None,
) -> None:
    """Write tables, print the first few of every profile, and say where all of them are."""
    from analysis.tables.render import show, write

    files = {profile: write(tables, loaded.out / folder) for profile, tables in made.items()}
    if as_json:
        left_out = json.loads(loaded.collected.left_out.to_json(orient="records"))
        profiles = {profile: _as_json(made[profile], files[profile], first) for profile in made}
        whole = {"profiles": profiles, "left_out": left_out}
        print(json.dumps(whole if page is None else {"page": str(page), **whole}, indent=1))
        return
    for tables in made.values():
        for table in tables[:first]:
            show(table)
    for paths in files.values():
        if paths:
            names = ", ".join(dict.fromkeys(path.stem for path in paths))
            print(f"{paths[0].parent}/: {names} as .md, .tex, .csv and .html\n")
    if page is not None:
        print(f"{page}: all of them on one page")


def _show_verdicts(evidence: Mapping[str, Evidence]) -> None:
    from analysis.tables.verdict_text import lines

    for profile, one in evidence.items():
        print(f"Profile {profile}: differences of the primary test metric, positive is better, 95 % intervals")
        print("\n".join(lines(one)))


def _as_json(tables: Sequence[Table], files: Sequence[Path], first: int | None) -> dict[str, Any]:
    return {
        "tables": {one.name: json.loads(one.data.to_json(orient="records", double_precision=15)) for one in tables},
        "notes": list(dict.fromkeys(note for table in tables[:first] for note in table.notes)),
        "files": [str(path) for path in files],
    }


def _show_losses(numbers: pd.DataFrame, files: Sequence[Path]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from analysis.explorer.losses import KEY_COSINE, SCENE

    table = RichTable()
    table.add_column("loss", overflow="fold")
    for header in LOSS_COLUMNS.values():
        table.add_column(Text(header), justify="right")
    for _, row in numbers.iterrows():
        cells = ("—" if row[name] != row[name] else f"{row[name] + 0.0:.4g}" for name in LOSS_COLUMNS)
        table.add_row(Text(row["loss"]), *cells)
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table)
    note = f"""\
T: local temperature, 1 / (d logit / ds). —: no map from similarity to logit.
dL/ds+, dL/dθ+: gradients by cosine and angle of a positive at cosine {KEY_COSINE},
with a negative at {SCENE.hardest:g} and {SCENE.others} at 0. Those of a hardest negative: --json."""
    console.print(note, markup=False, highlight=False)
    console.print("\n".join(map(str, files)), markup=False, highlight=False)
