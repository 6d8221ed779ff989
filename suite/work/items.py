"""The outcomes of a run's test items, checked against its metrics and written beside its result."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.outcomes import TOLERANCE

logger = logging.getLogger("suite")
TEST = "test/"


def of_test_items(folder: Path, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Write what an evaluation tells of its test items; returns what the result says of it, nothing without any.

    Outcomes whose statistic is not their metric are left out, with a warning in the run's log: the metrics count.
    """
    from suite.records import items
    from suite.training.evaluated import outcomes_of

    kept = {}
    for name, outcomes in outcomes_of(metrics).items():
        if not name.startswith(TEST):
            continue
        small = outcomes.compact()
        if math.isclose(small.value(), metrics[name], abs_tol=TOLERANCE):
            kept[name.removeprefix(TEST)] = small
        else:
            of_outcomes = f"the {small.statistic} of the outcomes is {small.value():.9g}"
            logger.warning("%s is %.9g, %s: they are not kept", name, metrics[name], of_outcomes)
    return {"items": items.write(folder, kept)} if kept else {}
