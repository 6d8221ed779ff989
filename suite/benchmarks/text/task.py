"""SimCSE and MABEL over word vectors as a benchmark: its settings, its objectives, its references."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor

from suite.benchmarks.schedule import warm_up_and_cosine
from suite.benchmarks.text.alignment import alignment_term
from suite.benchmarks.text.bias import bias_metrics
from suite.benchmarks.text.counterfactual import has_gendered_word, swap
from suite.benchmarks.text.data import Vocabulary, read_sentences, read_word2vec, without
from suite.benchmarks.text.encoder import Embedder, SentenceEncoder, WordAverage
from suite.benchmarks.text.evaluate import Embed
from suite.benchmarks.text.pretrained.encoder import FILES, sentence_transformer
from suite.benchmarks.text.stereoset import Part
from suite.benchmarks.text.sts import Split, Tasks, read_tasks, spread, tasks_metrics
from suite.losses.steps import Step
from suite.pairs import cross_view
from suite.parameters import Count, Fraction, NonNegative, Positive
from suite.training import Batches, Context, Evaluated, Metrics, Objective, Task, geometry, on_both_splits

VECTORS: Final = "GoogleNews-vectors-negative300-bolukbasi.bin"

#: Pairs with a higher score are positives to the alignment that is logged, as in SimCSE (section 3).
ALIKE: Final = 4.0
WARM_UP: Final = 0.1


@dataclass(frozen=True)
class SentenceRepresentation:
    """Unsupervised SimCSE (Gao et al. 2021, arXiv 2104.08821) with a small Transformer over fixed word vectors.

    The two views of a sentence are two passes through the encoder, with different dropout; a view's candidates are the
    second views of the batch, in one direction. Trained are sentences of English Wikipedia, the passages of BoolQ, less
    those that occur in the parts of the STS Benchmark that evaluate. SimCSE starts from BERT and takes a million
    sentences; here the encoder is drawn, over fixed word vectors of GoogleNews. It knows no order of words and averages
    them, and there is no head on top for training alone.

    ``mabel`` is debiasing in the manner of MABEL (He et al. 2022, arXiv 2210.14975): only sentences with a gendered
    word, each beside its counterfactual, of the other gender; views of both make up the batch, and a further term keeps
    similarities among counterfactuals as they are among originals. MABEL contrasts premises with hypotheses of
    annotated inference pairs, here it is dropout views; its masked language model is left out.

    Evaluated on STS-B by ``spearman``, in [-1, 1]: the rank correlation between cosines and human scores, on the
    development part as validation and on the test part. With ``bias``, also by gender bias, which is worth nothing
    without that utility; see :func:`~suite.benchmarks.text.bias.bias_metrics`.

    Attributes
    ----------
    framework : "simcse" or "mabel"
    sentences : int
        How many sentences to train on at most, the first ones of the file.
    epochs, batch : int
        Passes over the sentences; sentences a step, in ``mabel`` half of them originals.
    learning_rate, weight_decay : float
        AdamW, with linear warm-up over the first tenth of training and a cosine to zero after it.
    width, layers, heads : int
        Size of the Transformer; `heads` divides `width`.
    dropout : float
        Of the words on entry and of what attention and network add to them; attention weights are not dropped.
    longest : int
        Words with a vector after which a sentence is cut.
    alignment_weight : float
        Of MABEL's alignment term.
    pairs : int
        How many pairs of a task to evaluate at most, evenly spread over it.
    bias : bool
        Whether to evaluate bias; it needs data sets ``stereoset`` and ``weat``.

    Raises
    ------
    ValueError
        If `heads` does not divide `width`, the framework is unknown or `batch` is odd in ``mabel``.
    """

    distributed: ClassVar[bool] = True
    #: What it is evaluated on.
    tasks: ClassVar[Tasks] = "sts_b"

    framework: Literal["simcse", "mabel"] = "simcse"
    sentences: Count = 50_000
    epochs: Count = 1
    batch: Count = 256
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.01
    width: Count = 128
    layers: Count = 1
    heads: Count = 2
    dropout: Fraction = 0.1
    longest: Count = 24
    alignment_weight: NonNegative = 0.05
    pairs: Count = 1_500
    bias: bool = True

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads must divide width, got {self.heads} and {self.width}")
        if self.framework not in ("simcse", "mabel"):
            raise ValueError(f"framework should be 'simcse' or 'mabel', got {self.framework!r}")
        if self.framework == "mabel" and self.batch % 2:
            raise ValueError(f"batch holds originals and counterfactuals: it must be even, got {self.batch}")

    def task(self, context: Context) -> SentenceTask:
        """Load the data and draw the weights of the context's seed."""
        return CounterfactualTask(self, context) if self.framework == "mabel" else SentenceTask(self, context)


@dataclass(frozen=True)
class SevenTaskRepresentation(SentenceRepresentation):
    """The same, evaluated on the seven tasks that sentence encoders report; see :mod:`suite.benchmarks.text.sts`."""

    tasks: ClassVar[Tasks] = "seven"


class SentenceTask(Task):
    """SimCSE: two passes over a sentence are each other's positives.

    Parameters
    ----------
    settings : SentenceRepresentation
    context : Context
    """

    model: SentenceEncoder

    def __init__(self, settings: SentenceRepresentation, context: Context) -> None:
        self.settings = settings
        self.context = context
        vectors = read_word2vec(context.data("googlenews_bolukbasi", VECTORS))
        self.vocabulary = Vocabulary(vectors.number, settings.longest)
        with context.streams.seeded("weights"):
            self.model = SentenceEncoder(
                vectors.matrix, settings.width, settings.layers, settings.heads, settings.dropout
            ).to(context.device)
        splits: tuple[Split, ...] = ("val", "test")
        self.scored = {split: read_tasks(context.data, settings.tasks, split) for split in splits}
        originals = self.originals()
        self.tokens = self.vocabulary.encode(self.rows(originals))
        self.batches = Batches(len(originals), settings.batch * len(originals) // len(self.tokens), context.streams)
        self.samples, self.epochs, self.steps_per_epoch = len(self.tokens), settings.epochs, self.batches.per_epoch

    def originals(self) -> list[str]:
        """Return the sentences of the corpus to train on; none occurs in a part of STS-B that evaluates."""
        scored = [pairs for tasks in self.scored.values() for pairs in tasks.values()]
        evaluated = [sentence for pairs in scored for part in (pairs.first, pairs.second) for sentence in part]
        corpus = read_sentences(self.context.data("boolq", "boolq.jsonl"))
        return without(corpus[: self.settings.sentences], evaluated)

    def rows(self, originals: list[str]) -> list[str]:
        """Return what to train on, made of the sentences of the corpus, in their order."""
        return originals

    def objective(self, step: Step) -> Objective:
        """Return the pairs of two views of the step's sentences."""
        index = self.batches[step]
        first, second = self.views(index)
        return Objective(pairs=cross_view(first, second, index.to(self.context.device)))

    def views(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return two embeddings of each of the given training sentences, with dropout: [N, width] each."""
        batch = self.tokens[index].to(self.context.device)
        first, second = self.model(batch.tokens, batch.lengths, views=2).chunk(2)
        return first, second

    def evaluate(self, split: str) -> Metrics:
        """Return ``spearman`` and, if asked for, measures of bias on split ``"val"`` or ``"test"``."""
        return self._metrics(self._embed, split)

    def diagnostics(self) -> Metrics:
        """Return the geometry of the embeddings of STS-B's validation pairs.

        ``alignment`` is that of the pairs with a score above 4, ``uniformity`` and ``effective_rank`` are those of the
        different first sentences.
        """
        pairs = spread(self.scored["val"]["sts_b"], self.settings.pairs)
        alike = pairs.where(pairs.scores > ALIKE)
        sentences = self._embed(list(dict.fromkeys(pairs.first)))
        metrics = {
            "uniformity": geometry.uniformity(sentences),
            "effective_rank": geometry.effective_rank(sentences),
        }
        if len(alike):
            metrics["alignment"] = geometry.alignment(self._embed(alike.first), self._embed(alike.second))
        return metrics

    def reference(self, name: str) -> Metrics | Task:
        """Return a reference: ``chance``, ``raw``, ``untrained`` or ``minilm``.

        ``chance`` is an encoder that gives all sentences one vector, ``raw`` the mean of the vectors of a sentence's
        words, ``minilm`` a published encoder that was trained on a billion pairs of sentences.
        """
        if name == "chance":
            return self._of_both(lambda sentences: torch.ones(len(sentences), 1))
        if name == "raw":
            return self._of_both(Embedder(WordAverage(self.model.vectors), self.vocabulary, self.context.device).embed)
        if name == "minilm":
            config, tokenizer, weights = (self.context.data("minilm", file) for file in FILES)
            return self._of_both(sentence_transformer(config, tokenizer, weights, self.context.device).embed)
        return super().reference(name)

    def optimizer(self, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return AdamW."""
        settings = self.settings
        return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True)

    def rate(self, progress: float) -> float:
        """Return the factor of linear warm-up and cosine decay."""
        return warm_up_and_cosine(progress, 1.0 / (self.epochs * self.steps_per_epoch), WARM_UP)

    def _embed(self, sentences: Iterable[str]) -> Tensor:
        return Embedder(self.model, self.vocabulary, self.context.device).embed(list(sentences))

    def _metrics(self, embed: Embed, split: str) -> Evaluated:
        part: Part = "test" if split == "test" else "val"
        scored = {task: spread(pairs, self.settings.pairs) for task, pairs in self.scored[part].items()}
        metrics = tasks_metrics(embed, scored)
        if self.settings.bias:
            files = self.context.data("weat", "weat.json"), self.context.data("stereoset", "stereoset.jsonl")
            metrics |= bias_metrics(embed, *files, part, known=self.vocabulary.knows)
        return metrics

    def _of_both(self, embed: Embed) -> Evaluated:
        return on_both_splits(partial(self._metrics, embed))


class CounterfactualTask(SentenceTask):
    """MABEL: sentences with a gendered word and, behind all of them, their counterfactuals.

    Attributes
    ----------
    alike : int
        Sentences left out since they embed as their counterfactuals do, and would be each other's negatives: their
        words are the same but for words beyond the longest sentence, words without a vector, and order.
    """

    alike: int

    def originals(self) -> list[str]:
        """Return the sentences with a gendered word that embed differently from their counterfactuals."""
        gendered = [sentence for sentence in super().originals() if has_gendered_word(sentence)]
        differs = self._words(gendered).ne(self._words(self.rows(gendered)[len(gendered) :])).any(dim=1).tolist()
        kept = [sentence for sentence, is_other in zip(gendered, differs, strict=True) if is_other]
        self.alike = len(gendered) - len(kept)
        return kept

    def _words(self, sentences: list[str]) -> Tensor:
        """Return the numbers of each sentence's words in ascending order, which the encoder does not look at."""
        return self.vocabulary.encode(sentences).tokens.sort(dim=1).values

    def diagnostics(self) -> Metrics:
        """Return what :class:`SentenceTask` does, and ``counterfactuals_alike``: the number of :attr:`alike`."""
        return {**super().diagnostics(), "counterfactuals_alike": float(self.alike)}

    def rows(self, originals: list[str]) -> list[str]:
        """Return the sentences and, in the same order, their counterfactuals."""
        return [*originals, *map(swap, originals)]

    def objective(self, step: Step) -> Objective:
        """Return the pairs of two views of the step's sentences and counterfactuals, and the alignment term."""
        originals = self.batches[step]
        index = torch.cat([originals, originals + len(self.tokens) // 2])
        first, second = self.views(index)
        pairs = cross_view(first, second, index.to(self.context.device))
        return Objective(pairs=pairs, auxiliary=self.settings.alignment_weight * alignment_term(first, second))
