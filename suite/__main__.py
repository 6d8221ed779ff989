"""``python -m suite``."""

from suite.cli import main
from suite.leaving import leave

leave(main())
