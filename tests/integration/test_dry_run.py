"""`--dry-run` against the runs that it speaks of: the same numbers, and nothing done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from rmr1.screen import format_rough

from .faulty_server import FaultyServer, good
from .runs import write_pairs

PRICED = "openai:gpt-4o@http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", 40)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.tiny_models import build_model, build_tokenizer, save_model

    model = build_model(max_position_embeddings=4096)
    return save_model(tmp_path_factory.mktemp("writer") / "writer", model, build_tokenizer())


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.tiny_models import SCORING_TEMPLATE, build_scorer, build_tokenizer, save_model

    tokenizer = build_tokenizer()
    tokenizer.chat_template = SCORING_TEMPLATE
    model = build_scorer(vocab_size=len(tokenizer))
    return save_model(tmp_path_factory.mktemp("scorer") / "scorer", model, tokenizer)


def without_weights(model: Path, folder: Path) -> Path:
    """A copy of the same size and content but for its weights, which cannot be read."""
    shutil.copytree(model, folder)
    for file in folder.glob("*.safetensors"):
        file.write_bytes(b"no weights")
    return folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """What the command prints with --json."""
    code = main([*map(str, arguments), "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


def complain(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("sampling", [(), ("--order", "both", "-n", "3", "--temperature", "1")])
def test_a_local_model_is_counted_exactly(
    sampling: tuple[str, ...],
    writer: Path,
    pairs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = (pairs, "--family", "direct", "--max-new-tokens", "8", *sampling)
    lengths = ask(capsys, "judge", *asked, "-m", writer, "--dry-run")["prompt_tokens"]
    # Around the middle, so that prompts are too long, leave a few tokens, and leave all eight.
    asked = (*asked, "--max-model-len", str(lengths["median"] + 4))
    model = without_weights(writer, tmp_path / "model")
    said = ask(capsys, "judge", *asked, "-m", model, "--dry-run", "-o", tmp_path / "none")
    assert not (tmp_path / "none").exists()

    run = tmp_path / "run"
    summary = ask(capsys, "judge", *asked, "-m", writer, "-o", run, "--quiet")
    records = [json.loads(line) for line in (run / "judgments.jsonl").read_text().splitlines()]
    votes = [vote for record in records for vote in record["votes"]]
    skipped = [vote for vote in votes if vote["generation"]["finish_reason"] == "skipped"]
    num_samples = 3 if sampling else 1
    assert said["items"] == summary["items"] == 40 and said["finished"] == 0
    assert said["prompts"] * num_samples == len(votes)
    assert 0 < said["prompts_over_limit"] * num_samples == len(skipped) < len(votes)
    assert said["texts"] == len(votes) - len(skipped)
    assert said["prompt_tokens"]["total"] == summary["prompt_tokens"]
    sizes = [
        record["votes"][index]["generation"]["prompt_tokens"]
        for record in records
        for index in range(0, len(record["votes"]), num_samples)
    ]
    assert said["prompt_tokens"]["longest"] == max(sizes)
    assert said["prompt_tokens"]["median"] == sorted(sizes)[(len(sizes) - 1) // 2]
    over = [vote["generation"]["prompt_tokens"] for vote in skipped]
    assert said["prompt_tokens"]["over_limit"] == sum(over) // num_samples
    limit = lengths["median"] + 4
    assert min(over) + 1 > limit
    assert said["limit"] == limit and said["prompt_tokens"]["counted_by"] == "tokenizer"
    rooms = [min(8, limit - size) for size in sizes if size + 1 <= limit]
    assert said["prompts_with_less_room"] == sum(room < 8 for room in rooms) > 0
    # Random weights hardly ever end a text, so that it is as long as it may be; none is longer.
    assert said["completion_tokens"]["most"] == num_samples * sum(rooms) >= summary["completion_tokens"]
    assert said["seconds"] > 0 and said["machine"]["device"] == "cpu" and said["cost_usd"] is None


@pytest.mark.parametrize(
    ("guide", "parts"),
    [
        (("--guide", "--part-tokens", "9"), (1, 9, 9, 1)),
        (("--guide", "--part-tokens", "0"), (1, 0, 0, 1)),
        (("--guide", "--part-tokens", "9", "--family", "direct"), (9, 1)),
        (("--force-verdict", "--max-new-tokens", "9"), (9, 1)),
    ],
)
def test_guided_texts_are_bounded_by_their_parts(
    guide: tuple[str, ...],
    parts: tuple[int, ...],
    writer: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = write_pairs(tmp_path / "pairs.jsonl", 2)
    asked = ("judge", pairs, "-m", writer, *guide, "--votes", "2")
    said = ask(capsys, *asked, "--dry-run")
    texts = said["texts"]
    assert (texts, said["text_tokens"], said["prompts_with_less_room"]) == (4, sum(parts), 0)
    assert said["completion_tokens"] == {"most": texts * sum(parts), "expected": texts * sum(parts)}
    listed = f"{', '.join(map(str, parts[:-1]))} and {parts[-1]}"
    assert any(f"in parts of at most {listed} tokens" in line for line in said["assumptions"])
    summary = ask(capsys, *asked, "-o", tmp_path / "run", "--quiet")
    # Random weights hardly ever end a part of themselves.
    assert 0.8 * texts * sum(parts) <= summary["completion_tokens"] <= texts * sum(parts)
    assert said["prompt_tokens"]["total"] == summary["prompt_tokens"]


def test_what_cannot_be_guided_is_refused_beforehand(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("judge", pairs, "-m", "scripted:longer", "--guide", "--dry-run")
    assert "cannot be guided" in complain(capsys, *asked)


def test_a_scalar_model_is_counted_exactly(
    scorer: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("judge", pairs, "--max-model-len", "100")
    model = without_weights(scorer, tmp_path / "model")
    said = ask(capsys, *asked, "-m", model, "--dry-run")
    run = tmp_path / "run"
    summary = ask(capsys, *asked, "-m", scorer, "-o", run, "--quiet")
    assert (said["items"], said["prompts"], said["texts"]) == (40, 80, 0)
    assert said["prompt_tokens"]["total"] == summary["prompt_tokens"]
    assert said["completion_tokens"] == {"most": 0, "expected": 0}
    # A pair is skipped when either of its conversations is.
    assert 40 > summary["problems"]["prompt_too_long"] >= said["prompts_over_limit"] / 2 > 0
    assert said["seconds"] > 0
    assert main(["judge", str(pairs), "-m", str(scorer), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "80 (one for each answer)" in printed and "text tokens" not in printed
    assert "leave temperature out" in complain(
        capsys, *asked, "-m", scorer, "--dry-run", "--temperature", "1"
    )


def test_vllm_is_planned_without_vllm(writer: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("judge", pairs, "--family", "direct", "--max-new-tokens", "8", "--dry-run")
    here = ask(capsys, *asked, "-m", writer)
    there = ask(capsys, *asked, "-m", f"vllm:{writer}")
    assert here["prompt_tokens"] == there["prompt_tokens"] and there["seconds"] > 0
    assert any("prefix cache" in line for line in there["assumptions"])


def test_a_machine_is_named(writer: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("judge", pairs, "--family", "direct", "--max-new-tokens", "8", "--dry-run")
    here, there = ask(capsys, *asked, "-m", writer), ask(capsys, *asked, "-m", writer, "--machine", "8xH100")
    assert (here["machine"]["device"], there["machine"]["device"]) == ("cpu", "H100")
    assert there["prompt_tokens"] == here["prompt_tokens"] and there["seconds"] > 0
    assert here["memory_bytes"] > 0 and there["memory_bytes"] > 0
    assert main([*map(str, asked), "-m", str(writer), "--machine", "h100"]) == 0
    assert "speeds the maker's data sheet" in capsys.readouterr().out
    assert "machine 'H1' is not known; expected one of" in complain(
        capsys, *asked, "-m", writer, "--machine", "H1"
    )
    assert "--machine is for --dry-run" in complain(capsys, *asked[:-1], "-m", writer, "--machine", "H100")
    parallel = ("-m", f"vllm:{writer}", "--set", "engine.tensor_parallel_size=2", "--machine", "H100")
    assert "tensor_parallel_size is 2, and the machine has 1" in complain(capsys, *asked, *parallel)


def test_a_resumed_run_is_told_from_a_new_one(
    writer: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    asked = ("judge", pairs, "-m", writer, "--family", "direct", "--max-new-tokens", "8", "-o", run)
    whole = ask(capsys, *asked, "--dry-run")
    assert not run.exists() and whole["text_tokens"] == 8
    part = ask(capsys, *asked, "--limit", "15", "--quiet")
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    rest = ask(capsys, *asked, "--dry-run")
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before
    assert (rest["items"], rest["finished"], rest["prompts"]) == (40, 15, 25)
    assert rest["prompt_tokens"]["total"] == whole["prompt_tokens"]["total"] - part["prompt_tokens"]
    assert rest["text_tokens"] == round(part["completion_tokens"] / 15, 1)
    assert rest["disk_bytes"] == round(len(before["judgments.jsonl"]) / 15 * 25)
    given = ask(capsys, *asked, "--dry-run", "--expect-tokens", "3")
    assert given["text_tokens"] == 3 and given["completion_tokens"]["expected"] == 25 * 3
    assert main([*map(str, asked), "--dry-run"]) == 0
    assert f"40, of them 15 finished in {run}" in capsys.readouterr().out
    # What the run would refuse is refused now.
    line = complain(capsys, *asked, "--dry-run", "--seed", "7")
    assert "settings.seed was 0, now 7" in line
    assert "model.max_model_len was 4096, now 999" in complain(
        capsys, *asked, "--dry-run", "--max-model-len", "999"
    )
    other = write_pairs(tmp_path / "other.jsonl", 40, seed=1)
    line = complain(capsys, "judge", other, *asked[2:], "--dry-run")
    assert "15 of 15 finished items are not in the data as they were judged" in line
    ask(capsys, *asked, "--quiet")
    assert ask(capsys, *asked, "--dry-run")["prompts"] == 0
    assert main([*map(str, asked), "--dry-run"]) == 0
    assert "nothing is left to do" in capsys.readouterr().out


def test_a_server_is_not_asked(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultyServer(lambda call: good()) as server:
        model = f"openai:judge@{server.base_url}"
        said = ask(capsys, "judge", pairs, "-m", model, "--dry-run", "--set", "engine.concurrency=2")
        assert server.calls == []
    assert said["cost_usd"] is None and said["limit"] is None
    assert said["prompt_tokens"]["counted_by"] == "characters"
    # 20 rounds of two texts, each 1 s and 800 tokens at 50 tokens/s.
    assert said["seconds"] == 20 * (1 + 800 / 50)
    assert main(["judge", str(pairs), "-m", model, "--dry-run"]) == 0
    assert "cost             not known" in capsys.readouterr().out


def test_what_a_hosted_model_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.jsonl"
    row = {"prompt": "q", "response_a": "a" * 4000, "response_b": "b" * 4000}
    pairs.write_text((json.dumps(row) + "\n") * 10)
    asked = ("judge", pairs, "-m", PRICED, "--dry-run", "-n", "2", "--temperature", "1")
    said = ask(capsys, *asked, "--max-new-tokens", "1000", "--expect-tokens", "500")
    tokens = said["prompt_tokens"]["total"]
    assert 10 * 2000 < tokens < 10 * 3500
    # 2.50 USD a million read, 10 USD a million written; 20 texts.
    assert said["cost_usd"] == {
        "expected": pytest.approx(tokens * 2.5e-6 + 20 * 500 * 1e-5),
        "most": pytest.approx(tokens * 2.5e-6 + 20 * 1000 * 1e-5),
    }
    own = ("--set", "engine.price_in=1", "--set", "engine.price_out=0")
    assert ask(capsys, *asked, *own)["cost_usd"]["most"] == pytest.approx(tokens / 1e6)
    assert "price_in and price_out go together" in complain(capsys, *asked, *own[:2])
    code = main([*map(str, asked)])
    printed = capsys.readouterr().out
    assert code == 0 and "about 0.23 USD; at most 1.71 USD" in printed
    assert "a token has 4 characters" in printed and "if a text has 800" in printed


def test_scripted_texts_have_no_tokens(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ask(capsys, "judge", pairs, "-m", "scripted:hash", "--order", "both", "--dry-run")
    assert (said["items"], said["prompts"], said["prompt_tokens"], said["seconds"]) == (40, 80, None, None)
    one = ("judge", "-m", "scripted:hash", "--question", "q", "--a", "x", "--b", "y", "--dry-run")
    assert ask(capsys, *one)["prompts"] == 1


def test_a_benchmark_needs_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    row = {
        "source": "livebench-math",
        "question": "Q",
        "response_model": "gpt-4o-2024-05-13",
        "response_A": "a",
        "response_B": "b",
        "label": "A>B",
    }
    lines = [json.dumps({"pair_id": f"p{index}", **row}) for index in range(3)]
    (data / "gpt.jsonl").write_text("\n".join(lines) + "\n")
    asked = ("bench", "judgebench", "--data", data, "-m", "scripted:longer")
    said = ask(capsys, *asked, "--dry-run")
    assert (said["items"], said["prompts"]) == (3, 6)
    run = tmp_path / "run"
    ask(capsys, *asked, "-o", run, "--quiet")
    assert ask(capsys, *asked, "-o", run, "--dry-run")["finished"] == 3
    assert "--dry-run asks for judging" in complain(capsys, "bench", "judgebench", "--from", run, "--dry-run")
    assert "--data DIR is missing" in complain(capsys, "bench", "judgebench", "-m", "x", "--dry-run")


def test_mistakes_are_the_runs_own(
    writer: Path, pairs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("judge", pairs, "--dry-run")
    monkeypatch.setenv("RMR1_MODELS", str(pairs.parent / "none"))
    assert "the bundled model 'tiny' is not in" in complain(capsys, *asked)
    assert "unknown key 'engine.batchsize'" in complain(
        capsys, *asked, "-m", writer, "--set", "engine.batchsize=3"
    )
    assert "batch_size: input should be greater than or equal to 1, got 0" in complain(
        capsys, *asked, "-m", writer, "--batch-size", "0"
    )
    assert "beyond the model's context of 4096" in complain(
        capsys, *asked, "-m", writer, "--max-model-len", "5000"
    )
    assert "no such folder" in complain(capsys, *asked, "-m", "/nowhere/at/all")
    assert "expected at least 1" in complain(capsys, *asked, "-m", writer, "--expect-tokens", "0")
    assert main(["judge", str(pairs), "-m", str(writer), "--dry-run", "--on-overlong", "fail"]) == 0
    assert main([*map(str, asked), "-m", str(writer), "--max-model-len", "100", "--on-overlong", "fail"]) == 0
    assert "limit 100 tokens: the run would end" in capsys.readouterr().out


def test_times_are_rounded_to_what_they_are_worth() -> None:
    shown = [format_rough(seconds) for seconds in (0.04, 7.4, 45, 89, 90, 2520, 5400, 100_000, 400_000)]
    assert shown == ["0.04 s", "7 s", "45 s", "89 s", "1.5 min", "42 min", "1.5 h", "28 h", "4.6 days"]


def peak_megabytes(pairs: Path) -> float:
    code = (
        "import resource, sys; from rmr1.cli.main import main\n"
        "code = main(['judge', sys.argv[1], '-m', sys.argv[2], '--dry-run', '--json'])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(pairs), PRICED], capture_output=True, text=True, check=True
    )
    return int(found.stdout.split()[-1]) / 1024


def test_memory_is_flat(tmp_path: Path) -> None:
    few, many = (write_pairs(tmp_path / f"{number}.jsonl", number) for number in (1_000, 20_000))
    assert peak_megabytes(many) - peak_megabytes(few) < 12
