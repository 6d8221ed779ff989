"""``python -m analysis``."""

from analysis.cli.main import main
from suite.process import leave

if __name__ == "__main__":
    leave(main())
