"""Which candidate is what to which anchor, kept small where it can be.

Most conventions need one or two columns an anchor (the positive, the anchor itself), not two boolean matrices. Passes
over such matrices cost more than the exponentials of a loss, so the reductions that losses share are written on roles.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable

import torch
from torch import Tensor

NO_VIEWS = "these pairs do not say of which view a candidate is, as those of two_view do"


class Roles(abc.ABC):
    """The roles of candidates to anchors: a row an anchor, a column a candidate.

    Attributes
    ----------
    positive, candidate : Tensor [anchors, candidates], bool
        What belongs to the anchor; what enters the denominator.
    is_single : bool
        Whether every anchor is known to have exactly one positive.
    has_views : bool
        Whether some candidates are known to be of the anchor's own view, the others of another.
    """

    is_single: bool = False
    has_views: bool = False

    @property
    @abc.abstractmethod
    def positive(self) -> Tensor:
        """What belongs to the anchor: bool [anchors, candidates]."""

    @property
    @abc.abstractmethod
    def candidate(self) -> Tensor:
        """What enters the denominator: bool [anchors, candidates]."""

    @property
    def own_view(self) -> Tensor | None:
        """What is of the anchor's own view: bool [anchors, candidates]; None where that is not known."""
        return None

    @abc.abstractmethod
    def rows(self, start: int, stop: int) -> Roles:
        """Return the roles of some anchors."""

    @abc.abstractmethod
    def positives(self) -> Tensor:
        """Return the number of positives of each anchor: int64 [anchors]."""

    @abc.abstractmethod
    def negatives(self) -> Tensor:
        """Return the number of negatives (candidates that are not positive) of each anchor: int64 [anchors]."""

    @abc.abstractmethod
    def positive_mean(self, values: Tensor) -> Tensor:
        """Return the mean of `values` [anchors, candidates] over each anchor's positives, 0 without any: [anchors]."""

    @abc.abstractmethod
    def without_strangers(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` where a column is neither candidate nor positive."""

    @abc.abstractmethod
    def only_candidates(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` where a column does not enter the denominator."""

    @abc.abstractmethod
    def only_negatives(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` where a column is no negative (a candidate that is not positive)."""

    @abc.abstractmethod
    def only_own_view(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` where a column is no negative of the anchor's own view; needs `has_views`."""


class DenseRoles(Roles):
    """Roles given as matrices.

    Parameters
    ----------
    positive, candidate : Tensor [anchors, candidates], bool
    own_view : Tensor [anchors, candidates], bool, optional
        What is of the anchor's own view.
    """

    def __init__(self, positive: Tensor, candidate: Tensor, own_view: Tensor | None = None) -> None:
        self._positive = positive
        self._candidate = candidate
        self._own_view = own_view
        self.has_views = own_view is not None

    @property
    def positive(self) -> Tensor:
        """What belongs to the anchor: bool [anchors, candidates]."""
        return self._positive

    @property
    def candidate(self) -> Tensor:
        """What enters the denominator: bool [anchors, candidates]."""
        return self._candidate

    @property
    def own_view(self) -> Tensor | None:
        """What is of the anchor's own view: bool [anchors, candidates]."""
        return self._own_view

    def rows(self, start: int, stop: int) -> Roles:
        """Return the roles of some anchors."""
        own_view = None if self._own_view is None else self._own_view[start:stop]
        return DenseRoles(self.positive[start:stop], self.candidate[start:stop], own_view)

    def positives(self) -> Tensor:
        """Return the number of positives of each anchor."""
        return self.positive.sum(dim=1)

    def negatives(self) -> Tensor:
        """Return the number of negatives of each anchor."""
        return (self.candidate & ~self.positive).sum(dim=1)

    def positive_mean(self, values: Tensor) -> Tensor:
        """Return the mean over each anchor's positives."""
        return values.masked_fill(~self.positive, 0.0).sum(dim=1) / self.positives().clamp(min=1)

    def without_strangers(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at strangers."""
        return values.masked_fill(~(self.candidate | self.positive), fill)

    def only_candidates(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` outside the denominator."""
        return values.masked_fill(~self.candidate, fill)

    def only_negatives(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` outside the negatives."""
        return values.masked_fill(~self.candidate | self.positive, fill)

    def only_own_view(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` outside the negatives of the anchor's own view."""
        if self._own_view is None:
            raise ValueError(NO_VIEWS)
        return self.only_negatives(values, fill).masked_fill(~self._own_view, fill)


class ColumnRoles(Roles):
    """One positive an anchor, all other columns negatives but for a few strangers.

    Parameters
    ----------
    column : Tensor [anchors], int64
        The positive's column.
    strangers : Tensor [anchors, few], int64
        Columns that mean nothing to the anchor, as itself does; not the positive's.
    candidates : int
        Number of columns.
    in_denominator : bool
        Whether the positive is a candidate, too.
    has_views : bool
        Whether the first half of the columns is a view and the second another, each positive not of its anchor's view.
    """

    is_single = True

    def __init__(
        self,
        column: Tensor,
        strangers: Tensor,
        candidates: int,
        in_denominator: bool = True,
        has_views: bool = False,
    ) -> None:
        self.has_views = has_views
        self.column = column
        self.strangers = strangers
        self.candidates = candidates
        self.in_denominator = in_denominator

    @property
    def positive(self) -> Tensor:
        """Where the positive is: bool [anchors, candidates]."""
        return self._marked(self.column.unsqueeze(1))

    @property
    def candidate(self) -> Tensor:
        """What enters the denominator: bool [anchors, candidates]."""
        return ~self._marked(self.strangers if self.in_denominator else self.not_negative)

    @property
    def own_view(self) -> Tensor | None:
        """The half of the columns that the positive is not in: bool [anchors, candidates]."""
        if not self.has_views:
            return None
        half = self.candidates // 2
        is_second = torch.arange(self.candidates, device=self.column.device) >= half
        return is_second != (self.column >= half).unsqueeze(1)

    @property
    def not_negative(self) -> Tensor:
        """The columns of the strangers and of the positive: int64 [anchors, few + 1]."""
        return torch.cat([self.strangers, self.column.unsqueeze(1)], dim=1)

    def rows(self, start: int, stop: int) -> ColumnRoles:
        """Return the roles of some anchors."""
        some = self.column[start:stop], self.strangers[start:stop]
        return ColumnRoles(*some, self.candidates, self.in_denominator, self.has_views)

    def positives(self) -> Tensor:
        """Return ones."""
        return torch.ones_like(self.column)

    def negatives(self) -> Tensor:
        """Return the number of all other columns but the strangers."""
        return torch.full_like(self.column, self.candidates - self.not_negative.shape[1])

    def positive_mean(self, values: Tensor) -> Tensor:
        """Return each anchor's value at its positive."""
        return values.gather(1, self.column.unsqueeze(1)).squeeze(1)

    def without_strangers(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at strangers."""
        return values.scatter(1, self.strangers, fill) if self.strangers.shape[1] else values

    def only_candidates(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` outside the denominator."""
        return self.without_strangers(values, fill) if self.in_denominator else self.only_negatives(values, fill)

    def only_negatives(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at strangers and positives."""
        return values.scatter(1, self.not_negative, fill)

    def only_own_view(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at strangers and in the positive's view."""
        if not self.has_views:
            raise ValueError(NO_VIEWS)
        half = self.candidates // 2
        of_positive = torch.arange(2, device=values.device) == (self.column >= half).unsqueeze(1)  # [anchors, views]
        halves = self.only_negatives(values, fill).reshape(len(values), 2, half)
        return halves.masked_fill(of_positive.unsqueeze(2), fill).flatten(1)

    def _marked(self, columns: Tensor) -> Tensor:
        marked = torch.zeros(len(self.column), self.candidates, dtype=torch.bool, device=self.column.device)
        return marked.scatter(1, columns, True) if columns.shape[1] else marked


class LabelRoles(Roles):
    """Positives are the candidates of the anchor's label; the matrices exist only for the rows that are asked for.

    Parameters
    ----------
    labels : Tensor [anchors], int64
    own : Tensor [anchors], int64
        The column that is the anchor itself.
    candidate_labels : Tensor [candidates], int64
    """

    def __init__(self, labels: Tensor, own: Tensor, candidate_labels: Tensor) -> None:
        self.labels = labels
        self.own = own
        self.candidate_labels = candidate_labels
        self._matrices: Roles | None = None

    @property
    def candidate(self) -> Tensor:
        """All but the anchor itself: bool [anchors, candidates]."""
        return torch.arange(len(self.candidate_labels), device=self.own.device) != self.own.unsqueeze(1)

    @property
    def positive(self) -> Tensor:
        """Others of the same label: bool [anchors, candidates]."""
        return (self.labels.unsqueeze(1) == self.candidate_labels) & self.candidate

    def rows(self, start: int, stop: int) -> Roles:
        """Return the roles of some anchors, as matrices."""
        some = LabelRoles(self.labels[start:stop], self.own[start:stop], self.candidate_labels)
        return DenseRoles(some.positive, some.candidate)

    def positives(self) -> Tensor:
        """Return the number of others of each anchor's label."""
        _, group, sizes = torch.unique(self.candidate_labels, return_inverse=True, return_counts=True)
        positives: Tensor = sizes[group[self.own]] - 1
        return positives

    def negatives(self) -> Tensor:
        """Return the number of candidates of another label."""
        return len(self.candidate_labels) - 1 - self.positives()

    def positive_mean(self, values: Tensor) -> Tensor:
        """Return the mean over each anchor's positives."""
        return self._dense.positive_mean(values)

    def without_strangers(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at the anchor itself."""
        return values.scatter(1, self.own.unsqueeze(1), fill)

    def only_candidates(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` at the anchor itself."""
        return self.without_strangers(values, fill)

    def only_negatives(self, values: Tensor, fill: float) -> Tensor:
        """Return `values` with `fill` outside the negatives."""
        return self._dense.only_negatives(values, fill)

    def only_own_view(self, values: Tensor, fill: float) -> Tensor:
        """Raise ValueError: labels do not say which view a row is of."""
        raise ValueError(NO_VIEWS)

    @property
    def _dense(self) -> Roles:
        if self._matrices is None:
            self._matrices = self.rows(0, len(self.labels))
        return self._matrices


def no_strangers(column: Tensor) -> Tensor:
    """Return no columns for each anchor: int64 [anchors, 0]."""
    return column.new_empty(len(column), 0)


def joined(roles: Iterable[ColumnRoles]) -> ColumnRoles:
    """Return the roles of several groups of anchors, one below the other, over as many candidates each."""
    groups = list(roles)
    return ColumnRoles(
        torch.cat([group.column for group in groups]),
        torch.cat([group.strangers for group in groups]),
        groups[0].candidates,
        groups[0].in_denominator,
    )
