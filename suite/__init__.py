"""Reproducibility benchmark suite for contrastive losses.

Its names are imported when they are asked for (PEP 562): ``import suite`` imports neither torch nor anything else that
takes time. ``__init__.pyi`` declares them to type checkers. docs/python.md shows their use.
"""

import importlib
from typing import Any

_MODULES = {
    "suite.losses": [
        "AdapTau",
        "DCL",
        "DCLW",
        "DHEL",
        "DySTreSS",
        "FocalInfoNCE",
        "ISogCLR",
        "InfoNCE",
        "LearnableTemperature",
        "Loss",
        "MACL",
        "MonotoneTemperature",
        "PPS",
        "RelativeSigLIP",
        "SigLIP",
        "TemperatureFree",
        "TemperatureSchedule",
    ],
    "suite.pairs": ["Pairs", "cross_view", "labelled", "two_view", "with_queue"],
    "suite.notebook.campaign": ["load_registry", "make_plan", "run"],
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("contrastive-suite")
    if name not in _HOMES:
        raise AttributeError(f"module 'suite' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
