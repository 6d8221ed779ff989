"""The fast path of many pairs of two views is the loss that is computed row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from suite.losses import InfoNCE, LogitLoss, Loss, TemperatureFree, symmetric
from suite.losses.exponentials import Exponential
from suite.pairs import EmbeddedPairs, Pairs, two_view
from tests.losses.cases import CASES, Case

FAST = {
    "InfoNCE-0.05",
    "TemperatureFree-2",
    "DySTreSS",
    "MonotoneTemperature",
    "MACL",
    "TemperatureSchedule-3",
    "DCL",
    "DCLW",
    "PPS",
}


def rows(samples: int, kind: str, dtype: torch.dtype = torch.float64) -> Tensor:
    draw = torch.Generator().manual_seed(samples)
    first = torch.randn(samples, 5, generator=draw, dtype=torch.float64)
    second = first + 0.5 * torch.randn(samples, 5, generator=draw, dtype=torch.float64)
    if kind == "clustered":
        first, second = (1.0 + 0.05 * z for z in (first, second))
    elif kind == "duplicate":
        first[1:4], second[2] = first[0], first[0]
    elif kind == "antipodal":
        second = -first
        first[1] = -first[0]
    return torch.cat([first, second]).to(dtype)


def outcome(loss: Loss, z: Tensor, side: int | None, by_rows: bool) -> tuple[Tensor, Tensor]:
    leaf = z.clone().requires_grad_()
    pairs = two_view(*leaf.chunk(2))
    if by_rows:
        similarity = pairs.similarity
        value = loss(Pairs.with_roles(similarity, pairs.roles, pairs.index))
    else:
        value = loss(pairs if side is None else pairs.in_blocks(side))
    (gradient,) = torch.autograd.grad(3 * value, leaf)
    return value.detach(), gradient


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fast path notes here when it is taken."""
    calls: list[str] = []
    original = symmetric._TwoViews.forward

    def forward(*arguments: object) -> Tensor:
        calls.append("taken")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(symmetric._TwoViews, "forward", staticmethod(forward))
    return calls


@pytest.mark.parametrize("kind", ["random", "clustered", "duplicate", "antipodal"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_blocks_of_any_side_give_the_value_and_the_gradient_of_all_rows(
    case: Case, kind: str, taken: list[str]
) -> None:
    if case.name in ("ISogCLR", "AdapTau"):
        pytest.skip("its samples are announced to be four; it has no fast path")
    z = rows(7, kind)
    value, gradient = outcome(case.make(), z, None, by_rows=True)
    for side in (1, 3, 5, 7, 9, 13):
        found, of_rows = outcome(case.make(), z, side, by_rows=False)
        torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12)
        bound = 1e-11 * max(1.0, gradient.abs().max().item()) * case.largest_logit
        torch.testing.assert_close(of_rows, gradient, rtol=0, atol=bound)
    is_sharp = (case.name, kind) == ("PPS", "clustered")  # positives that coincide: its temperature is the least there
    assert len(taken) == (6 if case.name in FAST and not is_sharp else 0)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in FAST], ids=str)
def test_what_is_not_kept_is_computed_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    z = rows(9, "random")
    results = []
    for room in (0, 40, 2**24):
        monkeypatch.setattr(symmetric, "KEPT", room)
        results.append(outcome(case.make(), z, 4, by_rows=False))
    for value, gradient in results[1:]:
        assert torch.equal(value, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("case", [case for case in CASES if case.name in FAST], ids=str)
def test_float32_is_as_close_to_float64_as_by_rows(case: Case) -> None:
    z = rows(300, "random", torch.float32)
    exact = outcome(case.make(), z.double(), None, by_rows=True)
    found, plain = (outcome(case.make().float(), z, 64, by_rows) for by_rows in (False, True))
    for mine, by_rows, wanted in zip(found, plain, exact, strict=True):
        assert mine.dtype == torch.float32
        errors = [(given.double() - wanted).abs().max().item() for given in (mine, by_rows)]
        assert errors[0] <= 2 * errors[1] + 16 * torch.finfo(torch.float32).eps * wanted.abs().max().item()


def test_a_sharp_temperature_leaves_the_fast_path_and_a_flat_one_takes_it(taken: list[str]) -> None:
    z = rows(7, "random", torch.float32)
    for temperature, is_fast in ((1e-3, False), (0.016, False), (0.017, True), (5.0, True)):
        taken.clear()
        value, gradient = outcome(InfoNCE(temperature), z, 3, by_rows=False)
        assert bool(taken) == is_fast
        assert value.isfinite() and gradient.isfinite().all()


def test_a_subclass_with_a_map_of_its_own_is_not_taken_for_its_parent(taken: list[str]) -> None:
    class Doubled(InfoNCE):
        def logits(self, similarity: Tensor) -> Tensor:
            return 2.0 * super().logits(similarity)

    class Renamed(InfoNCE):
        def __init__(self) -> None:
            super().__init__(0.25)

    z = rows(7, "random")
    torch.testing.assert_close(outcome(Doubled(0.5), z, 3, False), outcome(InfoNCE(0.25), z, None, True))
    assert not taken
    torch.testing.assert_close(outcome(Renamed(), z, 3, False), outcome(InfoNCE(0.25), z, None, True))
    assert taken


def test_a_loss_of_ones_own_can_define_its_exponential(taken: list[str]) -> None:
    class Square(LogitLoss):
        def logits(self, similarity: Tensor) -> Tensor:
            return similarity + similarity.square()

        def exponential(self, dtype: torch.dtype, shared: object) -> Exponential:
            def apply(similarity: Tensor, slope: Tensor) -> Tensor:
                exponential = (similarity + similarity.square()).exp_()
                torch.mul(2.0 * similarity + 1.0, exponential, out=slope)
                return exponential

            return Exponential(apply, 1.0)

    z = rows(7, "random")
    torch.testing.assert_close(outcome(Square(), z, 3, False), outcome(Square(), z, None, True))
    assert taken


def test_without_gradients_the_value_is_the_same() -> None:
    z = rows(9, "random")
    for loss in (InfoNCE(0.2), TemperatureFree()):
        with torch.no_grad():
            value = loss(two_view(*z.chunk(2)).in_blocks(4))
        assert not value.requires_grad
        assert torch.equal(value, outcome(loss, z, 4, by_rows=False)[0])


def test_a_diverged_encoder_gives_no_number() -> None:
    z = rows(9, "random")
    z[3, 1] = torch.nan
    for loss in (InfoNCE(0.2), TemperatureFree()):
        pairs: EmbeddedPairs = two_view(*z.chunk(2)).in_blocks(4)
        assert not loss(pairs).isfinite()
