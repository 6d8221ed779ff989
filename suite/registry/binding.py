"""Arguments against what a class takes: references resolved, values checked, defaults filled in."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from suite.problems import choices, refusal, shown
from suite.provenance import targets
from suite.provenance.targets import Target

Bound = tuple[dict[str, Any], list[tuple[str, str]]]
"""Arguments by name, and for each that will not do, its name and why."""


#: An argument that is a setting of the benchmark and nothing more.
_REFERENCE: Final = re.compile(r"\$\{(\w+)\}")
_MISSING: Final = object()
_NOT_JSON: Final = "cannot be part of a run's key, since JSON has no such value"


def interpolate(arguments: Mapping[str, Any], scope: Mapping[str, Any]) -> Bound:
    """Resolve ``${name}`` in arguments from the settings of a benchmark.

    Returns
    -------
    dict
        The arguments; those that refer to something undefined as they were.
    list of (parameter, message)
        What is not defined, and what is.
    """
    resolved, problems = dict(arguments), []
    for name, value in arguments.items():
        if "${" not in str(value):
            continue
        plain = _looked_up(value, scope)
        if plain is not _MISSING:
            resolved[name] = plain
            continue
        from omegaconf import OmegaConf
        from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

        config = OmegaConf.create({**scope, "_argument": value})
        try:
            resolved[name] = OmegaConf.to_container(config, resolve=True)["_argument"]  # type: ignore[index, call-overload]
        except InterpolationKeyError as error:
            missing = str(error).partition("'")[2].partition("'")[0]
            problems.append((name, f"${{{missing}}} is not defined here; {choices(missing, sorted(scope))}"))
        except OmegaConfBaseException as error:
            problems.append((name, f"{shown(value)} cannot be resolved: {str(error).splitlines()[0]}"))
    return resolved, problems


def _looked_up(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return the number or word that a mere reference stands for; all of a registry's take OmegaConf a second."""
    reference = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    found = scope.get(reference[1], _MISSING) if reference else _MISSING
    is_plain = isinstance(found, (bool, int, float)) or (isinstance(found, str) and "${" not in found)
    return found if is_plain else _MISSING


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
            if is_json(parameter.default):
                bound[name], _ = _checked(parameter, parameter.default)
            else:
                default = f"has the default {parameter.default!r:.60} for {name!r}, which {_NOT_JSON}"
                problems.append((name, f"{target.path} {default}: give it a value, or another default"))
    return bound, problems


def is_json(value: object) -> bool:
    """Whether JSON can hold a value, so that it can be part of a run's key."""
    try:
        json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _checked(parameter: targets.Parameter, value: Any) -> tuple[Any, str | None]:
    """Return the value as JSON in its declared type, so that 1 and 1.0 are one float, and what is wrong with it."""
    adapter = adapter_of(parameter.annotation)
    if adapter is None:
        return value, None if is_json(value) else f"{shown(value)} {_NOT_JSON}"
    try:
        checked = adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        return value, refusal(error.errors(), value)
    except (TypeError, ValueError) as error:
        return value, f"{shown(value)} will not do: {error}"
    return adapter.dump_python(checked, mode="json"), None


def adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """Return what checks values of an annotation; None if pydantic cannot."""
    if annotation is targets.UNKNOWN:
        return None
    try:
        return _adapters(annotation)
    except TypeError:  # annotated with a list, say, which no cache can have for a key
        return _made_adapter(annotation)


def _made_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
    except (PydanticUserError, TypeError):
        return None
    return adapter if adapter.pydantic_complete else None  # not where it names a class of the author's own


_adapters = functools.cache(_made_adapter)
