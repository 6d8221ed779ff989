from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from suite.benchmarks.text import PretrainedRepresentation
from suite.benchmarks.text.alignment import alignment_term
from suite.benchmarks.text.occupations import OCCUPATIONS
from suite.benchmarks.text.pretrained.task import PretrainedTask, unbiased
from suite.conformance.benchmark import BenchmarkConformance
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.training import Context, Evaluated, evaluate, train
from tests.benchmarks.pretrained_factory import (
    TINY_HOST,
    TINY_MABEL,
    TINY_SIMCSE,
    write_blanks,
    write_pretrained_files,
)
from tests.benchmarks.text_factory import Locate, context, scored_pairs


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    return with_blanks(write_pretrained_files(tmp_path_factory.mktemp("files") / "a"), tmp_path_factory)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Locate:
    folder = tmp_path_factory.mktemp("other") / "a"
    return with_blanks(write_pretrained_files(folder, test=scored_pairs(99)), tmp_path_factory)


def with_blanks(locate: Locate, folders: pytest.TempPathFactory) -> Locate:
    stereoset = write_blanks(folders.mktemp("blanks") / "stereoset.jsonl")
    return lambda dataset, member: stereoset if dataset == "stereoset" else locate(dataset, member)


class TestSimCSE(BenchmarkConformance):
    benchmark = TINY_SIMCSE
    primary = "spearman_average"
    references = ("chance", "raw", "untrained")
    test_only = tuple(f"spearman_sts{year}" for year in (12, 13, 14, 15, 16))

    @pytest.fixture(autouse=True)
    def _files(self, files: Locate, other: Locate) -> None:
        self.locate, self.other = files, other

    def context(self, seed: int) -> Context:
        return context(self.locate, seed)

    def with_other_test_items(self, context: Context) -> Context:
        return replace(context, data=self.other)


class TestMABEL(TestSimCSE):
    benchmark = TINY_MABEL
    primary = "unbiased_spearman"
    test_only = ("crows_pairs", "stereoset_icat", "stereoset_lm", "stereoset_ss")


class TestMABELOnAHost(TestSimCSE):
    benchmark = TINY_HOST
    primary = "unbiased_spearman"
    test_only = ()


def build(files: Locate, settings: PretrainedRepresentation, seed: int = 0) -> PretrainedTask:
    return settings.task(context(files, seed))


def test_frozen_layers_stay_and_their_outputs_are_those_of_the_whole_encoder(files: Locate) -> None:
    task = build(files, TINY_HOST)
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    task.model.eval()
    index = torch.arange(4)
    with torch.no_grad():
        first, second = task.views(index)
        assert torch.equal(first, second)
        whole = build(files, replace(TINY_HOST, frozen=0))
        whole.model.eval()
        assert torch.allclose(first, whole.views(index)[0], atol=1e-6)
    task.model.train()
    train(task, InfoNCE(0.1), task.context.streams)
    changed = {name for name, tensor in task.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(name.startswith("bert.layers.1.") for name in changed)


def test_two_views_differ_by_dropout_and_a_hypothesis_is_none_of_its_premise(files: Locate) -> None:
    task = build(files, TINY_SIMCSE)
    first, second = task.views(torch.arange(6))
    assert not torch.equal(first, second)
    task.model.eval()
    first, second = task.views(torch.arange(6))
    assert torch.allclose(first, second, atol=1e-6)
    pairs = build(files, TINY_MABEL)
    pairs.model.eval()
    first, second = pairs.views(torch.arange(6))
    assert not torch.allclose(first, second, atol=1e-5)


def test_a_batch_of_mabel_has_every_item_beside_its_counterfactual(files: Locate) -> None:
    task = build(files, TINY_MABEL)
    objective = task.objective(Step(0, 0, 0))
    assert objective.pairs is not None
    originals, others = objective.pairs.index.chunk(2)
    assert torch.equal(others, originals + task.samples // 2)
    names = task.tokeniser
    for original, other in zip(originals.tolist(), others.tolist(), strict=True):
        text, swapped = (
            names.text(task.first[torch.tensor([row])].values.tolist()).split() for row in (original, other)
        )
        assert {(a, b) for a, b in zip(text, swapped, strict=True) if a != b} <= {("man", "woman"), ("woman", "man")}
        assert text != swapped


def test_pairs_of_which_a_part_has_no_gender_are_left_out_and_counted(files: Locate) -> None:
    task = build(files, TINY_MABEL)
    assert task.samples == 2 * 24
    assert task.alike == 1
    assert task.diagnostics()["alike"] == 1.0


def test_the_terms_of_mabel_enter_with_their_weights(files: Locate) -> None:
    def auxiliary(**changes: float) -> float:
        task = build(files, replace(TINY_MABEL, **changes))
        with task.context.streams.seeded("step", 0):
            term = task.objective(Step(0, 0, 0)).auxiliary
        assert term is not None
        return float(term)

    neither = auxiliary(alignment_weight=0.0, masked_weight=1e-30)
    assert neither == pytest.approx(0.0, abs=1e-20)
    aligned = auxiliary(alignment_weight=0.1, masked_weight=1e-30)
    masked = auxiliary(alignment_weight=0.0, masked_weight=0.5)
    assert auxiliary(alignment_weight=0.3, masked_weight=1.0) == pytest.approx(3 * aligned + 2 * masked, rel=1e-4)
    assert build(files, TINY_SIMCSE).objective(Step(0, 0, 0)).auxiliary is None


def test_masked_words_are_learnt(files: Locate) -> None:
    def term(trained: bool) -> float:
        task = build(files, replace(TINY_MABEL, alignment_weight=0.0, masked_weight=10.0, epochs=10 if trained else 1))
        if trained:
            train(task, InfoNCE(0.1), task.context.streams)
        with torch.no_grad(), task.context.streams.seeded("step", 0):
            auxiliary = task.objective(Step(0, 0, 0)).auxiliary
        assert auxiliary is not None
        return float(auxiliary)

    assert term(trained=True) < 0.8 * term(trained=False)


def test_training_brings_counterfactuals_together(files: Locate) -> None:
    task = build(files, replace(TINY_HOST, alignment_weight=1.0, epochs=6))
    task.model.eval()
    index = torch.cat([torch.arange(8), torch.arange(8) + task.samples // 2])
    with torch.no_grad():
        before = float(alignment_term(*task.views(index)))
    task.model.train()
    train(task, InfoNCE(0.1), task.context.streams)
    task.model.eval()
    with torch.no_grad():
        assert float(alignment_term(*task.views(index))) < 0.7 * before


def test_utility_counts_as_far_as_there_is_no_bias(files: Locate) -> None:
    assert unbiased(0.8, 0.25) == pytest.approx(0.6)
    assert unbiased(0.8, 1.5) == 0.0
    metrics = evaluate(build(files, TINY_HOST))
    for split in ("val", "test"):
        spearman, gap = metrics[f"{split}/spearman"], metrics[f"{split}/gender_gap"]
        assert metrics[f"{split}/unbiased_spearman"] == unbiased(spearman, gap)
        assert gap > 0
    assert isinstance(metrics, Evaluated)
    assert metrics.outcomes["test/gender_gap"].items == len(OCCUPATIONS)


def test_a_collapsed_encoder_has_no_gap_and_no_utility(files: Locate) -> None:
    chance = build(files, TINY_HOST).reference("chance")
    assert isinstance(chance, dict)
    assert (chance["test/gender_gap"], chance["test/seat_abs_d"]) == (0.0, 0.0)
    assert (chance["test/spearman"], chance["test/unbiased_spearman"]) == (0.0, 0.0)


def test_gradients_are_scaled_down_to_the_largest_norm(files: Locate) -> None:
    task = build(files, replace(TINY_SIMCSE, largest_gradient=1e-3))
    parameters = [parameter for parameter in task.model.parameters() if parameter.requires_grad]
    optimizer = task.optimizer([{"params": parameters}])
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    norm = torch.stack([parameter.grad.norm() for parameter in parameters if parameter.grad is not None]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_the_rate_falls_to_zero_in_a_line(files: Locate) -> None:
    task = build(files, TINY_SIMCSE)
    assert [task.rate(progress) for progress in (0.0, 0.25, 0.75)] == [1.0, 0.75, 0.25]


@pytest.mark.parametrize(
    "settings, message",
    [({"framework": "simcle"}, "framework"), ({"frozen": 1, "masked_weight": 0.1}, "frozen should be 0")],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PretrainedRepresentation(**settings)  # type: ignore[arg-type]


def test_a_corpus_of_which_nothing_is_left_is_an_error(files: Locate, tmp_path: Path) -> None:
    table = tmp_path / "nli_for_simcse.csv"
    table.write_text("sent0,sent1,hard_neg\nit is here,that is there,no\n")
    with pytest.raises(ValueError, match="nothing to train on"):
        build(lambda dataset, member: table if dataset == "nli_for_simcse" else files(dataset, member), TINY_MABEL)
