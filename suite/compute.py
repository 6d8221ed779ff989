"""How a run computes, whatever the benchmark: declared in the registry, kept with the run, done in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final, Literal


@dataclass(frozen=True)
class Compute:
    """What trades bits for speed. By default nothing is traded.

    What is not the default changes numbers, and so enters a run's key.

    Attributes
    ----------
    precision : "float32" or "bfloat16"
        Training steps under autocast to bfloat16, but for the similarities and the loss. Evaluation stays in float32.
        Pays where the processor multiplies bfloat16 matrices (GPU, AMX), costs elsewhere.
    compile : bool
        Compile the forward passes that the benchmark names (:meth:`suite.training.Task.compiled_parts`) with
        ``torch.compile``. Costs a minute or so at the start.
    channels_last : bool
        Memory format of convolutions. Pays on GPUs with bfloat16, and on processors.
    deterministic : bool
        Without, CUDA may add in any order and choose its algorithms by trying them: faster, and no two runs give the
        same bits. On a CPU it changes nothing.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "strict": True}
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    channels_last: bool = False
    deterministic: bool = True

    def changes(self) -> dict[str, Any]:
        """Return what is not the default."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)


PLAIN: Final = Compute()
"""Nothing traded."""
