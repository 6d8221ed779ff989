"""Logged results to tables. Reads MLflow, and of the run folders the outcomes of test items alone; trains nothing.

Its names are imported when they are asked for (PEP 562). ``__init__.pyi`` declares them to type checkers.
"""

import importlib
from typing import Any

__all__ = ["load", "tables", "verdicts"]


def __getattr__(name: str) -> Any:
    if name == "tables":  # the folder, which can be called
        return importlib.import_module("analysis.tables")
    if name not in __all__:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module("analysis.tables.frames"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
