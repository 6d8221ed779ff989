"""A SimCLR step on colour images: the suite's `paper` path beside lightly's, the same network, batch and augmentations.

``python -m tests.perf.colour_training`` prints training samples a second of both and their ratio, on the GPU if there
is one, else in processor seconds of one thread. Theirs is a torch.utils.data.DataLoader over images in memory with
lightly's transform, torchvision's ResNet-18 with the CIFAR stem, lightly's head and loss, SGD: what its CIFAR-10
benchmark does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from suite.benchmarks.image.colour import ColourImageClassification, data
from suite.losses import InfoNCE
from suite.pairs import Pairs
from suite.training import Checkpoint, Compute, Context, Interrupted, Metrics, Step, train
from suite.training.streams import Streams

TEMPERATURE = 0.5
WARM_UP = 2


@dataclass(frozen=True)
class Measured:
    """What training steps took.

    Attributes
    ----------
    samples_per_s : float
        On a GPU of wall time; on a CPU of processor time, which other work on the machine leaves as it is.
    losses : list of float
        Of each step; empty if nothing was asked for.
    peak_mib : float
        Of the GPU's memory; 0 on a CPU.
    """

    samples_per_s: float
    losses: list[float]
    peak_mib: float = 0.0


def clock(device: torch.device) -> float:
    """Return the seconds that count on a device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def random_images(count: int, side: int) -> data.HeldImages:
    """Return images of noise, ten classes: what is measured does not depend on what they show."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=draws)
    return data.HeldImages(pixels, torch.arange(count) % 10)


def held(images: data.HeldImages) -> None:
    """Let the benchmark find these images in place of files, in this process."""
    data.DATASETS["cifar10"] = _Held(images)  # type: ignore[assignment]
    data._load.cache_clear()


@dataclass(frozen=True)
class _Held:
    images: data.HeldImages
    classes: int = 10

    def members(self, part: data.Part) -> tuple[str, ...]:
        return ()

    def load(self, part: data.Part, places: object) -> data.ColourImages:
        return self.images


def ours(settings: ColourImageClassification, device: torch.device, steps: int, compute: Compute) -> Measured:
    """Train so many steps, the first two to warm up."""
    context = Context(Streams(0), device, lambda dataset, member: Path(), compute)
    task = settings.task(context)
    times: dict[int, float] = {}
    loss = _Noting(TEMPERATURE)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def report(step: Step, metrics: Metrics) -> None:
        if step.index + 1 in (WARM_UP, WARM_UP + steps):
            times[step.index + 1] = clock(device)

    nowhere = Checkpoint(Path(os.devnull), lambda: False, lambda path, state: None, lambda path: None)
    with contextlib.suppress(Interrupted):
        train(task, loss, context.streams, report, nowhere, lambda: len(times) == 2, log_points=1, compute=compute)
    seconds = times[WARM_UP + steps] - times[WARM_UP]
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else 0.0
    return Measured(steps * settings.batch / seconds, [float(value) for value in loss.noted], peak)


class _Noting(InfoNCE):
    """Notes its values."""

    def __init__(self, temperature: float) -> None:
        super().__init__(temperature)
        self.noted: list[Tensor] = []

    def forward(self, pairs: Pairs) -> Tensor:
        value = super().forward(pairs)
        self.noted.append(value.detach())
        return value


class _InMemory(Dataset[tuple[Tensor, Tensor]]):
    """Images as torchvision's CIFAR10 holds and gives them, two views each by lightly's transform."""

    def __init__(self, images: data.HeldImages, side: int) -> None:
        from lightly.transforms import SimCLRTransform

        self.pixels = images.pixels.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        self.transform = SimCLRTransform(input_size=side, cj_strength=0.5, gaussian_blur=0.0)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        from PIL import Image

        first, second = self.transform(Image.fromarray(np.asarray(self.pixels[number])))
        return first, second


def theirs(
    settings: ColourImageClassification, images: data.HeldImages, device: torch.device, steps: int, workers: int
) -> Measured:
    """Train so many steps with lightly's parts around the same network, the first two to warm up."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    from suite.benchmarks.image.colour.encoder import ResNet

    torch.manual_seed(0)
    encoder = ResNet(settings.encoder, settings.stem)
    head = SimCLRProjectionHead(encoder.features, settings.hidden, settings.embedding)
    model = nn.Sequential(encoder.network, head).to(device)
    loss = NTXentLoss(TEMPERATURE)
    optimizer = torch.optim.SGD(model.parameters(), settings.learning_rate, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        _InMemory(images, settings.size),
        settings.batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    batches, began = _endless(loader), 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            began = clock(device)
        first, second = (view.to(device, non_blocking=True) for view in next(batches))
        value = loss(model(first), model(second))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return Measured(steps * settings.batch / (clock(device) - began), [])


def _endless(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def main(arguments: list[str] | None = None) -> float:
    """Print both speeds and return their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=None, help="measured; 50 on a GPU, else 3")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--stem", choices=("cifar", "imagenet"), default="cifar")
    parser.add_argument("--workers", type=int, default=None, help="of their loader; all cores on a GPU, else none")
    parser.add_argument("--fast", action="store_true", help="let ours trade bits: bfloat16, channels last, any order")
    given = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    steps = given.steps or (50 if on_gpu else 3)
    workers = given.workers if given.workers is not None else ((os.cpu_count() or 1) if on_gpu else 0)
    if not on_gpu:
        torch.set_num_threads(1)
    settings = ColourImageClassification(batch=given.batch, size=given.side, stem=given.stem, epochs=1000)
    images = random_images(20 * given.batch, given.side)
    held(images)
    fast = Compute(precision="bfloat16" if on_gpu else "float32", channels_last=True, deterministic=False)
    compute = fast if given.fast else Compute(channels_last=True)
    peer = theirs(settings, images, device, steps, workers)
    mine = ours(settings, device, steps, compute)
    unit = "second" if on_gpu else "processor second"
    print(f"SimCLR, ResNet-18, batch {given.batch}, {given.side} px, {device.type}, {steps} steps")
    print(f"  lightly, {workers} workers   {peer.samples_per_s:10.1f} samples a {unit}")
    print(f"  suite                {mine.samples_per_s:10.1f} samples a {unit}   {compute}")
    print(f"  ratio                {mine.samples_per_s / peer.samples_per_s:10.2f}   (goal 2.5)")
    return mine.samples_per_s / peer.samples_per_s


if __name__ == "__main__":
    main()
