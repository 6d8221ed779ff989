"""Outcomes of items: their statistic is the metric, and a file gives back what was written, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from suite.outcomes import Outcomes
from suite.records import items
from suite.training import Evaluated, on_both_splits
from suite.work.items import of_test_items

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(2, 40)).round(1)  # with ties
TRUTH = RNG.random((2, 40)) < 0.3


def test_the_statistic_is_that_of_the_libraries() -> None:
    right, weights = RNG.random(40) < 0.4, RNG.integers(0, 4, 40)
    assert Outcomes("mean", right).value() == pytest.approx(right.mean(), abs=1e-15)
    assert Outcomes("mean", right, weights=weights).value() == pytest.approx(np.average(right, weights=weights))
    auc = np.mean([roc_auc_score(truth, scores) for truth, scores in zip(TRUTH, SCORES, strict=True)])
    assert Outcomes("roc_auc", SCORES, TRUTH).value() == pytest.approx(auc, abs=1e-15)
    rank_correlation = stats.spearmanr(SCORES[0], SCORES[1]).statistic
    assert Outcomes("spearman", SCORES[0], SCORES[1]).value() == pytest.approx(rank_correlation, abs=1e-15)
    assert Outcomes("spearman", np.zeros(40), SCORES[1]).value() == 0.0


@pytest.mark.parametrize(
    ("statistic", "values", "others", "said"),
    [
        ("median", SCORES, {}, "unknown"),
        ("mean", np.zeros((2, 3, 4)), {}, "shape"),
        ("mean", np.zeros(0), {}, "shape"),
        ("mean", np.array([1.0, np.nan]), {}, "finite"),
        ("mean", np.array(["a", "b"]), {}, "finite"),
        ("mean", SCORES, {"truth": TRUTH}, "no truth"),
        ("mean", SCORES, {"weights": np.zeros((2, 40))}, "not all 0"),
        ("mean", SCORES, {"weights": np.ones(40)}, "shape"),
        ("roc_auc", SCORES, {}, "needs a truth"),
        ("roc_auc", SCORES, {"truth": np.ones((2, 40))}, "the same"),
        ("roc_auc", SCORES, {"truth": SCORES}, "0 or 1"),
        ("spearman", SCORES, {"truth": TRUTH, "weights": np.ones((2, 40))}, "no weights"),
    ],
)
def test_what_is_no_outcome_is_refused(
    statistic: str, values: np.ndarray, others: Mapping[str, np.ndarray], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Outcomes(statistic, values, **others)


def test_float32_is_taken_where_it_leaves_the_statistic_alone() -> None:
    assert Outcomes("roc_auc", SCORES, TRUTH).compact().values.dtype == np.float32
    collapsed = 1.0 + 1e-12 * SCORES
    kept = Outcomes("roc_auc", collapsed, TRUTH).compact()
    assert kept.values.dtype == np.float64
    assert kept.value() == Outcomes("roc_auc", SCORES, TRUTH).value()


def test_a_file_gives_back_what_was_written_with_the_same_bytes(tmp_path: Path) -> None:
    outcomes = {"a/b": Outcomes("roc_auc", SCORES, TRUTH), "right": Outcomes("mean", TRUTH[0], weights=RNG.random(40))}
    said = items.write(tmp_path, outcomes)
    assert said["metrics"] == {
        "a/b": {"statistic": "roc_auc", "items": 40},
        "right": {"statistic": "mean", "items": 40},
    }
    assert said == items.write(tmp_path, outcomes)
    read = items.read(tmp_path / items.FILE, said["sha256"])
    assert read.keys() == outcomes.keys()
    for name, one in outcomes.items():
        assert read[name].statistic == one.statistic
        assert {k: v.tolist() for k, v in read[name].arrays().items()} == {
            k: v.tolist() for k, v in one.arrays().items()
        }
        assert [array.dtype for array in read[name].arrays().values()] == [a.dtype for a in one.arrays().values()]


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    said = items.write(tmp_path, {"right": Outcomes("mean", TRUTH[0])})
    file = tmp_path / items.FILE
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="sha256 differs"):
        items.read(file, said["sha256"])


class Pickled:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("pwned"),)


@pytest.mark.parametrize(
    "arrays",
    [
        {"right/mean/values": np.array([Pickled()], dtype=object)},
        {"right/mean/values": np.array(["text"])},
        {"right": np.ones(3)},
        {"right/mean/others": np.ones(3)},
        {"right/mean/weights": np.ones(3)},
        {"right/median/values": np.ones(3)},
    ],
    ids=["pickle", "text", "no-statistic", "no-field", "no-values", "unknown-statistic"],
)
def test_a_file_that_holds_something_else_is_refused_and_never_unpickled(
    arrays: Mapping[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / items.FILE, allow_pickle=True, **arrays)
    sha256 = hashlib.sha256((tmp_path / items.FILE).read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="holds no outcomes"):
        items.read(tmp_path / items.FILE, sha256)
    assert not Path("pwned").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    single = io.BytesIO()
    np.save(single, np.ones(3))
    for content in (b"", b"PK\x03\x04", single.getvalue()):
        (tmp_path / items.FILE).write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        with pytest.raises(ValueError, match="holds no outcomes"):
            items.read(tmp_path / items.FILE, sha256)


def test_evaluations_keep_metrics_and_outcomes_by_split() -> None:
    right = Outcomes("mean", TRUTH[0])
    both = on_both_splits(lambda split: Evaluated({"accuracy": right.value(), "f1": 0.5}, {"accuracy": right}))
    assert list(both) == ["val/accuracy", "val/f1", "test/accuracy", "test/f1"]
    assert list(both.outcomes) == ["val/accuracy", "test/accuracy"]
    assert on_both_splits(lambda split: {"f1": 0.5}).outcomes == {}
    with pytest.raises(ValueError, match="top_1"):
        Evaluated({"accuracy": 0.5}, {"top_1": right})


def test_a_run_keeps_the_test_items_whose_statistic_is_the_metric(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right = Outcomes("mean", TRUTH[0])
    metrics = {"val/accuracy": right.value(), "test/accuracy": right.value(), "test/other": right.value() + 1e-5}
    said = of_test_items(tmp_path, Evaluated(metrics, dict.fromkeys(metrics, right)))
    assert list(said["items"]["metrics"]) == ["accuracy"]
    assert "test/other" in caplog.text
    assert json.loads(json.dumps(said)) == said
    assert of_test_items(tmp_path, {"test/accuracy": 0.5}) == {}
