"""What is installed, which engines can run here, and whether a model can judge.

  rmr1 doctor            this machine
  rmr1 doctor -m MODEL   and a model: its files, tokenizer, template and size; a folder, a hub name, adapters, or
                         openai:NAME@URL, whose server is asked for its models, and if it lists none, for one token;
                         decisions:NAME@URL, whose server is also asked for one decision

The exit code is 1 where the model cannot judge here; each reason is a line.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import asdict

from rmr1.checkup import MARGIN, Checkup, find_room, inspect_model
from rmr1.cli.options import add
from rmr1.doctor import ENGINES, LIBRARIES, UNTRIED, Inspection, inspect_machine
from rmr1.errors import ConfigError
from rmr1.screen import format_bytes, print, print_json


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "MODEL", "a model's name as of rmr1 judge -m", dest="name", nargs="?")
    add(parser, "-m --model MODEL", "the same")
    add(parser, "--json", "one JSON object on standard output")


def run(arguments: Namespace) -> int:
    named = {one for one in (arguments.name, arguments.model) if one is not None}
    if len(named) > 1:
        two = f"{arguments.name!r} and {arguments.model!r}"
        raise ConfigError(f"two models are named, {two}; one is looked at")
    machine = inspect_machine()
    found = inspect_model(named.pop(), machine) if named else None
    if arguments.json:
        print_json({"machine": asdict(machine), "model": None if found is None else asdict(found)})
    else:
        _print_machine(machine)
        if found is not None:
            _print_model(found, machine)
    return 1 if found is not None and found.faults else 0


def _print_machine(machine: Inspection) -> None:
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
    advice = {name: f"missing: pip install 'rmr1[{LIBRARIES[name]}]'" for name in machine.libraries}
    _print_fields({name: version or advice[name] for name, version in machine.libraries.items()})
    print("\nEngines")
    missing = {engine: ", ".join(machine.missing_for(engine)) for engine in ENGINES}
    missing |= {"replay": "", "scripted": ""}
    _print_fields({name: f"cannot run: {one} missing" if one else "can run" for name, one in missing.items()})
    print("\nTraining, written and not tried")
    for name, text in UNTRIED.items():
        print(f"  {name}: {text}")


def _print_fields(fields: Mapping[str, str | None]) -> None:
    for name, text in fields.items():
        if text is not None:
            print(f"  {name:<14} {text}")


def _print_model(found: Checkup, machine: Inspection) -> None:
    size = "" if found.num_parameters is None else f", {found.num_parameters / 1e6:,.1f}M parameters"
    print(f"\nModel {found.name}" + (f": {found.architecture}{size}" if found.architecture else ""))
    files = "not on this machine; they are fetched when the model is loaded"
    if found.num_files is not None:
        files = f"{found.num_files} file{'' if found.num_files == 1 else 's'} on this machine"
    rows = {
        "kind": _KINDS[found.kind],
        "base": None if found.base is None else found.base.name,
        "engines": ", ".join(found.engines) or "none that can run here",
        "serves": None if found.served is None else ", ".join(found.served[:5]) or "no models",
        "context": None if found.context is None else f"{found.context:,} tokens",
        "weights": None if found.kind == "asked" else files,
        "tokenizer": "present" if found.has_tokenizer else None if found.has_tokenizer is None else "MISSING",
    }
    if found.has_tokenizer and found.has_chat_template is not None:
        rows["chat template"] = "present" if found.has_chat_template else "MISSING"
    if found.cache_bytes_per_token is not None and found.kind == "writes":
        rows["cache"] = (
            f"{format_bytes(1000 * found.cache_bytes_per_token)} for a text of 1,000 tokens in 16 bits"
        )
    if found.architecture is not None:
        for dtype, count in (found.weight_bytes or {}).items():
            room, place = find_room(machine), "the largest GPU" if machine.gpus else "memory"
            weights = f"{format_bytes(count)} of weights"
            if room is not None:
                verdict = "fits" if MARGIN * count <= room else "does NOT fit"
                weights += f": {verdict} {place}, without its cache"
            rows[dtype] = weights
    _print_fields(rows)
    for note in found.notes:
        print(f"note: {' '.join(note.split())}")
    for fault in found.faults:
        print(f"cannot judge: {' '.join(fault.split())}")
    if not found.faults:
        with_adapter = found.kind == "adapter" and found.base is not None
        model = f"-m {found.base.name} --adapter {found.name}" if with_adapter else f"-m {found.name}"  # type: ignore[union-attr]
        said = "not known whether it can judge; try" if found.is_doubtful else "can judge"
        print(f"{said}: rmr1 judge pairs.jsonl {model}")


_KINDS = {
    "writes": "writes its judgment",
    "scores": "scalar reward model: scores each answer, gives no reasons",
    "adapter": "LoRA adapters of another model",
    "asked": "asked by its engine; nothing of it is loaded here",
}
