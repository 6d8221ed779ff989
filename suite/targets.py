"""What a ``_target_`` takes, read from its source without importing it.

Importing a loss imports torch, which costs seconds; ``plan`` has to check constructor arguments at once. So classes are
found and their parameters read with :mod:`ast`. What source cannot tell (an extension module, a dynamic attribute) is
imported after all. The same walk gives the files that a run's code consists of.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import inspect
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from suite import parameters as parameter_types

UNKNOWN: Final = object()
"""A default or an annotation that source does not tell."""

REQUIRED: Final = object()
"""A parameter without a default."""


class TargetError(ValueError):
    """A ``_target_`` that leads nowhere."""


@dataclass(frozen=True)
class Parameter:
    """One constructor parameter: its annotation (or UNKNOWN) and its default (or REQUIRED, or UNKNOWN)."""

    name: str
    annotation: Any = UNKNOWN
    default: Any = REQUIRED


@dataclass(frozen=True)
class Target:
    """A class or function: the module that defines it, and its parameters; None if they cannot be known."""

    path: str
    module: str
    name: str
    parameters: tuple[Parameter, ...] | None


@dataclass(frozen=True)
class Source:
    """A module's file and syntax tree."""

    module: str
    file: Path
    is_package: bool
    tree: ast.Module
    sha256: str

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.module if self.is_package else self.module.rpartition(".")[0]


def resolve(path: str, group: str) -> Target:
    """Find the class or function that a ``_target_`` names.

    Parameters
    ----------
    path : str
        Dotted path, or a short name from the entry points of `group`.
    group : str
        ``suite.losses`` or ``suite.benchmarks``.

    Raises
    ------
    TargetError
        Saying which part of the path does not exist.
    """
    if "." not in path:
        entry_points = short_names(group)
        if path not in entry_points:
            known = ", ".join(sorted(entry_points)) or "none"
            raise TargetError(f"{path!r} is neither a dotted path nor an entry point of {group} (there are: {known})")
        path = entry_points[path]
    return _resolve_dotted(path)


@functools.cache
def short_names(group: str) -> Mapping[str, str]:
    """Return the entry points of a group: short name to dotted path."""
    return {e.name: e.value.replace(":", ".") for e in importlib.metadata.entry_points(group=group)}


@functools.cache
def code(*targets: Target) -> Mapping[str, str]:
    """Return module name -> sha256 of every file that defines what these targets run.

    The closure of imports from the defining modules, each imported name followed to the module that defines it. Only
    first-party code counts (not the standard library, not site-packages), and the ``__init__`` of a package only where
    it defines a name that is used: adding a loss to ``suite.losses`` changes no other loss.
    """
    modules: set[str] = set()
    pending = [target.module for target in targets]
    while pending:
        module = pending.pop()
        if module not in modules and source(module) is not None:
            modules.add(module)
            pending.extend(_imports(module))
    return {module: found.sha256 for module in sorted(modules) if (found := source(module)) is not None}


@functools.cache
def source(module: str) -> Source | None:
    """Return the source of a first-party module without importing it or its packages, or None."""
    spec = _spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py") or not _first_party(spec.origin):
        return None
    content = Path(spec.origin).read_bytes()
    try:
        tree = ast.parse(content, spec.origin)
    except SyntaxError as error:
        raise TargetError(f"{spec.origin}:{error.lineno}: {error.msg}") from error
    is_package = spec.submodule_search_locations is not None
    return Source(module, Path(spec.origin), is_package, tree, hashlib.sha256(content).hexdigest())


@functools.cache
def _spec(module: str) -> importlib.machinery.ModuleSpec | None:
    parent, _, _ = module.rpartition(".")
    if not parent:
        return _top_level_spec(module)
    parent_spec = _spec(parent)
    if parent_spec is None or parent_spec.submodule_search_locations is None:
        return None
    return importlib.machinery.PathFinder.find_spec(module, list(parent_spec.submodule_search_locations))


def _top_level_spec(module: str) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:  # editable installs bring finders of their own
        spec = finder.find_spec(module, None)
        if spec is not None:
            return spec
    return None


def _first_party(file: str) -> bool:
    parts = Path(file).parts
    return "site-packages" not in parts and "dist-packages" not in parts and not file.startswith(_STANDARD_LIBRARY)


_STANDARD_LIBRARY: Final = str(Path(ast.__file__).parent) + "/"


@functools.cache
def _resolve_dotted(path: str) -> Target:
    parts = path.split(".")
    cut = next((n for n in range(len(parts) - 1, 0, -1) if _spec(".".join(parts[:n])) is not None), 0)
    if cut == 0:
        raise TargetError(f"no module named {parts[0]!r} can be imported from here")
    module, rest = ".".join(parts[:cut]), parts[cut:]
    if len(rest) > 1:
        raise TargetError(f"{module} has no submodule {rest[0]!r}")
    found = _definition(module, rest[0])
    if found is None:
        return _imported(path, module, rest[0])
    definition_module, node = found
    parameters = _parameters(definition_module, node)
    return Target(path, definition_module.module, node.name, parameters)


def _imported(path: str, module: str, name: str) -> Target:
    if source(module) is not None and not _is_dynamic(module):
        names = ", ".join(sorted(n for n in _top_level_names(module) if not n.startswith("_")))
        raise TargetError(f"{module} defines no {name!r} (it has: {names})")
    try:
        value = getattr(importlib.import_module(module), name)
        signature = inspect.signature(value)
    except Exception as error:
        raise TargetError(f"importing {path} failed: {type(error).__name__}: {error}") from error
    parameters = [
        Parameter(p.name, UNKNOWN, REQUIRED if p.default is p.empty else p.default)
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    return Target(path, module, name, None if takes_any else tuple(parameters))


def _is_dynamic(module: str) -> bool:
    return "__getattr__" in _top_level_names(module)


Definition = ast.ClassDef | ast.FunctionDef


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements(statement.body + statement.orelse)
        elif isinstance(statement, ast.Try):
            handlers = [s for handler in statement.handlers for s in handler.body]
            yield from _statements(statement.body + handlers + statement.orelse + statement.finalbody)


def _top_level_names(module: str) -> set[str]:
    found = source(module)
    names: set[str] = set()
    for statement in _statements(found.tree.body) if found else ():
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            names.add(statement.name)
        elif isinstance(statement, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Assign):
            names.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    return names


def _definition(module: str, name: str) -> tuple[Source, Definition] | None:
    """Follow a name through re-exports to the class or function that it stands for."""
    found = source(module)
    if found is None:
        return None
    for statement in _statements(found.tree.body):
        if isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name == name:
            return found, statement
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _definition(_absolute(found, statement), alias.name)
    return None


def _absolute(origin: Source, statement: ast.ImportFrom) -> str:
    if statement.level == 0:
        return statement.module or ""
    base = origin.package.split(".")
    base = base[: len(base) - (statement.level - 1)]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def _imports(module: str) -> Iterator[str]:
    found = source(module)
    if found is None:
        return
    for node in ast.walk(found.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(found, node)
            for alias in node.names:
                yield _defining_module(origin, alias.name)


def _defining_module(origin: str, name: str) -> str:
    submodule = f"{origin}.{name}"
    if _spec(submodule) is not None:
        return submodule
    definition = _definition(origin, name)
    return definition[0].module if definition else origin


def _parameters(origin: Source, node: Definition) -> tuple[Parameter, ...] | None:
    if isinstance(node, ast.FunctionDef):
        return _signature(origin, node.args, skip=0)
    initialiser = next((s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
    if initialiser is not None:
        return _signature(origin, initialiser.args, skip=1)
    inherited: dict[str, Parameter] = {}
    for base in reversed(node.bases):
        of_base = _base_parameters(origin, base)
        if of_base is None:
            return None
        inherited |= {p.name: p for p in of_base}
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        inherited |= {p.name: p for p in _fields(origin, node)}
    return tuple(inherited.values())


_WITHOUT_PARAMETERS: Final = {"nn.Module", "torch.nn.Module", "Module", "object", "Protocol", "ABC", "abc.ABC", "Generic"}


def _base_parameters(origin: Source, base: ast.expr) -> tuple[Parameter, ...] | None:
    text = ast.unparse(base).split("[")[0]
    if text in _WITHOUT_PARAMETERS:
        return ()
    prefix, _, name = text.rpartition(".")
    if not prefix:
        found = _definition(origin.module, name)
    else:
        found = next((d for m in _imports(origin.module) if m.endswith(prefix) and (d := _definition(m, name))), None)
    return _parameters(*found) if found else None


def _signature(origin: Source, arguments: ast.arguments, skip: int) -> tuple[Parameter, ...] | None:
    if arguments.kwarg is not None:
        return None
    positional = (arguments.posonlyargs + arguments.args)[skip:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True)) + list(
        zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    return tuple(Parameter(a.arg, _annotation(a.annotation), _default(d)) for a, d in pairs)


def _fields(origin: Source, node: ast.ClassDef) -> Iterator[Parameter]:
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(statement.annotation):
            continue
        yield Parameter(statement.target.id, _annotation(statement.annotation), _default(statement.value))


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


_TYPES: Final[Mapping[str, Any]] = {
    **{name: getattr(builtins, name) for name in ("int", "float", "str", "bool", "list", "tuple", "dict", "set")},
    **{name: getattr(typing, name) for name in ("Literal", "Optional", "Union", "Annotated", "Any", "Final")},
    **{name: value for name, value in vars(parameter_types).items() if not name.startswith("_")},
}


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return UNKNOWN
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    try:
        return eval(text, {"__builtins__": {}}, dict(_TYPES))
    except Exception:
        return UNKNOWN  # a type of the author's own: checked when the class is constructed
