"""Every pair type and every loss once more, by plain loops over anchors and candidates, sharing nothing with the suite.

Numbers are float64 scalars that carry gradients, cut with `.item()` or `.detach()` exactly where the papers' code
stops them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from scipy.special import lambertw
from torch import Tensor

Logit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Column:
    """One candidate as an anchor sees it."""

    cosine: Tensor
    positive: bool
    candidate: bool
    own_view: bool = False

    @property
    def negative(self) -> bool:
        return self.candidate and not self.positive


@dataclass(frozen=True)
class Row:
    """One anchor: the sample behind it, and all that it is compared with."""

    sample: int
    columns: list[Column]

    @property
    def positives(self) -> list[Column]:
        return [column for column in self.columns if column.positive]

    @property
    def negatives(self) -> list[Tensor]:
        return [column.cosine for column in self.columns if column.negative]


# --- pairs


def unit(rows: Tensor) -> list[Tensor]:
    return [row / row.square().sum().sqrt() for row in rows]


def two_view(z1: Tensor, z2: Tensor) -> list[Row]:
    pooled, n = unit(z1) + unit(z2), len(z1)
    return [
        Row(i % n, [Column(a @ b, i != j and i % n == j % n, i != j, i // n == j // n) for j, b in enumerate(pooled)])
        for i, a in enumerate(pooled)
    ]


def cross_view(q: Tensor, k: Tensor, symmetric: bool = False, decoupled: bool = False) -> list[Row]:
    queries, keys = unit(q), unit(k)
    directions = [(queries, keys), (keys, queries)] if symmetric else [(queries, keys)]
    return [
        Row(i, [Column(a @ b, i == j, not (decoupled and i == j)) for j, b in enumerate(candidates)])
        for anchors, candidates in directions
        for i, a in enumerate(anchors)
    ]


def with_queue(q: Tensor, k: Tensor, queue: Tensor) -> list[Row]:
    keys, negatives = unit(k.detach()), unit(queue.detach())
    return [
        Row(i, [Column(a @ keys[i], True, True)] + [Column(a @ b, False, True) for b in negatives])
        for i, a in enumerate(unit(q))
    ]


def labelled(z: Tensor, labels: Sequence[int]) -> list[Row]:
    rows = unit(z)
    return [
        Row(i, [Column(a @ b, i != j and labels[i] == labels[j], i != j) for j, b in enumerate(rows)])
        for i, a in enumerate(rows)
    ]


def matrix(rows: list[Row]) -> Tensor:
    """The cosines of all rows, one below the other."""
    return torch.stack([torch.stack([column.cosine for column in row.columns]) for row in rows])


def with_cosines(rows: list[Row], cosines: Tensor) -> list[Row]:
    """The same roles with other cosines."""
    return [
        Row(row.sample, [replace(old, cosine=s) for s, old in zip(values, row.columns, strict=True)])
        for row, values in zip(rows, cosines, strict=True)
    ]


# --- logarithms of sums


def mean(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).mean()


def log_sum_exp(logits: list[Tensor]) -> Tensor:
    stacked = torch.stack(logits)
    largest = stacked.max().detach()
    return largest + (stacked - largest).exp().sum().log()


def log_one_plus_sum_exp(logits: list[Tensor]) -> Tensor:
    """log(1 + sum exp), to full relative accuracy where it is tiny."""
    if all(logit.item() <= 0 for logit in logits):
        return torch.stack(logits).exp().sum().log1p()
    return log_sum_exp([*logits, torch.zeros_like(logits[0])])


# --- the two shapes of a loss


def cross_entropy(rows: list[Row], logit: Logit) -> Tensor:
    """-log softmax, averaged over positives outside the logarithm (SupCon), then over anchors that have any."""
    terms = []
    for row in rows:
        of_anchor = []
        for positive in row.positives:
            others = [column for column in row.columns if column.candidate and column is not positive]
            differences = [logit(other.cosine) - logit(positive.cosine) for other in others]
            of_anchor.append((log_one_plus_sum_exp if positive.candidate else log_sum_exp)(differences))
        if of_anchor:
            terms.append(mean(of_anchor))
    return mean(terms)


def log_odds(rows: list[Row], logit: Logit) -> Tensor:
    """The same without any positive in the denominator (DCL)."""
    terms = []
    for row in rows:
        if row.positives:
            attraction = mean([logit(positive.cosine) for positive in row.positives])
            terms.append(log_sum_exp([logit(s) for s in row.negatives]) - attraction)
    return mean(terms)


# --- losses


def infonce(rows: list[Row], temperature: float) -> Tensor:
    return cross_entropy(rows, lambda s: s / temperature)


def temperature_free(rows: list[Row], scale: float, eps: float) -> Tensor:
    def logit(s: Tensor) -> Tensor:
        if abs(s.item()) > 1 - eps:
            s = torch.full_like(s, math.copysign(1 - eps, s.item()))
        return scale / 2 * ((1 + s) / (1 - s)).log()

    return cross_entropy(rows, logit)


def cosine_temperature(s: Tensor, tau_min: float, tau_max: float) -> Tensor:
    return tau_min + 0.5 * (tau_max - tau_min) * (1 + torch.cos(math.pi * (1 + s)))


def shifted_temperature(s: Tensor, tau_min: float, tau_max: float) -> Tensor:
    if s.item() > 0.4:
        return torch.full_like(s, tau_max)
    return tau_min + 0.5 * (tau_max - tau_min) * (1 + torch.cos(math.pi * (s - 0.4) / 0.7))


def rising_temperature(s: Tensor, tau_min: float, tau_max: float) -> Tensor:
    return tau_min + 0.5 * (tau_max - tau_min) * (1 - torch.cos(math.pi * (1 + s) / 2))


def dystress(rows: list[Row], tau_min: float, tau_max: float, temperature: Callable[..., Tensor]) -> Tensor:
    return cross_entropy(rows, lambda s: s / temperature(s.detach(), tau_min, tau_max))


def dystress_dcl(rows: list[Row], tau_min: float, tau_max: float, temperature: Callable[..., Tensor]) -> Tensor:
    return log_odds(rows, lambda s: s / temperature(s, tau_min, tau_max))


def macl(rows: list[Row], temperature: float, alpha: float, threshold: float) -> Tensor:
    alignment = mean([row.positives[0].cosine.detach() for row in rows])
    tau = temperature * (1 + alpha * (alignment - threshold))
    terms = []
    for row in rows:
        odds_against = log_sum_exp([(s - row.positives[0].cosine) / tau for s in row.negatives])
        surprise = log_one_plus_sum_exp([odds_against])  # -log P
        one_minus_p = torch.sigmoid(odds_against).detach()
        terms.append(surprise / one_minus_p)
    return mean(terms)


def learnable_temperature(rows: list[Row], log_scale: Tensor) -> Tensor:
    return cross_entropy(rows, lambda s: s * log_scale.exp())


def temperature_schedule(rows: list[Row], tau_min: float, tau_max: float, period: float, epoch: float) -> Tensor:
    tau = tau_min + 0.5 * (tau_max - tau_min) * (1 + math.cos(2 * math.pi * epoch / period))
    return cross_entropy(rows, lambda s: s / tau)


def dcl(rows: list[Row], temperature: float) -> Tensor:
    return log_odds(rows, lambda s: s / temperature)


def dclw(rows: list[Row], temperature: float, sigma: float) -> Tensor:
    positives = [row.positives[0].cosine for row in rows]
    total = sum(math.exp(s.item() / sigma) for s in positives)
    terms = []
    for row, s in zip(rows, positives, strict=True):
        weight = 2 - len(rows) * math.exp(s.item() / sigma) / total
        terms.append(log_sum_exp([negative / temperature for negative in row.negatives]) - weight * s / temperature)
    return mean(terms)


def siglip(rows: list[Row], log_scale: Tensor, bias: Tensor) -> Tensor:
    terms = []
    for row in rows:
        of_anchor = []
        for column in row.columns:
            if column.positive or column.candidate:
                logit = log_scale.exp() * column.cosine + bias
                of_anchor.append(log_one_plus_sum_exp([-logit if column.positive else logit]))
        if row.positives:
            terms.append(torch.stack(of_anchor).sum())
    return mean(terms)


def relative_siglip(rows: list[Row], log_scale: Tensor, bias: Tensor) -> Tensor:
    return siglip(rows, log_scale, -log_scale.exp() * bias)


def dhel(rows: list[Row], temperature: float) -> Tensor:
    """By the authors' formula: a sample is an anchor of the first view, and its positive one of the second."""
    n, terms = len(rows) // 2, []
    for first, second in zip(rows[:n], rows[n:], strict=True):
        (positive,) = first.positives
        energies = [
            log_sum_exp([c.cosine / temperature for c in row.columns if c.negative and c.own_view])
            for row in (first, second)
        ]
        (back,) = second.positives  # the same cosine: half of its gradient reaches each of the two entries
        terms.append(sum(energies) - (positive.cosine + back.cosine) / (2 * temperature))
    return mean(terms)


def pps(rows: list[Row], least: float) -> Tensor:
    alignments = [mean([positive.cosine for positive in row.positives]).item() for row in rows if row.positives]
    distance = 2 - 2 * sum(alignments) / len(alignments)
    return infonce(rows, max(distance, least))


def focal(rows: list[Row], temperature: float, margin: float) -> Tensor:
    terms = []
    for row in rows:
        of_anchor = []
        for positive in row.positives:
            own = positive.cosine**2 / temperature
            others = [
                (c.cosine**2 if c.positive else c.cosine * (c.cosine + margin)) / temperature - own
                for c in row.columns
                if c.candidate and c is not positive
            ]
            of_anchor.append((log_one_plus_sum_exp if positive.candidate else log_sum_exp)(others))
        if of_anchor:
            terms.append(mean(of_anchor))
    return mean(terms)


@dataclass
class ISogCLR:
    """A temperature and a moving average for each sample; they change with every call."""

    temperature: float = 0.1
    rho: float = 0.4
    gamma: float = 0.8
    rate: float = 0.03
    momentum: float = 0.5
    tau_min: float = 0.05
    tau_max: float = 1.0
    average: dict[int, float] = field(default_factory=dict)
    velocity: dict[int, float] = field(default_factory=dict)
    tau: dict[int, float] = field(default_factory=dict)

    def __call__(self, rows: list[Row]) -> Tensor:
        terms, averages, gradients = [], {}, {}
        for row in rows:
            tau, negatives = self.tau.get(row.sample, self.temperature), row.negatives
            exponentials = [math.exp(s.item() / tau) for s in negatives]
            g = sum(exponentials) / len(negatives)
            average = g
            if row.sample in self.average:
                average = (1 - self.gamma) * self.average[row.sample] + self.gamma * g
            weights = [e / average for e in exponentials]
            repulsion = torch.stack([w * s for w, s in zip(weights, negatives, strict=True)]).sum() / len(negatives)
            terms.append(repulsion - row.positives[0].cosine)
            averages.setdefault(row.sample, []).append(average)
            gradients.setdefault(row.sample, []).append(math.log(average) + self.rho - repulsion.item() / tau)
        for sample in averages:
            self._update(sample, averages[sample], gradients[sample])
        return mean(terms)

    def _update(self, sample: int, averages: list[float], gradients: list[float]) -> None:
        gradient = min(max(sum(gradients) / len(gradients), -3.0), 3.0)
        self.average[sample] = sum(averages) / len(averages)
        velocity = (1 - self.momentum) * self.velocity.get(sample, 0.0) + self.momentum * gradient
        tau = self.tau.get(sample, self.temperature) - self.rate * velocity
        self.velocity[sample] = velocity
        self.tau[sample] = min(max(tau, self.tau_min), self.tau_max)


@dataclass
class AdapTau:
    """Scales that follow from what the last epoch has measured; :meth:`turn` begins a new one."""

    damping: float = 1.0
    personal: bool = True
    least_gap: float = 0.1
    gap: float = 0.7
    ratio: dict[int, float] = field(default_factory=dict)
    hardness: dict[int, list[float]] = field(default_factory=dict)
    positives: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)

    def __call__(self, rows: list[Row]) -> Tensor:
        terms = []
        for row in rows:
            positive, negatives = row.positives[0].cosine, row.negatives
            candidates = len(negatives) + 1
            common = math.log(candidates / 2) / max(self.gap, self.least_gap)
            own = common * self.ratio.get(row.sample, 1.0)
            terms.append(torch.stack([(own * s).exp() for s in negatives]).sum().log() - common * positive)
            cosines = [s.item() for s in negatives]
            hardness = math.log(sum(math.exp(s) for s in cosines)) - positive.item()
            self.hardness.setdefault(row.sample, []).append(hardness)
            self.positives.append(positive.item())
            self.means.append((sum(cosines) + positive.item()) / candidates)
        return mean(terms)

    def turn(self) -> None:
        self.gap = sum(self.positives) / len(self.positives) - sum(self.means) / len(self.means)
        if self.personal:
            of_sample = {sample: sum(seen) / len(seen) for sample, seen in self.hardness.items()}
            middle = sum(of_sample.values()) / len(of_sample)
            for sample, hardness in of_sample.items():
                excess = (hardness - middle) / self.damping
                self.ratio[sample] = math.exp(-lambertw(excess).real) if excess > -1 / math.e else math.e
        self.hardness, self.positives, self.means = {}, [], []
