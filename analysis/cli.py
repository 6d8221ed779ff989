"""The command line of ``python -m analysis``: parses and prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from analysis.collect import Collected

BAD_INPUT = 2

LOSSES = """\
Draw what losses make of a cosine, computed by the losses themselves. Writes into OUT/losses: maps and gradients as png
and svg, the curves behind them as curves.csv, and losses.md, the reference table of all losses of the suite.

NAME is a loss of the registry, an entry point of suite.losses, or the dotted path of your own class; with parameters:
  python -m analysis losses --losses temperature_free dystress@tau_min=0.1@tau_max=0.3 my_losses.Cubic@scale=2"""

LOSS_COLUMNS = {
    "logit_0.9": "logit(.9)",
    "local_temperature_0": "T(0)",
    "local_temperature_0.9": "T(.9)",
    "positive_by_similarity_0.999": "dL/ds+",
    "positive_by_angle_0.999": "dL/dθ+",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return 0, or 2 if what was given will not do or there is nothing to make tables of."""
    options = _parser().parse_args(arguments)
    handler: Callable[[argparse.Namespace], int] = options.handler
    from analysis.collect import NothingToShow
    from suite.problems import InputError
    from suite.tracking import TrackingUnavailable

    try:
        return handler(options)
    except InputError as error:
        print(error.report(), file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (NothingToShow, TrackingUnavailable, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description="Logged results to tables and figures.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    where = "MLflow store (default: MLFLOW_TRACKING_URI, else OUT/mlflow.db)"
    for name, handler, text in (
        ("tables", _tables, "losses by benchmarks, as Markdown, LaTeX and CSV"),
        ("separation", _separation, "whether each benchmark tells losses apart, as Markdown, LaTeX and CSV"),
        ("plots", _plots, "the primary metric against the temperature, as png and svg"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--tracking-uri", metavar="URI", help=where)
        command.add_argument("--out", type=Path, default="results", metavar="DIR", help="default: results")
        command.add_argument("--profile", metavar="NAME", help="only this profile (default: every one)")
        command.add_argument("--experiment", metavar="NAME", help="MLflow experiment (default: the only one)")
        command.add_argument("--json", action="store_true", help="print JSON for programs")
        command.set_defaults(handler=handler)
    _add_losses(commands.add_parser("losses", help="the losses themselves: curves, figures and a table of all"))
    return parser


def _add_losses(command: argparse.ArgumentParser) -> None:
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.description = LOSSES
    command.add_argument("--losses", nargs="+", metavar="NAME", help="default: InfoNCE, TemperatureFree, DySTreSS, ...")
    command.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    command.add_argument("--out", type=Path, default="results", metavar="DIR", help="default: results")
    command.add_argument("--json", action="store_true", help="print JSON for programs")
    command.set_defaults(handler=_losses)


def _losses(options: argparse.Namespace) -> int:
    from analysis.loss_figures import write_figures
    from analysis.loss_table import write_markdown
    from analysis.losses import HEADLINE, curves, key_numbers, named, write_csv

    losses = named(options.losses or HEADLINE, options.registry)
    folder = options.out / "losses"
    folder.mkdir(parents=True, exist_ok=True)
    frame = curves(losses)
    files = [*write_figures(frame, folder), write_csv(frame, folder), write_markdown(folder)]
    numbers = key_numbers(losses)
    if options.json:
        shown = json.loads(numbers.to_json(orient="records", double_precision=15))
        print(json.dumps({"losses": shown, "files": [str(path) for path in files]}, indent=1))
    else:
        _show_losses(numbers, files)
    return 0


def _show_losses(numbers: pd.DataFrame, files: list[Path]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from analysis.losses import KEY_COSINE, SCENE

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


def _plots(options: argparse.Namespace) -> int:
    from analysis.plots import write_figures

    collected = _collected(options)
    files = [
        path
        for profile in collected.profiles
        for path in write_figures(collected.of(profile), options.out / "plots" / profile)
    ]
    if options.json:
        print(json.dumps({"files": [str(path) for path in files]}, indent=1))
    else:
        print("\n".join(str(path) for path in files) or "no sweep of infonce's temperature to draw: nothing written")
    return 0


def _collected(options: argparse.Namespace) -> Collected:
    from analysis.collect import NothingToShow, collect, load
    from suite.tracking import default_uri

    uri = default_uri(options.out, options.tracking_uri)
    logged = load(uri, options.experiment)
    collected = collect(logged, options.profile)
    if not collected.profiles:
        profiles = sorted(logged["profile"].dropna().unique())
        unknown = options.profile is not None and options.profile not in profiles
        other = f"no run of profile {options.profile!r}; it has {', '.join(profiles)}"
        raise NothingToShow(f"{uri} holds {other if unknown else 'no finished run'}")
    return collected


def _tables(options: argparse.Namespace) -> int:
    from analysis.render import write
    from analysis.table import Table
    from analysis.tables import all_tables

    collected = _collected(options)
    made: dict[str, list[Table]] = {profile: all_tables(collected, profile) for profile in collected.profiles}
    files = {profile: write(tables, options.out / "tables") for profile, tables in made.items()}
    if options.json:
        left_out = json.loads(collected.left_out.to_json(orient="records"))
        print(json.dumps({"profiles": {p: _as_json(made[p], files[p]) for p in made}, "left_out": left_out}, indent=1))
    else:
        _show(made, files)
    return 0


def _separation(options: argparse.Namespace) -> int:
    from analysis.curves import training_points, training_tables
    from analysis.render import write
    from analysis.separation import SECTIONS, document, separation_tables
    from suite.tracking import default_uri

    collected = _collected(options)
    points = training_points(default_uri(options.out, options.tracking_uri), collected.runs)
    made = {
        profile: [*separation_tables(collected, profile), *training_tables(collected, profile, points)]
        for profile in collected.profiles
    }
    page = options.out / "separation.md"
    files = {profile: write(tables, options.out / "separation") for profile, tables in made.items()}
    page.write_text(document(table for tables in made.values() for table in tables), encoding="utf-8")
    if options.json:
        profiles = {profile: _as_json(made[profile], files[profile], len(SECTIONS)) for profile in made}
        print(json.dumps({"page": str(page), "profiles": profiles}, indent=1))
    else:
        _show(made, files, len(SECTIONS))
        print(f"{page}: all of them on one page")
    return 0


def _show(made: dict[str, list[Any]], files: dict[str, list[Path]], first: int = 1) -> None:
    """Print the first tables of every profile and say where all of them are."""
    from rich.console import Console

    from analysis.render import for_terminal

    console = Console(soft_wrap=not sys.stdout.isatty())
    for profile, tables in made.items():
        for table in tables[:first]:
            console.print(for_terminal(table))
            for note in table.notes:
                console.print(note, markup=False, highlight=False)
        folder = files[profile][0].parent
        names = sorted({path.stem for path in files[profile]})
        console.print(f"{folder}/: {', '.join(names)} as .md, .tex and .csv\n", markup=False, highlight=False)


def _as_json(tables: list[Any], files: list[Path], first: int = 1) -> dict[str, Any]:
    return {
        "tables": {one.name: json.loads(one.data.to_json(orient="records", double_precision=15)) for one in tables},
        "notes": list(dict.fromkeys(note for table in tables[:first] for note in table.notes)),
        "files": [str(path) for path in files],
    }
