"""What a plan says of the seeds before anything is spent."""

import json
import re
import statistics
import subprocess
import sys

import numpy as np
import pytest

from suite.plan.forecast import Forecast, forecast, pooled_std
from suite.plan.plan import Selection, make_plan
from suite.plan.power import seeds_needed
from suite.records.files import write_json
from suite.records.record import Store
from suite.registry.load import load
from tests.conftest import ROOT, Project
from tests.registry.test_malformed import END

CLAIMS = """\
claims:
  tuned: {loss: infonce, is: not_worse, than: cosine, at: validated}
  plain: {loss: infonce, is: better, than: cosine}
"""


def predicted(project: Project, losses: str = "all", seeds: str = "all", benchmarks: str = "all") -> Forecast | None:
    registry, store = load(), Store(project.folder / "results")
    selection = Selection((benchmarks,), tuple(losses.split(",")), (seeds,), "smoke")
    return forecast(make_plan(registry, selection, store), registry, store)


def finish(project: Project, figures: dict[str, dict[int, float]]) -> None:
    """Write results of finished runs of the benchmark blobs by loss and seed."""
    store = Store(project.folder / "results")
    for run in make_plan(load(), Selection(("blobs",), tuple(figures), ("0-3,selection",), "smoke"), store).runs:
        if run.seed in figures[run.loss]:
            folder = store.runs / run.key
            folder.mkdir(parents=True)
            metrics = {"test/accuracy": figures[run.loss][run.seed], "val/accuracy": 0.0}
            result = {"record": "r", "metrics": metrics, "seconds": {"training": 1.0}, "code": dict(run.code)}
            write_json(folder / "result.json", result)


def test_the_family_is_the_benchmarks_of_a_claim(project: Project) -> None:
    project.edit(END, CLAIMS + END)
    found = predicted(project)
    assert found is not None
    assert (found.seeds, found.benchmarks, found.smallest_p) == (4, 2, 2 / 2**4)
    assert found.seeds_to_reject == 7  # 2 / 2^7 x 2 tests = .031; 2 / 2^6 x 2 = .063
    assert not found.can_reject
    more = predicted(project, seeds="0-5", benchmarks="blobs")
    assert more is not None and (more.seeds_to_reject, more.can_reject) == (6, True)


@pytest.mark.parametrize(
    ("losses", "seeds"), [("cosine", "all"), ("cosine@*", "all"), ("all", "selection"), ("references", "all")]
)
def test_nothing_is_said_where_nothing_is_compared(project: Project, losses: str, seeds: str) -> None:
    assert predicted(project, losses, seeds) is None
    out = project.suite("plan", "--losses", losses, "--seeds", seeds, "--profile", "smoke")[1]
    assert "sign-flip" not in out
    assert json.loads(project.suite("plan", "--json", "--losses", losses, "--seeds", seeds)[1])["power"] is None


def test_seeds_are_predicted_from_finished_evaluation_runs_whatever_is_selected_now(project: Project) -> None:
    cosine = {0: 0.50, 1: 0.52, 2: 0.55, 3: 0.49, 10: 0.1}
    infonce = {0: 0.55, 1: 0.54, 2: 0.59, 10: 0.9}
    finish(project, {"cosine": cosine, "infonce": infonce})
    std = statistics.stdev(infonce[seed] - cosine[seed] for seed in (0, 1, 2))
    for seeds in ("all", "20-29"):
        found = predicted(project, seeds=seeds)
        assert found is not None
        blobs, nothing = found.needed
        assert (blobs.benchmark, blobs.runs, blobs.std) == ("blobs", 6, pytest.approx(std, rel=1e-12))
        assert blobs.seeds == seeds_needed(std, 0.01, power=0.8, alpha=0.05, sides=2)
        assert (nothing.std, nothing.runs, nothing.seeds) == (None, 0, None)


def test_deviations_are_pooled_over_losses_by_their_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    base, one, two = ({seed: float(rng.normal()) for seed in range(count)} for count in (9, 9, 5))
    std, runs = pooled_std({"a": one, "base": base, "b": two, "lonely": {0: 1.0}}, "base")
    parts = [[values[seed] - base[seed] for seed in values] for values in (one, two)]
    squares = sum(np.var(part, ddof=1) * (len(part) - 1) for part in parts)
    assert std == pytest.approx(float(np.sqrt(squares / (8 + 4))), rel=1e-12)
    assert runs == 9 + 9 + 5
    assert pooled_std({"a": one}, "base") == (None, 0)


def test_the_block_is_a_line_and_a_row_a_benchmark(project: Project) -> None:
    project.edit(END, CLAIMS + END)
    finish(project, {"cosine": {0: 0.5, 1: 0.51, 2: 0.5}, "infonce": {0: 0.6, 1: 0.605, 2: 0.59}})
    out = project.suite("plan", "--profile", "smoke")[1]
    assert "4 evaluation seeds: the exact sign-flip test gives no p below 0.125" in out
    assert "Holm's correction over the 2 benchmarks of a claim, it takes 7 seeds" in out
    assert re.search(r"blobs +0\.01 +0\.005 \(from 6 runs\) +\d+", out)
    assert re.search(r"nothing +0\.01 +unknown: too few finished runs", out)
    power = json.loads(project.suite("plan", "--profile", "smoke", "--json")[1])["power"]
    assert (power["seeds"], power["can_reject"], power["seeds_to_reject"]) == (4, False, 7)
    assert power["needed"][1] == {"benchmark": "nothing", "margin": 0.01, "std": None, "runs": 0, "seeds": None}


def test_a_plan_does_not_import_the_slow_part_of_scipy(project: Project) -> None:
    program = "import sys\nfrom suite.cli.main import main\nmain(['plan'])\nsys.exit('scipy.stats' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=project.folder, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert ended.returncode == 0


def test_a_plan_of_papers_says_gpu_hours_and_what_they_assume(project: Project) -> None:
    project.edit("{smoke: 1}", "{smoke: 1, paper: 5400}")
    project.edit("pause_s: 0.02}}", "pause_s: 0.02}, paper: {}}")
    status, out, _ = project.suite("plan", "--profile", "paper", "--benchmarks", "blobs", "--losses", "infonce")
    assert status == 0
    hours = 4 * 5400 / 3600
    assert f"that is about {hours:.1f} GPU hours: until runs have finished" in " ".join(out.split())
    assert "34 teraflops a second in float32 and 71 in bfloat16" in " ".join(out.split())
    _, out, _ = project.suite("plan", "--profile", "smoke", "--benchmarks", "blobs", "--losses", "infonce")
    assert "GPU hours" not in out
