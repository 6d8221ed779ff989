"""Losses at the same setting of the host, and what is not chosen of these."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.choice import choose
from analysis.evidence.failures import with_failures
from analysis.evidence.gather import gather
from analysis.evidence.searches.trials import searches
from analysis.evidence.sensitivity import sensitivities
from analysis.read.collect import collect
from analysis.tables.tuning.settings import settings_table
from suite.registry.claims import Declared
from tests.analysis.frames import logged, row
from tests.analysis.searches import runs as searched
from tests.analysis.searches import with_failure

DECLARED = Declared(baseline="infonce")
RATE = "param.benchmark.learning_rate"


def campaign(goal: str = "maximise", purpose: str = "evaluation") -> list[dict]:
    split = "test/accuracy" if purpose == "evaluation" else "val/accuracy"
    scores = {
        ("infonce", "0.01"): [0.70, 0.71, 0.72],
        ("free", "0.01"): [0.60, 0.62, 0.61],
        ("infonce@learning_rate=0.003", "0.003"): [0.70, 0.72, 0.71],
        ("free@learning_rate=0.003", "0.003"): [0.75, 0.74],
    }
    return [
        row("image", loss, seed, purpose=purpose, goal=goal, margin=0.01, **{split: score, RATE: rate})
        for (loss, rate), values in scores.items()
        for seed, score in enumerate(values)
    ]


@pytest.mark.parametrize(("purpose", "split"), [("evaluation", "test"), ("selection", "val")])
@pytest.mark.parametrize(("goal", "sign"), [("maximise", 1.0), ("minimise", -1.0)])
def test_losses_are_compared_at_the_same_setting(purpose: str, split: str, goal: str, sign: float) -> None:
    evidence = gather(collect(logged(*campaign(goal, purpose))), DECLARED, "mini")
    table = settings_table(evidence)
    assert table is not None
    assert table.header == ["", "infonce", "free", "free minus infonce"]
    (block,) = table.blocks
    assert block.title.startswith(f"image: {split} accuracy") and block.title.endswith("margin 0.01")
    assert [label for label, _ in block.rows] == ["declared", "learning_rate=0.003"]
    found = table.data.set_index(["setting", "loss"]).loc[("learning_rate=0.003", "free")]
    differences = sign * np.array([0.05, 0.02])
    low, high = stats.t.interval(0.95, 1, differences.mean(), stats.sem(differences))
    assert (found["n"], found["pairs"], found["against"]) == (2, 2, "infonce")
    assert [found["mean"], found["difference"], found["low"], found["high"]] == pytest.approx(
        [0.745, differences.mean(), low, high]
    )
    assert math.isnan(table.data.set_index(["setting", "loss"]).loc[("declared", "infonce"), "difference"])


def test_without_such_runs_there_is_no_table() -> None:
    rows = [
        row("image", name, 0, **{"param.loss.temperature": "0.1"}) for name in ("infonce", "infonce@temperature=0.1")
    ]
    assert settings_table(gather(collect(logged(*rows)), DECLARED, "mini")) is None


def test_nothing_is_chosen_of_the_hosts_settings_and_no_benchmark_is_sensitive_by_them() -> None:
    of_loss = [
        row(
            "image",
            f"infonce@temperature={tau}",
            seed,
            None,
            purpose="selection",
            **{"val/accuracy": 0.5, RATE: "0.01"},
        )
        for tau in (0.1, 0.2)
        for seed in (0, 1)
    ]
    of_host = [
        row("image", f"infonce@epochs={epochs}", seed, None, purpose="selection",
            **{"val/accuracy": epochs / 100, "param.benchmark.epochs": str(epochs)})
        for epochs in (60, 90)
        for seed in (0, 1, 2)
    ]  # fmt: skip
    runs = collect(logged(*of_loss, *of_host)).runs
    (choice,) = choose(runs)
    assert (choice.setting, choice.settings, choice.seeds, choice.runs) == ("temperature=0.1", 2, 2, 4)
    (one,) = sensitivities(runs)
    assert (one.settings, one.spread) == (2, 0.0)


@pytest.mark.parametrize(
    ("failure", "trials", "is_blind"), [("node_lost: its node went away", 3, True), ("non_finite: the loss", 3, False)]
)
def test_a_trial_that_collapsed_is_the_worst_and_one_that_a_machine_lost_tells_nothing(
    failure: str, trials: int, is_blind: bool
) -> None:
    levels = {"infonce": [0.0, 0.001, 0.002, 0.5]}
    told = with_failure(searched(levels=levels), "graph", "infonce@trial=3", 100)
    logged_runs = [{**run, "failure": failure} if run["status"] == "FAILED" else run for run in told]
    mine = collect(logged(*logged_runs))
    tried = searches(with_failures(mine.runs, mine.failed, "worst", "selection"))
    found = {one.benchmark: one for one in sensitivities(mine.runs, tried, mine.failed) if one.is_search}
    assert (found["graph"].settings, found["graph"].is_blind) == (trials, is_blind)
