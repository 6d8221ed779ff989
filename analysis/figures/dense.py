"""Figures of large studies: where an SVG would be large, what is drawn of data is pixels, and words stay text."""

from __future__ import annotations

import base64
import io
import re
from itertools import chain
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from PIL import Image

#: Figures whose lines, markers and areas would take about so many bytes as SVG are drawn as pixels.
LARGE: Final = 350_000
#: What an SVG takes for a vertex, for a marker, and for each thing that is drawn beside those.
VERTEX: Final = 22
MARKER: Final = 120
ONE: Final = 250
#: All that a figure has: a few looks, each at a few strengths.
COLOURS: Final = 256
SAID: Final = " Its lines and markers are too many for vector graphics, and are pixels; its words are text."
_PNG: Final = re.compile(rb"(data:image/png;base64,\s*)([A-Za-z0-9+/=]+)")


def draw_as_pixels(figure: Figure) -> bool:
    """Let lines, markers and areas be pixels in an SVG if it would be large with them; return whether it would."""
    if size(figure) < LARGE:
        return False
    for one in _data(figure):
        one.set_rasterized(True)
    return True


def size(figure: Figure) -> int:
    """Return about how many bytes of an SVG lines, markers and areas take."""
    return sum(map(_size, _data(figure)))


def _data(figure: Figure) -> list[Artist]:
    return [one for axis in figure.axes for one in chain(axis.lines, axis.collections, axis.patches)]


def _size(drawn: Artist) -> int:
    """Return about how many bytes of an SVG one of them takes."""
    if isinstance(drawn, Line2D):
        vertices = np.shape(drawn.get_xydata())[0]
        every = drawn.get_markevery()
        marks = vertices // int(every[1]) if isinstance(every, tuple) else vertices
        lined = VERTEX * vertices if drawn.get_linestyle() != "None" else 0
        return ONE + lined + (MARKER * marks if drawn.get_marker() not in ("", "None") else 0)
    if isinstance(drawn, Collection):
        return ONE + VERTEX * sum(map(_vertices, drawn.get_paths()))
    return ONE + VERTEX * _vertices(drawn.get_path()) if isinstance(drawn, Patch) else ONE


def _vertices(path: Path) -> int:
    return int(np.shape(path.vertices)[0])


def with_few_colours(svg: bytes) -> bytes:
    """Return an SVG whose images have a palette, which takes a quarter of their bytes."""
    return _PNG.sub(lambda found: found[1] + base64.b64encode(_with_palette(base64.b64decode(found[2]))), svg)


def _with_palette(png: bytes) -> bytes:
    content = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(content, format="png", optimize=True)
    return content.getvalue()
