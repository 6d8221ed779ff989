"""Small colour images in the formats of the published data sets, and tiny benchmarks on them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from suite.benchmarks.image.colour import ColourImageClassification
from suite.training import Context
from suite.training.streams import Streams

Locate = Callable[[str, str], Path]
CLASSES = 10
TINY = ColourImageClassification(
    dataset="cifar10_jpeg", stem="imagenet", size=16, batch=48, epochs=1, hidden=16, embedding=8, queue=160
)


def images(count: int, seed: int, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return images uint8 [count, side, side, 3], each class a colour with a bright corner of its own, and labels."""
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    colours = np.random.default_rng(0).integers(30, 200, (CLASSES, 3))
    pixels = colours[labels][:, None, None, :] + draws.integers(-25, 25, (count, side, side, 3))
    half = side // 2
    for image, label in zip(pixels, labels, strict=True):
        image[half * (label % 2) :, : half * (1 + label % 2)] += 30 * (label % 3)
    return pixels.clip(0, 255).astype(np.uint8), labels


def write_folder(
    folder: Path,
    part: str,
    count: int,
    seed: int,
    sides: tuple[int, int] = (16, 16),
    ending: str = "png",
    are_grey: bool = False,
) -> None:
    """Write an image folder: a folder a class, a file an image, of any height and width between two sides."""
    draws = np.random.default_rng(seed)
    pixels, labels = images(count, seed, sides[1])
    if are_grey:
        pixels = np.full_like(pixels, 128)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        height, width = draws.integers(sides[0], sides[1], 2, endpoint=True)
        file = folder / part / f"class{label}" / f"{number:04}.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[:height, :width]).save(file)


def write_cifar(folder: Path, dataset: str, count: int = 40) -> None:
    """Write what the authors of CIFAR pack, with few images: pickles of rows of 3,072 bytes, colour after colour."""
    is_ten = dataset == "cifar10"
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"] if is_ten else ["train", "test"]
    place = folder / ("cifar-10-batches-py" if is_ten else "cifar-100-python")
    place.mkdir(parents=True)
    for seed, name in enumerate(names):
        pixels, labels = images(count if is_ten or name == "test" else 5 * count, seed, side=32)
        rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        content = {"data": rows, ("labels" if is_ten else "fine_labels"): labels.tolist()}
        (place / name).write_bytes(pickle.dumps(content))
    meta = {("label_names" if is_ten else "fine_label_names"): [f"class{i}" for i in range(CLASSES)]}
    (place / ("batches.meta" if is_ten else "meta")).write_bytes(pickle.dumps(meta))


def below(folder: Path) -> Locate:
    """Return what finds the members of any data set in a folder."""
    return lambda dataset, member: folder / member


def context(locate: Locate, seed: int = 0) -> Context:
    return Context(Streams(seed), torch.device("cpu"), locate)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 240 images of one size to train on and 40 to test on."""
    folder = tmp_path_factory.mktemp("colour")
    write_folder(folder, "train", 240, seed=1)
    write_folder(folder, "test", 40, seed=2)
    return folder
