"""The files beside the page: a row a seed, and the paragraph for a paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import scipy

from analysis.evidence.gather import Evidence
from analysis.report import paragraph, scores
from tests.analysis import evidences
from tests.analysis.evidences import CHOSEN, VALIDATED
from tests.analysis.report.test_latex import compiled

HOSTILE = r"x$\foo{$"


@pytest.fixture(scope="module")
def made() -> Evidence:
    return evidences.evidence(effects={("temperature_free", "graph"): -5.0})


def with_failure(made: Evidence) -> tuple[Evidence, pd.DataFrame]:
    """Return evidence with a failed run, and all logged runs."""
    runs = made.collected.runs
    failed = runs.head(1).assign(status="FAILED", reason="failed: non-finite loss", run_id="failed", key="k", seed=9)
    left_out = failed[list(made.collected.left_out.columns)]
    logged = pd.concat([runs, failed.drop(columns="reason")], ignore_index=True)
    return replace(made, collected=replace(made.collected, left_out=left_out)), logged


def test_every_seed_of_every_row_has_its_value_unrounded_and_the_key_of_its_run(made: Evidence, tmp_path: Path) -> None:
    table = pd.read_csv(scores.write(made, made.collected.runs, tmp_path))
    assert list(table.columns) == scores.COLUMNS
    mine = table[(table["row"] == VALIDATED) & (table["benchmark"] == "image") & (table["split"] == "test")]
    rows = made.rows[(made.rows["row"] == VALIDATED) & (made.rows["benchmark"] == "image")].sort_values("seed")
    assert list(mine["seed"]) == [0, 1, 2, 3, 4] and list(mine["value"]) == pytest.approx(list(rows["test"]), rel=1e-15)
    assert set(mine["loss"]) == {f"infonce@temperature={CHOSEN}"} and list(mine["key"]) == list(rows["key"])
    selecting = table[table["purpose"] == "selection"]
    assert (
        set(selecting["split"]) == {"val"}
        and selecting["row"].isna().all()
        and set(selecting["seed"]) == {100, 101, 102}
    )


def test_a_run_that_does_not_count_is_listed_without_a_value_and_says_why(made: Evidence) -> None:
    evidence, logged = with_failure(made)
    table = scores.scores(evidence, logged)
    (failed,) = table[table["status"] != "counts"].to_dict("records")
    assert (failed["status"], failed["key"], failed["seed"]) == ("failed: non-finite loss", "k", 9)
    assert pd.isna(failed["value"])
    assert len(table) == len(scores.scores(made, made.collected.runs)) + 1


def test_rows_are_in_natural_order() -> None:
    many = evidences.evidence([f"benchmark_{i}" for i in (10, 2)], seeds=[2, 10], claims={})
    table = scores.scores(many, many.collected.runs)
    assert list(table["benchmark"].unique()) == ["benchmark_2", "benchmark_10"]
    assert list(table.loc[table["row"] == "dystress", "seed"].unique())[:2] == [2, 10]


def test_the_paragraph_has_the_numbers_of_the_verdicts_and_the_versions(made: Evidence) -> None:
    text = paragraph.paragraph(made)
    assert "We compare 3 losses on 2 benchmarks, graph (accuracy), image (accuracy), at profile mini, with 5" in text
    assert f"scipy {scipy.__version__}" in text and "contrastive-suite " in text
    for one in made.verdicts:
        if one.benchmark:
            assert one.comparison is not None
            assert f"{one.benchmark} {one.label} (" in text
            mean = f"{one.comparison.paired.mean:+.4f}".replace("-", "\N{MINUS SIGN}")
            assert mean in text
        else:
            assert f"(overall {one.label})" in text


def test_runs_that_do_not_count_are_in_the_paragraph_and_a_profile_without_losses_has_none(made: Evidence) -> None:
    evidence, _ = with_failure(made)
    assert "1 logged run of the profile does not count." in paragraph.paragraph(evidence)
    empty = replace(made, rows=made.rows[made.rows["kind"] != "loss"])
    assert paragraph.paragraph(empty) == ""


def test_the_paragraph_compiles_with_hostile_names(tmp_path: Path) -> None:
    made = evidences.evidence(["image", HOSTILE], losses=["infonce", HOSTILE, "对比"], sweep=False)
    plain, latex = paragraph.write(made, tmp_path / "tables")
    assert HOSTILE in plain.read_text(encoding="utf-8")
    done = compiled(latex.read_text(encoding="utf-8"), tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
