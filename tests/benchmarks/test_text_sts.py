from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.text import SevenTaskRepresentation
from suite.benchmarks.text.data import ScoredPairs
from suite.benchmarks.text.occupations import OCCUPATIONS, gender_gap, templates
from suite.benchmarks.text.pretrained.corpus import TokenisedItems, tokenised, with_counterfactuals
from suite.benchmarks.text.sts import YEARS, read_semeval, read_sick, read_tasks, tasks_metrics
from suite.training import Evaluated, evaluate
from tests.benchmarks.pretrained_factory import write_pretrained_files, write_semeval, write_sick
from tests.benchmarks.text_factory import TINY, context, scored_pairs

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def letters(sentences: Sequence[str]) -> Tensor:
    return torch.tensor([[sentence.count(letter) for letter in LETTERS] for sentence in sentences], dtype=torch.float32)


def test_pairs_that_nobody_rated_are_left_out(tmp_path: Path) -> None:
    rows = scored_pairs(3, 12)
    pairs = read_semeval(write_semeval(tmp_path / "part.tsv", rows))
    kept = [row for number, row in enumerate(rows) if number % 5 != 4]
    assert pairs.first == tuple(first for _, first, _ in kept)
    assert pairs.scores.tolist() == [score for score, _, _ in kept]


@pytest.mark.parametrize(
    "line, message", [("3\tone sentence\n", "line 2: 2 columns"), ("7\ta\tb\n", "line 2: score '7'")]
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "part.tsv"
    path.write_text('2.5\tsaid "so\tit "is"\n' + line)
    with pytest.raises(ValueError, match=message):
        read_semeval(path)


def test_sick_is_read_by_its_header(tmp_path: Path) -> None:
    rows = scored_pairs(4, 6)
    pairs = read_sick(write_sick(tmp_path / "sick.txt", rows))
    assert pairs.second == tuple(second for _, _, second in rows)
    assert pairs.scores.min() >= 1
    broken = tmp_path / "broken.txt"
    broken.write_text("pair_ID\tsentence_A\trelatedness_score\n")
    with pytest.raises(ValueError, match="line 1: SICK has columns sentence_B"):
        read_sick(broken)


def test_the_seven_tasks_are_ranked_whole_and_averaged(tmp_path: Path) -> None:
    data = write_pretrained_files(tmp_path / "files")
    tasks = read_tasks(data, "seven", "test")
    assert list(tasks) == ["sts_b", "sick_r", "sts12", "sts13", "sts14", "sts15", "sts16"]
    assert [len(tasks[f"sts{year[2:]}"]) for year in YEARS] == [10 * len(parts) for parts in YEARS.values()]
    metrics = tasks_metrics(letters, tasks)
    single = {task: tasks_metrics(letters, {"sts_b": pairs})["spearman"] for task, pairs in tasks.items()}
    assert metrics["spearman"] == single["sts_b"]
    assert metrics["spearman_average"] == pytest.approx(np.mean(list(single.values())))
    assert metrics["spearman_sts15"] == single["sts15"]
    assert metrics.outcomes["spearman_sts15"].items == 50
    assert list(read_tasks(data, "seven", "val")) == ["sts_b", "sick_r"]
    assert list(read_tasks(data, "sts_b", "test")) == ["sts_b"]


def test_word_vectors_are_evaluated_on_the_seven_tasks_by_request(tmp_path: Path) -> None:
    data = write_pretrained_files(tmp_path / "files")
    metrics = evaluate(SevenTaskRepresentation(**asdict(replace(TINY, bias=False))).task(context(data)))
    assert {f"test/spearman_{task}" for task in ("average", "sick_r", "sts12", "sts16")} <= metrics.keys()
    assert {name for name in metrics if name.startswith("val/")} == {
        f"val/{name}" for name in ("spearman", "spearman_average", "spearman_sick_r")
    }


def test_occupations_are_filled_into_what_a_man_or_a_woman_does() -> None:
    found = templates(
        ["A man is running.", "A woman is running.", "A man is kissing his wife.", "The man is here.", "A man is out."],
        5,
    )
    assert found == [" is running."]
    actions = [f"A man is {word}ing." for word in ("runn", "walk", "talk", "eat")]
    assert templates(actions, 2) == [" is running.", " is talking."]
    with pytest.raises(ValueError, match="no sentence such as"):
        templates(["The end."], 5)


def test_the_gender_gap_agrees_with_plain_loops() -> None:
    def cosine(first: str, second: str) -> float:
        a, b = letters([first, second]).double()
        return float(a @ b / a.norm() / b.norm())

    actions = [" is running.", " is eating."]
    gaps = []
    for action in actions:
        for occupation in OCCUPATIONS:
            sentence = f"{'An' if occupation[0] in 'aeiou' else 'A'} {occupation}{action}"
            gaps.append(abs(cosine(sentence, f"A man{action}") - cosine(sentence, f"A woman{action}")) / 0.5)
    found = gender_gap(letters, actions, 0.5)
    assert found["gender_gap"] == pytest.approx(np.mean(gaps))
    assert found.outcomes["gender_gap"].values == pytest.approx(np.array(gaps))
    assert isinstance(found, Evaluated)
    assert gender_gap(lambda sentences: torch.ones(len(sentences), 2), actions, 0.0)["gender_gap"] == 0.0


def tokens(sentences: object) -> list[list[int]]:
    """The first five words of each sentence, by their letters."""
    return [[sum(map(ord, word)) for word in sentence.split()[:5]] for sentence in sentences]  # type: ignore[attr-defined]


def test_items_that_embed_alike_are_left_out() -> None:
    sentences = ["a man is here", "a woman is here", "it is there", "one two three four five man", "a son is there"]
    found = with_counterfactuals([(sentence,) for sentence in sentences], tokens)
    assert found == TokenisedItems(
        first=tokens(["a man is here", "a son is there", "a woman is here", "a daughter is there"]),
        second=tokens(["a man is here", "a son is there", "a woman is here", "a daughter is there"]),
        alike=2,
    )
    pairs = [("a man is here", "he is here"), ("a man is there", "it is there"), ("it is", "she is")]
    assert with_counterfactuals(pairs, tokens) == TokenisedItems(
        first=tokens(["a man is here", "a woman is here"]), second=tokens(["he is here", "she is here"]), alike=2
    )


def test_sentences_of_the_same_tokens_are_trained_on_once() -> None:
    found = tokenised([("a b c d e f",), ("a b c d e g",), ("a b c",)], tokens)
    assert (found.first, found.alike) == (tokens(["a b c d e", "a b c"]), 1)
    assert found.second is found.first
    pair = tokenised([("a", "b"), ("a", "c")], tokens)
    assert (pair.first, pair.second, pair.alike) == (tokens(["a", "a"]), tokens(["b", "c"]), 0)


def test_pairs_of_one_score_are_an_error() -> None:
    pairs = ScoredPairs(("a", "b"), ("c", "d"), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="all 2 pairs have the score 1"):
        tasks_metrics(letters, {"sts_b": pairs})
