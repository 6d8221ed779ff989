"""Pages for users as scripts: the files that they show, and the commands, in their order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"[#%] ([\w./-]+\.\w+)\b.*\n")


@dataclass(frozen=True)
class File:
    """A file that a page shows whole, its name in the first line."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command of a page, and where its output goes."""

    words: list[str]
    target: str = ""

    def __str__(self) -> str:
        return shlex.join(self.words) + (f" > {self.target}" if self.target else "")


def steps(page: str) -> list[File | Command]:
    """Return what a page has one do, in its order."""
    found: list[File | Command] = []
    for language, block in FENCED.findall((ROOT / page).read_text(encoding="utf-8")):
        if language == "sh":
            found += [command for line in block.splitlines() for command in commands(line)]
        elif named := NAMED.match(block):
            found.append(File(named[1], block))
    return found


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows whole, by name."""
    return {step.name: step.text for step in steps(page) if isinstance(step, File)}


def commands(line: str) -> Iterator[Command]:
    """Return the commands of a line of a shell, its comment left out."""
    for is_between, group in groupby(shlex.split(line, comments=True), "&&".__eq__):
        if not is_between:
            words = list(group)
            end = words.index(">") if ">" in words else len(words)
            yield Command(words[:end], "".join(words[end + 1 :]))
