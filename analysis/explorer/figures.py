"""Figures of the loss explorer: png and svg, readable in print and for colour-blind readers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.explorer.losses import SCENE, Scene

#: A curve that rises to more than twice what most of every curve needs leaves its panel, with a note on how far.
MOST: Final = 0.8
STEEP: Final = 2.0

EIGHTHS: Final = ((0.0, "0"), (0.125, "π/8"), (0.25, "π/4"), (0.375, "3π/8"), (0.5, "π/2"))


@dataclass(frozen=True)
class _Panel:
    title: str
    x: str
    y: str
    x_label: str
    y_label: str
    sign: float = 1.0


def maps_figure(frame: pd.DataFrame) -> Figure | None:
    """Draw logit and effective temperature against the cosine; None if no loss is a map from similarity to logit.

    Parameters
    ----------
    frame : DataFrame
        From :func:`analysis.explorer.losses.curves`.
    """
    if frame["logit"].isna().all():
        return None
    cosine = "cosine $s$"
    panels = (
        _Panel("Map", "similarity", "logit", cosine, r"logit $\ell(s)$"),
        _Panel(
            "Temperature of the logit (secant)",
            "similarity",
            "secant_temperature",
            cosine,
            r"$s \,/\, (\ell(s) - \ell(0))$",
        ),
        _Panel(
            "Temperature of the gradient (local)",
            "similarity",
            "local_temperature",
            cosine,
            r"$1 \,/\, (\partial \ell / \partial s)$",
        ),
    )
    figure, axes = _figure(1, 3, (10.5, 3.9), frame, panels)
    low, high = (bound(axis.get_ylim()[i] for axis in axes[1:]) for i, bound in enumerate((min, max)))
    for axis in axes[1:]:
        axis.set_ylim(low, high)
    return figure


def gradients_figure(frame: pd.DataFrame, scene: Scene = SCENE) -> Figure:
    """Draw the pull on the positive and the push on the hardest negative, by cosine and by angle, aligned at the right.

    Parameters
    ----------
    frame : DataFrame
        From :func:`analysis.explorer.losses.curves`.
    scene : Scene
        What the gradients were taken in.
    """
    frame = frame[frame["angle"] < math.pi / 2]
    others = f"{scene.others} negatives at $s$ = 0"
    pull = f"hardest negative at $s$ = {scene.hardest:g}, {others}"
    push = f"positive at $s$ = {scene.positive:g}, {others}"
    panels = (
        _Panel(
            f"Pull on the positive, by its cosine\n({pull})",
            "similarity",
            "positive_by_similarity",
            "cosine $s_+$ of the positive",
            r"$-\partial L \,/\, \partial s_+$",
            -1.0,
        ),
        _Panel(
            f"Pull on the positive, by its angle\n({pull})",
            "angle",
            "positive_by_angle",
            r"angle $\theta_+ = \arccos\, s_+$ of the positive",
            r"$\partial L \,/\, \partial \theta_+$",
        ),
        _Panel(
            f"Push on the hardest negative, by its cosine\n({push})",
            "similarity",
            "negative_by_similarity",
            "cosine $s_-$ of the hardest negative",
            r"$\partial L \,/\, \partial s_-$",
        ),
        _Panel(
            f"Push on the hardest negative, by its angle\n({push})",
            "angle",
            "negative_by_angle",
            r"angle $\theta_- = \arccos\, s_-$ of the hardest negative",
            r"$-\partial L \,/\, \partial \theta_-$",
            -1.0,
        ),
    )
    return _figure(2, 2, (10.5, 8.0), frame, panels)[0]


def _figure(
    rows: int, columns: int, size: tuple[float, float], frame: pd.DataFrame, panels: tuple[_Panel, ...]
) -> tuple[Figure, list[Axes]]:
    labels = list(frame["loss"].unique())
    palette = dict(zip(labels, sns.color_palette("colorblind", len(labels)), strict=True))
    with sns.axes_style("whitegrid"):
        figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    axes = list(grid.flat)
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, frame.assign(**{panel.y: panel.sign * frame[panel.y]}), panel, palette)
    handles = {label: handle for handle, label in zip(*axes[0].get_legend_handles_labels(), strict=True)}
    for axis in axes:
        axis.get_legend().remove()
    drawn = [label for label in labels if frame.loc[frame["loss"] == label, panels[0].y].notna().any()]
    shown = [handles[label] for label in drawn]
    figure.legend(shown, drawn, loc="outside lower center", ncols=min(len(drawn), 3), frameon=False, handlelength=3.5)
    return figure, axes


def _draw(axis: Axes, frame: pd.DataFrame, panel: _Panel, palette: dict[str, Any]) -> None:
    # a loss looks the same in every figure, also in one where others have no curve
    style: dict[str, Any] = {"hue": "loss", "style": "loss", "hue_order": list(palette), "style_order": list(palette)}
    finite = frame.replace([np.inf, -np.inf], np.nan)
    sns.lineplot(finite, x=panel.x, y=panel.y, ax=axis, palette=palette, estimator=None, linewidth=1.8, **style)
    axis.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    axis.title.set_fontsize("medium")
    if panel.x == "angle":
        axis.set_xlim(math.pi / 2, 0.0)
        axis.set_xticks([share * math.pi for share, _ in EIGHTHS], [text for _, text in EIGHTHS])
    else:
        axis.set_xlim(min(0.0, round(float(frame[panel.x].min()))), 1.0)
    _limit(axis, finite, panel, palette)


def _limit(axis: Axes, frame: pd.DataFrame, panel: _Panel, palette: dict[str, Any]) -> None:
    """Choose the panel's range, and say of each curve that leaves it how far it goes."""
    by_loss = frame.groupby("loss", sort=False)[panel.y]
    most = max(0.0, float(by_loss.quantile(MOST).max()))
    largest = by_loss.max()
    steep = largest[(largest > STEEP * most) & (most > 0.0) & (panel.y != "logit")]
    high = 1.25 * max(most, largest.drop(steep.index).max()) if len(steep) else 1.05 * max(0.0, largest.max())
    low = 1.05 * min(0.0, (by_loss.quantile(1.0 - MOST) if len(steep) else by_loss.min()).min())
    axis.set_ylim(low, high if high > low else 1.0)
    for number, label in enumerate(map(str, steep.index)):
        curve = frame[frame["loss"] == label]
        beyond = curve.loc[curve[panel.y] > high, panel.x]
        at = curve[panel.x].to_numpy()[curve[panel.y].argmax()]
        digits = f"{float(f'{largest[label]:.4g}'):,.10g}"
        is_left = axis.transLimits.transform((beyond.mean(), 0.0))[0] < 0.5
        axis.annotate(
            f"up to {digits} at {at:.7g}" if panel.x == "similarity" else f"up to {digits} at {at:.2g}",
            (beyond.max() if is_left == (panel.x == "similarity") else beyond.min(), 1.0),
            (4 if is_left else -4, -4 - 12 * number),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=palette[label],
            ha="left" if is_left else "right",
            va="top",
            size="small",
        )


def write_figures(frame: pd.DataFrame, folder: Path, scene: Scene = SCENE) -> list[Path]:
    """Write ``maps`` and ``gradients`` into a folder, and return their files; the same curves give the same bytes.

    Parameters
    ----------
    frame : DataFrame
        From :func:`analysis.explorer.losses.curves`.
    folder : Path
    scene : Scene
        What the gradients were taken in.
    """
    mpl.rcParams["svg.hashsalt"] = "suite"
    written = []
    for name, figure in (("maps", maps_figure(frame)), ("gradients", gradients_figure(frame, scene))):
        if figure is None:
            continue
        for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None})):
            path = folder / f"{name}{suffix}"
            figure.savefig(path, dpi=150, metadata=metadata)
            written.append(path)
        plt.close(figure)
    return written
