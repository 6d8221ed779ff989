"""Print what the analysis of many runs costs: ``python tests/perf/analysis.py``.

Simulates 10,000 runs in an MLflow store (SQLite) and times the way from there to tables and back from a bundle; then
the same for 100,000 runs in a bundle, in a process of its own, with its peak memory. ``--items`` times what is
made of test items, and the report, for the reference campaign. Run it on an idle machine, and compare figures
of one machine only.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from analysis.processes.pool import beside  # noqa: E402
from analysis.read.collect import Collected, collect  # noqa: E402
from analysis.read.load import keep_text_in_numpy, load  # noqa: E402
from analysis.read.logged import Logged  # noqa: E402
from suite.tracking import create_store, default_uri  # noqa: E402

EXPERIMENT = "simulated"
GOALS = {"collect": 30, "everything else": 15, "100,000 runs": 60, "report": 15, "memory": 4.0}
#: Primary metric and its level.
BENCHMARKS = {
    "anomaly": ("roc_auc", 0.92),
    "graph": ("micro_f1", 0.84),
    "image": ("knn_accuracy", 0.86),
    "recommendation": ("ndcg_10", 0.11),
    "text": ("spearman", 0.75),
}
SWEPT = ("infonce", "dystress")
OTHERS = ("temperature_free", "macl", "learnable_temperature", "dcl", "dclw", "siglip", "isogclr")
TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
CURVES = ("loss", "similarity_positive", "similarity_negative", "uniformity")
STEPS = range(0, 400, 50)
BINS = np.arange(100)
START = 1_700_000_000_000
CODE = {f"suite.benchmarks.module_{i}": uuid.UUID(int=i).hex[-12:] for i in range(20)}
PACKAGES = {name: "1.2.3" for name in ("torch", "numpy", "scipy", "scikit-learn", "hydra-core", "submitit", "mlflow")}
HARDWARE = {"cores": 2, "device": "cpu", "processes": 1, "processor": "simulated", "threads": 1}


def campaign(seeds: int) -> Iterator[tuple[str, str, str, int]]:
    """Yield benchmark, loss, purpose and seed of each run: with 50 seeds 10,000, 2,000 a benchmark."""
    members = [f"{loss}@temperature={value}" for loss in SWEPT for value in TEMPERATURES]
    for benchmark in BENCHMARKS:
        for loss in (*SWEPT, *OTHERS, *members):
            yield from ((benchmark, loss, "evaluation", seed) for seed in range(seeds))
        for loss in members:
            yield from ((benchmark, loss, "selection", seed) for seed in range(1000, 1000 + seeds * 27 // 50))
        yield from ((benchmark, "untrained", "evaluation", seed) for seed in range(min(10, seeds)))


def tags(benchmark: str, loss: str, purpose: str, seed: int) -> dict[str, Any]:
    """Return the tags that the mirror gives a run, without their prefix."""
    return {
        "key": uuid.uuid5(uuid.NAMESPACE_OID, f"{benchmark}/{loss}/{purpose}/{seed}").hex * 2,
        "record": "r",
        "benchmark": benchmark,
        "loss": loss,
        "kind": "reference" if loss == "untrained" else "loss",
        "seed": seed,
        "profile": "mini",
        "purpose": purpose,
        "metric": BENCHMARKS[benchmark][0],
        "goal": "maximise",
        "margin": 0.01,
        "git": "0" * 40,
        "code": json.dumps(CODE),
        "packages": json.dumps(PACKAGES),
        "hardware": json.dumps(HARDWARE),
        "digest": "0" * 64,
        "origin": "0" * 16,
    }


def params(benchmark: str, loss: str, seed: int) -> dict[str, Any]:
    """Return a configuration of 30 names, half of them this benchmark's own."""
    name, _, setting = loss.partition("@temperature=")
    shared = {f"benchmark.setting_{i}": i for i in range(8)} | {"seed": seed, "profile": "mini"}
    own = {f"benchmark.{benchmark}_{i}": i for i in range(10)}
    data = {f"data.{benchmark}.file_{i}": f"{i}" * 64 for i in range(4)}
    return shared | own | data | {"loss._target_": name, "loss.name": loss, "loss.temperature": setting or 0.5}


def metrics(benchmark: str, loss: str, draws: np.random.Generator) -> dict[str, float]:
    """Return what a run logs at its end: the primary metric and three others, on both splits, and its seconds."""
    primary, level = BENCHMARKS[benchmark]
    level *= 0.6 if loss == "untrained" else 1 + 0.001 * (len(loss) % 7)
    names = (primary, *(f"{benchmark}_other_{i}" for i in range(3)))
    noise = iter(0.005 * draws.standard_normal(2 * len(names)))
    final = {f"{split}/{name}": level + next(noise) for name in names for split in ("val", "test")}
    return final | {"seconds/setup": 1.5, "seconds/training": 20 + level, "seconds/evaluation": 5.0}


def series(draws: np.random.Generator) -> dict[str, list[float]]:
    """Return what a run logs on its way, by metric."""
    curves = {f"train/{name}": draws.random(len(STEPS)).tolist() for name in CURVES}
    shares = {f"histogram/similarity_{sign}": draws.random(len(BINS)) for sign in ("positive", "negative")}
    return curves | {name: (values / values.sum()).tolist() for name, values in shares.items()}


def simulate(uri: str, seeds: int) -> None:
    """Fill an MLflow store, quicker than its interface would."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels import models

    experiment = create_store(uri, EXPERIMENT)
    engine, draws = sqlalchemy.create_engine(uri), np.random.default_rng(0)
    rows: dict[Any, list[dict[str, Any]]] = {
        table: [] for table in (models.SqlRun, models.SqlTag, models.SqlParam, models.SqlLatestMetric, models.SqlMetric)
    }
    runs = list(campaign(seeds))
    for number, (benchmark, loss, purpose, seed) in enumerate(runs):
        run_id, now = uuid.UUID(int=number).hex, START + 60_000 * number
        own = {"run_uuid": run_id}
        state = {"status": "FINISHED", "lifecycle_stage": "active", "user_id": "", "name": "", "artifact_uri": ""}
        times = {"start_time": now, "end_time": now + 30_000}
        rows[models.SqlRun].append(own | times | state | {"experiment_id": int(experiment or 0)})
        tagged = {f"suite.{name}": str(value) for name, value in tags(benchmark, loss, purpose, seed).items()}
        rows[models.SqlTag] += [own | {"key": name, "value": value} for name, value in tagged.items()]
        configured = params(benchmark, loss, seed).items()
        rows[models.SqlParam] += [own | {"key": name, "value": str(value)} for name, value in configured]
        logged = {name: [value] for name, value in metrics(benchmark, loss, draws).items()}
        for name, values in (logged | (series(draws) if loss != "untrained" else {})).items():
            steps = STEPS if len(values) == len(STEPS) else range(len(values))
            point = own | {"key": name, "timestamp": now, "is_nan": False}
            points = [point | {"step": step, "value": value} for step, value in zip(steps, values, strict=True)]
            rows[models.SqlLatestMetric].append(points[-1])
            rows[models.SqlMetric] += points
        if number % 500 == 499 or number == len(runs) - 1:
            with engine.begin() as connection:
                for table, content in rows.items():
                    connection.execute(table.__table__.insert(), content)
                    content.clear()


def tenfold(logged: Logged) -> Logged:
    """Return ten times as many runs, with seeds of their own and metrics that differ."""
    draws, parts = np.random.default_rng(1), []
    finals = [name for name in logged.runs if name.startswith(("val/", "test/"))]
    for i in range(10):
        part = logged.runs.copy()
        part["seed"] += 100_000 * i
        part["key"] = part["key"].str[:-1] + str(i)
        part["run_id"] = str(i) + part["run_id"].str[1:]
        part[finals] += 0.001 * draws.standard_normal((len(part), len(finals)))
        parts.append(part)

    def read(run_ids: Any, names: Any) -> pd.DataFrame:
        points = logged.curves(names=names)
        return pd.concat([points.assign(run_id=str(i) + points["run_id"].str[1:]) for i in range(10)])

    return dataclasses.replace(logged, runs=pd.concat(parts, ignore_index=True), read_points=read)


def everything(logged: Logged, collected: Collected, out: Path) -> None:
    """Make all that is made of collected runs, as ``python -m analysis report`` does."""
    with beside(["analysis.figures.plots"]) as pool:
        from analysis.evidence.gather import gather
        from analysis.report.everything import write_everything

        with timed("  evidence"):
            evidence = {profile: gather(collected, logged.declared, profile) for profile in collected.profiles}
        with timed("  tables, figures, report"):
            write_everything(evidence, logged, out, pool)


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Print how long the block took and how much of it was computed, beside its goal if it has one.

    What processes computed that have ended meanwhile counts; figures are drawn by others, which may still live.
    """
    began, computed = time.perf_counter(), os.times()
    yield
    wall, cpu = time.perf_counter() - began, sum(os.times()[:4]) - sum(computed[:4])
    goal = f"  (goal {GOALS[name]:g} s)" if name in GOALS else ""
    print(f"{name:<26} {wall:7.1f} s, processor {cpu:6.1f} s{goal}", flush=True)


def collected_from(sources: Sequence[str], uri: str | None, out: Path) -> tuple[Logged, Collected]:
    """Load and collect."""
    with timed("  load"):
        logged = load(sources, out=out, tracking_uri=uri, registry=ROOT / "benchmarks.yaml")
    with timed("  collect"):
        collected = collect(logged.runs)
    assert collected.left_out.empty, collected.left_out["reason"].iloc[0]
    return logged, collected


def from_store(folder: Path, seeds: int) -> Path:
    """Time runs from an MLflow store (10,000 with 50 seeds), and return a bundle of ten times as many."""
    from analysis.read.bundle import write

    uri = default_uri(folder)
    with timed("simulate"):
        simulate(uri, seeds)
    with timed("collect"):
        logged, collected = collected_from((), uri, folder)
    with timed("everything else"):
        everything(logged, collected, folder / "first")
    with timed("export"):
        write(logged, folder / "bundle")
    with timed("export of 100,000 runs"):
        return write(tenfold(logged), folder / "tenfold")[0]


def from_bundle(file: Path) -> None:
    """Time everything from a bundle, in this process."""
    with timed("100,000 runs"):
        everything(*collected_from([str(file)], None, file.parent), file.parent / "tables")


def from_items(folder: Path) -> None:
    """Time the reference campaign: the test items of each benchmark, the report, and one without items."""
    from analysis.evidence.items import Items

    for file in (ROOT / "results" / "reference").glob("*.*"):
        shutil.copy(file, folder)
    logged = load([str(folder / "runs.parquet")])
    chosen = logged.runs["kind"].eq("loss") & logged.runs["purpose"].eq("evaluation")
    for benchmark, runs in logged.runs[chosen & logged.runs["profile"].eq("mini")].groupby("benchmark"):
        of_benchmark = list(runs["run_id"])
        with timed(f"  {len(of_benchmark)} runs of {benchmark}"):
            Items(logged.outcomes, of_benchmark).between(of_benchmark, of_benchmark, runs["metric"].iloc[0])
    command = [sys.executable, "-m", "analysis", "report", "--from", folder / "runs.parquet", "--out", folder, "--json"]
    with timed("report"):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "items.parquet").unlink()
    with timed("report without outcomes"):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def watched(command: Sequence[str]) -> float:
    """Run a command and return the peak memory in GiB of its process and of those below it, shared pages once."""
    peak = 0
    with subprocess.Popen(command) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            total = 0
            with contextlib.suppress(psutil.Error):
                for one in (process, *process.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                        total += one.memory_full_info().pss
            peak = max(peak, total)
            time.sleep(0.1)
    if running.returncode:
        raise SystemExit(running.returncode)
    return peak / 2**30


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="time this one alone")
    parser.add_argument("--items", action="store_true", help="time the reference campaign and its test items")
    parser.add_argument("--seeds", type=int, default=50, help="of each loss (default: 50, which makes 10,000 runs)")
    options = parser.parse_args()
    keep_text_in_numpy()  # as every command does
    if options.bundle is not None:
        from_bundle(options.bundle)
        return
    if options.items:
        with tempfile.TemporaryDirectory() as folder:
            from_items(Path(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = from_store(Path(folder), options.seeds)
        peak = watched([sys.executable, __file__, "--bundle", str(file)])
        print(f"peak memory {peak:.2f} GiB  (goal {GOALS['memory']:g} GiB)")


if __name__ == "__main__":
    main()
