"""Contrastive losses, one a file: similarities in, a scalar out."""

from suite.losses.adap_tau import AdapTau
from suite.losses.base import AnchorLoss, LogitLoss, Loss, cross_entropy, log_odds
from suite.losses.dcl import DCL
from suite.losses.dclw import DCLW
from suite.losses.dhel import DHEL
from suite.losses.dystress import DySTreSS
from suite.losses.focal import FocalInfoNCE
from suite.losses.infonce import InfoNCE
from suite.losses.isogclr import ISogCLR
from suite.losses.learnable import LearnableTemperature
from suite.losses.macl import MACL
from suite.losses.monotone import MonotoneTemperature
from suite.losses.pps import PPS
from suite.losses.relative_siglip import RelativeSigLIP
from suite.losses.schedule import TemperatureSchedule
from suite.losses.siglip import SigLIP
from suite.losses.temperature_free import TemperatureFree

__all__ = [
    "DCL",
    "DCLW",
    "DHEL",
    "MACL",
    "PPS",
    "AdapTau",
    "AnchorLoss",
    "DySTreSS",
    "FocalInfoNCE",
    "ISogCLR",
    "InfoNCE",
    "LearnableTemperature",
    "LogitLoss",
    "Loss",
    "MonotoneTemperature",
    "RelativeSigLIP",
    "SigLIP",
    "TemperatureFree",
    "TemperatureSchedule",
    "cross_entropy",
    "log_odds",
]
