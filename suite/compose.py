"""Hydra composition and validation: files and overrides in, a Registry or all their problems out."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from suite import targets
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.registry import PROFILES, BenchmarkEntry, Document, LossEntry, Registry, Slice, bind, parse_seeds

Path_ = tuple[str | int, ...]
ROOT = Path(__file__).resolve().parent.parent
RESERVED_NAMES = ("all", "references", "default")


class Lines:
    """Where each key of the registry and of the launcher file stands."""

    def __init__(self, overrides: Sequence[str]) -> None:
        self._where: dict[Path_, str] = {}
        self._overridden = {tuple(o.partition("=")[0].lstrip("+~").split(".")): o for o in overrides}

    def read(self, file: Path, prefix: Path_ = ()) -> None:
        """Add a file's keys under `prefix`.

        Raises
        ------
        InputError
            If it is missing, unreadable, or not YAML.
        """
        name = _shown(file)
        try:
            node = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
        except FileNotFoundError:
            listed = choices(file.stem, sorted(f.stem for f in file.parent.glob("*.yaml")))
            raise InputError([Problem(name, "", f"no such file. {listed}")]) from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError([Problem(name, "", f"cannot be read: {error}")]) from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InputError([Problem(f"{name}:{line}", "", f"not valid YAML: {error.problem}")]) from error
        if not isinstance(node, yaml.MappingNode):
            raise InputError([Problem(f"{name}:1", "", "expected keys and values, as in 'experiment: ...'")])
        self._where[prefix] = f"{name}:1"
        self._walk(node, prefix, name)

    def _walk(self, node: yaml.Node, path: Path_, name: str) -> None:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    where = f"{name}:{key.start_mark.line + 1}"
                    raise InputError([Problem(where, _dotted((*path, key.value)), "this key stands here twice")])
                seen.add(key.value)
                self._where[(*path, key.value)] = f"{name}:{key.start_mark.line + 1}"
                self._walk(value, (*path, key.value), name)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._where[(*path, index)] = f"{name}:{value.start_mark.line + 1}"
                self._walk(value, (*path, index), name)

    def __call__(self, path: Path_) -> str:
        """Return ``file:line`` of a key, or of the nearest key around it, or the override that set it."""
        texts = tuple(str(part) for part in path)
        for override_path, override in self._overridden.items():
            if texts[: len(override_path)] == override_path or override_path[: len(texts)] == texts and texts:
                if texts[: len(override_path)] == override_path or path not in self._where:
                    return f"{COMMAND_LINE}: {override}"
        for length in range(len(path), -1, -1):
            if path[:length] in self._where:
                return self._where[path[:length]]
        return COMMAND_LINE


def default_registry() -> Path:
    """Return ./benchmarks.yaml, or else the one that this checkout ships."""
    local = Path("benchmarks.yaml")
    return local if local.exists() else ROOT / "benchmarks.yaml"


def load(file: Path | None = None, overrides: Sequence[str] = (), launcher: str | None = None) -> Registry:
    """Compose and validate the registry.

    Parameters
    ----------
    file : Path, optional
        Default: :func:`default_registry`.
    overrides : sequence of str
        Hydra overrides such as ``benchmarks.image.profiles.mini.epochs=5``.
    launcher : str, optional
        A file of ``launchers/``; the registry's own default otherwise.

    Raises
    ------
    InputError
        With every problem found.
    """
    file = (file or default_registry()).absolute()
    lines = Lines(overrides)
    lines.read(file)
    _check_syntax(overrides)
    composed = _compose(file, overrides, launcher, lines)
    document = _document(composed, lines)
    return _registry(document, file, lines)


def _check_syntax(overrides: Sequence[str]) -> None:
    parser = OverridesParser.create()
    problems = []
    for override in overrides:
        try:
            parser.parse_override(override)
        except HydraException:
            problems.append(Problem(COMMAND_LINE, override, "not an override; expected key=value, +key=value or ~key"))
    if problems:
        raise InputError(problems)


def _compose(file: Path, overrides: Sequence[str], launcher: str | None, lines: Lines) -> dict[str, Any]:
    defaults = yaml.safe_load(file.read_text()).get("defaults") or []
    named = [d for d in defaults if isinstance(d, dict) and "launchers@launcher" in d]
    name = launcher or (named[0]["launchers@launcher"] if named else "local")
    folder = next((f for f in (file.parent, ROOT) if (f / "launchers" / f"{name}.yaml").exists()), file.parent)
    lines.read(folder / "launchers" / f"{name}.yaml", ("launcher",))
    fixed = [f"{'' if named else '+'}launchers@launcher={name}", f"hydra.searchpath=[file://{ROOT}]"]
    with initialize_config_dir(config_dir=str(file.parent), version_base=None):
        try:
            config = hydra_compose(file.stem, overrides=[*fixed, *overrides])
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise InputError(_composition_problems(file, fixed, overrides, error)) from error
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _composition_problems(file: Path, fixed: list[str], overrides: Sequence[str], error: Exception) -> list[Problem]:
    """Find which overrides do not fit, one by one, since Hydra stops at the first."""
    try:
        plain = hydra_compose(file.stem, overrides=fixed)
    except (HydraException, OmegaConfBaseException, ValueError):
        return [Problem(_shown(file), "", _first_line(error))]
    problems = []
    for override in overrides:
        try:
            hydra_compose(file.stem, overrides=[*fixed, override])
        except (HydraException, OmegaConfBaseException, ValueError) as one:
            message = _unknown_key(plain, override.partition("=")[0].lstrip("+~")) or _first_line(one)
            problems.append(Problem(COMMAND_LINE, override, message))
    return problems or [Problem(COMMAND_LINE, " ".join(overrides), _first_line(error))]


def _unknown_key(config: Any, key: str) -> str | None:
    node = OmegaConf.to_container(config, resolve=False)
    for part in key.split("."):
        if not isinstance(node, dict):
            return f"there is nothing under {part!r}"
        if part not in node:
            return f"no key {part!r}; {choices(part, node)}. Put + before a key that is to be added"
        node = node[part]
    return None


def _document(composed: dict[str, Any], lines: Lines) -> Document:
    try:
        return TypeAdapter(Document).validate_json(json.dumps(composed))
    except ValidationError as error:
        raise InputError(_validation_problems(error, lines)) from error


def _validation_problems(error: ValidationError, lines: Lines) -> Iterator[Problem]:
    for detail in error.errors():
        path = tuple(p for p in detail["loc"] if not (isinstance(p, str) and _is_internal(p)))
        message = detail["msg"][0].lower() + detail["msg"][1:]
        if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            message = f"unknown key; {choices(path[-1], _known_keys(path))}"
        elif detail["type"] == "missing" or detail["type"] == "missing_argument":
            message = "is missing"
        elif "input" in detail and not isinstance(detail["input"], dict | list):
            message = f"{detail['input']!r} will not do: {message}"
        if path and path[-1] == "[key]":
            path = path[:-1]
            message = f"no such profile; {choices(path[-1], PROFILES)}"
        yield Problem(lines(path), _dotted(path), message)


def _is_internal(part: str) -> bool:
    # pydantic names the member of a union, and function validators, in its locations
    return part.startswith(("constrained-", "function-", "literal[")) or part in ("int", "str", "list[int]", "float")


def _known_keys(path: Path_) -> list[str]:
    table: dict[int, type] = {1: Document, 3: BenchmarkEntry}
    cls: type | None = table.get(len(path))
    if len(path) == 2 and path[0] == "launcher":
        from suite.registry import Launcher

        cls = Launcher
    elif len(path) == 3 and path[0] == "slices":
        cls = Slice
    elif len(path) == 4 and path[2] == "metric":
        from suite.registry import Metric

        cls = Metric
    fields = getattr(cls, "__dataclass_fields__", {})
    return ["_target_" if name == "target" else name for name in fields]


def _registry(document: Document, file: Path, lines: Lines) -> Registry:
    problems: list[Problem] = []
    losses = dict(_losses(document, lines, problems))
    found: dict[str, targets.Target] = {}
    settings: dict[tuple[str, str], dict[str, Any]] = {}
    for name, entry in document.benchmarks.items():
        target = _resolve(entry.target, "suite.benchmarks", ("benchmarks", name, "_target_"), lines, problems)
        if target is None:
            continue
        found[name] = target
        for profile, arguments in entry.profiles.items():
            bound, wrong = bind(target, arguments)
            settings[name, profile] = bound
            for argument, message in wrong:
                path = ("benchmarks", name, "profiles", profile, argument)
                problems.append(Problem(lines(path), _dotted(path), message))
        for profile in set(entry.estimate_s) - set(entry.profiles):
            path = ("benchmarks", name, "estimate_s", profile)
            problems.append(Problem(lines(path), _dotted(path), f"no such profile; {choices(profile, entry.profiles)}"))
    checksums = _checksums(document, file, lines, problems)
    registry = Registry(document, file, losses, found, settings, checksums)
    problems.extend(_cross_checks(registry, lines))
    if problems:
        raise InputError(problems)
    return registry


def _losses(document: Document, lines: Lines, problems: list[Problem]) -> Iterator[tuple[str, LossEntry]]:
    for name, entry in document.losses.items():
        if "@" in name or name in RESERVED_NAMES or "," in name or name.startswith("~"):
            message = "a loss may not be called all, references or default, nor contain @ or a comma, nor begin with ~"
            problems.append(Problem(lines(("losses", name)), f"losses.{name}", message))
        path: Path_ = ("losses", name, "_target_")
        if "_target_" not in entry:
            problems.append(Problem(lines(path), _dotted(path), "is missing: name the class, e.g. suite.losses.InfoNCE"))
            continue
        target = _resolve(entry["_target_"], "suite.losses", path, lines, problems)
        if target is None:
            continue
        arguments = {k: v for k, v in entry.items() if k not in ("_target_", "sweep")}
        _, wrong = bind(target, arguments)
        for argument, message in wrong:
            if "${" not in str(arguments.get(argument, "")):
                where = ("losses", name, argument)
                problems.append(Problem(lines(where), _dotted(where), message))
        yield name, LossEntry(name, target, arguments)
        yield from _members(name, target, arguments, entry.get("sweep", {}), lines, problems)


def _members(
    name: str, target: targets.Target, arguments: dict[str, Any], sweep: Any, lines: Lines, problems: list[Problem]
) -> Iterator[tuple[str, LossEntry]]:
    path: Path_ = ("losses", name, "sweep")
    if not isinstance(sweep, dict) or not all(isinstance(values, list) and values for values in sweep.values()):
        message = "expected parameters with a list of values each, as in {temperature: [0.1, 0.2]}"
        problems.append(Problem(lines(path), _dotted(path), message))
        return
    if not sweep:
        return
    for values in itertools.product(*sweep.values()):
        point = dict(zip(sweep, values, strict=True))
        _, wrong = bind(target, {**arguments, **point})
        for argument, message in wrong:
            if argument in point:
                where = (*path, argument, sweep[argument].index(point[argument]))
                problems.append(Problem(lines(where), _dotted((*path, argument)), message))
        member = name + "".join(f"@{argument}={value}" for argument, value in point.items())
        yield member, LossEntry(member, target, {**arguments, **point}, sweep_of=name)


def _resolve(path: Any, group: str, key: Path_, lines: Lines, problems: list[Problem]) -> targets.Target | None:
    if not isinstance(path, str):
        problems.append(Problem(lines(key), _dotted(key), f"{path!r} will not do: expected a dotted path"))
        return None
    try:
        return targets.resolve(path, group)
    except targets.TargetError as error:
        problems.append(Problem(lines(key), _dotted(key), str(error)))
        return None


def _checksums(
    document: Document, file: Path, lines: Lines, problems: list[Problem]
) -> Mapping[str, Mapping[str, str]]:
    from suite import data

    known = data.catalogue()
    for name, entry in document.benchmarks.items():
        for index, dataset in enumerate(entry.data):
            if dataset not in known:
                path = ("benchmarks", name, "data", index)
                message = f"no data set {dataset!r}; {choices(dataset, known)}"
                problems.append(Problem(lines(path), f"benchmarks.{name}.data", message))
    used = {dataset for entry in document.benchmarks.values() for dataset in entry.data if dataset in known}
    return data.checksums(sorted(used))


def _cross_checks(registry: Registry, lines: Lines) -> Iterator[Problem]:
    document = registry.document
    names = [name for name, entry in registry.losses.items() if entry.sweep_of is None]
    if document.baseline not in document.losses:
        yield Problem(lines(("baseline",)), "baseline", f"no loss {document.baseline!r}; {choices(document.baseline, names)}")
    both = sorted(set(registry.seeds) & set(registry.selection_seeds))
    if both:
        message = f"seeds {both} are also evaluation seeds: what is chosen with a seed may not be reported with it"
        yield Problem(lines(("selection_seeds",)), "selection_seeds", message)
    yield from _slice_problems(registry, lines)
    for loss in registry.losses:
        for benchmark, profile in registry.settings:
            try:
                registry.loss_config(loss, benchmark, profile)
            except ValueError as error:
                entry = registry.losses[loss]
                if entry.sweep_of is None and any("${" in str(value) for value in entry.arguments.values()):
                    key = next(k for k, value in entry.arguments.items() if "${" in str(value))
                    path = ("losses", loss, key)
                    yield Problem(lines(path), _dotted(path), f"in benchmark {benchmark}: {error}")
                    break


def _slice_problems(registry: Registry, lines: Lines) -> Iterator[Problem]:
    from suite.select import SelectionError, select_benchmarks, select_losses

    for name, entry in registry.document.slices.items():
        path = ("slices", name)
        if name in registry.losses or name in registry.document.benchmarks or name in ("all", "references"):
            yield Problem(lines(path), _dotted(path), "this name is taken by a loss, a benchmark or a built-in selection")
        for kind, select in (("losses", select_losses), ("benchmarks", select_benchmarks)):
            for index, text in enumerate(getattr(entry, kind) or ()):
                try:
                    select(registry, [text])
                except SelectionError as error:
                    yield Problem(lines((*path, kind, index)), f"slices.{name}.{kind}", str(error))
        if entry.seeds is not None:
            parse_seeds(entry.seeds)


def _dotted(path: Path_) -> str:
    return ".".join(str(part) for part in path)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _shown(file: Path) -> str:
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative
