"""What ends a command: problems of what the user gave, gathered and located, and data that cannot be had."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

COMMAND_LINE = "command line"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: where (``file:line`` or the command line), at which key, and what to do."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class InputError(Exception):
    """All problems of a registry, a launcher file and a command line at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems), key=_natural)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def report(self) -> str:
        """Return what people get to read."""
        count = len(self.problems)
        heading = f"error: {count} problem{'s' if count > 1 else ''} in what was given; nothing was done"
        return "\n".join([heading, *(f"  {problem}" for problem in self.problems)])


class DataError(Exception):
    """Data cannot be had as described; the message says what, where and what to do."""

    failure_class = "data"


def _natural(problem: Problem) -> tuple[str, int, str, str]:
    file, _, line = problem.where.rpartition(":")
    return (*((file, int(line)) if line.isdigit() else (problem.where, 0)), problem.key, problem.message)


def did_you_mean(wrong: object, valid: Iterable[object]) -> str:
    """Return ``did you mean 'x'?`` if something valid is close, else nothing."""
    names = [str(name) for name in valid]
    same = [name for name in names if name.lower() == str(wrong).lower()]
    close = same or difflib.get_close_matches(str(wrong), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def choices(wrong: object, valid: Iterable[object]) -> str:
    """Return a did-you-mean and the list of valid choices, for the end of a message."""
    names = [str(name) for name in valid]
    listed = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{did_you_mean(wrong, names)} Valid: {listed or 'none'}".strip()


def shown(value: object) -> str:
    """Return a value as it would stand in a YAML file, with quotes around text."""
    if isinstance(value, str):
        return repr(value)
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


_EXPECTED: Final[Mapping[str, str]] = {
    "dict_type": "expected keys and values, as in {key: value}",
    "dataclass_type": "expected keys and values, as in {key: value}",
    "list_type": "expected a list, as in [a, b]",
    "tuple_type": "expected a list, as in [a, b]",
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "none_required": "expected null",
    "finite_number": "expected a finite number",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "missing": "is missing",
    "missing_argument": "is missing",
}
_BOUNDS: Final = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
_ABOUT_THE_KEY: Final = ("missing", "missing_argument", "too_short")


def refusal(details: Iterable[Mapping[str, Any]], value: object) -> str:
    """Return one sentence on why pydantic refuses `value`: the errors of a union's members are joined by "or".

    Parameters
    ----------
    details : iterable of mapping
        What ``ValidationError.errors()`` says of one place.
    value : object
        What stands there.
    """
    details = list(details)
    if len(details) == 1 and details[0]["type"] in _ABOUT_THE_KEY:
        return _EXPECTED[details[0]["type"]]
    reasons = list(dict.fromkeys(_reason(detail, value) for detail in details))
    if len(reasons) > 1:
        reasons = [reasons[0], *(reason.removeprefix("expected ") for reason in reasons[1:])]
    return f"{shown(value)} will not do: {' or '.join(reasons)}"


def _reason(detail: Mapping[str, Any], value: object) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        name, sign = _BOUNDS[kind]
        return f"must be {sign} {context[name]:g}"
    if kind == "literal_error":
        meant = did_you_mean(value, re.findall(r"'([^']*)'", context["expected"]))
        return f"expected {context['expected']}" + (f"; {meant}" if meant else "")
    if kind == "value_error":
        return str(context["error"])
    if kind in ("int_type", "float_type") and isinstance(value, str) and re.fullmatch(r"[-+.\deE]+", value):
        return f"{_EXPECTED[kind]}, without quotes"
    return _EXPECTED.get(kind) or detail["msg"][0].lower() + detail["msg"][1:]
