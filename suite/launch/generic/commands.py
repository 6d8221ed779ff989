"""Commands of a scheduler as a launcher file gives them: words with places to fill, never through a shell."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from suite.launch.queue import UNKNOWN, ArrayTask, InQueue, Look, SchedulerUnavailable
from suite.process import own_environment
from suite.records.arrays import batches
from suite.records.launch import Launch

PATIENCE_S: Final = 60.0
JOBS: Final = "{jobs}"
_PLACE: Final = re.compile(r"\{\{|\}\}|\{(\w+)\}")


def filled(word: str, values: Mapping[str, str]) -> str:
    """Return a word with its places filled; ``{{`` and ``}}`` stand for braces.

    Raises
    ------
    KeyError
        If a place has no value.
    """

    def value(match: re.Match[str]) -> str:
        return values[match[1]] if match[1] else match[0][0]

    return _PLACE.sub(value, word)


def answer(words: Sequence[str], values: Mapping[str, str], jobs: Sequence[str] = (), given: str = "") -> str:
    """Run a command; the word ``{jobs}`` becomes one word a job.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    SchedulerUnavailable
        If it cannot be started, takes too long, or ends with another status than 0.
    """
    command = [part for word in words for part in (jobs if word == JOBS else [filled(word, values)])]
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=PATIENCE_S, env=own_environment(),
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SchedulerUnavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        said = " ".join(f"{done.stderr} {done.stdout}".split())
        raise SchedulerUnavailable(f"{command[0]}: {said or f'exit status {done.returncode}'}")
    return done.stdout


class GenericSite:
    """Schedulers that the launches themselves say how to ask."""

    def look(self, launches: Collection[Launch]) -> Look:
        """Ask for the jobs of launches that have any, each in its own way."""
        tasks, silences = [], []
        for launch in launches:
            names = {batch.job: batch.name for batch in batches(launch) if batch.job is not None}
            if not names:
                continue
            try:
                states = _states(launch.spec.site, list(names))
            except SchedulerUnavailable as error:
                silences.append(str(error))
                states = dict.fromkeys(names, UNKNOWN)
            found = [ArrayTask(job, names[job], 0, state) for job, state in states.items() if job in names]
            tasks += [InQueue(launch, 0, task) for task in found]
        return Look(tasks, "; ".join(silences), len(tasks), "the scheduler" if silences else "")

    def cancel(self, tasks: Sequence[InQueue]) -> None:
        """End jobs."""
        for launch in {one.launch.id: one.launch for one in tasks}.values():
            jobs = [one.task.job for one in tasks if one.launch.id == launch.id]
            answer(launch.spec.site["cancel"], launch.spec.site["values"], jobs)

    def has_jobs(self, launch: Launch) -> bool:
        """Whether a launch has jobs that wait or run, or may."""
        seen = self.look([launch])
        if seen.silence:
            raise SchedulerUnavailable(seen.silence)
        return bool(seen.tasks)


def _states(site: Mapping[str, Any], jobs: Sequence[str]) -> dict[str, str]:
    """Return the states of jobs that are not over; one in a state that nobody has declared stays unknown."""
    try:
        said = answer(site["status"], site["values"], jobs)
    except SchedulerUnavailable as error:
        if site["nothing"] is None or not re.search(site["nothing"], str(error)):
            raise
        return {}
    meanings = {state: meaning for meaning, states in site["states"].items() for state in states}
    found = {}
    for match in re.finditer(site["status_line"], said, re.MULTILINE):
        meaning = meanings.get(match["state"], "unknown")
        if meaning != "gone":
            found[match["job"]] = meaning.upper()
    return found
