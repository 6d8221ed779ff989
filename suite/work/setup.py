"""A process made ready for a run, and a run made ready to be trained."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.compute import Compute
from suite.provenance import targets
from suite.records.specs import RunSpec

if TYPE_CHECKING:
    from suite.data import Store as DataStore
    from suite.training import Context, Metrics, Task


@functools.cache
def device() -> Any:
    """Return what this process computes on: its current GPU, else the CPU."""
    import torch

    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def prepare_process(threads: int) -> None:
    """Make this process compute with a fixed number of threads, and so that it can do so deterministically."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(threads)
    _leave_the_compiler_out()


def _leave_the_compiler_out() -> None:
    """Let optimisers be made, and their states saved, without the import of torch._dynamo, which takes three seconds.

    Torch imports it at the first call of these methods, to tell it not to compile them. Runs that are compiled compile
    forward passes alone, which call none of them. Where torch keeps that note otherwise, nothing but the time changes.
    """
    from torch.optim import Optimizer

    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        method = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if method is not None:
            setattr(method, "__dynamo_disable", method)


def compute_of(run: RunSpec) -> Compute:
    """Return what a run trades for speed."""
    return Compute(**run.config.get("compute", {}))


def build(run: RunSpec, data: DataStore, rank: int = 0) -> tuple[Task | Metrics, Any, Context]:
    """Return a run's task, or at once the figures of a reference; its loss, if it has one; and its context.

    Parameters
    ----------
    run : RunSpec
    data : suite.data.Store
    rank : int
        Which of the processes that the run is spread over this is.
    """
    from suite.training import Context
    from suite.training.acceleration import choose_algorithms
    from suite.training.streams import Streams

    context = Context(Streams(run.seed, rank), device(), data.locate, compute_of(run))
    choose_algorithms(context.compute)
    config = run.config
    benchmark = _construct({k: v for k, v in config["benchmark"].items() if k != "name"}, "suite.benchmarks")
    task = benchmark.task(context)
    if run.kind == "reference":
        return task.reference(run.loss), None, context
    loss = _construct({k: v for k, v in config["loss"].items() if k != "name"}, "suite.losses")
    return task, loss.to(context.device), context


def _construct(config: Mapping[str, Any], group: str) -> Any:
    path = config["_target_"]
    target = targets.resolve(path, group)
    cls = getattr(importlib.import_module(target.module), target.name)
    return cls(**{name: value for name, value in config.items() if name != "_target_"})


@contextlib.contextmanager
def logged(file: Path) -> Iterator[None]:
    """Send logging and prints of the block to a run's log."""
    with file.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
                yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
