"""What every benchmark has to fulfil: tests that its own test class inherits.

.. code-block:: python

    class TestMine(BenchmarkConformance):
        benchmark = Mine(epochs=2, width=8)
        primary = "accuracy"
        references = ("chance", "raw", "untrained")

        def context(self, seed): ...
        def with_other_test_items(self, context): ...

pytest collects the inherited methods. With ``pytest.register_assert_rewrite("suite.conformance.benchmark")`` in a
conftest it also shows the values that differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from suite import losses
from suite.benchmarks.base import Benchmark
from suite.losses import InfoNCE, LearnableTemperature, Loss
from suite.losses.steps import Step
from suite.outcomes import TOLERANCE
from suite.pairs import Pairs
from suite.training import Checkpoint, Context, Interrupted, Metrics, Task, evaluate, train
from suite.training.evaluated import outcomes_of

#: Every loss of the suite, by the name of its class.
FAMILY: Final[Mapping[str, Callable[[], Loss]]] = {
    name: partial(InfoNCE, 0.5) if name == "InfoNCE" else getattr(losses, name)
    for name in losses.__all__
    if name not in ("AnchorLoss", "LogitLoss", "Loss") and isinstance(getattr(losses, name), type)
}
STEPS_OF_A_TRIAL = 3


class BenchmarkConformance:
    """Tests of a benchmark; a subclass says which, and on what data.

    Attributes
    ----------
    benchmark : Benchmark
        Small settings: a training should take less than a second.
    primary : str
        The metric that the registry names.
    references : sequence of str
        All that the registry lists for it.
    test_only : sequence of str
        Metrics of data that has no part for validation, so that nothing can be chosen by them.
    """

    benchmark: Benchmark
    primary: str
    references: Sequence[str] = ("chance", "untrained")
    test_only: Sequence[str] = ()

    def context(self, seed: int) -> Context:
        """Return the context of a seed, on small data of the test's own."""
        raise TypeError(f"{type(self).__name__} does not define context(seed)")

    def with_other_test_items(self, context: Context) -> Context:
        """Return a context of the same seed in which every test item has been replaced, and nothing else."""
        raise TypeError(f"{type(self).__name__} does not define with_other_test_items(context)")

    def make_constant(self, task: Task) -> None:
        """Make the task's encoder give every item the same features; all parameters zero, unless overridden."""
        with torch.no_grad():
            for parameter in task.model.parameters():
                parameter.zero_()

    def test_one_seed_gives_the_same_bits(self) -> None:
        first, second = (self._trained(InfoNCE(0.5)) for _ in range(2))
        assert first.metrics == second.metrics
        assert first.reports == second.reports
        assert _same(first.weights, second.weights)

    def test_another_seed_draws_other_weights_and_views(self) -> None:
        first, second = (_Noting() for _ in range(2))
        assert not _same(self._trial(0, first).weights, self._trial(1, second).weights)
        assert not torch.equal(first.noted[0].similarity, second.noted[0].similarity)

    def test_a_run_interrupted_at_any_step_ends_in_the_same_bits(self, tmp_path: Path) -> None:
        whole = self._trained(LearnableTemperature(0.5))
        steps = len(whole.reports)
        for last in sorted({1, steps // 2, steps - 1} - {0, steps}):
            checkpoint = Checkpoint(tmp_path / f"{last}.pt", lambda: False, _save)
            interrupted = self._run(0, LearnableTemperature(0.5), checkpoint, last)
            torch.rand(17)  # another process would have another default generator
            resumed = self._run(0, LearnableTemperature(0.5), checkpoint)
            assert interrupted.reports + resumed.reports == whole.reports, f"interrupted after step {last}"
            assert resumed.metrics == whole.metrics, f"interrupted after step {last}"
            assert _same(resumed.weights, whole.weights), f"interrupted after step {last}"

    def test_losses_are_paired_whatever_they_draw(self) -> None:
        plain, drawing = _Noting(), _Noting(draws=7)
        self._trial(0, plain)
        self._trial(0, drawing)
        for mine, other in zip(plain.noted, drawing.noted, strict=True):
            assert torch.equal(mine.similarity, other.similarity)
            assert torch.equal(mine.index, other.index)

    def test_training_and_selection_touch_no_test_item(self) -> None:
        context = self.context(0)
        mine = self._trained(InfoNCE(0.5), context)
        other = self._trained(InfoNCE(0.5), self.with_other_test_items(context))
        assert _same(mine.weights, other.weights)
        assert mine.reports == other.reports
        assert mine.of("val") == other.of("val")
        assert mine.of("test") != other.of("test"), "with_other_test_items() replaces nothing that is evaluated"

    def test_every_loss_of_the_suite_trains(self) -> None:
        noting = _Noting()
        self._trial(0, noting)
        has_views = all(pairs.roles.has_views for pairs in noting.noted)
        for name, make in FAMILY.items():
            loss = make()
            if getattr(loss, "needs_views", False) and not has_views:
                continue
            run = self._trial(0, loss)
            assert all(bool(weight.isfinite().all()) for weight in run.weights.values()), name

    def test_pairs_are_numbered_within_the_training_set(self) -> None:
        loss = _Noting()
        self._trial(0, loss)
        samples = self.benchmark.task(self.context(0)).samples
        for pairs in loss.noted:
            assert int(pairs.index.min()) >= 0
            assert int(pairs.index.max()) < samples

    def test_both_splits_have_the_same_finite_metrics(self) -> None:
        run = self._trained(InfoNCE(0.5))
        assert run.of("val").keys() | set(self.test_only) == run.of("test").keys()
        assert run.of("val").keys().isdisjoint(self.test_only)
        assert self.primary in run.of("val")
        assert all(math.isfinite(value) for value in run.metrics.values()), run.metrics

    def test_outcomes_are_what_their_metrics_are_made_of(self) -> None:
        of_seeds = []
        for seed in (0, 1):
            task = self.benchmark.task(self.context(seed))
            for split in ("val", "test"):
                metrics = task.evaluate(split)
                for name, outcomes in outcomes_of(metrics).items():
                    found = outcomes.compact().value()
                    assert math.isclose(found, metrics[name], abs_tol=TOLERANCE), (
                        f"{split}/{name}: outcomes give {found}"
                    )
            of_seeds.append(outcomes_of(metrics))
        for name, outcomes in of_seeds[0].items():
            other, message = of_seeds[1][name], f"{name}: an item bears the same number whatever the seed"
            assert outcomes.values.shape == other.values.shape, message
            if outcomes.truth is not None and other.truth is not None:
                assert np.array_equal(outcomes.truth, other.truth), message

    def test_evaluation_and_diagnostics_change_nothing(self) -> None:
        context = self.context(0)
        task = self.benchmark.task(context)
        train(task, InfoNCE(0.5), context.streams)
        before, mode = _copy(task.model.state_dict()), task.model.training
        draws = torch.random.get_rng_state()
        first = evaluate(task)
        with torch.no_grad():
            assert task.diagnostics() == task.diagnostics()
        assert evaluate(task) == first
        assert _same(before, task.model.state_dict())
        assert task.model.training == mode
        assert torch.equal(draws, torch.random.get_rng_state())

    def test_a_constant_encoder_is_at_chance(self) -> None:
        task = self.benchmark.task(self.context(0))
        chance = task.reference("chance")
        assert isinstance(chance, Mapping)
        self.make_constant(task)
        metrics = evaluate(task)
        for name in (f"{split}/{self.primary}" for split in ("val", "test")):
            assert math.isclose(metrics[name], chance[name], abs_tol=1e-9), name

    def test_references_are_measured_as_the_benchmark_is(self) -> None:
        for name in self.references:
            context = self.context(0)
            reference = self.benchmark.task(context).reference(name)
            if isinstance(reference, Task):
                train(reference, None, context.streams)
                reference = evaluate(reference)
            assert {f"val/{self.primary}", f"test/{self.primary}"} <= reference.keys(), name
            assert all(math.isfinite(value) for value in reference.values()), name

    def test_an_unknown_reference_is_refused(self) -> None:
        try:
            self.benchmark.task(self.context(0)).reference("no such reference")
        except ValueError as error:
            assert "no such reference" in str(error)
        else:
            raise AssertionError("an unknown reference was not refused")

    def _trained(self, loss: Loss, context: Context | None = None) -> _Run:
        return self._run(0, loss, context=context)

    def _trial(self, seed: int, loss: Loss) -> _Run:
        return self._run(seed, loss, last=STEPS_OF_A_TRIAL)

    def _run(
        self,
        seed: int,
        loss: Loss,
        checkpoint: Checkpoint | None = None,
        last: int | None = None,
        context: Context | None = None,
    ) -> _Run:
        """Train to the end, or up to step `last`, and note what happens."""
        context = context or self.context(seed)
        task = self.benchmark.task(context)
        run = _Run()

        def report(step: Step, metrics: Metrics) -> None:
            run.reports.append((step, dict(metrics)))

        def stop() -> bool:
            return last is not None and len(run.reports) == last

        try:
            train(task, loss, context.streams, report, checkpoint, stop)
        except Interrupted:
            pass
        else:
            run.metrics = dict(evaluate(task))
        run.weights = _copy(task.model.state_dict())
        return run


class _Run:
    """What came of a training."""

    def __init__(self) -> None:
        self.reports: list[tuple[Step, dict[str, float]]] = []
        self.metrics: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def of(self, split: str) -> dict[str, float]:
        return {name.removeprefix(f"{split}/"): v for name, v in self.metrics.items() if name.startswith(f"{split}/")}


class _Noting(InfoNCE):
    """Notes the pairs that it is given and draws from torch's default generator, as a loss with sampling would."""

    def __init__(self, draws: int = 0) -> None:
        super().__init__(0.5)
        self.draws = draws
        self.noted: list[Pairs] = []

    def forward(self, pairs: Pairs) -> Tensor:
        torch.rand(self.draws)
        roles = pairs.positive, pairs.candidate
        self.noted.append(Pairs(pairs.similarity.detach().clone(), *roles, pairs.index, pairs.roles.own_view))
        return super().forward(pairs)


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _save(path: Path, state: Mapping[str, Any]) -> None:
    torch.save(dict(state), path)
