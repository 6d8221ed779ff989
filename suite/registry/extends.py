"""A registry that says ``extends: suite``: it names what it adds, what it changes, and what it keeps of the rest."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from suite.problems import InputError, Problem, choices
from suite.registry.places import Lines, dotted

EXTENDS: Final = "extends"
KEEP: Final = "keep"
KEPT: Final = ("benchmarks", "claims")
"""Sections of the suite's registry of which a study may keep a part."""


def extended(content: Mapping[str, Any], suite: Path, lines: Lines) -> dict[str, Any]:
    """Return a registry's content with what it extends: merged by name, its own entries over the suite's.

    Mappings are merged key by key, lists and single values replaced. An entry with another ``_target_`` replaces the
    suite's as a whole, whose arguments are another class's.

    Parameters
    ----------
    content : mapping
        As :meth:`suite.registry.places.Lines.read` returns it.
    suite : Path
        The suite's own registry.
    lines : Lines
        Learns where the suite's keys stand; those of the study come first.

    Raises
    ------
    InputError
        With every problem of ``extends`` and ``keep``.
    """
    if EXTENDS not in content:
        return dict(content)
    own = {name: value for name, value in content.items() if name not in (EXTENDS, KEEP)}
    base = lines.read(suite)
    problems = [*_wrong_extends(content, lines), *_wrong_keep(content.get(KEEP, {}), base, lines)]
    if problems:
        raise InputError(problems)
    for section, names in content.get(KEEP, {}).items():
        base[section] = {name: entry for name, entry in base[section].items() if name in names}
    return _merged(base, own)


@contextlib.contextmanager
def folder_of(file: Path, content: Mapping[str, Any], is_extended: bool) -> Iterator[Path]:
    """Yield the folder where Hydra finds a registry: its own, or inside the block one with the merged file.

    Hydra looks for ``NAME.yaml`` alone: a registry that is called ``NAME.yml`` is copied, too.
    """
    if not is_extended and file.suffix == ".yaml":
        yield file.parent
        return
    with tempfile.TemporaryDirectory() as folder:
        text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        Path(folder, f"{file.stem}.yaml").write_text(text, encoding="utf-8")
        yield Path(folder)


def _wrong_extends(content: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    if content[EXTENDS] != "suite":
        yield Problem(lines((EXTENDS,)), EXTENDS, f"{content[EXTENDS]!r} will not do; {choices('', ['suite'])}")
    if "experiment" not in content:
        message = "is missing: a study has a name of its own, so that its runs are not mixed with the suite's"
        yield Problem(lines((EXTENDS,)), "experiment", message)


def _wrong_keep(keep: Any, base: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    if not isinstance(keep, dict):
        yield Problem(lines((KEEP,)), KEEP, "expected names by section, as in {benchmarks: [image, graph], claims: []}")
        return
    for section, names in keep.items():
        path = (KEEP, section)
        if section not in KEPT:
            yield Problem(lines(path), dotted(path), f"no such section; {choices(section, KEPT)}")
        elif not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            yield Problem(lines(path), dotted(path), "expected a list of names, as in [image, graph]")
        else:
            for index, name in enumerate(names):
                if name not in base[section]:
                    message = f"the suite has no {section[:-1]} {name!r}; {choices(name, base[section])}"
                    yield Problem(lines((*path, index)), dotted(path), message)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in own.items():
        before = base.get(name)
        if isinstance(value, dict) and isinstance(before, dict) and not _is_other_class(before, value):
            merged[name] = _merged(before, value)
        else:
            merged[name] = value
    return merged


def _is_other_class(before: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return "_target_" in value and value["_target_"] != before.get("_target_")
