"""The losses that public libraries have, too: the same value and gradient on the same embeddings."""

from collections.abc import Callable

import lightly.loss
import pytest
import torch
from pytorch_metric_learning import losses as metric_learning
from torch import Tensor, nn

from suite.losses import DCL, DCLW, MACL, InfoNCE, Loss
from suite.pairs import labelled, two_view


def views(samples: int = 16, dimensions: int = 8) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    z1 = torch.randn(samples, dimensions, generator=draw, dtype=torch.float64)
    return z1, z1 + torch.randn(z1.shape, generator=draw, dtype=torch.float64)


def assert_same(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, Tensor], Tensor], rtol: float
) -> None:
    results = []
    for loss in (ours, theirs):
        z1, z2 = (z.requires_grad_() for z in views())
        value = loss(z1, z2)
        results.append((value, *torch.autograd.grad(value, (z1, z2))))
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=rtol * other.abs().max().item())


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (InfoNCE(0.5), lightly.loss.NTXentLoss(0.5)),
        (InfoNCE(0.05), lightly.loss.NTXentLoss(0.05)),
        (DCL(), lightly.loss.DCLLoss()),
        (DCL(0.3), lightly.loss.DCLLoss(0.3)),
        (DCLW(), lightly.loss.DCLWLoss()),
        (DCLW(0.3, sigma=0.7), lightly.loss.DCLWLoss(0.3, sigma=0.7)),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_two_views_equal_lightly(ours: Loss, theirs: nn.Module) -> None:
    assert_same(lambda z1, z2: ours(two_view(z1, z2)), theirs, rtol=1e-10)


@pytest.mark.parametrize(("temperature", "alpha", "threshold"), [(0.1, 0.5, 0.0), (0.5, 1.0, 0.8)])
def test_macl_equals_lightly_but_for_its_epsilon(temperature: float, alpha: float, threshold: float) -> None:
    ours = MACL(temperature, alpha, threshold)
    theirs = lightly.loss.MACLLoss(temperature, alpha, threshold)
    # lightly weights by 1 / (1 - P + 1e-8): by 1e-8 / (1 - P) less than 1 / (1 - P), for the most certain positive
    pairs = two_view(*views())
    tau = temperature * (1 + alpha * (pairs.similarity[pairs.positive].mean() - threshold))
    logits = (pairs.similarity / tau).masked_fill(~pairs.candidate, -torch.inf)
    least = 1 - logits.softmax(dim=1)[pairs.positive].max().item()
    assert_same(lambda z1, z2: ours(two_view(z1, z2)), theirs, rtol=1e-10 + 1e-8 / least)


@pytest.mark.parametrize("temperature", [0.5, 0.05])
def test_two_views_equal_the_ntxent_of_pytorch_metric_learning(temperature: float) -> None:
    theirs = metric_learning.NTXentLoss(temperature)
    samples = torch.arange(16).repeat(2)
    assert_same(
        lambda z1, z2: InfoNCE(temperature)(two_view(z1, z2)),
        lambda z1, z2: theirs(torch.cat([z1, z2]), samples),
        rtol=1e-10,
    )


@pytest.mark.parametrize("temperature", [0.5, 0.05])
def test_several_positives_or_none_equal_the_supcon_of_pytorch_metric_learning(temperature: float) -> None:
    theirs = metric_learning.SupConLoss(temperature)
    labels = torch.arange(32) % 7
    labels[3] = 99
    assert_same(
        lambda z1, z2: InfoNCE(temperature)(labelled(torch.cat([z1, z2]), labels)),
        lambda z1, z2: theirs(torch.cat([z1, z2]), labels),
        rtol=1e-10,
    )
