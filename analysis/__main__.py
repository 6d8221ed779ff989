"""``python -m analysis``."""

from analysis.cli import main
from suite.leaving import leave

if __name__ == "__main__":
    leave(main())
