"""What runs will take: learnt from those that are done."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from suite.plan.run import Run
from suite.records.record import Store
from suite.registry.registry import Registry

Group = tuple[str, ...]
MOST_READ = 500
"""Records outside of the plan that are read for their times, at most."""


ASSUMED: Final = (
    "until runs have finished, what the registry estimates for one GPU that reaches 34 teraflops a second in float32 "
    "and 71 in bfloat16 (a ResNet-50 trained at 1,400 and 2,900 images a second) beside 16 cores that decode 150 large "
    "images a second each; evaluation included (docs/paper-profiles.md)"
)
"""What the registry's estimates of the profile ``paper`` assume."""


class Estimates:
    """Seconds and memory of a run, from finished runs of the same benchmark and profile, else from the registry.

    Parameters
    ----------
    runs : sequence of Run
        Those of a plan.
    results : mapping of key to mapping
        The results of those that are done.
    registry : Registry
    store : Store
    existing : set of str
        The keys that have a record.
    """

    def __init__(
        self, runs: Sequence[Run], results: Mapping[str, Any], registry: Registry, store: Store, existing: set[str]
    ) -> None:
        self._registry = registry
        self._memory: dict[Group, dict[str, float]] = defaultdict(dict)
        seconds: dict[Group, list[float]] = defaultdict(list)
        for run in runs:
            if run.key in results:
                self._learn(seconds, run.benchmark, run.profile, run.kind, run.loss, results[run.key])
        unknown = [run for run in runs if run.key not in results and not any(g in seconds for g in self._groups(run))]
        if unknown:
            self._look_around(seconds, unknown, store, existing - {run.key for run in runs})
        self._medians = {group: statistics.median(values) for group, values in seconds.items()}

    def _look_around(
        self, seconds: dict[Group, list[float]], unknown: Sequence[Run], store: Store, others: set[str]
    ) -> None:
        """Learn from records outside of the plan: other seeds, other losses, but the benchmark's settings of now."""
        settings = {(run.benchmark, run.profile): run.config["benchmark"] for run in unknown}
        for record in map(store.record, sorted(others)[:MOST_READ]):
            run, result = record.run(), record.result()
            if run is None or result is None:
                continue
            if settings.get((run["benchmark"], run["profile"])) == run["config"]["benchmark"]:
                self._learn(seconds, run["benchmark"], run["profile"], run["kind"], run["loss"], result)

    def _learn(
        self,
        seconds: dict[Group, list[float]],
        benchmark: str,
        profile: str,
        kind: str,
        loss: str,
        result: Mapping[str, Any],
    ) -> None:
        for group in _groups(benchmark, profile, kind, loss):
            seconds[group].append(sum(result["seconds"].values()))
            most = self._memory[group]
            for part, mib in result.get("memory_mib", {}).items():
                most[part] = max(mib, most.get(part, 0.0))

    @staticmethod
    def _groups(run: Run) -> tuple[Group, ...]:
        return _groups(run.benchmark, run.profile, run.kind, run.loss)

    def memory_mib(self, run: Run) -> Mapping[str, float]:
        """Return the most that runs like this one took; empty if none has run."""
        return next((self._memory[group] for group in self._groups(run) if self._memory.get(group)), {})

    def seconds(self, run: Run) -> float:
        """Return the expected seconds on one worker."""
        for group in self._groups(run):
            if group in self._medians:
                return self._medians[group]
        declared: Mapping[str, float] = self._registry.document.benchmarks[run.benchmark].estimate_s  # type: ignore[assignment]
        return float(declared.get(run.profile, 60.0))


def _groups(benchmark: str, profile: str, kind: str, loss: str) -> tuple[Group, ...]:
    base = (benchmark, profile, kind)
    # one reference is a table look-up, another a whole training: only their own history tells
    return ((*base, loss),) if kind == "reference" else ((*base, loss), base)
