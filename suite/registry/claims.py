"""What a registry claims before anything is run, and what others have published: the words of a verdict.

Plain data, read by :mod:`suite.registry.registry` and kept in the manifest of a bundle of runs, so that a verdict is
about what was claimed when the runs were exported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from annotated_types import Gt, MinLen
from pydantic import ConfigDict, Field, TypeAdapter

from suite.registry.launchers import STRICT

Relation = Literal["better", "not_worse"]
Failures = Literal["worst", "exclude"]
"""What a failed seed counts as: the figure of the untrained encoder, else of chance; or nothing, which then forbids
every word in favour of the loss that failed."""
At = Literal["declared", "validated", "median"]
"""Which member of a loss's sweep: with its parameters as the registry declares them (the host method's temperature,
say), the one that validation chose, or the one in the middle of the grid on validation."""

RELATIONS: Final[Mapping[Relation, str]] = {"better": "is better than", "not_worse": "is not worse than"}


@dataclass(frozen=True)
class Claim:
    """One loss against another, on every benchmark of the registry.

    Attributes
    ----------
    loss, than : str
        Names of losses of the registry.
    relation : str
        ``better`` or ``not_worse`` (by more than the margin of the benchmark's metric); ``is`` in the registry.
    at : str
        Which member of the sweep of `than`.
    source : str
        Who says so.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    loss: Annotated[str, MinLen(1)]
    relation: Annotated[Relation, Field(alias="is")]
    than: Annotated[str, MinLen(1)]
    at: At = "declared"
    source: str = ""

    def in_words(self) -> str:
        """Return ``temperature_free is not worse than infonce (validated)``, with the rows' own labels."""
        return f"{self.loss} {RELATIONS[self.relation]} {self.than} ({self.at})"


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
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    baseline: str = ""
    claims: dict[str, Claim] = field(default_factory=dict)
    published: dict[str, list[Published]] = field(default_factory=dict)
    margins: dict[str, Margin] = field(default_factory=dict)
    failures: Failures = "worst"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as :meth:`from_json` takes them."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Declared:
        """Read what :meth:`to_json` has written.

        Raises
        ------
        ValueError
            If it is not of that shape.
        """
        return TypeAdapter(cls).validate_json(json.dumps(content))
