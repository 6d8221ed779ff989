"""The reference table of losses, written from the classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

import suite.losses
from analysis.tables.render import MARKDOWN
from suite.losses import AnchorLoss, Loss
from suite.provenance.targets import short_names
from suite.registry.named_loss import GROUP

HEADER: Final = ("Loss", "Name in the registry", "Loss of an anchor", "Parameters", "Source", "Needs")

INTRODUCTION: Final = r"""# Losses

Every loss takes [`Pairs`](../../suite/pairs/pairs.py) and returns the mean over the anchors. $`s_+`$ is the cosine of
an anchor $`i`$ to its positive and $`s_j`$ that to a candidate; sums run over the anchor's candidates, its positive
among them unless $`j \neq +`$ leaves it out. $`\mathrm{sg}[\cdot]`$ passes no gradient on, $`N`$ is the number of
anchors, $`M`$ that of an anchor's negatives, $`\bar s_+`$ the mean over the batch, $`T`$ a period in epochs and $`e`$
the epoch.

Written by `python -m analysis losses --out docs` from the classes of [`suite.losses`](../../suite/losses/__init__.py).
"""


def public_losses() -> list[type[Loss]]:
    """Return the losses that ``suite.losses`` offers, by name; what losses derive from is none."""
    offered = (getattr(suite.losses, name) for name in suite.losses.__all__)
    losses = [one for one in offered if isinstance(one, type) and issubclass(one, Loss)]
    return sorted((one for one in losses if one.__module__ != Loss.__module__), key=lambda one: one.__name__.lower())


def markdown() -> str:
    """Return the table of :func:`public_losses`, with its introduction, as Markdown for GitHub."""
    names = {path: name for name, path in short_names(GROUP).items()}
    lines = [HEADER, ("---",) * len(HEADER)]
    for cls in public_losses():
        short = names.get(f"{GROUP}.{cls.__name__}")
        lines.append(
            (
                f"`{cls.__name__}`",
                f"`{short}`" if short else "",
                # within $` `$ Markdown leaves backslashes and underscores alone; a bar would end the cell
                "$`" + cls.equation.replace("|", r"\vert ") + "`$" if cls.equation else "",
                "<br>".join(_parameters(cls)),
                _linked(MARKDOWN.sub(r"\\\1", cls.source)),
                MARKDOWN.sub(r"\\\1", "; ".join(_needs(cls))),
            )
        )
    return INTRODUCTION + "\n" + "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def write_markdown(folder: Path) -> Path:
    """Write the table as ``losses.md`` into a folder, and return its path."""
    path = folder / "losses.md"
    path.write_text(markdown(), encoding="utf-8")
    return path


def _parameters(cls: type[Loss]) -> Iterator[str]:
    for parameter in inspect.signature(cls, eval_str=True).parameters.values():
        required = parameter.default is parameter.empty
        text = f"`{parameter.name}`" if required else f"`{parameter.name}={parameter.default!r}`"
        if get_origin(parameter.annotation) is Literal:
            others = [value for value in get_args(parameter.annotation) if required or value != parameter.default]
            text += "".join(f" or `{value!r}`" for value in others)
        yield text


def _needs(cls: type[Loss]) -> Iterator[str]:
    if cls.needs:
        yield cls.needs
    if issubclass(cls, AnchorLoss) and cls.needs_one_positive:
        yield "exactly one positive an anchor"


def _linked(source: str) -> str:
    linked = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", source)
    return re.sub(r"(?<!/)\b(openreview\.net/\S+?)(?=[\s,;)]|$)", r"<https://\1>", linked)
