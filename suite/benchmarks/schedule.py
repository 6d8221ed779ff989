"""The course of a learning rate."""

from __future__ import annotations

import math


def warm_up_and_cosine(progress: float, step: float, warm_up: float) -> float:
    """Return the factor of a linear warm-up, with half a cosine down to zero after it.

    Parameters
    ----------
    progress : float
        Share of training that is done, in [0, 1).
    step : float
        Share that one step is; the first step has a rate above zero.
    warm_up : float
        Share of training that the rate rises over, in [0, 1].
    """
    ramp = min(1.0, (progress + step) / max(warm_up, step))
    return ramp * 0.5 * (1.0 + math.cos(math.pi * max(0.0, progress - warm_up) / max(1.0 - warm_up, step)))
