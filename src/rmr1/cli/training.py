"""What the training verbs share: their flags, a recipe's values, and how figures are printed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rmr1.screen import print


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """A recipe, where to train into, and how to say it."""
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder of the trained model")
    parser.add_argument(
        "--set", action="append", metavar="A.B=C", help="one setting by its name in the file; repeatable"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="read tokenizer and data, say what would be done, and stop"
    )
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def read_recipe_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe file's values with those of --set over them.

    Raises:
        ConfigError: the file cannot be read, or there is no folder to train into.
    """
    from pathlib import Path

    from rmr1.cli.config import assign_setting, read_toml
    from rmr1.errors import ConfigError

    values = read_toml(Path(arguments.recipe))
    for assignment in arguments.set or ():
        assign_setting(values, assignment)
    if not arguments.dry_run and arguments.output is None:
        raise ConfigError("no folder to train into; pass -o DIR")
    return values


@contextmanager
def needing_training_libraries() -> Iterator[None]:
    """Turns a missing library into one line."""
    from rmr1.errors import ConfigError

    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}, which is not installed; pip install 'rmr1[train]'"
        ) from None


def is_main_process() -> bool:
    """Whether this is the one of several processes that speaks."""
    import os

    return os.environ.get("RANK", "0") == "0"


def print_plan(values: Mapping[str, Any], *, as_json: bool) -> None:
    """Figures of a training that has not begun, one a line."""
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        print(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")


def print_use(folder: str) -> None:
    """How the result is used: a model, or adapters of one."""
    import json
    from pathlib import Path

    adapters = Path(folder) / "adapter_config.json"
    model = f"-m {folder}"
    if adapters.exists():
        base = json.loads(adapters.read_text(encoding="utf-8"))["base_model_name_or_path"]
        model = f"-m {base} --adapter {folder}"
    print(f"judge with it: rmr1 judge pairs.jsonl {model}")


def print_json(values: Mapping[str, Any]) -> None:
    import json

    print(json.dumps(values))
