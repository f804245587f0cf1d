"""Models and prompts that cannot be judged with: what the command line says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rmr1.cli.main import main

pytest.importorskip("torch")

from ..tiny_models import build_model, build_tokenizer, save_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = build_tokenizer("split")
    model = build_model(max_position_embeddings=1024)  # room for a prompt that explains itself
    return save_model(tmp_path_factory.mktemp("model") / "tiny", model, tokenizer)


def complain(capsys: pytest.CaptureFixture[str], model: object) -> str:
    code = main(["judge", "-m", str(model), "--question", "q", "--a", "a", "--b", "b"])
    printed = capsys.readouterr().err
    assert code == 2 and "Traceback" not in printed and len(printed.splitlines()) == 1, printed
    return printed


def test_a_folder_without_a_tokenizer(capsys, model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    for path in folder.glob("token*"):
        path.unlink()
    line = complain(capsys, folder)
    assert str(folder) in line and "tokenizer" in line


def test_a_folder_without_a_chat_template(capsys, model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    line = complain(capsys, folder)
    assert str(folder) in line and "chat template" in line


def test_a_folder_that_is_no_model(capsys, tmp_path: Path) -> None:
    assert str(tmp_path) in complain(capsys, tmp_path)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "batch_sise=3",
            "unknown key 'engine.batch_sise' for TransformersEngine; did you mean 'batch_size'?",
        ),
        ("batch_size=many", "engine.batch_size: input should be a valid integer"),
    ],
)
def test_engine_options_are_checked(capsys, model_folder: Path, setting: str, expected: str) -> None:
    one_pair = ["--question", "q", "--a", "a", "--b", "b"]
    assert main(["judge", "-m", str(model_folder), *one_pair, "--set", f"engine.{setting}"]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("choice", ["skip", "fail"])
def test_a_prompt_of_two_hundred_thousand_tokens(
    capsys, model_folder: Path, tmp_path: Path, choice: str
) -> None:
    rows = [
        {"id": "long", "prompt": "q", "response_a": "word " * 200_000, "response_b": "b", "label": "A"},
        {"id": "short", "prompt": "q", "response_a": "a", "response_b": "b", "label": "A"},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = tmp_path / "run"
    command = ["judge", tmp_path / "p.jsonl", "-m", model_folder, "-o", run, "--quiet", "--json"]
    command += ["--family", "direct", "--max-new-tokens", 4, "--on-overlong", choice]
    code = main([str(argument) for argument in command])
    printed = capsys.readouterr()
    if choice == "fail":
        assert code == 2 and len(printed.err.splitlines()) == 1
        assert "longer than the model's context" in printed.err
        return
    assert code == 0 and printed.err == ""
    summary = json.loads(printed.out)
    assert summary["items"] == 2 and summary["problems"]["prompt_too_long"] == 1
    assert main(["show", str(run), "long", "--json"]) == 0
    generation = json.loads(capsys.readouterr().out)["votes"][0]["generation"]
    assert generation["finish_reason"] == "skipped"
    assert "longer than the model's context" in generation["error"]
