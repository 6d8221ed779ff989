"""Where each key of the registry and of the launcher file stands."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from suite.problems import COMMAND_LINE, InputError, Problem, choices

KeyPath = tuple[str | int, ...]
"""A key in the composed registry, as in ``("losses", "infonce", "temperature")``."""

DEEPEST: Final = 50
MOST_NODES: Final = 1_000_000
"""In registry and launcher together, aliases counted as often as they stand there."""
TOO_DEEP: Final = "it is nested too deeply, or an alias in it contains itself or multiplies too often"


def dotted(path: KeyPath) -> str:
    """Return ``losses.infonce.temperature``."""
    return ".".join(str(part) for part in path)


def relative(file: str | Path) -> str:
    """Return a file as seen from here, or in full if it lies elsewhere."""
    seen = os.path.relpath(file)
    return str(file) if seen.startswith("..") else seen


class Lines:
    """``file:line`` of each key, or the override that set it."""

    def __init__(self, overrides: Sequence[str]) -> None:
        self._where: dict[KeyPath, str] = {}
        self._whole: set[KeyPath] = set()
        self._met = 0
        self._overridden = {tuple(o.partition("=")[0].lstrip("+~").split(".")): o for o in overrides}

    def read(self, file: Path, prefix: KeyPath = ()) -> dict[str, Any]:
        """Add a file's keys under `prefix`, and return its content.

        Raises
        ------
        InputError
            If it is missing, unreadable, not YAML, or holds a key twice.
        """
        name = relative(file)
        node, content = _parsed(file, name)
        if not isinstance(node, yaml.MappingNode):
            raise InputError([Problem(f"{name}:1", "", "expected keys and values, as in 'experiment: ...'")])
        self._where.setdefault(prefix, f"{name}:1")
        problems: list[Problem] = []
        try:
            self._walk(node, prefix, name, problems)
        except RecursionError:
            problems = [Problem(f"{name}:1", "", TOO_DEEP)]
        if problems:
            raise InputError(problems)
        return dict(content)

    def _walk(self, node: yaml.Node, path: KeyPath, name: str, problems: list[Problem]) -> None:
        self._met += 1
        # Hydra reads it again, by a longer recursion; and lists of aliases of lists of aliases may stand for billions
        if len(path) > DEEPEST or self._met > MOST_NODES:
            raise RecursionError
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                problems += _misread(key, (*path, key.value), name)
                if key.value in seen and key.value != "<<":
                    message = f"this key stands here twice; the first is in line {seen[key.value]}"
                    problems.append(Problem(f"{name}:{line}", dotted((*path, key.value)), message))
                seen[key.value] = line
                self._where.setdefault((*path, key.value), f"{name}:{line}")  # the registry is read before its launcher
                self._walk(value, (*path, key.value), name, problems)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._where.setdefault((*path, index), f"{name}:{value.start_mark.line + 1}")
                self._walk(value, (*path, index), name, problems)
        if not isinstance(node, yaml.MappingNode):
            problems += _misread(node, path, name)
            self._whole.add(path)

    def __call__(self, path: KeyPath) -> str:
        """Return ``file:line`` of a key, or of the nearest key around it, or the override that set it."""
        texts = tuple(str(part) for part in path)
        for overridden, override in self._overridden.items():
            below = texts[: len(overridden)] == overridden
            around = texts and overridden[: len(texts)] == texts
            if below or (around and (path not in self._where or path in self._whole)):
                return f"{COMMAND_LINE}: {override}"
        for length in range(len(path), -1, -1):
            if path[:length] in self._where:
                return self._where[path[:length]]
        return COMMAND_LINE

    def file(self, path: KeyPath) -> str:
        """Return the file in which a key stands; empty if it is in none."""
        return self._where.get(path, "").rpartition(":")[0]


#: Plain words that YAML 1.1 reads as something else than what stands there.
_OCTAL: Final = re.compile(r"[-+]?0[0-7_]+")
_BASE_60: Final = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?")
_SWITCHES: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def _misread(node: yaml.Node, path: KeyPath, name: str) -> Iterator[Problem]:
    """Find what YAML 1.1 reads in a way that its writer will not have meant."""
    if not isinstance(node, yaml.ScalarNode) or node.style:  # a plain word's is None, or empty in libyaml
        return
    text, kind = node.value, node.tag.rpartition(":")[2]
    message = ""
    if kind == "int" and _OCTAL.fullmatch(text):
        message = f"{text} is an octal number here, {int(text.replace('_', ''), 8)}: write it without the leading 0"
    elif kind in ("int", "float") and _BASE_60.fullmatch(text):
        message = f"{text} is a number of base 60 here"
    elif kind == "bool" and text.lower() in _SWITCHES:
        message = f"{text} means {_SWITCHES[text.lower()]} here: write that"
    if message:
        yield Problem(f"{name}:{node.start_mark.line + 1}", dotted(path), f"{message}, or put it in quotes")


#: libyaml's, ten times as fast, where PyYAML was built with it.
FAST: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _read(text: str, loader: Any) -> tuple[yaml.Node | None, Any]:
    """Return a document's nodes and its content; apart, since what makes content of nodes resolves their merges."""
    return yaml.compose(text, Loader=loader), yaml.load(text, Loader=loader)


def _parsed(file: Path, name: str) -> tuple[yaml.Node | None, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        there = sorted(f.name for f in file.parent.glob("*.yaml"))
        hint = choices(file.name, there) if there else f"there is no YAML file in {file.parent}"
        raise InputError([Problem(name, "", f"no such file; {hint}")]) from None
    except OSError as error:
        raise InputError([Problem(name, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise InputError([Problem(name, "", f"is not UTF-8 text: {error.reason} at byte {error.start}")]) from error
    with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
        return _read(text, FAST)
    try:
        return _read(text, yaml.SafeLoader)  # says better what is wrong, and where
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError([Problem(f"{name}:{line}", "", f"not valid YAML: {error.reason}")]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1 if mark else 1}"
        tab = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise InputError([Problem(where, "", f"not valid YAML: {error.problem}{tab}")]) from error
    except RecursionError:
        raise InputError([Problem(f"{name}:1", "", TOO_DEEP)]) from None
    except ValueError as error:
        raise InputError([Problem(f"{name}:1", "", f"not valid YAML: {error}")]) from error
