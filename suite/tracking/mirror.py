"""Records to MLflow, one MLflow run a key.

What MLflow holds is read from MLflow, never remembered on disk, so that a store that was replaced is filled again. Two
mirrors may push at once, from one results folder or from two. For a key that has several MLflow runs, every mirror
keeps the same one, by what cannot change back: one whose result is in before one whose result is not, then the newest
record, then the smallest run id. Each checks this after it has created runs, and a mirror whose run was deleted by
another looks again and goes on with the one that stayed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.records.files import is_held
from suite.text.masking import masked
from suite.tracking import items, store
from suite.tracking.entry import TAG_LIMIT, Events, Mirrored, Point, Record, fingerprint, origin, read_record

#: MLflow's limits on one ``log_batch``: 100 params, 100 tags, and 1,000 entries of all kinds.
NAMES_PER_BATCH = 100
METRICS_PER_BATCH = 1000 - 2 * NAMES_PER_BATCH
PAGE = 1000
#: Up to this many keys are searched for one by one; for more, reading the whole experiment is cheaper.
FEW = 32
ATTEMPTS = 3
#: Error codes of MLflow for "this run is deleted or gone", and for values it rejects for good.
REFUSED = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST")


@dataclass
class Pushed:
    """What a push did.

    Attributes
    ----------
    updated : int
        Records that MLflow now holds as they are on disk.
    unchanged : int
        Records of which MLflow held everything.
    superseded : int
        Records left out because the store holds a better one of the same key, from another results folder.
    rejected : dict
        Key to reason, for records that are damaged.
    refused : dict
        Key to reason, for records that this MLflow will not take however often they are sent.
    """

    updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass
class _Progress:
    """What this process knows of a key's MLflow run beyond what the store shows."""

    run_id: str
    events: Events = field(default_factory=Events)
    params_logged: bool = False


class _Superseded(Exception):
    """The store holds a better run of this key."""


def is_running(folder: Path) -> bool:
    """Tell whether a worker on this machine holds the run's lock."""
    return is_held(folder / "lock")


class Mirror:
    """Mirrors a results folder into an MLflow experiment.

    Parameters
    ----------
    out : Path
        The results folder; records lie in ``out/runs/<key>/``.
    uri : str
        Tracking address.
    experiment : str
        Name of the experiment, created at the first push.
    running : callable (Path) -> bool
        Whether a run's folder belongs to a worker that is alive.
    with_items : bool
        Log the outcomes of test items, too, as an artifact of each run that kept them.
    """

    def __init__(
        self,
        out: Path,
        uri: str,
        experiment: str,
        running: Callable[[Path], bool] = is_running,
        with_items: bool = False,
    ) -> None:
        self.out = out
        self.uri = uri
        self.experiment = experiment
        self._running = running
        self._with_items = with_items
        self._origin = origin(out)
        self._client: Any = None
        self._experiment_id = ""
        self._known: dict[str, Mirrored | None] = {}
        self._progress: dict[str, _Progress] = {}
        self._pushed: dict[str, tuple[object, ...]] = {}

    def push(self, keys: Iterable[str] | None = None) -> Pushed:
        """Mirror what changed since the last push.

        Parameters
        ----------
        keys : iterable of str, optional
            Which records; all by default.

        Raises
        ------
        TrackingUnavailable
            If the store cannot be reached. What was not sent is sent by the next push.
        """
        wanted = self._keys(keys)
        changed = self._changed(wanted)
        pushed = Pushed(unchanged=len(wanted) - len(changed))
        with store.reachable(self.uri):
            self._connect()
            self._look_up([key for key in changed if key not in self._known])
            created = [key for key, state in changed.items() if self._push_key(key, state, pushed)]
            self._look_up(created)
            for key in created:
                self._push_key(key, changed[key], Pushed())
        return pushed

    def close_abandoned(self) -> None:
        """Mark as killed what the store shows as running though its folder here is gone; raises as `push` does."""
        with store.reachable(self.uri):
            self._connect()
            for run in self._search(f"tags.suite.origin = '{self._origin}' AND attributes.status = 'RUNNING'"):
                if not (self.out / "runs" / run.tags.get("suite.key", "") / "run.json").exists():
                    self._client.set_terminated(run.run_id, status="KILLED")

    def pending(self, keys: Iterable[str] | None = None) -> int:
        """Count the records with something that was not pushed yet."""
        return len(self._changed(self._keys(keys)))

    def forget(self, records: Mapping[str, str]) -> int:
        """Delete the MLflow runs of records, and return how many there were; never what another folder has mirrored.

        Parameters
        ----------
        records : mapping of key to str
            The record's id, by which it is found whichever machine has mirrored it; empty where that is not known.

        Raises
        ------
        TrackingUnavailable
            If the store cannot be reached.
        """
        with store.reachable(self.uri):
            self._connect()
            found = self._runs_of(list(records))
            pairs = [(run.tags, run, record) for key, record in records.items() for run in found[key]]
            ours = [r for t, r, id_ in pairs if t.get("suite.origin") == self._origin or t.get("suite.record") == id_]
            for run in ours:
                self._delete(run)
        return len(ours)

    def gone(self) -> list[str]:
        """Return the keys of MLflow runs that this results folder has mirrored and has no record of any more.

        Raises
        ------
        TrackingUnavailable
            If the store cannot be reached.
        """
        with store.reachable(self.uri):
            self._connect()
            keys = [run.tags.get("suite.key", "") for run in self._search(f"tags.suite.origin = '{self._origin}'")]
        return [key for key in keys if not (self.out / "runs" / key / "run.json").exists()]

    def _keys(self, keys: Iterable[str] | None) -> list[str]:
        runs = self.out / "runs"
        if keys is not None:
            return [key for key in dict.fromkeys(keys) if (runs / key / "run.json").exists()]
        return sorted(path.parent.name for path in runs.glob("*/run.json"))

    def _changed(self, keys: Sequence[str]) -> dict[str, tuple[object, ...]]:
        """Return the keys with something new, and their fingerprints."""
        changed = {}
        for key in keys:
            folder = self.out / "runs" / key
            # A finished run is not probed again: its lock no longer tells anything.
            running = not (folder / "result.json").exists() and self._running(folder)
            state = fingerprint(folder, running)
            if state != self._pushed.get(key):
                changed[key] = state
        return changed

    def _connect(self) -> None:
        if self._client is None:
            self._experiment_id = store.create_store(self.uri, self.experiment) or ""
            self._client = store.open_client(self.uri)

    def _push_key(self, key: str, state: tuple[object, ...], pushed: Pushed) -> bool:
        """Mirror one record; tell whether an MLflow run was created."""
        from mlflow.exceptions import MlflowException

        created = False
        for attempt in range(ATTEMPTS):
            try:
                record = read_record(self.out / "runs" / key, running=bool(state[0]))
                if record is None:
                    return created
                target = self._known.get(key)
                is_held = target is not None and target.holds(record)
                if not is_held:
                    created |= self._mirror(record)
                if self._log_items(record) or not is_held:
                    pushed.updated += 1
                else:
                    pushed.unchanged += 1
                self._pushed[key] = state
                return created
            except _Superseded:
                pushed.superseded += 1
                self._pushed[key] = state
                return created
            except (ValueError, KeyError, AttributeError) as error:
                pushed.rejected[key] = str(error)
                return created
            except MlflowException as error:
                if error.error_code not in REFUSED:
                    raise
                if not self._replaced_by_another(key) or attempt + 1 == ATTEMPTS:
                    pushed.refused[key] = masked(str(error).splitlines()[0][:500])
                    self._say_refused(key, pushed.refused[key])
                    return created
        return created

    def _say_refused(self, key: str, reason: str) -> None:
        """Show the run as failed, with the reason, where it would seem to run for ever."""
        from mlflow.exceptions import MlflowException

        target = self._known.get(key)
        if target is None or target.status == "FINISHED":
            return
        try:
            self._client.set_tag(target.run_id, "suite.failure", f"refused by MLflow: {reason}"[:TAG_LIMIT])
            self._client.set_terminated(target.run_id, status="FAILED")
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
        target.status = "FAILED"
        target.tags["suite.failure"] = reason

    def _replaced_by_another(self, key: str) -> bool:
        before = self._known.get(key)
        self._look_up([key])
        after = self._known[key]
        return (before and before.run_id) != (after and after.run_id)

    def _mirror(self, record: Record) -> bool:
        target, created = self._target(record), False
        if target is None:
            target, created = self._create(record), True
        self._log(record, target)
        return created

    def _target(self, record: Record) -> Mirrored | None:
        """Return the MLflow run to bring up to date, or None if one is to be created."""
        target = self._known.get(record.key)
        if target is None:
            return None
        ours = (record.started, record.record)
        if target.tags.get("suite.record", "") == record.record:
            replaced_result = target.tags.get("suite.digest", record.digest) != record.digest
            if not replaced_result:
                return target
        elif target.tags.get("suite.origin") != self._origin and (bool(record.digest), *ours) < target.rank:
            raise _Superseded  # of this folder the record that is there counts: clocks may have been set back
        self._client.delete_run(target.run_id)
        self._known[record.key] = None
        return None

    def _create(self, record: Record) -> Mirrored:
        tags = {**record.tags(), "suite.origin": self._origin}
        run = self._client.create_run(self._experiment_id, start_time=record.started, tags=tags, run_name=record.name)
        target = Mirrored(run.info.run_id, run.info.status, record.started, tags)
        self._known[record.key] = target
        return target

    def _log(self, record: Record, target: Mirrored) -> None:
        progress = self._progress.get(record.key)
        if progress is None or progress.run_id != target.run_id:
            progress = self._progress[record.key] = _Progress(target.run_id)
        points, events = progress.events.read(self.out / "runs" / record.key / "events.jsonl")
        tags = record.tags()
        # A failure's tag is emptied once the run is done; nothing else is ever taken back.
        wanted = {"suite.failure": "", **tags}
        stale = {name: text for name, text in wanted.items() if target.tags.get(name, "") != text}
        self._log_batches(
            target.run_id,
            [*points, *record.final_metrics()],
            {} if progress.params_logged else record.params(),
            stale,
        )
        target.tags.update(stale)
        progress.events, progress.params_logged = events, True
        if record.status != target.status:
            if record.status == "RUNNING":
                self._client.update_run(target.run_id, status="RUNNING")
            else:
                ended = record.ended(events.last_time)
                self._client.set_terminated(target.run_id, status=record.status, end_time=ended)
            target.status = record.status
        if record.result is not None:
            del self._progress[record.key]

    def _log_items(self, record: Record) -> bool:
        """Log the outcomes of test items where they are wanted and lacking; tell whether that was done."""
        target = self._known.get(record.key)
        if not self._with_items or target is None or target.tags.get(items.TAG, "") == record.items:
            return False
        if not items.log(self._client, target.run_id, self.out / "runs" / record.key, record.items):
            return False
        target.tags[items.TAG] = record.items
        return True

    def _log_batches(self, run_id: str, points: list[Point], params: dict[str, str], tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(name, value, time, step) for name, step, value, time in points]
        names = [Param(name, value) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in tags.items()]
        batches = max(-(-len(metrics) // METRICS_PER_BATCH), -(-len(names) // NAMES_PER_BATCH), bool(labels))
        for i in range(batches):
            part = slice(i * NAMES_PER_BATCH, (i + 1) * NAMES_PER_BATCH)
            batch = metrics[i * METRICS_PER_BATCH : (i + 1) * METRICS_PER_BATCH]
            # The tags carry the digest that says "complete": they go with the last batch.
            last = labels if i == batches - 1 else []
            self._client.log_batch(run_id, metrics=batch, params=names[part], tags=last)

    def _look_up(self, keys: Sequence[str]) -> None:
        """Read from the store which MLflow run each key has, and delete all but one of it."""
        found = self._runs_of(keys)
        for key in keys:
            self._known[key] = self._resolve(found[key])

    def _runs_of(self, keys: Sequence[str]) -> Mapping[str, list[Mirrored]]:
        """Return the MLflow runs of each key."""
        found: dict[str, list[Mirrored]] = defaultdict(list)
        if len(keys) > FEW:
            with store.without_collector():
                for run in self._search():
                    found[run.tags.get("suite.key", "")].append(run)
        else:
            for key in keys:
                found[key] = self._search(f"tags.suite.key = '{key}'")
        return found

    def _resolve(self, runs: Sequence[Mirrored]) -> Mirrored | None:
        if not runs:
            return None
        best = max(run.rank for run in runs)
        stays = min((run for run in runs if run.rank == best), key=lambda run: run.run_id)
        for run in runs:
            if run is not stays:
                self._delete(run)
        return stays

    def _delete(self, run: Mirrored) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.delete_run(run.run_id)
        except MlflowException as error:
            if error.error_code not in REFUSED:  # refused: another mirror was faster
                raise

    def _search(self, condition: str = "") -> list[Mirrored]:
        found: list[Mirrored] = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], condition, max_results=PAGE, page_token=token)
            for run in page:
                info = run.info
                found.append(Mirrored(info.run_id, info.status, info.start_time or 0, dict(run.data.tags)))
            token = page.token
            if not token:
                return found
