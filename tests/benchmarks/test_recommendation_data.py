from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from suite.benchmarks.recommendation.augment import Augmentation, crop, mask, reorder
from suite.benchmarks.recommendation.data import Sequences, leave_one_out
from suite.benchmarks.recommendation.files import Interactions, interactions, load, ratings, sequences, split, tags

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
TOKEN = 99


def write(path: Path, rows: list[tuple[str, str, float]]) -> Path:
    path.write_text("\n".join([HEADER, *(f"{user}\t{item}\t3\t{time}" for user, item, time in rows)]) + "\n")
    return path


def ragged(*sequences: list[int]) -> Sequences:
    lengths = torch.tensor([0, *map(len, sequences)])
    return Sequences(torch.tensor([item for sequence in sequences for item in sequence]), lengths.cumsum(0))


def lists(sequences: Sequences) -> list[list[int]]:
    return [
        sequences.items[a:b].tolist()
        for a, b in zip(sequences.offsets[:-1].tolist(), sequences.offsets[1:].tolist(), strict=True)
    ]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(*sequences: list[int], width: int) -> tuple[Tensor, Tensor]:
    return ragged(*sequences).last(width)


# --- the split -------------------------------------------------------------------------------------------------------


def test_orders_by_time_then_by_place_in_the_file_and_holds_out_the_last_two(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.inter",
        [
            ("u", "e", 50), ("v", "a", 9), ("u", "d", 20), ("u", "a", 20), ("v", "e", 9),
            ("v", "b", 9), ("u", "c", 10), ("v", "d", 8), ("u", "b", 20), ("w", "f", 1),
        ],
    )  # fmt: skip
    parts = split(log, interactions)  # a b c d e f are 1 ... 6
    assert parts.n_items == 6
    assert lists(parts.train) == [[3, 4, 1], [4, 1]]
    assert lists(parts.val.history) == lists(parts.train)
    assert parts.val.target.tolist() == [2, 5]
    assert lists(parts.test.history) == [[3, 4, 1, 2], [4, 1, 5]]
    assert parts.test.target.tolist() == [5, 2]


def test_reads_columns_by_name_and_times_as_numbers(tmp_path: Path) -> None:
    log = tmp_path / "log.inter"
    times = ["1e3", "999", "99", "1000.5"]
    rows = [f"{time}\t{item}\tu\n" for item, time in enumerate(times)]
    log.write_text("timestamp:float\titem_id:token\tuser_id:token\n" + "".join(rows))
    assert lists(split(log, interactions).train) == [[3, 2]]


def test_is_read_once_a_process(tmp_path: Path) -> None:
    log = write(tmp_path / "log.inter", [("u", str(i), i) for i in range(5)])
    assert split(log, interactions) is split(log, interactions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column user_id, item_id, timestamp"),
        ("user_id:token\titem_id:token\n1\t2\n", "no column timestamp; the header has user_id, item_id"),
        (f"{HEADER}\n1\t2\t3\t4\n1\t2\n", "line 3: 2 fields where the header has 4"),
        (f"{HEADER}\n1\t2\t3\tnoon\n", "a timestamp is not a number"),
        (f"{HEADER}\n1\t2\t3\t4\n", "no user with at least 4 interactions"),
    ],
)
def test_a_malformed_log_is_named_with_its_fault(tmp_path: Path, content: str, message: str) -> None:
    log = tmp_path / "log.inter"
    log.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        split(log, interactions)
    assert str(log) in str(caught.value)


def test_training_sequences_share_no_memory_with_what_is_held_out() -> None:
    whole = ragged([1, 2, 3, 4], [5, 6, 7, 8, 9])
    parts = leave_one_out(whole, 9)
    whole.items.fill_(0)
    assert lists(parts.train) == [[1, 2], [5, 6, 7]]


def test_ratings_and_sequences_give_the_split_that_a_log_of_the_same_gives(tmp_path: Path) -> None:
    rows = [(7, 30, 5), (9, 10, 2), (7, 10, 1), (7, 20, 5), (9, 30, 1), (7, 40, 9), (9, 20, 7), (9, 5, 8), (7, 5, 9)]
    log = write(tmp_path / "log.inter", [(f"{user}", f"{item:02}", time) for user, item, time in rows])
    rated = tmp_path / "ratings.dat"
    rated.write_text("".join(f"{user}::{item}::4::{time}\n" for user, item, time in rows))
    written = tmp_path / "Beauty.txt"
    written.write_text("7 10 30 20 40 5\n9 30 10 20 5\n")  # ties in the order of the log
    expected = split(log, interactions)
    assert lists(expected.train) == [[2, 4, 3], [4, 2]]
    for found in (split(rated, ratings), load("amazon_beauty", lambda dataset, member: tmp_path / member)):
        assert found.n_items == expected.n_items == 5
        assert lists(found.train) == lists(expected.train)
        assert found.test.target.tolist() == expected.test.target.tolist()
        assert found.val.target.tolist() == expected.val.target.tolist()


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (ratings, "1::2::3::4\n1::2::3\n", "line 2: user::item::rating::timestamp expected, got '1::2::3'"),
        (ratings, "1::two::3::4\n", "line 1: user::item::rating::timestamp expected"),
        (ratings, "", "no user with at least 4 interactions"),
        (sequences, "1 2 3 4 5\n\n", "line 2: a user's number and those of items expected, got ''"),
        (sequences, "1 2 x\n", "line 1: a user's number and those of items expected, got '1 2 x'"),
        (sequences, "1 2 3 4 5\n1 2 3 4 6\n", "a user has more than one line"),
        (sequences, "1 2 3\n", "no user with at least 4 interactions"),
        (sequences, "", "is empty"),
    ],
)
def test_malformed_ratings_and_sequences_are_named_with_their_fault(
    tmp_path: Path, read: Callable[[Path], Interactions], content: str, message: str
) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        split(file, read)
    assert str(file) in str(caught.value)


def write_tags(path: Path, rows: list[tuple[int, int, int]]) -> Path:
    pd.DataFrame(rows, columns=["sourceNodeId", "targetNodeId", "timestamp"]).to_parquet(path)
    return path


def test_tags_are_first_tags_of_artists_with_five_users_by_time(tmp_path: Path) -> None:
    rows = [(user, artist, 10 * artist) for user in range(1, 6) for artist in (8, 7, 6, 5, 9)]
    rows += [(1, 5, 99), (1, 7, 3), (2, 4, 1), (6, 5, 1)]  # again, before, rare, alone
    parts = split(write_tags(tmp_path / "tags", rows), tags)
    assert parts.n_items == 5  # 5 6 7 8 9 are 1 ... 5
    assert lists(parts.train) == [[3, 1, 2], *[[1, 2, 3]] * 4]
    assert parts.val.target.tolist() == [4] * 5
    assert parts.test.target.tolist() == [5] * 5


def test_the_order_of_tags_within_a_month_is_drawn_and_stays(tmp_path: Path) -> None:
    log = write_tags(tmp_path / "tags", [(user, artist, 7) for user in range(40) for artist in range(20)])
    users, artists, _ = tags(log)
    assert np.array_equal(artists, tags(log)[1])
    rising = [np.mean(np.diff(artists[users == user]) > 0) for user in range(40)]
    assert np.mean(rising) == pytest.approx(0.5, abs=0.05)
    (tmp_path / "no").write_text("x")
    with pytest.raises(ValueError, match=str(tmp_path / "no")):
        tags(tmp_path / "no")


# --- windows ---------------------------------------------------------------------------------------------------------


@given(
    sequences=st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=9), min_size=1, max_size=5),
    width=st.integers(1, 10),
    data=st.data(),
)
def test_windows_are_slices(sequences: list[list[int]], width: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1, max_size=6))
    starts = [data.draw(st.integers(0, len(sequences[row]) - 1)) for row in rows]
    window, length = ragged(*sequences).windows(torch.tensor(rows), torch.tensor(starts), width)
    for i, (row, start) in enumerate(zip(rows, starts, strict=True)):
        expected = sequences[row][start : start + width]
        assert length[i] == len(expected)
        assert window[i].tolist() == expected + [0] * (width - len(expected))


def test_last_takes_the_end_of_long_and_all_of_short_sequences() -> None:
    window, length = ragged([1, 2, 3, 4], [5]).last(3)
    assert window.tolist() == [[2, 3, 4], [5, 0, 0]]
    assert length.tolist() == [3, 1]


def test_some_sequences_are_a_part_of_all() -> None:
    whole = ragged([1, 2, 3, 4], [5], [6, 7])
    assert lists(whole.between(1, 3)) == lists(whole.between(1, 9)) == [[5], [6, 7]]
    assert lists(whole.between(0, 2)) == [[1, 2, 3, 4], [5]]


def test_members() -> None:
    assert ragged([1, 3, 3], [2]).members(4).long().tolist() == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 0]]


# --- augmentation ----------------------------------------------------------------------------------------------------

LONG = list(range(1, 11))


def test_crop_is_a_run_of_the_stated_length_at_every_possible_place() -> None:
    sequence, length = batch(*[LONG] * 200, [7], [8, 9], width=12)
    cropped, kept = crop(sequence, length, 0.6, seeded())
    assert kept.tolist() == [6] * 200 + [1, 1]
    starts = set()
    for row, count in zip(cropped[:200].tolist(), kept[:200].tolist(), strict=True):
        assert row == [*range(row[0], row[0] + count), *[0] * (12 - count)]
        starts.add(row[0])
    assert starts == {1, 2, 3, 4, 5}
    assert cropped[200].tolist() == [7] + [0] * 11


def test_mask_replaces_the_stated_share_anywhere_and_nothing_else() -> None:
    sequence, length = batch(*[LONG] * 200, [4, 5, 6, 7], [8], width=12)
    masked = mask(sequence, length, 0.3, TOKEN, seeded())
    hit = masked == TOKEN
    assert hit.sum(dim=1).tolist() == [3] * 200 + [1, 0]
    assert torch.equal(masked[~hit], sequence[~hit])
    assert hit[:200].any(dim=0).tolist() == [True] * 10 + [False] * 2
    assert not hit[200, 4:].any()


def test_reorder_shuffles_one_run_and_leaves_the_rest_in_place() -> None:
    sequence, length = batch(*[LONG] * 200, [4, 5], width=12)
    reordered = reorder(sequence, length, 0.6, seeded())
    assert torch.equal(reordered.sort(dim=1).values, sequence.sort(dim=1).values)
    assert torch.equal(reordered[:, 10:], sequence[:, 10:])
    moved = reordered != sequence
    first, last = moved.int().argmax(dim=1), 11 - moved.flip(1).int().argmax(dim=1)
    assert (last - first)[moved.any(dim=1)].max() == 5
    assert moved[:200].any(dim=1).float().mean() > 0.9
    assert moved.any(dim=0)[:10].all()


def test_reorder_draws_every_order_alike() -> None:
    sequence, length = batch(*[[1, 2, 3]] * 6000, width=4)
    orders = Counter(map(tuple, reorder(sequence, length, 1.0, seeded()).tolist()))
    assert len(orders) == 6
    assert all(abs(count - 1000) < 150 for count in orders.values())  # five standard deviations


def test_an_augmentation_applies_each_operation_to_a_third_of_the_sequences() -> None:
    sequence, length = batch(*[LONG] * 3000, width=12)
    view, shorter = Augmentation(crop=0.6, mask=0.3, reorder=0.6, token=TOKEN)(sequence, length, seeded())
    cropped, masked = shorter == 6, (view == TOKEN).any(dim=1)
    assert not (cropped & masked).any()
    for share in (cropped, masked, ~cropped & ~masked):
        assert abs(share.sum().item() - 1000) < 130
    assert torch.equal(view[~cropped & ~masked].sort(dim=1).values, sequence[~cropped & ~masked].sort(dim=1).values)
    assert torch.equal(view != 0, torch.arange(12) < shorter[:, None])


def test_an_augmentation_is_a_function_of_its_generator() -> None:
    inputs = batch(*[LONG] * 50, [1, 2], width=12)
    augmentation = Augmentation(crop=0.6, mask=0.3, reorder=0.6, token=TOKEN)
    first, again, other = (augmentation(*inputs, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=20), st.integers(0, 2**32))
def test_no_augmentation_empties_a_sequence_or_touches_padding(items: list[int], seed: int) -> None:
    sequence, length = batch(items, width=20)
    view, kept = Augmentation(crop=0.0, mask=1.0, reorder=1.0, token=TOKEN)(sequence, length, seeded(seed))
    assert 1 <= kept.item() <= len(items)
    assert (view[0, : kept.item()] != 0).all()
    assert (view[0, kept.item() :] == 0).all()
