"""Logged runs without a store: rows as ``suite.tracking.frame`` gives them."""

from typing import Any

import pandas as pd


def row(benchmark: str, loss: str, seed: int, test: float | None = 0.5, **others: Any) -> dict[str, Any]:
    metric = others.pop("metric", "accuracy")
    start = others.pop("start", 0)
    values = {
        "key": f"{benchmark}/{loss}/{seed}", "record": "r", "benchmark": benchmark, "loss": loss, "kind": "loss",
        "seed": seed, "profile": "mini", "purpose": "evaluation", "metric": metric, "goal": "maximise",
        "status": "FINISHED", "failure": None, "run_id": f"id-{benchmark}-{loss}-{seed}-{start}",
        "start": pd.Timestamp(start, unit="s", tz="UTC"), f"test/{metric}": test, f"val/{metric}": 0.5,
        "seconds/training": 10.0,
    }  # fmt: skip
    return {**values, **others}


def logged(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))
