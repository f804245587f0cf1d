"""The bundled models as a product: names, defaults, what is said of them, the demo, the figures of the model card."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rmr1 import Judge, read_pairs
from rmr1.cli.main import main
from rmr1.engines.base import SamplingParams
from rmr1.errors import CheckpointError, ConfigError
from rmr1.judge import presets
from rmr1.judge.load import default_settings
from rmr1.judge.presets import Preset, find_preset
from rmr1.models import LIMITS, SCALAR, find_bundled, is_bundled, resolve_model
from rmr1.models.words import measure_foreignness, refuse_foreign
from rmr1.world import sample_pairs

from ..tiny_models import SCORING_TEMPLATE, build_model, build_scorer, build_tokenizer, save_model

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "benchmarks" / "bundled_judge.py"
NOTE = f"rmr1: {LIMITS}; name a judge for your own pairs with -m\n"


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
    short = Preset(family="rubric", sampling=SamplingParams(max_new_tokens=6))
    monkeypatch.setattr(presets, "_BUNDLED", short)
    return stand_in


def test_the_names(bundled: Path) -> None:
    assert find_bundled() == bundled / "judge" and find_bundled(SCALAR) == bundled / "scalar"
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
    pairs = tmp_path / "pairs.jsonl"  # of no words, so that none is unknown to the stand-in
    sums = [{"prompt": f"1 + {at}?", "response_a": f"{at + 1}", "response_b": "0"} for at in range(3)]
    pairs.write_text("".join(json.dumps(one) + "\n" for one in sums))
    run = tmp_path / "run"
    assert main(["judge", str(pairs), "-o", str(run), "--quiet", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == NOTE
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


FOREIGN = [
    {
        "prompt": "Which treaty ended the war?",
        "chosen": "The treaty of Utrecht.",
        "rejected": "Nobody remembers it.",
    }
]
REFUSAL = (
    r"no judge was named, .* lacks \d+% of the words of these pairs; .*ORG/NAME.*local Ollama or llama.cpp "
    r"openai:NAME@http://127.0.0.1:11434/v1, or vLLM vllm:ORG/NAME; (?:-m tiny|model='tiny') asks"
)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


def world_rows(number: int, **choices: Any) -> list[dict[str, Any]]:
    pairs = (item.pair for item in sample_pairs(3, number, split="test", distribution="balanced", **choices))
    return [
        {
            "prompt": one.prompt[-1].text,
            "chosen": one.response_a[-1].text,
            "rejected": one.response_b[-1].text,
        }
        for one in pairs
    ]


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the model was loaded")


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("-o", "run")])
def test_foreign_pairs_are_refused_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rmr1.cli.session.load_judge", never)
    pairs = write_rows(tmp_path / "pairs.jsonl", FOREIGN)
    one = FOREIGN[0]
    alone = ["--question", one["prompt"], "--a", one["chosen"], "--b", one["rejected"]]
    for asked in ([pairs, *more], alone):
        assert main(["judge", *asked]) == 2
        told = capsys.readouterr().err
        assert re.fullmatch(f"rmr1: {REFUSAL}.*\n", told), told


def test_foreign_pairs_are_refused_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmr1.judge.judge.load_judge", never)
    with pytest.warns(UserWarning, match="no model was named"):
        judge = Judge()
    one = FOREIGN[0]
    for ask in (
        lambda: judge.compare(one["prompt"], one["chosen"], one["rejected"]),
        lambda: judge.compare(one),
        lambda: judge.judge(FOREIGN),
        lambda: judge.judge(row for row in FOREIGN),
    ):
        with pytest.raises(ConfigError, match=REFUSAL):
            ask()
    judge.close()


@pytest.mark.parametrize("family", ["Reasoning", "Chat", "Safety"])
def test_pairs_of_the_world_are_known(family: str) -> None:
    found = measure_foreignness(
        item.pair for item in sample_pairs(3, 60, split="test", distribution="balanced", family=family)
    )
    assert (found.num_pairs, found.num_foreign, found.share) == (60, 0, 0.0)


def test_held_out_words_of_the_world_are_not_foreign_to_it() -> None:
    found = measure_foreignness(item.pair for item in sample_pairs(3, 200, split="test_words"))
    assert 0 < found.num_foreign < 60 and 0.02 < found.share < 0.2


def test_real_preferences_are_foreign(shared: Path) -> None:
    for name in (
        "preference-train/hh_harmless_base_test.jsonl.gz",
        "preference-train/hh_helpful_test.jsonl.gz",
        "preference-train/zh_customer_service_test.jsonl.gz",
        "rewardbench/rewardbench_filtered_partial.jsonl.gz",
        "rm-bench/safety-response_filtered.jsonl.gz",
        "judgebench/gpt-4o-2024-05-13.jsonl.gz",
        "llmbar/llmbar_natural.jsonl.gz",
        "rmb/pairwise_set_harmlessness.jsonl.gz",
    ):
        found = measure_foreignness(read_pairs(shared / "data" / name, on_error="skip"))
        assert found.num_foreign > 0.9 * found.num_pairs, name


def test_a_few_foreign_pairs_are_counted() -> None:
    assert refuse_foreign(read_pairs(world_rows(6))) is None
    assert refuse_foreign(read_pairs(world_rows(6) + FOREIGN)).startswith("1 of the first 7 pairs use words")
    with pytest.raises(ConfigError, match=REFUSAL):
        refuse_foreign(read_pairs(world_rows(6) + 7 * FOREIGN))


def test_whoever_names_the_bundled_judge_gets_it(
    bundled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write_rows(tmp_path / "pairs.jsonl", FOREIGN)
    assert main(["judge", pairs, "-m", "tiny", "-o", str(tmp_path / "run"), "--quiet"]) == 0
    assert capsys.readouterr().err == NOTE
    with Judge("tiny") as judge:
        assert len(judge.compare(FOREIGN[0]).votes) == 1


def test_benchmarks_of_foreign_pairs_need_a_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rmr1.cli.session.load_judge", never)
    pairs = write_rows(tmp_path / "pairs.jsonl", FOREIGN)
    for more in ((), ("--dry-run",)):
        assert main(["bench", "pairs", pairs, "-o", str(tmp_path / "run"), *more]) == 2
        assert re.search(REFUSAL, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


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
        CheckpointError, match=r"the bundled model 'tiny' is not in .*name another judge with model="
    ):
        find_bundled()
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
        "training": module["describe_training"](find_bundled(), find_bundled(SCALAR)),
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
        folders = [find_bundled(), find_bundled(SCALAR)]
    except CheckpointError:
        pytest.skip("this checkout has no bundled models")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 8_000_000
    for folder in folders:
        config = json.loads((folder / "config.json").read_text())
        assert config["max_position_embeddings"] >= 8192
        assert not list(folder.glob("*.bin")) and (folder / "model.safetensors").exists()
    assert "not filled in" not in (folders[0].parent / "README.md").read_text()
