"""Tables of sweeps: what every setting gives, what validation chose, and what choosing costs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from analysis.evidence.choice import MEDIAN, VALIDATED, Choice, members, natural, row_label, runs_at, without_name
from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.evidence.rows import DECLARED, unchosen
from analysis.read.collect import Collected
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, decimals_for

SWEEP_COLUMNS = ["row", "benchmark", "metric", "goal", "n", "of", "mean", "std", "chosen"]
SELECTION_COLUMNS = ["row", "benchmark", "setting", "metric", "goal", "mean", "settings", "seeds", "runs", "hours"]


def swept_losses(collected: Collected) -> list[str]:
    """Return the losses of which members of a sweep were run."""
    return sorted(members(collected.runs)["base"].unique(), key=natural)


def sweep_table(evidence: Evidence, loss: str) -> Table:
    """List the settings of one loss by benchmarks: validation on the selection seeds, test on the evaluation seeds.

    A setting that is the declared one is filled in from the runs of the loss itself where it was not run as a member.
    A column without any run is left out.
    """
    runs_of_losses = _runs_of_losses(evidence)
    swept = members(runs_of_losses)
    swept = swept[swept["base"] == loss]
    chosen = {choice.benchmark: choice.setting for choice in evidence.choices if choice.loss == loss}
    settings = sorted(swept["setting"].unique(), key=natural)
    header, columns, data = [""], [], []
    for benchmark in sorted(swept["benchmark"].unique(), key=natural):
        here = runs_of_losses[runs_of_losses["benchmark"] == benchmark]
        metric, goal, _ = described(here)
        for split, purpose in (("val", "selection"), ("test", "evaluation")):
            runs = here.loc[here["purpose"] == purpose, ["loss", split, *_parameters(here)]]
            found = {setting: runs_at(runs, loss, setting)[split] for setting in settings}
            of = max(map(len, found.values()))
            if of == 0:
                continue
            header.append(f"{benchmark}: {split} {metric} {ARROWS[goal]}")
            decimals = decimals_for(pd.concat(list(found.values())))
            best = chosen.get(benchmark) if split == "val" else None
            summaries = {setting: Summary.over(values) for setting, values in found.items()}
            columns.append([Cell(summaries[s].text(decimals, of), s == best, summaries[s].mean) for s in settings])
            where = [benchmark, f"{split}/{metric}", goal]
            data += [
                [f"{loss}@{setting}", *where, one.n, of, one.mean, one.std, setting == best]
                for setting, one in summaries.items()
            ]
    rows = [(setting, [column[i] for column in columns]) for i, setting in enumerate(settings)]
    bold = " The setting chosen on validation in bold." if chosen else ""
    return Table(
        f"sweep-{loss}",
        evidence.profile,
        f"{loss}, profile {evidence.profile}: settings by benchmark, validation over the selection seeds and test over "
        f"the evaluation seeds, mean ± standard deviation (number of seeds).{bold}",
        header,
        [Block("Settings", rows)],
        [] if chosen else ["Nothing was chosen by these figures: the sweep was not run with selection seeds."],
        pd.DataFrame(data, columns=SWEEP_COLUMNS),
    )


def selection_table(evidence: Evidence) -> Table | None:
    """List what was chosen of every sweep in every benchmark, and how many runs it took; None without a sweep."""
    if not evidence.choices:
        return None
    blocks, data = [], []
    for loss in dict.fromkeys(choice.loss for choice in evidence.choices):
        mine = [choice for choice in evidence.choices if choice.loss == loss]
        rows = [line for choice in mine for line in _selected(evidence, choice)]
        blocks.append(Block(loss, [(label, cells) for label, cells, _ in rows]))
        data += [figures for _, _, figures in rows]
    return Table(
        "selection",
        evidence.profile,
        f"Hyper-parameters, profile {evidence.profile}: as the registry declares them (no run needed), as validation "
        "chose them, and the middle of the grid by validation, what an arbitrary setting would give; the mean of the "
        "primary validation metric over the selection seeds, and the training runs that the choice took. Test figures "
        "have no say.",
        ["", "setting", "validation", "of settings", "selection seeds", "training runs", "hours"],
        blocks,
        [_command(evidence.profile, *one) for one in unchosen(evidence.rows, evidence.choices)],
        pd.DataFrame(data, columns=SELECTION_COLUMNS),
    )


def _selected(evidence: Evidence, choice: Choice) -> Iterable[tuple[str, list[Cell], list[object]]]:
    losses = _runs_of_losses(evidence)
    here = losses[losses["benchmark"] == choice.benchmark]
    metric, goal, _ = described(here)
    decimals = decimals_for(here["val"])
    parameter = choice.setting.partition("=")[0]
    column = f"param.loss.{parameter}"
    own = here[here["loss"] == choice.loss][column].dropna() if column in here else pd.Series(dtype=object)
    declared = f"{parameter}={own.iloc[0]}" if len(own) else ""
    on_validation = Summary.over(runs_at(here[here["purpose"] == "selection"], choice.loss, declared)["val"])
    hours = choice.seconds / 3600
    for at, setting, mean, runs, took in (
        (DECLARED, declared, on_validation.mean, 0, 0.0),
        (VALIDATED, choice.setting, choice.mean, choice.runs, hours),
        (MEDIAN, choice.median, choice.median_mean, choice.runs, hours),
    ):
        cells = [
            Cell(without_name(setting) or MISSING),
            Cell(f"{mean:.{decimals}f}" if mean == mean else MISSING, value=mean),
            Cell(str(choice.settings), value=choice.settings),
            Cell(str(choice.seeds), value=choice.seeds),
            Cell(str(runs), value=runs),
            Cell(MISSING if math.isnan(took) else f"{took:.1f}", value=took),
        ]
        label = row_label(choice.loss, at, choice.setting)
        where = [label, choice.benchmark, setting, f"val/{metric}", goal, mean]
        yield f"{choice.benchmark}: {label}", cells, [*where, choice.settings, choice.seeds, runs, took]


def _parameters(runs: pd.DataFrame) -> list[str]:
    return [str(name) for name in runs.columns if str(name).startswith("param.loss.")]


def _runs_of_losses(evidence: Evidence) -> pd.DataFrame:
    runs = evidence.collected.runs
    return runs[runs["kind"] == "loss"]


def _command(profile: str, choice: Choice, which: str) -> str:
    member = f"{choice.loss}@{choice.at(which)}"
    return f"To be run: python -m suite run --benchmarks {choice.benchmark} --losses {member} --profile {profile}"
