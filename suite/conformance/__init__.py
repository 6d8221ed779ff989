"""What every loss has to fulfil, checked: ``python -m suite check-loss``, and :func:`assert_conforms` in a test.

The checks are small and on small batches: all of them together take seconds. Each says what it found, where, and what
to do about it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from suite.conformance import gradient, training, values
from suite.conformance.conventions import CONVENTIONS
from suite.conformance.subject import Failed, Subject, Unsupported, told
from suite.losses import Loss
from suite.problems import choices

__all__ = ["CHECKS", "Result", "assert_conforms", "check"]


@dataclass(frozen=True)
class Result:
    """What came of one check.

    Attributes
    ----------
    name : str
    state : str
        ``pass``; ``fail``; ``not supported``: the loss says that it is not defined for this, which is no failure;
        ``not checked``: what it builds on has failed.
    detail : str
        What was found, where, and what to do.
    """

    name: str
    state: Literal["pass", "fail", "not supported", "not checked"]
    detail: str


FINITE: Final[dict[str, Callable[[Subject], str]]] = {
    f"finite: {name}": functools.partial(values.is_finite, convention=name) for name in CONVENTIONS
}
CHECKS: Final[dict[str, Callable[[Subject], str]]] = {
    "scalar": values.is_a_scalar_with_a_gradient,
    **FINITE,
    "roles": values.ignores_strangers,
    "order": values.ignores_order,
    "rotation": values.ignores_rotation,
    "repetition": values.repeats,
    "gradient": gradient.equals_central_differences,
    "precision": values.is_precise,
    "blocks": values.equals_its_blocks,
    "parameters": training.trains_its_parameters,
    "checkpoint": training.survives_a_checkpoint,
    "compile": training.compiles,
}
"""Name to check: a function that returns what it found, or raises Failed or Unsupported."""


def check(make: Callable[[], Loss], names: Collection[str] = CHECKS.keys()) -> Sequence[Result]:
    """Check a loss.

    Parameters
    ----------
    make : callable () -> Loss
        Makes a fresh instance, as ``functools.partial(MyLoss, scale=2.0)`` does; called often.
    names : collection of str
        Which of :data:`CHECKS` to make; ``scalar``, which all others build on, is always made.

    Returns
    -------
    sequence of Result
        One for each check, in the order of :data:`CHECKS`.

    Raises
    ------
    ValueError
        If there is no such check.
    """
    if unknown := sorted(set(names) - CHECKS.keys()):
        raise ValueError("; ".join(f"there is no check {name!r}; {choices(name, CHECKS)}" for name in unknown))
    first, *rest = (name for name in CHECKS if name == "scalar" or name in names)
    try:
        subject = Subject(make)
        results = [_result(first, subject)]
    except Failed as error:
        results = [Result(first, "fail", str(error))]
    for name in rest:
        if results[0].state == "fail":
            results.append(Result(name, "not checked", f"needs {first!r} to pass"))
        elif not subject.conventions and name not in FINITE:
            results.append(Result(name, "not checked", "needs finite values for random rows"))
        else:
            results.append(_result(name, subject))
    return results


def _result(name: str, subject: Subject) -> Result:
    try:
        return Result(name, "pass", CHECKS[name](subject))
    except Unsupported as error:
        return Result(name, "not supported", str(error))
    except Failed as error:
        return Result(name, "fail", str(error))
    except Exception as error:
        return Result(name, "fail", told(error))


def assert_conforms(make: Callable[[], Loss], names: Collection[str] = CHECKS.keys()) -> None:
    """Check a loss, for a test of it.

    Parameters
    ----------
    make : callable () -> Loss
    names : collection of str
        As for :func:`check`.

    Raises
    ------
    AssertionError
        Naming every check that failed, and why.
    """
    failed = [f"{result.name}: {result.detail}" for result in check(make, names) if result.state == "fail"]
    if failed:
        raise AssertionError("the loss does not conform\n" + "\n".join(failed))
