"""One benchmark x loss x seed at a profile, as the registry makes it: its key, and where it stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from suite.provenance import targets
from suite.records.specs import RunSpec
from suite.registry.registry import Registry
from suite.registry.search import TRIAL
from suite.registry.selection import REFERENCES

State = Literal["missing", "queued", "running", "done", "failed", "stale"]
STATES: Final[tuple[State, ...]] = ("missing", "queued", "running", "done", "failed", "stale")


@dataclass(frozen=True)
class Run(RunSpec):
    """A run, and where it stands.

    Attributes
    ----------
    state, reason
        Where it stands, and why where that needs saying.
    failure : str or None
        The class of its failure, if it has failed.
    goes_on : bool
        Whether it was interrupted and is taken up from its last checkpoint, not from its beginning.
    estimate_s : float
        Expected seconds on one worker.
    memory_mib : mapping
        The most that finished runs like this one took: ``host``, and on a GPU ``device`` of ``device_total``.
    """

    state: State = "missing"
    reason: str = ""
    failure: str | None = None
    goes_on: bool = False
    estimate_s: float = 0.0
    memory_mib: Mapping[str, float] = field(default_factory=dict, repr=False)


def key_of(config: Mapping[str, Any]) -> str:
    """Return the sha256 of a configuration's canonical JSON: sorted keys, no spaces, no NaN."""
    return hashlib.sha256(
        json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()


def expand(
    registry: Registry, benchmarks: Sequence[str], losses: Sequence[str], seeds: Sequence[int], profile: str
) -> Iterator[Run]:
    """Yield runs in no particular state; among the losses, ``references`` stands for the reference figures.

    A member of a search or of a host's sweep that a benchmark does not have makes no runs there.
    """
    for benchmark in benchmarks:
        for name in losses:
            if name == REFERENCES:
                for reference, how in registry.document.benchmarks[benchmark].references.items():
                    yield from _runs(
                        registry, benchmark, reference, "reference", [0] if how == "once" else seeds, profile
                    )
            elif registry.offers(name, benchmark):
                yield from _runs(registry, benchmark, name, "loss", seeds, profile)


def _runs(
    registry: Registry,
    benchmark: str,
    loss: str,
    kind: Literal["loss", "reference"],
    seeds: Sequence[int],
    profile: str,
) -> Iterator[Run]:
    entry = registry.document.benchmarks[benchmark]
    target = registry.targets[benchmark]
    if kind == "loss":
        name, host = registry.identity(loss, benchmark, profile), registry.settings_of(loss, benchmark, profile)
        settings = registry.loss_config(loss, benchmark, profile)
        code = targets.code(target, registry.losses[loss].target)
    else:
        name, host = loss, registry.settings[benchmark, profile]
        settings, code = {"reference": True}, targets.code(target)
    shared: dict[str, Any] = {
        "benchmark": {"name": benchmark, "_target_": target.path, **host},
        "loss": {"name": name, **settings},
        "profile": profile,
        "data": {dataset: registry.checksums[dataset] for dataset in entry.data},
    }
    resources = entry.resources.get(profile)  # type: ignore[call-overload]
    if kind == "loss" and resources is not None and resources.processes > 1:
        shared["processes"] = resources.processes  # each draws its own augmentations: another sample, another run
    compute = entry.compute.get(profile)  # type: ignore[call-overload]
    if compute is not None and compute.changes():
        shared["compute"] = compute.changes()  # other roundings, another run
    metric = {"name": entry.metric.name, "goal": entry.metric.goal, "margin": entry.metric.margin}
    of_selection = frozenset(registry.selection_seeds)
    for seed in seeds:
        config = {**shared, "seed": seed}
        purpose: Literal["evaluation", "selection"] = "selection" if seed in of_selection else "evaluation"
        yield Run(key_of(config), benchmark, loss, kind, seed, profile, purpose, metric, config, code)


def run_of(
    registry: Registry, benchmark: str, loss: str, kind: Literal["loss", "reference"], seed: int, profile: str
) -> Run:
    """Return one run as the registry makes it, in no particular state.

    Raises
    ------
    LookupError
        If the registry has no such benchmark, profile, loss or reference, or the benchmark's search no such trial.
    """
    entries = registry.document.benchmarks
    if benchmark not in entries:
        raise LookupError(f"the registry has no benchmark {benchmark!r}")
    if (benchmark, profile) not in registry.settings:
        raise LookupError(f"the registry has no profile {profile!r} of {benchmark}")
    if kind == "loss" and loss not in registry.losses:  # the name that it had before its sweep grew
        members = (name for name, entry in registry.losses.items() if entry.sweep_of == loss.partition("@")[0])
        loss = next((name for name in members if registry.identity(name, benchmark, profile) == loss), loss)
    if kind == "loss":
        registry = _with_trial(registry, loss)
    if loss not in (registry.losses if kind == "loss" else entries[benchmark].references):
        raise LookupError(f"the registry has no {kind} {loss!r}" + (f" of {benchmark}" if kind == "reference" else ""))
    if kind == "loss" and not registry.offers(loss, benchmark):
        raise LookupError(f"the registry has no {kind} {loss!r} of {benchmark}")
    return next(_runs(registry, benchmark, loss, kind, [seed], profile))


def _with_trial(registry: Registry, loss: str) -> Registry:
    """Return a registry whose budget holds a trial: `tune` may have had a larger one, which adds to the trials."""
    name, _, trial = loss.partition(f"@{TRIAL}=")
    if loss in registry.losses or name not in registry.losses or not trial.isdecimal():
        return registry
    entry = replace(registry.losses[name], name=loss, sweep_of=name, trial=int(trial))
    document = replace(registry.document, budget=max(registry.document.budget, int(trial) + 1))
    return replace(registry, document=document, losses={**registry.losses, loss: entry}, _trials={})
