"""Runs executed again from scratch, in a process beside this one that leaves nothing behind.

It computes as a worker does (:mod:`suite.work.setup`), with the threads and the kind of device that a result was
made with, and knows nothing of records: what comes back are the metrics and where they were computed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from suite.process import THREADS, code_first, import_from, importable, signal_at_parents_death
from suite.records.specs import RunSpec


@dataclass(frozen=True)
class Replay:
    """What came of a run.

    Attributes
    ----------
    seconds : float
        Wall time.
    metrics : mapping of name to float
        As a result has them; empty if it failed.
    provenance : mapping
        As :func:`suite.provenance.machine.collect` has it.
    error : str
        What it said last, if it failed.
    """

    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@contextlib.contextmanager
def replayer(catalogues: Sequence[Path]) -> Iterator[Replayer]:
    """Yield what executes runs inside the block.

    Parameters
    ----------
    catalogues : sequence of Path
        Of data sets beside the suite's own.
    """
    with tempfile.TemporaryFile() as log:
        made = Replayer(catalogues, log)
        try:
            yield made
        finally:
            made.end()


class Replayer:
    """Executes runs one after another, in one process for as long as threads and device stay."""

    def __init__(self, catalogues: Sequence[Path], log: IO[bytes]) -> None:
        self._catalogues = catalogues
        self._process: subprocess.Popen[str] | None = None
        self._kind: tuple[int, bool] | None = None
        self._log = log

    def __call__(self, run: RunSpec, threads: int, on_cpu: bool) -> Replay:
        """Execute a run.

        Parameters
        ----------
        run : RunSpec
        threads : int
            Threads to compute with.
        on_cpu : bool
            Keep away from GPUs.
        """
        began = time.monotonic()
        if self._kind != (threads, on_cpu) or self._process is None or self._process.poll() is not None:
            self.end()
            self._process, self._kind = self._begin(threads, on_cpu), (threads, on_cpu)
        answer = self._ask(self._process, run.to_json())
        seconds = time.monotonic() - began
        if answer is None:
            return Replay(seconds, error=self._last_words(self._process.wait()))
        return Replay(seconds, **answer)

    def _begin(self, threads: int, on_cpu: bool) -> subprocess.Popen[str]:
        self._log.truncate(0)
        return subprocess.Popen(
            [sys.executable, "-m", "suite.verify.replay", json.dumps(self._settings(threads))],
            env=_environment(threads, on_cpu),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def _settings(self, threads: int) -> dict[str, Any]:
        return {
            "threads": threads,
            "path": importable(),
            "catalogues": [str(file) for file in self._catalogues],
        }

    @staticmethod
    def _ask(process: subprocess.Popen[str], request: Mapping[str, Any]) -> dict[str, Any] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it died: there is no answer either
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        return dict(json.loads(answer)) if answer else None

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _last_words(self, status: int) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return f"its process {how}" + (f": {said[-1]}" if said else "")


def _environment(threads: int, on_cpu: bool) -> dict[str, str]:
    return {
        **os.environ,
        **dict.fromkeys(THREADS, str(threads)),
        **({"CUDA_VISIBLE_DEVICES": ""} if on_cpu else {}),
        **code_first(Path(__file__).resolve().parents[2]),  # the same suite as here, whatever else is installed
    }


def serve(settings: Mapping[str, Any]) -> None:
    """Be the process: take runs from standard input, a line of JSON each, and answer each with a line."""
    signal_at_parents_death(signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a run prints is no answer
    import_from(settings["path"])
    from suite.data import Store
    from suite.work.setup import prepare_process

    prepare_process(settings["threads"])
    data = Store.of(Path(file) for file in settings["catalogues"])
    for line in sys.stdin:
        try:
            answer = _execute(RunSpec.from_json(json.loads(line)), data)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def _execute(run: RunSpec, data: Any) -> dict[str, Any]:
    import torch

    from suite.provenance import machine
    from suite.training import evaluate, train
    from suite.work.setup import build, device

    task, loss, context = build(run, data)
    if isinstance(task, Mapping):
        metrics = task
    else:
        train(task, loss, context.streams, compute=context.compute)
        metrics = evaluate(task)
    name = torch.cuda.get_device_name(device()) if device().type == "cuda" else "cpu"
    return {
        "metrics": {name: float(value) for name, value in metrics.items()},
        "provenance": machine.collect(name, torch.get_num_threads()),
    }


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
