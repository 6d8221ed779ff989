"""The sites where launches have jobs, asked through their launcher kinds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from suite.launch.kind import Kind
from suite.launch.queue import InQueue, Look, Site
from suite.records.launch import Launch
from suite.registry.launchers import kinds


class Sites:
    """The sites of launches of any kinds."""

    def __init__(self) -> None:
        self._sites: dict[str, Site | None] = {}

    def of(self, launch: Launch) -> Site | None:
        """Return where the jobs of a launch are; None if its kind has none, or is no longer installed."""
        name = launch.spec.kind
        if name not in self._sites:
            kind = cast(type[Kind] | None, kinds().get(name))
            self._sites[name] = kind.site() if kind is not None else None
        return self._sites[name]

    def look(self, launches: Iterable[Launch]) -> Look:
        """Ask every site once for its jobs of some launches."""
        tasks, silences, silent, total = [], [], [], 0
        for site, of_site in self._by_site(launches):
            seen = site.look(of_site)
            tasks += seen.tasks
            total += seen.total
            if seen.silence:
                silences.append(seen.silence)
                silent.append(seen.silent)
        return Look(tasks, "; ".join(silences), total, " and ".join(silent))

    def cancel(self, tasks: Sequence[InQueue]) -> None:
        """End jobs, whichever site has them.

        Raises
        ------
        SchedulerUnavailable
        """
        for site, launches in self._by_site({one.launch.id: one.launch for one in tasks}.values()):
            ids = {launch.id for launch in launches}
            site.cancel([one for one in tasks if one.launch.id in ids])

    def _by_site(self, launches: Iterable[Launch]) -> list[tuple[Site, list[Launch]]]:
        found: dict[str, tuple[Site, list[Launch]]] = {}
        for launch in launches:
            if (site := self.of(launch)) is not None:
                found.setdefault(launch.spec.kind, (site, []))[1].append(launch)
        return list(found.values())
