"""``python -m analysis``."""

import sys

if __name__ == "__main__":
    try:
        from analysis.cli.main import main
        from suite.process import leave

        leave(main())
    except KeyboardInterrupt:  # while it imports
        print("interrupted", file=sys.stderr)
        sys.exit(130)
