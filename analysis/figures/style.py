"""How a row looks, in every figure the same: a colour, a marker and a line style, so that greyscale loses nothing."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
import matplotlib.style
import seaborn as sns
from matplotlib.lines import Line2D

Dashes = str | tuple[float, tuple[float, ...]]

#: Figures are drawn at the size at which they are printed: a page's text width and a column, in inches.
PAGE: Final = 7.2
COLUMN: Final = 3.5
DPI: Final = 150

_COLOURS: Final = sns.color_palette("colorblind").as_hex()
_BLUE, _ORANGE, _GREEN, _VERMILION, _PINK, _TAN, _, _GREY, _, _SKY = _COLOURS
_BLACK: Final = "#222222"
_LONG: Final = (0.0, (7.0, 2.0))
_DASH: Final = (0.0, (3.5, 1.5))
_DOT: Final = (0.0, (1.0, 1.3))
_DASH_DOT: Final = (0.0, (5.0, 1.5, 1.0, 1.5))
_DASH_DOT_DOT: Final = (0.0, (5.0, 1.5, 1.0, 1.5, 1.0, 1.5))
_SPARSE: Final = (0.0, (2.0, 3.0))


@dataclass(frozen=True)
class Look:
    """How a row is drawn.

    Attributes
    ----------
    colour : str
    marker : str
    line : str or (offset, dashes)
    """

    colour: str
    marker: str
    line: Dashes

    @property
    def marks(self) -> dict[str, Any]:
        """What ``Axes.plot`` is told to draw markers alone."""
        return {"color": self.colour, "marker": self.marker, "linestyle": ""}

    @property
    def curve(self) -> dict[str, Any]:
        """What ``Axes.plot`` is told to draw a line with markers."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.line}


_INFONCE: Final = Look(_BLACK, "o", "-")
_LOOKS: Final = {
    "infonce": _INFONCE,
    "infonce (tau declared)": _INFONCE,
    "infonce (tau validated)": Look(_BLUE, "s", _DASH),
    "infonce (tau median)": Look(_SKY, "v", _DOT),
    "infonce (tuned)": Look(_BLUE, "v", _DASH_DOT),
    "temperature_free": Look(_VERMILION, "D", _DASH_DOT),
    "temperature_free (tuned)": Look(_ORANGE, "d", _LONG),
    "dystress": Look(_GREEN, "^", _LONG),
    "dystress (tuned)": Look(_TAN, "^", _DOT),
    "monotone_temperature": Look(_PINK, "P", "-"),
    "temperature_schedule": Look(_ORANGE, "X", _DASH),
    "isogclr": Look(_TAN, "<", _LONG),
    "macl": Look(_GREY, ">", _DOT),
    "learnable_temperature": Look(_BLUE, "p", _DASH_DOT_DOT),
    "dcl": Look(_VERMILION, "h", _SPARSE),
    "dclw": Look(_GREEN, "X", _DASH_DOT_DOT),
    "siglip": Look(_PINK, "d", _DOT),
    "adap_tau": Look(_SKY, "p", _LONG),
}
_OTHERS: Final = tuple(
    Look(colour, marker, line)
    for line in (_SPARSE, _DASH, _DASH_DOT)
    for marker in "pPXdh<>"
    for colour in (_ORANGE, _PINK, _TAN, _GREY, _SKY, _GREEN)
)


#: So many trials more do not change how a row looks.
_TRIALS: Final = re.compile(r"\(tuned, \d+ trials\)")


#: How rows look that only the study knows whose figure is drawn.
_STUDY: ContextVar[Mapping[str, Look]] = ContextVar("_STUDY", default=MappingProxyType({}))


def look(row: str) -> Look:
    """Return how a row looks: by its name, so that it does not depend on which others are there.

    Inside :func:`styled` no two rows of the study look alike, as long as there are looks: one that the suite does not
    know may give way to another whose name comes before its own.
    """
    name = _TRIALS.sub("(tuned)", row)
    return _LOOKS.get(name) or _STUDY.get().get(name) or _OTHERS[_place(name)]


def apart(rows: Iterable[str]) -> dict[str, Look]:
    """Return looks of those rows that the suite does not know: no two alike.

    If possible, none in both colour and marker. Each has the look of its name, or the next one that is free.
    """
    names = sorted({_TRIALS.sub("(tuned)", row) for row in rows})
    taken = [_LOOKS[name] for name in names if name in _LOOKS]
    found: dict[str, Look] = {}
    for name in names:
        if name not in _LOOKS:
            ours = [_OTHERS[(_place(name) + step) % len(_OTHERS)] for step in range(len(_OTHERS))]
            marks = {(one.colour, one.marker) for one in taken}
            free = [one for one in ours if one not in taken]
            shown = [one for one in free if (one.colour, one.marker) not in marks]
            found[name] = (shown or free or ours)[0]
            taken.append(found[name])
    return found


def _place(name: str) -> int:
    return zlib.crc32(name.encode()) % len(_OTHERS)


def handle(row: str, *, marked: bool = True, lined: bool = True) -> Line2D:
    """Return a legend's handle of a row."""
    drawn = look(row).curve | ({} if marked else {"marker": ""}) | ({} if lined else {"linestyle": ""})
    return Line2D([], [], **drawn, label=row)


@contextmanager
def styled(rows: Iterable[str] = ()) -> Iterator[None]:
    """Draw and save in the suite's style, whatever the reader's own matplotlibrc says; and these rows apart."""
    token = _STUDY.set(apart(rows))
    try:
        with mpl.style.context(["default", _settings()]):
            yield
    finally:
        _STUDY.reset(token)


def _settings() -> dict[str, Any]:
    return {
        **sns.axes_style("whitegrid"),
        # of the fonts the first comes with matplotlib: the layout is the same on every machine
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
        "font.size": 8.0,
        # letters as wide as in an svg or a pdf, which know no hinting; and a tenth of the time to draw them
        "text.hinting": "none",
        "text.parse_math": False,  # names are what users call them, whatever dollars are in them
        "axes.titlesize": 8.0,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7.0,
        "ytick.labelsize": 7.0,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "axes.linewidth": 0.6,
        "axes.titlepad": 4.0,
        "axes.titley": 1.0,  # else every draw looks for the highest thing above a panel: a seventh of the time
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.0,
        "savefig.facecolor": "white",
        "savefig.dpi": DPI,
        # as text: a tenth of the size, can be searched and read aloud; the fonts named above are wider than what
        # replaces them where they are missing, so that nothing runs into anything
        "svg.fonttype": "none",
        "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
        "svg.hashsalt": "suite",
    }
