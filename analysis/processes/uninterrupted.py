"""Imported by processes that work for another one, which alone is interrupted by Ctrl-C."""

import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)
