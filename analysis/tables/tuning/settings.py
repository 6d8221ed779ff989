"""The table of settings: every loss at the same learning rate, length of training or other setting of the host."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis.evidence.choice import members, natural
from analysis.evidence.comparison import described
from analysis.evidence.gather import Evidence
from analysis.evidence.rows import loss_order
from analysis.evidence.sweeps import of_losses
from analysis.statistics.differences import paired
from analysis.tables.table import ARROWS, MISSING, Block, Cell, Summary, Table, digits_for, interval_text

COLUMNS = [
    "benchmark", "setting", "loss", "metric", "n", "mean", "std", "against", "pairs", "difference", "low", "high",
]  # fmt: skip
DECLARED = "declared"


def settings_table(evidence: Evidence) -> Table | None:
    """Compare losses at every setting that a benchmark sweeps for all of them; None where none was run.

    On test with the evaluation seeds, or on validation with the selection seeds where a benchmark's were run with these
    alone. What is declared stands first.
    """
    runs = of_losses(evidence.collected)
    if "of_host" not in runs or not runs["of_host"].any():
        return None
    swept = members(runs[runs["of_host"]])
    losses = sorted(swept["base"].unique(), key=loss_order)
    baseline = evidence.declared.baseline or "infonce"
    against = baseline if baseline in losses else losses[0]
    others = [loss for loss in losses if loss != against]
    blocks, data = [], []
    for benchmark in sorted(swept["benchmark"].unique(), key=natural):
        block, figures = _block(runs[runs["benchmark"] == benchmark], losses, against, others)
        blocks.append(block)
        data += [[benchmark, *line] for line in figures]
    return Table(
        "settings",
        evidence.profile,
        f"Settings of the host, profile {evidence.profile}: every loss at the same setting, mean ± standard deviation "
        f"over seeds (number of seeds); differences from {against} at the same setting, paired by seed, positive is "
        "better, with 95 % t-intervals that are not corrected for their number: an exploration, not a verdict.",
        ["", *losses, *(f"{loss} minus {against}" for loss in others)],
        blocks,
        data=pd.DataFrame(data, columns=COLUMNS),
        is_titled=True,
    )


def _block(
    here: pd.DataFrame, losses: Sequence[str], against: str, others: Sequence[str]
) -> tuple[Block, list[list[object]]]:
    """Return the settings of one benchmark as rows, and the same unrounded."""
    swept = members(here[here["of_host"]])
    purpose, split = ("evaluation", "test") if (swept["purpose"] == "evaluation").any() else ("selection", "val")
    metric, goal, margin = described(here)
    mine = here[here["purpose"] == purpose]
    settings = sorted(swept.loc[swept["purpose"] == purpose, "setting"].unique(), key=natural)
    names = {DECLARED: losses, **{setting: [f"{loss}@{setting}" for loss in losses] for setting in settings}}
    digits, sign = digits_for(mine[split]), -1.0 if goal == "minimise" else 1.0
    rows, figures = [], []
    for setting, members_of_losses in names.items():
        by_loss = {
            loss: mine[mine["loss"] == name].drop_duplicates("seed").set_index("seed")[split].astype(float)
            for loss, name in zip(losses, members_of_losses, strict=True)
        }
        scores = {loss: Summary.over(values) for loss, values in by_loss.items()}
        cells = [Cell(one.text(digits), value=one.mean) for one in scores.values()]
        for loss in losses:
            difference = (sign * (by_loss[loss] - by_loss[against])).dropna()
            of = paired(difference.to_numpy(dtype=float))
            one = scores[loss]
            told = (
                [against, of.n, of.mean, of.low, of.high] if loss in others else ["", 0, math.nan, math.nan, math.nan]
            )
            figures.append([setting, loss, f"{split}/{metric}", one.n, one.mean, one.std, *told])
            if loss in others:
                text = f"{of.mean:+.{digits}} {interval_text(of.low, of.high, digits)} ({of.n})"
                cells.append(Cell(text if of.n else MISSING, value=of.mean))
        rows.append((setting, cells))
    said = f", margin {margin:g}" if not math.isnan(margin) else ""
    return Block(f"{here['benchmark'].iloc[0]}: {split} {metric} {ARROWS[goal]}{said}", rows), figures
