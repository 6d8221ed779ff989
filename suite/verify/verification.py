"""Logged results held against what the same runs give now: executed again, number by number.

On a machine of the same kind (processor, device, threads, versions of packages) every metric must come back bit for
bit; what another computes is held against the scatter over seeds, in :mod:`suite.verify.means`. Settings, data and code
are compared before, with what was logged of them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from suite.data import DataError
from suite.plan.run import Run, run_of
from suite.provenance.machine import changed_modules
from suite.records.specs import as_read, unpinned
from suite.registry.registry import Registry
from suite.text.naming import clean_name
from suite.verify.replay import Replay, Replayer
from suite.verify.results import LoggedRun, settings_of

#: What of the hardware decides the last bits of a sum.
KIND: Final = ("processor", "device", "threads", "processes")

Numbers = Literal["identical", "other bits", "different", "not computed"]
Topic = Literal["settings", "data", "code", "numbers", "execution"]


@dataclass(frozen=True)
class Difference:
    """A metric that did not come back as it was logged; NaN stands for none."""

    metric: str
    logged: float
    found: float

    @property
    def size(self) -> float:
        """The difference beside one more than the value: what it is sorted by."""
        size = abs(self.found - self.logged) / (1 + abs(self.logged))
        return math.inf if math.isnan(size) else size

    def __str__(self) -> str:
        return f"{self.metric} {self.found:.6g}, logged {self.logged:.6g}"


@dataclass(frozen=True)
class Verified:
    """What came of one run.

    Attributes
    ----------
    logged : LoggedRun
    numbers : str
        ``identical``, ``different``, ``other bits`` on a machine of another kind, or ``not computed`` where something
        stood in the way.
    problems : sequence of (topic, text)
        All that differs from what was logged; topics are ``settings data code numbers execution``.
    machine : sequence of str
        In what this machine is of another kind than the one that the result is from.
    largest : Difference or None
        None if no metric differs.
    seconds : float
        Wall time of the execution.
    found : mapping of name to float
        What was computed, named like what was logged.
    """

    logged: LoggedRun
    numbers: Numbers = "not computed"
    problems: tuple[tuple[Topic, str], ...] = ()
    machine: tuple[str, ...] = ()
    largest: Difference | None = None
    seconds: float = 0.0
    found: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def verdict(self) -> str:
        """What a table says: the topics of the problems in capitals, then the numbers."""
        words = {"settings": "OTHER SETTINGS", "data": "OTHER DATA", "code": "STALE", "execution": "FAILED"}
        said = [words[topic] for topic, _ in self.problems if topic in words]
        numbers = "DIFFERENT" if self.numbers == "different" else self.numbers
        return ", ".join(said if said and self.numbers == "not computed" else [*said, numbers])


def draw(logged: Sequence[LoggedRun], sample: int, seed: int) -> list[LoggedRun]:
    """Draw runs: one of every benchmark first, then a second of every one, and so on.

    The order within a benchmark, and that of the benchmarks, are those of sha256(seed:name): the same on any machine,
    and hardly moved by runs that are added. Reference figures come after all trained runs of their benchmark.
    """

    def rank(text: str) -> bytes:
        return hashlib.sha256(f"{seed}:{text}".encode()).digest()

    queues: dict[str, list[LoggedRun]] = defaultdict(list)
    for run in sorted(logged, key=lambda run: (run.kind == "reference", rank(run.key))):
        queues[run.benchmark].append(run)
    rounds = itertools.zip_longest(*(queues[name] for name in sorted(queues, key=rank)))
    return [run for one in rounds for run in one if run is not None][:sample]


class Verification:
    """Verifies runs one by one.

    Parameters
    ----------
    registry : Registry
    logged : sequence of LoggedRun
        All that are to be verified.
    replay : Replayer
    """

    def __init__(self, registry: Registry, logged: Sequence[LoggedRun], replay: Replayer) -> None:
        self._registry = registry
        self._replay = replay
        self._runs: dict[str, Run] = {}
        self._unmade: dict[str, str] = {}
        self._wrong_data: dict[str, list[str]] = {}
        for one in logged:
            self._resolve(one)

    def _resolve(self, logged: LoggedRun) -> None:
        where = (logged.benchmark, logged.loss, logged.kind, logged.seed, logged.profile)
        try:
            run = run_of(self._registry, *where)
        except LookupError as error:
            self._unmade[logged.key] = str(error)
            return
        here = settings_of(run.config)
        said = {n: value if here.get(n) != "recorded" else "recorded" for n, value in logged.settings.items()}
        changed = "; ".join(_changed_settings(said, here))
        if run.key != logged.key:
            what = changed or "what was logged does not say which"
            self._unmade[logged.key] = f"the registry makes this run with other settings: {what}"
        elif changed:
            self._unmade[logged.key] = f"what was logged of its settings does not belong to its key: {changed}"
        else:
            self._runs[logged.key] = run

    def check_data(self, fetch: Callable[[list[str]], None]) -> None:
        """Read every file of the data sets that the runs use; see :func:`wrong_data`."""
        names = {dataset for run in self._runs.values() for dataset in run.config["data"]}
        self._wrong_data = wrong_data(self._registry, sorted(names), fetch)

    def verify(self, logged: LoggedRun) -> Verified:
        """Execute one run again, if nothing stands in the way, and compare."""
        if logged.key in self._unmade:
            return Verified(logged, problems=(("settings", self._unmade[logged.key]),))
        run = self._runs[logged.key]
        data = [text for name in run.config["data"] for text in self._wrong_data.get(name, ())]
        recorded = self._registry.data.recorded(unpinned(run.config))
        data += _other_data(logged, settings_of(as_read(run.config, recorded)))
        if data:
            return Verified(logged, problems=tuple(("data", text) for text in data))
        problems: list[tuple[Topic, str]] = []
        changed = changed_modules(logged.code, _abbreviated(run.code, logged.code)) if logged.code else []
        if changed:
            problems.append(("code", f"made by other code: {', '.join(changed)}"))
        again = self._replay(run, int(logged.hardware.get("threads", 1)), logged.hardware.get("device") == "cpu")
        if again.error:
            problems.append(("execution", again.error))
            return Verified(logged, problems=tuple(problems), seconds=again.seconds)
        return self._compared(logged, again, problems)

    def _compared(self, logged: LoggedRun, again: Replay, problems: list[tuple[Topic, str]]) -> Verified:
        machine = other_kind(logged, again)
        metrics = {clean_name(name): value for name, value in again.metrics.items()}
        found = differences(logged.metrics, metrics)
        largest = max(found, key=lambda difference: difference.size, default=None)
        numbers: Numbers = "identical"
        if largest is not None:
            numbers = "other bits" if machine else "different"
        if numbers == "different":
            count = f"{len(found)} of {len(metrics.keys() | logged.metrics.keys())} metrics differ"
            problems.append(("numbers", f"{count}; most of all {largest}"))
        return Verified(logged, numbers, tuple(problems), tuple(machine), largest, again.seconds, metrics)


def _other_data(logged: LoggedRun, here: Mapping[str, str]) -> list[str]:
    """Say which of the data that no catalogue pins is another here than what the run read."""
    pairs = ((name, here[name], value) for name, value in logged.settings.items() if name in here)
    return [
        f"{name.removeprefix('data.')} is {now} here, the run read {value}"
        for name, now, value in pairs
        if name.startswith("data.") and now != value and "recorded" not in (now, value)
    ]


def wrong_data(registry: Registry, names: Sequence[str], fetch: Callable[[list[str]], None]) -> dict[str, list[str]]:
    """Read every file of data sets, and say what is not as the catalogue has it.

    Parameters
    ----------
    registry : Registry
    names : sequence of str
        Data sets.
    fetch : callable (names of data sets) -> None
        Called for data sets that are not there; never over a file that is wrong, which would hide it.

    Returns
    -------
    dict of data set to list of str
        Sentences on what is wrong.
    """
    found = registry.data.verify(names)
    wrong = {one.dataset for one in found if one.state not in ("ok", "missing")}
    lacking = sorted({one.dataset for one in found if one.state == "missing"} - wrong)
    said: dict[str, list[str]] = defaultdict(list)
    for name in lacking:
        try:
            fetch([name])
        except DataError as error:
            said[name].append(str(error))
    for one in found:
        if one.dataset in wrong and one.state != "ok":
            said[one.dataset].append(f"{one.path} is {one.state}: {one.actual}, not {one.expected}")
    return dict(said)


def differences(logged: Mapping[str, float], found: Mapping[str, float]) -> list[Difference]:
    """Return the metrics whose bits differ; one that is missing on either side is NaN there."""
    names = sorted(logged.keys() | found.keys())
    pairs = (Difference(name, logged.get(name, math.nan), found.get(name, math.nan)) for name in names)
    return [pair for pair in pairs if float(pair.logged).hex() != float(pair.found).hex()]


def other_kind(logged: LoggedRun, again: Replay) -> list[str]:
    """Return in what the machines differ as far as numbers depend on it; empty for the same kind."""
    if not (logged.hardware and logged.packages):
        return ["what was logged does not say on what it was computed"]
    if logged.settings.get("compute.deterministic") == "false":
        return ["it was computed with deterministic: false, which repeats no bits"]
    here = again.provenance
    before = {**{name: logged.hardware.get(name) for name in KIND}, **logged.packages}
    now = {**{name: here["hardware"].get(name) for name in KIND}, **here["packages"]}
    if logged.python:
        before["python"], now["python"] = (_minor(version) for version in (logged.python, here["python"]))
    return [f"{name} {now.get(name)}, logged {value}" for name, value in before.items() if now.get(name) != value]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _abbreviated(code: Mapping[str, str], like: Mapping[str, str]) -> dict[str, str]:
    digits = max(map(len, like.values()))
    return {module: digest[:digits] for module, digest in code.items()}


def _changed_settings(logged: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the settings that were logged otherwise; none if no settings were logged."""
    if not logged:
        return []
    pairs = {name: (now.get(name, ""), logged.get(name, "")) for name in sorted(logged.keys() | now.keys())}
    return [f"{name} {new or 'unset'}, logged {old or 'unset'}" for name, (new, old) in pairs.items() if new != old]


def executable_here(logged: Iterable[LoggedRun]) -> tuple[list[LoggedRun], int]:
    """Return the runs that one process can execute, and how many others there are."""
    listed = list(logged)
    alone = [run for run in listed if run.settings.get("processes", "1") == "1"]
    return alone, len(listed) - len(alone)
