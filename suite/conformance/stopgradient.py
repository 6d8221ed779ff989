"""Runs of one computation at neighbouring points, with what it cuts off the gradient held fixed.

A temperature taken from the detached cosine is a constant to autograd, but moves with the cosine. Finite differences
agree with autograd only if it is a constant to them, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

_DETACHES: Final = frozenset(
    (
        Tensor.detach,
        Tensor.detach_,
        torch.detach,
        Tensor.data.__get__,  # type: ignore[attr-defined]
        Tensor.item,
        Tensor.tolist,
        Tensor.__float__,
        Tensor.__int__,
    )
)
_IN_PLACE: Final = {"__setitem__", *(f"__i{name}__" for name in ("add", "sub", "mul", "truediv", "pow", "and", "or"))}


class OtherComputation(RuntimeError):
    """A later run took other steps than the first."""


class StopGradients(TorchFunctionMode):
    """Keeps what a computation cuts off the gradient in its first run, and puts it in its place in later ones.

    Cut off are detached tensors, numbers read from tensors, and whatever is computed of tensors that require a gradient
    while gradients are switched off; not the inside of a ``torch.autograd.Function``, whose backward answers for it.
    What is moved between runs has to require a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[Any, Any]] = []
        self._position: int | None = None
        self._functions = 0

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Make a run.

        Raises
        ------
        OtherComputation
            If the steps that are cut off differ from those of the first run.
        """
        with self._noticing_functions(), self:
            yield
        if self._position not in (None, len(self._kept)):
            raise OtherComputation("a step is left out there")
        self._position = 0

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call `func`, and keep or replace its result if that is cut off."""
        kwargs = kwargs or {}
        is_cut = (
            self._functions == 0
            and (func in _DETACHES or not torch.is_grad_enabled())
            and any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves((args, kwargs)))
        )
        result = func(*args, **kwargs)
        if not is_cut:
            return result
        changed = _changed(func, args, kwargs)
        if changed is None:
            return self._exchanged(func, result)
        if not changed.requires_grad:  # a parameter that is clamped in place goes on being moved
            with torch.no_grad():
                changed.copy_(self._exchanged(func, changed))
        return result

    def _exchanged(self, func: Any, result: Any) -> Any:
        if self._position is None:
            self._kept.append((func, _copied(result)))
            return result
        if self._position >= len(self._kept) or self._kept[self._position][0] != func:
            raise OtherComputation(f"{getattr(func, '__name__', func)} is not computed here")
        self._position += 1
        return _copied(self._kept[self._position - 1][1])

    @contextlib.contextmanager
    def _noticing_functions(self) -> Iterator[None]:
        """Count the autograd functions that are being applied: they switch gradients off without a trace."""
        original = Function.__dict__["apply"]

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            self._functions += 1
            try:
                return original.__get__(None, cls)(*args, **kwargs)
            finally:
                self._functions -= 1

        Function.apply = classmethod(apply)
        try:
            yield
        finally:
            Function.apply = original


def _copied(result: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), result)


def _changed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the tensor that a call writes into."""
    name = getattr(func, "__name__", "")
    if name in _IN_PLACE or (name.endswith("_") and not name.endswith("__")):
        return args[0] if isinstance(args[0], Tensor) else None
    written = kwargs.get("out")
    return written if isinstance(written, Tensor) else None
