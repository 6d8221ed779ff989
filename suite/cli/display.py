"""What `run` shows while it works: a live display, plain lines where the output is not a terminal, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from suite.launch.campaign import Display, View
from suite.plan.run import Run
from suite.records.launch import Worker, has_joined
from suite.records.record import Store

if TYPE_CHECKING:
    from rich.console import RenderableType


class QuietDisplay:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def show(self, view: View) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class PlainDisplay:
    """A line for every run that ends."""

    def __init__(self, store: Store, stream: TextIO) -> None:
        self._store = store
        self._stream = stream
        self._notice = ""

    def say(self, text: str) -> None:
        """Print the line."""
        print(text, file=self._stream, flush=True)

    def show(self, view: View) -> None:
        """Print what has ended, and what is waited for when that changes."""
        if view.notice and view.notice != self._notice:
            self._notice = view.notice
            self.say(view.notice)
        first = view.done + view.failed - len(view.settled)
        for index, (run, outcome) in enumerate(view.settled, start=first + 1):
            counter = f"[{index:>{len(str(view.total))}}/{view.total}]"
            self.say(f"{counter} {ended(run, outcome, self._store)}  eta {clock(view.eta_s)}")

    def close(self) -> None:
        """Do nothing."""


class LiveDisplay:
    """A bar for the campaign and one for each worker, under the lines of what has ended."""

    def __init__(self, store: Store) -> None:
        from rich.console import Console
        from rich.live import Live

        self._store = store
        self._console = Console()
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        """Print the line above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def show(self, view: View) -> None:
        """Redraw the bars; print what has ended above them."""
        for run, outcome in view.settled:
            self.say(ended(run, outcome, self._store))
        self._live.update(bars(view))

    def close(self) -> None:
        """Take the bars away."""
        self._live.stop()


def make_display(store: Store, quiet: bool) -> Display:
    """Return the display that fits where standard output goes."""
    if quiet:
        return QuietDisplay()
    return LiveDisplay(store) if sys.stdout.isatty() else PlainDisplay(store, sys.stdout)


def ended(run: Run, outcome: str, store: Store) -> str:
    """Return one line on a run that has ended: its figure, or why it failed."""
    record = store.record(run.key)
    if outcome == "failed":
        failure: Mapping[str, Any] = record.failure() or {"class": "?", "message": "?"}
        message = str(failure["message"]).splitlines()[0]
        logs = f"python -m suite logs {run.key[:12]}{store.option()}"
        return f"failed  {run.name}  {failure['class']}: {message}  ({logs})"
    result: Mapping[str, Any] = record.result() or {"metrics": {}, "seconds": {}}
    split = "val" if run.purpose == "selection" else "test"  # what is chosen with a seed is not looked at on test
    name = f"{split}/{run.metric['name']}"
    figure = f"{name} {result['metrics'][name]:.4f}" if name in result["metrics"] else f"no {name}!"
    return f"done    {run.name:<36}  {figure}  ({sum(result['seconds'].values()):.1f} s)"


def bars(view: View) -> RenderableType:
    """Return the bars of a view, for rich."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    to_do = view.total - view.done - view.failed
    grid = Table.grid(padding=(0, 2))
    state = "stopping, saving checkpoints" if view.stopping else f"eta {clock(view.eta_s)}"
    figures = f"{view.done} done, {view.failed} failed, {to_do} to do"
    settled = view.done + view.failed
    grid.add_row("all runs", ProgressBar(total=view.total, completed=settled, width=30), f"{figures}   {state}")
    for worker in view.workers:
        bar = ProgressBar(total=max(1, worker.steps), completed=worker.step, width=30)
        grid.add_row(f"worker {label(worker)}", bar, doing(worker))
    if view.notice:
        grid.add_row("", "", view.notice)
    return grid


def label(worker: Worker) -> str:
    """Return a worker's number, and its slot where there are several; host and process of one that has joined."""
    if has_joined(worker.number):
        return f"{worker.host}:{worker.process}"
    return f"{worker.number}.{worker.slot}" if worker.slot else str(worker.number)


def doing(worker: Worker) -> str:
    """Return what a worker is at: its run, the phase, the step, and for how long."""
    if worker.name is None:
        return worker.phase
    spent = clock(time.time() - worker.since)
    steps = f" step {worker.step}/{worker.steps}" if worker.steps else ""
    return f"{worker.name}  {worker.phase}{steps}  {spent}"


def clock(seconds: float) -> str:
    """Return a duration as ``0:42``, ``12:03`` or ``3:12:45``."""
    minutes, second = divmod(round(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
