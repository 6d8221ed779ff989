from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.benchmarks.text.pretrained.bert import Bert, load_bert
from suite.benchmarks.text.pretrained.encoder import FILES, Tokeniser
from suite.benchmarks.text.pretrained.masked import (
    crows_pairs_metrics,
    masked_stereoset_metrics,
    own_tokens,
    read_crows_pairs,
)
from suite.benchmarks.text.pretrained.packed import Packed
from suite.benchmarks.text.pretrained.training import ASKED, exact_alignment_term, masked_term
from suite.benchmarks.text.stereoset import read_stereoset
from tests.benchmarks.pretrained_factory import write_blanks, write_crows_pairs
from tests.benchmarks.text_factory import SPECIAL, write_bert
from tests.processes import results

CPU = torch.device("cpu")
SENTENCES = ["the man is here", "it", "the art of the woman was this science and that poetry"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    write_bert(folder, has_head=True)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Bert:
    return load_bert(folder / FILES[0], folder / FILES[2], CPU, has_head=True).eval()


@pytest.fixture(scope="module")
def tokeniser(folder: Path) -> Tokeniser:
    return Tokeniser(folder / FILES[1], 300)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    """What transformers makes of the same files."""
    from transformers import BertForMaskedLM

    return BertForMaskedLM.from_pretrained(folder, local_files_only=True).eval()


def test_hidden_states_and_logits_are_those_of_transformers(model: Bert, tokeniser: Tokeniser, theirs: Any) -> None:
    rows = tokeniser.rows(SENTENCES)
    with torch.no_grad():
        hidden = model(Packed.of(rows, CPU))
        logits = model.logits(hidden.values)
        place = 0
        for row in rows:
            out = theirs(input_ids=torch.tensor([row]), output_hidden_states=True)
            mine = slice(place, place := place + len(row))
            assert torch.allclose(hidden.values[mine], out.hidden_states[-1][0], atol=1e-5)
            assert torch.allclose(logits[mine], out.logits[0], atol=1e-5)


def test_a_sentence_is_embedded_alike_whatever_is_beside_it(model: Bert, tokeniser: Tokeniser) -> None:
    packed = Packed.of(tokeniser.rows(SENTENCES), CPU)
    with torch.no_grad():
        together = model(packed)
        for number in range(len(SENTENCES)):
            rows = torch.tensor([number])
            assert torch.allclose(model(packed[rows]).values, together[rows].values, atol=1e-6)


def test_packed_sentences_are_taken_apart_and_joined() -> None:
    rows = [[5, 6, 7], [8], [9, 10]]
    packed = Packed.of(rows, CPU)
    assert packed[torch.tensor([2, 0])].values.tolist() == [9, 10, 5, 6, 7]
    assert packed.join(packed[torch.tensor([1])]).lengths.tolist() == [3, 1, 2, 1]
    assert packed.within.tolist() == [0, 1, 2, 0, 0, 1]
    vectors = packed.with_values(torch.arange(12.0).view(6, 2))
    assert vectors.first().tolist() == [[0, 1], [6, 7], [8, 9]]
    assert vectors.mean().tolist() == [[2, 3], [6, 7], [9, 10]]


@pytest.mark.parametrize(
    "change, message",
    [({"model_type": "roberta"}, "roberta"), ({"hidden_act": "relu"}, "relu"), ({"hidden_size": 4}, "not the weights")],
)
def test_another_architecture_is_refused(folder: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((folder / FILES[0]).read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load_bert(tmp_path / "config.json", folder / FILES[2], CPU)


def test_a_model_without_a_head_for_masked_words_says_so(tmp_path: Path) -> None:
    write_bert(tmp_path)
    files = tmp_path / FILES[0], tmp_path / FILES[2]
    with pytest.raises(ValueError, match="no head for masked words"):
        load_bert(*files, CPU, has_head=True)
    with pytest.raises(ValueError, match="no head"):
        load_bert(*files, CPU).logits(torch.zeros(1, 8))
    with pytest.raises(ValueError, match="3 of 2 layers"):
        load_bert(*files, CPU, frozen=3)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"model\.safetensors: no file of safetensors"):
        load_bert(*files, CPU)


def probability(theirs: Any, row: list[int], place: int, mask: int) -> float:
    ids = torch.tensor([row])
    ids[0, place] = mask
    with torch.no_grad():
        logits: Tensor = theirs(input_ids=ids).logits[0, place].double()
    return float(logits.softmax(0)[row[place]])


def test_crows_pairs_agrees_with_bias_bench_by_plain_loops(
    model: Bert, tokeniser: Tokeniser, theirs: Any, tmp_path: Path
) -> None:
    pairs = read_crows_pairs(write_crows_pairs(tmp_path / "crows.csv"))
    assert len(pairs) == 3
    right, mask = [], SPECIAL.index("[MASK]")
    for more, less in pairs:
        rows = tokeniser.rows([more, less])
        scores = []
        for row, other in (rows, rows[::-1]):
            places = [place for place in range(len(row)) if row[place] != other[place]]
            scores.append(round(float(np.mean([np.log(probability(theirs, row, p, mask)) for p in places])), 3))
        right.append(scores[0] > scores[1])
    metrics = crows_pairs_metrics(model, tokeniser, pairs)
    assert metrics == {"crows_pairs": pytest.approx(np.mean(right))}
    assert metrics.outcomes["crows_pairs"].values.tolist() == right


def test_a_model_that_knows_nothing_is_at_chance_in_crows_pairs(folder: Path, tokeniser: Tokeniser) -> None:
    flat = load_bert(folder / FILES[0], folder / FILES[2], CPU, has_head=True)
    with torch.no_grad():
        for parameter in flat.parameters():
            parameter.zero_()
    assert crows_pairs_metrics(flat, tokeniser, [("the man is here", "the woman is here")]) == {"crows_pairs": 0.5}


def test_a_pair_whose_sentence_has_no_token_of_its_own_is_left_out(model: Bert, tokeniser: Tokeniser) -> None:
    with pytest.raises(ValueError, match="no pair"):
        crows_pairs_metrics(model, tokeniser, [("the man is here", "the man is")])
    assert own_tokens([1, 2, 3], [1, 4, 5, 3]) == ([1], [1, 2])
    first, second = [1, 2, 3, 9, 9, 4], [1, 3, 3, 9, 4, 4]
    equal = [op[1:3] for op in SequenceMatcher(None, first, second).get_opcodes() if op[0] == "equal"]
    shared = {place for begin, end in equal for place in range(begin, end)}
    assert own_tokens(first, second)[0] == [place for place in range(6) if place not in shared]


def test_crows_pairs_without_a_column_or_a_kind_is_named(tmp_path: Path) -> None:
    path = write_crows_pairs(tmp_path / "crows.csv")
    with pytest.raises(ValueError, match="no pair of the kind 'shoe size'"):
        read_crows_pairs(path, "shoe size")
    path.write_text("sent_more,bias_type\n")
    with pytest.raises(ValueError, match="line 1: CrowS-Pairs has columns sent_less"):
        read_crows_pairs(path, "age")


def test_stereoset_asks_for_the_word_in_the_blank(
    model: Bert, tokeniser: Tokeniser, theirs: Any, tmp_path: Path
) -> None:
    items = read_stereoset(write_blanks(tmp_path / "stereoset.jsonl"))
    mask = SPECIAL.index("[MASK]")
    ss, lm = [], []
    for item in items:
        scores = []
        for sentence in item.completions:
            (row,) = tokeniser.rows([sentence])
            scores.append(probability(theirs, row, 4, mask))
        ss.append(scores[0] > scores[1])
        lm.append(((scores[0] > scores[2]) + (scores[1] > scores[2])) / 2)
    mean_ss, mean_lm = float(np.mean(ss)), float(np.mean(lm))
    assert masked_stereoset_metrics(model, tokeniser, items) == pytest.approx(
        {
            "stereoset_ss": mean_ss,
            "stereoset_lm": mean_lm,
            "stereoset_icat": mean_lm * min(mean_ss, 1 - mean_ss) / 0.5,
        }
    )


def test_masked_words_are_drawn_among_the_text_alone(model: Bert, tokeniser: Tokeniser) -> None:
    tokens = Packed.of(tokeniser.rows(SENTENCES * 40), CPU)
    seen: list[Tensor] = []

    class Noting(Bert):
        def forward(self, tokens: Packed) -> Packed:
            seen.append(tokens.values)
            return super().forward(tokens)

    noting = Noting(model.config, has_head=True)
    noting.load_state_dict(model.state_dict())
    torch.manual_seed(0)
    term = masked_term(noting, tokens, tokeniser.number("[MASK]"), tokeniser.special)
    is_framing = torch.isin(tokens.values, torch.tensor([SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")]))
    assert torch.equal(seen[0][is_framing], tokens.values[is_framing])
    share = (seen[0] == SPECIAL.index("[MASK]")).double().sum() / (~is_framing).sum()
    assert 0.08 < float(share) < 0.16
    assert float(term.detach()) > 0
    only_framing = Packed.of(tokeniser.rows([""]), CPU)
    nothing = masked_term(noting, only_framing, tokeniser.number("[MASK]"), tokeniser.special)
    assert float(nothing.detach()) == 0.0
    with pytest.raises(ValueError, match=r"no token '\[PAUSE\]'"):
        tokeniser.number("[PAUSE]")


SHARES = [(SENTENCES, SENTENCES * 20), ([""], SENTENCES), ([""], [""])]
"""What each of two processes has of a batch; nothing is asked for of an empty sentence."""


def masked_terms(number: int, folder: Path) -> list[float]:
    """Return one process's term of each batch."""
    model = load_bert(folder / FILES[0], folder / FILES[2], CPU, has_head=True).eval()
    tokeniser = Tokeniser(folder / FILES[1], 300)
    terms = []
    for sentences in SHARES:
        torch.manual_seed(number)
        tokens = Packed.of(tokeniser.rows(sentences[number]), CPU)
        terms.append(masked_term(model, tokens, tokeniser.number("[MASK]"), tokeniser.special).item())
    return terms


def asked_in(number: int, sentences: list[str], tokeniser: Tokeniser) -> int:
    """Return of how many tokens a process is asked."""
    torch.manual_seed(number)
    values = Packed.of(tokeniser.rows(sentences), CPU).values
    is_text = ~torch.isin(values, torch.tensor(tokeniser.special))
    return int(((torch.rand(2, len(values))[0] < ASKED) & is_text).sum())


def test_masked_words_weigh_alike_whichever_process_has_them(
    folder: Path, tokeniser: Tokeniser, tmp_path: Path
) -> None:
    for name in FILES:
        (tmp_path / name).symlink_to(folder / name)
    both = zip(*results(2, masked_terms, tmp_path), strict=True)
    alone = zip(*(masked_terms(number, tmp_path) for number in range(2)), strict=True)
    for shares, spread, means in zip(SHARES, both, alone, strict=True):
        asked = [asked_in(number, sentences, tokeniser) for number, sentences in enumerate(shares)]
        total = sum(mean * count for mean, count in zip(means, asked, strict=True))
        assert sum(spread) / 2 == pytest.approx(total / max(1, sum(asked)))


def test_the_alignment_term_is_exact_also_under_autocast() -> None:
    torch.manual_seed(0)
    originals = 2.0 + torch.randn(8, 64)  # in a narrow cone, as sentence vectors of a BERT lie
    views = torch.cat([originals, originals + 0.01 * torch.randn(8, 64)])
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [views.to(dtype).requires_grad_() for _ in range(2)]
        exact = exact_alignment_term(*(leaf.double() for leaf in leaves))
        with torch.autocast("cpu", torch.bfloat16):
            term = exact_alignment_term(*leaves)
        assert term.dtype == torch.float32
        assert term.item() == pytest.approx(exact.item(), rel=1e-4)
        gradients = (torch.autograd.grad(value, leaves[0])[0].double() for value in (term, exact))
        torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-4)
