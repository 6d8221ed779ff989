"""What processes of a campaign wrote of errors, and which of these the faults that struck it explain."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

TRACEBACK = re.compile(r"^(?:.* )?Traceback \(most recent call last\):$")
#: Of a line that belongs to a traceback, behind which its error stands.
WITHIN = re.compile(r"^(?:[ \t].*)?$")
#: How an error begins: with the name of its class.
ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:: |$)")
#: How the second line of an error begins that gives its cause there, as those of SQLAlchemy do.
CAUSE = re.compile(r"^\(")
#: By a word in the name of a fault: what those whom it strikes, or who work beside them, may say.
EXPLAINED = {
    "full disk": r"No space left|disk is full|disk I/O error|truncated",
    "read-only": r"Operation not permitted|Permission denied|readonly database|unable to open database",
    "INT": r"KeyboardInterrupt",
    "server": r"onnection|Max retries|HTTP|Failed to query|timed out",
    "STOP": r"database is locked",
    "kill -9": r"BrokenPipe|ConnectionReset|EOFError",
    "lost node": r"BrokenPipe|ConnectionReset|EOFError",
}
#: Classes of failures that say how a process ended, not what it met.
ENDINGS = ("killed", "node_lost", "preempted", "timeout")


def unexplained(results: Path, written: Iterable[Path], struck: Collection[str]) -> list[str]:
    """Return the errors of a campaign that none of the faults which struck it has caused.

    Parameters
    ----------
    results : Path
        The results folder, whose records tell of failures.
    written : iterable of Path
        What processes printed.
    struck : collection of str
        The kinds of the faults.
    """
    reasons = [pattern for word, pattern in EXPLAINED.items() if any(word in kind for kind in struck)]
    found = [f"{file.name}: {error}" for file in written for error in errors(file)]
    for file in sorted(results.glob("*/*/events.jsonl")):
        found += [f"{file.parent.name[:12]}: {failure}" for failure in failures(file)]
    return [error for error in dict.fromkeys(found) if not any(re.search(reason, error) for reason in reasons)]


def errors(file: Path) -> Iterator[str]:
    """Yield the error of every traceback in a file, and where it was; none of one that is torn.

    Torn by a kill of its writer, or by a full disk under what is printed.
    """
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    within, place = False, ""
    for said, following in pairwise([*lines, ""]):
        if TRACEBACK.match(said):
            within, place = True, ""
        elif within and not WITHIN.match(said):
            within = False
            if ERROR.match(said):
                yield f"{said}{f' {following}' if CAUSE.match(following) else ''}"[:400] + f" ({place})"
        elif said.startswith("  File "):
            place = said.strip()


def failures(file: Path) -> Iterator[str]:
    """Yield the failures in the events of a record that were not the end of a process."""
    for line in file.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "failed" and event["class"] not in ENDINGS:
            yield f"{event['class']}: {event['message'][:300]}"
