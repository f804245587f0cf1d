"""`python -m rmr1` does what the command `rmr1` does."""

import sys

from rmr1.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
