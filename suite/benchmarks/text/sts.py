"""The seven tasks of semantic textual similarity that sentence encoders report, and their mean."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np

from suite.benchmarks.text.data import ScoredPairs, read_sts
from suite.benchmarks.text.evaluate import Embed, sts_metrics
from suite.training import Evaluated

#: ``sts_b``: the STS Benchmark alone. ``seven``: SimCSE's seven tasks.
Tasks = Literal["sts_b", "seven"]
Split = Literal["val", "test"]
Locate = Callable[[str, str], Path]

#: Parts of the tasks of SemEval 2012 to 2016. As in SimCSE, 2013 is without its pairs of machine translation; unlike
#: there, 2012 is without the 750 pairs of MSRvid, which the copy that is fetched lacks.
YEARS: Final[Mapping[str, tuple[str, ...]]] = {
    "2012": ("MSRpar", "OnWN", "SMTeuroparl", "SMTnews"),
    "2013": ("FNWN", "OnWN", "headlines"),
    "2014": ("OnWN", "deft-forum", "deft-news", "headlines", "images", "tweet-news"),
    "2015": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "2016": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
STS_B: Final[Mapping[Split, str]] = {"val": "sts-dev.csv", "test": "sts-test.csv"}
SICK: Final[Mapping[Split, str]] = {"val": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}

_SICK_COLUMNS = ("sentence_A", "sentence_B", "relatedness_score")


@lru_cache(maxsize=32)
def read_semeval(path: Path) -> ScoredPairs:
    """Read a part of STS 2012 to 2016: score, tab, sentence, tab, sentence a line; once a process.

    Pairs without a score, which SemEval's annotators did not rate, are left out. Sentences are never quoted.

    Raises
    ------
    ValueError
        If a line has other columns, or a score is not a number from 0 to 5.
    """
    rows = []
    with path.open(encoding="utf-8", newline="") as lines:
        for number, line in enumerate(lines, start=1):
            columns = line.rstrip("\r\n").split("\t")
            if len(columns) != 3:
                raise ValueError(f"{path}, line {number}: {len(columns)} columns, 3 expected")
            if columns[0].strip():
                rows.append((_score(columns[0], path, number, 0.0), columns[1].strip(), columns[2].strip()))
    return _pairs(rows)


@lru_cache(maxsize=4)
def read_sick(path: Path) -> ScoredPairs:
    """Read a part of SICK (Marelli et al. 2014): tabs, with a header; relatedness from 1 to 5; once a process.

    Raises
    ------
    ValueError
        If a column is missing or a score is not a number from 1 to 5.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if lacking := set(_SICK_COLUMNS) - set(reader.fieldnames or ()):
            raise ValueError(f"{path}, line 1: SICK has columns {', '.join(sorted(lacking))}")
        return _pairs(
            [
                (_score(row["relatedness_score"], path, number, 1.0), row["sentence_A"], row["sentence_B"])
                for number, row in enumerate(reader, start=2)
            ]
        )


def read_tasks(data: Locate, tasks: Tasks, split: Split) -> dict[str, ScoredPairs]:
    """Read the tasks that have a part for `split`, by name: ``sts_b``, ``sick_r``, ``sts12``, ...

    Validation is the development part of STS-B and, of the seven, the trial part of SICK; STS12 to STS16 have no
    other part than test.

    Parameters
    ----------
    data : callable (dataset, member) -> Path
    tasks : Tasks
    split : "val" or "test"
    """
    found = {"sts_b": read_sts(data("sts_b", STS_B[split]))}
    if tasks == "sts_b":
        return found
    found["sick_r"] = read_sick(data("sick", SICK[split]))
    if split == "test":
        for year, parts in YEARS.items():
            files = [data("sts12_16", f"{year}/{part}.test.tsv") for part in parts]
            found[f"sts{year[2:]}"] = joined([read_semeval(file) for file in files])
    return found


def test_only(tasks: Tasks) -> tuple[str, ...]:
    """Return the names of the metrics that have no validation part."""
    return () if tasks == "sts_b" else tuple(f"spearman_sts{year[2:]}" for year in YEARS)


def spread(pairs: ScoredPairs, most: int) -> ScoredPairs:
    """Return at most so many of the pairs, evenly spread over them."""
    kept = min(most, len(pairs))
    return pairs.where(np.arange(kept) * len(pairs) // kept)


def joined(parts: Sequence[ScoredPairs]) -> ScoredPairs:
    """Return the pairs of several parts, one part behind the other."""
    first, second = (tuple(chain.from_iterable(getattr(part, name) for part in parts)) for name in ("first", "second"))
    return ScoredPairs(first, second, np.concatenate([part.scores for part in parts]))


def tasks_metrics(embed: Embed, pairs: Mapping[str, ScoredPairs]) -> Evaluated:
    """Return ``spearman`` of STS-B and, where there are more tasks, ``spearman_<task>`` and their mean.

    The protocol of SimCSE (Gao et al. 2021, arXiv 2104.08821, appendix B, "all"): the pairs of all parts of a task in
    one ranking, no regression on top. ``spearman_average`` is the mean over the tasks that are there: the seven for
    test, the two with a development part for validation.

    Parameters
    ----------
    embed : callable (sentences) -> Tensor [sentences, D]
    pairs : mapping of task to ScoredPairs
        ``sts_b`` among them.
    """
    found = {task: sts_metrics(embed, of_task) for task, of_task in pairs.items()}
    benchmark = found.pop("sts_b")
    metrics, outcomes = dict(benchmark), dict(benchmark.outcomes)
    for task, evaluated in found.items():
        metrics[f"spearman_{task}"] = evaluated["spearman"]
        outcomes[f"spearman_{task}"] = evaluated.outcomes["spearman"]
    if found:
        each = [benchmark["spearman"], *(evaluated["spearman"] for evaluated in found.values())]
        metrics["spearman_average"] = float(np.mean(each))
    return Evaluated(metrics, outcomes)


def _score(text: str, path: Path, number: int, least: float) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not least <= score <= 5:
        raise ValueError(f"{path}, line {number}: score {text!r} is not a number from {least:g} to 5")
    return score


def _pairs(rows: Sequence[tuple[float, str, str]]) -> ScoredPairs:
    scores, first, second = zip(*rows, strict=True) if rows else ((), (), ())
    return ScoredPairs(first, second, np.array(scores))
