"""Print what the suite costs beside training and evaluation: ``python tests/perf/overhead.py``.

Overhead a run = (wall x workers - sum of training and evaluation seconds) / runs, MLflow and the final table included.
Twice: on the smoke matrix (all benchmarks x headline losses x two seeds), and on 200 runs of a benchmark that does
nothing. Run it on an idle machine, and compare figures of one machine only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from suite.process import cores, gpus  # noqa: E402

NOTHING = """\
defaults: [{launchers@launcher: local}, _self_]
experiment: overhead
seeds: 0-%d
baseline: infonce
losses:
  infonce: {_target_: suite.losses.InfoNCE, temperature: 0.5}
benchmarks:
  nothing:
    _target_: tests.toys.Nothing
    metric: {name: accuracy, goal: maximise, margin: 0.01}
    estimate_s: {smoke: 0.01}
    profiles: {smoke: {}}
"""


SMOKE = ("--losses", "headline", "--seeds", "0-1")


@dataclass(frozen=True)
class Campaign:
    """What a campaign took.

    Attributes
    ----------
    runs, workers : int
    wall, work, setup : float
        Seconds: from start to end, and the sums over the runs of training with evaluation, and of their set-up.
    """

    runs: int
    workers: int
    wall: float
    work: float
    setup: float

    @property
    def overhead(self) -> float:
        """Seconds a run beside training and evaluation."""
        return (self.wall * self.workers - self.work) / self.runs


def measure(out: Path, arguments: Sequence[str]) -> Campaign:
    """Run a campaign into a fresh folder and return what it took."""
    command = [sys.executable, "-m", "suite", "run", "--profile", "smoke", "--out", str(out), *arguments]
    taken = wall(command, ROOT)
    results = [json.loads(path.read_text())["seconds"] for path in out.glob("runs/*/result.json")]
    work = sum(result["training"] + result["evaluation"] for result in results)
    setup = sum(result["setup"] for result in results)
    return Campaign(len(results), len(gpus()) or cores(), taken, work, setup)


def nothing(folder: Path, runs: int) -> Campaign:
    """Run a benchmark that does nothing."""
    registry = folder / "benchmarks.yaml"
    registry.write_text(NOTHING % (runs - 1))
    return measure(folder / "nothing", ["--registry", str(registry)])


def wall(command: Sequence[str], folder: Path) -> float:
    """Return the wall seconds of a command in a folder."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - began


def hydra_peer(folder: Path, jobs: int) -> float:
    """Return the wall seconds of Hydra's multirun of jobs that log a metric to MLflow, in a folder of its own.

    The jobs go through submitit's local executor (package hydra-submitit-launcher), which starts all at once.
    """
    own = folder / "peer"
    own.mkdir()
    command = [
        sys.executable,
        str(ROOT / "tests" / "perf" / "hydra_app.py"),
        "--multirun",
        f"+store=sqlite:///{own / 'peer.db'}",
    ]
    wall([*command, "+seed=0"], own)  # jobs that all make the data base at once would fail
    seeds = ",".join(map(str, range(jobs)))
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"]
    return wall([*command, *launcher, f"+seed={seeds}"], own)


def show(name: str, campaign: Campaign) -> None:
    """Print a line."""
    print(
        f"{name:<8} {campaign.runs:>4} runs  wall {campaign.wall:6.1f} s  workers {campaign.workers}"
        f"  work {campaign.work:6.1f} s  set-up {campaign.setup:5.1f} s  overhead {campaign.overhead:6.3f} s a run",
        flush=True,
    )


def main() -> None:
    """Measure both campaigns, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200, help="that do nothing")
    options = parser.parse_args()
    for _ in range(options.repeat):
        with tempfile.TemporaryDirectory() as folder:
            show("smoke", measure(Path(folder) / "smoke", SMOKE))
            show("nothing", nothing(Path(folder), options.runs))


if __name__ == "__main__":
    main()
