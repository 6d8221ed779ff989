"""Imported by processes that work for another one, which alone is interrupted by Ctrl-C.

They live for a few figures: what collecting garbage takes, a tenth of their time, is not worth what it would free.
"""

import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
gc.disable()
