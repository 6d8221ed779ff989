"""Evidence to tables, and tables to text, Markdown, LaTeX, CSV and HTML."""

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """`from analysis import tables` is this folder once a module of it was imported, and the function either way."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return :func:`analysis.tables.frames.tables` of the arguments."""
        from analysis.tables import frames

        return frames.tables(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
