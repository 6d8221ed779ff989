"""What --benchmarks, --losses and --seeds stand for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.registry.load import load
from suite.registry.registry import Registry, parse_seeds
from suite.registry.selection import SelectionError, select_benchmarks, select_losses, select_seeds
from tests.conftest import REGISTRY


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    file: Path = tmp_path_factory.mktemp("registry") / "benchmarks.yaml"
    more = "  both: {losses: [scales, infonce], benchmarks: [nothing]}\n  rest: {losses: [all, ~cosine]}\n"
    file.write_text(REGISTRY + more)
    return load(file)


LOSSES = [
    (["all"], ["cosine", "infonce"]),
    (["references"], ["references"]),
    (["all", "references"], ["cosine", "infonce", "references"]),
    (["default"], ["cosine", "infonce", "references"]),
    (["infonce,cosine"], ["cosine", "infonce"]),
    (["infonce", "cosine", "infonce"], ["cosine", "infonce"]),
    ([" infonce , cosine "], ["cosine", "infonce"]),
    (["~infonce"], ["cosine"]),
    (["all", "~infonce"], ["cosine"]),
    (["~infonce", "all"], ["cosine"]),
    (["default,~references"], ["cosine", "infonce"]),
    (["*"], ["cosine", "cosine@scale=2.0", "cosine@scale=10.0", "infonce", "references"]),
    (["cosine@*"], ["cosine@scale=2.0", "cosine@scale=10.0"]),
    (["cosine*", "~cosine@scale=2.0"], ["cosine", "cosine@scale=10.0"]),
    (["scales"], ["cosine@scale=2.0", "cosine@scale=10.0"]),
    (["both"], ["cosine@scale=2.0", "cosine@scale=10.0", "infonce"]),
    (["both", "~scales"], ["infonce"]),
    (["rest"], ["infonce"]),
    (["rest", "cosine"], ["cosine", "infonce"]),
    (["cosine@scale=10.0"], ["cosine@scale=10.0"]),
]


@pytest.mark.parametrize(("texts", "expected"), [pytest.param(t, e, id=" ".join(t)) for t, e in LOSSES])
def test_losses(registry: Registry, texts: list[str], expected: list[str]) -> None:
    assert select_losses(registry, texts) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["all"], ["blobs", "nothing"]),
        (["nothing", "blobs"], ["blobs", "nothing"]),
        (["~blobs"], ["nothing"]),
        (["b*"], ["blobs"]),
        (["both"], ["nothing"]),
    ],
    ids=str,
)
def test_benchmarks(registry: Registry, texts: list[str], expected: list[str]) -> None:
    assert select_benchmarks(registry, texts) == expected


@pytest.mark.parametrize(
    ("texts", "profile", "expected"),
    [
        (["all"], "paper", ["nothing"]),
        (["~nothing", "blobs"], "paper", ["blobs"]),
        (["*"], "paper", ["nothing"]),
        (["b*"], "paper", ["blobs"]),
        (["blobs"], "paper", ["blobs"]),
        (["all"], "smoke", ["blobs", "nothing"]),
    ],
    ids=str,
)
def test_all_is_what_has_the_profile_and_a_name_is_taken_as_it_is(
    registry: Registry, texts: list[str], profile: str, expected: list[str]
) -> None:
    entry = registry.document.benchmarks["nothing"]
    entry.profiles["paper"] = entry.profiles["mini"]
    assert select_benchmarks(registry, texts, profile) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["all"], [0, 1, 2, 3]),
        (["selection"], [10, 11]),
        (["all", "selection"], [0, 1, 2, 3, 10, 11]),
        (["0-2,5"], [0, 1, 2, 5]),
        (["7"], [7]),
        (["scales"], [1, 2]),
        (["~0"], [1, 2, 3]),
        (["0-9", "~2-8"], [0, 1, 9]),
        (["all", "~scales"], [0, 3]),
    ],
    ids=str,
)
def test_seeds(registry: Registry, texts: list[str], expected: list[int]) -> None:
    assert select_seeds(registry, texts) == expected


def test_a_slice_of_other_things_is_no_slice_of_these(registry: Registry) -> None:
    with pytest.raises(SelectionError, match="no benchmark or slice 'scales'"):
        select_benchmarks(registry, ["scales"])


NAMES = ["cosine", "cosine@scale=2.0", "cosine@scale=10.0", "infonce", "references"]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(NAMES)), min_size=1))
def test_what_is_named_and_not_left_out_comes_once_in_registry_order(
    registry: Registry, terms: list[tuple[bool, str]]
) -> None:
    named = {name for negated, name in terms if not negated}
    left_out = {name for negated, name in terms if negated}
    expected = [name for name in NAMES if name in (named or {"cosine", "infonce"}) and name not in left_out]
    texts = [f"~{name}" if negated else name for negated, name in terms]
    if expected:
        assert select_losses(registry, texts) == expected
    else:
        with pytest.raises(SelectionError, match="leaves no loss"):
            select_losses(registry, texts)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), min_size=1, max_size=6))
def test_ranges_hold_both_ends(ranges: list[tuple[int, int]]) -> None:
    expected = list(dict.fromkeys(seed for first, more in ranges for seed in range(first, first + more + 1)))
    assert parse_seeds(",".join(f"{first}-{first + more}" for first, more in ranges)) == expected


@given(st.text(alphabet="0123456789-, ²a", max_size=8))
def test_any_text_is_seeds_or_a_clear_error(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except ValueError as error:
        assert "seed" in str(error) or "backwards" in str(error)
    else:
        assert all(seed >= 0 for seed in seeds)
