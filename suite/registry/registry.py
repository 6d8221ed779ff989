"""benchmarks.yaml and launchers/*.yaml, composed by Hydra, to a typed and validated Registry.

Everything wrong is found before anything runs and reported at once, with file and line (:class:`InputError`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, MinLen
from pydantic import BeforeValidator, ConfigDict, Field

from suite.compute import Compute
from suite.provenance.targets import Target
from suite.registry.binding import Bound, bind, interpolate
from suite.registry.claims import Claim, Declared, Failures, Labels, Margin, Metric, Published
from suite.registry.launchers import STRICT, AnyKind, Resources
from suite.registry.search import Axis, Overrides, draw

if TYPE_CHECKING:
    from suite.data import Store

PROFILES = ("smoke", "mini", "paper")
MOST_SEEDS = 100_000


def _seed_text(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    if any(isinstance(part, bool) or not isinstance(part, int | str) for part in listed):
        raise ValueError("expected a seed, a list of seeds, or a range such as 0-4")
    if isinstance(value, list) and any(isinstance(part, str) for part in value):
        raise ValueError("a list of seeds holds whole numbers; a range stands alone, as in 0-4")
    parse_seeds(value)
    return value


def _some_seeds(value: Any) -> Any:
    if value == []:
        raise ValueError("must not be empty")
    return _seed_text(value)


SeedRange = Annotated[int | str | list[int], BeforeValidator(_some_seeds)]
OptionalSeeds = Annotated[int | str | list[int], BeforeValidator(_seed_text)]
Entry = Annotated[dict[str, Any], MinLen(1)]


@dataclass(frozen=True)
class BenchmarkEntry:
    """A benchmark as the registry declares it.

    Attributes
    ----------
    target : str
        ``_target_``: the class.
    metric : Metric
    profiles : mapping of profile to settings
        Constructor arguments of the class.
    data : list of str
        Data sets that it reads.
    host_temperature : float or None
        What the method that hosts the contrastive term uses; losses may refer to it.
    search : mapping of setting to a range or a list of values
        What every loss may tune of the host, beside its own parameters.
    sweep : mapping of setting to list of values, or list of such mappings
        What every loss is also run with: members such as ``infonce@learning_rate=0.001``.
    references : mapping of name to ``once`` or ``per_seed``
        Reference figures of invariant 7; ``once`` where no seed enters.
    estimate_s : mapping of profile to seconds a run
        Until finished runs tell better.
    resources : mapping of profile to Resources
        Where one run is spread over several GPUs or nodes.
    compute : mapping of profile to Compute
        What is traded for speed: precision, compiled code, determinism.
    published : list of Published
        Figures of others for the same task, to hold the runs against.
    label : str
        What tables call it in files for readers; its name if empty.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    target: Annotated[str, Field(alias="_target_")]
    metric: Metric
    profiles: Annotated[dict[Literal["smoke", "mini", "paper"], dict[str, Any]], MinLen(1)]
    data: list[str] = field(default_factory=list)
    host_temperature: Annotated[float, Gt(0)] | None = None
    references: dict[str, Literal["once", "per_seed"]] = field(default_factory=dict)
    estimate_s: dict[Literal["smoke", "mini", "paper"], Annotated[float, Gt(0)]] = field(default_factory=dict)
    resources: dict[Literal["smoke", "mini", "paper"], Resources] = field(default_factory=dict)
    compute: dict[Literal["smoke", "mini", "paper"], Compute] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    search: dict[str, Any] = field(default_factory=dict)
    sweep: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True)
class Slice:
    """A named selection; what it leaves out is not restricted."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    benchmarks: list[str] | None = None
    losses: list[str] | None = None
    seeds: SeedRange | None = None
    profile: Literal["smoke", "mini", "paper"] | None = None

    def parts(self) -> dict[str, list[str]]:
        """Return what it names, by the option that takes it, as on a command line."""
        seeds = self.seeds if isinstance(self.seeds, list) else [self.seeds]
        named = {
            "benchmarks": self.benchmarks,
            "losses": self.losses,
            "seeds": None if self.seeds is None else [str(seed) for seed in seeds],
            "profile": None if self.profile is None else [str(self.profile)],
        }
        return {name: texts for name, texts in named.items() if texts is not None}


@dataclass(frozen=True)
class Document:
    """The composed registry as it stands in the files, before names and targets are looked up.

    Attributes
    ----------
    experiment : str
        A name for all runs of the registry, in MLflow, too.
    seeds : int, str or list of int
        Evaluation seeds, as in ``0-4``: every figure in a table is over these.
    baseline : str
        The loss that marks and tests are against.
    losses : mapping of name to entry
        ``_target_`` and arguments of the class; ``sweep`` and ``search`` say what is varied, ``label`` is for tables.
    benchmarks : mapping of name to BenchmarkEntry
    launcher : one of the launchers
        Where workers come from.
    selection_seeds : int, str or list of int
        Hyper-parameters are chosen with these, on validation; they are never reported.
    slices : mapping of name to Slice
        Named selections, to be run with ``--slice`` or named in place of losses.
    claims : mapping of name to Claim
        What the runs are to decide; written down before they are run.
    budget : int
        Configurations of every loss in a search, the declared one among them.
    failures : str
        What a failed seed counts as: ``worst``, the untrained encoder or the loss's worst seed, or ``exclude``.
    catalogues : list of str
        Files with data sets beside the suite's own, as :func:`suite.data.load_catalogue` reads them; a relative path
        starts at the registry.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    experiment: Annotated[str, MinLen(1)]
    seeds: SeedRange
    baseline: str
    losses: Annotated[dict[str, Entry], MinLen(1)]
    benchmarks: Annotated[dict[str, BenchmarkEntry], MinLen(1)]
    launcher: AnyKind
    selection_seeds: OptionalSeeds = field(default_factory=list)
    slices: dict[str, Slice] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    budget: Annotated[int, Ge(1)] = 8
    failures: Failures = "worst"
    catalogues: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LossEntry:
    """One named loss. What a sweep or a search makes of it are members with entries of their own.

    Attributes
    ----------
    name : str
        Of a member with what it sets: ``infonce@temperature=0.2``, ``infonce@learning_rate=0.001``; or with its place
        in a search, ``infonce@trial=3``.
    target : Target
    arguments : mapping
        Those of a sweep of parameters among them.
    sweep_of : str or None
        The loss that it is a member of.
    chosen : mapping
        What a sweep sets.
    hosts : frozenset of str
        The benchmarks whose settings `chosen` are; empty where they are parameters of the loss.
    trial : int
        Which configuration of the search it is; 0 for others.
    axes : tuple of Axis
        What a search may set of this loss.
    """

    name: str
    target: Target
    arguments: Mapping[str, Any]
    sweep_of: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    hosts: frozenset[str] = frozenset()
    trial: int = 0
    axes: tuple[Axis, ...] = ()

    @property
    def is_of_sweep(self) -> bool:
        """Whether it is a member of a sweep of the loss's own parameters."""
        return self.sweep_of is not None and not self.hosts and not self.trial


@dataclass(frozen=True)
class Registry:
    """The validated registry.

    Attributes
    ----------
    document : Document
        As composed.
    file : Path
        benchmarks.yaml.
    losses : mapping of name to LossEntry
        Sweeps expanded.
    targets : mapping of benchmark to Target
    settings : mapping of (benchmark, profile) to constructor arguments, defaults filled in
    data : Store
        The data sets of the suite and of the registry's own catalogues.
    axes : mapping of benchmark to tuple of Axis
        What a search may set of the host.
    given : tuple of str
        The overrides that were given, as in ``experiment=mine``, but for the launcher's.
    """

    document: Document
    file: Path
    losses: Mapping[str, LossEntry]
    targets: Mapping[str, Target]
    settings: Mapping[tuple[str, str], Mapping[str, Any]]
    data: Store
    axes: Mapping[str, tuple[Axis, ...]] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    _bound: dict[tuple[str, str, str], Bound] = field(default_factory=dict, compare=False)
    _trials: dict[tuple[str, str], list[Overrides]] = field(default_factory=dict, compare=False)

    @property
    def seeds(self) -> list[int]:
        """The evaluation seeds."""
        return parse_seeds(self.document.seeds)

    @property
    def selection_seeds(self) -> list[int]:
        """The seeds that hyper-parameters are chosen with."""
        return parse_seeds(self.document.selection_seeds)

    @property
    def catalogues(self) -> list[Path]:
        """The registry's own catalogues of data sets, absolute."""
        return [self.file.parent / path for path in self.document.catalogues]

    @property
    def declared(self) -> Declared:
        """What the registry says about results: nothing of it enters a run's key."""
        document = self.document
        published = {name: entry.published for name, entry in document.benchmarks.items() if entry.published}
        metrics = {name: entry.metric for name, entry in document.benchmarks.items()}
        margins = {name: Margin(m.name, m.goal, m.margin, m.margin_reason) for name, m in metrics.items()}
        searched = {name: [axis.name for axis in axes] for name, axes in self.axes.items() if axes}
        labels = Labels(
            {name: str(entry["label"]) for name, entry in document.losses.items() if entry.get("label")},
            {name: entry.label for name, entry in document.benchmarks.items() if entry.label},
        )
        return Declared(document.baseline, document.claims, published, margins, document.failures, searched, labels)

    @functools.cached_property
    def checksums(self) -> Mapping[str, Mapping[str, str]]:
        """What the data sets in use should be, member by member: ``{data set: {member: sha256}}``."""
        return self.data.checksums({name for entry in self.document.benchmarks.values() for name in entry.data})

    def loss_config(self, loss: str, benchmark: str, profile: str) -> dict[str, Any]:
        """Return a loss's ``_target_`` and arguments as one benchmark at one profile sees them.

        Raises
        ------
        ValueError
            If an argument refers to something that the benchmark does not define, or is out of range there.
        """
        bound, problems = self.bind_loss(loss, benchmark, profile)
        if problems:
            raise ValueError("; ".join(message for _, message in problems))
        return {"_target_": self.losses[loss].target.path, **bound}

    def bind_loss(self, loss: str, benchmark: str, profile: str) -> Bound:
        """Return a loss's arguments as one benchmark at one profile sees them, and what is wrong with them."""
        key = (loss, benchmark, profile)
        if key not in self._bound:
            scope = dict(self.settings_of(loss, benchmark, profile))
            host = self.document.benchmarks[benchmark].host_temperature
            if host is not None:
                scope["host_temperature"] = host
            entry = self.losses[loss]
            given = {**entry.arguments, **self.overrides(loss, benchmark).parameters}
            arguments, undefined = interpolate(given, scope)
            bound, problems = bind(entry.target, arguments)
            self._bound[key] = (bound, [*undefined, *(p for p in problems if p[0] not in dict(undefined))])
        return self._bound[key]

    def settings_of(self, loss: str, benchmark: str, profile: str) -> Mapping[str, Any]:
        """Return the settings of a benchmark at one profile as a loss is run with them: a member may set some."""
        settings, overrides = self.settings[benchmark, profile], self.overrides(loss, benchmark).settings
        return bind(self.targets[benchmark], {**settings, **overrides})[0] if overrides else settings

    def offers(self, loss: str, benchmark: str) -> bool:
        """Return whether a benchmark has a loss: not every one has each member of a search or of a host's sweep."""
        entry = self.losses[loss]
        if entry.sweep_of is not None and entry.trial:
            return entry.trial <= len(self.trials(entry.sweep_of, benchmark))
        return not entry.hosts or benchmark in entry.hosts

    def overrides(self, loss: str, benchmark: str) -> Overrides:
        """Return what a member sets otherwise than its loss and the benchmark, beside its own arguments."""
        entry = self.losses[loss]
        if entry.sweep_of is not None and entry.trial:
            return self.trials(entry.sweep_of, benchmark)[entry.trial - 1]
        return Overrides(settings=entry.chosen) if entry.hosts else Overrides()

    def trials(self, loss: str, benchmark: str) -> list[Overrides]:
        """Return the configurations that a search of a loss tries in a benchmark after the declared one."""
        key = (loss, benchmark)
        if key not in self._trials:
            profiles = [profile for name, profile in self.settings if name == benchmark]
            declared = [
                Overrides(self.bind_loss(loss, benchmark, profile)[0], self.settings[benchmark, profile])
                for profile in profiles
            ]
            axes = [*self.axes.get(benchmark, ()), *self.losses[loss].axes]
            self._trials[key] = draw(axes, self.document.budget - 1, declared)
        return self._trials[key]

    def identity(self, loss: str, benchmark: str, profile: str) -> str:
        """Return the name that enters the key: that of a member without what it sets to the declared value.

        So a sweep of one more parameter keeps the runs that it has. Where all is as declared, the first is named.
        """
        entry = self.losses[loss]
        if entry.sweep_of is None or len(entry.chosen) < 2:
            return loss
        own = self.bind_loss(entry.sweep_of, benchmark, profile)[0]
        declared = self.settings[benchmark, profile] if entry.hosts else own
        kept = {name: value for name, value in entry.chosen.items() if declared.get(name) != value}
        return member_name(entry.sweep_of, kept or dict([next(iter(entry.chosen.items()))]))


def member_name(loss: str, chosen: Mapping[str, Any]) -> str:
    """Return the name of a member: ``infonce@temperature=0.2``."""
    return loss + "".join(f"@{name}={value}" for name, value in chosen.items())


def parse_seeds(value: int | str | Sequence[int]) -> list[int]:
    """Return the seeds that ``3``, ``[0, 1]``, ``"0-4"`` or ``"0,2,5-7"`` stand for.

    Raises
    ------
    ValueError
        If it is none of these, or a seed is negative.
    """
    if isinstance(value, str):
        seeds = list(itertools.chain.from_iterable(_seed_part(part.strip()) for part in value.split(",")))
    else:
        seeds = [value] if isinstance(value, int) else list(value)
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"seeds must not be negative, got {min(seeds)}")
    return list(dict.fromkeys(seeds))


def _seed_part(part: str) -> range | list[int]:
    first, dash, last = part.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{part!r} is not a seed or a range of seeds such as 0-4")
    if not dash:
        return [int(first)]
    if int(last) < int(first):
        raise ValueError(f"the range {part} runs backwards")
    if int(last) - int(first) >= MOST_SEEDS:
        raise ValueError(f"the range {part} holds more than {MOST_SEEDS} seeds")
    return range(int(first), int(last) + 1)
