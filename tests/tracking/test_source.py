import hashlib
import json
import math
from pathlib import Path

import pytest

from analysis.read.collect import collect
from suite.text.naming import clean_name
from suite.tracking import default_uri, frame
from suite.tracking.entry import CODE_DIGITS, TAG_LIMIT, Events, flatten, read_record
from tests.records_factory import write_run
from tests.tracking.stores import EXPERIMENT, mirror


def test_events_reader_handles_what_kills_leave(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    points, reader = Events().read(path)
    assert points == []
    path.write_text('garbage\n[1]\n\n{"time": 1, "event": "metrics", "step": 1, "values": {"train/a": 1}}\n{"time": 2')
    points, after = reader.read(path)
    assert points == [("train/a", 1, 1.0, 1000)]
    assert reader.read(path)[0] == points, "what was not confirmed is read again"
    with path.open("a") as file:
        file.write(', "event": "metrics", "step": 2, "values": {"train/a": null}}\n')
    ((name, step, value, at),) = after.read(path)[0]
    assert (name, step, at) == ("train/a", 2, 2000) and math.isnan(value)
    path.unlink()
    path.write_text('{"time": 9, "event": "metrics", "step": 1, "values": {"train/a": 5}}\n')
    assert after.read(path)[0] == [("train/a", 1, 5.0, 9000)], "a new file is read from its beginning"


def test_the_shares_of_a_histogram_become_a_series_by_bin(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    shares = {"similarity_positive": [0.0, 0.25, 0.75], "similarity_negative": [1.0, None, 0.0]}
    events = [
        {"time": 3, "event": "metrics", "step": 7, "values": {"train/loss": 0.5}},
        {"time": 4, "event": "histograms", "shares": shares},
        {"time": 5, "event": "histograms", "shares": "none"},
    ]
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    points = Events().read(path)[0]
    assert points[:4] == [
        ("train/loss", 7, 0.5, 3000),
        *(("histogram/similarity_positive", step, share, 4000) for step, share in enumerate([0.0, 0.25, 0.75])),
    ]
    names, steps, values, _ = zip(*points[4:], strict=True)
    assert set(names) == {"histogram/similarity_negative"} and steps == (0, 1, 2)
    assert (values[0], values[2]) == (1.0, 0.0) and math.isnan(values[1])


def test_flatten_and_clean() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}, "d": []}, "e": "x"})) == {"a.b.c": "1", "a.d": "[]", "e": "x"}
    assert clean_name("test/ndcg@10 [%]") == "test/ndcg_10 ___"


def write_code(out: Path, loss: str, modules: int, version: str = "") -> Path:
    """Write a run of a loss that used this many modules, all but one of them like any other loss."""
    names = [f"suite.losses.{loss}", *(f"suite.module_{number}" for number in range(modules - 1))]
    file = out / "runs" / write_run(out, loss=loss) / "run.json"
    code = {name: hashlib.sha256(f"{version}{name}".encode()).hexdigest() for name in names}
    file.write_text(json.dumps({**json.loads(file.read_text()), "code": code}))
    return file.parent


def test_the_code_of_a_run_is_a_tag_while_it_fits(out: Path) -> None:
    record = read_record(write_code(out, "infonce", 100), running=False)
    assert record is not None
    tag = json.loads(record.tags()["suite.code"])
    assert len(tag) == 100 and {len(digest) for digest in tag.values()} == {CODE_DIGITS}
    record = read_record(write_code(out, "infonce", 200), running=False)
    assert record is not None and len(json.dumps(record.run["code"])) > TAG_LIMIT
    assert "suite.code" not in record.tags()


@pytest.mark.parametrize(
    ("modules", "version", "counted"), [(3, "", 2), (3, "older", 1), (200, "", 2), (200, "older", 2)]
)
def test_code_that_fits_no_tag_is_unknown_and_makes_no_run_stale(
    out: Path, modules: int, version: str, counted: int
) -> None:
    write_code(out, "infonce", modules, version)
    write_code(out, "dystress", modules)
    mirror(out).push()
    logged = frame(default_uri(out), EXPERIMENT)
    assert logged["code"].notna().tolist() == [modules == 3] * 2
    assert len(collect(logged).runs) == counted
