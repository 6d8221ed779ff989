"""``python -m suite``."""

import sys

try:
    from suite.cli.main import main
    from suite.process import leave

    leave(main())
except KeyboardInterrupt:  # while it imports
    print("interrupted", file=sys.stderr)
    sys.exit(130)
