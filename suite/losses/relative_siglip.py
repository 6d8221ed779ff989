"""SigLIP with a bias that its scale does not move."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from suite.losses.siglip import SigLIP
from suite.parameters import Positive


class RelativeSigLIP(SigLIP):
    """SigLIP whose logits are e^t (s - b), the relative bias b learnt (NeurIPS 2025, arXiv 2509.18552).

    b is the cosine at which a pair counts as positive, whatever the scale becomes.

    Parameters
    ----------
    scale : float
        Where e^t starts.
    bias : float
        Where -e^t b starts: at the logits of SigLIP. The authors' start could not be confirmed.
    """

    equation = r"-\sum_j \log \sigma(z_j e^t (s_j - b)),\ z_+ = 1,\ z_j = -1"
    source = "NeurIPS 2025, arXiv 2509.18552, and the authors' code; it starts where SigLIP does"

    def __init__(self, scale: Positive = 10.0, bias: float = -10.0) -> None:
        super().__init__(scale, bias)
        self.bias = nn.Parameter(torch.tensor(-bias / scale))

    def logits(self, similarity: Tensor) -> Tensor:
        """Return e^t (s - b)."""
        return self.log_scale.exp() * (similarity - self.bias)
