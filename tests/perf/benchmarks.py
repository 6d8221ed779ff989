"""Print what a run of each benchmark spends its time on: ``python tests/perf/benchmarks.py``.

Seconds of process time of one thread on the CPU, for a whole run at a profile, and its peak memory. Some steps are
trained by the suite's own loop, the first left out, and extrapolated to all steps; building the task and the final
evaluation of both splits are measured whole. Each benchmark runs in a process of its own; nothing in the suite is
changed for this, its functions are wrapped from outside:

data          Benchmark.task: loading, initial weights, and pretraining where a benchmark does it
augmentation  top-level calls of the public functions and classes of the benchmark's module ``augment`` in a step
forward       the rest of Task.objective: batches, encoder, a host's own loss; with the augmentation where there is no
              module ``augment``
loss          Loss.forward, similarities included
backward      Tensor.backward
optimiser     the optimiser's step
diagnostics   Task.diagnostics, at its points
loop          the rest of training: seeding, the metrics that are logged
evaluation    both splits

Compare figures of one machine only.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

PARTS = ("data", "augmentation", "forward", "loss", "backward", "optimiser", "diagnostics", "loop", "evaluation")
UNKNOWN = "—"


class Clock:
    """Process seconds of wrapped functions by name; within one name only the outermost call counts."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: set[str] = set()

    def timed(self, name: str, function: Callable[..., Any], inside: str = "") -> Callable[..., Any]:
        """Wrap a function so that its time is added to `name`; where `inside` is given, only its calls from there."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if name in self._open or (inside and inside not in self._open):
                return function(*arguments, **named)
            self._open.add(name)
            began = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.seconds[name] += time.process_time() - began
                self._open.discard(name)

        return wrapped

    def start(self) -> None:
        """Forget what was measured so far."""
        self.seconds.clear()


def wrap_augmentation(task: Any, clock: Clock) -> bool:
    """Time what the module ``augment`` of the task's package offers; tell whether there is one."""
    package = type(task).__module__.rpartition(".")[0]
    augment = sys.modules.get(f"{package}.augment")
    if augment is None:
        return False
    for name, thing in list(public(augment)):
        if inspect.isclass(thing):
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if method == "__call__" or not method.startswith("_"):
                    setattr(thing, method, clock.timed("augmentation", function, "objective"))
        else:
            replace(package, thing, clock.timed("augmentation", thing, "objective"), name)
    return True


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Give the public functions and classes that a module defines itself."""
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", "") == module.__name__
        if own and not name.startswith("_") and (inspect.isfunction(thing) or inspect.isclass(thing)):
            yield name, thing


def replace(package: str, function: Any, by: Any, name: str) -> None:
    """Put a function in the place of another wherever a module of the package has it under its name."""
    for path, module in list(sys.modules.items()):
        if path.startswith(f"{package}.") and getattr(module, name, None) is function:
            setattr(module, name, by)


def measure(registry_file: Path | None, name: str, profile: str, loss_name: str, steps: int) -> dict[str, Any]:
    """Return the seconds of each part of a run, its number of steps, and the peak MiB of this process."""
    import torch

    from suite.registry.load import load
    from suite.training import loop as training
    from suite.training.streams import Streams
    from suite.work.setup import prepare_process

    prepare_process(threads=1)
    registry = load(registry_file)
    benchmark = make(registry.targets[name], registry.settings[name, profile])
    config = registry.loss_config(loss_name, name, profile)
    loss = make(registry.losses[loss_name].target, {key: value for key, value in config.items() if key != "_target_"})
    context = training.Context(Streams(0), torch.device("cpu"), registry.data.locate)

    clock = Clock()
    task = clock.timed("data", benchmark.task)(context)
    found = {"data": clock.seconds["data"]}
    is_split = wrap_augmentation(task, clock)
    found |= train(task, loss, context.streams, clock, steps)
    clock.start()
    clock.timed("evaluation", training.evaluate)(task)
    found["evaluation"] = clock.seconds["evaluation"]
    seconds = {part: found[part] for part in PARTS if part != "augmentation" or is_split}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps": task.epochs * task.steps_per_epoch, "seconds": seconds, "peak_mib": peak}


def make(target: Any, arguments: Mapping[str, Any]) -> Any:
    """Construct what a registry's target names."""
    return getattr(importlib.import_module(target.module), target.name)(**arguments)


def train(task: Any, loss: Any, streams: Any, clock: Clock, steps: int) -> dict[str, float]:
    """Train some steps and return the seconds of each part that all steps would take."""
    import torch

    from suite.training import loop as training

    whole = task.epochs * task.steps_per_epoch
    last = min(steps, whole - 1)
    make_optimizer, diagnose = task.optimizer, clock.timed("diagnostics", task.diagnostics)
    done, began = -1, 0.0

    def optimizer(groups: Any) -> Any:
        made = make_optimizer(groups)
        made.step = clock.timed("optimiser", made.step)
        return made

    def report(step: Any, metrics: Any) -> None:
        nonlocal done, began
        done += 1
        if done == 0 and last > 0:
            clock.start()
            began = time.process_time()

    task.objective, task.optimizer = clock.timed("objective", task.objective), optimizer
    task.diagnostics = diagnose
    loss.forward = clock.timed("loss", loss.forward)
    torch.Tensor.backward = clock.timed("backward", torch.Tensor.backward)  # type: ignore[method-assign]
    began = time.process_time()
    with contextlib.suppress(training.Interrupted):
        training.train(task, loss, streams, report, stop=lambda: done >= last)
    training_seconds = time.process_time() - began - clock.seconds["diagnostics"]
    parts = {name: clock.seconds[name] for name in ("augmentation", "loss", "backward", "optimiser")}
    parts["forward"] = clock.seconds["objective"] - clock.seconds["augmentation"]
    parts["loop"] = training_seconds - sum(parts.values())
    found = {name: seconds * whole / max(1, last) for name, seconds in parts.items()}

    clock.start()
    with torch.no_grad():
        diagnose()
    points = {*range(0, whole, max(1, whole // training.DIAGNOSED_POINTS)), whole - 1}
    found["diagnostics"] = clock.seconds["diagnostics"] * len(points)
    return found


def in_process(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Measure a benchmark in a process of its own."""
    command = [sys.executable, __file__, "--one", "--benchmarks", name, "--profile", options.profile]
    command += ["--loss", options.loss, "--steps", str(options.steps)]
    command += [] if options.registry is None else ["--registry", str(options.registry)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cells(name: str, found: dict[str, Any]) -> list[str]:
    """Return a row of the table; each part in seconds and as a share of the run."""
    seconds = found["seconds"]
    total = sum(seconds.values())
    shown = [f"{seconds[part]:.1f} ({seconds[part] / total:.0%})" if part in seconds else UNKNOWN for part in PARTS]
    return [name, str(found["steps"]), *shown, f"{total:.1f}", f"{found['peak_mib']:.0f}"]


def show(rows: Sequence[Sequence[str]], header: Sequence[str], as_markdown: bool) -> None:
    """Print the table."""
    if as_markdown:
        for line in (header, ["---"] * len(header), *rows):
            print("| " + " | ".join(line) + " |")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)


def main() -> None:
    """Measure the benchmarks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", type=Path, metavar="FILE", help="default: ./benchmarks.yaml")
    parser.add_argument("--benchmarks", nargs="+", metavar="NAME", help="default: all that have the profile")
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--loss", default="infonce", metavar="NAME", help="of the registry")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="to measure, after the first (default: 20)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        (name,) = options.benchmarks
        print(json.dumps(measure(options.registry, name, options.profile, options.loss, options.steps)))
        return

    from suite.registry.load import load

    registry = load(options.registry)
    known = [name for name, profile in registry.settings if profile == options.profile]
    if unknown := set(options.benchmarks or []) - set(known):
        raise SystemExit(
            f"no benchmark {', '.join(sorted(unknown))} with profile {options.profile}; there is {', '.join(known)}"
        )
    rows = [cells(name, in_process(options, name)) for name in options.benchmarks or known]
    show(rows, ["benchmark", "steps", *(f"{part} [s]" for part in PARTS), "total [s]", "peak [MiB]"], options.markdown)


if __name__ == "__main__":
    main()
