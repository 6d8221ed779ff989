import numpy as np
import pytest

from analysis.evidence.gather import gather
from analysis.evidence.reproduction import Reproduction
from analysis.figures import cost
from analysis.read.collect import collect
from analysis.tables.tables import benchmark_table
from suite.registry.claims import Declared, Published
from tests.analysis.frames import logged, row

SPREAD = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def held(mean: float, noise: float = 0.002, n: int = 5, **others: object) -> Reproduction:
    described = {"metric": "accuracy", "differs": "other splits", "profile": "mini", **others}
    published = Published(loss="infonce", value=0.8, source="a paper", **described)
    rows = [row("graph", "infonce", seed, mean + noise * SPREAD[seed], margin=0.01) for seed in range(n)]
    declared = Declared("infonce", published={"graph": [published], "elsewhere": [published]})
    (found,) = gather(collect(logged(*rows)), declared, "mini").reproductions
    return found


@pytest.mark.parametrize(
    ("mean", "noise", "label"),
    [
        (0.803, 0.002, "reproduced"),
        (0.803, 0.02, "close"),
        (0.812, 0.01, "close"),
        (0.83, 0.002, "not reproduced"),
        (0.77, 0.002, "not reproduced"),
    ],
)
def test_labels(mean: float, noise: float, label: str) -> None:
    found = held(mean, noise)
    assert found.label == label and found.n == 5 and found.mean == pytest.approx(mean)
    assert found.low < mean < found.high


def test_one_seed_is_never_a_reproduction() -> None:
    assert held(0.8, n=1).label == "close" and held(0.9, n=1).label == "not reproduced"
    assert "one seed, no interval" in held(0.8, n=1).reason


def test_another_protocol_does_not_compare() -> None:
    assert held(0.8, profile=None).label == "not comparable" and held(0.8, profile=None).reason == "other splits"
    paper = held(0.8, profile="paper")
    assert paper.label == "not comparable" and "profile paper follows the published protocol" in paper.reason
    other = held(0.8, metric="f1")
    assert other.label == "not comparable" and other.reason == "no run of infonce has test/f1"


def test_a_figure_that_two_profiles_follow_is_held_against_each_alone() -> None:
    rows = [row("graph", "infonce", seed, 0.8, margin=0.01) for seed in range(3)]
    published = [Published("infonce", "accuracy", 0.8, "a paper", profile=name) for name in ("paper", "mini")]
    found = gather(collect(logged(*rows)), Declared("infonce", published={"graph": published}), "mini").reproductions
    assert [(one.published.profile, one.n) for one in found] == [("mini", 3)]


def test_a_failed_seed_is_no_missing_value_of_ours() -> None:
    runs = [row("graph", "infonce", seed, 0.8, margin=0.01, **{"test/f1": 0.8 + 1e-3 * seed}) for seed in range(6)]
    lost = {"status": "FAILED", "failure": "non_finite", "test/accuracy": None, "test/f1": None}
    runs = [{**run, **lost} if run["seed"] == 5 else run for run in runs]
    runs += [row("graph", "untrained", seed, 0.3, kind="reference", margin=0.01) for seed in range(6)]
    published = [Published("infonce", metric, 0.8, "a paper", profile="mini") for metric in ("accuracy", "f1")]
    declared = Declared("infonce", published={"graph": published})
    found = gather(collect(logged(*runs)), declared, "mini")
    primary, other = found.reproductions
    assert primary.n == 6 and primary.mean == pytest.approx((5 * 0.8 + 0.3) / 6) and primary.label == "close"
    assert (other.label, other.n) == ("close", 5) and "of the seeds that did not fail, 5 of 6" in other.reason
    gone = [{**run, "failure": "data: gone"} if run["seed"] == 5 else run for run in runs]
    first = gather(collect(logged(*gone)), declared, "mini").reproductions[0]
    assert (first.label, first.n) == ("close", 5) and "of the seeds that did not fail, 5 of 6" in first.reason
    table = benchmark_table(found, "graph")
    assert table.data.set_index(["row", "metric"])["n"].to_dict() == {
        ("infonce", "test/accuracy"): 6, ("infonce", "test/f1"): 5, ("infonce", "seconds/training"): 6,
        ("untrained", "test/accuracy"): 6, ("untrained", "test/f1"): 0, ("untrained", "seconds/training"): 6,
    }  # fmt: skip
    assert table.notes == ["Failed seeds count in the primary metric alone: other metrics are of fewer."]
    score = cost.points(found).set_index("row").loc["infonce"]
    assert (score["n"], score["seconds"]) == (6, 10.0) and score["score"] == pytest.approx(primary.mean)
