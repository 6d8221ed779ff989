"""Search spaces: what may be tuned, and the configurations that are drawn from it before anything runs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import ConfigDict

from suite.registry.launchers import STRICT

if TYPE_CHECKING:
    import numpy as np

Owner = Literal["loss", "benchmark"]
TRIAL: Final = "trial"
"""What members are named by: ``infonce@trial=3``."""
MOST_AXES: Final = 16
"""Columns of the sequence, of which each search takes the first: so losses share the draws of a host's settings."""
LEAST_ROWS: Final = 1024
#: Of drawn numbers, so that they can be typed.
DIGITS: Final = 3


@dataclass(frozen=True)
class Range:
    """An interval to draw from, as the registry has it.

    Attributes
    ----------
    low, high : float
    scale : str
        ``log``: evenly in the logarithm.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    low: float
    high: float
    scale: Literal["log", "linear"] = "linear"


@dataclass(frozen=True)
class Axis:
    """One parameter of a loss, or setting of a benchmark, with the values that it may take.

    Attributes
    ----------
    name : str
    of : str
        ``loss`` or ``benchmark``.
    space : Range or tuple
        An interval, or a list of values.
    is_whole : bool
        Whether it is a whole number.
    """

    name: str
    of: Owner
    space: Range | tuple[Any, ...]
    is_whole: bool = False

    def at(self, share: float) -> Any:
        """Return the value at a share of the axis, in [0, 1): to three significant digits, within the interval."""
        if not isinstance(self.space, Range):
            return self.space[int(share * len(self.space))]
        low, high = self.space.low, self.space.high
        value = low * (high / low) ** share if self.space.scale == "log" else low + (high - low) * share
        near = round(value) if self.is_whole else float(f"{value:.{DIGITS}g}")
        return type(near)(min(max(near, low), high))


@dataclass(frozen=True)
class Overrides:
    """What a member of a sweep or of a search sets otherwise than declared.

    Attributes
    ----------
    parameters : mapping
        Of the loss.
    settings : mapping
        Of the benchmark.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def draw(axes: Sequence[Axis], number: int, taken: Iterable[Overrides] = ()) -> list[Overrides]:
    """Draw configurations, none of them twice, by scrambled Sobol points.

    The first of them do not depend on how many are drawn: to draw more adds some.

    Parameters
    ----------
    axes : sequence of Axis
        At most :data:`MOST_AXES`.
    number : int
        How many; fewer come back where the axes hold no more.
    taken : iterable of Overrides
        What may not be drawn: the declared configuration.
    """
    if not axes or number < 1:
        return []
    # settings of the host come first, so that all losses of a benchmark are tried at the same ones
    ordered = sorted(axes, key=lambda axis: (axis.of, axis.name))
    found: list[Overrides] = []
    seen = {repr(_values(ordered, one)) for one in taken}
    for row in _points(max(LEAST_ROWS, 16 * number)):
        drawn = [(axis, axis.at(float(share))) for axis, share in zip(ordered, row, strict=False)]
        values = [value for _, value in drawn]
        if repr(values) not in seen:
            seen.add(repr(values))
            parts = ({axis.name: value for axis, value in drawn if axis.of == of} for of in ("loss", "benchmark"))
            found.append(Overrides(*parts))
            if len(found) == number:
                break
    return found


def _values(axes: Sequence[Axis], of: Overrides) -> list[Any]:
    return [(of.parameters if axis.of == "loss" else of.settings).get(axis.name) for axis in axes]


@functools.cache
def _points(rows: int) -> np.ndarray:
    """Return the first points of the sequence, at least so many: array [rows, MOST_AXES]."""
    from scipy.stats import qmc  # a second of import, that only those pay who look into a search

    points: np.ndarray = qmc.Sobol(MOST_AXES, scramble=True, seed=0).random_base2((rows - 1).bit_length())
    return points
