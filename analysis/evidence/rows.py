"""Which evaluation runs stand in which row of the tables: of a sweep or a search, the declared and the chosen ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from analysis.evidence.choice import (
    MEDIAN,
    MEMBER,
    VALIDATED,
    Choice,
    natural,
    runs_at,
    runs_of,
)
from analysis.evidence.searches.trials import (
    TUNED,
    Search,
    budgets,
    name_of_trial,
    still_to_run,
    trials_of,
    tuned_label,
)
from suite.registry.claims import At, Claim

DECLARED = "declared"
REFERENCES = ("chance", "raw", "popularity", "untrained", "no_contrast", "supervised", "published")
SURE = 0.95  # a choice that resampled selection seeds repeat less often is said to be uncertain
AT_ORDER = ("", DECLARED, VALIDATED, MEDIAN)  # then so many trials, and all of them
ROW_COLUMNS = ["row", "loss", "at", "kind", "benchmark", "seed", "test", "val", "run_id"]


def rows_of(
    runs: pd.DataFrame,
    choices: Sequence[Choice],
    searches: Sequence[Search] = (),
    claims: Iterable[Claim] = (),
) -> pd.DataFrame:
    """Return the evaluation runs of one profile by the row of the tables that they stand in.

    A loss whose sweep was run with selection seeds has up to three rows: as the registry declares it, the member that
    validation chose, and the one in the middle; where two of them are the same member, its runs stand in both rows.
    A loss that was searched has a row for the best by validation of all of its trials, and one for every other number
    of trials that a claim speaks of. Other members of sweeps and searches have no row, but those that a claim names.

    Parameters
    ----------
    runs : DataFrame
        From :func:`analysis.read.collect.collect`, of one profile.
    choices : sequence of Choice
        From :func:`analysis.evidence.choice.choose`.
    searches : sequence of Search
        From :func:`analysis.evidence.searches.trials.searches`.
    claims : iterable of Claim

    Returns
    -------
    DataFrame
        Columns of `ROW_COLUMNS` and all columns of `runs`, but that `loss` is the name without the member's setting.
    """
    evaluated = runs[runs["purpose"] == "evaluation"]
    labels = {choice.loss: choice.row(DECLARED) for choice in choices}
    plain = evaluated[(evaluated["kind"] != "loss") | ~evaluated["loss"].str.contains("@")]
    is_swept = plain["loss"].isin(list(labels)) & (plain["kind"] == "loss")
    declared = plain.assign(
        row=plain["loss"].mask(is_swept, plain["loss"].map(labels)), at=is_swept.map({True: DECLARED, False: ""})
    )
    parts = [declared]
    for choice in choices:
        for which in (VALIDATED, MEDIAN):
            found = runs_of(choice, evaluated, which)
            parts.append(found.assign(row=choice.row(which), at=which, loss=choice.loss))
    sides = [side for claim in claims for side in ((claim.loss, claim.loss_at), (claim.than, claim.at))]
    parts += _tuned(evaluated, searches, sides)
    parts += [_named(evaluated, name) for name in dict.fromkeys(loss for loss, _ in sides if "@" in loss)]
    return pd.concat(parts, ignore_index=True)


def _tuned(
    evaluated: pd.DataFrame, searches: Sequence[Search], sides: Iterable[tuple[str, At]]
) -> Iterator[pd.DataFrame]:
    """Yield the evaluation runs of what was chosen of all trials, and of as many as claims speak of."""
    most = budgets(searches)
    wanted = {(loss, trials) for loss, at in sides if (trials := trials_of(loss, at, most)) is not None}
    for loss, trials in sorted({*wanted, *most.items()}):
        at = TUNED if most.get(loss) == trials else str(trials)
        for one in (one for one in searches if one.loss == loss):
            trial = one.chosen(trials)
            if trial is not None:
                is_it = (evaluated["benchmark"] == one.benchmark) & (evaluated["loss"] == name_of_trial(loss, trial))
                yield evaluated[is_it].assign(row=tuned_label(loss, trials), at=at, loss=loss)


def _named(evaluated: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the evaluation runs of a member of a sweep that a claim names."""
    parts = MEMBER.fullmatch(name)
    if parts is None:
        return evaluated[:0].assign(row=name, at="")
    here = evaluated.groupby("benchmark", group_keys=False)
    found = [runs_at(runs, parts["loss"], parts["setting"]) for _, runs in here]
    return pd.concat([evaluated[:0], *found]).assign(row=name, at="", loss=name)


def label_of(rows: pd.DataFrame, loss: str, at: At, most: Mapping[str, int]) -> str:
    """Return the label of the row that a claim speaks of, or what it would be called if it was not run.

    Parameters
    ----------
    rows : DataFrame
        From :func:`rows_of`.
    loss : str
    at : str or Trials
    most : mapping of loss to trials
        From :func:`analysis.evidence.searches.trials.budgets`.
    """
    trials = trials_of(loss, at, most)
    if trials is not None:
        return tuned_label(loss, trials)
    mine = rows[(rows["loss"] == loss) & (rows["kind"] == "loss")]
    found = mine[mine["at"] == at]
    if found.empty and at == DECLARED:
        found = mine[mine["at"] == ""]
    if len(found):
        return str(found["row"].iloc[0])
    return loss if at == DECLARED else f"{loss} ({at})"


def search_notes(rows: pd.DataFrame, searches: Sequence[Search], profile: str) -> Iterator[str]:
    """Say what the rows of searches stand for, and which of them are still to be run."""
    most = budgets(searches)
    fewer = {(loss, int(at)) for loss, at in rows[["loss", "at"]].to_numpy() if str(at).isdecimal()}
    for loss, trials in sorted({*fewer, *most.items()}):
        mine = [one for one in searches if one.loss == loss]
        label = tuned_label(loss, trials)
        runs = set(rows.loc[rows["row"] == label, "benchmark"])
        there = [one for one in mine if one.benchmark in runs]
        if there:
            chosen = ", ".join(f"{one.benchmark} {one.chosen(trials)}" for one in there)
            cost = sum(one.runs_of(trials) for one in there)
            yield f"{label}: trial {chosen}; chosen on validation, 0 is the declared one; {cost} training runs."
        for one in mine if most.get(loss) == trials else ():
            if one.benchmark not in runs:
                why = still_to_run(searches, one.benchmark, loss, trials, profile)
                yield f"{one.benchmark}: {label} has no evaluation run yet: {why}."


def notes_on(rows: pd.DataFrame, choices: Sequence[Choice]) -> list[str]:
    """Say what the rows of sweeps stand for, and which of them are still to be run."""
    notes = []
    for loss in dict.fromkeys(choice.loss for choice in choices):
        mine = [choice for choice in choices if choice.loss == loss]
        for which in (VALIDATED, MEDIAN):
            chosen = ", ".join(f"{choice.benchmark} {choice.short(choice.at(which))}" for choice in mine)
            cost = sum(choice.runs for choice in mine)
            how = "chosen on validation" if which == VALIDATED else "the middle of the grid on validation"
            notes.append(f"{mine[0].row(which)}: {chosen}; {how}, {cost} training runs.")
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
    keys = {row: (*loss_order(loss), _at_order(at)) for row, loss, at in mine[["row", "loss", "at"]].to_numpy()}
    return sorted(keys, key=keys.__getitem__)


def _at_order(at: str) -> float:
    if at in AT_ORDER:
        return AT_ORDER.index(at)
    return math.inf if at == TUNED else len(AT_ORDER) + int(at)


def loss_order(name: str) -> tuple[object, ...]:
    """Sort key of losses: InfoNCE and its sweep first."""
    return (not name.startswith("infonce"), natural(name))


def reference_order(name: str) -> tuple[object, ...]:
    """Sort key of references: from chance up."""
    return (REFERENCES.index(name) if name in REFERENCES else len(REFERENCES), natural(name))


def by_seed(rows: pd.DataFrame, benchmark: str, row: str) -> pd.Series:
    """Return a row's primary test metric in one benchmark by seed."""
    mine = rows.loc[(rows["benchmark"] == benchmark) & (rows["row"] == row), ["seed", "test"]]
    return mine.set_index("seed")["test"].astype(float).sort_index()


def on_common_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores [seeds, rows] on the seeds that all of its rows have, without rows that would leave too few.

    Those have fewer than half of the seeds that most rows have.
    """
    has = scores.notna()
    shared = has[has.mean(axis=1) > 0.5]
    return (scores.loc[:, shared.mean() >= 0.5] if len(shared) else scores).dropna()


def unchosen(rows: pd.DataFrame, choices: Iterable[Choice]) -> list[tuple[Choice, str]]:
    """Return every chosen member that has no evaluation run: what is still to be run."""
    return [(choice, which) for choice in choices for which in missing(choice, rows)]


def _to_run(choice: Choice, which: str) -> str:
    member = f"{choice.loss}@{choice.at(which)}"
    what = "chose" if which == VALIDATED else "puts in the middle"
    return f"{choice.benchmark}: validation {what} {member}, which has no evaluation run yet."


def _tied(choice: Choice) -> str:
    tied = ", ".join(map(choice.short, choice.tied))
    level = f"{choice.loss} {choice.value} ties with {tied} on validation"
    return f"{choice.benchmark}: {level}; of equals the first in natural order is taken."


def _supported(choice: Choice) -> str:
    shares = ", ".join(f"{choice.short(setting)} {share:.0%}" for setting, share in choice.support)
    return f"{choice.benchmark}: of resampled selection seeds, validation would choose {choice.loss} {shares}."


def _skipped(choice: Choice) -> str:
    which = ", ".join(choice.skipped)
    return f"{choice.benchmark}: {choice.loss} {which} did not compete, selection seeds are missing."
