"""Write down the versions that an environment has of all that the project asks for, as a pip constraints file.

    .venv/bin/python scripts/lock.py constraints.txt "rmr1[dev]"

Run it with the python of the environment, after `pip install --upgrade` for newer versions. What the environment holds
beside the named packages and their requirements is left out, and so is the build of a version, such as torch's `+cpu`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HEADER = "# The versions that the project is tried with, written by `make lock`. The package allows ranges (pyproject.toml)."

LEFT_OUT = ("rmr1", "setuptools")
"""The package itself, and what comes with Python."""


def list_versions(roots: Iterable[str]) -> dict[str, str]:
    """Package -> installed version, of the named packages and all that they require here.

    >>> list_versions(["packaging"]).keys()
    dict_keys(['packaging'])
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue  # left out on purpose, as vLLM's audio is
        versions[name] = Version(installed.version).public
        for extra in {(name, extra) for extra in ("", *wanted.extras)} - seen:
            seen.add(extra)
            for line in installed.requires or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra[1]}):
                    waiting.append(needed)
    return dict(sorted(versions.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="the constraints file to write")
    parser.add_argument(
        "roots", nargs="+", metavar="PACKAGE", help='what is installed on purpose, such as "rmr1[dev]"'
    )
    arguments = parser.parse_args()
    versions = list_versions(arguments.roots)
    lines = [HEADER, *(f"{name}=={version}" for name, version in versions.items() if name not in LEFT_OUT)]
    arguments.file.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
