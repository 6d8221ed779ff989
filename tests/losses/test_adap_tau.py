"""Adap-tau over several epochs: its scales follow plain loops, survive checkpoints, and stay finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.special import lambertw
from torch import Tensor

from suite.losses import AdapTau
from suite.losses.adap_tau import lambert_w
from suite.losses.steps import Step, Training
from suite.pairs import EmbeddedPairs, cross_view, two_view, with_queue
from tests.losses import by_loops
from tests.losses.by_loops import Row
from tests.losses.cases import embeddings

TRAINING = Training(samples=10, epochs=3, steps_per_epoch=4)


def prepared(**parameters: Any) -> AdapTau:
    loss = AdapTau(**parameters).double()
    loss.prepare(TRAINING)
    return loss


def batch(step: int, kind: str = "two_view") -> tuple[EmbeddedPairs, list[Row]]:
    """Four of nine samples, other ones at every step, so that one is never seen."""
    given = embeddings("random", seed=step)
    views = (given.z1, given.z1 + given.z2)
    samples = torch.randperm(9, generator=torch.Generator().manual_seed(step))[:4]
    if kind == "two_view":
        pairs, rows = two_view(*views, index=samples), by_loops.two_view(*views)
    elif kind == "cross_view":
        pairs, rows = cross_view(*views, samples), by_loops.cross_view(*views)
    else:
        pairs, rows = with_queue(*views, given.queue, samples), by_loops.with_queue(*views, given.queue)
    return pairs, [Row(int(samples[row.sample]), row.columns) for row in rows]


def states(loss: AdapTau) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loss.state_dict().items()}


@pytest.mark.parametrize("kind", ["two_view", "cross_view", "with_queue"])
@pytest.mark.parametrize("parameters", [{}, {"damping": 0.2}, {"personal": False}], ids=str)
def test_values_and_scales_follow_the_loops_over_epochs(kind: str, parameters: dict[str, Any]) -> None:
    loss, loops = prepared(**parameters), by_loops.AdapTau(**parameters)
    for index in range(TRAINING.steps):
        step = TRAINING.step(index)
        loss.start(step)
        if step.within == 0 and index:
            loops.turn()
        pairs, rows = batch(index, kind)
        assert loss(pairs).item() == pytest.approx(loops(rows).item(), rel=1e-10)
        assert loss.gap.item() == pytest.approx(loops.gap, rel=1e-10)
        for sample in range(TRAINING.samples):
            assert loss.ratio[sample].item() == pytest.approx(loops.ratio.get(sample, 1.0), rel=1e-8)
    assert loss.ratio[9] == 1.0, "a sample that was never seen keeps the common scale"
    assert len(set(loops.ratio.values())) > 3 or not loss.personal, "the scales should have become individual"


def test_lamberts_function_is_scipys() -> None:
    x = torch.cat([torch.logspace(-14, 3, 500), 1 / math.e - torch.logspace(-15, -1, 100)], dim=0).double()
    x = torch.cat([x, -x[x < 1 / math.e], torch.zeros(1)])
    expected = torch.from_numpy(lambertw(x.numpy()).real)
    known = ~expected.isnan()
    assert known.sum() > 900
    w = lambert_w(x)
    # of the distance to the branch point x itself is known to its rounding alone
    torch.testing.assert_close(w[known], expected[known], rtol=1e-13, atol=3e-8)
    away = known & (x > -0.36)
    torch.testing.assert_close(w[away], expected[away], rtol=1e-13, atol=0)
    assert lambert_w(torch.tensor([-1 / math.e], dtype=torch.float64)).item() == -1.0


@pytest.mark.parametrize("damping", [0.01, 0.2, 1.0])
def test_a_harder_sample_gets_a_higher_temperature(damping: float) -> None:
    loss = prepared(damping=damping)
    loss.start(TRAINING.step(0))
    for index in range(4):
        loss(batch(index)[0])
    hardness = loss.hardness / loss.anchors
    seen = loss.anchors > 0
    loss.start(TRAINING.step(4))
    by_hardness = loss.ratio[seen][hardness[seen].argsort()]
    assert (by_hardness.diff() <= 0).all()
    assert math.e >= by_hardness[0] > 1 > by_hardness[-1]
    w = -loss.ratio[seen].log()
    excess = (hardness[seen] - hardness[seen].mean()) / damping
    torch.testing.assert_close(w * w.exp(), excess.clamp(min=-1 / math.e), rtol=1e-9, atol=1e-9)


def test_the_scale_is_bounded_where_the_encoder_tells_nothing_apart() -> None:
    loss = prepared(least_gap=0.2, personal=False)
    same = torch.ones(4, 3, dtype=torch.float64)
    for index in (0, 4):
        loss.start(TRAINING.step(index))
        value = loss(two_view(same, same))
    scale = math.log(7 / 2) / 0.2
    assert loss.gap.item() == pytest.approx(0.0, abs=1e-12)
    assert value.item() == pytest.approx(math.log(6) + scale - scale)
    pairs, rows = batch(0)
    assert loss(pairs).item() == pytest.approx(by_loops.AdapTau(gap=0.2)(rows).item(), rel=1e-10)


@pytest.mark.parametrize("saved_at", [3, 4, 6])
def test_training_goes_on_from_a_checkpoint(saved_at: int) -> None:
    whole, restored = prepared(), prepared()
    for index in range(TRAINING.steps):
        if index == saved_at:
            restored.load_state_dict(states(whole))
        whole.start(TRAINING.step(index))
        value = whole(batch(index)[0])
        if index >= saved_at:
            restored.start(TRAINING.step(index))
            assert restored(batch(index)[0]).item() == value.item()
    assert all(torch.equal(value, states(whole)[name]) for name, value in states(restored).items())


def test_evaluation_and_the_backward_pass_measure_nothing() -> None:
    loss = prepared()
    loss.start(TRAINING.step(0))
    leaves = embeddings("random").leaves(torch.float64)
    value = loss(two_view(leaves.z1, leaves.z2).in_blocks(3))
    before = states(loss)
    value.backward()
    loss.eval()
    loss(two_view(leaves.z1, leaves.z2))
    assert all(torch.equal(before[name], state) for name, state in states(loss).items())


def test_it_says_what_it_needs() -> None:
    pairs, _ = batch(0)
    with pytest.raises(ValueError, match=r"AdapTau keeps a state for each sample: call loss\.prepare\("):
        AdapTau()(pairs)
    loss = prepared()
    with pytest.raises(ValueError, match=r"call loss\.start\("):
        loss(pairs)
    loss.start(Step(0, 0, 0))
    given = embeddings("random")
    with pytest.raises(ValueError, match="sample 10 is not among the 10"):
        loss(two_view(given.z1, given.z2, torch.tensor([0, 1, 2, 10])))
    assert loss(pairs).isfinite()
