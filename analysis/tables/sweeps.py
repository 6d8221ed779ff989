"""Tables of sweeps: what every setting gives, what validation chose, and what choosing costs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from analysis.evidence.choice import Choice
from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.evidence.rows import unchosen
from analysis.evidence.sweeps import of_losses, selected, swept_columns
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, digits_for

TO_RUN = "To be run: "
"""Begins the notes that name a command."""

SWEEP_COLUMNS = ["row", "benchmark", "metric", "goal", "n", "of", "mean", "std", "chosen"]
SELECTION_COLUMNS = ["row", "benchmark", "setting", "metric", "goal", "mean", "settings", "seeds", "runs", "hours"]


def sweep_table(evidence: Evidence, loss: str) -> Table:
    """List the settings of one loss by benchmarks: validation on the selection seeds, test on the evaluation seeds.

    A setting that is the declared one is filled in from the runs of the loss itself where it was not run as a member.
    A column without any run is left out.
    """
    settings, swept = swept_columns(evidence.collected, evidence.choices, loss)
    is_chosen = any(choice.loss == loss for choice in evidence.choices)
    header, columns, data = [""], [], []
    for one in swept:
        header.append(f"{one.benchmark}: {one.split} {one.metric} {ARROWS[one.goal]}")
        digits = digits_for(pd.concat(list(one.values.values())))
        best = one.chosen if one.split == "val" else None
        summaries = {setting: Summary.over(values) for setting, values in one.values.items()}
        columns.append([Cell(summaries[s].text(digits, one.of), s == best, summaries[s].mean) for s in settings])
        where = [one.benchmark, f"{one.split}/{one.metric}", one.goal]
        data += [
            [f"{loss}@{setting}", *where, of.n, one.of, of.mean, of.std, setting == best]
            for setting, of in summaries.items()
        ]
    rows = [(setting, [column[i] for column in columns]) for i, setting in enumerate(settings)]
    bold = " The setting chosen on validation in bold." if is_chosen else ""
    return Table(
        f"sweep-{loss}",
        evidence.profile,
        f"{loss}, profile {evidence.profile}: settings by benchmark, validation over the selection seeds and test over "
        f"the evaluation seeds, mean ± standard deviation (number of seeds).{bold}",
        header,
        [Block("Settings", rows)],
        [] if is_chosen else ["Nothing was chosen by these figures: the sweep was not run with selection seeds."],
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
        list(dict.fromkeys(_command(evidence.profile, *one) for one in unchosen(evidence.rows, evidence.choices))),
        pd.DataFrame(data, columns=SELECTION_COLUMNS),
    )


def _selected(evidence: Evidence, choice: Choice) -> Iterable[tuple[str, list[Cell], list[object]]]:
    losses = of_losses(evidence.collected)
    here = losses[losses["benchmark"] == choice.benchmark]
    metric, goal, _ = described(here)
    digits = digits_for(here["val"])
    for one in selected(here, choice):
        hours = one.seconds / 3600
        cells = [
            Cell(choice.short(one.setting) or MISSING),
            Cell(MISSING if math.isnan(one.mean) else f"{one.mean:.{digits}}", value=one.mean),
            Cell(str(choice.settings), value=choice.settings),
            Cell(str(choice.seeds), value=choice.seeds),
            Cell(str(one.runs), value=one.runs),
            Cell(MISSING if math.isnan(hours) else f"{hours:.1f}", value=hours),
        ]
        label = choice.row(one.at)
        where = [label, choice.benchmark, one.setting, f"val/{metric}", goal, one.mean]
        yield f"{choice.benchmark}: {label}", cells, [*where, choice.settings, choice.seeds, one.runs, hours]


def _command(profile: str, choice: Choice, which: str) -> str:
    member = f"{choice.loss}@{choice.at(which)}"
    return f"{TO_RUN}python -m suite run --benchmarks {choice.benchmark} --losses {member} --profile {profile}"
