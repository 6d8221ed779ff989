"""Which finished runs would count no longer once others are run: the tables never mix two versions of the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from suite.plan.run import Run, expand
from suite.provenance.definitions import named
from suite.records.record import Store
from suite.registry.registry import Registry
from suite.registry.selection import REFERENCES


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
    for benchmark in dict.fromkeys(run.benchmark for run in to_do):
        mine = [run for run in to_do if run.benchmark == benchmark]
        code = {entry: digest for run in mine for entry, digest in run.code.items()}
        finished = list(_finished(registry, benchmark, mine, store))
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


def _finished(
    registry: Registry, benchmark: str, runs: Sequence[Run], store: Store
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield key and recorded code of the finished runs of a benchmark."""
    seeds = list(dict.fromkeys([*registry.seeds, *registry.selection_seeds, *(run.seed for run in runs)]))
    existing = store.keys()
    for run in expand(registry, [benchmark], [*registry.losses, REFERENCES], seeds, runs[0].profile):
        result = store.record(run.key).result() if run.key in existing else None
        if result is not None:
            yield run.key, result["code"]
