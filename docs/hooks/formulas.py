"""Turns the formulas of a page, written as GitHub takes them, into MathML, which browsers show without any script."""

import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r"\$`(.+?)`\$")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Convert every formula of a page."""
    return FORMULA.sub(lambda found: convert(found[1]), markdown)
