"""``python -m suite list``: what the registry holds."""

from __future__ import annotations

import argparse
import json
from typing import Any

from suite.cli.arguments import OK
from suite.cli.options import load_registry
from suite.cli.table import show_table
from suite.registry.registry import Registry


def execute(options: argparse.Namespace) -> int:
    """Print benchmarks, losses, slices and claims."""
    registry = load_registry(options)
    if options.json:
        print(json.dumps(to_json(registry), indent=1))
    else:
        show(registry)
    return OK


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
    show_table(("benchmark", "class", "metric", "profiles", "data"), rows)
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
    show_table(("loss", "class", "arguments", "sweep"), losses)
    slices = [
        (name, *(" ".join(map(str, part)) if part else "" for part in (s.benchmarks, s.losses)), str(s.seeds or ""))
        for name, s in document.slices.items()
    ]
    show_table(("slice", "benchmarks", "losses", "seeds"), slices)
    claims = [(name, claim.in_words(), claim.source) for name, claim in document.claims.items()]
    if claims:
        show_table(("claim", "", "source"), claims)
    print(f"seeds {document.seeds}; selection seeds {document.selection_seeds}; registry {shown.file}")
