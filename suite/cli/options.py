"""From the options of a command line to what they name: a registry, a selection, a plan, a key."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from typing import Final

from suite.launch.view import queued
from suite.plan.plan import Plan, Selection, make_plan
from suite.problems import COMMAND_LINE, InputError, Problem, choices
from suite.records.launch import find_key
from suite.records.record import DEFAULT, Store
from suite.registry.load import load, shipped
from suite.registry.places import relative
from suite.registry.registry import Registry
from suite.text.masking import masked

SELECTION: Final = ("benchmarks", "losses", "seeds")
DEFAULT_PROFILE: Final = "mini"
DEFAULTS: Final[Mapping[str, object]] = {"out": DEFAULT, "profile": DEFAULT_PROFILE}


def is_override(text: str) -> bool:
    """Return whether an argument is a Hydra override; ``infonce@temperature=0.2`` is the member of a sweep."""
    return "=" in text and "@" not in text.partition("=")[0]


def load_registry(options: argparse.Namespace) -> Registry:
    """Return the registry with the overrides, which are taken out of the selection, and say which one it is.

    Raises
    ------
    InputError
        With every problem of the registry and of the overrides.
    """
    registry = _loaded(options)
    say_registry(registry, options)
    return registry


def _loaded(options: argparse.Namespace) -> Registry:
    # `--benchmarks image seeds=0` puts the override behind the names
    overrides = list(getattr(options, "overrides", []))
    for name in SELECTION:
        texts = getattr(options, name, None) or []
        overrides += [text for text in texts if is_override(text)]
        if texts:
            setattr(options, name, [text for text in texts if not is_override(text)])
    registry = load(options.registry, overrides, getattr(options, "launcher", None))
    options.overrides = list(registry.given)
    if any(text.partition("=")[0].lstrip("+") == "experiment" for text in overrides):
        options.experiment = registry.document.experiment
    if getattr(options, "slice", None) is not None:
        _take_slice(registry, options)
    return registry


def _take_slice(registry: Registry, options: argparse.Namespace) -> None:
    """Select all that ``--slice`` names, but for the parts that other options name; say which these are.

    Raises
    ------
    InputError
        If there is no such slice.
    """
    slices = registry.document.slices
    if options.slice not in slices:
        raise InputError(
            [Problem(COMMAND_LINE, "--slice", f"no slice {options.slice!r}; {choices(options.slice, slices)}")]
        )
    for name, declared in slices[options.slice].parts().items():
        if getattr(options, name):
            said = f"--{name} replaces the {name} of slice {options.slice}: {' '.join(declared)}"
            print(f"warning   {said}", file=sys.stderr)
        else:
            setattr(options, name, declared[0] if name == "profile" else declared)


def _say_what_slices_leave(registry: Registry, options: argparse.Namespace) -> None:
    """Say where an option names a slice that selects more than the option takes from it."""
    for option in SELECTION if hasattr(options, "slice") else ():
        for name in registry.document.slices.keys() & set(getattr(options, option) or ()):
            others = [other for other in registry.document.slices[name].parts() if other != option]
            if others and name != options.slice:
                text = f"--{option} {name} takes the {option} of slice {name} alone; --slice {name} takes its"
                print(f"warning   {text} {' and '.join(others)}, too", file=sys.stderr)


def say_registry(registry: Registry, options: argparse.Namespace) -> None:
    """Print which registry is in use and what of a slice is not, on standard error; nothing where nobody reads."""
    if not getattr(options, "json", False) and not getattr(options, "quiet", False):
        is_own = registry.file != shipped() / registry.file.name
        name = relative(registry.file) if is_own else "the suite's own"
        print(f"registry  {name} (experiment {registry.document.experiment})", file=sys.stderr)
        _say_what_slices_leave(registry, options)


def carried(options: argparse.Namespace, *names: str) -> str:
    """Return the options that a further command has to be given, too: those that are not at their defaults.

    Parameters
    ----------
    options : Namespace
    *names : str
        Which ones the further command takes, as in ``registry`` and ``tracking_uri``; ``overrides`` are those of the
        registry, ``experiment`` is one that an override names.
    """
    words = []
    for name in names:
        value = getattr(options, name, None)
        if name == "overrides":
            words += [masked(text) for text in value or ()]
        elif value is not None and value != DEFAULTS.get(name):
            words += [f"--{name.replace('_', '-')}", masked(str(value))]
    return "".join(f" {shlex.quote(word)}" for word in words)


def plan_of(options: argparse.Namespace) -> tuple[Registry, Plan, Store]:
    """Return the registry, the plan of the selected runs, and where their records are.

    Raises
    ------
    InputError
        With every problem of the registry, the overrides and the selection.
    """
    registry, store = _loaded(options), Store(options.out)
    made = make_plan(registry, selection_of(options), store, queued(store))
    say_registry(registry, options)
    return registry, made, store


def selection_of(options: argparse.Namespace) -> Selection:
    """Return what the options select; the profile that holds without one is noted in them, for what is printed."""
    options.profile = options.profile or DEFAULT_PROFILE
    return Selection(
        tuple(options.benchmarks or ("all",)), tuple(options.losses or ()), tuple(options.seeds or ()), options.profile
    )


def found_key(store: Store, word: str) -> str:
    """Return the key of the run, recorded or queued, that a name or the beginning of a key means.

    Raises
    ------
    InputError
        If it means none, or several.
    """
    try:
        return find_key(store, word)
    except LookupError as error:
        raise InputError([Problem(COMMAND_LINE, word, str(error))]) from error


def agreed(question: str) -> bool:
    """Ask; anything but yes, or nobody there to answer, means no."""
    if not sys.stdin.isatty():
        print(f"{question} Nobody is there to answer: --yes removes them")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
