"""The summary of the seeds that are complete, while a campaign goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from suite.cli.summary import Summary
from suite.launch.campaign import Display, View
from suite.plan.run import Run
from suite.records.specs import turns
from suite.text.masking import masked
from suite.tracking import TrackingUnavailable

#: How long the end waits for a table that is being made: longer, and MLflow does not answer.
PATIENCE_S: Final = 60.0


def push_and_show(summary: Summary, push: Callable[[], object], say: Callable[[str], None]) -> None:
    """Bring MLflow up to date and print the summary, or say why that is not possible.

    Parameters
    ----------
    summary : Summary
    push : callable () -> object
        Brings it up to date.
    say : callable (str) -> None
    """
    try:
        push()
    except TrackingUnavailable as error:
        say(f"no table: {error}")
        return
    except Exception as error:  # the campaign goes on, and at its end the command meets it again
        say(f"no table: {masked(f'{type(error).__name__}: {error}')}")
        return
    summary.show()


class EarlySummary:
    """A display that shows the summary when all runs of the first seed have ended, and again at each further seed.

    Not at the last one, after which the command prints it anyhow. In a thread of its own: beside busy workers a table
    takes half a minute, in which workers that were lost would not be replaced.

    Parameters
    ----------
    display : Display
        Shows everything else.
    plan : iterable of Run
        All selected runs: they tell which seed is the first.
    awaited : iterable of Run
        Those of them that have not ended yet.
    show_summary : callable () -> None
    """

    def __init__(
        self, display: Display, plan: Iterable[Run], awaited: Iterable[Run], show_summary: Callable[[], None]
    ) -> None:
        self._display = display
        self._show_summary = show_summary
        self._turn = turns(plan)
        self._open: list[set[str]] = [set() for _ in set(self._turn.values())]
        for run in awaited:
            self._open[self._turn[run.key]].add(run.key)
        self._shown = self._complete()
        self._printing: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._display.say(text)

    def show(self, view: View) -> None:
        """Show where the campaign stands, and the summary if one more seed is complete."""
        self._display.show(view)
        for run, _ in view.settled:
            self._open[self._turn[run.key]].discard(run.key)
        complete = self._complete()
        is_printing = self._printing is not None and self._printing.is_alive()
        if self._shown < complete < len(self._open) and not is_printing:
            self._shown = complete
            self.say(f"so far: {complete} of {len(self._open)} seeds")
            self._printing = threading.Thread(target=self._show_summary, daemon=True)
            self._printing.start()

    def wait(self) -> None:
        """Wait for the summary that is being printed."""
        if self._printing is not None:
            self._printing.join(PATIENCE_S)

    def close(self) -> None:
        """Leave the terminal as it was, after the summary that is being printed."""
        self.wait()
        self._display.close()

    def _complete(self) -> int:
        """Return how many seeds are complete, counted up to the first one that is not."""
        return next((turn for turn, left in enumerate(self._open) if left), len(self._open))
