"""Launcher files (``launchers/*.yaml``) as types: what all kinds share. Nothing here enters a run's key."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, Final, Literal, Union

from annotated_types import Ge, Gt
from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)
Auto = Literal["auto"]

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SLURM_DURATION: Final = re.compile(r"(?:(\d+)-)?(\d{1,2}):(\d\d)(?::(\d\d))?")


def seconds(duration: str) -> int:
    """Return the seconds of ``4h``, ``1d 12h``, ``90m``, or of SLURM's ``1-12:00:00`` and ``4:00:00``.

    Raises
    ------
    ValueError
        If it is none of these, or nothing.
    """
    slurm = _SLURM_DURATION.fullmatch(duration)
    if slurm:
        days, hours, minutes, rest = (int(part or 0) for part in slurm.groups())
        total = 86_400 * days + 3_600 * hours + 60 * minutes + rest
    else:
        parts = re.findall(r"(\d+)\s*([dhms])", duration)
        if not parts or re.sub(r"\d+\s*[dhms]|\s", "", duration):
            raise ValueError("expected a duration with units, as in 90m, 4h or 1d 12h")
        total = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if total < 1:
        raise ValueError("must be longer than nothing")
    return total


def mebibytes(memory: str) -> int:
    """Return the MiB of ``16G`` or ``500M``.

    Raises
    ------
    ValueError
        If it is neither, or nothing.
    """
    match = re.fullmatch(r"(\d+)\s*([MGT])(?:i?B)?", memory)
    if match is None or not int(match[1]):
        raise ValueError("expected an amount of memory with its unit, as in 16G or 500M")
    return int(match[1]) * {"M": 1, "G": 1024, "T": 1024**2}[match[2]]


def _duration(value: Any) -> Any:
    if not isinstance(value, str):  # YAML reads 4:00:00 as 14400, SLURM reads 90 as minutes: too easy to get wrong
        raise ValueError("expected a duration with units, as in 90m, 4h or 1d 12h")
    seconds(value)
    return value


def _memory(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected an amount of memory with its unit, as in 16G or 500M")
    mebibytes(value)
    return value


def _scratch(value: Any) -> Any:
    if isinstance(value, str) and not value.startswith(("/", "$", "~")):
        raise ValueError("expected an absolute folder, or one that begins with a variable of the node, as in $TMPDIR")
    return value


Duration = Annotated[str, BeforeValidator(_duration)]
Memory = Annotated[str, BeforeValidator(_memory)]
Scratch = Annotated[str, BeforeValidator(_scratch)]


@dataclass(frozen=True)
class Launcher:
    """The settings that every launcher kind has.

    Attributes
    ----------
    kind : str
        Names the class: see :func:`kinds`.
    threads : int or "auto"
        Threads a worker computes with.
    checkpoint_minutes : float
        How much work a killed run may lose.
    checkpoint_steps : int or None
        The same in steps: whichever comes first.
    max_attempts : int
        How often a run may take its worker down with it before it counts as failed.
    share : "group" or None
        Let the group of the results folder write what runs make there.
    scratch : str or None
        A folder on a node's own disk to which data is copied before runs begin: absolute, or with variables of the
        node, as in ``$TMPDIR``. None reads data where it lies.
    benchmark_fields : tuple of str
        What a file of this kind may say for single benchmarks, under ``benchmarks``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    benchmark_fields: ClassVar[tuple[str, ...]] = ()
    kind: str
    threads: Annotated[int, Ge(1)] | Auto = "auto"
    checkpoint_minutes: Annotated[float, Gt(0)] = 1.0
    checkpoint_steps: Annotated[int, Ge(1)] | None = None
    max_attempts: Annotated[int, Ge(1)] = 3
    share: Literal["group"] | None = None
    scratch: Scratch | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield settings that do not go together: a field, and what is wrong with it."""
        yield from ()

    def named_benchmarks(self) -> Collection[str]:
        """Return the benchmarks that have settings of their own."""
        return ()


KINDS: Final = "suite.launch.kinds"


@functools.cache
def kinds() -> Mapping[str, type[Launcher]]:
    """Return the classes of the launcher kinds by name.

    A kind is a module in ``suite/launch/kinds``, named like it, with one class of launcher; or an entry point of the
    group ``suite.launchers``. Both are found by name, since kinds stand above this wing: they know runs and launches.
    """
    package = importlib.import_module(KINDS)
    found: dict[str, type[Launcher]] = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        module = importlib.import_module(f"{KINDS}.{name}")
        classes = (value for value in vars(module).values() if isinstance(value, type))
        found[name] = next(c for c in classes if issubclass(c, Launcher) and c.__module__ == module.__name__)
    return found | {entry.name: entry.load() for entry in entry_points(group="suite.launchers")}


def _any_kind(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    members: Any = Union[tuple(kinds().values())]  # noqa: UP007
    return handler.generate_schema(Annotated[members, Field(discriminator="kind")])


AnyKind = Annotated[Launcher, GetPydanticSchema(_any_kind)]
"""A launcher of whichever kind its file names."""


@dataclass(frozen=True)
class Resources:
    """What one run of a profile computes on, if more than one process.

    Attributes
    ----------
    nodes : int
    gpus : int
        On each node, a process each; processes on the CPU where the launcher asks for no GPUs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    nodes: Annotated[int, Ge(1)] = 1
    gpus: Annotated[int, Ge(1)] = 1

    @property
    def processes(self) -> int:
        """All processes of a run."""
        return self.nodes * self.gpus
