"""What an accelerator has to be asked, in one call: ``python -m tests.perf.gpu [--quick] [--out FILE]``.

Whether it gives the CPU's figures; what bfloat16 and compiled code change, and gain; how fast training is beside
lightly's; what it takes of memory; whether two runs fit side by side. Without a GPU the same questions are asked of the
CPU, so that the script itself is tested; ``--quick`` makes everything small.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from suite.benchmarks.image.colour import ColourImageClassification
from suite.training import Compute
from suite.training.acceleration import choose_algorithms
from tests.perf.colour_training import Measured, held, ours, random_images, theirs

CPU = torch.device("cpu")
EXACT_STEPS = 5


@dataclass(frozen=True)
class Size:
    """How large the questions are: images a batch, their side, steps that are timed."""

    batch: int
    side: int
    steps: int

    @property
    def settings(self) -> ColourImageClassification:
        """SimCLR with a ResNet-18, as `image_cifar10`."""
        stem = "cifar" if self.side >= 32 else "imagenet"
        return ColourImageClassification(batch=self.batch, size=self.side, stem=stem, epochs=1000)  # type: ignore[arg-type]


LARGE, QUICK = Size(128, 32, 50), Size(8, 16, 2)


def agreement(size: Size, device: torch.device) -> list[str]:
    """Compare the losses of the first steps, from the same weights and views, on the CPU and on the device."""
    small = replace(size, batch=min(size.batch, 32))
    here, there = (ours(small.settings, where, EXACT_STEPS, Compute()) for where in (CPU, device))
    lines = ["| step | cpu | device | relative difference |", "|---|---|---|---|"]
    for step, (one, other) in enumerate(zip(here.losses, there.losses, strict=True)):
        lines.append(f"| {step} | {one:.6f} | {other:.6f} | {abs(one - other) / abs(one):.1e} |")
    return lines


def traded(size: Size, device: torch.device, compiles: bool) -> list[str]:
    """Say what each trade gains, and how far the loss is from float32's."""
    trades = {
        "float32": Compute(),
        "channels last": Compute(channels_last=True),
        "any order": Compute(channels_last=True, deterministic=False),
        "bfloat16": Compute(precision="bfloat16", channels_last=True, deterministic=False),
    }
    if compiles:
        trades["bfloat16, compiled"] = replace(trades["bfloat16"], compile=True)
    found: dict[str, Measured] = {}
    for name, compute in trades.items():
        choose_algorithms(compute)
        found[name] = ours(size.settings, device, size.steps, compute)
    base = found["float32"]
    lines = ["| | samples/s | times float32 | loss of step 0 | peak MiB |", "|---|---|---|---|---|"]
    for name, one in found.items():
        gain, off = one.samples_per_s / base.samples_per_s, one.losses[0] - base.losses[0]
        loss = f"{one.losses[0]:.4f} ({off:+.1e})"
        lines.append(f"| {name} | {one.samples_per_s:.0f} | {gain:.2f} | {loss} | {one.peak_mib:.0f} |")
    return lines


def beside_lightly(size: Size, device: torch.device, workers: int) -> list[str]:
    """Compare training samples a second with lightly's parts around the same network."""
    images = random_images(20 * size.batch, size.side)
    held(images)
    peer = theirs(size.settings, images, device, size.steps, workers).samples_per_s
    lines = [f"lightly, {workers} workers: {peer:.0f} samples/s.", "", "| suite | samples/s | ratio |", "|---|---|---|"]
    for name, compute in (
        ("deterministic, channels last", Compute(channels_last=True)),
        ("bfloat16, any order", Compute(precision="bfloat16", channels_last=True, deterministic=False)),
    ):
        choose_algorithms(compute)
        mine = ours(size.settings, device, size.steps, compute).samples_per_s
        lines.append(f"| {name} | {mine:.0f} | {mine / peer:.2f} |")
    return lines


def chunks(size: Size, device: torch.device) -> list[str]:
    """Say what memory a large batch takes at once and in chunks."""
    large = replace(size, batch=4 * size.batch)
    lines = ["| views at once | samples/s | peak MiB |", "|---|---|---|"]
    for chunk in (None, size.batch):
        found = ours(replace(large.settings, chunk=chunk), device, max(1, size.steps // 5), Compute())
        lines.append(f"| {chunk or 'all'} of {large.batch} | {found.samples_per_s:.0f} | {found.peak_mib:.0f} |")
    return lines


def side_by_side(quick: bool) -> list[str]:
    """Train in two processes at once, and say what each reaches of one alone."""
    command = [sys.executable, "-m", "tests.perf.gpu", "--one", *(["--quick"] if quick else [])]

    def speeds(processes: int) -> list[float]:
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        return [float(process.communicate()[0].split()[-1]) for process in running]

    alone, both = speeds(1)[0], speeds(2)
    together = sum(both) / alone
    return [f"one alone {alone:.0f} samples/s; two {both[0]:.0f} and {both[1]:.0f}, together {together:.2f} times one."]


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask everything, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small: what a CPU does in a minute")
    parser.add_argument("--compile", action="store_true", help="ask for compiled code on a CPU, too")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the page there, too")
    given = parser.parse_args(arguments)
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    size = QUICK if given.quick else LARGE
    held(random_images(20 * size.batch, size.side))
    if given.one:
        print(ours(size.settings, device, size.steps, Compute(channels_last=True)).samples_per_s)
        return
    name = torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, no GPU: processor seconds"
    head = f"torch {torch.__version__}, ResNet-18, batch {size.batch}, {size.side} px."
    page = [f"# On an accelerator: {name}", "", head]
    workers = 16 if on_gpu else 0
    for title, lines in (
        ("The same figures as on a CPU", agreement(size, device)),
        ("What is traded for speed", traded(size, device, on_gpu or given.compile)),
        ("Beside lightly", beside_lightly(size, device, workers)),
        ("A large batch in chunks", chunks(size, device)),
        ("Two runs side by side", side_by_side(given.quick)),
    ):
        page += ["", f"## {title}", "", *lines]
    print("\n".join(page))
    if given.out is not None:
        given.out.write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
