"""``python -m phylon``: the command line, where its script is not on the path."""

import sys

from phylon.cli import main

sys.exit(main())
