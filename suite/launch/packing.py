"""Runs to array tasks: few tasks of about the same length, several runs side by side where they fit."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite.records.specs import Pack


@dataclass(frozen=True)
class Demand:
    """One run to be placed.

    Attributes
    ----------
    key : str
    seconds : float
        Expected time, with `slots` such runs side by side.
    nodes, gpus : int
        Nodes, and processes on each of them, of a run that is spread.
    slots : int
        How many such runs fit side by side in one array task.
    turn : int
        When its turn comes; see :func:`suite.records.specs.turns`.
    """

    key: str
    seconds: float
    nodes: int = 1
    gpus: int = 1
    slots: int = 1
    turn: int = 0


def deal(cost: Mapping[str, float], turn: Mapping[str, int], workers: int) -> list[list[str]]:
    """Deal keys out to workers, turn by turn and the costliest first, each to the worker with the least to do."""
    heap: list[tuple[float, int]] = [(0.0, number) for number in range(workers)]
    dealt: list[list[str]] = [[] for _ in range(workers)]
    for key in sorted(cost, key=lambda k: (turn[k], -cost[k])):
        load, number = heapq.heappop(heap)
        dealt[number].append(key)
        heapq.heappush(heap, (load + cost[key], number))
    return dealt


class _Open:
    """A pack that is being filled, in order of decreasing length."""

    def __init__(self, first: Demand, target_s: float) -> None:
        self.limit = max(target_s, first.seconds)
        self.loads = [0.0] * first.slots
        self.demands: list[Demand] = []
        self.add(first)

    def fits(self, seconds: float) -> bool:
        return self.loads[0] + seconds <= self.limit

    def add(self, demand: Demand) -> None:
        heapq.heapreplace(self.loads, self.loads[0] + demand.seconds)
        self.demands.append(demand)

    def close(self) -> Pack:
        first, longest_first = self.demands[0], self.demands
        by_turn = sorted(longest_first, key=lambda demand: demand.turn)
        # side by side, another order than by length may take longer
        ordered = by_turn if wall_time(by_turn, first.slots) <= self.limit else longest_first
        keys = tuple(demand.key for demand in ordered)
        return Pack(keys, wall_time(ordered, first.slots), min(first.slots, len(keys)), first.nodes, first.gpus)


def wall_time(demands: Iterable[Demand], slots: int) -> float:
    """Return the seconds that runs take in this order, each slot taking the next one as soon as it is free."""
    free = [0.0] * slots
    for demand in demands:
        heapq.heapreplace(free, free[0] + demand.seconds)
    return max(free)


def pack(demands: Sequence[Demand], target_s: float) -> list[Pack]:
    """Put runs into few packs that take at most `target_s` each: first fit, the longest runs first.

    Runs that differ in nodes, GPUs or slots never share a pack. A run longer than `target_s` opens a pack that takes as
    long as this run; beside it, in the other slots, come runs that end no later. Where every run is shorter than the
    target there are at most 2 n + 1 packs, n being the time of all slots divided by the target, rounded up. In a
    pack runs come turn by turn, the longest first in each; by length alone where it would take too long otherwise.

    Parameters
    ----------
    demands : sequence of Demand
        Their order does not matter.
    target_s : float

    Returns
    -------
    list of Pack
        The longest first.
    """
    groups: dict[tuple[int, int, int], list[Demand]] = {}
    for demand in sorted(demands, key=lambda d: (-d.seconds, d.key)):
        groups.setdefault((demand.nodes, demand.gpus, demand.slots), []).append(demand)
    packs = itertools.chain.from_iterable(_first_fit(group, target_s) for group in groups.values())
    return sorted(packs, key=lambda p: (-p.seconds, p.keys))


def _first_fit(demands: Sequence[Demand], target_s: float) -> Iterable[Pack]:
    shortest = demands[-1].seconds
    packs: list[_Open] = []
    fillable: list[_Open] = []
    for demand in demands:
        chosen = next((candidate for candidate in fillable if candidate.fits(demand.seconds)), None)
        if chosen is None:
            chosen = _Open(demand, target_s)
            packs.append(chosen)
            fillable.append(chosen)
        else:
            chosen.add(demand)
        if not chosen.fits(shortest):
            fillable.remove(chosen)
    return [one.close() for one in packs]


def arrays(packs: Sequence[Pack], most: int) -> list[list[int]]:
    """Group packs that may share one array: of the same nodes, GPUs and settings, at most `most` a piece.

    Returns
    -------
    list of list of int
        Indices of `packs`; in each array, and from array to array of the same kind, the longest packs first.
    """
    kinds: list[list[int]] = []
    for index in sorted(range(len(packs)), key=lambda i: -packs[i].seconds):
        alike = next((group for group in kinds if packs[group[0]].is_like(packs[index])), None)
        if alike is None:
            kinds.append([index])
        else:
            alike.append(index)
    return [group[start : start + most] for group in kinds for start in range(0, len(group), most)]


def side_by_side(peak_mib: float | None, available_mib: float, most: int) -> int:
    """Return how many runs fit side by side into a memory, with 10 % to spare.

    Parameters
    ----------
    peak_mib : float or None
        The most that such a run has taken; None if that is not known: then it runs alone.
    available_mib : float
    most : int

    Returns
    -------
    int
        From 1 to `most`.
    """
    if peak_mib is None:
        return 1
    if peak_mib <= 0:
        return most
    return max(1, min(most, int(available_mib / (1.1 * peak_mib))))
