"""The summary after ``run``, by whoever offers one: packages with an entry point of the group ``suite.summary``.

An entry point is a callable ``(tracking_uri, experiment, profile, declared) -> None`` that prints.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from suite.launch.campaign import Display, View
from suite.registry.claims import Declared

GROUP: Final = "suite.summary"
MISSING: Final = (
    f"no summary: no installed package has an entry point {GROUP!r}. This one has: install it anew (make install, or "
    "pip install -e .); python -m analysis tables shows the results meanwhile"
)


@dataclass(frozen=True)
class Summary:
    """What is summarised.

    Attributes
    ----------
    uri : str
        The MLflow store.
    experiment, profile : str
    declared : Declared
        What the registry says about results: the baseline and the claims.
    """

    uri: str
    experiment: str
    profile: str
    declared: Declared

    def show(self) -> None:
        """Print every summary, in the order of the entry points' names; what fails is named and costs nothing else."""
        points = offered()
        if not points:
            print(MISSING)
        for point in points:
            try:
                printer: Callable[[str, str, str, Declared], None] = point.load()
                printer(self.uri, self.experiment, self.profile, self.declared)
            except Exception as error:  # the runs are done, whatever a plug-in makes of them
                print(f"no summary by {point.value}: {type(error).__name__}: {error}")


def offered() -> list[EntryPoint]:
    """Return the entry points that summarise, by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


class LoadingSummary:
    """A display that imports the summary once a worker trains: pandas takes a second, and nothing else is to be done.

    By then the mirror has imported MLflow: two threads that import what imports each other may see halves of it.

    Parameters
    ----------
    display : Display
        Shows everything.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._has_begun = False

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._display.say(text)

    def show(self, view: View) -> None:
        """Show where the campaign stands."""
        self._display.show(view)
        if not self._has_begun and (view.done or view.failed or any(one.phase == "training" for one in view.workers)):
            self._has_begun = True
            threading.Thread(target=_load, daemon=True).start()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._display.close()


def _load() -> None:
    for point in offered():
        with contextlib.suppress(Exception):  # `Summary.show` meets it again, and says so
            point.load()
