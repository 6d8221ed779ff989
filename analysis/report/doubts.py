"""What the runs of a profile do not support, and what they lack."""

from __future__ import annotations

import pandas as pd

from analysis.evidence.choice import natural
from analysis.evidence.gather import Evidence
from analysis.tables.table import Block, Cell, Table

#: What a loss should beat: with labels, or trained by others on more, a reference may well be better.
FLOORS = ("chance", "raw", "popularity", "untrained", "pretrained", "no_contrast")
SHOWN_RUNS = 3
SHOWN_REASON = 300


def unsupported(evidence: Evidence) -> list[str]:
    """Return sentences: claims that stay open, and losses that do not beat what they should."""
    return [*_open_claims(evidence), *_below_references(evidence)]


def _open_claims(evidence: Evidence) -> list[str]:
    said = []
    for name in dict.fromkeys(verdict.claim for verdict in evidence.verdicts):
        mine = [verdict for verdict in evidence.verdicts if verdict.claim == name and verdict.benchmark]
        if not any(one.comparison is not None and one.comparison.paired.n for one in mine):
            continue  # about losses that were not run at this profile: not open, not asked
        words = next(one.declared for one in evidence.verdicts if one.claim == name).in_words()
        undecided = [f"{verdict.benchmark} ({verdict.label})" for verdict in mine if verdict.holds is None]
        overall = next(one for one in evidence.verdicts if one.claim == name and not one.benchmark)
        if undecided and overall.holds is None:
            where = f"{len(undecided)} of {len(mine)} benchmarks"
            said.append(f"Whether {words} is open on {where}: {', '.join(undecided)}.")
    return said


def _below_references(evidence: Evidence) -> list[str]:
    """Name the losses whose mean is not better than that of something that was not trained with a contrastive loss."""
    said = []
    means = evidence.rows.groupby(["benchmark", "row"])["test"].mean()
    goals = evidence.collected.runs.groupby("benchmark")[["metric", "goal"]].last()
    for benchmark in evidence.benchmarks:
        here, metric, sign = means[benchmark], goals["metric"][benchmark], _sign(goals["goal"][benchmark])
        losses = [label for label in evidence.labels if label in here]
        for floor in [name for name in evidence.references if name in FLOORS and name in here]:
            below = [label for label in losses if not sign * here[label] > sign * here[floor]]
            if not below:
                continue
            figures = ", ".join(f"{label} {here[label]:.4g}" for label in below)
            who = "no loss beats" if len(below) == len(losses) else "not every loss beats"
            said.append(f"On {benchmark}, {who} {floor} ({metric} {here[floor]:.4g}): {figures}.")
    return said


def _sign(goal: str) -> float:
    return -1.0 if goal == "minimise" else 1.0


def missing_seeds(evidence: Evidence) -> Table | None:
    """List the losses that lack evaluation seeds which others of the same benchmark have; None if there are none."""
    rows, data = [], []
    losses = evidence.rows[evidence.rows["row"].isin(evidence.labels)]
    for benchmark in evidence.benchmarks:
        here = losses[losses["benchmark"] == benchmark]
        seeds = set(here["seed"])
        for label in evidence.labels:
            lacking = sorted(seeds - set(here.loc[here["row"] == label, "seed"]))
            if lacking:
                text = "all" if len(lacking) == len(seeds) else ", ".join(map(str, lacking))
                cells = [Cell(label), Cell(f"{len(seeds) - len(lacking)} of {len(seeds)}"), Cell(text)]
                rows.append((benchmark, cells))
                data.append([benchmark, label, len(seeds) - len(lacking), len(seeds)])
    if not rows:
        return None
    return Table(
        "missing-seeds",
        evidence.profile,
        "Cells of the tables with fewer evaluation seeds than the benchmark has for other losses.",
        ["benchmark", "row", "seeds", "missing"],
        [Block("", rows)],
        data=pd.DataFrame(data, columns=["benchmark", "row", "n", "of"]),
    )


def left_out(evidence: Evidence) -> Table | None:
    """List why runs do not count, and which; None if all do."""
    runs = evidence.collected.left_out
    if runs.empty:
        return None
    names = runs["benchmark"].astype(str) + "/" + runs["loss"].astype(str) + "/seed" + runs["seed"].astype(str)
    grouped = names.groupby(runs["reason"].astype(str)).agg(list)
    rows = []
    for reason in sorted(grouped.index, key=lambda text: (-len(grouped[text]), natural(text))):
        which = sorted(grouped[reason], key=natural)
        more = f" and {len(which) - SHOWN_RUNS} more" if len(which) > SHOWN_RUNS else ""
        shown = reason if len(reason) <= SHOWN_REASON else f"{reason[:SHOWN_REASON]}…"
        rows.append((shown, [Cell(str(len(which)), value=len(which)), Cell(", ".join(which[:SHOWN_RUNS]) + more)]))
    return Table(
        "left-out",
        evidence.profile,
        f"{len(runs)} logged runs that do not enter tables, figures or verdicts, by the reason.",
        ["reason", "runs", "which"],
        [Block("", rows)],
        data=runs,
    )
