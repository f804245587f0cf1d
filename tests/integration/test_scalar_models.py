"""Scalar reward models: tiny random checkpoints through the scorer, the judge and the command line."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.errors import CheckpointError, ConfigError, GenerationError

pytest.importorskip("torch")

import torch

from rmr1 import Judge
from rmr1.engines import is_scorer, load_engine, load_scorer
from rmr1.engines.base import Score, ScoreRequest
from rmr1.engines.hf import scorer as scorer_module
from rmr1.engines.hf.scorer import ScalarModel, choose_pad, is_causal
from rmr1.judge import GenerativeJudge, ScalarJudge, load_judge
from rmr1.messages import ImagePart, Message, TextPart, assistant, user

from ..tiny_models import (
    SCORING_TEMPLATE,
    build_digit_scorer,
    build_model,
    build_scorer,
    build_tokenizer,
    save_model,
)
from .runs import final_records, kill_at_random, rmr1, write_pairs

MODEL = "gpt-4o-2024-05-13"


def save_scorer(folder: Path, *, begin: bool = False, **changes: Any) -> Path:
    """A scorer whose every weight is random."""
    tokenizer = build_tokenizer(begin=begin)
    tokenizer.chat_template = ("{{ bos_token }}" if begin else "") + SCORING_TEMPLATE
    return save_model(folder, build_scorer(vocab_size=len(tokenizer), **changes), tokenizer)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer that gives an answer its last digit."""
    tokenizer = build_tokenizer()
    tokenizer.chat_template = SCORING_TEMPLATE
    return save_model(tmp_path_factory.mktemp("digits") / "digits", build_digit_scorer(tokenizer), tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scorer(tmp_path_factory.mktemp("scorer") / "scorer")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def ask(*texts: str) -> list[ScoreRequest]:
    return [
        ScoreRequest(key=str(number), pair_id=f"p{number}", messages=(user("q"), assistant(text)))
        for number, text in enumerate(texts)
    ]


def score(model: Path | ScalarModel, *texts: str, **options: Any) -> list[Score]:
    """The scores of texts, in their order."""
    scorer = model if isinstance(model, ScalarModel) else ScalarModel(str(model), device="cpu", **options)
    found = {request.key: one for request, one in scorer.score(ask(*texts))}
    return [found[str(number)] for number in range(len(texts))]


def values(scores: list[Score]) -> list[float]:
    assert all(one.value is not None for one in scores), scores
    return [one.value for one in scores if one.value is not None]


def complain(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a command ends with."""
    assert main([str(one) for one in arguments]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed and len(printed.splitlines()) == 1, printed
    return printed


def watch_rows(scorer: ScalarModel, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A list that every row is appended to before it is computed."""
    rows: list[tuple[int, ...]] = []
    compute = scorer._compute

    def watched(batch: Sequence[tuple[int, ...]]) -> list[float]:
        rows.extend(batch)
        return compute(batch)

    monkeypatch.setattr(scorer, "_compute", watched)
    return rows


def many_texts(number: int) -> list[str]:
    draw = random.Random(3)
    return [
        " ".join(draw.choices(["fox", "Paris", "hello!", "12"], k=draw.randint(1, 60))) for _ in range(number)
    ]


def test_scores_are_the_last_digits(digits: Path) -> None:
    texts = ["so 7", "long " * 30 + "2", "5", "nothing", "9", "no 0"]
    found = score(digits, *texts, batch_size=4)
    assert values(found) == pytest.approx([7, 2, 5, 0, 9, 0], abs=1e-4)


def test_not_a_number_is_no_score_and_spares_its_neighbours(digits: Path) -> None:
    found = score(digits, "7", "a # 3", "5", "tail #", batch_size=4)
    assert [one.problem for one in found] == [None, "no_ratings", None, "no_ratings"]
    assert "score is nan" in str(found[1].error) and found[1].prompt_tokens > 0
    assert values([found[0], found[2]]) == pytest.approx([7, 5], abs=1e-4)


@pytest.mark.parametrize("pad", [None, 0, 3, -1])
def test_batched_scores_are_the_single_ones(tmp_path: Path, pad: int | None) -> None:
    """Whatever padding token the checkpoint names; 3 is also the end token, and -1 stands for none."""
    folder = save_scorer(tmp_path / "model", pad_token_id=None if pad == -1 else pad)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": pad}))
    texts = many_texts(40)
    alone = values(score(folder, *texts, batch_size=1))
    assert len({round(one, 3) for one in alone}) > 30  # the model tells them apart
    for batch_size in (2, 7, 40):
        assert values(score(folder, *texts, batch_size=batch_size)) == pytest.approx(alone, abs=1e-5)
    scorer = ScalarModel(str(folder), device="cpu", max_batch_tokens=100)
    assert values(score(scorer, *texts)) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("pad", [None, 3])
def test_a_score_is_what_the_library_gives_for_one_conversation(tmp_path: Path, pad: int | None) -> None:
    """Also where the text ends with the padding token, where the library reads an earlier place."""
    folder = save_scorer(tmp_path / "model", pad_token_id=pad)
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    texts = ["Paris", "the fox<|im_end|>", "hello, world! " * 9]
    expected = []
    for text in texts:
        tokens = tokenizer(
            f"<|im_start|>user\nq\n<|im_start|>assistant\n{text}", return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            expected.append(model(tokens).logits[0, 0].item())
    assert values(score(folder, *texts)) == pytest.approx(expected, abs=1e-5)


def test_padding_never_ends_a_row() -> None:
    assert choose_pad([[5, 0], [7, 1]], None, 10) == 2
    assert choose_pad([[5, 3]], None, 10) == 0
    assert choose_pad([[5, 0], [7, 1]], 1, 10) == 1


def test_equal_conversations_get_equal_scores_and_are_computed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = ScalarModel(str(folder), device="cpu", batch_size=3)
    rows = watch_rows(scorer, monkeypatch)
    found = score(scorer, "one", "two " * 50, "one", "three", "one", "three")
    assert found[0] == found[2] == found[4] and found[3] == found[5]
    assert len(rows) == 3
    # Windows later too, until others have taken its place.
    assert score(scorer, "three", "four") == [found[3], score(scorer, "four")[0]]
    assert len(rows) == 4
    monkeypatch.setattr(scorer_module, "_REMEMBERED", 2)
    score(scorer, "five", "six", "seven")
    assert len(rows) == 7
    assert score(scorer, "one")[0].value == pytest.approx(found[0].value, abs=1e-5)
    assert len(rows) == 8


def test_only_causal_models_do_without_a_mask_of_the_padding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    sizes: Any = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    assert not is_causal(BertForSequenceClassification(BertConfig(vocab_size=16, **sizes)))
    assert not is_causal(torch.nn.Linear(2, 2))
    for name in ("qwen2", "llama"):
        assert is_causal(build_model(name))
    texts = many_texts(20)
    without = ScalarModel(str(folder), device="cpu", batch_size=20)
    assert without._scoring.padding == "bare"
    monkeypatch.setattr(scorer_module, "is_causal", lambda model: False)
    masked = ScalarModel(str(folder), device="cpu", batch_size=20)
    assert masked._scoring.padding == "masked"
    assert values(score(without, *texts)) == pytest.approx(values(score(masked, *texts)), abs=1e-5)


@pytest.mark.parametrize("begin", [True, False])
def test_there_is_one_beginning_token_or_none(
    tmp_path: Path, begin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = ScalarModel(str(save_scorer(tmp_path / "model", begin=begin)), device="cpu")
    rows = watch_rows(scorer, monkeypatch)
    (found,) = score(scorer, "hello")
    first = scorer._reader.tokenizer.convert_tokens_to_ids("<s>")
    (row,) = rows
    assert row.count(first) == begin and (row[0] == first) is begin
    end = scorer._reader.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end not in row  # nothing invites another turn
    assert found.prompt_tokens == len(row)


def test_over_long_conversations_are_skipped_or_end_the_run(folder: Path) -> None:
    long = "fox " * 600
    found = score(folder, "short", long)
    assert found[0].value is not None and found[1].problem == "prompt_too_long"
    assert found[1].prompt_tokens > 512 and "longer than the model's context of 512" in str(found[1].error)
    exact = found[0].prompt_tokens
    assert score(folder, "short", max_model_len=exact)[0] == found[0]
    assert score(folder, "short", max_model_len=exact - 1)[0].problem == "prompt_too_long"
    with pytest.raises(GenerationError, match=r"pair 'p1': conversation of \d+ tokens is longer"):
        score(folder, "short", long, on_overlong="fail")


def test_messages_that_cannot_be_read_fail_alone(folder: Path) -> None:
    scorer = ScalarModel(str(folder), device="cpu")
    picture = Message(role="user", content=(TextPart(text="see"), ImagePart(url="https://x.org/a.png")))
    requests = [
        ScoreRequest(key="0", pair_id="0", messages=(picture, assistant("a"))),
        ScoreRequest(key="1", pair_id="1", messages=(user("q"), assistant("a"))),
        ScoreRequest(key="2", pair_id="2", messages=(Message(role="tool", content="t"), assistant("a"))),
    ]
    found = {request.key: one for request, one in scorer.score(requests)}
    assert found["1"].value is not None
    assert found["0"].problem == found["2"].problem == "generation_failed"
    assert "several parts" in str(found["0"].error) and "no tool turns here" in str(found["2"].error)


def test_loading_says_nothing_and_the_fingerprint_tells_models_apart(
    folder: Path, digits: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = ScalarModel(str(folder), device="cpu")
    score(one, "a", "b")
    assert capfd.readouterr() == ("", "")
    assert one.fingerprint() == ScalarModel(str(folder), device="cpu", batch_size=1).fingerprint()
    assert one.fingerprint() != ScalarModel(str(digits), device="cpu").fingerprint()
    assert one.fingerprint() != ScalarModel(str(folder), device="cpu", dtype="bfloat16").fingerprint()
    json.dumps(one.fingerprint())
    one.close()
    one.close()


def test_the_checkpoint_says_what_judge_it_is(folder: Path, tmp_path: Path) -> None:
    writer = save_model(tmp_path / "writer", build_model(), build_tokenizer())
    assert is_scorer(str(folder)) and not is_scorer(str(writer))
    assert not is_scorer(f"vllm:{folder}") and not is_scorer("scripted:longer")
    with pytest.raises(CheckpointError, match="no such folder, and not a Hugging Face name"):
        is_scorer(str(tmp_path / "nothing"))
    assert isinstance(load_judge(str(folder)), ScalarJudge)
    assert isinstance(load_judge(str(writer)), GenerativeJudge)
    with pytest.raises(CheckpointError, match="scores instead of writing"):
        load_engine(str(folder))
    with pytest.raises(CheckpointError, match="Qwen2ForCausalLM: it does not score"):
        load_scorer(str(writer))


@pytest.mark.parametrize("name", ["scripted:longer", "openai:m@http://127.0.0.1:9/v1", "replay:{run}"])
def test_names_with_a_scheme_load_no_torch(tmp_path: Path, name: str) -> None:
    recorded = tmp_path / "outputs.jsonl"
    recorded.write_text('{"id": "0", "text": "[[A]]"}\n')
    code = (
        "import sys; from rmr1.judge import load_judge\n"
        f"load_judge({name.format(run=recorded)!r}); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"]


def test_missing_torch_is_one_line(folder: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from rmr1.judge import load_judge\nfrom rmr1.errors import ConfigError\n"
        f"try: load_judge({str(folder)!r})\nexcept ConfigError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in found.stdout and "pip install 'rmr1[hf]'" in found.stdout


def test_checkpoints_that_cannot_score_are_one_line(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_pair = ("judge", "--question", "q", "--a", "a", "--b", "b", "-m")
    three = save_scorer(tmp_path / "three", num_labels=3)
    capsys.readouterr()  # saving shows a bar
    assert "has 3 labels; a scalar reward model has one" in complain(capsys, *one_pair, three)

    def edit(**changes: Any) -> None:
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, **changes}))

    edit(num_hidden_layers=3, layer_types=None)
    line = complain(capsys, *one_pair, copy)
    assert "lacks 12 of its weights" in line and "not a scalar reward model" in line
    (copy / "chat_template.jinja").unlink()
    assert "has no chat template" in complain(capsys, *one_pair, copy)
    (copy / "model.safetensors").unlink()
    assert "holds no weights" in complain(capsys, *one_pair, copy)


def test_settings_that_are_wrong_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_pair = ("judge", "--question", "q", "--a", "a", "--b", "b", "-m", folder)
    refused = "is a scalar reward model: it gives each answer a number and writes nothing; leave"
    assert f"{refused} family out" in complain(capsys, *one_pair, "--family", "rubric")
    assert f"{refused} rule, temperature out" in complain(
        capsys, *one_pair, "--rule", "tail", "--temperature", "0.5"
    )
    assert "did you mean 'batch_size'" in complain(capsys, *one_pair, "--set", "engine.batch_sise=3")
    assert "batch_size: input should be greater than or equal to 1, got 0" in complain(
        capsys, *one_pair, "--batch-size", 0
    )
    assert "beyond the model's context of 512" in complain(capsys, *one_pair, "--max-model-len", 513)
    assert "expected 'module:function'" in complain(capsys, *one_pair, "--set", "engine.head=x")


def test_a_function_reads_another_head(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_scorer(tmp_path / "three", num_labels=3)
    head = tmp_path / "heads.py"
    head.write_text(
        "def last(model, inputs):\n    return model(**inputs).logits[:, 2]\n"
        "def both(model, inputs):\n    return model(**inputs).logits[:, :2]\n"
        "def broken(model, inputs):\n    raise KeyError('head')\n"
    )
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer("<|im_start|>user\nq\n<|im_start|>assistant\nParis", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = AutoModelForSequenceClassification.from_pretrained(folder)(tokens).logits[0, 2].item()
    found = score(folder, "Paris", "a longer one", head=f"{head}:last")
    assert found[0].value == pytest.approx(expected, abs=1e-5)
    with pytest.raises(CheckpointError, match=r"output of shape \(1, 2\) for 1 conversations"):
        score(folder, "one", "two", head=f"{head}:both")
    with pytest.raises(GenerationError, match=r"head '.*broken' failed: KeyError: 'head'"):
        score(folder, "one", head=f"{head}:broken")
    for name, complaint in (
        (f"{head}:none", "has no function 'none'"),
        (f"{tmp_path}/no.py:last", "cannot be imported"),
        ("no_such_module:last", "cannot be imported"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            score(folder, "one", head=name)
    # A model that writes can be made to score: here by the logit of a token at the end.
    head.write_text("def yes(model, inputs):\n    return model(**inputs).logits[:, -1, 7]\n")
    writer = save_model(tmp_path / "writer", build_model(), build_tokenizer())
    judge = load_judge(str(writer), options={"head": f"{head}:yes", "device": "cpu"})
    assert isinstance(judge, ScalarJudge)
    assert Judge(judge).compare("q", "a", "b").scores is not None


def test_from_python(digits: Path) -> None:
    judge = Judge(str(digits), options={"device": "cpu"})
    judgment = judge.compare("q", "at 3", "at 5")
    assert judgment.winner == "B" and judgment.scores == pytest.approx((3, 5), abs=1e-4)
    assert judgment.confidence == pytest.approx(0.880797, abs=1e-4)
    assert judge.compare("q", "same 3", "same 3").winner == "tie"
    with pytest.raises(ConfigError, match="leave rule out"):
        Judge(str(digits), rule="published")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [
        ("right", "is 8", "is 2", "A"),
        ("wrong", "is 1", "is 6", "A"),
        ("tie", "same 4", "same 4", "B"),
        ("nan", "# 5", "is 5", "A"),
        ("long", "fox " * 600, "is 5", "B"),
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "".join(
            json.dumps({"id": id, "prompt": "q", "response_a": a, "response_b": b, "label": label}) + "\n"
            for id, a, b, label in rows
        )
    )
    return path


def test_judge_and_show(
    digits: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["judge", str(pairs), "-m", str(digits), "-o", str(run), "--quiet"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "5 pairs judged: A 1, B 1, none 2, tie 1" in printed.out and printed.err == ""
    assert "right: 2 of 5 labelled (40.00%)" in printed.out
    assert "without verdict: 2 (no_ratings 1, prompt_too_long 1)" in printed.out
    assert main(["show", str(run), "right"]) == 0
    shown = capsys.readouterr().out
    assert "scores: A 8.0000, B 2.0000" in shown and "Verdict: A is better, P(A) 0.998 (right)" in shown
    assert main(["show", str(run), "nan"]) == 0
    assert "Verdict: none, the judge gave no usable ratings" in capsys.readouterr().out
    assert main(["show", str(run), "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    described = json.loads((run / "run.json").read_text())
    assert described["model"]["engine"] == "scalar" and described["settings"] == {"rule": "scores"}
    before = (run / "judgments.jsonl").read_bytes()
    assert main(command) == 0  # nothing is left to do
    assert (run / "judgments.jsonl").read_bytes() == before
    assert main([*command, "--retry-failed"]) == 0  # none of these is a failure that could go away
    assert (run / "judgments.jsonl").read_bytes() == before
    capsys.readouterr()
    line = complain(capsys, *command, "--max-model-len", 100)
    assert "model.max_model_len was 512, now 100" in line


def test_one_pair_on_the_command_line(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["judge", "-m", str(digits), "--question", "q", "--a", "7", "--b", "9"]
    assert main(command) == 0
    assert "scores: A 7.0000, B 9.0000" in capsys.readouterr().out
    assert main([*command, "--order", "both", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["winner"] == "B" and found["scores"] == pytest.approx([7, 9], abs=1e-4)


def test_a_failure_is_listed_and_judged_again(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "tool", "prompt": [{"role": "tool", "content": "t"}], "response_a": "1", "response_b": "2"},
        {"id": "fine", "prompt": "q", "response_a": "1", "response_b": "2"},
    ]
    pairs, run = tmp_path / "p.jsonl", tmp_path / "run"
    pairs.write_text("".join(json.dumps({**row, "label": "B"}) + "\n" for row in rows))
    command = ["judge", str(pairs), "-m", str(digits), "-o", str(run), "--quiet"]
    assert main(command) == 0
    assert main(["show", str(run), "tool"]) == 0
    assert "no tool turns here" in capsys.readouterr().out
    assert main([*command, "--retry-failed"]) == 0
    records = [json.loads(line) for line in (run / "judgments.jsonl").read_text().splitlines()]
    assert [record["pair"]["id"] for record in records] == ["fine", "tool"]


def write_judgebench(folder: Path) -> Path:
    """Labels A, B, A, B; the last digits make the first two right, the third wrong and the last a tie."""
    rows = [("8", "2", "A>B"), ("1", "6", "B>A"), ("3", "4", "A>B"), ("5", "5", "B>A")]
    folder.mkdir()
    with (folder / "gpt.jsonl").open("w") as file:
        for index, (a, b, label) in enumerate(rows):
            row = {
                "pair_id": f"p{index}",
                "source": "livebench-math",
                "question": f"Q{index}",
                "response_model": MODEL,
                "response_A": a,
                "response_B": b,
                "label": label,
            }
            file.write(json.dumps(row) + "\n")
    return folder


def test_judgebench_scores_each_pair_once(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = write_judgebench(tmp_path / "data"), tmp_path / "run"
    command = ["bench", "judgebench", "--data", str(data), "-m", str(digits), "-o", str(run), "--quiet"]
    assert main([*command, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    figures = {one["name"]: one for one in scores["figures"]}
    assert (figures["Math"]["correct"], figures["Math"]["total"], figures["Math"]["ties"]) == (2, 4, 1)
    assert "same verdict both ways" not in figures and scores["orders"] == {"scores": 4}
    # The same judgments as a scalar judge's recorded outputs give the same scores.
    recorded = tmp_path / "recorded.jsonl"
    with recorded.open("w") as file:
        for line in (data / "gpt.jsonl").read_text().splitlines():
            row = json.loads(line)
            both = [float(row["response_A"]), float(row["response_B"])]
            judgments = [{"judgment": {"scores": one}, "decision": None} for one in (both, both[::-1])]
            file.write(json.dumps({**row, "judgments": judgments}) + "\n")
    assert main(["bench", "judgebench", "--from", str(recorded), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["figures"] == scores["figures"] and again["overall"] == scores["overall"]
    assert main(["bench", "judgebench", "--from", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == scores


def test_rmb_lists_need_every_comparison(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = [{"role": "user", "content": "Q"}]

    def best_of(best: str, *losers: str) -> dict[str, Any]:
        return {
            "conversation_input": conversation,
            "bon_best": {"answer": best},
            "loser_list": [{"answer": one} for one in losers],
        }

    rows = {
        "Pairwise_set/Harmlessness/S1": [
            {"conversation_input": conversation, "chosen": {"answer": a}, "reject": {"answer": b}}
            for a, b in (("9", "1"), ("2", "3"), ("7", "7"))
        ],
        "BoN_set/Helpfulness/Chat/Discussion": [best_of("9", "1", "8"), best_of("5", "1", "6")],
    }
    for name, content in rows.items():
        path = tmp_path / "rmb" / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    command = [
        "bench",
        "rmb",
        "--data",
        tmp_path / "rmb",
        "-m",
        digits,
        "-o",
        tmp_path / "run",
        "--json",
        "--quiet",
    ]
    assert main([str(one) for one in command]) == 0
    figures = {one["name"]: one for one in json.loads(capsys.readouterr().out)["figures"] if one["total"]}
    assert (figures["pairwise"]["correct"], figures["pairwise"]["total"]) == (1, 3)
    assert (figures["best of N"]["correct"], figures["best of N"]["total"]) == (1, 2)
    assert (figures["pairs inside best of N"]["correct"], figures["pairs inside best of N"]["total"]) == (
        3,
        4,
    )


def test_doctor_knows_what_scores(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(folder), "--json"]) == 0
    needs = json.loads(capsys.readouterr().out)["model"]
    assert needs["architecture"] == "Qwen2ForSequenceClassification" and needs["kind"] == "scores"
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert needs["num_parameters"] == sum(one.numel() for one in model.parameters())
    assert main(["doctor", str(folder)]) == 0
    assert "scalar reward model" in capsys.readouterr().out


def test_a_killed_run_ends_equal_to_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    """One conversation at a time, a run repeats to the last bit."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", 200)
    command = ["judge", pairs, "-m", folder, "--device", "cpu", "--batch-size", 1, "--quiet", "-o"]
    rmr1(*command, tmp_path / "whole")
    assert kill_at_random([*command, tmp_path / "run"], tmp_path / "run", random.Random(0), most_seconds=120)
    rmr1(*command, tmp_path / "run")
    whole = final_records(tmp_path / "whole")
    assert len(whole) == 200 and final_records(tmp_path / "run") == whole


def test_a_resumed_run_in_batches_differs_in_last_bits_at_most(folder: Path, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 200)
    command = ["judge", str(pairs), "-m", str(folder), "--device", "cpu", "--quiet", "-o"]
    assert main([*command, str(tmp_path / "whole")]) == 0
    for limit in ("37", "38", "200"):
        assert main([*command, str(tmp_path / "run"), "--limit", limit]) == 0
    whole, parts = final_records(tmp_path / "whole"), final_records(tmp_path / "run")
    assert len(parts) == len(whole) == 200
    for one, other in zip(parts, whole, strict=True):
        assert one.pop("scores") == pytest.approx(other.pop("scores"), abs=1e-5)
        assert one.pop("confidence", None) == pytest.approx(other.pop("confidence", None), abs=1e-5)
        assert one == other
