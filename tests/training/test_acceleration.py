"""What is traded for speed: how a training step is computed, and what is left as it was."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from suite.losses import InfoNCE
from suite.pairs import Pairs
from suite.training import Compute, Context, Metrics, Task, train
from suite.training.acceleration import choose_algorithms
from suite.training.streams import Streams
from tests.toys import Blobs, BlobsTask


def task_of(cls: type[BlobsTask] = BlobsTask) -> BlobsTask:
    return cls(Blobs(epochs=1), Context(Streams(0), torch.device("cpu"), lambda dataset, member: Path()))


def trained(task: Task, compute: Compute) -> tuple[dict[str, Tensor], list[Metrics]]:
    """Return the weights after training, and what was reported of its steps."""
    reported: list[Metrics] = []
    train(task, InfoNCE(0.2), Streams(0), lambda step, metrics: reported.append(metrics), compute=compute)
    return task.model.state_dict(), reported


class Watching(BlobsTask):
    """Notes the types of what its model gives."""

    types: list[tuple[bool, torch.dtype]]

    def __init__(self, settings: Blobs, context: Context) -> None:
        super().__init__(settings, context)
        self.types = []
        self.model.register_forward_hook(
            lambda module, inputs, output: self.types.append((torch.is_grad_enabled(), output.dtype))
        )


class Noting(InfoNCE):
    def forward(self, pairs: Pairs) -> Tensor:
        assert pairs.similarity.dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
        return super().forward(pairs)


def test_by_default_nothing_is_traded() -> None:
    assert Compute().changes() == {}
    plain = trained(task_of(), Compute())
    again: list[Metrics] = []
    task = task_of()
    train(task, InfoNCE(0.2), Streams(0), lambda step, metrics: again.append(metrics))
    assert again == plain[1]
    assert all(torch.equal(value, plain[0][name]) for name, value in task.model.state_dict().items())


def test_what_is_not_the_default_is_told() -> None:
    compute = Compute(precision="bfloat16", deterministic=False)
    assert compute.changes() == {"precision": "bfloat16", "deterministic": False}
    assert Compute(**compute.changes()) == compute


def test_bfloat16_is_of_training_steps_alone_and_ends_before_the_loss() -> None:
    task = task_of(Watching)
    train(task, Noting(0.2), Streams(0), compute=Compute(precision="bfloat16"))
    task.evaluate("val")
    assert {dtype for trains, dtype in task.types if trains} == {torch.bfloat16}
    assert {dtype for trains, dtype in task.types if not trains} == {torch.float32}
    assert {weight.dtype for weight in task.model.parameters()} == {torch.float32}


def test_bfloat16_rounds_and_repeats_its_bits() -> None:
    exact = trained(task_of(), Compute())
    rounded, again = (trained(task_of(), Compute(precision="bfloat16")) for _ in range(2))
    assert all(torch.equal(value, again[0][name]) for name, value in rounded[0].items())
    assert rounded[1] == again[1] != exact[1]
    assert rounded[1][0]["train/loss"] == pytest.approx(exact[1][0]["train/loss"], rel=0.02)


def test_channels_last_is_the_memory_format_of_what_is_trained() -> None:
    task = task_of()
    task.model = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(32, 8))
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    seen: list[bool] = []
    convolution = task.model[1]
    convolution.register_forward_hook(
        lambda module, inputs, output: seen.append(output.is_contiguous(memory_format=torch.channels_last))
    )
    weights, _ = trained(task, Compute(channels_last=True))
    assert seen
    assert all(seen)
    assert weights.keys() == before.keys()


def test_a_task_that_names_nothing_is_not_compiled_in_silence() -> None:
    with pytest.raises(ValueError, match=r"nothing that could be compiled: leave out compute\.compile"):
        trained(task_of(), Compute(compile=True))


class Compiled(BlobsTask):
    def compiled_parts(self) -> Iterable[nn.Module]:
        return (self.model,)


@pytest.mark.slow
def test_compiled_code_gives_the_same_but_for_rounding() -> None:
    def quiet() -> BlobsTask:
        task = task_of(Compiled)
        task.model = nn.Sequential(*(part for part in task.model if not isinstance(part, nn.Dropout)))
        return task

    plain, compiled = trained(quiet(), Compute()), trained(quiet(), Compute(compile=True))
    assert plain[0].keys() == compiled[0].keys()
    for name, value in plain[0].items():
        torch.testing.assert_close(compiled[0][name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_run_on_a_gpu_is_deterministic_unless_it_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    asked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, *, warn_only: asked.append((mode, warn_only))
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", deterministic)
    choose_algorithms(Compute(deterministic=deterministic))
    assert asked == [(deterministic, True)]
    assert torch.backends.cudnn.benchmark is not deterministic
