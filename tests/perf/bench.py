"""Measure what README and docs say of speed and memory, beside peers in the same call.

``make bench`` measures all parts on an idle machine and writes docs/performance.md; ``--only PART ...`` prints those
parts alone. ``make bench-quick`` takes two minutes at most and fails where a ratio is above its bound: see `EXPECTED`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from tests.perf import losses, overhead  # noqa: E402
from tests.perf.image_training import BATCH, image_training  # noqa: E402

PAGE = ROOT / "docs" / "performance.md"
PACKAGES = ("torch", "numpy", "lightly", "hydra-core", "hydra-submitit-launcher", "submitit", "mlflow")
RUNS, JOBS, SAMPLES = 200, 12, 4096
IMAGE, LIGHTLY = "image training", "lightly's parts"

#: (what, beside what) to the ratio that was measured on two AMD cores with AVX2. All are processor seconds of one
#: process and one thread, the least of rounds that take turns: a busy machine slows both sides, and the least round is
#: the one that it slowed least; such ratios scatter by some per cent. What differs between machines is the speed of
#: exponentials beside that of products, at most twofold. A ratio of 2.5 times what is expected is neither; another pass
#: over the similarities, a lost symmetry or a step outside of the blocks is found only where it costs that much, since
#: a false alarm costs more trust than a small loss of speed does.
EXPECTED = {
    ("InfoNCE", losses.PRODUCTS): 1.03,
    ("TemperatureFree", losses.PRODUCTS): 1.10,
    ("DySTreSS", losses.PRODUCTS): 1.29,
    ("InfoNCE", losses.GRACE): 1.03 / 2.24,
    ("InfoNCE", losses.THEIRS): 1.03 / 6.15,
    (IMAGE, LIGHTLY): 0.35,
}
FACTOR = 2.5


def machine() -> list[str]:
    """Return lines that describe this machine, without its name."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name, vectors = (names or [platform.machine()])[0], torch.backends.cpu.get_cpu_capability()
    packages = [f"{package} {version(package)}" for package in PACKAGES if is_installed(package)]
    return [
        f"- {overhead.cores()} cores of {name} ({vectors}), {memory:.0f} GiB, {platform.system()}",
        f"- Python {platform.python_version()}, {', '.join(packages)}",
    ]


def is_installed(package: str) -> bool:
    """Tell whether a package is installed."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def lightly_missing() -> list[str]:
    """Return what to say where lightly is not installed; empty where it is."""
    return [] if is_installed("lightly") else ["Not measured beside lightly: `pip install lightly`, or `make bench`."]


def loss_part(options: argparse.Namespace) -> list[str]:
    """Return what a step of each loss takes, beside the two products, GRACE's own code and lightly's loss."""
    missing, size = lightly_missing(), options.samples
    names = [*([] if missing else [losses.THEIRS]), *losses.NAMES]
    graph = min(losses.CORA, size)
    least = losses.beside_products(names, options.rounds, graph)
    peers = [name for name in (losses.PRODUCTS, losses.GRACE, losses.THEIRS) if name in least]
    rows = [[name, f"{s:.3f} s", *(f"{s / least[peer]:.2f}" for peer in peers)] for name, s in least.items()]
    costs = losses.compare(names, size, options.rounds)
    theirs = costs.get(losses.THEIRS)
    beside = [
        [
            *(name, f"{cost.seconds:.2f} s", f"{cost.seconds / theirs.seconds:.2f}" if theirs else "—"),
            *(f"{cost.mib:.0f} MiB", f"{cost.mib / theirs.mib:.2f}" if theirs else "—"),
        ]
        for name, cost in costs.items()
    ]
    lines = [
        f"A step is a loss of two views with its gradients, in {losses.DIMENSIONS} dimensions. The two products are",
        f"those that a step needs. 2 x {graph:,} embeddings (GRACE on Cora has {losses.CORA:,}), one thread,",
        f"least processor seconds of {options.rounds} rounds:",
        "",
        *table(["", "a step", *(f"of {peer}" for peer in peers)], rows),
        "",
        f"2 x {size:,} embeddings, {torch.get_num_threads()} threads, median wall seconds of {options.rounds} rounds;",
        "peak memory beyond imports and inputs:",
        "",
        *table(["", "a step", "of lightly's", "peak memory", "of lightly's"], beside),
    ]
    extra, whole, seconds = losses.peak("InfoNCE", 16 * size)
    return [
        *lines,
        "",
        f"At {16 * size:,} samples a step of InfoNCE takes {seconds:.0f} s and {extra:.0f} MiB,",
        f"its process {whole:.0f} MiB.",
        *missing,
    ]


def image_part(options: argparse.Namespace) -> list[str]:
    """Return pairs of images a second, in training."""
    if missing := lightly_missing():
        return missing
    ours, theirs = image_training(options.rounds)
    rows = [
        ["the suite", f"{BATCH / ours:,.0f}", f"{theirs / ours:.2f}"],
        ["lightly's transform and loss, the same encoder", f"{BATCH / theirs:,.0f}", "1"],
    ]
    return [
        f"Batches of {BATCH} Fashion-MNIST images: views, encoder, InfoNCE, gradients, optimiser, on one thread:",
        "",
        *table(["", "pairs a second", "of lightly's"], rows),
    ]


def campaign_part(options: argparse.Namespace) -> list[str]:
    """Return what a run that does nothing takes, beside an import of torch and beside Hydra with submitit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = overhead.nothing(folder, options.runs)
        a_run = ours.wall / ours.runs
        imported = statistics.median(overhead.wall([sys.executable, "-c", "import torch"], folder) for _ in range(3))
        peers = {"an interpreter that imports torch": imported}
        missing = []
        if is_installed("hydra-submitit-launcher"):
            name = f"a job of Hydra's multirun of {options.jobs}, submitit-local, MLflow"
            peers[name] = overhead.hydra_peer(folder, options.jobs) / options.jobs
        else:
            missing = ["", "Not measured beside Hydra: `pip install hydra-submitit-launcher`, or `make bench`."]
    rows = [[peer, f"{seconds:.2f} s", f"{a_run / seconds:.3f}"] for peer, seconds in peers.items()]
    return [
        f"A run that does nothing takes {a_run:.3f} s of wall time ({ours.runs} runs, {ours.workers} workers, from",
        f"start to table, MLflow included); overhead = (wall x workers - work) / runs is {ours.overhead:.3f} s a run.",
        "",
        *table(["beside", "which takes", "ratio"], rows),
        *missing,
    ]


def smoke_part(options: argparse.Namespace) -> list[str]:
    """Return what a run of the smoke matrix costs beside its work."""
    arguments = ["--benchmarks", "image", "--losses", "infonce", "--seeds", "0"] if options.tiny else overhead.SMOKE
    with tempfile.TemporaryDirectory() as folder:
        found = overhead.measure(Path(folder) / "smoke", arguments)
    return [
        f"`suite run --profile smoke {' '.join(arguments)}`: {found.runs} runs in {found.wall:.1f} s; overhead =",
        f"(wall x workers - training and evaluation) / runs is {found.overhead:.2f} s a run.",
    ]


def printed(script: str, *arguments: str) -> list[str]:
    """Return the lines that a script of this folder prints."""
    command = [sys.executable, str(ROOT / "tests" / "perf" / script), *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def benchmark_part(options: argparse.Namespace) -> list[str]:
    """Return where the time of a run of each benchmark goes, and its peak memory."""
    size = ["--steps", "1", "--profile", "smoke"] if options.tiny else ["--steps", "8"]
    return [
        "Process seconds of a run with InfoNCE on one thread; `tests/perf/benchmarks.py` explains the parts.",
        "",
        *printed("benchmarks.py", "--markdown", *size),
    ]


def analysis_part(options: argparse.Namespace) -> list[str]:
    """Return what reading and reporting simulated runs takes."""
    size = ["--seeds", "6"] if options.tiny else []
    return ["`python tests/perf/analysis.py`:", "", "```", *printed("analysis.py", *size), "```"]


Part = Callable[[argparse.Namespace], list[str]]
PARTS: dict[str, tuple[str, Part]] = {
    "losses": ("Losses", loss_part),
    "image": ("Training on images", image_part),
    "campaign": ("Campaigns", campaign_part),
    "smoke": ("The smoke matrix", smoke_part),
    "benchmarks": ("Time and memory of a run of each benchmark", benchmark_part),
    "analysis": ("Reports", analysis_part),
}


def measured(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Measure the parts, print each as it comes, and return the page and the parts that failed."""
    failed = []
    lines = [
        "# Performance",
        "",
        "Written by `make bench`. Ratios travel between machines of one kind; times are those of one machine:",
        "",
        *machine(),
        f"- load before the first figure: {os.getloadavg()[0]:.1f}",
    ]
    print("\n".join(lines), flush=True)
    for name in options.only or PARTS:
        began = time.monotonic()
        title, part = PARTS[name]
        try:
            content = part(options)
        except (SystemExit, subprocess.CalledProcessError) as fault:  # the other parts, of minutes each, are kept
            print(f"error: {name}: {fault}", file=sys.stderr)
            failed.append(name)
            content = ["Not measured: it failed."]
        section = ["", f"## {title}", "", *content]
        print("\n".join(section), f"\n\n({name}: {time.monotonic() - began:.0f} s)", flush=True)
        lines += section
    return "\n".join([*lines, ""]), failed


def quick(rounds: int) -> int:
    """Print the ratios beside their bounds; return 1 where one is above its bound."""
    if missing := lightly_missing():
        print(f"error: {missing[0]}", file=sys.stderr)
        return 1
    print("\n".join(machine()), flush=True)
    names = [what for what in dict.fromkeys(what for what, _ in EXPECTED) if what != IMAGE]
    least = losses.beside_products([losses.THEIRS, *names], rounds)
    least[IMAGE], least[LIGHTLY] = image_training(rounds)
    above = 0
    for (what, peer), expected in EXPECTED.items():
        ratio, bound = least[what] / least[peer], FACTOR * expected
        above += ratio > bound
        verdict = "ok" if ratio <= bound else "TOO SLOW"
        print(f"{what:<16} of {peer:<20} {ratio:6.2f}, expected {expected:.2f}, at most {bound:.2f}: {verdict}")
    return 1 if above else 0


def main() -> int:
    """Measure, and write the page or check the bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="some ratios of processor time, each beside its bound")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"print these: {', '.join(PARTS)}")
    parser.add_argument("--tiny", action="store_true", help="see that the parts work; the figures mean nothing")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.quick:
        return quick(options.rounds)
    sizes = (5, 2, 64) if options.tiny else (RUNS, JOBS, SAMPLES)
    options.runs, options.jobs, options.samples = sizes
    page, failed = measured(options)
    if not (options.only or options.tiny):
        PAGE.write_text(page)
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
