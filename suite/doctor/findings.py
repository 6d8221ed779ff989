"""What an examination found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warning", "problem", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic : str
        ``python``, ``torch``, ``devices``, ``data``, ``disk``, ``tracking``, ``slurm``, ``probe``.
    state : str
        ``ok``; ``warning``: runs go on, with a drawback; ``problem``: runs would fail, or come out wrong;
        ``unknown``: there was no answer.
    what : str
        What was found.
    advice : str
        What to do about it; empty if nothing needs doing.
    """

    topic: str
    state: State
    what: str
    advice: str = ""


def to_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return what ``doctor --json`` prints."""
    listed = list(findings)
    return {"healthy": not has_problem(listed), "findings": [asdict(finding) for finding in listed]}


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether runs would fail, or come out wrong."""
    return any(finding.state == "problem" for finding in findings)
