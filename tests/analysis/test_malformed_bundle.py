"""Bundles that were edited, cut or made by something else: one line a fault, and exit status 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.cli.main import main
from analysis.read.bundle import merge, read, write
from suite.problems import InputError
from suite.tracking.bundle import CURVE, METADATA, NEEDED, columns_of, digest
from tests.analysis.test_bundle import campaign

Change = Callable[[pa.Table], pa.Table]


def rewritten(file: Path, change: Change, manifest: Callable[[dict[str, Any]], object] = lambda m: None) -> Path:
    """Change a bundle's runs and its manifest, with a digest that fits the changed runs."""
    table = pq.read_table(file)
    said = json.loads(table.schema.metadata[METADATA])
    table = change(table.replace_schema_metadata(None))
    names = [name for name in table.column_names if not name.startswith(CURVE)]
    said["sha256"]["runs"] = digest(columns_of(table.select(names)))
    manifest(said)
    pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(said)}), file)
    return file


def set_column(name: str, values: object) -> Change:
    def change(table: pa.Table) -> pa.Table:
        array = values if isinstance(values, pa.Array) else pa.array([values] * len(table))
        return table.set_column(table.column_names.index(name), name, array)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((lambda table, name=name: table.drop_columns([name]), f"has no column {name}") for name in NEEDED),
        (set_column("status", True), "column status holds bool, not text"),
        (set_column("status", "done"), "column status holds 'done'; it knows FAILED"),
        (set_column("code", "not JSON"), "column code holds what is no object of JSON"),
        (set_column("hardware", "[1]"), "column hardware holds what is no object of JSON"),
        (set_column("test/accuracy", "0.9"), "column test/accuracy holds string, not numbers"),
        (set_column("margin", 0.0), "column margin holds 0, and a margin is above 0"),
        (set_column("margin", -0.1), "column margin holds -0.1, and a margin is above 0"),
        (set_column("seed", 0.5), "column seed holds double, not whole numbers"),
        (set_column("start", "now"), "column start holds string, not times"),
    ],
)
def test_a_malformed_column_is_refused_in_one_line(
    change: Change, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rewritten(write(campaign(), tmp_path)[0], change)
    assert main(["verdict", "--from", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and "Traceback" not in said.err
    assert len([line for line in said.err.splitlines() if str(file) in line]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said.pop("sha256"), "its manifest has no sha256 of its parts"),
        (lambda said: said["sha256"].pop("declared"), "its manifest has no sha256 of the declared"),
        (lambda said: said["sha256"].update(curves=[]), "its manifest has no sha256 of the curves"),
        (lambda said: said.pop("declared"), "its manifest has no declared claims"),
        (lambda said: said.pop("experiment"), "its manifest names no experiment"),
        (lambda said: said["sha256"]["curves"].update({"train/other": "0"}), "lacks the curves of train/other"),
        (lambda said: said["declared"]["claims"]["free"].update(relation="better"), "what it declares has sha256"),
        (lambda said: said["declared"].update(baseline="dystress"), "what it declares has sha256"),
    ],
)
def test_a_manifest_that_was_edited_or_cut_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rewritten(write(campaign(), tmp_path)[0], lambda table: table, change)
    assert main(["verdict", "--from", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and "Traceback" not in said.err


def test_bundles_that_give_one_run_other_values_do_not_merge(tmp_path: Path) -> None:
    file = write(campaign(), tmp_path / "a")[0]
    other = rewritten(write(campaign(), tmp_path / "b")[0], set_column("test/accuracy", 0.9))
    for order in ([file, other], [other, file]):
        with pytest.raises(InputError, match="has different test/accuracy"):
            merge([read(one) for one in order])
    assert len(merge([read(file), read(file)]).runs) == len(read(file).runs)
