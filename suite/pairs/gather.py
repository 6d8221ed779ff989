"""Batches that are spread over processes: gathered with gradients.

Without torch.distributed, or with one process, everything here is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed


class PartnerLost(RuntimeError):
    """Another process of the run has died, or did not answer in time."""


@contextmanager
def exchange() -> Iterator[None]:
    """Turn what torch.distributed raises inside the block into :class:`PartnerLost`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PartnerLost(
            "another process of this run has died or did not answer in time (its own output says why); "
            f"torch.distributed: {error}"
        ) from error


def world_size() -> int:
    """Return the number of processes that share a batch."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return this process's number."""
    return distributed.get_rank() if world_size() > 1 else 0


def gathered(local: Tensor) -> Tensor:
    """Return the rows of all processes, in their order: [processes rows, ...]; gradients find their way back.

    The gradient that reaches a process's rows is the sum of what all processes' losses send there. Where gradients are
    averaged over processes, as in training here and under DistributedDataParallel, a loss computed on the gathered
    batch therefore has to be the same on every process, or each process's share times the number of processes.

    Parameters
    ----------
    local : Tensor [rows, ...]
        As many rows in every process.
    """
    if world_size() == 1:
        return local
    result: Tensor = _Gather.apply(local)
    return result


def summed(local: Tensor) -> Tensor:
    """Return the sum over processes, without a gradient."""
    if world_size() == 1:
        return local
    total = local.detach().clone(memory_format=torch.contiguous_format)
    with exchange():
        distributed.all_reduce(total)
    return total


def weighted(mean: Tensor, count: Tensor) -> Tensor:
    """Return a mean over this process's items, weighted so that the mean over processes is that over all their items.

    What an auxiliary term needs whose number of items differs between processes.

    Parameters
    ----------
    mean : Tensor scalar
    count : Tensor scalar
        How many items it is over.
    """
    if world_size() == 1:
        return mean
    return mean * (count.double() * world_size() / summed(count)).to(mean.dtype)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        local = local.contiguous()
        parts = [torch.empty_like(local) for _ in range(world_size())]
        with exchange():
            distributed.all_gather(parts, local)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = summed(gradients[0])
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]
