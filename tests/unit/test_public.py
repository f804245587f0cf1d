"""The package's surface: names, start-up, the error tree."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from runpy import run_module

import pytest

import rmr1
from rmr1 import errors

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "ray",
    "datasets",
    "pyarrow",
    "pydantic",
    "rich",
    "numpy",
    "orjson",
    "socket",
    "ssl",
)


def test_every_public_name_can_be_imported() -> None:
    assert sorted(rmr1.__all__) == sorted(set(rmr1.__all__))
    for name in rmr1.__all__:
        assert getattr(rmr1, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'judg'"):
        _ = rmr1.judg


@pytest.mark.parametrize(
    "statement", ["import rmr1", "from rmr1.cli.main import build_parser; build_parser()"]
)
def test_start_up_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_judging_with_a_scripted_engine_loads_no_torch() -> None:
    code = (
        "import sys; from rmr1 import Judge; print(Judge('scripted:longer').compare('q', 'long', 'b').winner);"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["A", "False"]


def test_every_error_is_ours_a_standard_one_and_survives_pickling() -> None:
    kinds = {
        errors.ConfigError: ValueError,
        errors.DataError: ValueError,
        errors.GenerationError: RuntimeError,
        errors.CheckpointError: RuntimeError,
        errors.RunError: OSError,
    }
    for kind, standard in kinds.items():
        error = kind("what was seen")
        assert isinstance(error, errors.RMR1Error) and isinstance(error, standard)
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind and str(copy) == "what was seen"
    placed = pickle.loads(pickle.dumps(errors.DataError("bad label", path="pairs.jsonl", line=42)))
    assert (str(placed), placed.path, placed.line) == ("pairs.jsonl:42: bad label", "pairs.jsonl", 42)


@pytest.mark.parametrize("arguments", [["--version"], ["judge", "--nonsense"], ["prompts", "show", "nosuch"]])
def test_python_m_does_what_the_command_does(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(run: Callable[[], object]) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as ended:
            sys.exit(run())
        return ended.value.code, *capsys.readouterr()

    monkeypatch.setattr(sys, "argv", ["rmr1", *arguments])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    (command,) = entry_points(group="console_scripts", name="rmr1")
    by_command = tell(command.load())
    assert by_command == tell(lambda: run_module("rmr1", run_name="__main__"))
    assert (by_command[0] == 0) == (arguments == ["--version"]) and "rmr1" in "".join(by_command[1:])
