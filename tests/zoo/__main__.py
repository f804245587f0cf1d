"""`python -m tests.zoo [--only NAME ...] [--path NAME ...] [--reasons]`."""

from __future__ import annotations

import argparse
import functools
import sys
from fnmatch import fnmatch

from tests.zoo.configs import list_cases
from tests.zoo.paths import PATHS
from tests.zoo.table import print_table


def main() -> int:
    """Print the table; 1 if anything is wrong or crashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="models, as 'gemma2*'")
    parser.add_argument("--path", nargs="+", default=list(PATHS), choices=list(PATHS), metavar="NAME")
    parser.add_argument("--reasons", action="store_true", help="also why models are slow or refused")
    arguments = parser.parse_args()
    cases = [case for case in list_cases() if any(fnmatch(case.name, one) for one in arguments.only)]
    if not cases:
        parser.error(f"no model is called {' or '.join(arguments.only)}")
    say = functools.partial(print, flush=True)
    return print_table(cases, arguments.path, reasons=arguments.reasons, say=say)


if __name__ == "__main__":
    sys.exit(main())
