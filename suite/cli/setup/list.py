"""``python -m suite list``: what the registry holds."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
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
        "classes": {name: entry.target for name, entry in document.benchmarks.items()},
        "metrics": {name: asdict(entry.metric) for name, entry in document.benchmarks.items()},
        "data": {name: entry.data for name, entry in document.benchmarks.items()},
        "losses": {name: registry.losses[name].target.path for name in registry.losses},
        "arguments": {name: dict(registry.losses[name].arguments) for name in document.losses},
        "slices": {name: {k: v for k, v in vars(s).items() if v is not None} for name, s in document.slices.items()},
        "claims": declared["claims"],
        "published": declared["published"],
        "seeds": registry.seeds,
        "selection_seeds": registry.selection_seeds,
    }


def _members(registry: Registry, loss: str) -> Iterator[str]:
    """Say how many members a loss has by what they set, and how to select them."""
    names = [name.removeprefix(f"{loss}@") for name, entry in registry.losses.items() if entry.sweep_of == loss]
    counted = Counter("@".join(f"{part.partition('=')[0]}=*" for part in name.split("@")) for name in names)
    for what, number in counted.items():
        yield f"{number} {loss}@{what}"


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
    losses = [
        (
            name,
            entry.target.path,
            " ".join(f"{k}={v}" for k, v in entry.arguments.items()),
            "; ".join(_members(shown, name)),
        )
        for name, entry in shown.losses.items()
        if entry.sweep_of is None
    ]
    show_table(("loss", "class", "arguments", "members"), losses)
    slices = [
        (name, *(" ".join(s.parts().get(part, ())) for part in ("benchmarks", "losses", "seeds", "profile")))
        for name, s in document.slices.items()
    ]
    show_table(("slice", "benchmarks", "losses", "seeds", "profile"), slices)
    claims = [(name, claim.in_words(), claim.source) for name, claim in document.claims.items()]
    if claims:
        show_table(("claim", "", "source"), claims)
    print(f"seeds {document.seeds}; selection seeds {document.selection_seeds}; registry {shown.file}")
