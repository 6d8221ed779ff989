"""From the options of a command line to what they name: a registry, a selection, a plan, a key."""

from __future__ import annotations

import argparse
from typing import Final

from suite.launch.view import queued
from suite.plan.plan import Plan, Selection, make_plan
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.records.launch import find_key
from suite.records.record import Store
from suite.registry.load import load
from suite.registry.registry import Registry

SELECTION: Final = ("benchmarks", "losses", "seeds")


def is_override(text: str) -> bool:
    """Return whether an argument is a Hydra override; ``infonce@temperature=0.2`` is the member of a sweep."""
    return "=" in text and "@" not in text.partition("=")[0]


def load_registry(options: argparse.Namespace) -> Registry:
    """Return the registry with the overrides, which are taken out of the selection.

    Raises
    ------
    InputError
        With every problem of the registry and of the overrides.
    """
    # `--benchmarks image seeds=0` puts the override behind the names
    overrides = list(getattr(options, "overrides", []))
    for name in SELECTION:
        texts = getattr(options, name, None) or []
        overrides += [text for text in texts if is_override(text)]
        if texts:
            setattr(options, name, [text for text in texts if not is_override(text)])
    return load(options.registry, overrides, getattr(options, "launcher", None))


def plan_of(options: argparse.Namespace) -> tuple[Registry, Plan, Store]:
    """Return the registry, the plan of the selected runs, and where their records are.

    Raises
    ------
    InputError
        With every problem of the registry, the overrides and the selection.
    """
    registry, store = load_registry(options), Store(options.out)
    return registry, make_plan(registry, selection_of(options), store, queued(store)), store


def selection_of(options: argparse.Namespace) -> Selection:
    """Return what the options select."""
    return Selection(
        tuple(options.benchmarks or ("all",)), tuple(options.losses or ()), tuple(options.seeds or ()), options.profile
    )


def found_key(store: Store, prefix: str) -> str:
    """Return the key of the run, recorded or queued, that a prefix names.

    Raises
    ------
    InputError
        If no key begins like that, or several do.
    """
    try:
        return find_key(store, prefix)
    except LookupError as error:
        raise InputError([Problem(COMMAND_LINE, prefix, str(error))]) from error
