"""What is installed, which engines can run here, and what a model would need.

rmr1 doctor            this machine
rmr1 doctor MODEL      and whether a model folder (or a cached hub name) fits it
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from rmr1.screen import print

if TYPE_CHECKING:
    from rmr1.doctor import Machine, ModelNeeds

HELP = "check the set-up, and what a model needs"

MARGIN = 1.2
"""Weights times this is taken for what a model needs beside its cache: buffers, activations."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help="model folder or cached hub name")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(arguments: argparse.Namespace) -> int:
    from rmr1.doctor import inspect_machine, inspect_model

    machine = inspect_machine()
    needs = inspect_model(arguments.model) if arguments.model else None
    if arguments.json:
        import json
        from dataclasses import asdict

        print(json.dumps({"machine": asdict(machine), "model": None if needs is None else asdict(needs)}))
        return 0
    _print_machine(machine)
    if needs is not None:
        _print_model(arguments.model, needs, machine)
    return 0


def _print_machine(machine: Machine) -> None:
    from rmr1.doctor import ENGINES, LIBRARIES, format_bytes

    memory = "unknown" if machine.memory_bytes is None else format_bytes(machine.memory_bytes)
    print(f"Python   {machine.python}, {machine.system}")
    print(
        f"CPU      {machine.num_cores} cores, {memory} memory, {format_bytes(machine.free_disk_bytes)} disk free"
    )
    for index, gpu in enumerate(machine.gpus):
        print(
            f"GPU {index}    {gpu.name}, {format_bytes(gpu.free_bytes)} of {format_bytes(gpu.total_bytes)} free"
        )
    if not machine.gpus:
        print("GPU      none that torch can use")
    print("\nLibraries")
    for name, version in machine.libraries.items():
        advice = f"missing: pip install 'rmr1[{LIBRARIES[name]}]'"
        print(f"  {name:<14} {version or advice}")
    print("\nEngines")
    for engine in ENGINES:
        missing = ", ".join(machine.missing_for(engine))
        print(f"  {engine:<14} {f'cannot run: {missing} missing' if missing else 'can run'}")
    for engine in ("replay", "scripted"):
        print(f"  {engine:<14} can run")


def _print_model(name: str, needs: ModelNeeds, machine: Machine) -> None:
    from rmr1.doctor import format_bytes

    print(f"\nModel {name}: {needs.architecture}, {needs.num_parameters / 1e6:,.1f}M parameters")
    print(f"  kind           {_KINDS[needs.kind]}")
    print(f"  context        {needs.context or 'not stated'} tokens")
    print(f"  tokenizer      {'present' if needs.has_tokenizer else 'MISSING: it cannot judge without one'}")
    if needs.has_tokenizer:
        print(
            f"  chat template  {'present' if needs.has_chat_template else 'MISSING: it cannot judge without one'}"
        )
    if needs.cache_bytes_per_token is not None and needs.kind == "writes":
        per_thousand = format_bytes(1000 * needs.cache_bytes_per_token)
        print(f"  cache          {per_thousand} for a text of 1,000 tokens in 16 bits")
    for dtype, count in needs.weight_bytes.items():
        wanted = int(MARGIN * count)
        room = max((gpu.free_bytes for gpu in machine.gpus), default=machine.memory_bytes or 0)
        place = "the largest GPU" if machine.gpus else "memory"
        verdict = "fits" if wanted <= room else "does NOT fit"
        print(f"  {dtype:<14} {format_bytes(count)} of weights: {verdict} {place}, without its cache")


_KINDS = {
    "writes": "writes its judgment",
    "scores": "scalar reward model: scores each answer, gives no reasons",
}
