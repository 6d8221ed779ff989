"""Files of interactions to sequences: what the collections come in, and how they are ordered and split.

Items are numbered from 1 in the sorted order of their names in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import torch

from suite.benchmarks.recommendation.data import Sequences, Split, leave_one_out
from suite.training.streams import Streams

#: Of a shorter history nothing would be left to train on: two items are held out and a next item needs one before it.
SHORTEST_HISTORY = 4

Interactions = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Users, items, and when: arrays of one length, in the order of the file."""

_COLUMNS = ("user_id", "item_id", "timestamp")
_OF_RATINGS = 4
#: Users that an artist must have been tagged by, as in 5-core data: others are hardly seen before they are held out.
FEWEST_USERS = 5
#: The order among tags of one month is the same whatever the run's seed.
ONCE_AND_FOR_ALL: Final = Streams(0)


def interactions(path: Path) -> Interactions:
    """Read RecBole's atomic file: tab-separated, a typed header with ``user_id``, ``item_id`` and ``timestamp``.

    Raises
    ------
    ValueError
        If a column is missing, or a line is malformed.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [field.partition(":")[0] for field in lines[0].split("\t")] if lines else []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; the header has {', '.join(header) or 'no columns'}")
    rows = [line.split("\t") for line in lines[1:]]
    wrong = next((number for number, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if wrong is not None:
        raise ValueError(f"{path}, line {wrong}: {len(rows[wrong - 2])} fields where the header has {len(header)}")
    users, items, times = (np.array([row[header.index(name)] for row in rows]) for name in _COLUMNS)
    try:
        return users, items, times.astype(np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: a timestamp is not a number ({error})") from error


def ratings(path: Path) -> Interactions:
    """Read MovieLens-1M's ratings: ``user::item::rating::timestamp``, all of them integers.

    Raises
    ------
    ValueError
        If a line is malformed.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("::") for line in lines]
    wrong = next((number for number, row in enumerate(rows, start=1) if not _is_rating(row)), None)
    if wrong is not None:
        raise ValueError(f"{path}, line {wrong}: user::item::rating::timestamp expected, got {lines[wrong - 1]!r}")
    users, items, _, times = np.array(rows, dtype=np.int64).reshape(-1, _OF_RATINGS).T
    return users, items, times


def sequences(path: Path) -> Interactions:
    """Read a user a line, ``user item item ...`` in order of time: S3-Rec's form of McAuley's Amazon reviews.

    Raises
    ------
    ValueError
        If a line is malformed, or a user has two.
    """
    users, items = [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields or not all(map(str.isdecimal, fields)):
            raise ValueError(f"{path}, line {number}: a user's number and those of items expected, got {line[:60]!r}")
        users.append(int(fields[0]))
        items.append(np.array(fields[1:], dtype=np.int64))
    if len(set(users)) < len(users):
        raise ValueError(f"{path}: a user has more than one line")
    if not items:
        raise ValueError(f"{path}: is empty")
    joined = np.concatenate(items)
    return np.repeat(users, [len(row) for row in items]), joined, np.arange(len(joined))


def tags(path: Path) -> Interactions:
    """Read Last.fm's tags (HetRec 2011): when a user first tagged each artist, for artists of five users at least.

    Nearly all are dated by the month, and the file is sorted by artist within a user: the order within a month is drawn
    at random, since that by number would be one that a model can learn.

    Parameters
    ----------
    path : Path
        Parquet with columns ``sourceNodeId`` (the user), ``targetNodeId`` (the artist) and ``timestamp``.

    Raises
    ------
    ValueError
        If it is not that.
    """
    try:
        table = pd.read_parquet(path, columns=["sourceNodeId", "targetNodeId", "timestamp"])
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    first = table.groupby(["sourceNodeId", "targetNodeId"], as_index=False)["timestamp"].min()
    first = first[first.groupby("targetNodeId")["sourceNodeId"].transform("size") >= FEWEST_USERS]
    shuffled = first.iloc[ONCE_AND_FOR_ALL.numpy("order within a month").permutation(len(first))]
    user, item, time = (shuffled[column].to_numpy() for column in ("sourceNodeId", "targetNodeId", "timestamp"))
    return user, item, time


Collection = Literal["movielens_100k", "movielens_1m", "amazon_beauty", "amazon_toys", "amazon_sports", "lastfm"]
"""Names in the catalogue."""

FILES: Final[Mapping[Collection, tuple[str, Callable[[Path], Interactions]]]] = {
    "movielens_100k": ("ml-100k.inter", interactions),
    "movielens_1m": ("ratings.dat", ratings),
    "amazon_beauty": ("Beauty.txt", sequences),
    "amazon_toys": ("Toys_and_Games.txt", sequences),
    "amazon_sports": ("Sports_and_Outdoors.txt", sequences),
    "lastfm": ("user_tag_artist_rels.parquet", tags),
}
"""Each collection's file, and how to read it."""


def load(dataset: Collection, locate: Callable[[str, str], Path]) -> Split:
    """Read a collection and split it; once a process, so never write into it.

    Parameters
    ----------
    dataset : str
        Its name in the catalogue.
    locate : callable (dataset, member) -> Path
        The local file of a member.
    """
    member, read = FILES[dataset]
    return split(locate(dataset, member), read)


@lru_cache(maxsize=4)
def split(path: Path, read: Callable[[Path], Interactions]) -> Split:
    """Order the interactions of a file by user and time, and split them; once a process.

    Ties in time are broken by their order in the file. Ties are the rule: 76 % of the ratings of MovieLens-100K share
    their second with another one of the same user. Its file is shuffled, so the order among them is random; to break
    ties by item number would put one into the data that a model can learn, and would move unpopular items to the end
    (popularity then reaches a test NDCG@10 of .026 in place of .044). Users with fewer than four interactions are left
    out.

    Parameters
    ----------
    path : Path
    read : callable (Path) -> Interactions
        :func:`interactions`, :func:`ratings` or :func:`sequences`.

    Raises
    ------
    ValueError
        If the file is malformed, or no user is left.
    """
    users, items, times = read(path)
    names, numbers = np.unique(items, return_inverse=True)
    _, user = np.unique(users, return_inverse=True)
    order = np.lexsort((times, user))
    counts = np.bincount(user)
    kept = (counts >= SHORTEST_HISTORY)[user[order]]
    lengths = counts[counts >= SHORTEST_HISTORY]
    if lengths.size == 0:
        raise ValueError(f"{path}: no user with at least {SHORTEST_HISTORY} interactions")
    offsets = np.concatenate([[0], lengths.cumsum()])
    whole = Sequences(torch.from_numpy(numbers[order][kept] + 1), torch.from_numpy(offsets))
    return leave_one_out(whole, len(names))


def _is_rating(fields: list[str]) -> bool:
    return len(fields) == _OF_RATINGS and all(map(str.isdecimal, fields))
