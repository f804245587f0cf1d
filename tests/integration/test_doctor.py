"""`rmr1 doctor`: facts about the machine and a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.cli.main import main
from rmr1.doctor import Machine, format_bytes

pytest.importorskip("torch")

from ..tiny_models import build_model, build_tokenizer, save_model


def test_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert (
        "Engines" in printed and "transformers   can run" in printed and "scripted       can run" in printed
    )
    assert main(["doctor", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert machine["num_cores"] >= 1 and machine["libraries"]["torch"]


def test_a_model_is_counted_without_loading_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tokenizer = build_tokenizer("split")
    model = build_model(len(tokenizer))
    folder = save_model(tmp_path / "tiny", model, tokenizer)
    assert main(["doctor", str(folder), "--json"]) == 0
    needs = json.loads(capsys.readouterr().out)["model"]
    config = model.config
    assert needs["num_parameters"] == sum(p.numel() for p in model.parameters())
    assert needs["has_chat_template"] and needs["has_tokenizer"]
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    expected = 4 * config.num_hidden_layers * config.num_key_value_heads * head_size
    assert needs["cache_bytes_per_token"] == expected
    assert main(["doctor", str(folder)]) == 0
    assert "float32" in capsys.readouterr().out


def test_what_is_no_model_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert "its configuration cannot be read" in printed and len(printed.splitlines()) == 1


def test_a_missing_library_names_its_engine() -> None:
    libraries = dict.fromkeys(
        ("torch", "transformers", "vllm", "httpx", "pyarrow", "datasets", "accelerate", "peft")
    )
    machine = Machine(
        python="", system="", num_cores=1, memory_bytes=None, free_disk_bytes=0, gpus=(), libraries=libraries
    )
    assert machine.missing_for("transformers") == ("torch", "transformers")
    assert format_bytes(3 << 20) == "3.0 MiB" and format_bytes(14 << 30) == "14.0 GiB"
