"""``python -m suite doctor``: check this machine, the data, tracking and the cluster."""

from __future__ import annotations

import argparse
import json
from typing import Final

from suite.cli.arguments import FAILED, OK
from suite.cli.options import load_registry
from suite.doctor import Finding, examine, has_problem, to_json
from suite.records.record import Store
from suite.tracking import default_uri

SIGNS: Final = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM", "unknown": "UNKNOWN"}


def execute(options: argparse.Namespace) -> int:
    """Print each finding as it is made."""
    found = []
    for finding in examine(load_registry(options), Store(options.out), default_uri(options.out, options.tracking_uri)):
        found.append(finding)
        if not options.json:
            show(finding)
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    return FAILED if has_problem(found) else OK


def show(finding: Finding) -> None:
    """Print a finding, with what to do about it."""
    print(f"{finding.topic:<9} {SIGNS[finding.state]:<8} {finding.what}", flush=True)
    if finding.advice:
        print(f"{'':<18} -> {finding.advice}", flush=True)
