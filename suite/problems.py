"""Problems of what the user gave: gathered, located, reported together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

COMMAND_LINE = "command line"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: where (``file:line`` or the command line), at which key, and what to do."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class InputError(Exception):
    """All problems of a registry, a launcher file and a command line at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems), key=_natural)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _natural(problem: Problem) -> tuple[str, int, str, str]:
    file, _, line = problem.where.rpartition(":")
    return (file, int(line), problem.key, problem.message) if line.isdigit() else (problem.where, 0, problem.key, "")


def choices(wrong: object, valid: Iterable[object]) -> str:
    """Return a did-you-mean and the list of valid choices, for the end of a message."""
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(str(wrong), names, n=1, cutoff=0.6)
    meant = f"did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{meant}Valid: {listed or 'none'}"
