"""The published protocol of mean-shifted training, on few images in CIFAR-10's own format and random weights."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10
from torchvision.models import resnet18

from suite.benchmarks.anomaly import AnomalyDetection
from suite.benchmarks.anomaly.networks import NETWORKS, Encoder, Network
from suite.benchmarks.anomaly.task import AnomalyTask
from suite.losses import InfoNCE
from suite.losses.steps import Step
from suite.registry.registry import Registry
from suite.training import Context, Interrupted, train
from suite.training.streams import Streams

FEW = {"classes": (1,), "normal_images": 6, "val_images": 10, "test_images": 20, "size": 32, "batch": 3, "kernel": 9}


@pytest.fixture(scope="module")
def settings(shipped: Registry) -> dict[str, Any]:
    """Return what the registry says of each entry at `paper`."""
    return {name: declared for (name, profile), declared in shipped.settings.items() if profile == "paper"}


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    write_cifar10(tmp_path / "cifar10" / "cifar-10-batches-py")
    for check in ("_check_integrity", "_load_meta"):  # sums of the whole files
        monkeypatch.setattr(CIFAR10, check, lambda self: True)
    (tmp_path / "resnet18_imagenet").mkdir()
    torch.save(resnet18().state_dict(), tmp_path / "resnet18_imagenet" / NETWORKS["resnet18"].member)
    # 240 MB as a file: built here as it would be read
    monkeypatch.setitem(NETWORKS, "resnet152", Unsaved(**vars(NETWORKS["resnet152"])))
    return Context(Streams(0), torch.device("cpu"), lambda dataset, member: tmp_path / dataset / member)


def write_cifar10(folder: Path) -> None:
    """Write what the authors of CIFAR-10 pack, with few images: pickles of rows of 3,072 bytes, colour after colour."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        rows = draws.integers(256, size=(40, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [place % 10 for place in range(40)]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{label}" for label in range(10)]}))


class Unsaved(Network):
    """A network with random weights that come from no file."""

    def pretrained(self, locate: object) -> Encoder:
        return self.untrained()


@pytest.mark.parametrize(
    ("name", "features", "first"),
    [("anomaly_cifar10", 2048, "3.0.conv1.weight"), ("anomaly_cifar10_resnet18", 512, "0.0.weight")],
)
def test_three_real_steps_and_an_evaluation(
    settings: dict[str, Any], context: Context, name: str, features: int, first: str
) -> None:
    declared = AnomalyDetection(**settings[name])
    assert (declared.epochs, declared.batch, declared.learning_rate, declared.views) == (20, 64, 1e-5, 0)
    assert (declared.crop, declared.jitter, declared.hue, declared.grey, declared.blurred) == (0.2, 0.4, 0.1, 0.2, 0.5)
    task = replace(declared, **FEW, learning_rate=0.1).task(context)
    assert isinstance(task, AnomalyTask)
    before = task.model[0].state_dict()[first].clone()
    reports: list[Step] = []
    with pytest.raises(Interrupted):
        train(
            task,
            InfoNCE(0.25),
            context.streams,
            lambda step, metrics: reports.append(step),
            stop=lambda: len(reports) == 3,
        )
    assert not torch.equal(task.model[0].state_dict()[first], before)
    assert all(bool(value.isfinite().all()) for value in task.model.state_dict().values())
    assert task.centres[0].shape == (features,)
    metrics = task.evaluate("test")
    assert 0.0 <= metrics["roc_auc"] <= 1.0
    assert len(metrics.outcomes["roc_auc"].values[0]) == 20


def test_the_published_step_is_the_one_that_is_taken(settings: dict[str, Any], context: Context) -> None:
    """NT-Xent at .25 of normalised features less the centre, as talreiss/Mean-Shifted-Anomaly-Detection writes it."""
    task = replace(AnomalyDetection(**settings["anomaly_cifar10_resnet18"]), **FEW).task(context)
    objective = task.objective(Step(0, 0, 0))
    assert objective.pairs is not None
    found = InfoNCE(0.25)(objective.pairs).detach()
    items = task.turn(Step(0, 0, 0))[1]
    views = task.draw(task.normal[0][items].repeat(2), Streams(0).torch("views of class 1", 0))
    first, second = (torch.nn.functional.normalize(task.start(half)) for half in views.chunk(2))
    normal = task.images.plain(task.normal[0], 0.875, 32, context.device)
    centre = torch.nn.functional.normalize(task.start(normal)).mean(dim=0)
    rows = torch.nn.functional.normalize(torch.cat([first - centre, second - centre]))
    exponentials = (rows @ rows.T / 0.25).exp()
    others = exponentials.sum(dim=1) - exponentials.diagonal()
    positives = torch.cat([exponentials[range(3), range(3, 6)], exponentials[range(3, 6), range(3)]])
    assert float(found) == pytest.approx(-float((positives / others).log().mean().detach()), rel=1e-4)
    optimizer = task.optimizer([{"params": list(task.model.parameters())}])
    assert isinstance(optimizer, torch.optim.SGD)
    assert [optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay")] == [1e-5, 0, 5e-5]
