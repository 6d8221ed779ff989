"""The same runs on several machines: which count, how far apart they lie, and which verdicts would be others."""

import json
import math
from typing import Any

import numpy as np
import pytest

from analysis.evidence.gather import gather
from analysis.evidence.machines import is_moved, moved, spreads
from analysis.read.collect import collect
from analysis.tables.machines import machine_tables
from analysis.tables.tables import all_tables
from suite.registry.claims import Claim, Declared
from tests.analysis.frames import logged, row

CLAIM = Claim(loss="dystress", relation="not_worse", than="infonce", source="nowhere")
DECLARED = Declared(claims={"close": CLAIM}, baseline="infonce")


def on(processor: str, **more: Any) -> str:
    return json.dumps({"processor": processor, "device": "cpu", "threads": 1, **more})


def runs(
    machine: str, loss: str, scores: dict[int, float], benchmark: str = "image", start: int = 1
) -> list[dict[str, Any]]:
    return [
        row(
            benchmark,
            loss,
            seed,
            test,
            start=start,
            hardware=on(machine),
            run_id=f"{machine}-{benchmark}-{loss}-{seed}-{start}",
        )
        for seed, test in scores.items()
    ]


def test_the_machine_with_the_most_runs_of_a_benchmark_counts_whichever_is_newer() -> None:
    many = runs("A", "infonce", {0: 0.1, 1: 0.2, 2: 0.3}) + runs("A", "dystress", {0: 0.1})
    few = runs("B", "infonce", {0: 0.5, 1: 0.6}, start=9) + runs("B", "dystress", {7: 0.7}, start=9)
    for rows in (many + few, few + many):
        collected = collect(logged(*rows))
        counted = {(run.loss, run.seed): (run.machine, run.test) for run in collected.runs.itertuples()}
        assert counted == {
            ("infonce", 0): ("A", 0.1), ("infonce", 1): ("A", 0.2), ("infonce", 2): ("A", 0.3),
            ("dystress", 0): ("A", 0.1), ("dystress", 7): ("B", 0.7),
        }  # fmt: skip
        assert list(collected.replicates["test"]) == [0.5, 0.6]
        assert collected.left_out["reason"][0] == "replicate of run A-image-infonce-0-1 on another machine, B"


def test_every_benchmark_has_its_own_machine() -> None:
    rows = runs("A", "infonce", {0: 0.1, 1: 0.1}) + runs("B", "infonce", {0: 0.2})
    rows += runs("A", "infonce", {0: 0.3}, "graph") + runs("B", "infonce", {0: 0.4, 1: 0.4}, "graph")
    collected = collect(logged(*rows))
    assert dict(zip(collected.runs["benchmark"], collected.runs["machine"], strict=True)) == {
        "image": "A",
        "graph": "B",
    }


def test_of_one_machine_the_newest_is_the_replicate_and_the_rest_are_duplicates() -> None:
    rows = (
        runs("A", "infonce", {0: 0.1, 1: 0.1})
        + runs("B", "infonce", {0: 0.2})
        + runs("B", "infonce", {0: 0.3}, start=5)
    )
    collected = collect(logged(*rows))
    assert list(collected.replicates["test"]) == [0.3]
    assert len(collected.left_out) == 2


def test_another_configuration_or_another_code_is_no_replicate() -> None:
    old = [{**run, "param.loss.temperature": "0.1"} for run in runs("B", "infonce", {0: 0.2})]
    new = [{**run, "param.loss.temperature": "0.2"} for run in runs("A", "infonce", {0: 0.1}, start=3)]
    assert collect(logged(*old, *new)).replicates.empty
    code = [{**run, "code": json.dumps({"suite.x": "1"})} for run in runs("B", "infonce", {0: 0.2})]
    newer = [{**run, "code": json.dumps({"suite.x": "2"})} for run in runs("A", "infonce", {0: 0.1}, start=3)]
    assert collect(logged(*code, *newer)).replicates.empty


def test_an_accelerator_is_a_machine_and_threads_are_none() -> None:
    rows = [
        row("image", "infonce", 0, 0.1, hardware=on("A", threads=1), run_id="a"),
        row("image", "infonce", 1, 0.1, hardware=on("A", threads=2), run_id="b"),
        row("image", "infonce", 2, 0.1, hardware=on("A", device="NVIDIA H200"), run_id="c"),
        row("image", "infonce", 3, 0.1, hardware=None, run_id="d"),
    ]
    assert list(collect(logged(*rows)).runs["machine"]) == ["A", "A", "NVIDIA H200", ""]


def test_one_machine_or_runs_that_do_not_say_change_nothing() -> None:
    for rows in (runs("A", "infonce", {0: 0.1, 1: 0.2}), [row("image", "infonce", 0, start=s) for s in (1, 2)]):
        collected = collect(logged(*rows))
        evidence = gather(collected, DECLARED, "mini")
        assert evidence.machines == () and machine_tables(evidence) == []
        assert not any("replicated" in note for note in evidence.notes)


def campaign(machine: str, difference: float, spread: float = 0.001) -> list[dict[str, Any]]:
    wobble = spread * np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    infonce = {seed: 0.7 + 0.01 * seed for seed in range(5)}
    dystress = {seed: infonce[seed] + difference + wobble[seed] for seed in range(5)}
    rows = runs(machine, "infonce", infonce) + runs(machine, "dystress", dystress)
    return [{**run, "margin": 0.01} for run in rows]


def test_a_verdict_that_another_machine_would_give_otherwise_is_said() -> None:
    evidence = gather(collect(logged(*campaign("A", 0.0), *campaign("B", -0.05))), DECLARED, "mini")
    assert [machine.name for machine in evidence.machines] == ["A", "B"]
    told = {
        benchmark: [one.label if one else None for one in verdicts]
        for _, benchmark, verdicts in moved(evidence.machines)
    }
    assert told["image"] == ["equivalent", "worse"]
    assert all(is_moved(verdicts) for _, _, verdicts in moved(evidence.machines))
    # the report's own verdict is that of the machine whose runs count
    assert next(one.label for one in evidence.verdicts if one.benchmark == "image") == "equivalent"
    (note,) = [note for note in evidence.notes if "replicated" in note]
    assert "1 of 1 verdicts would be others on another machine: close on image" in note


def test_a_verdict_that_holds_on_both_is_said_to_hold() -> None:
    evidence = gather(collect(logged(*campaign("A", 0.0), *campaign("B", 0.0005))), DECLARED, "mini")
    assert not any(is_moved(verdicts) for _, _, verdicts in moved(evidence.machines))
    assert any("0 of 1 verdicts would be others" in note for note in evidence.notes)


def test_spreads_against_a_plain_computation() -> None:
    a, b = {0: 0.10, 1: 0.20, 2: 0.60}, {0: 0.30, 1: 0.20, 2: 0.50, 3: 9.0}
    rows = runs("A", "infonce", {**a, 4: 5.0}) + runs("B", "infonce", b)
    evidence = gather(collect(logged(*rows)), DECLARED, "mini")
    (one,) = spreads(evidence.machines)
    assert one.seeds == (0, 1, 2)
    assert one.means == pytest.approx((0.3, 1 / 3))
    variances = [np.var(list(a.values()), ddof=1), np.var([0.3, 0.2, 0.5], ddof=1)]
    assert one.between_seeds == pytest.approx(math.sqrt(np.mean(variances)))
    assert one.between_machines == pytest.approx(math.sqrt(np.mean([0.02, 0.0, 0.005])))


def test_the_tables_have_the_spread_and_every_machine_s_words() -> None:
    evidence = gather(collect(logged(*campaign("A", 0.0), *campaign("B", -0.05))), DECLARED, "mini")
    names = [table.name for table in all_tables(evidence)]
    assert {"machines", "replication"} <= set(names)
    spread, words = machine_tables(evidence)
    assert spread.header == ["", "A", "B", "between seeds", "between machines"]
    texts = {label: [cell.text for cell in cells] for label, cells in spread.blocks[0].rows}
    assert texts["infonce"] == ["0.7200 ± 0.0158 (5)", "0.7200 ± 0.0158 (5)", "0.016", "0"]
    ((label, cells),) = words.blocks[0].rows
    assert label == "image" and cells[0].text.startswith("equivalent, ") and cells[1].text.startswith("worse, -0.05")
    assert cells[2].text == "yes" and cells[2].bold


def test_seeds_of_one_machine_alone_are_no_replicate_of_another_s() -> None:
    rows = campaign("A", 0.0) + runs("B", "infonce", {9: 0.7}) + runs("B", "infonce", {0: 0.7})
    evidence = gather(collect(logged(*rows)), DECLARED, "mini")
    assert [(one.row, one.seeds) for one in spreads(evidence.machines)] == [("infonce", (0,))]
    assert moved(evidence.machines) == []
