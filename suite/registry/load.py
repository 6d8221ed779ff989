"""Hydra composition: the registry's files and the command line's overrides in, a Registry or all their problems out."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from suite.compute import Compute
from suite.problems import COMMAND_LINE, InputError, Problem, choices, refusal
from suite.process import import_from
from suite.registry.checks import checked_registry
from suite.registry.claims import Claim, Metric, Published, Trials
from suite.registry.extends import EXTENDS, extended, folder_of
from suite.registry.launchers import Launcher, Resources, kinds
from suite.registry.places import KeyPath, Lines, dotted, relative
from suite.registry.registry import PROFILES, BenchmarkEntry, Document, Registry, Slice

GROUP: Final = "launchers@launcher"
_FAILURES: Final = (HydraException, OmegaConfBaseException, ValueError)


def shipped() -> Path:
    """Return the folder with the suite's own ``benchmarks.yaml`` and ``launchers/``: of the checkout, or installed."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "shipped"
    return installed if installed.is_dir() else package.parent


def default_registry() -> Path:
    """Return ./benchmarks.yaml, or else the one that the suite ships."""
    local = Path("benchmarks.yaml")
    return local if local.exists() else shipped() / "benchmarks.yaml"


def load(file: Path | None = None, overrides: Sequence[str] = (), launcher: str | None = None) -> Registry:
    """Compose and validate the registry.

    Parameters
    ----------
    file : Path, optional
        Default: :func:`default_registry`.
    overrides : sequence of str
        Hydra overrides such as ``benchmarks.image.profiles.mini.epochs=5``; ``launcher=debug`` is one, too.
    launcher : str, optional
        A file of ``launchers/``; the registry's own default otherwise.

    Raises
    ------
    InputError
        With every problem found.
    """
    file = (file or default_registry()).absolute()
    chosen = {o: o.partition("=")[2] for o in overrides if re.fullmatch(r"launcher(s@launcher)?=[^{}\[\]]*", o)}
    named = {f"--launcher {launcher}": launcher} if launcher else {}
    others = [o for o in overrides if o not in chosen]  # a launcher that is named sets no key: what it holds has a line
    lines = Lines(others)
    content = lines.read(file)
    import_from([str(file.parent)])  # a study's own losses lie beside its registry
    _check_syntax(overrides)
    composed = _compose(file, content, others, {**chosen, **named}, lines)
    document, problems = _document(composed, lines)
    checked = checked_registry(document, file, lines, problems)
    return replace(checked, given=tuple(o for o in others if not re.match(r"[+~]*launcher\b", o)))


def _check_syntax(overrides: Sequence[str]) -> None:
    parser = OverridesParser.create()
    problems = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:
            message = "not an override; expected key=value, +key=value or ~key"
            if re.fullmatch(r"[\w,~*]+", text):
                message += ". Benchmarks, losses and seeds are selected with --benchmarks, --losses and --seeds"
            problems.append(Problem(COMMAND_LINE, text, message))
            continue
        key = str(override.key_or_group)
        if override.is_sweep_override():
            listed = f"{text.partition('=')[0]}=[{text.partition('=')[2]}]"
            problems.append(Problem(COMMAND_LINE, text, f"several values; a list has brackets: {listed}"))
        elif not key or re.match(r"hydra([./]|$)", key):
            message = "Hydra's own settings mean nothing here" if key else "there is no key before the ="
            problems.append(Problem(COMMAND_LINE, text, message))
    if problems:
        raise InputError(problems)


def _compose(
    file: Path, content: dict[str, Any], overrides: Sequence[str], launchers: Mapping[str, str], lines: Lines
) -> dict[str, Any]:
    is_extended = EXTENDS in content
    content = extended(content, shipped() / "benchmarks.yaml", lines)
    default, is_listed = _default_launcher(content, lines)
    where, name = (f"{COMMAND_LINE}: {list(launchers)[-1]}", list(launchers.values())[-1]) if launchers else default
    offered = {f.stem: f for folder in (shipped(), file.parent) for f in (folder / "launchers").glob("*.yaml")}
    if name not in offered:
        raise InputError([Problem(where, "", f"no launcher {name!r}; {choices(name, sorted(offered))}")])
    lines.read(offered[name], ("launcher",))
    beside = ",".join(map(_quoted, dict.fromkeys((file.parent, shipped()))))
    fixed = [f"{'' if is_listed else '+'}{GROUP}={name}", f"hydra.searchpath=[{beside}]"]
    with (
        folder_of(file, content, is_extended) as folder,
        initialize_config_dir(config_dir=str(folder), version_base=None),
    ):
        try:
            config = hydra_compose(file.stem, overrides=[*fixed, *map(_forced, overrides)])
        except _FAILURES as error:
            raise InputError(_composition_problems(file, content, fixed, overrides, lines, error)) from error
    return _resolved(config, lines)


def _quoted(folder: Path) -> str:
    """Return a folder as Hydra's grammar takes any: signs of its own stand in names, too."""
    return "'file://" + str(folder).replace("'", "\\'") + "'"


def _default_launcher(content: dict[str, Any], lines: Lines) -> tuple[tuple[str, str], bool]:
    """Return the launcher of the registry's defaults list with its place, and whether the list names one."""
    listed = content.get("defaults", [])
    good = isinstance(listed, list) and all(
        d == "_self_" or (isinstance(d, dict) and set(d) == {GROUP}) for d in listed
    )
    if not good or any(isinstance(d, dict) and not isinstance(d[GROUP], str) for d in listed):
        message = f"expected a launcher and the registry itself, as in [{GROUP}: local, _self_]"
        raise InputError([Problem(lines(("defaults",)), "defaults", message)])
    if listed and "_self_" not in listed:
        raise InputError([Problem(lines(("defaults",)), "defaults", "must also hold _self_, the registry itself")])
    named = [(index, d[GROUP]) for index, d in enumerate(listed) if isinstance(d, dict)]
    if not named:
        return (lines(("defaults",)), "local"), False
    return (lines(("defaults", named[0][0])), named[0][1]), True


def _forced(override: str) -> str:
    """Let a plain override add what the file leaves to its default: validation knows which keys there may be."""
    return override if override[0] in "+~" else f"++{override}"


def _composition_problems(
    file: Path, content: Any, fixed: list[str], overrides: Sequence[str], lines: Lines, error: Exception
) -> list[Problem]:
    """Find what does not fit, one by one, since Hydra stops at the first."""
    problems = list(_bad_values(content, (), lines))
    if problems:
        return problems
    try:
        plain = OmegaConf.to_container(hydra_compose(file.stem, overrides=fixed), resolve=False)
    except _FAILURES:
        return [Problem(f"{relative(file)}:1", "", _first_line(error))]
    for override in overrides:
        try:
            hydra_compose(file.stem, overrides=[*fixed, _forced(override)])
        except _FAILURES as one:
            message = _misfit(plain, override.partition("=")[0].lstrip("+~")) or _first_line(one)
            problems.append(Problem(COMMAND_LINE, override, message))
    return problems or [Problem(COMMAND_LINE, " ".join(overrides), _first_line(error))]


def _bad_values(value: Any, path: KeyPath, lines: Lines) -> Iterator[Problem]:
    """Find the values that OmegaConf does not take: dates, bytes, malformed interpolations."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _bad_values(inner, (*path, key), lines)
        return
    try:
        OmegaConf.create({"value": value})
    except OmegaConfBaseException:
        reason = (
            "not a valid interpolation; expected ${name}" if isinstance(value, str) else "expected a number or text"
        )
        yield Problem(lines(path), dotted(path), f"{str(value)!r} will not do: {reason}")


def _misfit(node: Any, key: str) -> str | None:
    above = ""
    for part in key.split("."):
        if not isinstance(node, dict):
            return f"{above} is a single value: there is nothing under it"
        if part not in node:
            return f"no key {part!r}; {choices(part, node)}"
        node, above = node[part], f"{above}.{part}".lstrip(".")
    return None


def _resolved(config: Any, lines: Lines) -> dict[str, Any]:
    """Resolve references between keys, but those of losses, which each benchmark resolves for itself."""
    values: dict[str, Any] = {}
    problems = []
    for key in map(str, config):
        try:
            value = config[key]
            is_plain = not OmegaConf.is_config(value)
            values[key] = value if is_plain else OmegaConf.to_container(value, resolve=key != "losses")
        except OmegaConfBaseException as error:
            at = tuple(str(error.full_key or key).split("."))
            problems.append(Problem(lines(at), dotted(at), _first_line(error)))
    if problems:
        raise InputError(problems)
    return values


_BENCHMARK: Final = {
    "_target_": "-",
    "metric": {"name": "-", "goal": "maximise", "margin": 1.0},
    "profiles": {"mini": {}},
}
_WRITTEN: Final = {"target": "_target_", "relation": "is"}
"""Fields that are no names in Python, or no good ones."""

_STAND_INS: Final[Mapping[KeyPath, Any]] = {
    ("experiment",): "-",
    ("seeds",): 0,
    ("baseline",): "-",
    ("launcher",): {"kind": "debug"},
    ("launcher", "kind"): "debug",
    ("losses", "*"): {"_target_": "-"},
    ("benchmarks", "*"): _BENCHMARK,
    **{("benchmarks", "*", key): value for key, value in _BENCHMARK.items()},
    ("benchmarks", "*", "metric", "name"): "-",
    ("benchmarks", "*", "metric", "goal"): "maximise",
    ("benchmarks", "*", "metric", "margin"): 1.0,
}


@functools.cache
def _adapter(of_kinds: tuple[type[Launcher], ...]) -> TypeAdapter[Document]:
    """Return what validates a document, once a process for the kinds of launchers that there are."""
    return TypeAdapter(Document)


def _document(composed: dict[str, Any], lines: Lines) -> tuple[Document, list[Problem]]:
    """Return the typed document, and what is wrong: that is replaced in it, so that the rest can be checked."""
    adapter = _adapter(tuple(kinds().values()))
    problems: list[Problem] = []
    for _ in range(4):  # a repair may bring up another: a benchmark left without profiles
        try:
            return adapter.validate_json(json.dumps(composed, default=str)), problems
        except ValidationError as error:
            found = _validation_problems(error, composed)
            problems = problems or [Problem(lines(path), dotted(path), message) for path, message in found]
            if any(path[:1] in (("losses",), ("benchmarks",), ("slices",)) and len(path) == 1 for path, _ in found):
                break  # too little is left for the rest to mean anything
            for path, _ in found:
                _mend(composed, path)
    raise InputError(problems)


def _validation_problems(error: ValidationError, composed: dict[str, Any]) -> list[tuple[KeyPath, str]]:
    details = [(_place(detail["loc"], composed), detail) for detail in error.errors()]
    found = []
    for path, group in groupby(sorted(details, key=lambda pair: dotted(pair[0])), key=lambda pair: pair[0]):
        listed = [detail for _, detail in group]
        kind = listed[0]["type"]
        if kind in ("unexpected_keyword_argument", "extra_forbidden"):
            found.append((path, f"unknown key; {choices(path[-1], _known_keys(path, composed))}"))
        elif kind in ("union_tag_invalid", "union_tag_not_found"):
            found.append(((*path, "kind"), _launcher_kind(listed[0])))
        elif "[key]" in listed[0]["loc"]:
            found.append((path, f"no such profile; {choices(path[-1], PROFILES)}"))
        else:
            found.append((path, refusal(listed, listed[0]["input"])))
    return found


def _place(location: Sequence[str | int], composed: Any) -> KeyPath:
    """Return the part of a pydantic location that the files know: not members of unions, nor names of validators."""
    path: list[str | int] = []
    node: Any = composed
    for depth, part in enumerate(location):
        if _holds(node, part):
            node = node[part]
            path.append(part)
        elif isinstance(node, dict) and depth == len(location) - 1 and part != "[key]":
            path.append(part)  # what is missing
    return tuple(path)


def _holds(node: Any, part: str | int) -> bool:
    return isinstance(node, list) if isinstance(part, int) else isinstance(node, dict) and part in node


def _mend(composed: dict[str, Any], path: KeyPath) -> None:
    if path[0] == "claims":
        path = path[:2]
    elif path[2:3] == ("published",):
        path = path[:3]
    node: Any = composed
    for part in path[:-1]:
        if not isinstance(node[part], dict):
            return _mend(composed, path[: path.index(part) + 1])
        node = node[part]
    general = (path[0], "*", *path[2:]) if len(path) > 1 and path[0] != "launcher" else path
    if general in _STAND_INS:
        node[path[-1]] = copy.deepcopy(_STAND_INS[general])
    else:
        node.pop(path[-1], None)
    return None


_OF_ENTRIES: Final[Mapping[str | int, type]] = {"published": Published, "compute": Compute, "resources": Resources}
"""What an entry's lists and mappings hold."""


def _known_keys(path: KeyPath, composed: Mapping[str, Any]) -> list[str]:
    kind = str(composed["launcher"].get("kind")) if path[0] == "launcher" else ""
    if path[:2] == ("launcher", "benchmarks") and len(path) > 2:
        return list(kinds().get(kind, Launcher).benchmark_fields)
    tables: dict[tuple[int, str | int], type] = {
        (2, "launcher"): kinds().get(kind, Launcher),
        (3, "benchmarks"): BenchmarkEntry,
        (3, "slices"): Slice,
        (3, "claims"): Claim,
        (4, "benchmarks"): Metric,
        (4, "claims"): Trials,
        (5, "benchmarks"): _OF_ENTRIES.get(path[2] if len(path) > 2 else "", Resources),
    }
    names = [field.name for field in fields(tables.get((len(path), path[0]), Document))]
    return names if path[0] == "launcher" else [_WRITTEN.get(name, name) for name in names]


def _launcher_kind(detail: Mapping[str, Any]) -> str:
    if detail["type"] == "union_tag_not_found":
        return "is missing"
    *names, last = map(repr, kinds())
    return refusal(
        [{"type": "literal_error", "ctx": {"expected": f"{', '.join(names)} or {last}"}}], detail["ctx"]["tag"]
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
