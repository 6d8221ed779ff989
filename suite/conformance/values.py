"""Checks of what a loss gives for one batch."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from suite.conformance.conventions import CONVENTIONS, DIMENSIONS, KINDS, ROWS, TRAINING, Batch, draw
from suite.conformance.subject import Failed, Outcome, Subject, deviation, number, outcome, refusal_of, seeded
from suite.pairs import EmbeddedPairs, Pairs

PRECISIONS = (torch.float16, torch.bfloat16)


def is_a_scalar_with_a_gradient(subject: Subject) -> str:
    """Check that it gives a scalar that depends on the similarities."""
    given = subject.outcome("two_view", draw())
    if not bool(given.of_similarity.any()) and not any(bool(g.any()) for g in given.gradients):
        raise Failed("the gradient with respect to every similarity is 0: the loss does not depend on pairs.similarity")
    return "a scalar that depends on the similarities"


def is_finite(subject: Subject, convention: str) -> str:
    """Check that value and gradient are finite for plain and degenerate rows, in float32 and float64."""
    for kind, dtype in itertools.product(KINDS, (torch.float64, torch.float32)):
        batch = draw(kind).to(dtype)
        pairs = CONVENTIONS[convention](batch)
        try:
            given = outcome(subject.fresh(dtype), pairs, batch)
        except Exception as error:
            raise refusal_of(subject, convention, error) from error
        if not given.is_finite:
            raise Failed(f"{_not_finite(given, pairs)}, for {KINDS[kind]} in {_name(dtype)}{_remedy(given, pairs)}")
    return "finite for random, clustered, duplicate, antipodal and zero rows"


def _not_finite(given: Outcome, pairs: Pairs) -> str:
    what = [] if bool(torch.isfinite(given.value)) else [f"the value is {number(given.value)}"]
    entry = _worst_entry(given)
    if entry is not None:
        anchor, candidate = entry
        cosine = number(given.similarity[entry])
        what.append(
            f"the gradient is {number(given.of_similarity[entry])} at anchor {anchor}, candidate {candidate} "
            f"({_role(pairs, anchor, candidate)}, cosine {cosine})"
        )
    wrong = [name for name, g in given.of_parameters.items() if g is not None and not bool(torch.isfinite(g).all())]
    if wrong:
        what.append(f"the gradient of parameter {', '.join(wrong)} is not finite")
    return " and ".join(what or ["the gradient of the embeddings is not finite"])


def _worst_entry(given: Outcome) -> tuple[int, int] | None:
    """Return the non-finite entry whose cosine is largest by magnitude."""
    wrong = ~torch.isfinite(given.of_similarity)
    if not bool(wrong.any()):
        return None
    at = int(given.similarity.abs().masked_fill(~wrong, -1.0).argmax())
    return divmod(at, given.similarity.shape[1])


def _role(pairs: Pairs, anchor: int, candidate: int) -> str:
    if pairs.positive[anchor, candidate]:
        return "positive"
    return "negative" if pairs.candidate[anchor, candidate] else "itself"


def _remedy(given: Outcome, pairs: Pairs) -> str:
    lonely = pairs.roles.positives() == 0
    entry = _worst_entry(given)
    if bool(lonely.any()) and (entry is None or bool(lonely[entry[0]])):
        return ". An anchor without a positive must not count: AnchorLoss leaves it out of the mean"
    if entry is None or float(given.similarity[entry].abs()) < 0.999:
        return ". A ratio or a logarithm of something that can be 0, or an exponential that overflows: use logsumexp"
    if _role(pairs, *entry) == "itself":
        return ". An anchor's cosine with itself reached the map: derive from LogitLoss, or mask before the map"
    return ". A map with an infinite value or slope at cosine 1: clamp it, as TemperatureFree does"


def ignores_strangers(subject: Subject) -> str:
    """Check that what is neither candidate nor positive does not enter, such as an anchor's similarity to itself."""
    for convention in subject.conventions:
        pairs = CONVENTIONS[convention](draw())
        stranger = ~(pairs.candidate | pairs.positive)
        values = []
        for fill in (1.0, -0.5):
            similarity = pairs.similarity.detach().masked_fill(stranger, fill).requires_grad_()
            with seeded():
                values.append(subject.fresh()(Pairs.with_roles(similarity, pairs.roles, pairs.index)))
        if not torch.isclose(values[0], values[1], rtol=1e-12, atol=1e-12):
            raise Failed(
                f"under {convention} the value goes from {number(values[0])} to {number(values[1])} when the anchors' "
                "similarity to themselves is replaced: leave out what is neither in pairs.candidate nor in "
                "pairs.positive, by pairs.roles.without_strangers or pairs.roles.only_candidates"
            )
    return "an anchor's similarity to itself does not enter"


def ignores_order(subject: Subject) -> str:
    """Check that neither the order of the samples nor their numbers matter."""
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    back = order.argsort()
    for convention in subject.conventions:
        batch = draw()
        expected = subject.outcome(convention, batch)
        moved = subject.outcome(convention, batch.reordered(order))
        queue = order[order < len(batch.queue)].argsort()
        returned = [g[i] for g, i in zip(moved.gradients, (back, back, queue), strict=True)]
        difference = deviation(_with_gradients(moved, returned), expected)
        if difference is not None:
            raise Failed(
                f"under {convention}, with the samples in another order, {difference}: "
                "something depends on an anchor's place in the batch"
            )
        renumbered = Batch(**{**vars(batch), "index": TRAINING.samples - 1 - batch.index})
        difference = deviation(subject.outcome(convention, renumbered), expected)
        if difference is not None:
            raise Failed(
                f"under {convention}, with the samples numbered otherwise, {difference}: "
                "pairs.index says which sample it is, and is no quantity to compute with"
            )
    return "the order and the numbers of the samples do not matter"


def ignores_rotation(subject: Subject) -> str:
    """Check that nothing of the embeddings matters but their cosines."""
    generator = torch.Generator().manual_seed(1)
    rotation, _ = torch.linalg.qr(torch.randn(DIMENSIONS, DIMENSIONS, generator=generator, dtype=torch.float64))
    for convention in subject.conventions:
        batch = draw()
        turned = subject.outcome(convention, batch.mapped(lambda z: z @ rotation))
        expected = subject.outcome(convention, batch)
        difference = deviation(_with_gradients(turned, [g @ rotation.T for g in turned.gradients]), expected)
        if difference is not None:
            raise Failed(
                f"under {convention}, with all embeddings rotated, {difference}: "
                "the loss looks at something else than pairs.similarity"
            )
    return "rotated embeddings give the same"


def _with_gradients(given: Outcome, gradients: list[Tensor]) -> Outcome:
    return Outcome(**{**vars(given), "gradients": gradients})


def repeats(subject: Subject) -> str:
    """Check that the same pairs give the same, bit by bit."""
    for convention in subject.conventions:
        values = []
        for seed in (1, 2):
            loss = subject.fresh()
            pairs = CONVENTIONS[convention](draw())
            with seeded(seed):
                values.append(loss(pairs).detach())
        if not torch.equal(values[0], values[1]):
            raise Failed(
                f"under {convention} the same pairs give {number(values[0])} and then {number(values[1])}: "
                "a random draw; a loss has to be a function of its pairs and of its state"
            )
    return "the same pairs give the same, bit by bit"


def is_precise(subject: Subject) -> str:
    """Check that nothing is lost on half-precision embeddings, nor under autocast."""
    for convention, half in itertools.product(subject.conventions, PRECISIONS):
        rounded = draw().to(half)
        exact = subject.outcome(convention, rounded.to(torch.float64))
        # what float32 cosines leave uncertain
        slack = 1e-5 * abs(float(exact.value)) + 8 * torch.finfo(torch.float32).eps * (
            1.0 + float(exact.of_similarity.abs().sum())
        )
        for where, batch, autocast in (
            (f"on {_name(half)} embeddings", rounded, False),
            (f"under autocast to {_name(half)}", rounded.to(torch.float32), True),
        ):
            with torch.autocast("cpu", half, enabled=autocast):
                given = subject.outcome(convention, batch, subject.fresh(torch.float32))
            remedy = "compute in the dtype of pairs.similarity, inside torch.autocast(device, enabled=False)"
            if torch.finfo(given.value.dtype).bits < 32:
                raise Failed(f"under {convention} {where} the result is {_name(given.value.dtype)}: {remedy}")
            if not given.is_finite:
                raise Failed(f"under {convention} {where} value or gradient is not finite: {remedy}")
            if abs(float(given.value) - float(exact.value)) > slack:
                raise Failed(
                    f"under {convention} {where} the value is {number(given.value)}, in float64 {number(exact.value)}: "
                    f"{remedy}"
                )
    return "float16 and bfloat16 embeddings, and autocast, lose nothing"


def equals_its_blocks(subject: Subject) -> str:
    """Check that value and gradients are the same when the similarities come in blocks."""
    is_whole = True
    for convention in subject.conventions:
        batch = draw()
        expected = subject.outcome(convention, batch)
        pairs = _Blocks.of(CONVENTIONS[convention](batch))
        with seeded():
            subject.fresh()(pairs)
        is_whole = is_whole and pairs.is_whole
        found = outcome(subject.fresh(), pairs, batch)
        difference = deviation(found, expected)
        if difference is not None:
            raise Failed(
                f"under {convention}, in blocks of {ROWS // 2} anchors, {difference}: of_anchors sees some "
                "anchors only; what all of them share belongs into shared(pairs)"
            )
    if is_whole:
        return (
            "computed whole: memory grows with the square of the batch; derive from AnchorLoss or LogitLoss for blocks"
        )
    return "blocks of anchors give the value and the gradients of the whole"


class _Blocks(EmbeddedPairs):
    """Pairs in blocks that note whether all similarities were asked for at once."""

    is_whole = False

    @classmethod
    def of(cls, pairs: EmbeddedPairs) -> _Blocks:
        return cls(pairs.parts, pairs.roles, pairs.index, ROWS // 2)

    @property
    def similarity(self) -> Tensor:
        """All cosines at once."""
        self.is_whole = True
        return super().similarity


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
