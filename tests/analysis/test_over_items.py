"""The second interval, over seeds and test items: what it is made of, where it stands, and where it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.cli.main import main
from analysis.evidence.gather import Evidence, gather
from analysis.evidence.items import Items
from analysis.read.bundle import write
from analysis.read.collect import collect
from analysis.read.items import ByRun
from analysis.read.load import load
from analysis.read.logged import Logged
from analysis.statistics.items import crossed_interval
from analysis.tables.items import HEADING
from analysis.tables.verdict_text import lines
from suite.outcomes import Outcomes
from suite.registry.claims import Claim, Declared
from tests.analysis import frames
from tests.cluster import suite_here, toy_registry

SEEDS, ITEMS, MARGIN = range(5), 80, 0.05
DECLARED = Declared("infonce", {"free": Claim("free", "not_worse", "infonce", "declared", "a paper")})


def campaign() -> tuple[Logged, ByRun]:
    """Two losses on one benchmark, whose items are hard or easy for both."""
    rng = np.random.default_rng(0)
    easy, rows, found = rng.normal(size=ITEMS), [], {}
    for loss, level in (("infonce", 0.6), ("free", 0.45)):
        of_loss = 0.7 * rng.normal(size=ITEMS)
        for seed in SEEDS:
            right = easy + of_loss + level + 0.3 * rng.normal(size=ITEMS) > 0
            rows.append(frames.row("image", loss, seed, float(right.mean()), margin=MARGIN, end=None))
            found[rows[-1]["run_id"]] = {"accuracy": Outcomes("mean", right)}
    frame = frames.logged(*rows).astype({"seed": "Int64"})
    return Logged(frame, DECLARED, experiment="toy", read_outcomes=lambda ids: {i: found[i] for i in ids}), found


def evidence(with_items: bool = True) -> Evidence:
    logged, _ = campaign()
    given = {"outcomes": logged.outcomes} if with_items else {}
    return gather(collect(logged.runs), DECLARED, "mini", **given)


def test_the_interval_is_made_of_seeds_and_of_the_same_items_for_both_losses_and_all_seeds() -> None:
    _, found = campaign()
    (one,) = (verdict.comparison for verdict in evidence().verdicts if verdict.comparison)
    assert one.of_items is not None and one.of_items.items == ITEMS
    by_loss = [
        np.mean([run["accuracy"].values for name, run in found.items() if loss in name], axis=0)
        for loss in ("-free-", "-infonce-")
    ]
    variance = float(np.var(by_loss[0] - by_loss[1], ddof=1)) / ITEMS
    assert one.of_items.variance == pytest.approx(variance)
    expected = crossed_interval(one.paired.mean, one.paired.std, 5, variance, one.level)
    assert one.crossed == pytest.approx(expected)
    assert one.crossed[0] < one.paired.low and one.crossed[1] > one.paired.high


def pairs(first: Sequence[Outcomes | None], second: Sequence[Outcomes | None]) -> tuple[Items, list[str], list[str]]:
    named = {f"{side}{place}": one for side, runs in (("a", first), ("b", second)) for place, one in enumerate(runs)}
    found = {name: {"accuracy": one} for name, one in named.items() if one is not None}
    return Items(lambda ids: found, named), [n for n in named if n[0] == "a"], [n for n in named if n[0] == "b"]


def test_items_that_are_hard_for_both_losses_cancel() -> None:
    rng = np.random.default_rng(1)
    hard = [Outcomes("mean", rng.normal(size=50)) for _ in range(3)]
    items, first, second = pairs(hard, [Outcomes("mean", one.values - 0.1) for one in hard])
    found = items.between(first, second, "accuracy")
    assert found is not None and found.variance == pytest.approx(0.0, abs=1e-25)


def test_runs_without_outcomes_or_of_other_items_have_no_second_interval() -> None:
    values, truth = np.linspace(0, 1, 20), np.arange(20) % 2
    one = Outcomes("roc_auc", values, truth)
    for other in (None, Outcomes("roc_auc", values, 1 - truth), Outcomes("roc_auc", values[:9], truth[:9])):
        items, first, second = pairs([one], [other])
        assert items.between(first, second, "accuracy") is None
    items, first, second = pairs([one], [one])
    assert items.between(first, second, "accuracy") is not None
    assert items.between(first, second, "another") is None
    assert items.between([], [], "accuracy") is None


def test_nothing_speaks_of_items_where_no_run_kept_them() -> None:
    assert not any("items" in line for line in lines(evidence(with_items=False)))
    assert any(f"over seeds and {ITEMS} test items [" in line for line in lines(evidence()))


def bundle(folder: Path, with_items: bool) -> Path:
    runs, *rest = write(campaign()[0], folder)
    if not with_items:
        rest[-1].unlink()
    return runs


def test_a_bundle_has_the_outcomes_of_evaluation_runs_alone(tmp_path: Path) -> None:
    logged, _ = campaign()
    runs = logged.runs.assign(purpose=["selection", *["evaluation"] * (len(logged.runs) - 1)])
    assert len(logged.outcomes()) == len(runs)
    file = write(replace(logged, runs=runs), tmp_path)[0]
    assert load([str(file)]).outcomes().keys() == set(runs["run_id"][1:])


@pytest.mark.parametrize("with_items", [True, False])
def test_every_format_has_the_second_interval_or_none_has(
    with_items: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = bundle(tmp_path, with_items)
    assert main(["report", "--from", str(file)]) == 0
    assert (f"over seeds and {ITEMS} test items [" in capsys.readouterr().out) == with_items
    for name in ("verdicts", "significance"):
        for suffix in ("md", "tex", "html"):
            assert (HEADING in (tmp_path / "tables" / "mini" / f"{name}.{suffix}").read_text()) == with_items
        assert ("low_items" in (tmp_path / "tables" / "mini" / f"{name}.csv").read_text()) == with_items
    page = (tmp_path / "report.html").read_text()
    assert (f"ver seeds and {ITEMS} test items [" in page) == with_items
    assert (HEADING in page) == with_items


def test_one_seed_has_no_interval_of_any_kind() -> None:
    logged, _ = campaign()
    runs = logged.runs[logged.runs["seed"] == 0].reset_index(drop=True)
    found = gather(collect(runs), DECLARED, "mini", outcomes=logged.outcomes)
    assert all(math.isnan(one.crossed[0]) for one in found.comparisons)
    assert not any("test items" in line for line in lines(found))


def test_a_campaign_brings_its_items_through_export_to_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_registry(tmp_path)
    done = suite_here(tmp_path, "run", "--profile", "smoke", "--losses", "good", "--launcher", "debug", "--quiet")
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--registry", "benchmarks.yaml"]) == 0
    assert "items.parquet" in capsys.readouterr().out
    assert main(["significance", "--from", "results/bundle/runs.parquet", "--out", "there"]) == 0
    assert "errs to the wide side" in " ".join(capsys.readouterr().out.split())
    from_bundle = Path("there/tables/smoke/significance.csv").read_text()
    assert "low_items" in from_bundle and ",0.01,32," in from_bundle
    assert main(["significance", "--registry", "benchmarks.yaml"]) == 0
    assert Path("results/tables/smoke/significance.csv").read_text() == from_bundle
