"""What a class uses of the modules around it: the definitions that a run's fingerprint holds.

Of a user's module, that is the class, and what it names: functions, constants, classes, and what those name, through
imports; not the rest of the file. Told from the syntax tree, nothing is imported. What the tree cannot tell makes the
whole module count: star imports, ``__getattr__``, metaclasses, ``__init_subclass__``, and definitions that look names
up (``getattr``, ``globals``, ``eval`` ...). What a module does when it is imported (calls, loops, all but definitions)
counts for whatever imports it. Modules of the suite count as a whole: they are run by its own training, too, which no
class of a user's names.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from suite.provenance import modules
from suite.provenance.modules import Definition, Source

_LOOKUPS: Final = {"getattr", "setattr", "globals", "locals", "vars", "eval", "exec", "__import__", "importlib"}
"""Names whose use says that names are used that are not written down."""

_HARMLESS: Final = {
    *("TypeVar", "ParamSpec", "NewType", "namedtuple", "getLogger", "Path"),
    *("dict", "list", "set", "tuple", "frozenset", "range", "len", "float", "int", "str", "min", "max", "sum"),
}
"""Calls that change nothing but the name that their value is assigned to."""

_DECORATORS: Final = {
    *("dataclass", "cache", "lru_cache", "cached_property", "final", "override", "overload", "runtime_checkable"),
    *("total_ordering", "contextmanager", "wraps", "no_grad", "compile"),
}
"""Decorators that note what they decorate nowhere."""


def code(module: str, name: str) -> Mapping[str, str]:
    """Return what a class or function uses: sha256 by ``module`` or, for a part of one, by ``module:name``.

    What a module does at its import is ``module:``.

    Raises
    ------
    TargetError
        If a file is not Python.
    """
    walk = _Walk()
    walk.use(module, name)
    return walk.found()


def module_of(entry: str) -> str:
    """Return the module of an entry of a fingerprint."""
    return entry.partition(":")[0]


def named(entry: str) -> str:
    """Return an entry as people read it: ``my_losses.Cubic``, or ``my_losses at its import``."""
    module, is_part, name = entry.partition(":")
    return module if not is_part else f"{module}.{name}" if name else f"{module} at its import"


def is_file(entry: str, digest: str) -> bool:
    """Whether an entry is that of a whole module, which is still the same; `digest` may be a beginning of it."""
    found = None if ":" in entry else modules.source(entry)
    return found is not None and found.sha256.startswith(digest)


class _Walk:
    """The modules and the parts of modules that have been met."""

    def __init__(self) -> None:
        self._whole: dict[str, str] = {}
        self._parts: dict[tuple[str, str], str] = {}
        self._touched: set[str] = set()

    def found(self) -> dict[str, str]:
        parts = {f"{m}:{n}": digest for (m, n), digest in self._parts.items() if m not in self._whole and digest}
        return dict(sorted((self._whole | parts).items()))

    def use(self, module: str, name: str) -> None:
        """Meet a name of a module, and what it uses."""
        found = modules.source(module)
        if found is None or module in self._whole or (module, name) in self._parts:
            return
        bound = _bindings(module).get(name, [])
        if module.partition(".")[0] == "suite" or _is_unclear(module) or not bound:
            self.take(module)
            return
        self.touch(module)
        self._parts[module, name] = ""
        self._follow(found, name, [one for one in bound if not isinstance(one, ast.Import | ast.ImportFrom)])
        for statement in bound:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(found, statement, name)

    def take(self, module: str) -> None:
        """Meet a whole module, and all that it imports."""
        self._whole |= dict(modules.closure(module))

    def touch(self, module: str) -> None:
        """Meet what a module does when it is imported, and what it imports."""
        found = modules.source(module)
        if found is None or module in self._touched or module.partition(".")[0] == "suite":
            return
        self._touched.add(module)
        self._follow(found, "", _effects(module))
        for statement in modules.statements(found.tree.body):
            for imported in _imported(found, statement):
                self.touch(imported)

    def _follow(self, origin: Source, name: str, statements: list[ast.stmt]) -> None:
        """Count statements as the part `name` of a module, and use what they name."""
        if not statements:
            return
        names = {node.id for one in statements for node in ast.walk(one) if isinstance(node, ast.Name)}
        if names & _LOOKUPS:
            self.take(origin.module)
            return
        text = "\n".join(_text(origin, statement) for statement in statements)
        self._parts[origin.module, name] = hashlib.sha256(text.encode()).hexdigest()
        for used in sorted(names & _bindings(origin.module).keys() - {name}):
            self.use(origin.module, used)
        for node in (node for one in statements for node in ast.walk(one)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._import(origin, node)

    def _import(self, origin: Source, statement: ast.Import | ast.ImportFrom, name: str | None = None) -> None:
        """Use what a statement imports, or the one name that it binds."""
        for alias in statement.names:
            if name not in (None, alias.asname or alias.name.partition(".")[0], alias.asname or alias.name):
                continue
            if isinstance(statement, ast.Import):
                self.take(alias.name)
                continue
            module = origin.origin_of(statement)
            if modules.spec(f"{module}.{alias.name}") is not None:
                self.take(f"{module}.{alias.name}")
            elif module.partition(".")[0] == "suite":
                self.take(modules.defining_module(module, alias.name))
            else:
                self.use(module, alias.name)


@functools.cache
def _bindings(module: str) -> Mapping[str, list[ast.stmt]]:
    """Return, for every name at the top of a module, the statements at its top that bind it."""
    found = modules.source(module)
    bound: dict[str, list[ast.stmt]] = {}
    for statement in found.tree.body if found else ():
        for name in _bound(statement):
            bound.setdefault(name, []).append(statement)
    return bound


def _bound(statement: ast.stmt) -> set[str]:
    names: set[str] = set()
    for one in modules.statements([statement]):
        if isinstance(one, Definition | ast.AsyncFunctionDef):
            names.add(one.name)
        elif isinstance(one, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in one.names}
        else:
            stored = (node for node in ast.walk(one) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
            names |= {node.id for node in stored}
    return names


@functools.cache
def _is_unclear(module: str) -> bool:
    """Whether a module's syntax tree does not tell what its names stand for."""
    found = modules.source(module)
    for node in ast.walk(found.tree) if found else ():
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            return True
        if isinstance(node, ast.ClassDef) and any(keyword.arg == "metaclass" for keyword in node.keywords):
            return True
        if isinstance(node, ast.FunctionDef) and node.name in ("__init_subclass__", "__getattr__", "__set_name__"):
            return node.name != "__getattr__" or node in (found.tree.body if found else ())
    return False


@functools.cache
def _effects(module: str) -> list[ast.stmt]:
    """Return the statements at the top of a module that may do more than bind names."""
    found = modules.source(module)
    return [one for one in found.tree.body if _does_something(found, one)] if found else []


def _does_something(origin: Source, statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass):
        return False
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        decorators = (decorator for decorator in statement.decorator_list)
        return any(_last_name(one) not in _DECORATORS for one in decorators) or _notes_itself(origin, statement)
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return not all(isinstance(target, ast.Name) for target in targets) or _calls(statement.value)
    if isinstance(statement, ast.If) and ast.unparse(statement.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
        "__name__ == '__main__'",
    ):
        return False
    if isinstance(statement, ast.If | ast.Try):
        inner = [one for one in modules.statements([statement]) if not isinstance(one, ast.If | ast.Try)]
        return any(_does_something(origin, one) for one in inner) or _calls(getattr(statement, "test", None))
    return True


def _notes_itself(origin: Source, node: ast.stmt) -> bool:
    """Whether making a class calls something: a base that hears of it, or a call in its body."""
    if not isinstance(node, ast.ClassDef):
        return False
    in_body = any(isinstance(one, ast.Expr) and not isinstance(one.value, ast.Constant) for one in node.body)
    return in_body or _is_heard(origin, node)


def _is_heard(origin: Source, node: ast.ClassDef) -> bool:
    """Whether a base of a class has ``__init_subclass__``; the suite's own only check the class that they hear of."""
    for base in node.bases:
        found = modules.definition(origin.module, base.id) if isinstance(base, ast.Name) else None
        if found is None or found[0].module.partition(".")[0] == "suite" or not isinstance(found[1], ast.ClassDef):
            continue
        hears = any(isinstance(one, ast.FunctionDef) and one.name == "__init_subclass__" for one in found[1].body)
        if hears or _is_heard(found[0], found[1]):
            return True
    return False


def _calls(value: ast.expr | None) -> bool:
    calls = (node for node in ast.walk(value) if isinstance(node, ast.Call | ast.NamedExpr)) if value else iter(())
    return any(isinstance(node, ast.NamedExpr) or _last_name(node) not in _HARMLESS for node in calls)


def _last_name(node: ast.expr) -> str:
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]


def _imported(origin: Source, statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        module = origin.origin_of(statement)
        yield module
        yield from (f"{module}.{alias.name}" for alias in statement.names if modules.spec(f"{module}.{alias.name}"))


def _text(origin: Source, statement: ast.stmt) -> str:
    """Return the lines of a statement, its decorators included."""
    decorators = [decorator.lineno for decorator in getattr(statement, "decorator_list", ())]
    first = min([statement.lineno, *decorators])
    return "\n".join(origin.lines[first - 1 : statement.end_lineno])
