import dataclasses
import json
import math
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.read.bundle import merge, read, write
from analysis.read.collect import collect
from analysis.read.load import load
from analysis.read.logged import Logged
from analysis.read.origins import provenance
from suite.problems import InputError
from suite.registry.claims import Claim, Declared, Published
from suite.tracking.bundle import METADATA, digest
from suite.tracking.series import long_table
from tests.analysis.frames import logged as frame_of
from tests.analysis.frames import row

DECLARED = Declared(
    "infonce",
    {"free": Claim("temperature_free", "not_worse", "infonce", "validated", "a paper")},
    {"image": [Published("infonce", "accuracy", 0.9, "table 1", "200 epochs")]},
)
LOSS = "train/loss"
BINS = "histogram/similarity_positive"


def runs(count: int = 4, **others: object) -> pd.DataFrame:
    """Rows with every column that a frame from MLflow has, some of them failed or duplicates."""
    rows = []
    for seed in range(count):
        state = {"status": "FAILED", "failure": "data: no file"} if seed == 2 else {}
        values = {
            "margin": 0.01, "git": "abc", "code": json.dumps({"suite.training": f"v{seed % 2}", "suite.pairs": "v"}),
            "packages": '{"torch":"2.15"}', "hardware": '{"cores":2}', "record": f"r{seed}",
            "end": pd.Timestamp(100 + seed, unit="s", tz="UTC") if seed != 3 else pd.NaT,
            "param.benchmark.epochs": "3", "param.loss.temperature": "0.5" if seed else math.nan,
            "param.data.cora.nodes": "ab" * 32, LOSS: 0.1, BINS: 0.2, **state, **others,
        }  # fmt: skip
        rows.append(row("image", "infonce", seed % 3 if seed < 4 else seed, start=seed, **values))
    return frame_of(*rows).astype({"seed": "Int64", "failure": "str"})


def points(run_id: str, name: str) -> tuple[list[int], list[float]]:
    """What one run logged: lengths and values of its own, a few of them not finite, and for some runs nothing."""
    draws = random.Random(f"{run_id} {name}")
    count = draws.choice([0, 1, 7])
    return [5 * i for i in range(count)], [draws.choice([draws.random(), math.nan, math.inf]) for _ in range(count)]


def read_points(run_ids: object, names: object) -> pd.DataFrame:
    listed = [
        (run_id, name, step, value)
        for run_id in sorted(run_ids)
        for name in sorted(names)
        for step, value in zip(*points(run_id, name), strict=True)
    ]
    table = long_table([], [], [])
    return pd.DataFrame(listed, columns=table.columns).astype(table.dtypes.to_dict())


def campaign(count: int = 4, **others: object) -> Logged:
    ordered = runs(count, **others).sort_values(["benchmark", "loss", "seed", "run_id"], ignore_index=True)
    return Logged(ordered, DECLARED, "memory", "first", read_points)


def part(whole: Logged, rows: list[int]) -> Logged:
    return Logged(whole.runs.iloc[rows].reset_index(drop=True), whole.declared, "part", "first", whole.read_points)


def assert_same(a: Logged, b: Logged) -> None:
    pd.testing.assert_frame_equal(a.runs, b.runs[list(a.runs.columns)])
    assert set(b.runs.columns) == set(a.runs.columns)
    pd.testing.assert_frame_equal(a.curves(), b.curves())
    assert a.declared == b.declared and a.experiment == b.experiment


def test_a_bundle_gives_back_every_run_every_curve_and_what_was_declared(tmp_path: Path) -> None:
    whole = campaign()
    file, manifest = write(whole, tmp_path / "new")
    assert (file.name, manifest.name) == ("runs.parquet", "manifest.json")
    assert_same(whole, read(file))
    assert set(whole.runs["status"]) == {"FINISHED", "FAILED"}, "what does not count is in it as well"


def test_curves_are_read_by_run_and_by_name(tmp_path: Path) -> None:
    whole = campaign(8)
    bundled = read(write(whole, tmp_path)[0])
    assert bundled.curve_names == [BINS, LOSS]
    ids = list(whole.runs["run_id"][[5, 1, 2]])
    pd.testing.assert_frame_equal(bundled.curves(ids, [LOSS]), whole.curves(ids, [LOSS]))
    assert bundled.curves(["unknown"]).empty and bundled.curves(ids, ["test/accuracy"]).empty
    assert list(bundled.curves(names=[]).columns) == ["run_id", "name", "step", "value"]


def test_the_same_runs_give_the_same_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    whole = campaign(6)
    shuffled = part(whole, [3, 0, 5, 1, 4, 2])
    contents = [
        [file.read_bytes() for file in write(one, tmp_path / str(number))]
        for number, one in enumerate((whole, whole, shuffled, read(write(whole, tmp_path / "again")[0])))
    ]
    assert contents[1:] == contents[:1] * 3


@pytest.mark.parametrize("parts", [[[0, 1], [2, 3, 4, 5]], [[4, 2, 0], [5, 3], [1]], [[0, 1, 2, 3], [2, 3, 4, 5]]])
def test_merged_bundles_equal_the_bundle_of_everything(tmp_path: Path, parts: list[list[int]]) -> None:
    whole = campaign(6)
    files = [write(part(whole, rows), tmp_path / str(number))[0] for number, rows in enumerate(parts)]
    for order in (files, files[::-1]):
        merged = merge([read(file) for file in order])
        assert_same(whole, merged)
        assert write(merged, tmp_path / "merged")[0].read_bytes() == write(whole, tmp_path / "whole")[0].read_bytes()


def test_a_run_in_several_bundles_is_no_duplicate_of_itself(tmp_path: Path) -> None:
    whole = campaign(2)
    elsewhere = Logged(whole.runs.assign(run_id=["x", "y"]), whole.declared, "b", "first", read_points)
    merged = merge([whole, elsewhere])
    assert len(merged.runs) == 2
    assert not collect(merged.runs).left_out["reason"].str.contains("duplicate").any()
    assert set(merged.curves()["run_id"]) <= set(merged.runs["run_id"])


def test_of_a_run_that_was_exported_before_and_after_its_end_the_finished_one_counts() -> None:
    finished = campaign(1)
    early = finished.runs.assign(status="RUNNING", end=pd.Series([pd.NaT], dtype="datetime64[us, UTC]"))
    running = Logged(early, DECLARED, "early", "first")
    for parts in ([finished, running], [running, finished]):
        merged = merge(parts)
        assert list(merged.runs["status"]) == ["FINISHED"]
        pd.testing.assert_frame_equal(merged.curves(), finished.curves())


def test_bundles_with_unlike_metrics_merge() -> None:
    image = campaign(2)
    graph = Logged(frame_of(row("graph", "infonce", 0, metric="f1", record="g")), Declared(), "b", "first")
    runs = merge([image, graph]).runs
    assert list(runs["benchmark"]) == ["graph", "image", "image"] and runs["test/f1"].notna().tolist() == [True, 0, 0]
    assert merge([graph, image]).declared == DECLARED, "a part that declares nothing does not count"


def test_what_trials_set_for_themselves_is_known_whichever_bundle_comes_first() -> None:
    declared, rate = runs(2).assign(record=["d0", "d1"]), "param.benchmark.learning_rate"
    trials = declared.assign(loss="infonce@trial=1", key=["t0", "t1"], record=["t0", "t1"], run_id=["t0", "t1"])
    parts = [
        Logged(declared.assign(**{rate: "0.1"}), DECLARED, "declared", "first"),
        Logged(trials.assign(**{rate: "0.3"}), dataclasses.replace(DECLARED, searched={"image": ["learning_rate"]})),
    ]
    for order in (parts, parts[::-1]):
        for merged in (merge(order), merge(order, DECLARED)):
            found = collect(merged.runs, keep_stale=True, searched=merged.declared.searched)
            assert set(found.runs["loss"]) == {"infonce", "infonce@trial=1"}


def rewritten(file: Path, change: object) -> None:
    table = pq.read_table(file)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), file)  # type: ignore[operator]


def test_a_changed_run_is_noticed_at_reading(tmp_path: Path) -> None:
    file = write(campaign(), tmp_path)[0]
    column = pq.read_schema(file).get_field_index("test/accuracy")

    def change(table: pa.Table) -> pa.Table:
        values = table["test/accuracy"].to_pylist()
        return table.set_column(column, "test/accuracy", pa.array([values[0] + 1e-12, *values[1:]]))

    rewritten(file, change)
    with pytest.raises(InputError, match="was changed after its export: its runs have sha256"):
        read(file)


def test_a_run_that_was_taken_out_is_noticed_at_reading(tmp_path: Path) -> None:
    file = write(campaign(), tmp_path)[0]
    rewritten(file, lambda table: table.slice(1))
    with pytest.raises(InputError, match="changed after its export"):
        read(file)


def test_a_changed_curve_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    whole = campaign(6)
    file = write(whole, tmp_path)[0]
    name = f"curve.{LOSS}.value"
    column = pq.read_schema(file).get_field_index(name)

    def change(table: pa.Table) -> pa.Table:
        lists = table[name].to_pylist()
        longest = max(range(len(lists)), key=lambda index: len(lists[index]))
        lists[longest][0] = -1.0
        return table.set_column(column, name, pa.array(lists, pa.list_(pa.float64())))

    rewritten(file, change)
    bundled = read(file)
    pd.testing.assert_frame_equal(bundled.curves(names=[BINS]), whole.curves(names=[BINS]))
    with pytest.raises(InputError, match="its curves of train/loss have sha256"):
        bundled.curves()


def test_a_file_written_anew_with_the_same_values_is_the_same_bundle(tmp_path: Path) -> None:
    whole = campaign(6)
    file = write(whole, tmp_path)[0]
    table = pq.read_table(file)
    pq.write_table(table, file, compression="gzip", row_group_size=2, use_dictionary=False)
    assert_same(whole, read(file))


def test_no_runs_make_a_bundle_too(tmp_path: Path) -> None:
    empty = Logged(runs(1).iloc[:0], Declared(), "memory", "first", read_points)
    bundled = read(write(empty, tmp_path)[0])
    assert bundled.runs.empty and bundled.curves().empty


ITEMS = st.one_of(st.none(), st.floats(), st.just(-0.0))
LISTS = st.lists(st.lists(st.floats(), max_size=3), max_size=4)


@settings(max_examples=60)
@given(st.lists(ITEMS, max_size=6), st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=6), LISTS, st.data())
def test_a_digest_depends_on_values_and_not_on_where_they_lie(
    numbers: list[float | None], texts: list[str | None], lists: list[list[float]], data: st.DataObject
) -> None:
    kinds = (pa.float64(), pa.string(), pa.list_(pa.float64()))
    for values, kind in zip((numbers, texts, lists), kinds, strict=True):
        array = pa.array(values, kind)
        padded = pa.array([*values[:1], *values, *values[-1:]], kind)
        moved = padded[len(values[:1]) : len(values[:1]) + len(values)]
        assert digest({"a": moved}) == digest({"a": array}) != digest({"b": array})
        if values:
            place = data.draw(st.integers(0, len(values) - 1))
            other: object = (
                "other" if kind == pa.string() else [0.5, 0.5, 0.5, 0.5] if pa.types.is_list(kind) else 0.123
            )
            if values[place] != other:
                changed = [*values[:place], other, *values[place + 1 :]]
                assert digest({"a": pa.array(changed, kind)}) != digest({"a": array})


def test_a_digest_tells_apart_what_has_the_same_contents() -> None:
    arrays = [
        pa.array(["ab", "c"]), pa.array(["a", "bc"]), pa.array(["ab", "c", None]), pa.array(["ab", "c", ""]),
        pa.array([[1.0], [2.0]]), pa.array([[1.0, 2.0], []]), pa.array([1.0, 2.0]), pa.array([1, 2]),
        pa.array([0.0]), pa.array([-0.0]), pa.array([None], pa.float64()), pa.array([math.nan]),
    ]  # fmt: skip
    assert len({digest({"a": array}) for array in arrays}) == len(arrays)


def test_the_manifest_says_what_the_runs_were_made_with_and_where_they_differ(tmp_path: Path) -> None:
    file, beside = write(campaign(), tmp_path)
    manifest = json.loads(beside.read_text())
    assert manifest == json.loads(pq.read_schema(file).metadata[METADATA])
    assert manifest["schema"] == 2 and manifest["experiment"] == "first"
    assert manifest["runs"] == {"mini": {"image": 4}}
    assert manifest["keys"] == ["image/infonce/0", "image/infonce/1", "image/infonce/2"]
    assert manifest["code"] == {"image": {"suite.pairs": {"v": 4}, "suite.training": {"v0": 2, "v1": 2}}}
    assert manifest["data"] == {"cora.nodes": {"ab" * 32: 4}}
    assert (manifest["packages"], manifest["hardware"]) == ({"torch": {"2.15": 4}}, {"cores": {"2": 4}})
    assert manifest["git"] == {"abc": 4} and manifest["differing"] == ["code.image.suite.training"]
    assert Declared.from_json(manifest["declared"]) == DECLARED
    assert set(manifest["sha256"]["curves"]) == {LOSS, BINS}


def claiming(*names: str) -> Declared:
    published = Published("infonce", "accuracy", 0.9, "table 1")
    claims = {name: Claim("temperature_free", "not_worse", "infonce") for name in names}
    return Declared("infonce", claims, {name: [published] for name in names})


@pytest.mark.parametrize("names", [("strict", "bold", "mild"), ("mild", "bold", "strict")])
def test_claims_and_published_figures_keep_the_order_in_which_they_were_declared(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    whole = dataclasses.replace(campaign(), declared=claiming(*names))
    file, beside = write(whole, tmp_path / "first")
    other = write(dataclasses.replace(campaign(), declared=claiming(*sorted(names))), tmp_path / "other")[0]
    manifest = json.loads(beside.read_text())["declared"]
    assert tuple(manifest["claims"]) == tuple(manifest["published"]) == names
    for logged in (read(file), merge([read(file), read(other)]), load([str(file), str(other)])):
        assert tuple(logged.declared.claims) == tuple(logged.declared.published) == names
    again = write(read(file), tmp_path / "again")
    assert [path.read_bytes() for path in again] == [file.read_bytes(), beside.read_bytes()]


def test_a_manifest_in_alphabetical_order_as_older_versions_wrote_it_is_read(tmp_path: Path) -> None:
    whole = dataclasses.replace(campaign(), declared=claiming("strict", "bold"))
    file, beside = write(whole, tmp_path)
    older = json.dumps(json.loads(beside.read_text()), sort_keys=True)
    pq.write_table(pq.read_table(file).replace_schema_metadata({METADATA: older}), file)
    assert_same(whole, read(file))
    assert list(read(file).declared.claims) == ["bold", "strict"]


def test_older_runs_without_provenance_have_none() -> None:
    bare = runs(2).assign(code=math.nan, packages=math.nan, hardware=math.nan, git=["a", "b"])
    found = provenance(bare)
    assert (found["code"], found["packages"], found["hardware"]) == ({}, {}, {})
    assert found["differing"] == ["git"]


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(6) * 10.0 ** np.arange(-300, 300, 100)
    whole = campaign(6)
    whole.runs["test/accuracy"] = values
    assert read(write(whole, tmp_path)[0]).runs["test/accuracy"].to_numpy().tobytes() == values.tobytes()
