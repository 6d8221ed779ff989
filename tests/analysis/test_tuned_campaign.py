"""From ``suite tune`` to a verdict: what it logs is what rows, claims, curves and prices are made of."""

import json
from pathlib import Path

import pytest

from analysis.evidence.gather import Evidence, gather
from analysis.read.collect import collect
from analysis.read.load import load
from analysis.tables.tuning.budget import budget_table
from analysis.tables.tuning.price import price_table
from tests.cli.test_tune import LOSSES, SEARCH
from tests.cluster import suite_here

CLAIMS = """claims:
  as_tuned: {loss: infonce, loss_at: tuned, is: better, than: cosine, at: tuned}
  declared: {loss: infonce, is: not_worse, than: cosine, at: {trials: 3}}
  more: {loss: infonce, is: not_worse, than: cosine, at: {trials: 9}}
"""
TUNE = ["tune", "--profile", "smoke", "--launcher", "debug", "--budget", "6", *LOSSES, "references", "--json"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evidence, dict[str, str]]:
    folder: Path = tmp_path_factory.mktemp("tuned")
    (folder / "benchmarks.yaml").write_text(SEARCH + CLAIMS)
    done = suite_here(folder, *TUNE)
    assert done.returncode == 0, done.stdout + done.stderr
    logged = load(out=folder / "results", registry=folder / "benchmarks.yaml")
    collected = collect(logged.runs, searched=logged.declared.searched)
    assert collected.left_out.empty, collected.left_out["reason"].tolist()
    chosen = {one["loss"]: one["member"] for one in json.loads(done.stdout)["choices"]}
    return gather(collected, logged.declared, "smoke"), chosen


def test_the_tuned_rows_are_of_what_the_command_chose(campaign: tuple[Evidence, dict[str, str]]) -> None:
    evidence, chosen = campaign
    names = evidence.collected.runs.set_index("run_id")["loss"]
    rows = evidence.rows[evidence.rows["at"] == "tuned"]
    assert set(rows["row"]) == {"cosine (tuned, 6 trials)", "infonce (tuned, 6 trials)"}
    assert {loss: set(names[mine["run_id"]]) for loss, mine in rows.groupby("loss")} == {
        loss: {member} for loss, member in chosen.items()
    }


def test_curves_and_prices_come_from_its_selection_runs(campaign: tuple[Evidence, dict[str, str]]) -> None:
    budget, price = budget_table(campaign[0]), price_table(campaign[0])
    assert budget is not None and price is not None
    assert set(budget.data["k"]) == set(range(1, 7)) and budget.data["low"].notna().all()
    assert price.data[["loss", "against"]].drop_duplicates().to_numpy().tolist() == [["cosine", "infonce"]]
    assert price.data["reason"].eq("").all()


def test_claims_of_more_trials_than_were_run_say_how_many_there_are(campaign: tuple[Evidence, dict[str, str]]) -> None:
    reasons = {one.claim: one.reason for one in campaign[0].verdicts if one.benchmark}
    assert "6 of 9 trials were run: run `python -m suite tune --benchmarks blobs" in reasons["more"]
    assert "--budget 9 --profile smoke`" in reasons["more"]
    assert "no evaluation run" not in reasons["as_tuned"]
