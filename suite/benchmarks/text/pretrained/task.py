"""SimCSE and MABEL on a pretrained BERT as a benchmark: its settings, its objectives, its references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from suite.benchmarks.text.bias import gender_seat_metrics
from suite.benchmarks.text.evaluate import Embed
from suite.benchmarks.text.occupations import gender_gap, templates
from suite.benchmarks.text.pretrained.bert import load_bert
from suite.benchmarks.text.pretrained.corpus import (
    Corpus,
    TokenisedItems,
    not_evaluated,
    read_corpus,
    tokenised,
    with_counterfactuals,
)
from suite.benchmarks.text.pretrained.encoder import (
    CONFIG,
    SENTENCES_AT_ONCE,
    TOKENIZER,
    WEIGHTS,
    Pooling,
    SentenceBert,
    SentenceEmbedder,
    Tokeniser,
)
from suite.benchmarks.text.pretrained.masked import crows_pairs_metrics, masked_stereoset_metrics, read_crows_pairs
from suite.benchmarks.text.pretrained.packed import Packed
from suite.benchmarks.text.pretrained.training import ClippedAdamW, exact_alignment_term, masked_term
from suite.benchmarks.text.stereoset import read_stereoset
from suite.benchmarks.text.sts import Split, Tasks, read_tasks, spread, tasks_metrics
from suite.losses.steps import Step
from suite.pairs import cross_view
from suite.parameters import Count, Natural, NonNegative, Positive
from suite.training import Batches, Context, Evaluated, Metrics, Objective, Task, geometry, on_both_splits

#: Training items whose geometry is logged.
DIAGNOSED = 256


@dataclass(frozen=True)
class PretrainedRepresentation:
    """SimCSE (Gao et al. 2021, arXiv 2104.08821) or MABEL (He et al. 2022, arXiv 2210.14975) on a pretrained BERT.

    ``simcse`` contrasts two passes through the encoder, with different dropout; on pairs, a premise with its
    hypothesis. ``mabel`` takes items with a gendered word, each beside its counterfactual, of the other gender; a
    further term keeps similarities among counterfactuals as they are among originals and, with a head for it, another
    predicts masked words.

    Evaluated by ``spearman`` on STS-B, or on more tasks of semantic similarity. With ``bias``, also by
    ``gender_gap`` of occupations, by the six gender tests of SEAT, and by ``unbiased_spearman``, utility times the lack
    of bias, see :func:`unbiased`. With ``masked_bias``, on test alone, by CrowS-Pairs and StereoSet.

    Attributes
    ----------
    encoder : str
        A data set with ``config.json``, ``tokenizer.json`` and ``model.safetensors`` of a BERT.
    framework : "simcse" or "mabel"
    corpus : "boolq", "wikipedia" or "inference"
        What to train on; ``inference`` has pairs.
    items : int
        How many items of the corpus to train on at most, the first ones of its files.
    epochs, batch : int
        Passes over the items; items a step, each with its counterfactual in ``mabel``.
    learning_rate : float
        AdamW, falling to zero in a line.
    weight_decay : float
    largest_gradient : float
        The norm that gradients are scaled down to where they exceed it.
    pooling : "cls" or "mean"
        What of the last hidden states is a sentence's vector.
    projections : int
        Linear layers on top of it in training alone.
    longest : int
        Tokens after which a sentence is cut for training.
    frozen : int
        How many of the lowest layers stay as they are. Their outputs are computed once, without dropout.
    alignment_weight, masked_weight : float
        Of MABEL's alignment term, and of its prediction of masked words.
    tasks : str
        ``sts_b`` or ``seven``; see :data:`suite.benchmarks.text.sts.Tasks`.
    pairs : int
        How many pairs of a task to evaluate at most, evenly spread over it.
    bias : bool
        Whether to evaluate gender bias of sentence vectors; it needs data set ``weat``.
    templates : int
        Into how many sentences of STS-B occupations are filled for it.
    masked_bias : bool
        Whether to evaluate that of the prediction of masked words; it needs ``crows_pairs`` and ``stereoset``.

    Raises
    ------
    ValueError
        If the framework is unknown.
    """

    distributed: ClassVar[bool] = True

    encoder: str = "minilm"
    framework: Literal["simcse", "mabel"] = "simcse"
    corpus: Corpus = "boolq"
    items: Count = 50_000
    epochs: Count = 1
    batch: Count = 64
    learning_rate: Positive = 3e-5
    weight_decay: NonNegative = 0.0
    largest_gradient: Positive = 1.0
    pooling: Pooling = "cls"
    projections: Natural = 0
    longest: Count = 32
    frozen: Natural = 0
    alignment_weight: NonNegative = 0.05
    masked_weight: NonNegative = 0.0
    tasks: Tasks = "sts_b"
    pairs: Count = 10_000
    bias: bool = False
    templates: Count = 12
    masked_bias: bool = False

    def __post_init__(self) -> None:
        if self.framework not in ("simcse", "mabel"):
            raise ValueError(f"framework should be 'simcse' or 'mabel', got {self.framework!r}")
        if self.frozen and self.masked_weight:
            raise ValueError("masked words need all layers: frozen should be 0 where masked_weight is not")

    def task(self, context: Context) -> PretrainedTask:
        """Load data and encoder, and draw what is drawn on top of it."""
        return PretrainedTask(self, context)


class PretrainedTask(Task):
    """One seed of :class:`PretrainedRepresentation`.

    Parameters
    ----------
    settings : PretrainedRepresentation
    context : Context

    Attributes
    ----------
    alike : int
        Items left out since an encoder cannot tell them apart from what would be their negatives.
    """

    model: SentenceBert

    def __init__(self, settings: PretrainedRepresentation, context: Context) -> None:
        self.settings = settings
        self.context = context
        device = context.device
        config, tokenizer, weights = (context.data(settings.encoder, file) for file in (CONFIG, TOKENIZER, WEIGHTS))
        has_head = settings.masked_bias or settings.masked_weight > 0
        with context.streams.seeded("weights"):
            bert = load_bert(config, weights, device, has_head, settings.frozen)
            self.model = SentenceBert(bert, settings.pooling, settings.projections).to(device)
        self.tokeniser = Tokeniser(tokenizer, settings.longest)
        self.embedder = SentenceEmbedder(self.model, Tokeniser(tokenizer, bert.config.max_position_embeddings), device)
        splits: tuple[Split, ...] = ("val", "test")
        self.scored = {split: read_tasks(context.data, settings.tasks, split) for split in splits}
        items = self._items()
        self.alike = items.alike
        self.first = self.second = self._entering(Packed.of(items.first, device))
        if items.second is not items.first:
            self.second = self._entering(Packed.of(items.second, device))
        self.samples = len(self.first)
        originals = self.samples // 2 if settings.framework == "mabel" else self.samples
        self.batches = Batches(originals, settings.batch, context.streams)
        self.epochs, self.steps_per_epoch = settings.epochs, self.batches.per_epoch

    def _items(self) -> TokenisedItems:
        """Return what to train on; no sentence of it is in a task that evaluates."""
        settings, data = self.settings, self.context.data
        evaluated = {
            sentence
            for tasks in self.scored.values()
            for pairs in tasks.values()
            for sentence in (*pairs.first, *pairs.second)
        }
        items = not_evaluated(read_corpus(data, settings.corpus, settings.items), evaluated)
        prepared = with_counterfactuals if settings.framework == "mabel" else tokenised
        return prepared(items, self.tokeniser.rows)

    def _entering(self, tokens: Packed) -> Packed:
        """Return what the trained layers are given, of all items, where lower layers are frozen; else the tokens."""
        bert = self.model.bert
        if not bert.frozen:
            return tokens
        with torch.no_grad():
            parts = [bert.below(tokens[rows]) for rows in torch.split(torch.arange(len(tokens)), SENTENCES_AT_ONCE)]
        return tokens.with_values(torch.cat([part.values for part in parts]))

    def objective(self, step: Step) -> Objective:
        """Return the pairs of two views of the step's items and, in MABEL, its further terms."""
        settings, index = self.settings, self.batches[step]
        if settings.framework == "mabel":
            index = torch.cat([index, index + self.samples // 2])
        first, second = self.views(index)
        auxiliary = None
        if settings.framework == "mabel":
            auxiliary = settings.alignment_weight * exact_alignment_term(first, second)
        if settings.masked_weight:
            tokens = self.first[index] if self.first is self.second else self.first[index].join(self.second[index])
            mask, special = self.tokeniser.number("[MASK]"), self.tokeniser.special
            term = settings.masked_weight * masked_term(self.model.bert, tokens, mask, special)
            auxiliary = term if auxiliary is None else auxiliary + term
        return Objective(pairs=cross_view(first, second, index.to(self.context.device)), auxiliary=auxiliary)

    def views(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return two embeddings of each of the given training items, with dropout: [N, D] each."""
        items = self.first[index].join(self.second[index])
        bert = self.model.bert
        first, second = self.model.views(items if bert.frozen else bert.below(items)).chunk(2)
        return first, second

    def evaluate(self, split: str) -> Metrics:
        """Return the metrics of split ``"val"`` or ``"test"``; those of masked words, and of some tasks, for test."""
        return self._metrics(self.embedder.embed, "test" if split == "test" else "val", self.settings.masked_bias)

    def diagnostics(self) -> Metrics:
        """Return the geometry of some training items as they would be embedded after training.

        In MABEL ``counterfactual_alignment`` is the mean squared distance between originals and counterfactuals.
        """
        half = self.samples // 2
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            index = torch.arange(min(DIAGNOSED, self.batches.size))
            vectors = self._pooled(self.first[index])
            metrics = {
                "uniformity": geometry.uniformity(vectors),
                "effective_rank": geometry.effective_rank(vectors),
                "alike": float(self.alike),
            }
            if self.settings.framework == "mabel":
                others = self._pooled(self.first[index + half])
                metrics["counterfactual_alignment"] = geometry.alignment(vectors, others)
        self.model.train(training)
        return metrics

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw`` or ``untrained``.

        ``chance`` is an encoder that gives all sentences one vector, ``raw`` the mean of the pretrained vectors of a
        sentence's tokens, ``untrained`` the pretrained encoder.
        """
        if name == "chance":
            return self._of_both(lambda sentences: torch.ones(len(sentences), 1))
        if name == "raw":
            return self._of_both(self._token_average)
        return super().reference(name)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW on clipped gradients."""
        settings = self.settings
        return ClippedAdamW(
            groups, settings.largest_gradient, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def rate(self, progress: float) -> float:
        """Return the factor of a rate that falls to zero in a line."""
        return 1.0 - progress

    def _pooled(self, items: Packed) -> Tensor:
        bert = self.model.bert
        return self.model.pooled(bert.above(items if bert.frozen else bert.below(items)))

    def _token_average(self, sentences: Sequence[str]) -> Tensor:
        tokens = Packed.of(self.embedder.tokeniser.rows(sentences), self.context.device)
        with torch.no_grad():
            return tokens.with_values(self.model.bert.word(tokens.values)).mean()

    def _metrics(self, embed: Embed, split: Split, masked_bias: bool = False) -> Evaluated:
        settings, data = self.settings, self.context.data
        metrics = tasks_metrics(
            embed, {task: spread(found, settings.pairs) for task, found in self.scored[split].items()}
        )
        if settings.bias:
            pairs = self.scored[split]["sts_b"]
            cosines = metrics.outcomes["spearman"].values
            gap = gender_gap(embed, templates([*pairs.first, *pairs.second], settings.templates), float(cosines.std()))
            metrics |= gender_seat_metrics(embed, data("weat", "weat.json"), split) | gap
            metrics.outcomes |= gap.outcomes
            metrics["unbiased_spearman"] = unbiased(metrics["spearman"], gap["gender_gap"])
        if masked_bias and split == "test":
            bert, tokeniser = self.model.bert, self.embedder.tokeniser
            sentences = read_crows_pairs(data("crows_pairs", "crows_pairs_anonymized.csv"))
            items = [item for item in read_stereoset(data("stereoset", "stereoset.jsonl")) if item.domain == "gender"]
            of_pairs = crows_pairs_metrics(bert, tokeniser, sentences)
            metrics |= of_pairs
            metrics.outcomes |= of_pairs.outcomes
            metrics |= masked_stereoset_metrics(bert, tokeniser, items)
        return metrics

    def _of_both(self, embed: Embed) -> Evaluated:
        return on_both_splits(lambda split: self._metrics(embed, "test" if split == "test" else "val"))


def unbiased(spearman: float, gap: float) -> float:
    """Return a rank correlation times 1 - the gender gap, and 0 where the gap is above 1.

    Like StereoSet's ICAT, a model's quality times its lack of stereotypes, so that neither counts alone: an encoder
    that gives all sentences one vector has no gap and scores 0.
    """
    return spearman * max(0.0, 1.0 - gap)
