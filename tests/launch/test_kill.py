"""kill -9 of workers and launchers at random moments: the same command finishes the rest, once, bit by bit the same."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from suite import data
from tests.cluster import (
    command,
    environment,
    events,
    metrics,
    mlflow_runs,
    shipped_part,
    suite,
    suite_here,
    toy_registry,
)
from tests.waiting import PATIENCE_S

BENCHMARKS, LOSSES = ("image", "recommendation"), ("infonce", "temperature_free")
SMOKE = ["--profile", "smoke", "--seeds", "0", "--benchmarks", *BENCHMARKS, "--losses", *LOSSES]
TOYS = ["--profile", "mini", "--losses", "good", "--seeds", "0-1"]


class Siege:
    """One campaign after another, under fire."""

    def __init__(self, folder: Path, registry: str, arguments: list[str], seed: int, verb: str = "run") -> None:
        self.verb = verb
        self.draw = np.random.default_rng(seed)
        self.folder = folder
        self.registry = registry
        self.arguments = [*arguments, "--quiet", "launcher.checkpoint_minutes=0.005", "launcher.max_attempts=20"]
        self.launcher: subprocess.Popen[str] | None = None

    def besiege(self, kills: int) -> Iterator[Path]:
        """Kill so many processes; yield the folder of every campaign that was finished under it."""
        killed, campaign = 0, 0
        while killed < kills:
            place = self.folder / f"campaign{campaign}"
            place.mkdir()
            (place / "benchmarks.yaml").write_text(self.registry)
            while killed < kills and not self.finished(place):
                killed += self.strike(place)
            self.finish(place)
            campaign += 1
            yield place

    def strike(self, place: Path) -> int:
        if self.launcher is None or self.launcher.poll() is not None:
            self.launcher = subprocess.Popen(
                command(place, self.verb, *self.arguments), cwd=place, env=environment(), text=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
        time.sleep(self.draw.uniform(0.1, 3.0))
        victims = [self.launcher.pid] if self.draw.random() < 0.5 and self.launcher.poll() is None else []
        workers = living_workers(place)
        victims += [workers[self.draw.integers(len(workers))]] if workers and self.draw.random() < 0.7 else []
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        if self.launcher.pid in victims:
            self.launcher.wait()
        return len(victims)

    def finished(self, place: Path) -> bool:
        return self.launcher is not None and self.launcher.poll() == 0

    def finish(self, place: Path) -> None:
        if self.launcher is not None:
            self.launcher.wait(timeout=PATIENCE_S)
            self.launcher = None
        done = suite(place, self.verb, *self.arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def living_workers(place: Path) -> list[int]:
    found = []
    for path in (place / "results" / "launches").glob("*/workers/*.json"):
        try:
            process = json.loads(path.read_text())["process"]
            if b"submitit" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
        except (OSError, ValueError):
            continue
    return found


def check(place: Path, expected: dict[str, dict[str, float]]) -> None:
    assert metrics(place) == expected
    for key, found in events(place).items():
        # a worker that was killed between its result and this event leaves none; two would be two executions
        assert [event["event"] for event in found].count("finished") <= 1, key
    assert suite_here(place, "sync").returncode == 0
    assert mlflow_runs(place) == {key: ["FINISHED"] for key in expected}
    assert not [path for path in (place / "results" / "runs").rglob("checkpoint.pt")]


@pytest.mark.parametrize(
    "name, kills", [("toys", 12), pytest.param("smoke", 20, marks=pytest.mark.data)]
)  # fmt: skip
def test_killed_at_random_moments_every_run_completes_once_with_the_same_bits(
    name: str, kills: int, tmp_path: Path
) -> None:
    if name == "smoke":
        registry, arguments = shipped_part(BENCHMARKS, LOSSES), SMOKE
        if data.missing(["fashion_mnist", "movielens_100k"]):
            pytest.skip("the data is not in the cache: python -m suite data fetch")
    else:
        registry, arguments = toy_registry(tmp_path).read_text(), TOYS
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "benchmarks.yaml").write_text(registry)
    assert suite_here(calm, "run", *arguments, "--quiet", "--launcher", "debug").returncode == 0
    expected = metrics(calm)
    assert len(expected) == 4
    for place in Siege(tmp_path, registry, arguments, seed=20).besiege(kills):
        check(place, expected)


def test_a_search_under_fire_chooses_the_same_and_has_the_same_bits(tmp_path: Path) -> None:
    registry = toy_registry(tmp_path).read_text().replace(
        "    host_temperature: 0.5\n", "    host_temperature: 0.5\n    search: {epochs: {low: 4, high: 12}}\n"
    )  # fmt: skip
    arguments = ["--profile", "mini", "--losses", "good", "--seeds", "0", "--selection-seeds", "10", "--budget", "3"]
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "benchmarks.yaml").write_text(registry)
    done = suite_here(calm, "tune", *arguments, "--json", "--launcher", "debug")
    assert done.returncode == 0, done.stderr
    choices, expected = json.loads(done.stdout)["choices"], metrics(calm)
    assert len(choices) == 2
    for place in Siege(tmp_path, registry, arguments, seed=21, verb="tune").besiege(kills=8):
        check(place, expected)
        again = suite_here(place, "tune", *arguments, "--json")
        assert json.loads(again.stdout)["choices"] == choices
