"""Print what a loss costs, in time and memory: ``python tests/perf/losses.py``.

One step is the loss of two views and its gradients for the embeddings. First, at GRACE's shape on one thread, beside
the two matrix products that are needed and GRACE's own code: the least processor time of interleaved rounds. Then
beside lightly's NTXentLoss: medians of interleaved rounds, and the peak memory that a fresh process needs beyond its
imports and inputs. Compare ratios within one run only.
``--large`` adds one step of every loss at 65,536 samples, whose similarity matrix would take 64 GiB: minutes each.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from suite import losses  # noqa: E402
from suite.losses.steps import Training  # noqa: E402
from suite.pairs import two_view  # noqa: E402

DIMENSIONS = 128
LARGE = 65_536
CORA = 2_708
PRODUCTS, GRACE = "two products", "GRACE's own code"
THEIRS = "lightly NTXentLoss"
NAMES = [name for name in losses.__all__ if isinstance(getattr(losses, name), type) and "Loss" not in name]

Step = Callable[[Tensor, Tensor], Tensor]


def step(name: str, samples: int) -> Step:
    """Return the step of a loss by its name."""
    if name == THEIRS:
        from lightly.loss import NTXentLoss

        theirs = NTXentLoss(0.5)
        return lambda a, b: theirs(a, b)
    made = getattr(losses, name)(**({"temperature": 0.5} if name == "InfoNCE" else {}))
    training = Training(samples, 1, 1)
    made.prepare(training)
    made.start(training.step(0))
    return lambda a, b: made(two_view(a, b))


def products(a: Tensor, b: Tensor) -> Tensor:
    """Return what no step can do without: the similarities of all rows, and the product that makes them a gradient."""
    rows = torch.cat([a, b]).detach()
    return (rows @ rows.T) @ rows


def grace(a: Tensor, b: Tensor, temperature: float = 0.4) -> Tensor:
    """Return the loss as CRIPAC-DIG/GRACE computes it."""

    def semi_loss(one: Tensor, other: Tensor) -> Tensor:
        within, between = ((one @ z.T / temperature).exp() for z in (one, other))
        return -(between.diag() / (within.sum(1) + between.sum(1) - within.diag())).log()

    first, second = (functional.normalize(z) for z in (a, b))
    return ((semi_loss(first, second) + semi_loss(second, first)) * 0.5).mean()


def beside_products(names: Sequence[str], rounds: int, samples: int = CORA) -> dict[str, float]:
    """Return the least process seconds of the two products, of GRACE's code and of the named losses, on one thread.

    By default at the size of Cora, GRACE's shape. All take turns, so that a busy machine slows all of them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    inputs = views(samples)
    runs = {PRODUCTS: products, GRACE: grace, **{name: step(name, samples) for name in names}}
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            result = run(*inputs)
            if result.requires_grad:
                result.backward()
            least[name] = min(least[name], time.process_time() - began)
    torch.set_num_threads(threads)
    return least


def views(samples: int) -> tuple[Tensor, Tensor]:
    """Return two views of random embeddings that need gradients."""
    draw = torch.Generator().manual_seed(0)
    first = torch.randn(samples, DIMENSIONS, generator=draw)
    second = first + 0.5 * torch.randn(samples, DIMENSIONS, generator=draw)
    return first.requires_grad_(), second.requires_grad_()


def seconds(run: Step, inputs: tuple[Tensor, Tensor]) -> float:
    """Return the seconds of one step."""
    for z in inputs:
        z.grad = None
    began = time.perf_counter()
    run(*inputs).backward()
    return time.perf_counter() - began


def peak(name: str, samples: int) -> tuple[float, float, float]:
    """Return what a step in a fresh process takes: MiB beyond imports and inputs, MiB in all, seconds."""
    command = [
        sys.executable,
        __file__,
        "--one",
        name,
        "--samples",
        str(samples),
        "--threads",
        str(torch.get_num_threads()),
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    extra, whole, taken = (float(word) for word in printed.split())
    return extra, whole, taken


def one(name: str, samples: int) -> None:
    """Print the peak of one step in this process."""
    small = views(64)
    seconds(step(name, 64), small)  # what is made once, whatever the size
    inputs = views(samples)
    run = step(name, samples)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak until here
    before = resident_peak()
    taken = seconds(run, inputs)
    print(resident_peak() - before, resident_peak(), taken)


def resident_peak() -> float:
    """Return the MiB of memory that this process has had at most (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


@dataclass(frozen=True)
class Cost:
    """What a step takes: median wall seconds, and MiB beyond imports and inputs."""

    seconds: float
    mib: float


def compare(names: Sequence[str], samples: int, rounds: int) -> dict[str, Cost]:
    """Return time and peak memory of the named losses, on as many threads as torch has now."""
    inputs = views(samples)
    runs = {name: step(name, samples) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(seconds(run, inputs))
    return {name: Cost(statistics.median(taken[name]), peak(name, samples)[0]) for name in runs}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--large", nargs="*", metavar="LOSS", help="losses to take through 65,536 samples; all if none")
    parser.add_argument("--one", metavar="LOSS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one is not None:
        one(options.one, options.samples)
        return
    print(f"2 x {CORA} embeddings of {DIMENSIONS} dimensions, one thread, least of {options.rounds} rounds", flush=True)
    least = beside_products([THEIRS, *NAMES], options.rounds)
    for name, taken in least.items():
        print(f"{name:<22}{taken:8.3f} s {taken / least[PRODUCTS]:6.2f} of the two products")
    print(f"{options.samples} samples, {options.threads} threads, median of {options.rounds} rounds", flush=True)
    costs = compare([THEIRS, *NAMES], options.samples, options.rounds)
    for name, cost in costs.items():
        time_ratio, memory_ratio = cost.seconds / costs[THEIRS].seconds, cost.mib / costs[THEIRS].mib
        print(
            f"{name:<22}{cost.seconds:8.3f} s {time_ratio:6.2f} of lightly's   "
            f"{cost.mib:8.0f} MiB {memory_ratio:7.3f} of lightly's"
        )
    for name in [] if options.large is None else options.large or NAMES:
        extra, whole, taken = peak(name, LARGE)
        print(
            f"{name:<22}{LARGE} samples: {taken:6.0f} s, {extra:.0f} MiB for the step, {whole:.0f} MiB in all",
            flush=True,
        )


if __name__ == "__main__":
    main()
