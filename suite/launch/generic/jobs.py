"""Jobs of a scheduler whose commands a launcher file gives; each is an allocation of workers that joins the launch."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping

from suite.launch.generic.commands import GenericSite, answer
from suite.launch.generic.settings import GenericSettings
from suite.launch.jobs import LaunchError, unpatterned
from suite.launch.kinds.pool import PoolJobs
from suite.launch.queue import Look, SchedulerUnavailable
from suite.plan.run import Run
from suite.records.arrays import add_batch, note_job, remove_batch
from suite.records.launch import Launch
from suite.records.record import Store
from suite.registry.launchers import seconds


class GenericJobs(PoolJobs):
    """The jobs of a launch: as many as its work is worth, replaced when they end with work left.

    Parameters
    ----------
    launch : Launch
    launcher : GenericSettings
    store : Store
    """

    def __init__(self, launch: Launch, launcher: GenericSettings, store: Store) -> None:
        super().__init__(launch, store)
        self._launcher = launcher
        self._site = GenericSite()
        self._look = Look([])
        self._looked = -math.inf
        self._recent = 0
        self._barren = 0
        self._joined = 0

    def begin(self, open_runs: Mapping[str, Run], detached: bool) -> None:
        """Submit the first jobs.

        Raises
        ------
        LaunchError
            If the scheduler takes none.
        """
        try:
            self._submit(open_runs)
        except LaunchError:
            if not self._recent:
                self.launch.remove()
            raise

    def tend(self, open_runs: Mapping[str, Run], is_getting_on: bool) -> None:
        """Ask the scheduler from time to time, and submit again where jobs have ended with work left.

        Raises
        ------
        LaunchError
            If jobs end again and again without having begun to work.
        """
        if time.monotonic() - self._looked < self._launcher.poll_seconds:
            return
        self._look = self._site.look([self.launch])
        self._looked = time.monotonic()
        joined = len(list((self.launch.folder / "workers").glob("*.joined")))
        if joined > self._joined:
            self._joined, self._barren = joined, 0
        recent, self._recent = self._recent, 0
        if not self._look.silence and not recent:  # what was just submitted may not be listed yet
            self._submit(open_runs)

    def notice(self) -> str:
        """Return what the scheduler has of the launch."""
        if self._look.silence:
            return f"the scheduler does not answer, what its jobs do is unknown: {self._look.silence}"
        running = sum(one.task.state == "RUNNING" for one in self._look.tasks)
        return f"jobs: {running} run, {len(self._look.tasks) - running} wait; {len(self.workers())} workers"

    def _submit(self, open_runs: Mapping[str, Run]) -> None:
        worth = math.ceil(sum(run.estimate_s for run in open_runs.values()) / seconds(self._launcher.target))
        wanted = min(self._launcher.jobs_at_a_time, len(open_runs), max(1, worth))
        for _ in range(wanted - len(self._look.tasks)):
            if self._barren > self._launcher.max_attempts * self._launcher.jobs_at_a_time:
                raise LaunchError(f"jobs end without having begun; the last one said:\n{self._last_words()}")
            self._submit_one()

    def _submit_one(self) -> None:
        batch = add_batch(self.launch, [0])
        folder = unpatterned(self.launch.folder) / "jobs"
        folder.mkdir(exist_ok=True)
        script = folder / f"{batch.number}.sh"
        values = self._launcher.values(batch.name, folder / f"{batch.number}.log", script)
        text = self._launcher.script(self.launch, self._store, values)
        script.write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            said = answer(self._launcher.submit, values, given=text)
        except SchedulerUnavailable as error:
            remove_batch(batch)
            raise LaunchError(f"no job was submitted: {error}") from error
        found = re.search(self._launcher.job_id, said)
        if found is None:
            raise LaunchError(f"a job was submitted, but launcher.job_id finds no id in what was said: {said.strip()}")
        note_job(batch, found[1])
        self._recent += 1
        self._barren += 1

    def _last_words(self) -> str:
        logs = sorted((self.launch.folder / "jobs").glob("*.log"), key=lambda file: file.stat().st_mtime)
        said = logs[-1].read_text(encoding="utf-8", errors="replace").strip() if logs else ""
        return "\n".join(said.splitlines()[-15:]) or "(nothing)"
