"""Selections: what ``--benchmarks``, ``--losses`` and ``--seeds`` stand for."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from suite.problems import choices
from suite.registry.registry import Registry, parse_seeds

REFERENCES = "references"
T = TypeVar("T")


class SelectionError(ValueError):
    """A name that stands for nothing."""


def select_benchmarks(registry: Registry, texts: Sequence[str], profile: str | None = None) -> list[str]:
    """Return the benchmarks that names, comma lists, globs, slices, ``all`` and ``~name`` stand for, in registry order.

    With a `profile`, ``all`` and globs stand for the benchmarks that have it, if one has; a name is taken as it is.

    Raises
    ------
    SelectionError
        Naming what was not found and what there is.
    """
    entries = registry.document.benchmarks
    offering = [name for name, entry in entries.items() if profile in (None, *entry.profiles)] or list(entries)
    slices = {n: s.benchmarks for n, s in registry.document.slices.items() if s.benchmarks is not None}
    return _select("benchmark", texts, list(entries), offering, slices, offering)


def select_losses(registry: Registry, texts: Sequence[str]) -> list[str]:
    """Return the losses likewise; ``references`` is a name like a loss's.

    ``all`` leaves out the members of sweeps and searches; ``infonce@temperature=0.1`` stands for every member that sets
    that, whatever else it sets.
    """
    names = [*registry.losses, REFERENCES]
    plain = [name for name, entry in registry.losses.items() if entry.sweep_of is None]
    slices = {n: s.losses for n, s in registry.document.slices.items() if s.losses is not None}
    return _select("loss", texts, names, plain, slices, names)


def select_seeds(registry: Registry, texts: Sequence[str]) -> list[int]:
    """Return the seeds that ranges, lists, slices, ``selection`` and ``~seed`` stand for."""
    slices = {n: s.seeds for n, s in registry.document.slices.items() if s.seeds is not None}
    chosen: list[int] = []
    removed: set[int] = set()
    for text in _split(texts):
        name = text.removeprefix("~")
        if name == "all":
            seeds = registry.seeds
        elif name == "selection":
            seeds = registry.selection_seeds
        else:
            try:
                seeds = parse_seeds(slices.get(name, name))
            except ValueError as error:
                raise SelectionError(f"{error}. Other choices: {', '.join(['all', 'selection', *slices])}") from error
        if text.startswith("~"):
            removed.update(seeds)
        else:
            chosen.extend(seeds)
    if not chosen and removed:
        chosen = registry.seeds
    return _not_empty("seed", [seed for seed in dict.fromkeys(chosen) if seed not in removed], texts)


def _select(
    kind: str,
    texts: Sequence[str],
    names: list[str],
    everything: list[str],
    slices: dict[str, list[str]],
    matched: list[str],
) -> list[str]:
    """Return what texts stand for; ``all`` is `everything`, and a glob's matches are looked for in `matched` first."""

    def expand(text: str, inside: tuple[str, ...]) -> Iterable[str]:
        if text == "all":
            return everything
        if text in slices:
            if text in inside:
                raise SelectionError(f"slice {text!r} contains itself")
            return _combine(slices[text], lambda t: expand(t, (*inside, text)), everything)
        found = [text] if text in names else matching(text)
        if not found:
            raise SelectionError(f"no {kind} or slice {text!r}; {choices(text, ['all', *names, *slices])}")
        return found

    def matching(pattern: str) -> Sequence[str]:
        return fnmatch.filter(matched, pattern) or fnmatch.filter(names, pattern) or _with_values(names, pattern)

    chosen = set(_combine(_split(texts), lambda text: expand(text, ()), everything))
    return _not_empty(kind, [name for name in names if name in chosen], texts)


def _with_values(names: Sequence[str], text: str) -> list[str]:
    """Return the members of a loss that set at least what a text names: a sweep may have grown by a parameter since."""
    loss, *chosen = text.split("@")
    members = [(name, name.split("@")) for name in names if chosen]
    return [name for name, parts in members if parts[0] == loss and set(chosen) <= set(parts[1:])]


def _combine(texts: Iterable[str], expand: Callable[[str], Iterable[str]], everything: list[str]) -> list[str]:
    added: dict[str, None] = {}
    removed: set[str] = set()
    texts = list(texts)
    for text in texts:
        if text.startswith("~"):
            removed.update(expand(text[1:]))
        else:
            added.update(dict.fromkeys(expand(text)))
    if texts and all(text.startswith("~") for text in texts):
        added.update(dict.fromkeys(everything))
    return [name for name in added if name not in removed]


def _split(texts: Sequence[str]) -> list[str]:
    return [part.strip() for text in texts for part in _at_commas(text) if part.strip()]


def _at_commas(text: str) -> Iterator[str]:
    """Split at commas, but for those of a value in brackets, as in ``mine@widths=[8, 16]``."""
    part, depth = "", 0
    for sign in text:
        depth += (sign in "[({") - (sign in "])}")
        if sign == "," and depth <= 0:
            yield part
            part = ""
        else:
            part += sign
    yield part


def _not_empty(kind: str, chosen: list[T], texts: Sequence[str]) -> list[T]:
    if not chosen:
        raise SelectionError(f"{' '.join(texts) or 'nothing'!r} leaves no {kind} to run")
    return chosen
