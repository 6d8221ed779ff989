"""Which evaluation runs stand in which row of the tables: a sweep by its declared, validated and middle member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from analysis.evidence.choice import MEDIAN, VALIDATED, Choice, members, natural, row_label, runs_of, without_name

DECLARED = "declared"
REFERENCES = ("chance", "raw", "popularity", "untrained", "no_contrast", "supervised", "published")
SURE = 0.95  # a choice that resampled selection seeds repeat less often is said to be uncertain
AT_ORDER = ("", DECLARED, VALIDATED, MEDIAN)
ROW_COLUMNS = ["row", "loss", "at", "kind", "benchmark", "seed", "test", "val", "run_id"]


def rows_of(runs: pd.DataFrame, choices: Sequence[Choice]) -> pd.DataFrame:
    """Return the evaluation runs of one profile by the row of the tables that they stand in.

    A loss whose sweep was run with selection seeds has up to three rows: as the registry declares it, the member that
    validation chose, and the one in the middle; where two of them are the same member, its runs stand in both rows.
    Other members of sweeps have no row.

    Parameters
    ----------
    runs : DataFrame
        From :func:`analysis.read.collect.collect`, of one profile.
    choices : sequence of Choice
        From :func:`analysis.evidence.choice.choose`.

    Returns
    -------
    DataFrame
        Columns of `ROW_COLUMNS` and all columns of `runs`, but that `loss` is the name without the member's setting.
    """
    evaluated = runs[runs["purpose"] == "evaluation"]
    labels = {choice.loss: row_label(choice.loss, DECLARED, choice.setting) for choice in choices}
    plain = evaluated[~evaluated.index.isin(members(evaluated).index)]
    is_swept = plain["loss"].isin(list(labels)) & (plain["kind"] == "loss")
    declared = plain.assign(
        row=plain["loss"].mask(is_swept, plain["loss"].map(labels)), at=is_swept.map({True: DECLARED, False: ""})
    )
    parts = [declared]
    for choice in choices:
        for which in (VALIDATED, MEDIAN):
            found = runs_of(choice, evaluated, which)
            label = row_label(choice.loss, which, choice.setting)
            parts.append(found.assign(row=label, at=which, loss=choice.loss))
    return pd.concat(parts, ignore_index=True)


def notes_on(rows: pd.DataFrame, choices: Sequence[Choice]) -> list[str]:
    """Say what the rows of sweeps stand for, and which of them are still to be run."""
    notes = []
    for loss in dict.fromkeys(choice.loss for choice in choices):
        mine = [choice for choice in choices if choice.loss == loss]
        for which in (VALIDATED, MEDIAN):
            chosen = ", ".join(f"{choice.benchmark} {without_name(choice.at(which))}" for choice in mine)
            cost = sum(choice.runs for choice in mine)
            how = "chosen on validation" if which == VALIDATED else "the middle of the grid on validation"
            notes.append(f"{row_label(loss, which, mine[0].setting)}: {chosen}; {how}, {cost} training runs.")
        notes += [_to_run(choice, which) for choice in mine for which in missing(choice, rows)]
        notes += [_skipped(choice) for choice in mine if choice.skipped]
        notes += [_tied(choice) for choice in mine if choice.tied]
        notes += [_supported(choice) for choice in mine if choice.support and choice.support[0][1] < SURE]
    return notes


def missing(choice: Choice, rows: pd.DataFrame) -> list[str]:
    """Return which of the chosen members have no evaluation run."""
    here = rows[(rows["benchmark"] == choice.benchmark) & (rows["loss"] == choice.loss)]
    return [which for which in (VALIDATED, MEDIAN) if not (here["at"] == which).any()]


def labels_of(rows: pd.DataFrame, kind: str) -> list[str]:
    """Return the labels of the losses' or the references' rows in the order of the tables."""
    mine = rows[rows["kind"] == kind].drop_duplicates("row")
    if kind == "reference":
        return sorted(mine["row"], key=reference_order)
    keys = {row: (*loss_order(loss), AT_ORDER.index(at)) for row, loss, at in mine[["row", "loss", "at"]].to_numpy()}
    return sorted(keys, key=keys.__getitem__)


def loss_order(name: str) -> tuple[object, ...]:
    """Sort key of losses: InfoNCE and its sweep first."""
    return (not name.startswith("infonce"), natural(name))


def reference_order(name: str) -> tuple[object, ...]:
    """Sort key of references: from chance up."""
    return (REFERENCES.index(name) if name in REFERENCES else len(REFERENCES), natural(name))


def by_seed(rows: pd.DataFrame, benchmark: str, row: str, split: str = "test") -> pd.Series:
    """Return a row's primary metric in one benchmark by seed."""
    mine = rows.loc[(rows["benchmark"] == benchmark) & (rows["row"] == row), ["seed", split]]
    return mine.set_index("seed")[split].astype(float).sort_index()


def unchosen(rows: pd.DataFrame, choices: Iterable[Choice]) -> list[tuple[Choice, str]]:
    """Return every chosen member that has no evaluation run: what is still to be run."""
    return [(choice, which) for choice in choices for which in missing(choice, rows)]


def _to_run(choice: Choice, which: str) -> str:
    member = f"{choice.loss}@{choice.at(which)}"
    what = "chose" if which == VALIDATED else "puts in the middle"
    return f"{choice.benchmark}: validation {what} {member}, which has no evaluation run yet."


def _tied(choice: Choice) -> str:
    tied = ", ".join(without_name(setting) for setting in choice.tied)
    level = f"{choice.loss} {choice.value} ties with {tied} on validation"
    return f"{choice.benchmark}: {level}; of equals the first in natural order is taken."


def _supported(choice: Choice) -> str:
    shares = ", ".join(f"{without_name(setting)} {share:.0%}" for setting, share in choice.support)
    return f"{choice.benchmark}: of resampled selection seeds, validation would choose {choice.loss} {shares}."


def _skipped(choice: Choice) -> str:
    which = ", ".join(choice.skipped)
    return f"{choice.benchmark}: {choice.loss} {which} did not compete, selection seeds are missing."
