"""``python -m gandiff``: the program where its script is not on the path."""

import sys

from gandiff.experiments.cli import main

if __name__ == "__main__":
    sys.exit(main())
