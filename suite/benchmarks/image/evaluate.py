"""What features are worth: weighted nearest neighbours, and linear probes on many labels and on few."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from suite.pairs import normalise
from suite.training import Evaluated, Metrics, Outcomes, geometry

NEIGHBOURS = {"knn_accuracy": 20, "knn200_accuracy": 200}
GALLERY_PER_NEIGHBOUR = 20
KNN_TEMPERATURE = 0.1
FEW_LABELS = 10
FEW_LABEL_SETS = 10
QUERIES_AT_ONCE = 1000


class FeatureEvaluation:
    """The metrics of features, given labelled examples.

    ``knn_accuracy`` is the vote of 20 neighbours, ``knn200_accuracy`` that of 200 (where the gallery is 20 times as
    large), ``linear_accuracy`` a linear probe on the whole gallery, and ``few_label_accuracy`` the mean of up to ten
    linear probes, each on ten other examples of every class. Nothing is drawn.

    Parameters
    ----------
    features : Tensor [gallery, features]
    labels : Tensor [gallery], int64
        At least ten of each class.
    classes : int

    Raises
    ------
    ValueError
        If there are fewer than ten examples of a class.
    """

    def __init__(self, features: Tensor, labels: Tensor, classes: int) -> None:
        counts = torch.bincount(labels, minlength=classes).tolist()
        scarce = {number: count for number, count in enumerate(counts) if count < FEW_LABELS}
        if scarce or len(counts) > classes:
            found = ", ".join(f"{count} of class {number}" for number, count in scarce.items())
            raise ValueError(
                f"at least {FEW_LABELS} labelled images a class needed, got {found}"
                if scarce
                else f"labels from 0 to {classes - 1} expected, got {len(counts) - 1}"
            )
        self.features = features
        self.labels = labels
        self.classes = classes
        few = few_labels(labels, classes)
        self._linear = LinearProbe(features.unsqueeze(0), labels.unsqueeze(0), classes)
        self._few_label = LinearProbe(features[few], labels[few], classes)

    @staticmethod
    def names(gallery: int) -> tuple[str, ...]:
        """Return the names of the metrics on a gallery of that size."""
        wide = ("knn200_accuracy",) if gallery >= GALLERY_PER_NEIGHBOUR * NEIGHBOURS["knn200_accuracy"] else ()
        return ("knn_accuracy", *wide, "linear_accuracy", "few_label_accuracy")

    def __call__(self, queries: Tensor, labels: Tensor) -> Evaluated:
        """Return the metrics of query features [queries, features] with labels [queries]."""
        counts = {name: NEIGHBOURS[name] for name in self.names(len(self.labels)) if name in NEIGHBOURS}
        predicted = dict(
            zip(counts, knn(self.features, self.labels, queries, list(counts.values()), self.classes), strict=True)
        )
        predicted["linear_accuracy"] = self._linear.predict(queries)
        predicted["few_label_accuracy"] = self._few_label.predict(queries)
        return Evaluated(
            {name: accuracy(classes, labels) for name, classes in predicted.items()},
            {name: Outcomes("mean", right(classes, labels)) for name, classes in predicted.items()},
        )


def few_labels(labels: Tensor, classes: int) -> Tensor:
    """Return up to ten disjoint sets of ten examples of each class: int64 [sets, 10 classes].

    Parameters
    ----------
    labels : Tensor [samples], int64
        At least ten of each class; as many sets as the rarest allows.
    classes : int
    """
    of_class = [(labels == number).nonzero().squeeze(1) for number in range(classes)]
    sets = min(min(map(len, of_class)) // FEW_LABELS, FEW_LABEL_SETS)
    by_class = torch.stack([samples[: sets * FEW_LABELS] for samples in of_class])
    return by_class.reshape(classes, sets, -1).transpose(0, 1).flatten(1)


def knn(
    gallery: Tensor,
    labels: Tensor,
    queries: Tensor,
    neighbours: list[int],
    classes: int,
    temperature: float = KNN_TEMPERATURE,
) -> list[Tensor]:
    """Predict by a vote of the nearest gallery features, each weighing exp(cosine / temperature).

    Wu et al. 2018 (arXiv 1805.01978, section 3.4), with the temperature 0.1 of solo-learn's and lightly's evaluations.

    Parameters
    ----------
    gallery : Tensor [gallery, features]
    labels : Tensor [gallery], int64
    queries : Tensor [queries, features]
    neighbours : list of int
        How many vote; each at most the gallery's size.
    classes : int
    temperature : float

    Returns
    -------
    list of Tensor [queries], int64
        One prediction for each entry of `neighbours`.
    """
    gallery = normalise(gallery)
    predicted: list[list[Tensor]] = [[] for _ in neighbours]
    for some in torch.split(normalise(queries), QUERIES_AT_ONCE):
        cosine, nearest = (some @ gallery.T).topk(max(neighbours), dim=1)
        # Relative to the nearest, so that no weight underflows or overflows whatever the temperature.
        weight = ((cosine - cosine[:, :1]) / temperature).exp()
        for count, parts in zip(neighbours, predicted, strict=True):
            votes = weight.new_zeros(len(some), classes)
            votes.scatter_add_(1, labels[nearest[:, :count]], weight[:, :count])
            parts.append(votes.argmax(dim=1))
    return [torch.cat(parts) for parts in predicted]


class LinearProbe:
    """Multinomial logistic regression on standardised features; several problems are solved side by side.

    Minimises mean cross-entropy + penalty / 2 ||W||^2 for each problem by L-BFGS from zero, so nothing is drawn.

    Parameters
    ----------
    features : Tensor [problems, samples, features]
        Standardised by each problem's own mean and standard deviation.
    labels : Tensor [problems, samples], int64
    classes : int
    penalty : float
    iterations : int
        Upper bound.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, penalty: float = 0.03, iterations: int = 50
    ) -> None:
        self.mean = features.mean(dim=1, keepdim=True)
        # A feature that is constant but for rounding carries nothing and must not be blown up.
        deviation = features.std(dim=1, unbiased=False, keepdim=True)
        self.scale = deviation.where(deviation > 1e-5 * (1 + self.mean.abs()), torch.inf)
        inputs = (features - self.mean) / self.scale
        axes, variances = _principal_axes(inputs)
        # Dividing by the root of the curvature at W = 0 leaves L-BFGS a well-conditioned problem.
        shrink = (variances * (classes - 1) / classes**2 + penalty).rsqrt().unsqueeze(1)
        scores = (inputs @ axes * shrink).transpose(1, 2).contiguous()
        weight = scores.new_zeros(len(scores), classes, scores.shape[1], requires_grad=True)
        bias = scores.new_zeros(len(scores), classes, 1, requires_grad=True)

        def objective() -> Tensor:
            fit = functional.cross_entropy(weight @ scores + bias, labels) * len(scores)
            return fit + penalty / 2 * (weight * shrink).square().sum()

        _minimise(objective, [weight, bias], iterations)
        self.weight = (weight * shrink).detach() @ axes.transpose(1, 2)
        self.bias = bias.detach()

    def predict(self, features: Tensor) -> Tensor:
        """Return each problem's most likely classes of features [samples, features]: int64 [problems, samples]."""
        weight = self.weight / self.scale
        return (weight @ features.T + self.bias - weight @ self.mean.transpose(1, 2)).argmax(dim=1)


def _principal_axes(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the axes that the samples span, [problems, features, rank], and the variances along them.

    The minimum lies in that span, since the penalty has no reason to leave it.
    """
    samples, features = inputs.shape[1:]
    if samples < features:
        _, singular, axes = torch.linalg.svd(inputs, full_matrices=False)
        return axes.transpose(1, 2), singular.square() / samples
    variances, axes = torch.linalg.eigh(inputs.transpose(1, 2) @ inputs / samples)
    return axes, variances.clamp(min=0.0)


def _minimise(objective: Callable[[], Tensor], parameters: list[Tensor], iterations: int) -> None:
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=iterations, tolerance_grad=1e-4, tolerance_change=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = objective()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]


def geometry_of(features: Tensor, labels: Tensor, first: Tensor, second: Tensor) -> Metrics:
    """Return how features lie on the sphere.

    DySTreSS (arXiv 2308.01140) reports uniformity and tolerance, of this layer, too; its code counts an image and
    itself as a pair.

    Parameters
    ----------
    features : Tensor [images, features]
        Of images as they are.
    labels : Tensor [images], int64
    first, second : Tensor [images, features]
        Of two views of each.
    """
    return {
        "alignment": geometry.alignment(first, second),
        "uniformity": geometry.uniformity(features),
        "tolerance": geometry.tolerance(features, labels),
        "effective_rank": geometry.effective_rank(features),
    }


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of entries [..., samples] that equal the labels [samples], in [0, 1]."""
    return float((predicted == labels).double().mean())


def right(predicted: Tensor, labels: Tensor) -> np.ndarray:
    """Return for each of the labels [samples] the share of the predictions [..., samples] that equal it: [samples]."""
    hits = (predicted == labels).reshape(-1, len(labels))
    return np.asarray((hits.double().mean(dim=0) if len(hits) > 1 else hits[0]).cpu().numpy())
