"""Losses that learn, follow training or remember: their parameters, schedules and states."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from suite.losses import ISogCLR, LearnableTemperature, Loss, SigLIP, TemperatureSchedule
from suite.losses.steps import Step, Training
from suite.pairs import EmbeddedPairs, cross_view, two_view, with_queue
from suite.training import train
from suite.training.streams import Streams
from tests.losses import by_loops
from tests.losses.by_loops import Row
from tests.losses.cases import embeddings
from tests.toys import Blobs
from tests.training.test_training import context

TRAINING = Training(samples=10, epochs=400, steps_per_epoch=4)


# --- LearnableTemperature


@pytest.mark.parametrize(("drifted", "kept"), [(10.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)])
def test_a_learnt_temperature_is_brought_back_into_its_range_and_its_gradient_reaches_it(
    drifted: float, kept: float
) -> None:
    loss = LearnableTemperature().double()
    with torch.no_grad():
        loss.log_scale.fill_(drifted)
    given = embeddings("random")
    value = loss(two_view(given.z1, given.z2))
    value.backward()
    assert loss.log_scale.item() == pytest.approx(kept, rel=1e-12)
    assert loss.diagnostics(two_view(given.z1, given.z2)) == {"temperature": pytest.approx(math.exp(-kept))}
    assert loss.log_scale.grad is not None and loss.log_scale.grad.abs() > 0


def test_a_learnt_temperature_starts_where_it_is_told_to() -> None:
    given = embeddings("random")
    pairs = two_view(given.z1, given.z2)
    assert LearnableTemperature().diagnostics(pairs)["temperature"] == pytest.approx(0.07, rel=1e-6)
    assert LearnableTemperature(0.5).diagnostics(pairs)["temperature"] == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("make", [LearnableTemperature, SigLIP])
def test_training_moves_a_losss_parameters_without_weight_decay(make: type[Loss]) -> None:
    task, loss = Blobs(epochs=1).task(context()), make()
    before = [parameter.detach().clone() for parameter in loss.parameters()]
    optimizers: list[torch.optim.Optimizer] = []

    def optimizer(groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        optimizers.append(torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.1))
        return optimizers[0]

    task.optimizer = optimizer  # type: ignore[method-assign, assignment]
    train(task, loss, Streams(0), lambda step, metrics: None)
    of_model, of_loss = optimizers[0].param_groups
    assert (of_model["weight_decay"], of_loss["weight_decay"]) == (0.1, 0.0)
    assert [id(parameter) for parameter in of_loss["params"]] == [id(parameter) for parameter in loss.parameters()]
    assert all(not torch.equal(old, new) for old, new in zip(before, loss.parameters(), strict=True))


# --- TemperatureSchedule


def temperatures(loss: TemperatureSchedule, training: Training, epochs: range) -> list[float]:
    loss.prepare(training)
    result = []
    for epoch in epochs:
        loss.start(training.step(epoch * training.steps_per_epoch))
        result.append(loss.temperature)
    return result


def test_both_published_periods_can_be_had_and_agree_at_400_epochs_only() -> None:
    for epochs in (200, 400):
        # the authors' code; Algorithm 1 of their paper with T = epochs
        code = [0.1 + 0.45 * (1 + math.cos(math.pi * e / 200)) for e in range(epochs)]
        paper = [0.1 + 0.45 * (1 + math.cos(2 * math.pi * e / epochs)) for e in range(epochs)]
        training = Training(samples=10, epochs=epochs, steps_per_epoch=4)
        assert temperatures(TemperatureSchedule(), training, range(epochs)) == pytest.approx(code)
        assert temperatures(TemperatureSchedule(period=epochs), training, range(epochs)) == pytest.approx(paper)
        assert (code == pytest.approx(paper)) == (epochs == 400)


def test_the_schedule_starts_warm_is_coldest_at_half_its_period_and_is_used() -> None:
    loss = TemperatureSchedule(tau_min=0.2, tau_max=0.8, period=10)
    assert temperatures(loss, TRAINING, range(11))[::5] == pytest.approx([0.8, 0.2, 0.8])
    given = embeddings("random")
    rows = by_loops.two_view(given.z1, given.z2)
    for epoch in (0, 2, 5):
        loss.start(TRAINING.step(4 * epoch))
        tau = 0.5 + 0.3 * math.cos(2 * math.pi * epoch / 10)
        assert loss(two_view(given.z1, given.z2)).item() == pytest.approx(by_loops.infonce(rows, tau).item(), rel=1e-10)


def test_the_schedule_moves_within_an_epoch_only_when_told_to() -> None:
    by_epoch, by_step = TemperatureSchedule(period=2), TemperatureSchedule(period=2, per="step")
    found: dict[str, list[float]] = {"epoch": [], "step": []}
    for loss in (by_epoch, by_step):
        loss.prepare(TRAINING)
        for index in range(8):
            loss.start(TRAINING.step(index))
            found[loss.per].append(loss.temperature)
    assert found["epoch"] == pytest.approx([1.0] * 4 + [0.1] * 4)
    assert found["step"] == pytest.approx([0.55 + 0.45 * math.cos(math.pi * index / 4) for index in range(8)])


def test_a_period_can_be_a_share_of_the_training_whatever_its_length() -> None:
    for training in (TRAINING, Training(samples=10, epochs=40, steps_per_epoch=1)):
        loss = TemperatureSchedule(period=0.5, per="training")
        loss.prepare(training)
        found = []
        for index in (0, training.steps // 4, training.steps // 2, 3 * training.steps // 4):
            loss.start(training.step(index))
            found.append(loss.temperature)
        assert found == pytest.approx([1.0, 0.1, 1.0, 0.1])


# --- ISogCLR


def batch(step: int, kind: str) -> tuple[EmbeddedPairs, list[Row]]:
    """Four of ten samples, other ones at every step."""
    given = embeddings("random", seed=step)
    samples = torch.randperm(10, generator=torch.Generator().manual_seed(step))[:4]
    views = (given.z1, given.z1 + given.z2)
    if kind == "two_view":
        return two_view(*views, index=samples), numbered(by_loops.two_view(*views), samples)
    if kind == "cross_view_symmetric":
        return cross_view(*views, samples, symmetric=True), numbered(by_loops.cross_view(*views, True), samples)
    if kind == "repeated":
        samples = samples[[0, 0, 1, 2]]
        return two_view(*views, index=samples), numbered(by_loops.two_view(*views), samples)
    return with_queue(*views, given.queue, samples), numbered(by_loops.with_queue(*views, given.queue), samples)


def numbered(rows: list[Row], samples: Tensor) -> list[Row]:
    return [Row(int(samples[row.sample]), row.columns) for row in rows]


def prepared(**parameters: float) -> ISogCLR:
    loss = ISogCLR(**parameters).double()
    loss.prepare(TRAINING)
    return loss


def states(loss: ISogCLR) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in loss.state_dict().items()}


def assert_remembers(loss: ISogCLR, loops: by_loops.ISogCLR) -> None:
    for sample, tau in loops.tau.items():
        assert loss.tau[sample].item() == pytest.approx(tau, rel=1e-10)
    unseen = sorted(set(range(10)) - set(loops.tau))
    assert loss.tau[unseen].tolist() == [loss.temperature] * len(unseen)


@pytest.mark.parametrize("kind", ["two_view", "cross_view_symmetric", "with_queue", "repeated"])
@pytest.mark.parametrize("parameters", [{}, {"rho": 1.0, "gamma": 0.3, "momentum": 0.9, "rate": 0.02}], ids=str)
def test_values_and_temperatures_follow_the_loops_over_many_steps(kind: str, parameters: dict[str, float]) -> None:
    loss, loops = prepared(**parameters), by_loops.ISogCLR(**parameters)
    for step in range(12):
        pairs, rows = batch(step, kind)
        assert loss(pairs).item() == pytest.approx(loops(rows).item(), rel=1e-10)
        assert_remembers(loss, loops)
    taus = list(loops.tau.values())
    assert len(set(taus)) > 3, "the temperatures should have become individual"


def test_temperatures_fall_to_their_bound_under_a_large_radius_and_rise_without_one() -> None:
    for rho, ends_at_bound in ((60.0, True), (0.0, False)):
        parameters = {"rho": rho, "rate": 0.3, "gamma": 1.0}
        loss, loops = prepared(**parameters), by_loops.ISogCLR(**parameters)
        for step in range(12):
            pairs, rows = batch(step, "two_view")
            assert loss(pairs).item() == pytest.approx(loops(rows).item(), rel=1e-10)
        assert_remembers(loss, loops)
        seen = loss.tau[list(loops.tau)]
        assert (seen == 0.05).all() if ends_at_bound else (seen > 0.1).all()


def test_evaluation_moves_no_state_and_gives_the_value_that_training_would() -> None:
    loss = prepared()
    loss(batch(0, "two_view")[0])
    before = states(loss)
    loss.eval()
    values = [loss(batch(1, "two_view")[0]).item() for _ in range(2)]
    assert all(torch.equal(before[name], value) for name, value in states(loss).items())
    loss.train()
    assert values == [loss(batch(1, "two_view")[0]).item()] * 2
    assert any(not torch.equal(before[name], value) for name, value in states(loss).items())


def test_the_state_survives_a_checkpoint() -> None:
    loss = prepared()
    for step in range(4):
        loss(batch(step, "two_view")[0])
    restored = prepared()
    restored.load_state_dict(states(loss))
    for step in range(4, 8):
        pairs, _ = batch(step, "two_view")
        assert restored(pairs).item() == loss(pairs).item()
    assert all(torch.equal(value, states(loss)[name]) for name, value in states(restored).items())


def test_the_backward_pass_moves_no_state() -> None:
    loss = prepared()
    leaves = embeddings("random").leaves(torch.float64)
    for rows in (100, 3):
        value = loss(two_view(leaves.z1, leaves.z2).in_blocks(rows))
        before = states(loss)
        value.backward()
        assert all(torch.equal(before[name], state) for name, state in states(loss).items())


def test_a_sample_beyond_those_that_were_announced_is_refused() -> None:
    given = embeddings("random")
    loss = prepared()
    for wrong in (10, -1):
        before = states(loss)
        with pytest.raises(ValueError, match=f"sample {wrong} is not among the 10"):
            loss(two_view(given.z1, given.z2, torch.tensor([0, 1, 2, wrong])))
        assert all(torch.equal(before[name], state) for name, state in states(loss).items())


def test_losses_that_follow_training_say_so_when_they_are_used_without() -> None:
    given = embeddings("random")
    pairs = two_view(given.z1, given.z2)
    with pytest.raises(ValueError, match=r"loss\.prepare\("):
        ISogCLR()(pairs)
    schedule = TemperatureSchedule()
    for use in (schedule, schedule.diagnostics, lambda pairs: schedule.temperature):
        with pytest.raises(ValueError, match=r"loss\.start\("):
            use(pairs)
    schedule.prepare(TRAINING)
    schedule.start(TRAINING.step(0))
    assert schedule(pairs).isfinite()


@pytest.mark.parametrize("per", ["step", "training"])
def test_a_schedule_that_needs_the_length_of_the_training_says_so(per: Literal["step", "training"]) -> None:
    schedule = TemperatureSchedule(per=per)
    with pytest.raises(ValueError, match=r"loss\.prepare\(training\) once"):
        schedule.start(TRAINING.step(3))
    schedule.prepare(TRAINING)
    schedule.start(TRAINING.step(3))
    assert 0.1 <= schedule.temperature <= 1.0


def test_training_prepares_a_loss_with_states_and_tells_it_of_every_step() -> None:
    told: list[Step] = []

    class Schedule(TemperatureSchedule):
        def start(self, step: Step) -> None:
            told.append(step)
            super().start(step)

    task = Blobs(epochs=2).task(context())
    train(task, Schedule(period=2), Streams(0), lambda step, metrics: None)
    steps = task.epochs * task.steps_per_epoch
    assert [step.index for step in told] == list(range(steps))

    loss = ISogCLR()
    train(Blobs(epochs=1).task(context()), loss, Streams(0), lambda step, metrics: None)
    assert len(loss.tau) == 256
    assert (loss.tau != 0.1).all()
