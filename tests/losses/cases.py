"""Every loss and every pair type, each with its plain loops; embeddings to try them on; and how close is equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from suite import losses
from suite.losses import Loss
from suite.losses.steps import Step, Training
from suite.pairs import EmbeddedPairs, Pairs, pairs
from tests.losses import by_loops
from tests.losses.by_loops import Row

SAMPLES = 4
DIMENSIONS = 4
LABELS = torch.tensor([0, 0, 1, 2, 0, 1, 0, 3])
KINDS = ("random", "clustered", "duplicate", "antipodal")


# --- embeddings


@dataclass(frozen=True)
class Embeddings:
    """Two views of a few samples and a queue; rows are of various lengths."""

    z1: Tensor
    z2: Tensor
    queue: Tensor

    def to(self, dtype: torch.dtype) -> Embeddings:
        return Embeddings(self.z1.to(dtype), self.z2.to(dtype), self.queue.to(dtype))

    def leaves(self, dtype: torch.dtype) -> Embeddings:
        """The same numbers in a type, each a leaf to differentiate by."""
        return Embeddings(*(z.detach().to(dtype).clone().requires_grad_() for z in (self.z1, self.z2, self.queue)))

    @property
    def gradients(self) -> Tensor:
        """Of all rows, one below the other; zero where there is none."""
        return torch.cat([torch.zeros_like(z) if z.grad is None else z.grad for z in (self.z1, self.z2, self.queue)])


def embeddings(kind: str, seed: int = 3) -> Embeddings:
    """Embeddings whose numbers float32 holds exactly, as float64."""
    draw = torch.Generator().manual_seed(seed)
    z1, z2 = (torch.randn(SAMPLES, DIMENSIONS, generator=draw) for _ in range(2))
    queue = torch.randn(SAMPLES + 1, DIMENSIONS, generator=draw)
    if kind == "clustered":
        z1, z2, queue = (1.0 + 0.05 * z for z in (z1, z2, queue))
    elif kind == "duplicate":
        z1 = z1[[0, 0, 0, 1]]
        z2 = z1.clone()
        queue[:2] = z1[[0, 3]]
    elif kind == "antipodal":
        z2 = -z1
        queue[:2] = torch.stack([z1[0], -z1[1]])
    return Embeddings(z1, z2, queue).to(torch.float64)


# --- pair types


@dataclass(frozen=True)
class PairType:
    """A constructor of pairs and its plain loops."""

    name: str
    build: Callable[[Embeddings], EmbeddedPairs]
    by_loops: Callable[[Embeddings], list[Row]]
    one_positive: bool = True
    views: bool = False

    def __str__(self) -> str:
        return self.name


def cross_views(name: str, symmetric: bool = False, decoupled: bool = False) -> PairType:
    return PairType(
        name,
        lambda e: pairs.cross_view(e.z1, e.z2, symmetric=symmetric, decoupled=decoupled),
        lambda e: by_loops.cross_view(e.z1, e.z2, symmetric, decoupled),
    )


PAIR_TYPES = [
    PairType("two_view", lambda e: pairs.two_view(e.z1, e.z2), lambda e: by_loops.two_view(e.z1, e.z2), views=True),
    cross_views("cross_view"),
    cross_views("cross_view_symmetric", symmetric=True),
    cross_views("cross_view_decoupled", decoupled=True),
    PairType(
        "with_queue",
        lambda e: pairs.with_queue(e.z1, e.z2, e.queue),
        lambda e: by_loops.with_queue(e.z1, e.z2, e.queue),
    ),
    PairType(
        "labelled",
        lambda e: pairs.labelled(torch.cat([e.z1, e.z2]), LABELS),
        lambda e: by_loops.labelled(torch.cat([e.z1, e.z2]), LABELS.tolist()),
        one_positive=False,
    ),
]


# --- losses

OfRows = Callable[[list[Row]], Tensor]


@dataclass(frozen=True)
class Case:
    """A loss and its plain loops.

    Attributes
    ----------
    make : callable () -> Loss
        Fresh, ready for the samples here, in float64.
    by_loops : callable (list of Row, **parameters) -> Tensor
        The loss's own parameters are given by name.
    largest_logit : float
        At cosines of +-1.
    one_positive : bool
        Whether it is defined for one positive an anchor only.
    views : bool
        Whether it is defined for two views that are pooled only.
    is_softmax : bool
        Whether M candidates of one similarity give log M.
    """

    name: str
    construct: Callable[[], Loss]
    by_loops: Callable[..., Tensor]
    largest_logit: float
    one_positive: bool = False
    views: bool = False
    is_softmax: bool = True

    def __str__(self) -> str:
        return self.name

    def make(self) -> Loss:
        loss = self.construct().double()
        loss.prepare(Training(samples=SAMPLES, epochs=10, steps_per_epoch=4))
        return loss

    def supports(self, pair_type: PairType) -> bool:
        return (pair_type.one_positive or not self.one_positive) and (pair_type.views or not self.views)


def _infonce(temperature: float) -> Case:
    return Case(
        f"InfoNCE-{temperature:g}",
        lambda: losses.InfoNCE(temperature),
        partial(by_loops.infonce, temperature=temperature),
        1 / temperature,
    )


def _temperature_free(scale: float) -> Case:
    return Case(
        f"TemperatureFree-{scale:g}",
        lambda: losses.TemperatureFree(scale=scale),
        partial(by_loops.temperature_free, scale=scale, eps=2.0**-20),
        7.3 * scale,
    )


def _adap_tau() -> Loss:
    loss = losses.AdapTau()
    loss.start(Step(0, 0, 0))
    return loss


def _scheduled(epoch: int) -> Case:
    def construct() -> Loss:
        loss = losses.TemperatureSchedule(period=10)
        loss.start(Training(SAMPLES, epochs=10, steps_per_epoch=4).step(4 * epoch))
        return loss

    return Case(
        f"TemperatureSchedule-{epoch}",
        construct,
        partial(by_loops.temperature_schedule, tau_min=0.1, tau_max=1.0, period=10, epoch=epoch),
        10.0,
    )


_RANGE = {"tau_min": 0.07, "tau_max": 0.2}
_DYSTRESS = partial(by_loops.dystress, **_RANGE)
_DYSTRESS_DCL = partial(by_loops.dystress_dcl, **_RANGE)
_COSINE, _SHIFTED = by_loops.cosine_temperature, by_loops.shifted_temperature

CASES = [
    _infonce(0.05),
    _infonce(1e-3),
    _temperature_free(2.0),
    _temperature_free(4.0),
    Case("DySTreSS", losses.DySTreSS, partial(_DYSTRESS, temperature=_COSINE), 14.3),
    Case("DySTreSS-shifted", lambda: losses.DySTreSS(shape="shifted"), partial(_DYSTRESS, temperature=_SHIFTED), 14.3),
    Case(
        "DySTreSS-dcl",
        lambda: losses.DySTreSS(form="dcl"),
        partial(_DYSTRESS_DCL, temperature=_COSINE),
        14.3,
        is_softmax=False,
    ),
    Case(
        "MonotoneTemperature",
        losses.MonotoneTemperature,
        partial(_DYSTRESS, temperature=by_loops.rising_temperature),
        14.3,
    ),
    Case(
        "MACL",
        losses.MACL,
        partial(by_loops.macl, temperature=0.1, alpha=0.5, threshold=0.0),
        20.0,
        one_positive=True,
        is_softmax=False,
    ),
    Case("LearnableTemperature", losses.LearnableTemperature, by_loops.learnable_temperature, 14.3),
    _scheduled(epoch=3),
    Case("DCL", losses.DCL, partial(by_loops.dcl, temperature=0.1), 10.0, is_softmax=False),
    Case(
        "DCLW",
        losses.DCLW,
        partial(by_loops.dclw, temperature=0.1, sigma=0.5),
        30.0,
        one_positive=True,
        is_softmax=False,
    ),
    Case("SigLIP", losses.SigLIP, by_loops.siglip, 20.0, is_softmax=False),
    Case(
        "RelativeSigLIP",
        lambda: losses.RelativeSigLIP(),
        by_loops.relative_siglip,
        20.0,
        is_softmax=False,
    ),
    Case("PPS", losses.PPS, partial(by_loops.pps, least=1e-3), 1000.0),
    Case(
        "FocalInfoNCE",
        losses.FocalInfoNCE,
        partial(by_loops.focal, temperature=0.05, margin=0.3),
        26.0,
        is_softmax=False,
    ),
    Case(
        "DHEL",
        losses.DHEL,
        partial(by_loops.dhel, temperature=0.3),
        3.4,
        one_positive=True,
        views=True,
        is_softmax=False,
    ),
    Case("AdapTau", _adap_tau, lambda rows: by_loops.AdapTau()(rows), 3.0, one_positive=True, is_softmax=False),
    Case("ISogCLR", losses.ISogCLR, lambda rows: by_loops.ISogCLR()(rows), 10.0, one_positive=True, is_softmax=False),
]

SUPPORTED = [(case, pair_type) for case in CASES for pair_type in PAIR_TYPES if case.supports(pair_type)]


# --- expected, and how close


@dataclass(frozen=True)
class Expected:
    """What plain loops give.

    Attributes
    ----------
    value : float
    by_similarity : Tensor [anchors, candidates]
        Gradient with respect to the cosines.
    by_embedding : Tensor [rows, dimensions]
        Gradient with respect to z1, z2 and the queue, one below the other.
    by_parameter : mapping of name to Tensor
    """

    value: float
    by_similarity: Tensor
    by_embedding: Tensor
    by_parameter: Mapping[str, Tensor]


def expected(case: Case, pair_type: PairType, given: Embeddings, loss: Loss, cosines: Tensor | None = None) -> Expected:
    """Compute by loops in float64, at the cosines of the embeddings or at those given."""
    leaves = given.leaves(torch.float64)
    rows = pair_type.by_loops(leaves)
    exact = by_loops.matrix(rows)
    similarity = (exact if cosines is None else cosines.double()).detach().requires_grad_()
    own = {name: p.detach().double().requires_grad_() for name, p in loss.named_parameters()}
    value = case.by_loops(by_loops.with_cosines(rows, similarity), **own)
    by_similarity, *by_own = torch.autograd.grad(value, [similarity, *own.values()])
    exact.backward(by_similarity)
    return Expected(value.item(), by_similarity, leaves.gradients, dict(zip(own, by_own, strict=True)))


def assert_equal(
    loss: Loss, value: Tensor, leaves: Embeddings, case: Case, reference: Expected, relative: float
) -> None:
    """Compare a value and, after its backward pass, all gradients.

    To the relative error asked for, and for what no computation can avoid: the rounding of the largest logit, which is
    an absolute error of a logarithm of a sum, and a relative one of each of the terms that add up to a gradient.
    """
    value.backward()
    rounding = 4 * torch.finfo(value.dtype).eps * case.largest_logit
    assert abs(value.item() - reference.value) <= relative * abs(reference.value) + rounding

    shortest = min(z.detach().norm(dim=1).min().item() for z in (leaves.z1, leaves.z2))
    summed = max(reference.by_similarity.abs().sum(dim=dim).max().item() for dim in (0, 1)) / min(shortest, 1.0)
    assert_close(leaves.gradients, reference.by_embedding, relative, rounding * summed)
    for name, parameter in loss.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, reference.by_parameter[name], relative, rounding * max(1.0, case.largest_logit))


def assert_close(actual: Tensor, wanted: Tensor, relative: float, absolute: float) -> None:
    bound = relative * wanted.abs().max().item() + absolute
    torch.testing.assert_close(actual.double(), wanted, rtol=0, atol=bound)


def dense(pairs_: Pairs, similarity: Tensor | None = None) -> Pairs:
    """The same pairs as matrices, perhaps with other cosines."""
    similarity = pairs_.similarity if similarity is None else similarity
    return Pairs(similarity, pairs_.positive, pairs_.candidate, pairs_.index, pairs_.roles.own_view)
