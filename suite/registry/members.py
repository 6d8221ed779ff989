"""Members of losses: what a sweep or a search sets otherwise, checked like what is declared."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from suite.problems import choices, refusal, shown
from suite.provenance.targets import Target
from suite.registry.binding import bind
from suite.registry.places import KeyPath
from suite.registry.registry import LossEntry, member_name
from suite.registry.search import MOST_AXES, TRIAL, Axis, Owner, Range

Complain = Callable[[KeyPath, str], None]
Given = Sequence[Mapping[str, Any]]
"""Arguments that are declared: one mapping for a loss, one a profile for a benchmark."""


def swept(path: KeyPath, sweep: Any, target: Target, given: Given, complain: Complain) -> list[dict[str, Any]]:
    """Return what the members of a sweep set: the product of the values that are listed, of each sweep of a list.

    Parameters
    ----------
    path : tuple
        Where the sweep stands.
    sweep : mapping of parameter to list of values, or list of such mappings
        As the registry has it.
    target : Target
        What takes the parameters.
    given : sequence of mapping
        The arguments beside them.
    complain : callable
        Takes what is wrong, and where.
    """
    if isinstance(sweep, list) and any(isinstance(one, dict) for one in sweep):
        found: list[dict[str, Any]] = []
        for index, one in enumerate(sweep):
            found += _product((*path, index), one, target, given, complain)
            for again in (chosen for place, chosen in enumerate(found) if chosen in found[:place]):
                complain((*path, index), f"{member_name('', again)[1:]} stands in an earlier sweep, too")
            found = [chosen for place, chosen in enumerate(found) if chosen not in found[:place]]
        return found
    return _product(path, sweep, target, given, complain)


def _product(path: KeyPath, sweep: Any, target: Target, given: Given, complain: Complain) -> list[dict[str, Any]]:
    """Return what the members of one sweep set."""
    if not isinstance(sweep, dict):
        complain(path, "expected parameters with a list of values each, as in {temperature: [0.1, 0.2]}")
        return []
    values: dict[str, list[Any]] = {}
    for parameter, listed in sweep.items():
        where = (*path, parameter)
        if parameter == TRIAL:
            complain(where, f"members of searches are named by {TRIAL!r}: no parameter of this name can be swept")
        elif not isinstance(listed, list):
            complain(where, f"{shown(listed)} will not do: expected a list of values, as in [0.1, 0.2]")
        elif good := _listed(where, listed, target, given, complain):
            values[parameter] = good
    points = itertools.product(*values.values()) if values else ()
    return [dict(zip(values, point, strict=True)) for point in points]


def _listed(path: KeyPath, listed: Sequence[Any], target: Target, given: Given, complain: Complain) -> list[Any]:
    """Return the values of a list that will do, in their declared types."""
    if not listed:
        complain(path, "must not be empty")
    good: list[Any] = []
    for index, value in enumerate(listed):
        normal, message, is_known = _tried(str(path[-1]), value, target, given)
        if message is not None:
            complain((*path, index) if is_known else path, message)
            if not is_known:
                break
        elif normal in good:
            complain((*path, index), f"{shown(value)} stands here twice")
        else:
            good.append(normal)
    return good


def _tried(name: str, value: Any, target: Target, given: Given) -> tuple[Any, str | None, bool]:
    """Return a value in its declared type, what is wrong with it, and whether there is such a parameter."""
    normal = value
    for arguments in given:
        bound, wrong = bind(target, {**arguments, name: value})
        message = dict(wrong).get(name)
        if message is not None and "${" not in str(value):
            return value, message, name in bound
        normal = bound.get(name, value)
    return normal, None, True


def loss_members(entry: LossEntry, sweep: Any, complain: Complain) -> Iterator[LossEntry]:
    """Yield the members of the sweep of a loss's own parameters."""
    for chosen in swept(("losses", entry.name, "sweep"), sweep, entry.target, [entry.arguments], complain):
        name, arguments = member_name(entry.name, chosen), {**entry.arguments, **chosen}
        yield LossEntry(name, entry.target, arguments, sweep_of=entry.name, chosen=chosen)


def host_members(
    losses: Mapping[str, LossEntry], sweeps: Mapping[str, Sequence[Mapping[str, Any]]], complain: Complain
) -> Iterator[LossEntry]:
    """Yield, for every loss, the members that the sweeps of benchmarks' settings make.

    Parameters
    ----------
    losses : mapping of name to LossEntry
        With the members of their own sweeps, whose names are taken.
    sweeps : mapping of benchmark to what its members set
    complain : callable
    """
    hosts: dict[str, set[str]] = defaultdict(set)
    settings: dict[str, Mapping[str, Any]] = {}
    for benchmark, points in sweeps.items():
        for chosen in points:
            suffix = member_name("", chosen)
            hosts[suffix].add(benchmark)
            settings[suffix] = chosen
    for entry in [entry for entry in losses.values() if entry.sweep_of is None]:
        for suffix, chosen in settings.items():
            name = entry.name + suffix
            if name in losses:
                message = f"{name} is a member of the sweep of {entry.name}, too"
                for benchmark in sorted(hosts[suffix]):
                    complain(("benchmarks", benchmark, "sweep"), message)
            else:
                yield replace(entry, name=name, sweep_of=entry.name, chosen=chosen, hosts=frozenset(hosts[suffix]))


def trial_members(losses: Iterable[LossEntry], budget: int, hosts_have_axes: bool) -> Iterator[LossEntry]:
    """Yield the members that a search may have: each benchmark offers as many of them as it can draw."""
    for entry in losses:
        if entry.sweep_of is None and (entry.axes or hosts_have_axes):
            for trial in range(1, budget):
                yield replace(entry, name=member_name(entry.name, {TRIAL: trial}), sweep_of=entry.name, trial=trial)


def axes(path: KeyPath, search: Any, of: Owner, target: Target, given: Given, complain: Complain) -> tuple[Axis, ...]:
    """Return the axes of a search space.

    Parameters
    ----------
    path : tuple
        Where it stands.
    search : mapping of parameter to a range or a list of values
        As the registry has it.
    of : str
        Whether `target` is a loss or a benchmark.
    target, given, complain
        As for :func:`swept`.
    """
    if not isinstance(search, dict):
        complain(path, "expected parameters with a range or a list each, as in {temperature: {low: 0.05, high: 1.0}}")
        return ()
    if len(search) > MOST_AXES // 2:
        complain(path, f"{len(search)} parameters are more than the {MOST_AXES // 2} that can be searched")
        return ()
    found: list[Axis] = []
    for name, space in search.items():
        where = (*path, name)
        if isinstance(space, list):
            if good := _listed(where, space, target, given, complain):
                found.append(Axis(name, of, tuple(good)))
        elif isinstance(space, dict):
            found.extend(_interval(where, space, of, target, given, complain))
        else:
            message = "expected a range or a list, as in {low: 0.05, high: 1.0, scale: log} or [0.1, 0.2]"
            complain(where, f"{shown(space)} will not do: {message}")
    return tuple(found)


def _interval(
    path: KeyPath, space: Mapping[str, Any], of: Owner, target: Target, given: Given, complain: Complain
) -> Iterator[Axis]:
    """Yield the axis of a range, if it will do."""
    try:
        interval = TypeAdapter(Range).validate_json(json.dumps(space))
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0]) if detail["loc"] else ""
            is_unknown = detail["type"] in ("unexpected_keyword_argument", "extra_forbidden")
            offered = f"unknown key; {choices(key, ('low', 'high', 'scale'))}"
            complain((*path, key) if key else path, offered if is_unknown else refusal([detail], detail["input"]))
        return
    name, ends = str(path[-1]), {"low": space["low"], "high": space["high"]}
    tried = {end: _tried(name, value, target, given)[1:] for end, value in ends.items()}
    wrong = {end: (message, is_known) for end, (message, is_known) in tried.items() if message is not None}
    for end, (message, is_known) in wrong.items():
        complain((*path, end) if is_known else path, message)
        if not is_known:
            break
    if not wrong and interval.low >= interval.high:
        complain((*path, "high"), f"must be > low, {shown(space['low'])}")
    elif not wrong and interval.scale == "log" and interval.low <= 0:
        complain((*path, "low"), "must be > 0 on a logarithmic scale")
    elif not wrong:
        ends_are_whole = all(isinstance(value, int) for value in ends.values())
        is_whole = ends_are_whole and _tried(name, interval.low + 0.5, target, given)[1] is not None
        yield Axis(name, of, interval, is_whole)
