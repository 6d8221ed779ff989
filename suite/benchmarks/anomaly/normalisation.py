"""Batch normalisation whose statistics stay those of pretraining."""

from __future__ import annotations

from typing import Any, Self

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class FixedStatistics(nn.BatchNorm2d):
    """Batch normalisation by its running statistics, in training, too; its scale and shift can still be trained.

    The published code puts the network into evaluation once and for all, and a batch of one class has other statistics
    than ImageNet.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation, whatever the mode of the network."""
        return super().train(False)


def fold(network: nn.Module) -> None:
    """Let each convolution of a network that is not trained do the work of the normalisation that follows it.

    Parameters
    ----------
    network : nn.Module
        Changed in place: where a :class:`FixedStatistics` follows a convolution in a sequence.
    """
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place in range(len(sequence) - 1):
            convolution, normalisation = sequence[place], sequence[place + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, FixedStatistics):
                sequence[place] = fuse_conv_bn_eval(convolution, normalisation)
                sequence[place + 1] = nn.Identity()
