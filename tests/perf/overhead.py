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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from suite.process import cores, gpus  # noqa: E402

NOTHING = """\
defaults: [{launchers@launcher: local}, _self_]
experiment: overhead
seeds: 0-199
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


def measure(name: str, folder: Path, arguments: list[str]) -> None:
    """Run a campaign into a fresh folder and print its overhead."""
    out = folder / name
    command = [sys.executable, "-m", "suite", "run", "--profile", "smoke", "--out", str(out), *arguments]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    results = [json.loads(path.read_text()) for path in out.glob("runs/*/result.json")]
    work = sum(r["seconds"]["training"] + r["seconds"]["evaluation"] for r in results)
    setup = sum(r["seconds"]["setup"] for r in results)
    workers = len(gpus()) or cores()
    overhead = (wall * workers - work) / len(results)
    print(
        f"{name:<8} {len(results):>4} runs  wall {wall:6.1f} s  workers {workers}  work {work:6.1f} s"
        f"  set-up {setup:5.1f} s  overhead {overhead:6.3f} s a run",
        flush=True,
    )


def main() -> None:
    """Measure both campaigns, as often as asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1)
    for _ in range(parser.parse_args().repeat):
        with tempfile.TemporaryDirectory() as folder:
            registry = Path(folder) / "benchmarks.yaml"
            registry.write_text(NOTHING)
            measure("smoke", Path(folder), ["--losses", "headline", "--seeds", "0-1"])
            measure("nothing", Path(folder), ["--registry", str(registry)])


if __name__ == "__main__":
    main()
