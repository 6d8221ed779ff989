"""One loss as a user names it: of the registry, by its dotted path, or by an entry point; with parameters."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.process import import_from
from suite.provenance import targets
from suite.registry.binding import bind, interpolate
from suite.registry.registry import LossEntry, Registry

if TYPE_CHECKING:
    from suite.losses import Loss

GROUP = "suite.losses"


@dataclass(frozen=True)
class NamedLoss:
    """A loss that was found, with checked arguments.

    Attributes
    ----------
    target : Target
    arguments : mapping of parameter to value
        Defaults filled in, as far as source tells them.
    benchmark : str or None
        Whose settings the arguments refer to.
    """

    target: targets.Target
    arguments: Mapping[str, Any]
    benchmark: str | None = None

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.target.path}({given})" + (f" as in benchmark {self.benchmark}" if self.benchmark else "")

    def factory(self) -> Callable[[], Loss]:
        """Return what makes a fresh instance, having tried it.

        Raises
        ------
        InputError
            If the module cannot be imported, or the class refuses the arguments.
        """
        try:
            cls = getattr(importlib.import_module(self.target.module), self.target.name)
            make = functools.partial(cls, **self.arguments)
            make()
        except Exception as error:
            raise InputError([Problem(COMMAND_LINE, str(self), f"{type(error).__name__}: {error}")]) from error
        return make


def find(name: str, parameters: Sequence[str] = (), registry: Path | None = None) -> NamedLoss:
    """Find a loss.

    Parameters
    ----------
    name : str
        A dotted path; or a loss of the registry, or a member of a sweep such as ``infonce@temperature=0.1``, whose
        arguments then hold; or an entry point of ``suite.losses``.
    parameters : sequence of str
        ``key=value``, over the arguments of the registry. What the registry's arguments refer to
        (``${host_temperature}``) is taken from its first benchmark.
    registry : Path, optional
        Default: the registry in the current directory, or else the one that is shipped.

    Raises
    ------
    InputError
        With every problem found.
    """
    from suite.registry.load import default_registry, load

    given, problems = _parsed(parameters)
    if "." in name and "@" not in name:
        import_from([str((registry or default_registry()).absolute().parent)])  # as for the registry's own losses
        return _bound(name, _resolved(name), given, problems)
    known = load(registry)
    if name not in known.losses:
        short = targets.short_names(GROUP)
        if name in short:
            return _bound(name, _resolved(name), given, problems)
        plain = [loss for loss, entry in known.losses.items() if "@" in name or entry.sweep_of is None]
        offered = choices(name, dict.fromkeys([*plain, *short]))
        message = f"is neither a loss of {known.file.name}, an entry point, nor a dotted path like my_losses.MyLoss"
        raise InputError([*problems, Problem(COMMAND_LINE, name, f"{message}; {offered}")])
    entry = known.losses[name]
    benchmark, profile = _place_of(name, known)
    arguments = {**entry.arguments, **known.overrides(name, benchmark).parameters, **given}
    label = f"{name} of the command line"  # no name of a loss has spaces
    changed = dataclasses.replace(known, losses={label: LossEntry(label, entry.target, arguments)})
    bound, wrong = changed.bind_loss(label, benchmark, profile)
    _refuse(name, given, wrong, problems)
    refers = entry.trial > 0 or any("${" in str(value) for value in arguments.values())
    return NamedLoss(entry.target, bound, benchmark if refers else None)


def _place_of(name: str, registry: Registry) -> tuple[str, str]:
    """Return the first benchmark, with a profile, that has a loss."""
    for benchmark, profile in registry.settings:
        if registry.offers(name, benchmark):
            return benchmark, profile
    raise InputError([Problem(COMMAND_LINE, name, "no benchmark's search has so many configurations")])


def _parsed(parameters: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    parser = OverridesParser.create()
    given: dict[str, Any] = {}
    problems = []
    for text in parameters:
        try:
            override = parser.parse_override(text)
            is_plain = override.type.name == "CHANGE" and not override.is_sweep_override()
        except HydraException:
            is_plain = False
        if is_plain and override.key_or_group.isidentifier():
            given[override.key_or_group] = override.value()
        else:
            problems.append(Problem(COMMAND_LINE, text, "no parameter; expected key=value, as in temperature=0.1"))
    return given, problems


def _resolved(name: str) -> targets.Target:
    try:
        target = targets.resolve(name, GROUP)
        targets.code(target)  # a module that it imports may be broken
    except targets.TargetError as error:
        raise InputError([Problem(COMMAND_LINE, name, str(error))]) from error
    return target


def _bound(name: str, target: targets.Target, given: Mapping[str, Any], problems: Sequence[Problem]) -> NamedLoss:
    arguments, undefined = interpolate(given, {})
    bound, wrong = bind(target, arguments)
    _refuse(name, given, [*undefined, *(p for p in wrong if p[0] not in dict(undefined))], problems)
    return NamedLoss(target, bound)


def _refuse(name: str, given: Mapping[str, Any], wrong: Sequence[tuple[str, str]], problems: Sequence[Problem]) -> None:
    """Raise what is wrong with the parameters that were given, or lacking."""
    found = [
        Problem(COMMAND_LINE, parameter if parameter in given else f"{name} {parameter}=...", message)
        for parameter, message in wrong
    ]
    if found or problems:
        raise InputError([*problems, *found])
