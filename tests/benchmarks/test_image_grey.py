"""Grey images of other data sets: silhouettes of animals, and MNIST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from suite.benchmarks.image import GreyImageClassification, grey
from suite.data import DataError, Store
from suite.training import Context
from tests.benchmarks.images_factory import ImageConformance, Locate, context, write_images

COUNT = 10_000
TINY = GreyImageClassification(
    train_images=200, gallery_images=100, val_images=100, test_images=100, batch=50, epochs=2, width=4, hidden=16
)


def animals(seed: int = 1, test_seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """As in the factory: a bright square at one of ten places. A thousand a class in order, of which 800 differ."""
    labels = np.repeat(np.arange(10), COUNT // 10)
    images = np.empty((COUNT, 28, 28), np.uint8)
    for label in range(10):
        mine = images[1000 * label : 1000 * (label + 1)]
        for draws, part in (
            (default_rng([seed, label]), mine[:600]),
            (default_rng([test_seed, label, 1]), mine[600:800]),
        ):
            part[:] = draws.integers(0, 40, part.shape)
            for image in part:
                top, left = np.array([14 * (label // 5) + 3, 5 * (label % 5) + 1]) + draws.integers(-1, 2, 2)
                image[top : top + 5, left : left + 4] += draws.integers(60, 200).astype(np.uint8)
        mine[800:] = mine[:200]
    return images, labels


def write_animals(folder: Path, images: np.ndarray, labels: np.ndarray) -> Locate:
    """Write arrays where the package's files have them."""
    folder.mkdir(exist_ok=True)
    (folder / "animal_data_version_3").write_bytes(bytes(150) + images.tobytes() + bytes(14))
    (folder / "animal_label_version_3").write_bytes(bytes(146) + labels.astype("<i8").tobytes() + bytes(14))

    def path(dataset: str, member: str) -> Path:
        assert dataset == "animal_shapes"
        return folder / member

    return path


class TestAnimals(ImageConformance):
    benchmark = TINY
    write = staticmethod(lambda folder: write_animals(folder, *animals()))  # type: ignore[assignment]

    def with_other_test_items(self, context: Context) -> Context:
        return replace(context, data=write_animals(self.other_folder, *animals(test_seed=9)))


def test_parts_are_balanced_and_no_image_is_in_two_of_them(tmp_path: Path) -> None:
    images, labels = animals()
    locate = write_animals(tmp_path, images, labels)
    benchmark = GreyImageClassification()
    parts = {part: benchmark.images(part, locate) for part in ("training", "validation", "test")}
    assert {part: len(found) for part, found in parts.items()} == {"training": 5000, "validation": 1000, "test": 2000}
    seen = [image.numpy().tobytes() for found in parts.values() for image in found.pixels]
    assert len(set(seen)) == len(seen) == 8000
    for part, (begin, end) in grey.SHARES.items():
        for label in (0, 9):
            mine = parts[part].pixels[parts[part].labels == label].squeeze(1)
            assert torch.equal(mine, torch.from_numpy(images[1000 * label + begin : 1000 * label + end]))


def test_mnist_is_split_like_fashion_mnist(tmp_path: Path) -> None:
    write_images(tmp_path)
    benchmark = replace(TINY, dataset="mnist", train_images=500)

    def locate(dataset: str, member: str) -> Path:
        assert dataset == "mnist"
        return tmp_path / member

    task = benchmark.task(context(locate))
    assert (len(task.images), len(task.validation)) == (500, 100)
    assert len(benchmark.images("test", locate)) == 120


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "kmnist"}, "dataset should be 'animal_shapes' or 'mnist', got 'kmnist'"),
        ({"train_images": 6000}, "train_images should be a multiple of 10 up to 5000, got 6000"),
        ({"dataset": "mnist", "train_images": 60_000}, "up to 50000"),
    ],
)
def test_settings_that_the_data_set_cannot_fill_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GreyImageClassification(**settings)  # type: ignore[arg-type]


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    images, labels = animals()
    locate = write_animals(tmp_path, images[:-1], labels)
    (tmp_path / "animal_data_version_3").write_bytes(bytes(150) + images[:-1].tobytes())
    with pytest.raises(ValueError, match="should hold 7840000 bytes after its header"):
        GreyImageClassification().images("test", locate)


@pytest.mark.data
def test_the_real_silhouettes_are_ten_kinds_of_animals() -> None:
    store = Store()
    try:
        store.locate("animal_shapes", "animal_data_version_3")
    except DataError:
        pytest.skip("the data is not in the cache: python -m suite data fetch")
    parts = [GreyImageClassification().images(part, store.locate) for part in ("training", "validation", "test")]
    seen = [image.numpy().tobytes() for part in parts for image in part.pixels]
    assert len(set(seen)) == len(seen) == 8000
    mine = [torch.cat([part.pixels[part.labels == label] for part in parts]) for label in range(10)]
    stripes = [float(((pixels > 60) & (pixels < 195)).float().mean()) for pixels in mine]
    # the animals are filled with black, but for the last: a zebra has stripes
    assert stripes[9] > 2 * max(stripes[:9])
