"""The bundled models as a product: names, defaults, what is said of them, the demo, the figures of the model card."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rmr1 import Judge
from rmr1.cli.main import main
from rmr1.engines.base import SamplingParams
from rmr1.errors import CheckpointError, ConfigError
from rmr1.judge import presets
from rmr1.judge.load import default_settings
from rmr1.judge.presets import Preset, find_preset
from rmr1.models import NOTE, bundled_judge, bundled_scalar, is_bundled, resolve_model

from ..tiny_models import SCORING_TEMPLATE, build_model, build_scorer, build_tokenizer, save_model
from .runs import write_pairs

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "bundled_judge.py"


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as of the package, with models of random weights."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 8192
    shape: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": 8192}
    save_model(root / "judge", build_model(**shape), tokenizer)
    tokenizer.chat_template = SCORING_TEMPLATE
    save_model(root / "scalar", build_scorer(**shape), tokenizer)
    return root


@pytest.fixture
def bundled(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in takes the bundled models' place, and writes little."""
    monkeypatch.setenv("RMR1_MODELS", str(stand_in))
    short = Preset(family="rubric", source=None, stand_in="rubric", sampling=SamplingParams(max_new_tokens=6))
    monkeypatch.setattr(presets, "_BUNDLED", short)
    return stand_in


def test_the_names(bundled: Path) -> None:
    assert bundled_judge() == bundled / "judge" and bundled_scalar() == bundled / "scalar"
    assert resolve_model("tiny") == str(bundled / "judge")
    assert resolve_model("vllm:tiny") == f"vllm:{bundled / 'judge'}"
    for other in ("./tiny", "some/tiny", "openai:tiny@http://127.0.0.1:1/v1", "scripted:longer"):
        assert resolve_model(other) == other and not is_bundled(other)
        assert find_preset(other) is None


def test_the_judge_stops_where_it_runs_on() -> None:
    assert default_settings("tiny").sampling.max_new_tokens == 1024
    assert default_settings("vllm:tiny").sampling.max_new_tokens == 1024


def test_it_is_the_default_and_says_what_it_knows(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 3)
    run = tmp_path / "run"
    assert main(["judge", str(pairs), "-o", str(run), "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"rmr1: {NOTE}\n"
    assert json.loads(captured.out)["items"] == 3
    description = json.loads((run / "run.json").read_text())
    assert description["model_name"] == "tiny" and description["model"]["model"] == "judge"
    assert description["settings"]["sampling"]["max_new_tokens"] == 6
    # By its folder it is the same model, so the run goes on.
    again = ["judge", str(pairs), "-m", str(bundled / "judge"), "-o", str(run), "--quiet", "--json"]
    assert main([*again, "--max-new-tokens", "6"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["judge", str(pairs), "-m", "tiny-scalar", "-o", str(tmp_path / "scores"), "--quiet"]) == 0
    assert json.loads((tmp_path / "scores" / "run.json").read_text())["settings"] == {"rule": "scores"}
    assert NOTE in capsys.readouterr().err
    assert main(["judge", str(pairs), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prompts"] == 3
    assert main(["doctor", "tiny"]) == 0


def test_from_python_it_warns(bundled: Path) -> None:
    with pytest.warns(UserWarning, match="no model was named: .*only the synthetic world"):
        judge = Judge()
    assert judge.pair_judge.name == "tiny"
    assert len(judge.compare("q", "a", "b").votes) == 1
    judge.close()


def test_benchmarks_take_it(bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "pair_id": "1",
        "original_id": "1",
        "source": "livebench-math",
        "question": "2+2?",
        "response_model": "gpt-4o-2024-05-13",
        "response_A": "4",
        "response_B": "5",
        "label": "A>B",
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gpt.jsonl").write_text(json.dumps(row) + "\n")
    asked = ["bench", "judgebench", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "run")]
    assert main([*asked, "--quiet"]) == 0
    assert NOTE in capsys.readouterr().err


def test_without_the_models_or_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMR1_MODELS", str(tmp_path))
    with pytest.raises(
        CheckpointError, match=r"the bundled model 'tiny' is not in .*name another judge with -m"
    ):
        bundled_judge()
    original = importlib.util.find_spec
    monkeypatch.setattr("rmr1.models.find_spec", lambda name: None if name == "torch" else original(name))
    with pytest.raises(ConfigError, match=r"needs torch, which is not installed: pip install 'rmr1\[hf\]'"):
        resolve_model("tiny-scalar")


def test_naming_them_loads_nothing_heavy() -> None:
    code = "import sys, rmr1.models; print('torch' in sys.modules, 'transformers' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_the_demo(bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["demo", "-n", "12", "--seed", "4", "-o", str(tmp_path / "demo"), "--quiet"]
    assert main(asked) == 0
    captured = capsys.readouterr()
    printed = captured.out
    assert printed.startswith("12 fresh pairs of the synthetic world (seed 4)")
    assert printed.count("Verdict:") == 2
    assert "Pair test-4-" in printed and " Reasoning/" in printed and " Chat/" in printed
    for row in (
        "all",
        "Reasoning",
        "Chat",
        "Safety",
        "easy style",
        "hard style",
        "same verdict in both orders",
    ):
        assert f"\n{row} " in printed
    assert "rmr1 prompts import gaotang/RM-R1-Entire-RLVR-Train --name rm-r1-rubric" in printed
    assert "-m vllm:gaotang/RM-R1-Qwen2.5-Instruct-7B" in printed
    assert main(["show", str(tmp_path / "demo" / "tiny"), "--list", "--limit", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12
    assert main(asked) == 0
    assert capsys.readouterr().out == printed
    assert main(["demo", "-n", "0"]) == 2


def test_the_demo_without_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RMR1_MODELS", str(tmp_path))
    assert main(["demo", "-o", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "the bundled model 'tiny' is not in" in printed.splitlines()[0]
    assert "hand-written examples" in printed.splitlines()[0] and printed.count("Verdict:") == 6


def test_the_figures_of_the_card(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--pairs", "6", "--seed", "3", "-o", str(output)])
    module = runpy.run_path(str(SCRIPT))
    module["main"]()
    printed = capsys.readouterr().out
    assert "| | pairs | test | pairs | test_templates | pairs | test_words |" in printed
    assert "| Reasoning, 5 steps |" in printed and "goal NOT MET: all" in printed
    record = json.loads((output / "figures.json").read_text())
    assert record["splits"].keys() == {"test", "test_templates", "test_words"}
    judge = record["splits"]["test"]["judge"]
    assert judge["rows"]["all"]["pairs"] == 6 and judge["rows"]["all"]["verdicts"] == 12
    assert record["splits"]["test"]["scalar"]["rows"]["all"]["verdicts"] == 6

    card = tmp_path / "README.md"
    card.write_text(module["CARD"].read_text())
    blocks = {
        "figures": "FIGURES\\1",
        "training": module["describe_training"](bundled_judge(), bundled_scalar()),
    }
    module["fill_card"](card, blocks)
    module["fill_card"](card, blocks)
    text = card.read_text()
    assert text.count("FIGURES\\1") == 1 and "not filled in" not in text
    assert "| architecture | `Qwen2ForCausalLM` | `Qwen2ForSequenceClassification` |" in text
    with pytest.raises(SystemExit, match="no place for 'other'"):
        module["fill_card"](card, {"other": "x"})


def test_the_shipped_models_are_small_and_take_long_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RMR1_MODELS", raising=False)
    try:
        folders = [bundled_judge(), bundled_scalar()]
    except CheckpointError:
        pytest.skip("this checkout has no bundled models")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 8_000_000
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        assert config["max_position_embeddings"] >= 8192
        assert not list(folder.glob("*.bin")) and (folder / "model.safetensors").exists()
    assert "not filled in" not in (folders[0].parent / "README.md").read_text()
