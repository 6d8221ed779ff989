"""Which finished runs would count no longer once others are run: the tables never mix two versions of the code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from suite.plan.belonging import makes
from suite.plan.run import Run
from suite.provenance.definitions import named
from suite.records.record import Store
from suite.registry.registry import Registry

Finished = tuple[str, Mapping[str, Any], Mapping[str, str]]
"""Key, ``run.json`` and recorded code of a finished run."""


def outdated(registry: Registry, to_do: Sequence[Run], store: Store) -> Iterator[str]:
    """Yield a sentence a benchmark of which finished runs were made with other code than the runs to do will be.

    Nothing is said where the tables leave those out already, since a finished run has that code.

    Parameters
    ----------
    registry : Registry
    to_do : sequence of Run
        Of one profile.
    store : Store
    """
    doing = {run.key for run in to_do}
    recorded = _finished(to_do, store)
    for benchmark in dict.fromkeys(run.benchmark for run in to_do):
        mine = [run for run in to_do if run.benchmark == benchmark]
        code = {entry: digest for run in mine for entry, digest in run.code.items()}
        candidates = recorded[benchmark]
        if not any(code.get(entry, digest) != digest for _, _, found in candidates for entry, digest in found.items()):
            continue  # nearly always: whether the registry makes them is dear to know, where searches have members
        finished = [(key, found) for key, run, found in candidates if makes(registry, key, run)]
        there = {pair for _, found in finished for pair in found.items()}
        news = {entry: digest for entry, digest in code.items() if (entry, digest) not in there}
        left = [found for key, found in finished if key not in doing]
        conflicts = [{entry for entry, digest in found.items() if news.get(entry, digest) != digest} for found in left]
        count = sum(map(bool, conflicts))
        if count:
            listed = ", ".join(map(named, sorted(set().union(*conflicts))))
            yield (
                f"{count} finished runs of {benchmark} will count no longer in the tables: they were made with another "
                f"{listed} than the runs that start now. Select them, too, with --rerun stale"
            )


def _finished(to_do: Sequence[Run], store: Store) -> Mapping[str, list[Finished]]:
    """Return the finished runs of the benchmarks to do, at the profile of the runs to do, by benchmark."""
    wanted = {(run.benchmark, run.profile) for run in to_do}
    found: dict[str, list[Finished]] = defaultdict(list)
    for key in sorted(store.keys()):
        record = store.record(key)
        run = record.run()
        if run is None or (run.get("benchmark"), run.get("profile")) not in wanted:
            continue
        result = record.result()
        if result is not None:
            found[run["benchmark"]].append((key, run, result["code"]))
    return found
