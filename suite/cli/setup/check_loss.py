"""``python -m suite check-loss``: check a loss, a user's own or one of the registry, before it is used."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from suite.cli.arguments import FAILED, OK
from suite.cli.table import show_table
from suite.registry.named_loss import NamedLoss, find

if TYPE_CHECKING:
    from suite.conformance import Result

COUNTED = (
    ("pass", "passed"),
    ("fail", "failed"),
    ("not supported", "not supported"),
    ("not checked", "not checked"),
)


def execute(options: argparse.Namespace) -> int:
    """Check the loss and print what came of each check."""
    found = find(options.loss, options.overrides, options.registry)
    from suite.conformance import check  # torch is imported once it is known that there is such a loss

    with contextlib.redirect_stdout(sys.stderr):  # what the loss may print is no part of the answer
        results = check(found.factory())
    if options.json:
        print(json.dumps(to_json(found, results), indent=1))
    else:
        show(found, results)
    return FAILED if any(result.state == "fail" for result in results) else OK


def show(loss: NamedLoss, results: Sequence[Result]) -> None:
    """Print a row a check, and how many passed."""
    shown = {"fail": "FAIL"}
    show_table(("check", "result", ""), [(r.name, shown.get(r.state, r.state), r.detail) for r in results])
    states = [result.state for result in results]
    counted = ", ".join(f"{states.count(state)} {text}" for state, text in COUNTED if state in states)
    print(f"{loss} {'does not conform' if 'fail' in states else 'conforms'}: {counted}")


def to_json(loss: NamedLoss, results: Sequence[Result]) -> dict[str, Any]:
    """Return what ``check-loss --json`` prints."""
    return {
        "loss": loss.target.path,
        "arguments": dict(loss.arguments),
        "passed": all(result.state != "fail" for result in results),
        "checks": [
            {
                "name": result.name,
                "passed": result.state == "pass",
                "supported": result.state != "not supported",
                "detail": result.detail,
            }
            for result in results
        ],
    }
