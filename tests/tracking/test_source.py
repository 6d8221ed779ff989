import json
import math
from pathlib import Path

from suite.tracking.source import Events, clean_name, flatten


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
