from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from suite.benchmarks.text import SentenceRepresentation
from suite.benchmarks.text.alignment import alignment_term
from suite.benchmarks.text.counterfactual import swap
from suite.benchmarks.text.data import read_sentences, read_sts
from suite.benchmarks.text.pretrained.encoder import FILES, sentence_transformer
from suite.benchmarks.text.sts import spread
from suite.benchmarks.text.task import CounterfactualTask, SentenceTask
from suite.conformance.benchmark import BenchmarkConformance
from suite.data import locate as locate_real
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.training import Context, Evaluated, evaluate, train
from tests.benchmarks.text_factory import TINY, Locate, context, scored_pairs, write_bert, write_files


class TestSimCSE(BenchmarkConformance):
    benchmark = TINY
    primary = "spearman"
    references = ("chance", "raw", "untrained", "minilm")

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.locate = write_files(tmp_path / "files")
        self.other = write_files(tmp_path / "other", test=scored_pairs(99))

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        return replace(context, data=self.other)


class TestMABEL(TestSimCSE):
    benchmark = replace(TINY, framework="mabel")


@pytest.fixture
def locate(tmp_path: Path) -> Locate:
    return write_files(tmp_path / "files")


def build(locate: Locate, seed: int = 0, settings: SentenceRepresentation = TINY) -> SentenceTask:
    return settings.task(context(locate, seed))


def test_training_spreads_the_sentences(locate: Locate) -> None:
    task = build(locate, settings=replace(TINY, epochs=10))
    before = task.diagnostics()
    train(task, InfoNCE(0.1), task.context.streams)
    after = task.diagnostics()
    assert after["uniformity"] < before["uniformity"] - 1
    assert after["effective_rank"] > before["effective_rank"]


def test_a_view_is_the_same_sentence_with_other_dropout(locate: Locate) -> None:
    task = build(locate)
    first, second = task.views(torch.arange(10))
    assert not torch.equal(first, second)
    plain = build(locate, settings=replace(TINY, dropout=0.0))
    first, second = plain.views(torch.arange(10))
    assert torch.equal(first, second)


def test_pairs_are_one_directional_and_name_their_sentences(locate: Locate) -> None:
    task = build(locate)
    pairs = task.objective(Step(0, 0, 0)).pairs
    assert pairs is not None
    assert pairs.similarity.shape == (16, 16)
    assert torch.equal(pairs.positive, torch.eye(16, dtype=torch.bool))
    assert torch.equal(pairs.index, task.batches[Step(0, 0, 0)])


def test_sentences_of_the_evaluation_are_not_trained_on(locate: Locate, tmp_path: Path) -> None:
    plain = build(locate)
    leaked = read_sentences(locate("boolq", "boolq.jsonl"))[3]
    rows = [(1.0, leaked.upper().replace(".", " !"), "another sentence"), *scored_pairs(1)]
    cleaned = build(write_files(tmp_path / "leaky", test=rows))
    assert cleaned.samples == plain.samples - 1
    expected = torch.cat([plain.tokens.tokens[:3], plain.tokens.tokens[4:]])
    assert torch.equal(cleaned.tokens.tokens, expected)


def test_mabel_trains_on_gendered_sentences_beside_their_counterfactuals(
    locate: Locate, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = build(locate, settings=replace(TINY, framework="mabel"))
    assert isinstance(task, CounterfactualTask)
    whole, half = build(locate), task.samples // 2
    assert 0 < half < whole.samples
    step = Step(0, 0, 0)
    pairs = task.objective(step).pairs
    assert pairs is not None
    assert len(pairs) == TINY.batch
    originals, others = pairs.index.chunk(2)
    assert torch.equal(others, originals + half)
    names = {number: word for word, number in task.vocabulary.number.items()}
    for original, other in zip(originals.tolist(), others.tolist(), strict=True):
        sentences = [
            " ".join(names[int(token) - 2] for token in task.tokens.tokens[row, 1 : task.tokens.lengths[row]])
            for row in (original, other)
        ]
        assert sentences[0] != sentences[1]
        assert sentences[1] == " ".join(w for w in swap(sentences[0]).split() if w in task.vocabulary.number)


def test_sentences_that_embed_as_their_counterfactuals_are_left_out_and_counted(locate: Locate) -> None:
    task = build(locate, settings=replace(TINY, framework="mabel"))
    assert isinstance(task, CounterfactualTask)
    originals, others = (half.sort(dim=1).values for half in task.tokens.tokens.chunk(2))
    assert originals.ne(others).any(dim=1).all()
    corpus = SentenceTask.originals(task)
    alike = {"in another order": "the king met the queen", "beyond the vectors": "xyzzy waiter xyzzy"}
    known = task.vocabulary.number
    assert not {"waiter", "waitress"} & known.keys()

    class More(CounterfactualTask):
        def __init__(self) -> None:
            self.vocabulary, self.settings = task.vocabulary, task.settings

    more = More()
    sentences = [*corpus, *alike.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SentenceTask, "originals", lambda self: sentences)
        kept = more.originals()
    assert kept == task.originals()
    assert more.alike == task.alike + len(alike)
    assert task.diagnostics()["counterfactuals_alike"] == task.alike


def test_the_alignment_term_agrees_with_plain_loops() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(8, 5, dtype=torch.float64), torch.randn(8, 5, dtype=torch.float64)
    rows = []
    for i in range(4):
        differences = [
            (functional.cosine_similarity(first[i], second[j], dim=0) / 0.05).item()
            - (functional.cosine_similarity(first[4 + i], second[4 + j], dim=0) / 0.05).item()
            for j in range(4)
        ]
        rows.append(sum(d * d for d in differences))
    assert alignment_term(first, second).item() == pytest.approx(np.mean(rows))
    assert alignment_term(first[:4].repeat(2, 1), second[:4].repeat(2, 1)).item() == 0.0


def test_the_alignment_term_enters_with_its_weight(locate: Locate) -> None:
    values = []
    for weight in (0.1, 0.3):
        task = build(locate, settings=replace(TINY, framework="mabel", alignment_weight=weight))
        with task.context.streams.seeded("step", 0):
            auxiliary = task.objective(Step(0, 0, 0)).auxiliary
        assert auxiliary is not None
        values.append(auxiliary.item())
    assert values[1] == pytest.approx(3 * values[0])
    assert build(locate).objective(Step(0, 0, 0)).auxiliary is None


def test_the_alignment_term_is_what_training_lowers(locate: Locate) -> None:
    terms = []
    for weight in (0.0, 1.0):
        task = build(locate, settings=replace(TINY, framework="mabel", alignment_weight=weight, epochs=6))
        train(task, InfoNCE(0.1), task.context.streams)
        with torch.no_grad():
            task.model.eval()
            index = torch.cat([torch.arange(8), torch.arange(8) + task.samples // 2])
            terms.append(alignment_term(*task.views(index)).item())
    assert terms[1] < 0.5 * terms[0], terms


def test_references_are_measured_by_the_same_evaluation(locate: Locate) -> None:
    task = build(locate)
    metrics = evaluate(task)
    for name in TestSimCSE.references:
        reference = task.reference(name)
        assert isinstance(reference, dict)
        assert reference.keys() == metrics.keys(), name
    assert task.reference("chance")["test/spearman"] == 0.0  # type: ignore[index]


def test_minilm_is_the_mean_of_the_last_hidden_states_whatever_else_is_embedded(tmp_path: Path) -> None:
    from transformers import BertModel

    write_bert(tmp_path)
    encoder = sentence_transformer(*(tmp_path / name for name in FILES), torch.device("cpu"))
    sentences = ["the man is here", "it", "the art of the woman was this science and that poetry"]
    embedded = encoder.embed(sentences)
    model = BertModel.from_pretrained(tmp_path, local_files_only=True).eval()
    for sentence, row in zip(sentences, embedded, strict=True):
        ids = torch.tensor(encoder.tokeniser.rows([sentence]))
        with torch.no_grad():
            expected: Tensor = model(input_ids=ids).last_hidden_state[0].mean(dim=0)
        assert torch.allclose(row, expected, atol=1e-6)


def test_diagnostics_are_those_of_the_validation_pairs(locate: Locate) -> None:
    task = build(locate)
    metrics = task.diagnostics()
    assert set(metrics) == {"uniformity", "effective_rank", "alignment"}
    pairs = read_sts(locate("sts_b", "sts-dev.csv"))
    distances = [
        (functional.normalize(task._embed([a]), dim=1) - functional.normalize(task._embed([b]), dim=1)).square().sum()
        for a, b, score in zip(pairs.first, pairs.second, pairs.scores, strict=True)
        if score > 4
    ]
    assert metrics["alignment"] == pytest.approx(float(torch.stack(distances).mean()), rel=1e-4)


def test_fewer_pairs_are_spread_over_the_file(locate: Locate) -> None:
    whole = read_sts(locate("sts_b", "sts-dev.csv"))
    assert spread(whole, 4).first == tuple(whole.first[row] for row in (0, 15, 30, 45))
    few = evaluate(build(locate, settings=replace(TINY, pairs=4)))
    assert isinstance(few, Evaluated)
    assert few.outcomes["val/spearman"].items == 4


def test_bias_is_left_out_when_not_asked_for(locate: Locate) -> None:
    def without(dataset: str, member: str) -> Path:
        assert dataset not in ("weat", "stereoset")
        return locate(dataset, member)

    assert set(build(without, settings=replace(TINY, bias=False)).evaluate("val")) == {"spearman"}


@pytest.mark.parametrize(
    "settings, message",
    [({"width": 15}, "heads"), ({"framework": "simcle"}, "framework"), ({"framework": "mabel", "batch": 9}, "even")],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceRepresentation(**settings)  # type: ignore[arg-type]


@pytest.mark.data
def test_raw_features_and_the_published_encoder_have_the_known_scores() -> None:
    task = SentenceRepresentation(sentences=1000, bias=False).task(context(locate_real))
    raw = task.reference("raw")
    assert isinstance(raw, dict)
    assert raw == pytest.approx({"val/spearman": 0.612, "test/spearman": 0.450}, abs=0.001)
    few = replace(task.settings, pairs=100).task(context(locate_real)).reference("minilm")
    assert isinstance(few, dict)
    assert few["val/spearman"] > 0.8
