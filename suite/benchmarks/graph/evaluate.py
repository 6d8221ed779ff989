"""What embeddings of nodes and graphs are worth to a classifier."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import normalize
from sklearn.svm import SVC

from suite.benchmarks.graph.data import Split
from suite.training import Evaluated, Outcomes

#: Inverse penalties to choose from, as in GRACE's evaluation.
INVERSE_PENALTIES: Final = tuple(2.0**power for power in range(-10, 10))
#: And as in GraphCL's.
PENALTY_FACTORS: Final = tuple(10.0**power for power in range(-3, 4))


def scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return ``accuracy``, which equals micro-averaged F1 here, and ``macro_f1``, the mean over classes.

    Parameters
    ----------
    labels, predicted : array [items], int
    """
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
    }


class SplitEvaluation(abc.ABC):
    """Features, scored by a classifier that is trained on each split's training items. Nothing is drawn.

    Parameters
    ----------
    features : array or sparse array [items, features]
    labels : array [items], int
    splits : sequence of Split
    """

    def __init__(self, features: np.ndarray | sparse.sparray, labels: np.ndarray, splits: Sequence[Split]) -> None:
        self.features = features
        self.labels = labels
        self.splits = splits
        self._classifiers = [self.fitted(split) for split in splits]

    @abc.abstractmethod
    def fitted(self, split: Split) -> Any:
        """Return a classifier in scikit-learn's sense, fitted to the split's training items."""

    def __call__(self, part: str) -> Evaluated:
        """Return the mean metrics over the splits, on their items ``"val"`` or ``"test"``."""
        parts = [split.part(part) for split in self.splits]
        predicted = [
            classifier.predict(self.features[items]) for items, classifier in zip(parts, self._classifiers, strict=True)
        ]
        return evaluated(self.labels, parts, predicted)


class LinearEvaluation(SplitEvaluation):
    """One-vs-rest logistic regression on L2-normalised features.

    As in the authors' code for GRACE (Zhu et al. 2020, arXiv 2006.04131): liblinear, one C of 2^-10 ... 2^9 for all
    classes. It is chosen by the accuracy on the validation items (theirs: by cross-validation of the training items);
    of equals, the smallest.
    """

    def __init__(self, features: np.ndarray | sparse.sparray, labels: np.ndarray, splits: Sequence[Split]) -> None:
        super().__init__(normalize(features), labels, splits)

    def fitted(self, split: Split) -> Any:
        """Return the best classifier on the validation items."""
        candidates = []
        for inverse_penalty in INVERSE_PENALTIES:
            classifier = OneVsRestClassifier(LogisticRegression(C=inverse_penalty, solver="liblinear"))
            candidates.append(classifier.fit(self.features[split.train], self.labels[split.train]))
        val, labels = self.features[split.val], self.labels[split.val]
        return candidates[int(np.argmax([accuracy_score(labels, c.predict(val)) for c in candidates]))]


class KernelEvaluation(SplitEvaluation):
    """A support vector machine with a Gaussian kernel.

    As in the authors' code for GraphCL (You et al. 2020, arXiv 2010.13902): C is one of 10^-3 ... 10^3, chosen by
    five-fold cross-validation of the training items.
    """

    def fitted(self, split: Split) -> Any:
        """Return the best classifier of the cross-validation."""
        search = GridSearchCV(SVC(), {"C": PENALTY_FACTORS}, cv=5)
        return search.fit(self.features[split.train], self.labels[split.train])


def majority(labels: np.ndarray, splits: Sequence[Split], part: str) -> Evaluated:
    """Return the mean metrics of always predicting the most frequent class of the training items.

    Parameters
    ----------
    labels : array [items], int
    splits : sequence of Split
    part : "val" or "test"
    """
    parts = [split.part(part) for split in splits]
    predicted = [
        np.full(len(items), np.bincount(labels[split.train]).argmax())
        for items, split in zip(parts, splits, strict=True)
    ]
    return evaluated(labels, parts, predicted)


def evaluated(labels: np.ndarray, parts: Sequence[np.ndarray], predicted: Sequence[np.ndarray]) -> Evaluated:
    """Return the mean metrics over splits.

    An item of the accuracy is a node, or a graph: which of them test differs by split and seed, their numbers do not.
    It counts as often as it tested, and its outcome is how often the classifier was right.

    Parameters
    ----------
    labels : array [items], int
        Of all items.
    parts, predicted : sequence of array [tested], int
        The numbers of each split's tested items, and the classes that they were given.
    """
    results = [scores(labels[items], classes) for items, classes in zip(parts, predicted, strict=True)]
    right, weights = np.zeros(len(labels)), np.zeros(len(labels))
    largest = max(map(len, parts))
    for items, classes in zip(parts, predicted, strict=True):
        share = largest / len(items)  # the mean of splits of unlike size counts an item of a small one for more
        right[items] += share * (labels[items] == classes)
        weights[items] += share
    values = np.divide(right, weights, out=np.zeros(len(labels)), where=weights > 0)
    return Evaluated(mean(results), {"accuracy": Outcomes("mean", values, weights=weights)})


def mean(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each metric."""
    return {name: float(np.mean([result[name] for result in results])) for name in results[0]}
