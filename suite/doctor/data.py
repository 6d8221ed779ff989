"""Whether the data that the registry's benchmarks read is there, and right."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from suite.doctor.findings import Finding
from suite.doctor.folders import nearest, space
from suite.launch.data import data_of
from suite.registry.load import default_registry
from suite.registry.places import relative
from suite.text.sizes import shown_bytes

if TYPE_CHECKING:
    from suite.registry.registry import Registry


def findings(registry: Registry) -> Iterator[Finding]:
    """Yield a finding for each data set that is missing or damaged, and one for all others.

    What is there is read, and compared with its checksums. What the profile `paper` alone needs is no matter here.
    """
    store = registry.data
    needed = data_of(registry, list(registry.document.benchmarks))
    states = {status.dataset.name: status.state for status in store.status()}
    to_fetch = 0
    whole = []
    for name in needed:
        fetch = f"python -m suite data fetch {name}{_registry(registry)}"
        dataset = store.dataset(name)
        sources = ", then ".join(map(str, dataset.sources))
        by_hand = f"no program may download it: see {dataset.origin}, and put its files into {store.root / name}"
        if not store.missing([name]):
            whole.append(name)
            continue
        if states[name] == "complete" and {"ok", "unrecorded"} >= {one.state for one in store.verify([name])}:
            what = f"{name} was put into {store.root / name} by hand: its first use records what it is"
            yield Finding("data", "warning", what, f"{fetch} records it now")
            continue
        to_fetch += dataset.size
        size = f"{shown_bytes(dataset.size)} unpacked"
        if states[name] == "missing" and not sources:
            what = f"{name} is not in the cache ({size}), nor fetched by a run"
            yield Finding("data", "warning", what, f"{by_hand}; then {fetch}")
        elif states[name] == "missing":
            what = f"{name} is not in the cache ({size}): the first run of it fetches it"
            yield Finding("data", "warning", what, f"{fetch}, which tries {sources}")
        else:
            what = f"{name} is {'incomplete' if states[name] == 'partial' else 'damaged'} in {store.root / name}"
            advice = f"{fetch} replaces what is wrong, from {sources}" if sources else by_hand
            yield Finding("data", "problem", what, advice)
    if whole or not needed:
        yield Finding("data", "ok", f"{len(whole)} of {len(needed)} data sets are there and right, in {store.root}")
    if to_fetch > space(nearest(store.root)).free:
        what = f"what is missing needs {shown_bytes(to_fetch)}, more than is free in {store.root}"
        yield Finding("data", "problem", what, "make room, or set SUITE_DATA_DIR to a larger place")


def _registry(registry: Registry) -> str:
    """Return the option by which a command finds the registry's own catalogues; empty where it looks there anyhow."""
    is_default = registry.file == default_registry().absolute()
    return "" if is_default else f" --registry {shlex.quote(relative(registry.file))}"
