"""``python -m suite``."""

from suite.cli.main import main
from suite.process import leave

leave(main())
