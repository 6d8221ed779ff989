"""The mirror that runs beside an attached launcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from suite.text.masking import masked
from suite.tracking.mirror import Mirror, Pushed, is_running

LONGEST_WAIT_S = 60.0


class LiveMirror:
    """Pushes every few seconds from a daemon thread, and never raises into the launcher.

    Parameters
    ----------
    out, uri, experiment, running, with_items
        As for :class:`~suite.tracking.mirror.Mirror`.
    keys : iterable of str, optional
        The records to push; all by default.
    interval_s : float
        Seconds between pushes; doubled, up to a minute, after each failed one.
    sync : str
        The command that completes what is left, as it is to be typed, but for ``--items``.

    Attributes
    ----------
    error : str or None
        Why the last push failed; None after one that worked.
    refused : dict
        Key to reason, for records that this MLflow will not take however often they are sent.
    pending : int
        Records with something that the last push left unsent.
    """

    def __init__(
        self,
        out: Path,
        uri: str,
        experiment: str,
        keys: Iterable[str] | None = None,
        interval_s: float = 5.0,
        running: Callable[[Path], bool] = is_running,
        with_items: bool = False,
        sync: str = "python -m suite sync",
    ) -> None:
        self.error: str | None = None
        self.refused: dict[str, str] = {}
        self.pending = 0
        self._mirror = Mirror(out, uri, experiment, running, with_items)
        self._sync = f"{sync} --items" if with_items else sync
        self._keys = None if keys is None else list(keys)
        self._interval_s = interval_s
        self._pushing = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)

    def start(self) -> None:
        """Start pushing."""
        self._thread.start()

    def push(self) -> Pushed:
        """Push now, in the calling thread, which waits for a push that is under way.

        Whoever needs the store up to date meanwhile asks here: of two mirrors at once each would make MLflow runs that
        one of them has to delete again.

        Raises
        ------
        TrackingUnavailable
            If the store cannot be reached.
        """
        with self._pushing:
            return self._mirror.push(self._keys)

    def finish(self, timeout: float) -> bool:
        """Push once more and stop.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether MLflow now holds everything; if not, `error` says why and ``suite sync`` completes it.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._thread.is_alive():
            self.error = self.error or f"MLflow did not take everything within {timeout:g} s"
        return self.error is None and self.pending == 0 and not self._thread.is_alive()

    @property
    def shortfall(self) -> str | None:
        """What MLflow lacks and what to do about it; None if it has everything."""
        if self.error is None and self.pending == 0:
            return None
        if self.refused and not self.pending - len(self.refused):
            lasting = _first(self.refused, "are refused for good by this MLflow")
            return f"{lasting}. Their records are whole, and in MLflow they stand as failed with this reason"
        why = self.error or f"{self.pending} runs were not sent"
        return f"MLflow is not up to date: {why}. Nothing is lost: {self._sync} completes it"

    def _loop(self) -> None:
        wait = self._interval_s
        last = False
        while not last:
            last = self._stopping.is_set()
            began = time.monotonic()
            wait = self._interval_s if self._push() else min(2 * wait, LONGEST_WAIT_S)
            # On a slow store, leave it at least as much time to others as the push took.
            self._stopping.wait(max(wait, time.monotonic() - began))

    def _push(self) -> bool:
        try:
            pushed = self.push()
            self.refused = pushed.refused
            self.error = _first(pushed.rejected, "could not be mirrored") or _first(pushed.refused, "were refused")
        except Exception as error:  # whatever it is, training goes on and `suite sync` will meet it again
            self.error = masked(str(error)) or type(error).__name__
        try:
            self.pending = self._mirror.pending(self._keys)
        except OSError as error:
            self.error = self.error or str(error)
        return self.error is None


def _first(reasons: dict[str, str], what: str) -> str | None:
    if not reasons:
        return None
    key, reason = next(iter(reasons.items()))
    return f"{len(reasons)} runs {what}; {key[:12]}: {reason}"
