"""``python -m suite schema``: a JSON Schema of benchmarks.yaml, for editors."""

from __future__ import annotations

import argparse
import json

from suite.cli.arguments import OK
from suite.registry.schema import registry_schema


def execute(options: argparse.Namespace) -> int:
    """Print the schema, or write it into a file."""
    text = json.dumps(registry_schema(), indent=1) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")
    return OK
