"""Whether the data that the registry's benchmarks read is there, and right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from suite.doctor.findings import Finding
from suite.doctor.folders import nearest, space
from suite.launch.data import data_of
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
        fetch = f"python -m suite data fetch {name}"
        dataset = store.dataset(name)
        sources = ", then ".join(map(str, dataset.sources))
        if not store.missing([name]):
            whole.append(name)
            continue
        to_fetch += dataset.size
        if states[name] == "missing":
            what = f"{name} is not in the cache ({shown_bytes(dataset.size)} unpacked): the first run of it fetches it"
            yield Finding("data", "warning", what, f"{fetch}, which tries {sources}")
        else:
            what = f"{name} is {'incomplete' if states[name] == 'partial' else 'damaged'} in {store.root / name}"
            yield Finding("data", "problem", what, f"{fetch} replaces what is wrong, from {sources}")
    if whole or not needed:
        yield Finding("data", "ok", f"{len(whole)} of {len(needed)} data sets are there and right, in {store.root}")
    if to_fetch > space(nearest(store.root)).free:
        what = f"what is missing needs {shown_bytes(to_fetch)}, more than is free in {store.root}"
        yield Finding("data", "problem", what, "make room, or set SUITE_DATA_DIR to a larger place")
