"""What a registry claims before anything is run, and what others have published: the words of a verdict.

Plain data, read by :mod:`suite.registry.registry` and kept in the manifest of a bundle of runs, so that a verdict is
about what was claimed when the runs were exported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Gt, MinLen
from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from suite.registry.launchers import STRICT

Relation = Literal["better", "not_worse"]
Failures = Literal["worst", "exclude"]
"""What a failed seed counts as: the figure of the untrained encoder, else of chance, and no better than the worst seed
of the loss that did not fail; or nothing, which then forbids every word in favour of the loss that failed."""


@dataclass(frozen=True)
class Trials:
    """The best by validation of the first trials of a search: at least two, as the first is what is declared."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    trials: Annotated[int, Gt(1)]


Named = Literal["declared", "validated", "median", "tuned"]
At = Annotated[
    Annotated[Named, Tag("word")] | Annotated[Trials, Tag("count")],
    Discriminator(lambda value: "count" if isinstance(value, dict | Trials) else "word"),
]
"""Which configuration of a loss: with its parameters as the registry declares them (the host method's temperature,
say); of its sweep the one that validation chose, or the one in the middle of the grid on validation; of its search the
best by validation of all trials, or of the first so many."""

RELATIONS: Final[Mapping[Relation, str]] = {"better": "is better than", "not_worse": "is not worse than"}


@dataclass(frozen=True)
class Claim:
    """One loss against another.

    Attributes
    ----------
    loss, than : str
        Names of losses of the registry, or of members of their sweeps.
    relation : str
        ``better`` or ``not_worse`` (by more than the margin of the benchmark's metric); ``is`` in the registry.
    at, loss_at : str or Trials
        Which configuration of `than`, and of `loss`.
    source : str
        Who says so.
    benchmarks : tuple of str or None
        What it is about; every benchmark of the registry without.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    loss: Annotated[str, MinLen(1)]
    relation: Annotated[Relation, Field(alias="is")]
    than: Annotated[str, MinLen(1)]
    at: At = "declared"
    source: str = ""
    loss_at: At = "declared"
    benchmarks: Annotated[tuple[Annotated[str, MinLen(1)], ...], MinLen(1)] | None = None

    def in_words(self) -> str:
        """Return ``temperature_free is not worse than infonce (tuned, 8 trials)``, with the rows' own words.

        What is declared needs no word for the loss that the claim is about, nor has a member of a sweep another one.
        """
        loss = self.loss if self.loss_at == "declared" else f"{self.loss} ({_word(self.loss_at)})"
        than = self.than if "@" in self.than else f"{self.than} ({_word(self.at)})"
        where = "" if self.benchmarks is None else f" on {', '.join(self.benchmarks)}"
        return f"{loss} {RELATIONS[self.relation]} {than}{where}"


def _word(at: At) -> str:
    return f"tuned, {at.trials} trials" if isinstance(at, Trials) else at


@dataclass(frozen=True)
class Metric:
    """A benchmark's primary metric.

    Attributes
    ----------
    name : str
        As the benchmark's evaluation names it, without ``val/`` or ``test/``.
    goal : str
        ``maximise`` or ``minimise``.
    margin : float
        The largest difference that is of no practical interest, in the metric's unit.
    margin_reason : str
        Why it is of no interest. Printed with every verdict; it does not enter a run's key.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Annotated[str, MinLen(1)]
    goal: Literal["maximise", "minimise"]
    margin: Annotated[float, Gt(0)]
    margin_reason: str = ""


@dataclass(frozen=True)
class Published:
    """A figure from a paper or from its code, in the unit of this suite's metric.

    Attributes
    ----------
    loss : str
        The loss of the registry that it is a figure of.
    metric : str
        As the benchmark's evaluation names it.
    value : float
    source : str
        Where it stands, for a reader to look it up.
    differs : str
        How the published protocol differs from this benchmark's; empty if it does not.
    std : float or None
        Standard deviation over the repetitions behind it.
    profile : str or None
        The profile that follows the published protocol; None if there is none, so that nothing here compares.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    loss: Annotated[str, MinLen(1)]
    metric: Annotated[str, MinLen(1)]
    value: float
    source: Annotated[str, MinLen(1)]
    differs: str = ""
    std: Annotated[float, Gt(0)] | None = None
    profile: Literal["smoke", "mini", "paper"] | None = None


@dataclass(frozen=True)
class Margin:
    """The primary metric of a benchmark and the largest difference in it that is of no practical interest.

    Attributes
    ----------
    metric, goal : str
    margin : float
    reason : str
        Why a smaller difference is of no interest; empty if nothing is said.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    metric: Annotated[str, MinLen(1)]
    goal: Literal["maximise", "minimise"]
    margin: Annotated[float, Gt(0)]
    reason: str = ""


@dataclass(frozen=True)
class Labels:
    """What readers of a table see in place of names of the registry; what has no label keeps its name.

    Attributes
    ----------
    losses, benchmarks : mapping of name to label
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    losses: dict[str, str] = field(default_factory=dict)
    benchmarks: dict[str, str] = field(default_factory=dict)

    def put_into(self, text: str) -> str:
        """Return a text of a table with labels in place of names.

        A loss is named anywhere, but in a command; a benchmark, whose name may be a common word, only where a text
        begins with it and ends or goes on after a colon. A member keeps what it sets: ``InfoNCE@temperature=0.2``.
        """
        if self.losses and "python -m" not in text:
            names = "|".join(map(re.escape, sorted(self.losses, key=len, reverse=True)))
            text = re.sub(rf"(?<![\w@/.=-])({names})(?![\w/-]|\.\w)", lambda found: self.losses[found[1]], text)
        name, colon, rest = text.partition(": ")
        return self.benchmarks.get(name, name) + colon + rest


@dataclass(frozen=True)
class Declared:
    """Everything that a registry says about results.

    Attributes
    ----------
    baseline : str
        The loss that others are compared with; empty if nothing is declared.
    claims : mapping of name to Claim
    published : mapping of benchmark to list of Published
    margins : mapping of benchmark to Margin
    failures : str
        What a failed seed counts as.
    searched : mapping of benchmark to list of str
        Settings of it that trials of a search set otherwise than others, which makes no other benchmark of it. These
        are no claim: what says the same but for them says the same.
    labels : Labels
        No claim, either.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    baseline: str = ""
    claims: dict[str, Claim] = field(default_factory=dict)
    published: dict[str, list[Published]] = field(default_factory=dict)
    margins: dict[str, Margin] = field(default_factory=dict)
    failures: Failures = "worst"
    searched: dict[str, list[str]] = field(default_factory=dict, compare=False)
    labels: Labels = field(default_factory=Labels, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as :meth:`from_json` takes them; labels only where there are any."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.labels == Labels():
            del plain["labels"]
        return plain

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Declared:
        """Read what :meth:`to_json` has written.

        Raises
        ------
        ValueError
            If it is not of that shape.
        """
        return TypeAdapter(cls).validate_json(json.dumps(content))
