"""Constructor arguments held against their annotations, so that code is told what the registry tells a user."""

from __future__ import annotations

import functools
import inspect
import numbers
import operator
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt

_BOUNDS: Final = (
    (Gt, "gt", operator.gt, ">"),
    (Ge, "ge", operator.ge, ">="),
    (Lt, "lt", operator.lt, "<"),
    (Le, "le", operator.le, "<="),
)


def checked(initialiser: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that refuses arguments outside of the ranges and choices that it is annotated with.

    Defaults are taken as they are. So is what an annotation does not limit, and every argument where the annotations
    cannot be read (a name that exists for type checkers alone).

    Parameters
    ----------
    initialiser : callable
        An ``__init__``, annotated with the types of :mod:`suite.parameters`, other bounds of ``annotated_types``, or
        ``Literal``.
    """
    signature = inspect.signature(initialiser)

    @functools.wraps(initialiser)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(self, *args, **kwargs).arguments
        except TypeError:
            given = {}  # the constructor itself says best what is missing or not known
        problems = [
            f"{name} should be {wanted}, got {given[name]!r}"
            for name, annotation in _hints(initialiser).items()
            if name in given and (wanted := _refusal(annotation, given[name])) is not None
        ]
        if problems:
            raise ValueError(f"{type(self).__name__}: {'; '.join(problems)}")
        initialiser(self, *args, **kwargs)

    return wrapper


@functools.cache
def _hints(initialiser: Callable[..., None]) -> dict[str, Any]:
    try:
        return get_type_hints(initialiser, include_extras=True)
    except Exception:
        return {}


def _refusal(annotation: Any, value: Any) -> str | None:
    """Return what an annotation asks for, if a value is something else."""
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return None if value in choices else " or ".join(map(repr, choices))
    if get_origin(annotation) is not Annotated:
        return None
    base, *metadata = get_args(annotation)
    limits = [limit for found in metadata for limit in _limits(found)]
    if base is int and not isinstance(value, numbers.Integral):
        is_within = False
    else:
        is_within = all(_holds(compare, value, bound) for compare, _, bound in limits)
    if is_within or not limits:
        return None
    kind = "an integer" if base is int else "a number"
    return f"{kind} {' and '.join(f'{sign} {bound:g}' for _, sign, bound in limits)}"


def _limits(metadata: Any) -> Iterator[tuple[Callable[[Any, Any], Any], str, Any]]:
    for single in metadata if isinstance(metadata, GroupedMetadata) else [metadata]:
        for kind, attribute, compare, sign in _BOUNDS:
            if isinstance(single, BaseMetadata) and isinstance(single, kind):
                yield compare, sign, getattr(single, attribute)


def _holds(compare: Callable[[Any, Any], Any], value: Any, bound: Any) -> bool:
    try:
        return bool(compare(value, bound))
    except TypeError:
        return False
