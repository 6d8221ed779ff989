"""Outcomes of test items in bundles: they come back as they were, checked, and their absence breaks nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.read import items as read_items
from analysis.read.bundle import merge, read, write
from analysis.read.items import FILE, ByRun, of_records
from analysis.read.logged import Logged
from suite.outcomes import Outcomes
from suite.problems import InputError
from suite.records import items
from tests import records_factory
from tests.analysis.test_bundle import campaign

RNG = np.random.default_rng(0)
OUTCOMES = {
    "accuracy": Outcomes("mean", RNG.random(50) < 0.5, weights=RNG.integers(0, 3, 50).astype(np.uint8)),
    "roc_auc": Outcomes("roc_auc", RNG.normal(size=(3, 50)).astype(np.float32), RNG.random((3, 50)) < 0.5),
    "spearman": Outcomes("spearman", RNG.normal(size=50), RNG.integers(0, 5, 50).astype(np.float32)),
}


def with_items(whole: Logged, without: Sequence[int] = ()) -> Logged:
    kept = [run_id for number, run_id in enumerate(whole.runs["run_id"]) if number not in without]
    return dataclasses.replace(
        whole, read_outcomes=lambda run_ids: {run_id: OUTCOMES for run_id in run_ids if run_id in kept}
    )


def assert_same(found: ByRun, expected: ByRun) -> None:
    assert found.keys() == expected.keys()
    for run_id, of_run in expected.items():
        assert found[run_id].keys() == of_run.keys()
        for metric, one in of_run.items():
            other = found[run_id][metric]
            assert other.statistic == one.statistic
            assert other.value() == one.value()
            assert {k: v.tolist() for k, v in other.arrays().items()} == {
                k: v.tolist() for k, v in one.arrays().items()
            }


def test_outcomes_come_back_and_the_same_outcomes_give_the_same_bytes(tmp_path: Path) -> None:
    whole = with_items(campaign(), without=[1])
    files = write(whole, tmp_path / "a")
    assert [file.name for file in files] == ["runs.parquet", "manifest.json", FILE]
    assert_same(read(files[0]).outcomes(), whole.outcomes())
    assert_same(
        read(files[0]).outcomes(["unknown", whole.runs["run_id"][0]]), whole.outcomes([whole.runs["run_id"][0]])
    )
    again = write(read(files[0]), tmp_path / "b")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def test_a_bundle_without_the_second_file_has_no_outcomes_and_is_whole(tmp_path: Path) -> None:
    files = write(with_items(campaign()), tmp_path)
    files[2].unlink()
    assert read(files[0]).outcomes() == {}


def test_an_export_without_outcomes_is_what_it_was_before_there_were_any(tmp_path: Path) -> None:
    write(with_items(campaign()), tmp_path)
    assert [file.name for file in write(campaign(), tmp_path)] == ["runs.parquet", "manifest.json"]
    assert not (tmp_path / FILE).exists()
    assert "items" not in (tmp_path / "manifest.json").read_text()


def changed(table: pa.Table) -> pa.Table:
    values = table["values"].to_pylist()
    values[0][0] = 1.0 - values[0][0]
    return table.set_column(4, table.schema.field("values"), pa.array(values, table.schema.field("values").type))


@pytest.mark.parametrize("name", ["changed", "cut", "other-columns", "text"])
def test_a_second_file_that_is_not_the_one_that_was_written_is_refused(name: str, tmp_path: Path) -> None:
    runs, _, second = write(with_items(campaign()), tmp_path)
    if name == "changed":
        pq.write_table(changed(pq.read_table(second)), second)
    elif name == "other-columns":
        pq.write_table(pq.read_table(second).drop_columns(["part"]), second)
    else:
        second.write_bytes(second.read_bytes()[:100] if name == "cut" else b"run_id,metric\n")
    with pytest.raises(InputError, match=FILE):
        read(runs).outcomes()


def test_a_second_file_with_values_that_are_no_outcomes_is_refused(tmp_path: Path) -> None:
    whole = with_items(campaign())
    table = read_items.table_of(whole.outcomes(), list(whole.runs["run_id"]))
    truth = pa.array([[]] * len(table), table.schema.field("truth").type)
    bad = table.set_column(5, table.schema.field("truth"), truth)
    read_items.write(bad, tmp_path)
    reader = read_items.of_bundle(tmp_path / "runs.parquet", read_items.digest_of(bad))
    with pytest.raises(InputError, match="needs a truth"):
        reader(list(whole.runs["run_id"]))


def test_merged_bundles_have_the_outcomes_of_both(tmp_path: Path) -> None:
    whole = with_items(campaign())
    halves = []
    for name, rows in (("a", [0, 1]), ("b", [2, 3])):
        part = dataclasses.replace(whole, runs=whole.runs.iloc[rows].reset_index(drop=True))
        halves.append(read(write(part, tmp_path / name)[0]))
    assert_same(merge(halves).outcomes(), whole.outcomes())


def test_records_give_the_outcomes_of_their_own_execution_and_damage_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [records_factory.write_run(tmp_path, seed=seed) for seed in range(3)]
    for key in keys[:2]:
        records_factory.add_items(tmp_path, key, {"accuracy": OUTCOMES["accuracy"]})
    runs = pd.DataFrame({"run_id": ["x", "y", "z"], "key": keys, "record": "r1"})
    read_all = of_records([tmp_path / "nowhere", tmp_path], runs)
    expected = {run_id: {"accuracy": OUTCOMES["accuracy"]} for run_id in ("x", "y")}
    assert_same(read_all(["x", "y", "z"]), expected)
    assert_same(read_all(["y"]), {"y": expected["y"]})
    assert of_records([tmp_path], runs.assign(record="r2"))(["x"]) == {}
    (tmp_path / "runs" / keys[0] / items.FILE).write_bytes(b"torn")
    assert list(read_all(["x", "y"])) == ["y"]
    assert "counts as missing" in caplog.text and keys[0] in caplog.text
