from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from suite.losses import InfoNCE, Loss
from suite.pairs import Pairs
from suite.records.files import atomic_write
from suite.training import (
    Batches,
    Checkpoint,
    Context,
    Histograms,
    Interrupted,
    Metrics,
    NonFiniteLoss,
    Objective,
    Step,
    Task,
    evaluate,
    train,
)
from suite.training.similarities import HISTOGRAM_BINS
from suite.training.streams import Streams
from tests.toys import Blobs, Explodes


def context(seed: int = 0) -> Context:
    def no_data(dataset: str, member: str) -> Path:
        raise AssertionError("blobs need no data")

    return Context(Streams(seed), torch.device("cpu"), no_data)


class Centred(Loss):
    """A loss with a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("seen", torch.tensor(0.0))

    def forward(self, pairs: Pairs) -> Tensor:
        self.seen += pairs.similarity.detach().mean()
        return (self.scale * pairs.similarity - self.seen).square().mean()


def trained(
    loss: Loss, checkpoint: Checkpoint | None = None, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    task = Blobs(epochs=2).task(context())
    reported: list[tuple[int, Metrics]] = []
    train(task, loss, Streams(0), lambda step, metrics: reported.append((step.index, metrics)), checkpoint, stop)
    return {"model": task.model.state_dict(), "loss": loss.state_dict(), "metrics": evaluate(task), "steps": reported}


def save(path: Path, state: Mapping[str, Any]) -> None:
    atomic_write(path, lambda file: torch.save(state, file))


@pytest.mark.parametrize("make", [lambda: InfoNCE(0.2), Centred], ids=["infonce", "stateful"])
@pytest.mark.parametrize("last", [1, 7, 8, 15])
def test_a_run_interrupted_at_any_step_ends_bit_identical(make: Callable[[], Loss], last: int, tmp_path: Path) -> None:
    whole = trained(make())
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", lambda: False, save)
    asked = iter(range(100))
    with pytest.raises(Interrupted, match=f"step {last}"):
        trained(make(), checkpoint, stop=lambda: next(asked) + 1 == last)
    torch.rand(17)  # another process would have another default generator
    resumed = trained(make(), checkpoint)
    assert resumed["steps"][0][0] == last
    assert resumed["metrics"] == whole["metrics"]
    for part in ("model", "loss"):
        for name, tensor in whole[part].items():
            assert torch.equal(resumed[part][name], tensor), name


def test_due_checkpoints_are_written_and_used(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", lambda: True, save)
    trained(InfoNCE(0.2), checkpoint)
    assert torch.load(checkpoint.path, weights_only=True)["step"] == 16


def test_losses_share_weights_order_and_augmentation_at_one_seed() -> None:
    first: list[Tensor] = []

    class Watching(Loss):
        def forward(self, pairs: Pairs) -> Tensor:
            if len(first) < 2 and not self.seen:
                first.append(pairs.similarity.detach().clone())
            self.seen = True
            return self.factor * pairs.similarity.sum()

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor, self.seen = factor, False

    trained(Watching(1.0))
    trained(Watching(-1.0))
    assert torch.equal(first[0], first[1])


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights() -> None:
    task = Blobs().task(context())
    with pytest.raises(NonFiniteLoss, match=r"nan at step 2 \(epoch 0\)"):
        train(task, Explodes(), Streams(0))
    assert all(torch.isfinite(p).all() for p in task.model.parameters())


def test_parameters_of_a_loss_are_trained_without_decay() -> None:
    groups: list[dict[str, Any]] = []

    class Spying(Task):
        samples, epochs, steps_per_epoch = 1, 1, 3

        def __init__(self) -> None:
            self.inner = Blobs().task(context())
            self.model = self.inner.model

        def objective(self, step: Step) -> Objective:
            return self.inner.objective(step)

        def evaluate(self, split: str) -> Metrics:
            return {}

        def optimizer(self, given: Any) -> torch.optim.Optimizer:
            groups.extend(given)
            return torch.optim.SGD(groups, lr=0.1)

        def rate(self, progress: float) -> float:
            return 1.0 - progress

    loss = Centred()
    train(Spying(), loss, Streams(0))
    assert loss.scale.item() != 2.0
    assert groups[1]["weight_decay"] == 0.0
    assert groups[0]["lr"] == pytest.approx(0.1 / 3)  # the last of the rates 1, 2/3, 1/3


def test_metrics_are_reported_at_few_steps_and_name_what_they_are() -> None:
    task = Blobs(epochs=4).task(context())
    reported: dict[int, Metrics] = {}
    train(task, InfoNCE(0.2), Streams(0), lambda s, m: reported.update({s.index: m}), log_points=4)
    logged = [step for step, metrics in reported.items() if metrics]
    assert len(reported) == 32
    assert logged == [0, 8, 16, 24, 31]
    assert set(reported[0]) == {"train/loss", "train/similarity_positive", "train/similarity_negative"}


def test_logged_cosines_are_the_means_over_all_positives_and_all_negatives() -> None:
    class Noting(InfoNCE):
        def forward(self, pairs: Pairs) -> Tensor:
            noted.append(Pairs(pairs.similarity.detach(), pairs.positive, pairs.candidate, pairs.index))
            return super().forward(pairs)

    noted: list[Pairs] = []
    reported: list[Metrics] = []
    train(Blobs(epochs=1).task(context()), Noting(0.2), Streams(0), lambda s, m: reported.append(m))
    for role in ("positive", "negative"):
        first = noted[0]
        chosen = first.positive if role == "positive" else first.candidate & ~first.positive
        expected = first.similarity.double()[chosen].mean().item()
        assert reported[0][f"train/similarity_{role}"] == pytest.approx(expected, rel=1e-6)


def test_the_last_step_has_the_histograms_of_its_cosines() -> None:
    class Noting(InfoNCE):
        def forward(self, pairs: Pairs) -> Tensor:
            noted.append(Pairs(pairs.similarity.detach(), pairs.positive, pairs.candidate, pairs.index))
            return super().forward(pairs)

    noted: list[Pairs] = []
    reported: list[Histograms] = []
    train(Blobs(epochs=1).task(context()), Noting(0.2), Streams(0), report_histograms=reported.append)
    [histograms] = reported
    last = noted[-1]
    for role, chosen in (("positive", last.positive), ("negative", last.candidate & ~last.positive)):
        expected, _ = np.histogram(last.similarity.double()[chosen].numpy(), bins=HISTOGRAM_BINS, range=(-1, 1))
        assert histograms[f"similarity_{role}"] == pytest.approx(expected / expected.sum(), abs=1e-12)


def test_where_steps_are_few_every_fourth_is_logged_and_the_last() -> None:
    reported: list[Metrics] = []
    train(Blobs(epochs=2).task(context()), InfoNCE(0.2), Streams(0), lambda s, m: reported.append(m))
    assert [step for step, metrics in enumerate(reported) if metrics] == [0, 4, 8, 12, 15]


def test_nothing_to_minimise_is_an_error() -> None:
    class Empty(Task):
        samples, epochs, steps_per_epoch = 1, 1, 1
        model = nn.Linear(1, 1)

        def objective(self, step: Step) -> Objective:
            return Objective()

        def evaluate(self, split: str) -> Metrics:
            return {}

    with pytest.raises(ValueError, match="nothing to minimise"):
        train(Empty(), InfoNCE(0.1), Streams(0))


def test_batches_cover_an_epoch_once_in_an_order_of_their_own() -> None:
    batches = Batches(23, 5, Streams(0))
    assert batches.per_epoch == 4
    epochs = [[i for w in range(4) for i in batches[Step(4 * e + w, e, w)].tolist()] for e in range(2)]
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert Batches(23, 5, Streams(0))[Step(5, 1, 1)].tolist() == epochs[1][5:10]
    assert Batches(3, 50, Streams(0)).per_epoch == 1
