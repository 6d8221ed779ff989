"""Every published protocol on colour images: three real steps and an evaluation, on small files of the true formats."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from suite.benchmarks.image.colour import ColourImageClassification, data
from suite.benchmarks.image.colour.data import Cifar, Folder, FolderImages, HeldImages
from suite.losses import InfoNCE
from suite.registry.registry import Registry
from suite.training import Checkpoint, Interrupted, Metrics, evaluate, train
from tests.benchmarks.colour_factory import CLASSES, below, context, images, write_cifar, write_folder
from tests.conftest import ROOT

#: Read as plain YAML: every process that collects tests comes by here.
DECLARED = yaml.load((ROOT / "benchmarks.yaml").read_text(), yaml.CSafeLoader)["benchmarks"]
ENTRIES = sorted(name for name, entry in DECLARED.items() if name.startswith("image_") and "paper" in entry["profiles"])
STEPS = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder for each data set, ten classes each."""
    folders = {name: tmp_path_factory.mktemp(name) for name in data.DATASETS}
    for name in ("cifar10", "cifar100"):
        write_cifar(folders[name], name)
    for name in ("imagenette", "imagenet100", "imagenet1k"):
        inside = "imagenette2-160/" if name == "imagenette" else ""
        for seed, (part, count) in enumerate((("train", 120), ("val", 20))):
            write_folder(folders[name], f"{inside}{part}", count, seed, (24, 40), "JPEG")
    return folders


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the readers take files of other content than the published ones: ten classes, other checksums."""
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: None)
    for name, reader in data.DATASETS.items():
        monkeypatch.setitem(data.DATASETS, name, replace(reader, classes=CLASSES))


def test_the_entries_are_those_of_the_registry(shipped: Registry) -> None:
    assert {name for name, profile in shipped.settings if profile == "paper" and name.startswith("image_")} == {
        *ENTRIES
    }


@pytest.mark.parametrize("name", ENTRIES)
def test_each_protocol_trains_and_is_evaluated(name: str, shipped: Registry, files: dict[str, Path]) -> None:
    settings: dict[str, Any] = dict(shipped.settings[name, "paper"])
    small = {"batch": 8, "size": 16, "queue": 64, "kernel": 5, "imbalance": min(settings["imbalance"], 4.0)}
    benchmark = ColourImageClassification(**(settings | small | {"centre": settings["centre"]}))
    here = context(below(files[benchmark.dataset]))
    task = benchmark.task(here)
    assert len(task.images) == (200 if benchmark.dataset.startswith("cifar") else 120)
    reports: list[Metrics] = []
    before = [weight.clone() for weight in task.model.head.parameters()]
    checkpoint = Checkpoint(files[benchmark.dataset] / f"{name}.pt", lambda: False, lambda path, state: None)
    with pytest.raises(Interrupted):
        train(
            task,
            InfoNCE(0.2),
            here.streams,
            lambda step, metrics: reports.append(metrics),
            checkpoint,
            stop=lambda: len(reports) == STEPS,
        )
    assert all(bool(weight.isfinite().all()) for weight in task.model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, task.model.head.parameters(), strict=True))
    metrics = evaluate(task)
    declared = shipped.document.benchmarks[name].metric.name
    primary = declared.replace("knn200", "knn")  # 200 neighbours are not to be had here
    assert {f"val/{primary}", f"test/{primary}"} <= metrics.keys()


# --- what is read


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_is_read_as_its_authors_pack_it(name: str, files: dict[str, Path]) -> None:
    found = data.load(name, "test", below(files[name]))
    assert isinstance(found, HeldImages)
    pixels, labels = images(40, seed=5 if name == "cifar10" else 1, side=32)
    assert np.array_equal(found.pixels.permute(0, 2, 3, 1).numpy(), pixels)
    assert found.labels.tolist() == labels.tolist()


def test_a_pickle_is_opened_only_once_every_member_holds(files: dict[str, Path]) -> None:
    asked: list[str] = []

    def locate(dataset: str, member: str) -> Path:
        asked.append(member)
        if member.endswith("batches.meta"):
            raise OSError("not what the catalogue says")
        return files["cifar10"] / member

    with pytest.raises(OSError, match="not what"):
        data.load("cifar10", "train", locate)
    reader = data.DATASETS["cifar10"]
    assert isinstance(reader, Cifar)
    assert asked == list(reader.files)


def test_images_of_a_folder_are_cropped_as_images_in_memory_are(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 20, seed=3, sides=(24, 24))
    alike, one_by_one = (Folder(CLASSES, are_alike=same).load("train", [tmp_path / "train"]) for same in (True, False))
    assert isinstance(one_by_one, FolderImages)
    assert torch.equal(alike.labels, one_by_one.labels)
    numbers, device = torch.arange(20), torch.device("cpu")
    draws = torch.rand(2, 23, 20, generator=torch.Generator().manual_seed(0))
    for made, other in (
        [found.random_crops(numbers, draws, 0.2, 16, device) for found in (alike, one_by_one)],
        [found.plain(numbers, 0.75, 12, device) for found in (alike, one_by_one)],
    ):
        assert made.shape == other.shape
        torch.testing.assert_close(made, other, rtol=0, atol=1.5 / 255)  # the latter are rounded to bytes


def test_a_folder_with_other_classes_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", 20, seed=3)
    with pytest.raises(ValueError, match=r"train should hold a folder for each of 100 classes, has 10"):
        Folder(100).load("train", [tmp_path / "train"])
