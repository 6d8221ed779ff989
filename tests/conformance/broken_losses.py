"""Losses that are broken in one way each, and the sound one that they are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from suite.losses import AnchorLoss, LogitLoss, Loss, cross_entropy
from suite.losses.steps import Step, Training
from suite.pairs import Pairs


class Scaled(LogitLoss):
    """A sound loss, to be broken in one way or another."""

    def logits(self, similarity: Tensor) -> Tensor:
        return 4.0 * similarity


class Vector(Loss):
    def forward(self, pairs: Pairs) -> Tensor:
        return cross_entropy(4.0 * pairs.similarity, pairs.roles)


class Number(Loss):
    def forward(self, pairs: Pairs) -> Any:
        return float(cross_entropy(4.0 * pairs.similarity.detach(), pairs.roles).mean())


class Detached(Scaled):
    def logits(self, similarity: Tensor) -> Tensor:
        return super().logits(similarity.detach())


class Elsewhere(Loss):
    """A gradient, but none with respect to the similarities."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, pairs: Pairs) -> Tensor:
        return self.weight * pairs.similarity.detach().mean()


class NoLoss(nn.Module):
    def forward(self, pairs: Pairs) -> Tensor:
        return pairs.similarity.mean()


class Raises(Scaled):
    def logits(self, similarity: Tensor) -> Tensor:
        raise KeyError("no such thing")


class Artanh(LogitLoss):
    def logits(self, similarity: Tensor) -> Tensor:
        return 2.0 * similarity.atanh()


class CountsTheLonely(Scaled):
    """0 / 0 for an anchor without a positive."""

    def forward(self, pairs: Pairs) -> Tensor:
        logits = pairs.roles.without_strangers(4.0 * pairs.similarity, -1e9)
        chosen = logits.log_softmax(dim=1).masked_fill(~pairs.positive, 0.0)
        return -(chosen.sum(dim=1) / pairs.positive.sum(dim=1)).mean()


class RefusesQueues(Scaled):
    def forward(self, pairs: Pairs) -> Tensor:
        if pairs.similarity.shape[1] == 5:
            raise ValueError("no queues, please")
        return super().forward(pairs)


class SeesItself(Loss):
    def forward(self, pairs: Pairs) -> Tensor:
        logits = 4.0 * pairs.similarity
        return (logits.logsumexp(dim=1) - pairs.roles.positive_mean(logits))[pairs.roles.positives() > 0].mean()


class WeighsByPlace(AnchorLoss):
    def forward(self, pairs: Pairs) -> Tensor:
        terms = cross_entropy(4.0 * pairs.similarity, pairs.roles).where(pairs.roles.positives() > 0, 0.0)
        return (terms * torch.linspace(0.5, 1.5, len(pairs))).mean()


class WeighsByNumber(Loss):
    def forward(self, pairs: Pairs) -> Tensor:
        terms = cross_entropy(4.0 * pairs.similarity, pairs.roles).where(pairs.roles.positives() > 0, 0.0)
        return (terms * (1.0 + pairs.index)).mean()


class LooksAtEmbeddings(Scaled):
    def forward(self, pairs: Pairs) -> Tensor:
        value = super().forward(pairs)
        return value + pairs.parts[0].anchors[:, 0].square().sum() if hasattr(pairs, "parts") else value


class Draws(Scaled):
    def forward(self, pairs: Pairs) -> Tensor:
        return super().forward(pairs) * (1.0 + torch.rand(()))


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, similarity: Tensor) -> Tensor:
        return 2.0 * similarity

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class WrongBackward(LogitLoss):
    def logits(self, similarity: Tensor) -> Tensor:
        return Twice.apply(similarity)  # type: ignore[no-any-return]


class WrongForItsParameter(LogitLoss):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def logits(self, similarity: Tensor) -> Tensor:
        return similarity * Twice.apply(self.scale)


class Flickers(Scaled):
    """Cuts off more or less, as the sixth digit has it."""

    def logits(self, similarity: Tensor) -> Tensor:
        if (similarity.sum() * 1e6).round() % 2 == 0:
            similarity.detach()
        return super().logits(similarity)


class SingleInDouble(LogitLoss):
    def logits(self, similarity: Tensor) -> Tensor:
        return 4.0 * similarity.float()


class Overflows(Loss):
    """Sums exponentials by a matrix product, which autocast does in half precision."""

    def forward(self, pairs: Pairs) -> Tensor:
        logits = 20.0 * pairs.roles.without_strangers(pairs.similarity, -1.0)
        sums = logits.exp() @ torch.ones(logits.shape[1], 1, dtype=logits.dtype)
        terms = sums.squeeze(1).log() - pairs.roles.positive_mean(logits)
        return terms[pairs.roles.positives() > 0].mean()


class GivesHalf(Scaled):
    def forward(self, pairs: Pairs) -> Tensor:
        value = super().forward(pairs)
        return value.half() if value.dtype == torch.float32 and torch.is_autocast_enabled("cpu") else value


class CentresInBlocks(AnchorLoss):
    def of_anchors(self, pairs: Pairs, shared: Any) -> Tensor:
        terms = cross_entropy(4.0 * pairs.similarity, pairs.roles)
        return terms * (1.0 + pairs.roles.positive_mean(pairs.similarity).detach().mean())


class Idle(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.offset = nn.Parameter(torch.zeros(()))

    def logits(self, similarity: Tensor) -> Tensor:
        return super().logits(similarity) * (1.0 + self.offset)


class Forgetful(Scaled):
    """Keeps a moving average in a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.average = torch.zeros(())

    def forward(self, pairs: Pairs) -> Tensor:
        value = super().forward(pairs) * (1.0 + self.average)
        with torch.no_grad():
            self.average = 0.9 * self.average + 0.1 * pairs.positive_similarity().mean()
        return value


class GrowsOnTheWay(Scaled):
    """Gives its buffer the right size only when it sees data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, pairs: Pairs) -> Tensor:
        if not len(self.seen):
            self.seen = torch.zeros(len(pairs))
        return super().forward(pairs)


class PicklesItself(Scaled):
    def get_extra_state(self) -> Any:
        return Step(0, 0, 0)

    def set_extra_state(self, state: Any) -> None: ...


class OtherWhenCompiled(Scaled):
    def logits(self, similarity: Tensor) -> Tensor:
        return super().logits(similarity) * (1.5 if torch.compiler.is_compiling() else 1.0)


class Counted(Scaled):
    """A sound loss that knows the length of training and where it stands, keeps a state, and cuts much off."""

    tau: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("tau", torch.zeros(0))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def prepare(self, training: Training) -> None:
        self.tau = torch.ones(training.samples)

    def start(self, step: Step) -> None:
        self.factor = 1.0 + step.epoch

    def forward(self, pairs: Pairs) -> Tensor:
        with torch.no_grad():
            self.scale.clamp_(0.0, 5.0)
            tau = self.tau[pairs.index].to(pairs.similarity.dtype)
            moved = tau.clone()
            moved *= 1.0 + 0.1 * pairs.roles.positive_mean(pairs.similarity).abs()
            self.tau[pairs.index] = moved.to(self.tau.dtype)
        positive = pairs.roles.positive_mean(pairs.similarity)
        alignment = 1.0 + 0.1 * positive.data.mean() + 0.01 * positive.square().sum().item()
        return super().forward(pairs) * alignment * self.factor * moved.mean()

    def logits(self, similarity: Tensor) -> Tensor:
        return self.scale.exp() * similarity / (1.0 + similarity.detach().square())
