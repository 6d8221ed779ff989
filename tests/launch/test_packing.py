"""Runs to array tasks: nothing lost, nothing too long, few tasks."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from suite.launch.packing import Demand, arrays, deal, pack, side_by_side
from suite.records.specs import Pack

TARGET = 3600.0

seconds = st.integers(1, 12_000).map(float)
shapes = st.tuples(seconds, st.integers(1, 2), st.integers(1, 2), st.integers(1, 4), st.integers(0, 3))
demands = st.lists(shapes, max_size=60).map(lambda made: [Demand(f"key{i}", *shape) for i, shape in enumerate(made)])


def of(times: Sequence[float], slots: int = 1) -> list[Demand]:
    return [Demand(f"key{i}", t, slots=slots) for i, t in enumerate(times)]


def wall_time(times: Sequence[float], slots: int) -> float:
    """The end of the last run if each slot takes the next one as soon as it is free."""
    free = [0.0] * slots
    for time in times:
        heapq.heapreplace(free, free[0] + time)
    return max(free)


@given(
    runs=st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 3)), min_size=1, max_size=40), workers=st.integers(1, 8)
)
def test_dealing_gives_every_run_once_turn_by_turn_and_is_balanced(runs: list[tuple[float, int]], workers: int) -> None:
    costs = [seconds for seconds, _ in runs]
    cost, turn = {f"key{i}": c for i, c in enumerate(costs)}, {f"key{i}": t for i, (_, t) in enumerate(runs)}
    dealt = deal(cost, turn, workers)
    assert sorted(key for p in dealt for key in p) == sorted(cost)
    loads = [sum(cost[key] for key in p) for p in dealt]
    # Graham's bound for longest-first dealing
    assert max(loads) <= sum(costs) / workers + max(costs) + 1e-9
    for p in dealt:
        assert [(turn[key], -cost[key]) for key in p] == sorted((turn[key], -cost[key]) for key in p)


@given(demands)
def test_every_run_is_in_one_pack_with_its_like_turn_by_turn_where_that_is_not_too_long(runs: list[Demand]) -> None:
    packs = pack(runs, TARGET)
    assert sorted(key for p in packs for key in p.keys) == sorted(run.key for run in runs)
    by_key = {run.key: run for run in runs}
    for p in packs:
        members = [by_key[key] for key in p.keys]
        assert {(m.nodes, m.gpus) for m in members} == {(p.nodes, p.gpus)}
        assert {min(m.slots, len(members)) for m in members} == {p.slots}
        assert len({m.slots for m in members}) == 1
        by_turn = sorted(members, key=lambda m: (m.turn, -m.seconds))
        by_length = sorted(members, key=lambda m: -m.seconds)
        is_too_long = wall_time([m.seconds for m in by_turn], p.slots) > max(TARGET, by_length[0].seconds)
        expected = by_length if is_too_long else by_turn
        assert [(m.seconds, is_too_long or m.turn) for m in members] == [
            (m.seconds, is_too_long or m.turn) for m in expected
        ]
        assert is_too_long <= (p.slots > 1)
    assert [p.seconds for p in packs] == sorted((p.seconds for p in packs), reverse=True)


@given(demands)
def test_a_pack_takes_as_long_as_it_says_and_no_longer_than_the_target_or_its_longest_run(runs: list[Demand]) -> None:
    by_key = {run.key: run.seconds for run in runs}
    for p in pack(runs, TARGET):
        times = [by_key[key] for key in p.keys]
        assert p.seconds == wall_time(times, p.slots)
        assert p.seconds <= max(TARGET, max(times))


@given(demands, st.randoms(use_true_random=False))
def test_packs_do_not_depend_on_the_order_of_the_runs(runs: list[Demand], rng: random.Random) -> None:
    shuffled = list(runs)
    rng.shuffle(shuffled)
    assert pack(shuffled, TARGET) == pack(runs, TARGET)


@given(st.lists(st.floats(0.001, TARGET), min_size=1, max_size=80), st.integers(1, 5))
@example([TARGET / 2 + 1] * 9, 4)
def test_there_are_at_most_twice_as_many_packs_as_the_total_time_needs_and_one(times: list[float], slots: int) -> None:
    needed = math.ceil(sum(times) / (slots * TARGET))
    assert len(pack(of(times, slots), TARGET)) <= 2 * needed + 1


@given(st.lists(st.integers(3601, 90_000).map(float), min_size=1, max_size=30), st.integers(1, 5))
def test_runs_longer_than_the_target_wait_for_no_other_unless_that_costs_no_time(
    times: list[float], slots: int
) -> None:
    packs = pack(of(times, slots), TARGET)
    assert len(packs) <= math.ceil(len(times) / slots)
    assert [p.seconds for p in packs] == [max(times[int(key[3:])] for key in p.keys) for p in packs]


def fewest_packs(times: Sequence[float], slots: int) -> int:
    """The fewest packs of any assignment of runs to slots, by trying them all."""
    fewest = len(times)

    def place(rest: Sequence[float], loads: list[float]) -> None:
        nonlocal fewest
        if len(loads) >= fewest:
            return
        if not rest:
            fewest = len(loads)
            return
        for number, load in enumerate(loads):
            if load + rest[0] <= TARGET:
                loads[number] += rest[0]
                place(rest[1:], loads)
                loads[number] = load
        place(rest[1:], [*loads, rest[0]])

    place(sorted(times, reverse=True), [])
    return math.ceil(fewest / slots)


@given(st.lists(st.integers(1, 3600).map(float), min_size=1, max_size=8), st.integers(1, 3))
def test_up_to_eight_runs_take_at_most_one_pack_more_than_the_best_assignment(times: list[float], slots: int) -> None:
    best = fewest_packs(times, slots)
    assert best <= len(pack(of(times, slots), TARGET)) <= best + 1


def test_of_random_small_cases_more_than_nine_in_ten_are_packed_as_well_as_can_be() -> None:
    rng = random.Random(0)
    cases = [([float(rng.randint(60, 3600)) for _ in range(8)], rng.randint(1, 3)) for _ in range(300)]
    best = sum(len(pack(of(times, slots), TARGET)) == fewest_packs(times, slots) for times, slots in cases)
    assert best > 270


def test_the_whole_target_is_used_by_equal_runs() -> None:
    packs = pack(of([360.0] * 40, slots=2), TARGET)
    assert [len(p.keys) for p in packs] == [20, 20]
    assert [p.seconds for p in packs] == [TARGET, TARGET]


def test_a_long_run_has_shorter_ones_only_in_the_slots_beside_it() -> None:
    assert pack([Demand("long", 9000, slots=2), Demand("short", 60, slots=2)], TARGET) == [
        Pack(("long", "short"), 9000, 2, 1, 1)
    ]
    assert pack([Demand("long", 9000), Demand("short", 60)], TARGET) == [
        Pack(("long",), 9000, 1, 1, 1),
        Pack(("short",), 60, 1, 1, 1),
    ]


def test_no_runs_make_no_packs() -> None:
    assert pack([], TARGET) == []
    assert arrays([], 10) == []


@given(demands, st.integers(1, 10))
def test_arrays_hold_every_pack_once_of_one_kind_within_the_limit(runs: list[Demand], most: int) -> None:
    packs = pack(runs, TARGET)
    grouped = arrays(packs, most)
    assert sorted(index for group in grouped for index in group) == list(range(len(packs)))
    for group in grouped:
        assert 1 <= len(group) <= most
        assert len({(packs[i].nodes, packs[i].gpus) for i in group}) == 1
        assert [packs[i].seconds for i in group] == sorted((packs[i].seconds for i in group), reverse=True)


def test_thirty_five_tasks_at_a_limit_of_ten_make_four_arrays_longest_first() -> None:
    packs = [Pack((f"key{i}",), float(i), 1, 1, 1) for i in range(35)]
    grouped = arrays(packs, 10)
    assert [len(group) for group in grouped] == [10, 10, 10, 5]
    assert [index for group in grouped for index in group] == list(reversed(range(35)))


@pytest.mark.parametrize(
    ("peak", "available", "most", "fit"),
    [
        (None, 80_000, 8, 1),
        (1000, 80_000, 8, 8),
        (10_000, 80_000, 8, 7),
        (10_000, 33_001, 8, 3),
        (10_000, 32_999, 8, 2),
        (90_000, 80_000, 8, 1),
        (0, 80_000, 8, 8),
    ],
)
def test_as_many_runs_are_put_side_by_side_as_fit_with_a_tenth_to_spare(
    peak: float | None, available: float, most: int, fit: int
) -> None:
    assert side_by_side(peak, available, most) == fit
