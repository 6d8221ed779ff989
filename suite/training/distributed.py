"""One run spread over several processes, on one node or many: what they agree on, and how their gradients meet.

:class:`torch.nn.parallel.DistributedDataParallel` is no use here: it has to be what is called, and a task calls parts
of its model, several times a step. So gradients are averaged after the backward pass, in one exchange.

With one process, or before :func:`start`, everything here is the identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn

from suite.pairs.gather import exchange, gathered, summed, world_size

#: How long the others wait within a step. NCCL, which raises nothing, then ends the process.
TIMEOUT: Final = timedelta(minutes=10)
#: How long they wait for what the first process does alone: evaluation, say. Its death they notice at once.
PATIENCE: Final = timedelta(days=7)
VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

_patient: distributed.ProcessGroup | None = None


def start(device_type: str, timeout: timedelta = TIMEOUT) -> None:
    """Join the other processes of this job; again, or without others, does nothing.

    Who they are is read from the environment variables that torchrun sets, else from submitit's or SLURM's. On CUDA,
    each process of a node takes a device of its own as the current one.

    Parameters
    ----------
    device_type : str
        ``"cuda"`` or ``"cpu"``: where the run computes.
    timeout : timedelta
        How long to wait for another process, here and within a step, before it is taken for lost.

    Raises
    ------
    RuntimeError
        If the environment does not tell.
    PartnerLost
        If the others do not come.
    """
    global _patient
    if distributed.is_initialized():
        return
    if not all(name in os.environ for name in VARIABLES):
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    if device_type == "cuda":
        # one device is visible where the scheduler shares them out, all of the job's where it does not
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    if int(os.environ["WORLD_SIZE"]) == 1:
        return
    with exchange():
        # with gloo, too, on CUDA: what processes agree on is on the CPU
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo", timeout=timeout)
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    _patient = group if isinstance(group, distributed.ProcessGroup) else None


def stop() -> None:
    """Leave the other processes; those that still wait for this one are told by an exception."""
    global _patient
    _patient = None
    if distributed.is_initialized():
        distributed.destroy_process_group()


def agreed(flag: bool) -> bool:
    """Return whether `flag` is true in any process: the same answer in all."""
    return bool(summed(torch.tensor(int(flag)))) if world_size() > 1 else flag


def from_first(value: Any) -> Any:
    """Return what the first process gives, whatever the others give; they wait for it as long as it lives.

    Parameters
    ----------
    value : Any
        Something that can be pickled.
    """
    if world_size() == 1:
        return value
    values = [value]
    with exchange():
        distributed.broadcast_object_list(values, src=0, group=_patient, device=torch.device("cpu"))
    return values[0]


def meet() -> None:
    """Wait until every process has come here, for as long as they live."""
    if world_size() > 1:
        with exchange():
            distributed.barrier(group=_patient)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes.

    A parameter without a gradient counts as one with gradient 0, unless it has none in any process.
    """
    if world_size() == 1:
        return
    alike: dict[tuple[torch.device, torch.dtype], list[nn.Parameter]] = {}
    for parameter in parameters:
        alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
    for some in alike.values():
        _average(some)


def _average(parameters: list[nn.Parameter]) -> None:
    """Average the gradients of parameters of one type, on one device."""
    gradients = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
    present = parameters[0].new_tensor([p.grad is not None for p in parameters])
    total = summed(torch.cat([*gradients, present]))
    *gradients, present = torch.split(total, [*map(len, gradients), len(present)])
    for parameter, gradient, anywhere in zip(parameters, gradients, present.tolist(), strict=True):
        if anywhere:
            parameter.grad = torch.empty_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad.copy_(gradient.view_as(parameter) / world_size())


def with_whole_batch_statistics(model: nn.Module) -> nn.Module:
    """Return the model with its batch normalisation taking statistics over the batches of all processes.

    Parameters, buffers and their names stay what they are, but the modules of batch normalisation are new ones. The
    model is changed, and returned because it may itself be one of those.
    """
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    for module in converted.modules():
        if type(module) is nn.SyncBatchNorm:
            module.__class__ = _BatchNorm
    return converted


class _BatchNorm(nn.SyncBatchNorm):
    """torch's, which refuses tensors on a CPU, and the same on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised: [rows, channels, ...]."""
        if x.device.type != "cpu" or not self.training:
            normalised: Tensor = super().forward(x)
            return normalised
        wide = x if x.dtype == torch.float64 else x.float()
        reduced = [dimension for dimension in range(x.ndim) if dimension != 1]
        shape = [-1, *[1] * (x.ndim - 2)]
        count = int(summed(torch.tensor(x.numel() // x.shape[1])))
        mean = _added(wide.sum(reduced)) / count
        centred = wide - mean.view(shape)
        variance = _added(centred.square().sum(reduced)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        result = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            result = result * self.weight.view(shape)
        if self.bias is not None:
            result = result + self.bias.view(shape)
        return result.to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1.0 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def _added(local: Tensor) -> Tensor:
    """Return the sum over processes, with gradients."""
    return gathered(local.unsqueeze(0)).sum(dim=0)
