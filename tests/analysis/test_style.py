"""How rows look in figures."""

from __future__ import annotations

from itertools import combinations

from analysis.figures.style import apart, handle, look, styled
from tests.analysis.evidences import LOSSES, MEDIAN


def test_rows_of_the_suite_all_look_different_in_colour_and_shape() -> None:
    names = [*LOSSES, MEDIAN, "monotone_temperature", "temperature_schedule", "isogclr", "macl"]
    names += ["learnable_temperature", "dcl", "dclw", "siglip"]
    assert all(look(a) != look(b) for a, b in combinations(names, 2))
    headline = [look(name) for name in (*LOSSES, MEDIAN)]
    for of in ("colour", "marker", "line"):
        assert len({getattr(one, of) for one in headline}) == len(headline)


def test_losses_that_nobody_knows_get_looks_by_their_names() -> None:
    names = [f"my_loss_{i}" for i in range(30)]
    assert [look(name) for name in names] == [look(name) for name in names]
    assert len({look(name) for name in names}) > 20


def test_in_a_study_no_two_losses_look_alike_and_few_give_way() -> None:
    names = [*LOSSES, MEDIAN, *(f"my_loss_{i}" for i in range(30))]
    alone = {name: look(name) for name in names}
    with styled(names):
        drawn = {name: look(name) for name in names}
        assert {handle(name).get_color() for name in names} == {one.colour for one in drawn.values()}
    assert len(set(drawn.values())) == len({(one.colour, one.marker) for one in drawn.values()}) == len(names)
    assert sum(drawn[name] == alone[name] for name in names) > 20
    assert drawn == {**apart(reversed(names)), **{name: alone[name] for name in (*LOSSES, MEDIAN)}}
    assert {name: look(name) for name in names} == alone, "outside of a figure names alone decide"


def test_more_losses_than_looks_are_still_drawn() -> None:
    found = apart(f"my_loss_{i}" for i in range(200))
    assert len(found) == 200
    assert len(set(found.values())) == 126
