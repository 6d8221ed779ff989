"""What a launch is to do, written by its launcher and read by its workers: ``launch.json``, as types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from suite.problems import InputError, Problem

Purpose = Literal["evaluation", "selection"]
PURPOSES: Final[tuple[Purpose, ...]] = ("evaluation", "selection")

FORMAT: Final = 2
"""Of ``launch.json``; launches of another format are not read."""


def name_of(run: Mapping[str, Any]) -> str:
    """Return what commands call a run that is described as in ``run.json``: ``image/infonce/seed3``."""
    return f"{run.get('benchmark')}/{run.get('loss')}/seed{run.get('seed')}"


@dataclass(frozen=True)
class RunSpec:
    """What a worker needs to know of a run: one benchmark x loss x seed at a profile.

    Attributes
    ----------
    key : str
        The run's identity: 64 hex digits, see :func:`suite.plan.run.key_of`.
    kind : str
        ``loss``, or ``reference`` for a figure of invariant 7, whose name stands in `loss`.
    config : mapping
        The resolved benchmark, loss, seed, profile and data checksums: what the key is made of.
    code : mapping of module to sha256
        The source that the run uses.
    replaces : str or None
        The id of the record whose result this run is to replace, if there is one.
    failed_before : str or None
        Which failure the record showed when the launch was made: one that is to be tried again.
    """

    key: str
    benchmark: str
    loss: str
    kind: Literal["loss", "reference"]
    seed: int
    profile: str
    purpose: Purpose
    metric: Mapping[str, Any]
    config: Mapping[str, Any] = field(repr=False)
    code: Mapping[str, str] = field(repr=False)
    replaces: str | None = None
    failed_before: str | None = None

    @property
    def name(self) -> str:
        """``image/infonce/seed3``."""
        return name_of(vars(self))

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {name: getattr(self, name) for name in _RUN_FIELDS}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunSpec:
        """Read a run."""
        return cls(**value)


def as_read(config: Mapping[str, Any], recorded: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return a configuration with the checksums of the data that was read.

    Of data that its catalogue does not pin, a configuration has the word ``recorded``: its key is the same before the
    data is there.

    Parameters
    ----------
    config : mapping
    recorded : mapping of data set to mapping of member to sha256
        As :meth:`suite.data.Store.recorded` has it, or a record's provenance.
    """
    data = {name: {**members, **recorded.get(name, {})} for name, members in config.get("data", {}).items()}
    return {**config, "data": data} if data else dict(config)


def unpinned(config: Mapping[str, Any]) -> list[str]:
    """Return the data sets of a configuration with members that their catalogue does not pin."""
    return [name for name, members in config.get("data", {}).items() if "recorded" in members.values()]


def changed_data(run: Mapping[str, Any], recorded: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the members of data sets that were something else when a run read them.

    Parameters
    ----------
    run : mapping
        ``run.json``.
    recorded : mapping of data set to mapping of member to sha256
        What is recorded now of the data sets that are not pinned.
    """
    read = (run.get("provenance") or {}).get("data") or {}
    return [
        f"data {name}/{member}"
        for name, members in recorded.items()
        for member, sha256 in members.items()
        if read.get(name, {}).get(member, sha256) != sha256
    ]


def turns(runs: Iterable[RunSpec]) -> dict[str, int]:
    """Return by key when each run's turn comes, from 0: all runs of a seed before any of the next.

    Evaluation seeds and selection seeds are counted apart, so that a table of the first seed has its choices, too.
    """
    listed = list(runs)
    seeds = {purpose: sorted({run.seed for run in listed if run.purpose == purpose}) for purpose in PURPOSES}
    place = {(purpose, seed): turn for purpose, of_it in seeds.items() for turn, seed in enumerate(of_it)}
    return {run.key: place[run.purpose, run.seed] for run in listed}


_RUN_FIELDS: Final = tuple(f.name for f in fields(RunSpec))


@dataclass(frozen=True)
class Pack:
    """What one worker of this machine, or one array task, does.

    Attributes
    ----------
    keys : tuple of str
        In the order in which they come: seed by seed, the longest run first in each.
    seconds : float
        Expected wall time, each slot taking the next run as soon as it is free.
    slots : int
        Runs side by side; not more than there are runs.
    nodes, gpus : int
        Nodes, and processes on each of them, of every run.
    settings : mapping
        What holds for its array task in place of the launcher's settings, as in ``{"memory": "32G"}``.
    """

    keys: tuple[str, ...]
    seconds: float
    slots: int = 1
    nodes: int = 1
    gpus: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def processes(self) -> int:
        """Over how many processes every run is spread."""
        return self.nodes * self.gpus

    def is_like(self, other: Pack) -> bool:
        """Whether an array task for one of the two does for the other, too."""
        return (self.nodes, self.gpus, self.settings) == (other.nodes, other.gpus, other.settings)


@dataclass(frozen=True)
class WorkSettings:
    """What a worker needs to know of the launcher.

    Attributes
    ----------
    max_attempts : int
        How often a run may take its worker down with it before it counts as failed.
    checkpoint_minutes : float
        How much work a killed run may lose.
    checkpoint_steps : int or None
        The same in steps: whichever comes first.
    threads : int or None
        Threads a worker computes with; None shares `cpus` out among the runs side by side.
    cpus : int
        Cores of an array task.
    scratch : str or None
        A folder on each node's own disk that data is read from, as the launcher file names it; None reads it where it
        lies.
    """

    max_attempts: int
    checkpoint_minutes: float
    checkpoint_steps: int | None
    threads: int | None
    cpus: int = 1
    scratch: str | None = None


@dataclass(frozen=True)
class ArraySettings:
    """What an array task needs to know of the launcher besides.

    Attributes
    ----------
    memory : str
        Of an array task on each node, as in ``16G``.
    signal : str
        What the site sends ahead of the time limit, as in ``USR2``.
    signal_seconds : int
        How long ahead.
    max_requeues : int
        How often an array task goes back into the queue with work left.
    """

    memory: str
    signal: str
    signal_seconds: int
    max_requeues: int


@dataclass(frozen=True)
class LaunchSpec:
    """What a launch is to do.

    Attributes
    ----------
    kind : str
        The launcher kind, as in ``local``.
    out : Path
        The results folder.
    created : float
        Unix time.
    experiment : str
    runs : mapping of key to RunSpec
    packs : tuple of Pack
        One a worker, or one an array task, in the order in which it should work.
    work : WorkSettings
    array : ArraySettings or None
        None where the workers are processes of the launcher's machine.
    path : tuple of str
        The launcher's import path: a user's own losses are found there.
    catalogues : tuple of Path
        Of data sets beside the suite's own.
    snapshot, git : str
        The copy of the code that workers use and the commit that it was made from; empty without one.
    submitter : str
        Who can ask the site for the launch's jobs, as its launcher kind writes it; empty without jobs.
    is_pool : bool
        Whether its runs wait for workers that join from wherever they are started.
    site : mapping
        How its launcher kind asks for its jobs, where that is not the same for every launch of the kind.
    """

    kind: str
    out: Path
    created: float
    experiment: str
    runs: Mapping[str, RunSpec]
    packs: tuple[Pack, ...]
    work: WorkSettings
    array: ArraySettings | None = None
    path: tuple[str, ...] = ()
    catalogues: tuple[Path, ...] = ()
    snapshot: str = ""
    git: str = ""
    submitter: str = ""
    is_pool: bool = False
    site: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {
            **vars(self),
            "format": FORMAT,
            "out": str(self.out),
            "runs": [run.to_json() for run in self.runs.values()],
            "packs": [vars(pack) for pack in self.packs],
            "work": vars(self.work),
            "array": vars(self.array) if self.array is not None else None,
            "catalogues": [str(file) for file in self.catalogues],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], file: Path) -> LaunchSpec:
        """Read a launch.

        Raises
        ------
        InputError
            If another version of the suite has written it to `file`.
        """
        if value.get("format") != FORMAT:
            advice = f"once its workers have ended, remove {file.parent}: the records of its runs lie elsewhere"
            raise InputError(
                [Problem(str(file), "", f"another version of the suite has written this launch; {advice}")]
            )
        runs = [RunSpec.from_json(run) for run in value["runs"]]
        return cls(
            **{name: value[name] for name in ("kind", "created", "experiment", "snapshot", "git", "submitter")},
            out=Path(value["out"]),
            runs={run.key: run for run in runs},
            packs=tuple(Pack(**{**pack, "keys": tuple(pack["keys"])}) for pack in value["packs"]),
            work=WorkSettings(**value["work"]),
            array=ArraySettings(**value["array"]) if value["array"] is not None else None,
            path=tuple(value["path"]),
            catalogues=tuple(Path(catalogue) for catalogue in value["catalogues"]),
            is_pool=bool(value.get("is_pool", False)),
            site=value.get("site", {}),
        )


EMPTY: Final = LaunchSpec("", Path(), 0.0, "", {}, (), WorkSettings(1, 1.0, None, 1))
"""A launch whose launcher was killed before it was written."""
