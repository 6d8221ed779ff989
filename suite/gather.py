"""Batches that are spread over processes: gathered with gradients.

Without torch.distributed, or with one process, everything here is the identity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def world_size() -> int:
    """Return the number of processes that share a batch."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Return this process's number."""
    return distributed.get_rank() if world_size() > 1 else 0


def gathered(local: Tensor) -> Tensor:
    """Return the rows of all processes, in their order: [processes rows, ...]; gradients find their way back.

    The gradient that reaches a process's rows is the sum of what all processes' losses send there. Under
    DistributedDataParallel, which averages, a loss computed on the gathered batch therefore has to be the same on every
    process, or each process's share times the number of processes.

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
    total = local.detach().clone()
    distributed.all_reduce(total)
    return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        parts = [torch.empty_like(local) for _ in range(world_size())]
        distributed.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]
