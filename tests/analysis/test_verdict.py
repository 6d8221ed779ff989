"""Verdicts of known cases: noise of known size around known differences."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.gather import Evidence, gather
from analysis.evidence.verdict import Verdict
from analysis.read.collect import collect
from analysis.tables.verdict_text import lines
from suite.registry.claims import Claim, Declared
from tests.analysis.frames import logged, row

MARGIN = 0.01
NOT_WORSE = Claim("free", "not_worse", "infonce")
BETTER = Claim("free", "better", "infonce")

#: Five differences with mean 0 and standard deviation 1.
SPREAD = np.array([-1.2, -0.6, 0.0, 0.4, 1.4])
SPREAD = (SPREAD - SPREAD.mean()) / SPREAD.std(ddof=1)


def runs(effects: dict[str, float], noise: float = 0.002, **others: object) -> list[dict]:
    """`free` is by an effect above `infonce` on each benchmark, with paired noise."""
    rows = []
    for benchmark, effect in effects.items():
        for seed, deviation in enumerate(SPREAD):
            base = 0.7 + 0.01 * seed
            rows.append(row(benchmark, "infonce", seed, base, margin=MARGIN, **others))
            rows.append(row(benchmark, "free", seed, base + effect + noise * deviation, margin=MARGIN, **others))
    return rows


def evidence(rows: list[dict], **claims: Claim) -> Evidence:
    return gather(collect(logged(*rows)), Declared("infonce", claims), "mini")


def judged(rows: list[dict], **claims: Claim) -> dict[str, Verdict]:
    return {verdict.benchmark: verdict for verdict in evidence(rows, **claims).verdicts}


def test_where_one_loss_was_run_it_is_said_that_nothing_is_judged_and_not_that_nothing_is_claimed() -> None:
    alone = [row("image", "infonce", seed, 0.7, margin=MARGIN) for seed in range(3)]
    said = {name: next(lines(evidence(alone, **claims))) for name, claims in (("none", {}), ("one", {"a": NOT_WORSE}))}
    assert said["none"] == "The registry declares no claim."
    assert said["one"] == "No claim is judged: the only row of a loss is infonce, and a verdict compares two."


@pytest.mark.parametrize(
    ("effect", "label"),
    [
        (0.02, "better"),
        (0.005, "better within the margin"),
        (0.0, "equivalent"),
        (-0.004, "worse within the margin"),
        (-0.01, "inconclusive"),
        (-0.02, "worse"),
    ],
)
def test_labels_of_known_effects(effect: float, label: str) -> None:
    verdict = judged(runs({"image": effect}), a=NOT_WORSE)["image"]
    assert verdict.label == label
    assert verdict.holds == {"worse": False, "inconclusive": None}.get(label, True)


def test_the_rule_is_that_of_the_interval_where_there_is_one_test() -> None:
    seen = set()
    for effect in np.linspace(-0.02, 0.01, 16):
        verdict = judged(runs({"image": effect}), a=NOT_WORSE)["image"]
        differences = effect + 0.002 * SPREAD
        low, high = stats.t.interval(0.95, 4, differences.mean(), differences.std(ddof=1) / math.sqrt(5))
        rules = {
            "better": low > 0 and high >= MARGIN,
            "better within the margin": 0 < low <= high < MARGIN,
            "equivalent": -MARGIN < low <= 0 <= high < MARGIN,
            "not worse": -MARGIN < low <= 0 and high >= MARGIN,
            "worse within the margin": -MARGIN < low <= high < 0,
            "worse": high < -MARGIN,
            "inconclusive": low <= -MARGIN <= high,
        }
        (expected,) = (label for label, applies in rules.items() if applies)
        assert verdict.label == expected
        seen.add(expected)
        assert verdict.comparison is not None and verdict.comparison.paired.low == pytest.approx(low)
    assert seen == rules.keys() - {"not worse"}  # these intervals are narrower than the margin


def test_words_go_by_the_simultaneous_intervals_that_are_printed() -> None:
    effects = {name: 0.0046 for name in "abcdefgh"} | {"z": 0.1}
    noise = 0.005
    verdicts = judged(runs(effects, noise), a=BETTER)
    for name, effect in effects.items():
        differences = effect + noise * SPREAD
        low, high = stats.t.interval(1 - 0.05 / 9, 4, differences.mean(), differences.std(ddof=1) / math.sqrt(5))
        comparison = verdicts[name].comparison
        assert comparison is not None and comparison.level == pytest.approx(1 - 0.05 / 9)
        assert (comparison.paired.low, comparison.paired.high) == pytest.approx((low, high))
        assert (verdicts[name].label == "better") == (low > 0)
    assert judged(runs({"a": 0.0063}, noise), a=BETTER)["a"].label == "better"
    beside = judged(runs(effects | {"a": 0.0063}, noise), a=BETTER)["a"]
    assert beside.label == "not worse" and beside.alone.low > 0


def test_a_claim_does_not_change_the_verdict_of_another() -> None:
    rows = runs({"image": 0.0063, "graph": 0.0}, 0.005)
    alone = judged(rows, a=BETTER)
    beside = {v.benchmark: v for v in evidence(rows, a=BETTER, b=NOT_WORSE).verdicts if v.claim == "a"}
    assert {name: one.label for name, one in alone.items()} == {name: one.label for name, one in beside.items()}


def test_a_minimised_metric_is_turned() -> None:
    down = judged(runs({"image": -0.02}, goal="minimise"), a=BETTER)["image"]
    assert down.label == "better"
    assert down.comparison is not None and down.comparison.paired.mean == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("effects", "label", "not_worse", "better"),
    [
        ({"a": 0.0, "b": 0.0}, "equivalent", True, None),
        ({"a": 0.0, "b": 0.02}, "better", True, True),
        ({"a": -0.02, "b": 0.0}, "worse", False, False),
        ({"a": -0.02, "b": 0.02}, "inconclusive", False, False),
        ({"a": -0.01, "b": 0.02}, "inconclusive", None, False),
        ({"a": 0.004, "b": 0.0}, "better within the margin", True, True),
        ({"a": -0.005, "b": 0.0}, "worse within the margin", True, False),
        ({"a": -0.005, "b": 0.005}, "equivalent", True, False),
    ],
)
def test_overall(effects: dict[str, float], label: str, not_worse: bool | None, better: bool | None) -> None:
    overall = judged(runs(effects), a=NOT_WORSE)[""]
    assert (overall.label, overall.holds) == (label, not_worse)
    assert judged(runs(effects), a=BETTER)[""].holds == better
    assert overall.aggregate is not None
    assert overall.aggregate.mean == pytest.approx(np.mean(list(effects.values())) / MARGIN)


def test_what_the_runs_cannot_tell_is_said() -> None:
    one_seed = [one for one in runs({"image": 0.5}) if one["seed"] == 0]
    assert judged(one_seed, a=BETTER)["image"].reason == "one seed has no error bar"
    apart = [one for one in runs({"image": 0.5}) if (one["seed"] < 2) == (one["loss"] == "free")]
    assert "no evaluation seed in common" in judged(apart, a=BETTER)["image"].reason
    noisy = judged(runs({"image": 0.0}, 0.02), a=NOT_WORSE)["image"]
    assert noisy.label == "inconclusive" and "seeds would tell with 80 % power" in noisy.reason
    below = judged(runs({"image": -0.008}, 0.003), a=NOT_WORSE)["image"]
    assert (
        below.label == "inconclusive" and "surely below 0, but by less or more than the margin is open" in below.reason
    )
    unknown = judged(runs({"image": 0.0}), a=Claim("fre", "better", "infonce"))["image"]
    assert unknown.label == "inconclusive" and unknown.reason == "no evaluation run of fre"


def test_without_a_margin_only_better_can_be_shown() -> None:
    rows = [{**one, "margin": math.nan} for one in runs({"image": 0.0})]
    assert "no margin is declared" in judged(rows, a=NOT_WORSE)["image"].reason
    rows = [{**one, "margin": math.nan} for one in runs({"image": 0.1})]
    assert judged(rows, a=NOT_WORSE)["image"].label == "better"


def test_a_claim_against_the_validated_member_takes_its_runs() -> None:
    selection = [
        row("image", f"infonce@temperature={t}", seed, None, purpose="selection", margin=MARGIN, **{"val/accuracy": t})
        for t in (0.1, 0.2)
        for seed in (10, 11)
    ]
    tuned = [row("image", "infonce@temperature=0.2", s, 0.75 + 0.01 * s, margin=MARGIN) for s in range(5)]
    rows = runs({"image": 0.02}) + selection + tuned
    claims = {"tuned": Claim("free", "better", "infonce", "validated"), "declared": BETTER}
    verdicts = {verdict.claim: verdict for verdict in evidence(rows, **claims).verdicts if verdict.benchmark}
    assert verdicts["tuned"].label == "worse" and verdicts["declared"].label == "better"
    comparison = verdicts["tuned"].comparison
    assert comparison is not None and comparison.against == "infonce (tau validated)"


def test_the_same_runs_under_two_names_are_equivalent_and_no_test() -> None:
    rows = [
        row("image", f"infonce@temperature={t}", seed, None, purpose="selection", margin=MARGIN, **{"val/accuracy": t})
        for t in (0.1, 0.2)
        for seed in (10, 11)
    ]
    rows += [row("image", "infonce", s, 0.7 + s, margin=MARGIN, **{"param.loss.temperature": "0.2"}) for s in range(3)]
    verdict = judged(rows, a=Claim("infonce", "not_worse", "infonce", "validated"))["image"]
    assert verdict.label == "equivalent" and "are the same runs here" in verdict.reason


def test_no_runs_no_verdicts() -> None:
    assert evidence([row("image", "raw", 0, kind="reference")], a=BETTER).verdicts == ()
