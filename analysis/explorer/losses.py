"""The loss explorer: what a loss makes of a cosine, computed by the loss itself.

Curves are taken by automatic differentiation in float64 from the objects that train, so that stop-gradients and clamps
show as they act.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from torch import Tensor

from suite.losses import LogitLoss, Loss
from suite.losses.steps import Training
from suite.pairs import Pairs
from suite.problems import COMMAND_LINE, InputError, Problem
from suite.registry.named_loss import NamedLoss, find

HEADLINE: Final = (
    "suite.losses.InfoNCE@temperature=0.1",
    "suite.losses.InfoNCE@temperature=0.5",
    "suite.losses.TemperatureFree",
    "suite.losses.DySTreSS",
    "suite.losses.MonotoneTemperature",
)

#: A degree apart, closer at the ends; not 0, where maps are clamped, nor the right angle, where the secant is 0 / 0.
ANGLES: Final = tuple(
    math.radians(degree) for degree in (0.1, 0.2, 0.3, *(0.5 + n for n in range(180)), 179.7, 179.8, 179.9)
)

KEY_COSINE: Final = 0.999

COLUMNS: Final = (
    "loss",
    "angle",
    "similarity",
    "logit",
    "secant_temperature",
    "local_temperature",
    "positive_by_similarity",
    "positive_by_angle",
    "negative_by_similarity",
    "negative_by_angle",
)

COMMA: Final = re.compile(r",(?![^\[]*\])")  # between names, not within a parameter's list


@dataclass(frozen=True)
class Scene:
    """The batch that gradients are taken in: its anchors are all alike, so that one stands for all of them.

    Attributes
    ----------
    positive : float
        Cosine of the positive while the hardest negative moves.
    hardest : float
        Cosine of the hardest negative while the positive moves.
    others : int
        Further negatives, all at cosine 0.
    """

    positive: float = 0.8
    hardest: float = 0.5
    others: int = 254


SCENE: Final = Scene()


def named(texts: Iterable[str], registry: Path | None = None) -> dict[str, Loss]:
    """Make the losses that a user names, under the label that they are drawn with.

    Parameters
    ----------
    texts : iterable of str
        ``NAME`` or ``NAME@parameter=value@...``, NAME as :func:`suite.registry.named_loss.find` takes it; or several of
        these with commas between them.
    registry : Path, optional
        As :func:`suite.registry.named_loss.find` takes it.

    Returns
    -------
    dict
        Label to loss, in evaluation mode, in float64, prepared for a training of one sample. What was named twice is
        there once.

    Raises
    ------
    InputError
        With the problems of all names.
    """
    losses: dict[str, Loss] = {}
    problems: list[Problem] = []
    for text in (name for listed in texts for name in COMMA.split(listed)):
        name, *parameters = text.split("@")
        try:
            found = find(name, parameters, registry)
            loss = _at_rest(found.factory()(), text)
        except InputError as error:
            problems += error.problems
        else:
            losses[_label(found, loss)] = loss
    if problems:
        raise InputError(problems)
    return losses


def _label(found: NamedLoss, loss: Loss) -> str:
    cls = type(loss)
    name = cls.__name__ if cls.__module__.startswith("suite.losses.") else f"{cls.__module__}.{cls.__name__}"
    defaults = {parameter.name: parameter.default for parameter in found.target.parameters or ()}
    own = [f"{key}={value}" for key, value in found.arguments.items() if value != defaults.get(key)]
    return f"{name}({', '.join(own)})" if own else name


def _at_rest(loss: object, text: str) -> Loss:
    if not isinstance(loss, Loss):
        raise InputError([Problem(COMMAND_LINE, text, "is no loss: derive it from suite.losses.Loss")])
    training = Training(samples=1, epochs=1, steps_per_epoch=1)
    try:
        loss.double().eval()
        loss.prepare(training)
        loss.start(training.step(0))
        loss(_one_anchor(_fixed(SCENE.positive), _fixed(SCENE.hardest), SCENE))
    except Exception as error:  # a user's own code
        message = f"cannot be computed: {type(error).__name__}: {error}"
        raise InputError([Problem(COMMAND_LINE, text, message)]) from error
    return loss


def curves(losses: Mapping[str, Loss], angles: Sequence[float] = ANGLES, scene: Scene = SCENE) -> pd.DataFrame:
    """Return what the figures draw, a row for each loss and angle.

    Parameters
    ----------
    losses : mapping of label to Loss
    angles : sequence of float
        Radians in (0, pi).
    scene : Scene

    Returns
    -------
    DataFrame
        ``loss``; ``angle`` in radians and its cosine ``similarity``; then, empty where a loss has none:

        - ``logit``, of a map from similarity to logit;
        - ``secant_temperature``: s / (logit(s) - logit(0)), the temperature at which InfoNCE gives s the same logit;
        - ``local_temperature``: 1 / (d logit / d s), at which InfoNCE passes on the same gradient; the derivative as it
          is back-propagated, stop-gradients included;
        - ``positive_by_similarity`` and ``positive_by_angle``: the derivatives of the loss with respect to the
          positive's cosine and angle (per radian), the positive at this row's angle and the rest as in `scene`;
        - ``negative_by_similarity`` and ``negative_by_angle``: likewise those of the hardest negative.

        Gradients are given up to the right angle: beyond it the hardest negative would not be the hardest.
    """
    rows = [
        {"loss": label, "angle": angle, "similarity": math.cos(angle), **_map_at(loss, angle)}
        | (_gradients_at(loss, angle, scene) if angle < math.pi / 2 else {})
        for label, loss in losses.items()
        for angle in angles
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _map_at(loss: Loss, angle: float) -> dict[str, float]:
    if not isinstance(loss, LogitLoss):
        return {}
    similarity = torch.tensor([[math.cos(angle)]], dtype=torch.float64, requires_grad=True)
    logit = loss.logits(similarity)
    (slope,) = torch.autograd.grad(logit.sum(), similarity)
    rise = logit.item() - loss.logits(torch.zeros_like(similarity)).item()
    return {
        "logit": logit.item(),
        "secant_temperature": _ratio(similarity.item(), rise),
        "local_temperature": _ratio(1.0, slope.item()),
    }


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.inf


def _gradients_at(loss: Loss, angle: float, scene: Scene) -> dict[str, float]:
    moving = torch.tensor(angle, dtype=torch.float64, requires_grad=True)
    similarity = moving.cos()
    found: dict[str, float] = {}
    for role, pairs in (
        ("positive", _one_anchor(similarity, _fixed(scene.hardest), scene)),
        ("negative", _one_anchor(_fixed(scene.positive), similarity, scene)),
    ):
        gradients = _gradients(loss, pairs, (similarity, moving))
        found |= {f"{role}_by_{variable}": g for variable, g in zip(("similarity", "angle"), gradients, strict=True)}
    return found


def _gradients(loss: Loss, pairs: Pairs, variables: Sequence[Tensor]) -> Iterator[float]:
    try:
        gradients = torch.autograd.grad(loss(pairs), variables, retain_graph=True)
    except ValueError:  # what the loss is not defined for is left out of its curve
        return iter([math.nan] * len(variables))
    return (gradient.item() for gradient in gradients)


def _fixed(cosine: float) -> Tensor:
    return torch.tensor(cosine, dtype=torch.float64)


def _one_anchor(positive: Tensor, hardest: Tensor, scene: Scene) -> Pairs:
    similarity = torch.cat([torch.stack([positive, hardest]), positive.new_zeros(scene.others)]).unsqueeze(0)
    is_positive = torch.zeros_like(similarity, dtype=torch.bool)
    is_positive[0, 0] = True
    index = torch.zeros(1, dtype=torch.int64)
    return Pairs(similarity, is_positive, torch.ones_like(is_positive), index, own_view=~is_positive)


def key_numbers(losses: Mapping[str, Loss], scene: Scene = SCENE) -> pd.DataFrame:
    """Return what the figures argue with, a row a loss.

    Parameters
    ----------
    losses : mapping of label to Loss
    scene : Scene

    Returns
    -------
    DataFrame
        ``loss``; ``logit_0.5`` and ``logit_0.9``; the local temperature at 0 and at 0.9; and the gradients with respect
        to cosine and angle of a positive, and of a hardest negative, at cosine 0.999.
    """
    rows = []
    for label, loss in losses.items():
        near = _gradients_at(loss, math.acos(KEY_COSINE), scene)
        at = {cosine: _map_at(loss, math.acos(cosine)) for cosine in (0.0, 0.5, 0.9)}
        maps = {f"logit_{cosine:g}": at[cosine].get("logit") for cosine in (0.5, 0.9)}
        maps |= {f"local_temperature_{cosine:g}": at[cosine].get("local_temperature") for cosine in (0.0, 0.9)}
        rows.append({"loss": label, **maps, **{f"{name}_{KEY_COSINE:g}": value for name, value in near.items()}})
    return pd.DataFrame(rows)


def write_csv(frame: pd.DataFrame, folder: Path) -> Path:
    """Write the curves as ``curves.csv``, to ten digits: fewer than what differs between machines."""
    path = folder / "curves.csv"
    frame.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")
    return path
