"""benchmarks.yaml and launchers/*.yaml, composed by Hydra, to a typed and validated Registry.

Everything wrong is found before anything runs and reported at once, with file and line (:class:`InputError`).
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt, MinLen
from pydantic import BeforeValidator, ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

from suite.problems import choices, refusal, shown
from suite.provenance import targets
from suite.provenance.targets import Target
from suite.registry.claims import Claim, Declared, Failures, Margin, Published
from suite.registry.launchers import STRICT, AnyKind, Resources

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
Bound = tuple[dict[str, Any], list[tuple[str, str]]]
"""Arguments by name, and for each that will not do, its name and why."""


@dataclass(frozen=True)
class Metric:
    """A benchmark's primary metric.

    Attributes
    ----------
    name : str
        As the benchmark's evaluation names it, without ``val/`` or ``test/``.
    goal : str
        ``maximise`` or ``minimise``.
    margin : float
        The largest difference that is of no practical interest, in the metric's unit.
    margin_reason : str
        Why it is of no interest. Printed with every verdict; it does not enter a run's key.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Annotated[str, MinLen(1)]
    goal: Literal["maximise", "minimise"]
    margin: Annotated[float, Gt(0)]
    margin_reason: str = ""


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
    references : mapping of name to ``once`` or ``per_seed``
        Reference figures of invariant 7; ``once`` where no seed enters.
    estimate_s : mapping of profile to seconds a run
        Until finished runs tell better.
    resources : mapping of profile to Resources
        Where one run is spread over several GPUs or nodes.
    published : list of Published
        Figures of others for the same task, to hold the runs against.
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
    published: list[Published] = field(default_factory=list)


@dataclass(frozen=True)
class Slice:
    """A named selection; what it leaves out is not restricted."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    benchmarks: list[str] | None = None
    losses: list[str] | None = None
    seeds: SeedRange | None = None


@dataclass(frozen=True)
class Document:
    """The composed registry as it stands in the files, before names and targets are looked up.

    Attributes
    ----------
    claims : mapping of name to Claim
        What the runs are to decide; written down before they are run.
    failures : str
        What a failed seed counts as: ``worst``, the figure of the untrained encoder, else of chance; or ``exclude``.
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
    failures: Failures = "worst"
    catalogues: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LossEntry:
    """One named loss: a member of a sweep has its own entry, ``infonce@temperature=0.2``."""

    name: str
    target: Target
    arguments: Mapping[str, Any]
    sweep_of: str | None = None


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
    """

    document: Document
    file: Path
    losses: Mapping[str, LossEntry]
    targets: Mapping[str, Target]
    settings: Mapping[tuple[str, str], Mapping[str, Any]]
    data: Store
    _bound: dict[tuple[str, str, str], Bound] = field(default_factory=dict, compare=False)

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
        return Declared(document.baseline, document.claims, published, margins, document.failures)

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
            scope = dict(self.settings[benchmark, profile])
            host = self.document.benchmarks[benchmark].host_temperature
            if host is not None:
                scope["host_temperature"] = host
            entry = self.losses[loss]
            arguments, undefined = interpolate(entry.arguments, scope)
            bound, problems = bind(entry.target, arguments)
            self._bound[key] = (bound, [*undefined, *(p for p in problems if p[0] not in dict(undefined))])
        return self._bound[key]


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


def interpolate(arguments: Mapping[str, Any], scope: Mapping[str, Any]) -> Bound:
    """Resolve ``${name}`` in arguments from the settings of a benchmark.

    Returns
    -------
    dict
        The arguments; those that refer to something undefined as they were.
    list of (parameter, message)
        What is not defined, and what is.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

    resolved, problems = dict(arguments), []
    for name, value in arguments.items():
        if "${" not in str(value):
            continue
        config = OmegaConf.create({**scope, "_argument": value})
        try:
            resolved[name] = OmegaConf.to_container(config, resolve=True)["_argument"]  # type: ignore[index, call-overload]
        except InterpolationKeyError as error:
            missing = str(error).partition("'")[2].partition("'")[0]
            problems.append((name, f"${{{missing}}} is not defined here; {choices(missing, sorted(scope))}"))
        except OmegaConfBaseException as error:
            problems.append((name, f"{shown(value)} cannot be resolved: {str(error).splitlines()[0]}"))
    return resolved, problems


def bind(target: Target, arguments: Mapping[str, Any]) -> Bound:
    """Check arguments against a target's parameters and fill in its defaults.

    Returns
    -------
    dict
        Arguments in their declared types, in the order of the parameters.
    list of (parameter, message)
        What is wrong with them.
    """
    if target.parameters is None:
        return dict(arguments), []
    known = {p.name: p for p in target.parameters}
    problems = [
        (name, f"{target.path} has no parameter {name!r}; {choices(name, known)}")
        for name in arguments
        if name not in known
    ]
    bound: dict[str, Any] = {}
    for name, parameter in known.items():
        if name in arguments:
            bound[name], message = _checked(parameter, arguments[name])
            if message:
                problems.append((name, message))
        elif parameter.default is targets.REQUIRED:
            problems.append((name, f"{target.path} needs a value for {name!r}"))
        elif parameter.default is not targets.UNKNOWN:
            bound[name], _ = _checked(parameter, parameter.default)
    return bound, problems


def _checked(parameter: targets.Parameter, value: Any) -> tuple[Any, str | None]:
    """Return the value as JSON in its declared type, so that 1 and 1.0 are one float, and what is wrong with it."""
    adapter = _adapter(parameter.annotation)
    if adapter is None:
        return value, None
    try:
        checked = adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        return value, refusal(error.errors(), value)
    except (TypeError, ValueError) as error:
        return value, f"{shown(value)} will not do: {error}"
    return adapter.dump_python(checked, mode="json"), None


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks values of an annotation; None if pydantic cannot."""
    if annotation is targets.UNKNOWN:
        return None
    try:
        return _adapters(annotation)
    except TypeError:  # annotated with a list, say, which no cache can have for a key
        return _made_adapter(annotation)


def _made_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    except (PydanticUserError, TypeError):
        return None


_adapters = functools.cache(_made_adapter)
