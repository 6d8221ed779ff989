"""``python -m suite explain``: what a word of the suite means."""

from __future__ import annotations

import argparse
import re

from suite.cli.arguments import OK
from suite.cli.table import show_table
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.registry.load import shipped


def execute(options: argparse.Namespace) -> int:
    """Print the meaning of a word, or of all.

    Raises
    ------
    InputError
        If the glossary does not have the word.
    """
    known = glossary()
    if not options.term:
        show_table(("word", "means"), known.items())
        return OK
    term = " ".join(options.term).lower()
    found = {word: text for word, text in known.items() if term in [part.strip().lower() for part in word.split(",")]}
    if not found:
        raise InputError(
            [Problem(COMMAND_LINE, term, f"is no word of the glossary; {choices(term.capitalize(), known)}")]
        )
    for word, text in found.items():
        print(f"{word}: {text}")
    return OK


def glossary() -> dict[str, str]:
    """Return word by word what the table under "Words" says, without its markup."""
    page = (shipped() / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("\n## Words\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)
    return {word: re.sub(r"[`*]", "", text) for word, text in rows if word not in ("word", "---")}
