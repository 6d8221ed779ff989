"""What a registry holds, as people and programs get to see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from suite.cli.printing import table
from suite.registry.claims import At, Claim
from suite.registry.registry import Registry

AT: Final[Mapping[At, str]] = {
    "declared": "as declared",
    "validated": "as validation chooses it",
    "median": "in the middle of its grid",
}


def to_json(registry: Registry) -> dict[str, Any]:
    """Return what ``list --json`` prints."""
    document, declared = registry.document, registry.declared.to_json()
    return {
        "benchmarks": {name: sorted(entry.profiles) for name, entry in document.benchmarks.items()},
        "losses": {name: registry.losses[name].target.path for name in registry.losses},
        "slices": {name: {k: v for k, v in vars(s).items() if v is not None} for name, s in document.slices.items()},
        "claims": declared["claims"],
        "published": declared["published"],
        "seeds": registry.seeds,
        "selection_seeds": registry.selection_seeds,
    }


def show(shown: Registry) -> None:
    """Print it for people."""
    document = shown.document
    rows = [
        (
            name,
            entry.target,
            f"{entry.metric.name} ({entry.metric.goal}, margin {entry.metric.margin:g})",
            ", ".join(entry.profiles),
            ", ".join(entry.data),
        )
        for name, entry in document.benchmarks.items()
    ]
    table(("benchmark", "class", "metric", "profiles", "data"), rows)
    members = [entry.sweep_of for entry in shown.losses.values()]
    losses = [
        (
            name,
            entry.target.path,
            " ".join(f"{k}={v}" for k, v in entry.arguments.items()),
            f"{members.count(name)} members: {name}@*" if name in members else "",
        )
        for name, entry in shown.losses.items()
        if entry.sweep_of is None
    ]
    table(("loss", "class", "arguments", "sweep"), losses)
    slices = [
        (name, *(" ".join(map(str, part)) if part else "" for part in (s.benchmarks, s.losses)), str(s.seeds or ""))
        for name, s in document.slices.items()
    ]
    table(("slice", "benchmarks", "losses", "seeds"), slices)
    claims = [(name, sentence(claim), claim.source) for name, claim in document.claims.items()]
    if claims:
        table(("claim", "", "source"), claims)
    print(f"seeds {document.seeds}; selection seeds {document.selection_seeds}; registry {shown.file}")


def sentence(claim: Claim) -> str:
    """Return a claim in words."""
    relation = {"better": "is better than", "not_worse": "is not worse than"}[claim.relation]
    return f"{claim.loss} {relation} {claim.than} {AT[claim.at]}"
