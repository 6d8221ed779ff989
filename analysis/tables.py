"""Tables as they stand in a paper: losses by benchmarks, mean ± standard deviation over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.collect import Collected, collect
from analysis.select import Choice, choose, members, natural, row_name, runs_of
from analysis.table import ARROWS, MISSING, Block, Cell, Summary, Table

REFERENCES = ("chance", "raw", "popularity", "untrained", "no_contrast", "supervised", "published")
SHOWN = 10  # of the runs that are left out, under the main table
CSV_COLUMNS = ["row", "kind", "benchmark", "metric", "goal", "n", "of", "mean", "std", "best"]


def overview(logged: pd.DataFrame, profile: str) -> Table:
    """Return the main table of one profile from what :func:`suite.tracking.frame` returns."""
    return main_table(collect(logged, profile), profile)


def all_tables(collected: Collected, profile: str) -> list[Table]:
    """Return every table of a profile: the main one, one a benchmark, one a sweep, and what was left out."""
    of_profile = collected.of(profile)
    benchmarks = sorted(of_profile.runs["benchmark"].unique(), key=natural)
    sweeps = sorted(members(of_profile.runs)["base"].unique(), key=loss_order)
    return [
        main_table(of_profile, profile),
        *(benchmark_table(of_profile, profile, str(benchmark)) for benchmark in benchmarks),
        *(sweep_table(of_profile, profile, str(loss)) for loss in sweeps),
        left_out_table(of_profile, profile),
    ]


def main_table(collected: Collected, profile: str) -> Table:
    """Losses by benchmarks on the primary test metric, the best loss in bold, references apart.

    A value is bold if it is the best of its column's losses as printed; ties share it.
    """
    runs, notes = _rows(collected.runs)
    benchmarks = sorted(runs["benchmark"].unique(), key=natural)
    columns = [_Column(runs[runs["benchmark"] == benchmark]) for benchmark in benchmarks]
    blocks, data = [], []
    for kind, title in (("loss", "Losses"), ("reference", "References")):
        rows = []
        for row in _ordered(runs[runs["kind"] == kind]["row"].unique(), kind):
            rows.append((row, [column.cell(row, kind) for column in columns]))
            data += [column.figures(row, kind) for column in columns]
        if rows:
            blocks.append(Block(title, rows))
    return Table(
        "main",
        profile,
        f"Primary test metric, profile {profile}: mean ± standard deviation over seeds (number of seeds); "
        f"{MISSING} not run. Best loss in bold.",
        ["", *(column.title for column in columns)],
        blocks,
        [*notes, *(note for column in columns for note in column.contrast_notes()), *left_out_notes(collected)],
        pd.DataFrame(data, columns=CSV_COLUMNS),
    )


def benchmark_table(collected: Collected, profile: str, benchmark: str) -> Table:
    """All test metrics of one benchmark and the mean seconds of its runs."""
    runs, _ = _rows(collected.runs)
    runs = runs[runs["benchmark"] == benchmark]
    primaries = [f"test/{metric}" for metric in runs["metric"].unique()]
    measured = [str(name) for name in runs.columns if runs[name].notna().any()]
    secondary = [name for name in measured if name.startswith("test/") and name not in primaries]
    metrics = [*primaries, *sorted(secondary, key=natural)]
    seconds = [name for name in ("seconds/setup", "seconds/training", "seconds/evaluation") if name in measured]
    decimals = {name: decimals_for(runs[name]) for name in metrics} | {name: 1 for name in seconds}
    blocks, data = [], []
    for kind, title in (("loss", "Losses"), ("reference", "References")):
        rows = []
        for row in _ordered(runs[runs["kind"] == kind]["row"].unique(), kind):
            mine = runs[(runs["row"] == row) & (runs["kind"] == kind)]
            summaries = {name: Summary.over(mine[name]) for name in (*metrics, *seconds)}
            cells = [Cell(summaries[name].text(decimals[name])) for name in metrics]
            cells += [Cell(_plain(summaries[name], 1)) for name in seconds]
            rows.append((row, cells))
            data += [
                [row, kind, benchmark, name, "", one.n, "", one.mean, one.std, ""] for name, one in summaries.items()
            ]
        if rows:
            blocks.append(Block(title, rows))
    return Table(
        f"benchmark-{benchmark}",
        profile,
        f"{benchmark}, profile {profile}: test metrics, mean ± standard deviation over seeds (number of seeds), and "
        "mean seconds a run.",
        ["", *(name.removeprefix("test/") for name in metrics), *(f"{name.partition('/')[2]} [s]" for name in seconds)],
        blocks,
        data=pd.DataFrame(data, columns=CSV_COLUMNS),
    )


def sweep_table(collected: Collected, profile: str, loss: str) -> Table:
    """List the settings of one loss by benchmarks: validation on the selection seeds, test on the evaluation seeds."""
    swept = members(collected.runs)
    swept = swept[swept["base"] == loss]
    chosen = {choice.benchmark: choice for choice in choose(collected.runs) if choice.loss == loss}
    benchmarks = sorted(swept["benchmark"].unique(), key=natural)
    settings = sorted(swept["setting"].unique(), key=natural)
    header, columns, data = [""], [], []
    for benchmark in benchmarks:
        here = swept[swept["benchmark"] == benchmark]
        metric, goal = here["metric"].iloc[0], here["goal"].iloc[0]
        for split, purpose in (("val", "selection"), ("test", "evaluation")):
            runs = here[here["purpose"] == purpose]
            header.append(f"{benchmark}: {split} {metric} {ARROWS[goal]}")
            summaries = {setting: Summary.over(runs[runs["setting"] == setting][split]) for setting in settings}
            of, decimals = int(runs["seed"].nunique()), decimals_for(runs[split])
            best = chosen[benchmark].setting if split == "val" and benchmark in chosen else None
            columns.append([Cell(summaries[s].text(decimals, of), bold=s == best) for s in settings])
            where = [benchmark, f"{split}/{metric}", goal]
            data += [
                [f"{loss}@{setting}", "loss", *where, one.n, of, one.mean, one.std, setting == best]
                for setting, one in summaries.items()
            ]
    rows = [(setting, [column[i] for column in columns]) for i, setting in enumerate(settings)]
    return Table(
        f"sweep-{loss}",
        profile,
        f"{loss}, profile {profile}: settings by benchmark, validation over the selection seeds and test over the "
        "evaluation seeds, mean ± standard deviation (number of seeds). The setting chosen on validation in bold.",
        header,
        [Block("Settings", rows)],
        _skipped_notes(chosen.values()),
        pd.DataFrame(data, columns=CSV_COLUMNS),
    )


def left_out_table(collected: Collected, profile: str) -> Table:
    """List every run of the profile that does not count, and why."""
    left_out = collected.left_out
    rows = [(_run_name(run), [Cell(str(run["status"])), Cell(str(run["reason"]))]) for _, run in left_out.iterrows()]
    return Table(
        "left-out",
        profile,
        f"Runs of profile {profile} that do not enter the tables.",
        ["", "status", "reason"],
        [Block("Runs", rows)],
        data=left_out,
    )


def left_out_notes(collected: Collected) -> list[str]:
    """Return a sentence for each run that does not count; beyond the first few, their number."""
    left_out = collected.left_out
    notes = [f"Left out: {_run_name(run)}: {run['reason']}." for _, run in left_out.head(SHOWN).iterrows()]
    more = len(left_out) - SHOWN
    return [*notes, f"{more} more runs are left out, see left-out.csv."] if more > 0 else notes


class _Column:
    """One benchmark's column of the main table."""

    def __init__(self, runs: pd.DataFrame) -> None:
        first = runs.sort_values(["start", "run_id"]).iloc[-1]
        self.benchmark, self.metric, self.goal = str(first["benchmark"]), str(first["metric"]), str(first["goal"])
        self.title = f"{self.benchmark}: {self.metric} {ARROWS[self.goal]}"
        self.runs = runs
        self.decimals = decimals_for(runs["test"])
        self.of = int(runs[runs["kind"] == "loss"]["seed"].nunique())
        grouped = runs.groupby(["kind", "row"], sort=True)
        self.summaries = {name: Summary.over(group["test"]) for name, group in grouped}
        losses = [one for (kind, _), one in self.summaries.items() if kind == "loss"]
        sign = -1.0 if self.goal == "minimise" else 1.0
        self.best = f"{max(losses, key=lambda one: sign * one.mean).mean:.{self.decimals}f}" if losses else ""

    def cell(self, row: str, kind: str) -> Cell:
        one = self.summaries.get((kind, row))
        if one is None:
            return Cell(MISSING)
        return Cell(one.text(self.decimals, self.of if kind == "loss" else 0), self._is_best(one, kind))

    def figures(self, row: str, kind: str) -> list[object]:
        one = self.summaries.get((kind, row), Summary(0, math.nan, math.nan))
        of = self.of if kind == "loss" else ""
        where = [row, kind, self.benchmark, self.metric, self.goal]
        return [*where, one.n, of, one.mean, one.std, self._is_best(one, kind)]

    def _is_best(self, one: Summary, kind: str) -> bool:
        return kind == "loss" and one.n > 0 and f"{one.mean:.{self.decimals}f}" == self.best

    def contrast_notes(self) -> list[str]:
        """Say whether each loss beats the same method without a contrastive term, paired by seed."""
        base = self.runs[(self.runs["kind"] == "reference") & (self.runs["row"] == "no_contrast")]
        notes = []
        for row in _ordered(self.runs[self.runs["kind"] == "loss"]["row"].unique(), "loss") if len(base) else ():
            mine = self.runs[(self.runs["kind"] == "loss") & (self.runs["row"] == row)]
            pairs = mine.merge(base, on="seed", suffixes=("", "_base"))
            notes.append(self._contrast_note(row, (pairs["test"] - pairs["test_base"]).astype(float)))
        if notes:
            notes.append("Differences are paired by seed, mean ± standard deviation; no test of significance was made.")
        return notes

    def _contrast_note(self, row: str, difference: pd.Series) -> str:
        one = Summary.over(difference)
        if one.n == 0:
            return f"{self.benchmark}: {row} and no_contrast share no seed."
        below = self.goal == "minimise"
        better = int((difference < 0).sum() if below else (difference > 0).sum())
        gain = round(-one.mean if below else one.mean, self.decimals)
        verdict = "better than" if gain > 0 else "worse than" if gain < 0 else "level with"
        spread = "" if math.isnan(one.std) else f" ± {one.std:.{self.decimals}f}"
        return (
            f"{self.benchmark}: {row} is on average {verdict} no_contrast: {self.metric} "
            f"{one.mean:+.{self.decimals}f}{spread} (n = {one.n}), "
            f"{'below' if below else 'above'} in {better} of {one.n} seeds."
        )


def _rows(runs: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the evaluation runs with their row of the table, a sweep standing there by its chosen member."""
    evaluated = runs[runs["purpose"] == "evaluation"].assign(row=lambda frame: frame["loss"])
    is_member = evaluated.index.isin(members(evaluated).index)
    parts, notes = [evaluated[~is_member]], []
    by_loss: dict[str, list[Choice]] = {}
    for choice in choose(runs):
        by_loss.setdefault(choice.loss, []).append(choice)
    for choices in by_loss.values():
        notes += _skipped_notes(choices)
        name = row_name(choices)
        if len({choice.setting for choice in choices}) > 1:
            chosen = ", ".join(f"{choice.benchmark} {choice.value}" for choice in choices)
            notes.append(f"{name}: {chosen}.")
        for choice in choices:
            mine = runs_of(choice, evaluated)
            parts.append(mine.assign(row=name))
            if mine.empty:
                notes.append(f"{choice.benchmark}: validation chose {choice.member}, which has no evaluation run yet.")
    return pd.concat(parts), notes


def _skipped_notes(choices: Iterable[Choice]) -> list[str]:
    return [
        f"{choice.benchmark}: {choice.loss} {', '.join(choice.skipped)} did not compete, selection seeds are missing."
        for choice in choices
        if choice.skipped
    ]


def _run_name(run: pd.Series) -> str:
    return f"{run['benchmark']}/{run['loss']}/seed{run['seed']} ({run['purpose']})"


def _ordered(rows: Iterable[str], kind: str) -> list[str]:
    return sorted(rows, key=loss_order if kind == "loss" else _reference_order)


def loss_order(name: str) -> tuple[object, ...]:
    """Sort key of losses: InfoNCE and its sweep first."""
    return (not name.startswith("infonce"), natural(name))


def _reference_order(name: str) -> tuple[object, ...]:
    return (REFERENCES.index(name) if name in REFERENCES else len(REFERENCES), natural(name))


def decimals_for(values: pd.Series) -> int:
    """Return the decimals that give the column's largest value four significant digits."""
    finite: Sequence[float] = [abs(value) for value in values.dropna() if math.isfinite(value) and value != 0]
    return 4 if not finite else min(8, max(1, 3 - math.floor(math.log10(max(finite)))))


def _plain(one: Summary, decimals: int) -> str:
    return MISSING if one.n == 0 else f"{one.mean:.{decimals}f}"
