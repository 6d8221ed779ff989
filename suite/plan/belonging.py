"""Which records of a results folder belong to a registry's experiment, where registries share the folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from suite.plan.run import run_of
from suite.records.record import Store
from suite.registry.registry import Registry


def of_experiment(registry: Registry, store: Store) -> Iterator[str]:
    """Yield the keys of records that were made for the registry's experiment, or that the registry makes, too.

    Damaged ones are among them: whoever reads them says so.
    """
    mine = registry.document.experiment
    for key in sorted(store.keys()):
        run = store.record(key).run()
        if run is None or run.get("experiment", mine) == mine or makes(registry, key, run):
            yield key


def makes(registry: Registry, key: str, run: Mapping[str, Any]) -> bool:
    """Whether a registry makes, today, the run of a record, of which `run` is the ``run.json``."""
    try:
        made = run_of(registry, run["benchmark"], run["loss"], run["kind"], run["seed"], run["profile"])
    except LookupError:  # a KeyError of a damaged record among them
        return False
    return made.key == key
