"""Contrastive losses, one a file: similarities in, a scalar out."""

from suite.losses.base import LogitLoss, Loss, cross_entropy
from suite.losses.dystress import DySTreSS
from suite.losses.infonce import InfoNCE
from suite.losses.temperature_free import TemperatureFree

__all__ = ["DySTreSS", "InfoNCE", "LogitLoss", "Loss", "TemperatureFree", "cross_entropy"]
