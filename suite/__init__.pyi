from suite.losses import DCL as DCL
from suite.losses import DCLW as DCLW
from suite.losses import DHEL as DHEL
from suite.losses import MACL as MACL
from suite.losses import PPS as PPS
from suite.losses import AdapTau as AdapTau
from suite.losses import DySTreSS as DySTreSS
from suite.losses import FocalInfoNCE as FocalInfoNCE
from suite.losses import InfoNCE as InfoNCE
from suite.losses import ISogCLR as ISogCLR
from suite.losses import LearnableTemperature as LearnableTemperature
from suite.losses import Loss as Loss
from suite.losses import MonotoneTemperature as MonotoneTemperature
from suite.losses import RelativeSigLIP as RelativeSigLIP
from suite.losses import SigLIP as SigLIP
from suite.losses import TemperatureFree as TemperatureFree
from suite.losses import TemperatureSchedule as TemperatureSchedule
from suite.notebook.campaign import load_registry as load_registry
from suite.notebook.campaign import make_plan as make_plan
from suite.notebook.campaign import run as run
from suite.pairs import Pairs as Pairs
from suite.pairs import cross_view as cross_view
from suite.pairs import labelled as labelled
from suite.pairs import two_view as two_view
from suite.pairs import with_queue as with_queue

__version__: str
