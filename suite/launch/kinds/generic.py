"""The launcher kind ``generic``: workers are jobs of any scheduler, by the commands that its launcher file gives."""

from __future__ import annotations

from dataclasses import dataclass

from suite.launch.generic.commands import GenericSite
from suite.launch.generic.jobs import GenericJobs
from suite.launch.generic.settings import GenericSettings
from suite.launch.jobs import Jobs
from suite.launch.queue import Site
from suite.records.launch import Launch
from suite.records.record import Store


@dataclass(frozen=True)
class GenericLauncher(GenericSettings):
    """How workers become jobs; its fields are those of :class:`suite.launch.generic.settings.GenericSettings`."""

    @classmethod
    def site(cls) -> Site:
        """Return where launches say themselves how to ask."""
        return GenericSite()

    def needs(self, store: Store) -> str:
        """Return nothing: jobs start workers."""
        return ""

    def jobs(self, launch: Launch, store: Store) -> Jobs:
        """Return the jobs of a launch."""
        return GenericJobs(launch, self, store)
