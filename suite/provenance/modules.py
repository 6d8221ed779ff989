"""Source files of modules, found and followed without importing anything."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

Definition = ast.ClassDef | ast.FunctionDef


class TargetError(ValueError):
    """A ``_target_`` that leads nowhere, or to a file that is not Python."""


@dataclass(frozen=True)
class Source:
    """A module's file and syntax tree."""

    module: str
    file: Path
    is_package: bool
    tree: ast.Module
    sha256: str

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of the file as syntax trees count them: a form feed, say, ends none, as it would for splitlines."""
        return self.file.read_text(encoding="utf-8").split("\n")

    @property
    def package(self) -> str:
        """The package that relative imports start from."""
        return self.module if self.is_package else self.module.rpartition(".")[0]

    def origin_of(self, statement: ast.ImportFrom) -> str:
        """Return the absolute name of the module that a ``from ... import`` reads."""
        if statement.level == 0:
            return statement.module or ""
        base = self.package.split(".")
        base = base[: len(base) - (statement.level - 1)]
        return ".".join([*base, *([statement.module] if statement.module else [])])


@functools.cache
def source(module: str) -> Source | None:
    """Return the source of a first-party module without importing it or its packages; None for any other.

    Raises
    ------
    TargetError
        If the file is not Python.
    """
    found = spec(module)
    if found is None or not found.origin or not found.origin.endswith(".py") or not _first_party(module, found.origin):
        return None
    content = Path(found.origin).read_bytes()
    try:
        tree = ast.parse(content, found.origin)
    except SyntaxError as error:
        file = os.path.relpath(found.origin)
        where = found.origin if file.startswith("..") else file
        raise TargetError(f"{where}:{error.lineno} is not Python: {error.msg}") from error
    is_package = found.submodule_search_locations is not None
    return Source(module, Path(found.origin), is_package, tree, hashlib.sha256(content).hexdigest())


@functools.cache
def spec(module: str) -> importlib.machinery.ModuleSpec | None:
    """Return where a module lies, or None."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        found = (finder.find_spec(module, None) for finder in sys.meta_path)  # editable installs bring finders
        return next((one for one in found if one is not None), None)
    parent_spec = spec(parent)
    if parent_spec is None or parent_spec.submodule_search_locations is None:
        return None
    return _spec_below(module, parent_spec.submodule_search_locations)


def _spec_below(module: str, folders: Iterable[str]) -> importlib.machinery.ModuleSpec | None:
    """Do what PathFinder does; of a folder without ``__init__.py`` that one would import the package above it."""
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        found = finder.find_spec(module) if finder is not None else None
        if found is not None and found.loader is not None:
            return found
        portions += (found and found.submodule_search_locations) or ()
    if not portions:
        return None
    namespace = importlib.machinery.ModuleSpec(module, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace


def submodules(module: str) -> list[str]:
    """Return the names of the modules in a package; without a name, of those in the current directory."""
    found = spec(module) if module else None
    folders = list(found.submodule_search_locations or ()) if found else [] if module else [os.getcwd()]
    return sorted(info.name for info in pkgutil.iter_modules(folders))


_STANDARD_LIBRARY: Final = str(Path(ast.__file__).parent) + "/"


def _first_party(module: str, file: str) -> bool:
    if module.partition(".")[0] == "suite":  # installed or not
        return True
    parts = Path(file).parts
    return "site-packages" not in parts and "dist-packages" not in parts and not file.startswith(_STANDARD_LIBRARY)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module or class, those under ``if`` and ``try`` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from statements(statement.body + statement.orelse)
        elif isinstance(statement, ast.Try):
            handlers = [s for handler in statement.handlers for s in handler.body]
            yield from statements(statement.body + handlers + statement.orelse + statement.finalbody)


def assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the plain names that a statement assigns, with their values."""
    if isinstance(statement, ast.Assign):
        yield from ((target.id, statement.value) for target in statement.targets if isinstance(target, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        yield statement.target.id, statement.value


@functools.cache
def bound_names(module: str) -> frozenset[str]:
    """Return the names at the top of a module; ``*`` among them if it takes over another module's."""
    found = source(module)
    names: set[str] = set()
    for statement in statements(found.tree.body) if found else ():
        if isinstance(statement, Definition):
            names.add(statement.name)
        elif isinstance(statement, ast.ImportFrom | ast.Import):
            names.update(alias.asname or alias.name for alias in statement.names)
        else:
            names.update(name for name, _ in assigned(statement))
    return frozenset(names)


def public_definitions(module: str) -> list[str]:
    """Return the classes and functions that a module defines; a package's re-exports count as its own."""
    found = source(module)
    names = [s.name for s in statements(found.tree.body) if isinstance(s, Definition)] if found else []
    if found is not None and found.is_package:
        names += [name for name in bound_names(module) if definition(module, name) is not None]
    return sorted({name for name in names if not name.startswith("_")})


def definition(module: str, name: str) -> tuple[Source, Definition] | None:
    """Follow a name through re-exports and aliases to the class or function that it stands for."""
    return _definition(module, name, frozenset())


def _definition(module: str, name: str, seen: frozenset[tuple[str, str]]) -> tuple[Source, Definition] | None:
    found = source(module)
    if found is None or (module, name) in seen:
        return None
    seen |= {(module, name)}
    for statement in statements(found.tree.body):
        if isinstance(statement, Definition) and statement.name == name:
            return found, statement
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return _definition(found.origin_of(statement), alias.name, seen)
        for alias_name, value in assigned(statement):
            if alias_name == name and isinstance(value, ast.Name):
                return _definition(module, value.id, seen)
    return None


@functools.cache
def imports(module: str) -> tuple[str, ...]:
    """Return the modules that a first-party module imports, each name followed to the module that defines it."""
    found = source(module)
    modules: dict[str, None] = {}
    for node in _all_statements(found.tree) if found else ():
        if isinstance(node, ast.Import):
            modules.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and found is not None:
            origin = found.origin_of(node)
            modules.update(dict.fromkeys(defining_module(origin, alias.name) for alias in node.names))
    return tuple(modules)


def _all_statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements below a node, those of functions included: ``ast.walk`` without the expressions.

    Nine nodes of ten are in expressions, and every command looks at all of the suite's modules.
    """
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        for below in getattr(tree, name, None) or ():
            yield below
            yield from _all_statements(below)


def defining_module(origin: str, name: str) -> str:
    """Return the module that a name imported from `origin` comes from: a submodule, or where it is defined."""
    submodule = f"{origin}.{name}"
    if spec(submodule) is not None:
        return submodule
    followed = definition(origin, name)
    return followed[0].module if followed else origin


@functools.cache
def closure(module: str) -> tuple[tuple[str, str], ...]:
    """Return (module, sha256) of a first-party module and of all that it imports, in order of their names."""
    modules: set[str] = set()
    pending = [module]
    while pending:
        one = pending.pop()
        if one not in modules and source(one) is not None:
            modules.add(one)
            pending.extend(imports(one))
    return tuple((one, found.sha256) for one in sorted(modules) if (found := source(one)) is not None)
