from analysis.tables.frames import load as load
from analysis.tables.frames import tables as tables
from analysis.tables.frames import verdicts as verdicts
