"""What a ``_target_`` takes, read from its source without importing it.

Importing a loss imports torch, which costs seconds; ``plan`` has to check constructor arguments at once. So classes are
found and their parameters read with :mod:`ast`. What source cannot tell (an extension module, a dynamic attribute) is
imported after all. The same walk gives the files that a run's code consists of.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import functools
import importlib
import importlib.metadata
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from suite import parameters as parameter_types
from suite.problems import choices, did_you_mean
from suite.provenance import definitions, modules
from suite.provenance.modules import Definition, Source, TargetError

__all__ = ["REQUIRED", "UNKNOWN", "Parameter", "Target", "TargetError", "code", "resolve", "short_names"]

UNKNOWN: Final = object()
"""A default or an annotation that source does not tell."""

REQUIRED: Final = object()
"""A parameter without a default."""

_METHODS: Final = {"suite.losses": ("loss", "forward"), "suite.benchmarks": ("benchmark", "task")}


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
    # Defaults come from users' source and may be lists: a target must not be hashed by them.
    parameters: tuple[Parameter, ...] | None = field(hash=False)


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
        Saying which part of the path does not exist, or that it is not what the group holds.
    """
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", path):
        raise TargetError(f"{path!r} will not do: expected a dotted path such as {group}.Name")
    if "." not in path:
        known = short_names(group)
        if path not in known:
            raise TargetError(
                f"{path!r} is neither a dotted path nor an entry point of {group}; {choices(path, known)}"
            )
        path = known[path]
    target = _resolve_dotted(path)
    kind, method = _METHODS[group]
    found = modules.definition(target.module, target.name)
    if found is not None and isinstance(found[1], ast.ClassDef) and not _may_have(*found, method):
        raise TargetError(f"{path} is not a {kind}: it has no method {method!r}")
    return target


@functools.cache
def short_names(group: str) -> Mapping[str, str]:
    """Return the entry points of a group: short name to dotted path."""
    return {e.name: e.value.replace(":", ".") for e in importlib.metadata.entry_points(group=group)}


def code(*targets: Target) -> Mapping[str, str]:
    """Return the fingerprint of what these targets run: sha256 by module, or by ``module:name`` for parts of one.

    Of the suite's modules, the closure of imports from the defining modules, each imported name followed to the module
    that defines it; of a user's, the definitions that are used (:mod:`suite.provenance.definitions`). Only first-party
    code counts (not the standard library, not site-packages), and the ``__init__`` of a package only where it defines a
    name that is used: adding a loss to ``suite.losses``, or to a module of one's own, changes no other loss.
    """
    return _code(*((target.module, target.name) for target in targets))


@functools.cache
def _code(*names: tuple[str, str]) -> Mapping[str, str]:
    found = dict(sorted(pair for module, name in names for pair in definitions.code(module, name).items()))
    return {
        entry: digest
        for entry, digest in found.items()
        if entry == (whole := definitions.module_of(entry)) or whole not in found
    }


@functools.cache
def _resolve_dotted(path: str) -> Target:
    parts = path.split(".")
    cut = next((n for n in range(len(parts) - 1, 0, -1) if modules.spec(".".join(parts[:n])) is not None), 0)
    if cut == 0:
        meant = did_you_mean(parts[0], ["suite", *modules.submodules("")])
        raise TargetError(f"no module named {parts[0]!r} can be imported from here{'; ' if meant else ''}{meant}")
    module, rest = ".".join(parts[:cut]), parts[cut:]
    found = modules.definition(module, rest[0]) if len(rest) == 1 else None
    if found is not None:
        return Target(path, found[0].module, found[1].name, _parameters(*found))
    if modules.spec(path) is not None:
        raise TargetError(f"{path} is a module, not a class; {choices('', modules.public_definitions(path))}")
    names = modules.bound_names(module)
    if len(rest) > 1 and rest[0] not in names:
        raise TargetError(f"{module} has no submodule {rest[0]!r}; {choices(rest[0], modules.submodules(module))}")
    if len(rest) > 1:
        raise TargetError(f"{module}.{rest[0]} is not a module: expected a class at the top of a module")
    is_told = modules.source(module) is not None and not names & {"__getattr__", "*"}
    if is_told and rest[0] not in names:
        raise TargetError(f"{module} defines no {rest[0]!r}; {_offered(module, rest[0])}")
    return _imported(path, module, rest[0])


def _offered(module: str, wrong: str) -> str:
    offered, inner = modules.public_definitions(module), modules.submodules(module)
    return choices(wrong, offered if did_you_mean(wrong, offered) or not did_you_mean(wrong, inner) else inner)


def _imported(path: str, module: str, name: str) -> Target:
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        raise TargetError(f"importing {module} failed: {type(error).__name__}: {error}") from error
    if not hasattr(imported, name):
        public = sorted(n for n in dir(imported) if not n.startswith("_"))
        raise TargetError(f"{module} defines no {name!r}; {did_you_mean(name, public)}".rstrip("; "))
    value = getattr(imported, name)
    if not callable(value):
        raise TargetError(f"{path} is not a class or function: it is {value!r:.60}")
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return Target(path, module, name, None)
    parameters = [
        Parameter(p.name, UNKNOWN, REQUIRED if p.default is p.empty else p.default)
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    return Target(path, module, name, None if takes_any else tuple(parameters))


def _may_have(origin: Source, node: Definition, method: str) -> bool:
    """Whether a class has a method, or has a base whose source is not known."""
    if any(isinstance(s, ast.FunctionDef) and s.name == method for s in modules.statements(node.body)):
        return True
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        text = ast.unparse(base).split("[")[0]
        found = _base(origin, text)
        if text not in _WITHOUT_PARAMETERS and (found is None or _may_have(*found, method)):
            return True
    return False


def has_flag(target: Target, name: str) -> bool:
    """Whether a class, or a class that it derives from, assigns True to a name in its body."""
    found = modules.definition(target.module, target.name)
    return found is not None and _has_flag(*found, name)


def _has_flag(origin: Source, node: Definition, name: str) -> bool:
    for statement in modules.statements(node.body):
        for assigned, value in modules.assigned(statement):
            if assigned == name:
                return isinstance(value, ast.Constant) and value.value is True
    bases = [_base(origin, ast.unparse(base).split("[")[0]) for base in getattr(node, "bases", ())]
    return any(_has_flag(*base, name) for base in bases if base is not None)


def _parameters(origin: Source, node: Definition) -> tuple[Parameter, ...] | None:
    if isinstance(node, ast.FunctionDef):
        return _signature(origin, node.args, skip=0)
    initialiser = next((s for s in node.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"), None)
    if initialiser is not None:
        return _signature(origin, initialiser.args, skip=1)
    decorators = [ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list]
    is_dataclass = any(name in ("dataclass", "dataclasses.dataclass") for name in decorators)
    if decorators and not is_dataclass:
        return None  # a decorator may give the class any constructor
    inherited: dict[str, Parameter] = {}
    for base in reversed(node.bases):
        of_base = _base_parameters(origin, base)
        if of_base is None:
            return None
        inherited |= {p.name: p for p in of_base}
    if is_dataclass:
        inherited |= {p.name: p for p in _fields(origin, node)}
    return tuple(inherited.values())


_WITHOUT_PARAMETERS: Final = {
    "nn.Module",
    "torch.nn.Module",
    "Module",
    "object",
    "Protocol",
    "ABC",
    "abc.ABC",
    "Generic",
}


def _base_parameters(origin: Source, base: ast.expr) -> tuple[Parameter, ...] | None:
    text = ast.unparse(base).split("[")[0]
    found = _base(origin, text)
    if found is not None:
        return _parameters(*found)
    return () if text in _WITHOUT_PARAMETERS else None


def _base(origin: Source, text: str) -> tuple[Source, Definition] | None:
    """Find the definition of a base class: a name, or an attribute of an imported module."""
    prefix, _, name = text.rpartition(".")
    if not prefix:
        return modules.definition(origin.module, name)
    offering = [m for m in modules.imports(origin.module) if f".{m}".endswith(f".{prefix}")]
    return next((found for m in offering if (found := modules.definition(m, name)) is not None), None)


def _signature(origin: Source, arguments: ast.arguments, skip: int) -> tuple[Parameter, ...] | None:
    if arguments.kwarg is not None:
        return None
    positional = (arguments.posonlyargs + arguments.args)[skip:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True)) + list(
        zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )
    return tuple(Parameter(a.arg, _annotation(origin, a.annotation), _default(origin, d)) for a, d in pairs)


def _fields(origin: Source, node: ast.ClassDef) -> Iterator[Parameter]:
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        annotation, value = ast.unparse(statement.annotation), statement.value
        if "ClassVar" in annotation or annotation.endswith("KW_ONLY"):
            continue
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "dataclasses.field"):
            options = {keyword.arg: keyword.value for keyword in value.keywords}
            if "init" in options and ast.unparse(options["init"]) == "False":
                continue
            default = _field_default(origin, options)
        else:
            default = _default(origin, value)
        yield Parameter(statement.target.id, _annotation(origin, statement.annotation), default)


def _field_default(origin: Source, options: Mapping[str | None, ast.expr]) -> Any:
    if "default_factory" not in options:
        return _default(origin, options.get("default"))
    factory = options["default_factory"]
    if isinstance(factory, ast.Lambda):
        return _default(origin, factory.body)
    return {"list": [], "dict": {}, "tuple": ()}.get(ast.unparse(factory), UNKNOWN)


def _default(origin: Source, node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    if isinstance(node, ast.Name):  # a constant of the module
        values = [v for s in modules.statements(origin.tree.body) for n, v in modules.assigned(s) if n == node.id]
        node = values[0] if len(values) == 1 and values[0] is not None else node
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN


_TYPES: Final[Mapping[str, Any]] = {
    # no set: in JSON it is a list whose order, and so the key of a run, would be another one in every process
    **{name: getattr(builtins, name) for name in ("int", "float", "str", "bool", "list", "tuple", "dict")},
    **{name: getattr(typing, name) for name in ("Literal", "Optional", "Union", "Annotated", "Any", "Final")},
    **{name: getattr(collections.abc, name) for name in ("Sequence", "Mapping")},
    **{name: value for name, value in vars(parameter_types).items() if not name.startswith("_")},
}
_TYPE_MODULES: Final = ("typing", "collections.abc", "annotated_types", "suite.parameters")


@functools.cache
def _own_names(module: str) -> frozenset[str]:
    """Return the names that a module binds to something else than the types that annotations are read with."""
    found = modules.source(module)
    statements = list(modules.statements(found.tree.body)) if found else []
    of_types = [s for s in statements if isinstance(s, ast.ImportFrom) and s.level == 0 and s.module in _TYPE_MODULES]
    return modules.bound_names(module) - {a.name for s in of_types for a in s.names if a.asname in (None, a.name)}


def _annotation(origin: Source, node: ast.expr | None) -> Any:
    if node is None:
        return UNKNOWN
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    text = text.removeprefix("InitVar[").removesuffix("]") if text.startswith("InitVar[") else text
    own = _own_names(origin.module)
    try:
        return eval(text, {"__builtins__": {}}, {name: value for name, value in _TYPES.items() if name not in own})
    except Exception:
        return UNKNOWN  # a type of the author's own: checked when the class is constructed
