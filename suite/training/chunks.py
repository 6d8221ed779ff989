"""A batch beyond memory, in chunks: all of it meets in the loss, the activations of one chunk at a time are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def in_chunks(module: nn.Module, inputs: Tensor, size: int | None) -> Tensor:
    """Return what a module makes of a batch, computed in chunks, and again in the backward pass.

    Values and gradients are those of the whole batch, every negative among them (Gao et al. 2021, GradCache, arXiv
    2101.06983), at the price of a second forward pass. Batch normalisation alone differs: its statistics are those of a
    chunk, as they are those of a device where several share a batch.

    Parameters
    ----------
    module : nn.Module
    inputs : Tensor [rows, ...]
    size : int or None
        Rows of a chunk; None for the whole batch at once, without a second pass.
    """
    if size is None or len(inputs) <= size:
        whole: Tensor = module(inputs)
        return whole
    if not torch.is_grad_enabled():
        return torch.cat([module(part) for part in torch.split(inputs, size)])
    return torch.cat([_again_in_backward(module, part) for part in torch.split(inputs, size)])


def _again_in_backward(module: nn.Module, part: Tensor) -> Tensor:
    result: Tensor = checkpoint(
        module, part, use_reentrant=False, context_fn=lambda: (contextlib.nullcontext(), _keeping_statistics(module))
    )
    return result


@contextlib.contextmanager
def _keeping_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch normalisation as they are: the first pass has counted this chunk."""
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    before = [(buffer, buffer.clone()) for layer in layers for buffer in layer.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
