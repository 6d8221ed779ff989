"""Labelled colour images: held in memory where they are small, decoded from an image folder where they are not.

torchvision reads what lies in the cache; it downloads nothing. Images of one size are held as they are, on the device
that computes; others are decoded again for each view, by threads, and cropped before they reach it.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from suite.benchmarks.image.colour import crops

Locate = Callable[[str, str], Path]
Part = Literal["train", "test"]
READERS: Final = 8
"""Threads that decode images."""


class ColourImages(abc.ABC):
    """Colour images of one part of a data set.

    Attributes
    ----------
    labels : Tensor [images], int64
        On the CPU, as are the numbers that images are asked for by.
    """

    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @abc.abstractmethod
    def random_crops(
        self, numbers: Tensor, draws: Tensor, least_area: float, size: int, device: torch.device
    ) -> Tensor:
        """Return random resized crops of images, half of them mirrored.

        Parameters
        ----------
        numbers : Tensor [images], int64
        draws : Tensor [views, crops.DRAWS + 1, images]
            Uniform in [0, 1); the last decides which crops are mirrored.
        least_area : float
        size : int
        device : torch.device

        Returns
        -------
        Tensor [views images, 3, size, size], float32
            In [0, 1]; the first views of all images, then the second ones.
        """

    @abc.abstractmethod
    def plain(self, numbers: Tensor, share: float, size: int, device: torch.device) -> Tensor:
        """Return the middle of images, resized: [images, 3, size, size], float32.

        Parameters
        ----------
        numbers : Tensor [images], int64
        share : float
            Of the shorter side that the middle's side is.
        size : int
        device : torch.device
        """


class HeldImages(ColourImages):
    """Images of one size, in memory.

    Parameters
    ----------
    pixels : Tensor [images, 3, height, width], uint8
    labels : Tensor [images], int64
    """

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels = pixels
        self.labels = labels

    def random_crops(
        self, numbers: Tensor, draws: Tensor, least_area: float, size: int, device: torch.device
    ) -> Tensor:
        """See :meth:`ColourImages.random_crops`."""
        images = self._floats(numbers, device)
        height, width = (torch.full((len(numbers),), side) for side in images.shape[2:])
        views = []
        for draw in draws:
            boxes = crops.random_boxes(draw[:-1], height, width, least_area)
            views.append(crops.resized(images, boxes, size, draw[-1] < 0.5))
        return torch.cat(views)

    def plain(self, numbers: Tensor, share: float, size: int, device: torch.device) -> Tensor:
        """See :meth:`ColourImages.plain`."""
        images = self._floats(numbers, device)
        height, width = images.shape[2:]
        if (height, width) == (size, size) and share == 1:
            return images
        return crops.resized(images, middle(height, width, share).expand(len(images), 4), size)

    def _floats(self, numbers: Tensor, device: torch.device) -> Tensor:
        if self.pixels.device != device:
            self.pixels = self.pixels.to(device)
        return self.pixels[numbers.to(device)].float().div_(255)


class FolderImages(ColourImages):
    """Images of any size, decoded whenever they are asked for.

    Parameters
    ----------
    files : sequence of Path
    labels : Tensor [images], int64
    """

    def __init__(self, files: Sequence[Path], labels: Tensor) -> None:
        self.files = files
        self.labels = labels
        self._threads = ThreadPoolExecutor(READERS)

    def random_crops(
        self, numbers: Tensor, draws: Tensor, least_area: float, size: int, device: torch.device
    ) -> Tensor:
        """See :meth:`ColourImages.random_crops`."""

        def views(place: int) -> Tensor:
            image = _decoded(self.files[int(numbers[place])])
            height, width = (torch.tensor([side]) for side in image.shape[1:])
            of_image = draws[:, :, place : place + 1]
            boxes = [crops.random_boxes(draw[:-1], height, width, least_area)[0] for draw in of_image]
            return torch.stack([_resized(image, box, size) for box in boxes])

        made = torch.stack(list(self._threads.map(views, range(len(numbers)))), dim=1).flatten(0, 1)
        made = made.to(device, non_blocking=True).float().div_(255)
        mirrored = (draws[:, -1].flatten() < 0.5).to(device)[:, None, None, None]
        return torch.where(mirrored, made.flip(3), made)

    def plain(self, numbers: Tensor, share: float, size: int, device: torch.device) -> Tensor:
        """See :meth:`ColourImages.plain`."""

        def view(number: int) -> Tensor:
            image = _decoded(self.files[number])
            return _resized(image, middle(image.shape[1], image.shape[2], share), size)

        return torch.stack(list(self._threads.map(view, numbers.tolist()))).to(device).float().div_(255)


def middle(height: int, width: int, share: float) -> Tensor:
    """Return the box of the middle square: int64 [4], top, left, height, width."""
    side = round(min(height, width) * share)
    return torch.tensor([(height - side) // 2, (width - side) // 2, side, side])


def _decoded(file: Path) -> Tensor:
    """Return an image: uint8 [3, height, width]."""
    from PIL import Image

    with Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _resized(image: Tensor, box: Tensor, size: int) -> Tensor:
    from torchvision.transforms.v2.functional import resized_crop

    top, left, height, width = box.tolist()
    resized: Tensor = resized_crop(image, top, left, height, width, [size, size], antialias=True)
    return resized


@dataclass(frozen=True)
class Cifar:
    """One of the CIFAR data sets as its authors pack it, read by the class of torchvision that has this name.

    Attributes
    ----------
    reader : str
    classes : int
    files : tuple of str
        The members that the reader looks at, all in one folder.
    """

    reader: str
    classes: int
    files: tuple[str, ...]

    def members(self, part: Part) -> tuple[str, ...]:
        """Return the members to be there, and right, before anything is read: they are pickles."""
        return self.files

    def load(self, part: Part, places: Sequence[Path]) -> ColourImages:
        """Return the images of a part."""
        from torchvision import datasets

        found = getattr(datasets, self.reader)(places[0].parents[1], train=part == "train", download=False)
        return HeldImages(torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets))


@dataclass(frozen=True)
class Folder:
    """A folder for each part, with a folder of images for each class.

    Attributes
    ----------
    classes : int
    train, test : tuple of str
        The member that holds a part, and the folder in it, if the part is not the whole member.
    are_alike : bool
        They have one size, and fit into memory.
    """

    classes: int
    train: tuple[str, ...] = ("train/",)
    test: tuple[str, ...] = ("val/",)
    are_alike: bool = False

    def members(self, part: Part) -> tuple[str, ...]:
        """Return the member that holds a part."""
        return self._places(part)[:1]

    def load(self, part: Part, places: Sequence[Path]) -> ColourImages:
        """Return the images of a part.

        Raises
        ------
        ValueError
            If there are not as many classes as there should be.
        """
        from torchvision.datasets import ImageFolder

        folder = places[0].joinpath(*self._places(part)[1:])
        found = ImageFolder(str(folder))
        if len(found.classes) != self.classes:
            message = f"{folder} should hold a folder for each of {self.classes} classes, has {len(found.classes)}"
            raise ValueError(message)
        files, labels = [Path(file) for file, _ in found.samples], torch.tensor(found.targets)
        if not self.are_alike:
            return FolderImages(files, labels)
        with ThreadPoolExecutor(READERS) as threads:
            return HeldImages(torch.stack(list(threads.map(_decoded, files))), labels)

    def _places(self, part: Part) -> tuple[str, ...]:
        return self.train if part == "train" else self.test


_CIFAR10 = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
    "batches.meta",
)
DATASETS: Final[dict[str, Cifar | Folder]] = {
    "cifar10": Cifar("CIFAR10", 10, tuple(f"cifar-10-batches-py/{name}" for name in _CIFAR10)),
    "cifar100": Cifar("CIFAR100", 100, tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))),
    "cifar10_jpeg": Folder(10, test=("test/",), are_alike=True),
    "imagenette": Folder(10, ("imagenette2-160/", "train"), ("imagenette2-160/", "val")),
    "imagenet100": Folder(100),
    "imagenet1k": Folder(1000),
}
"""What a benchmark can be trained on, by its name in the catalogue."""


def load(dataset: str, part: Part, locate: Locate) -> ColourImages:
    """Return the images of a part of a data set; read once a process, so never write into them."""
    return _load(dataset, part, tuple(locate(dataset, member) for member in DATASETS[dataset].members(part)))


@lru_cache(maxsize=4)
def _load(dataset: str, part: Part, places: tuple[Path, ...]) -> ColourImages:
    return DATASETS[dataset].load(part, places)
