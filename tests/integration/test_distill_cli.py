"""`rmr1 distill` as a user meets it: teachers behind a server, kills, batches, bad input, and who reads the rows."""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main
from tests.integration.faulty_server import Answer, Call, FaultyServer, completion, failure, good
from tests.unit.distill.pairs import good_text, write_pairs

REPOSITORY = Path(__file__).resolve().parents[2]
ITEMS = 120


@pytest.fixture(scope="module")
def benchmark() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        names = ("distill_teachers", "distill_verify")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            sys.modules.pop(name, None)


def write_recipe(path: Path, data: str, one: str, two: str | None = None, more: str = "") -> Path:
    options = "backoff_seconds = 0.01\nconcurrency = 4\nprice_in = 1.0\nprice_out = 2.0\n"
    text = f'{more}\n[data]\n{data}\n[pass1]\nteacher = "{one}"\nmax_new_tokens = 500\n'
    text += f"[pass1.engine]\n{options}" if one.startswith("openai:") else ""
    if two is not None:
        text += f'[pass2]\nteacher = "{two}"\nmax_new_tokens = 500\n'
        text += f"[pass2.engine]\n{options}" if two.startswith("openai:") else ""
    path.write_text(text)
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def distilled(benchmark: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distillation of the world that was killed in each pass, and ended."""
    folder = tmp_path_factory.mktemp("distilled")
    module = benchmark["distill_teachers"]
    teachers = module.WorldTeachers(items=ITEMS)
    with module.TeacherServer(teachers, delay_seconds=0.02) as server:
        recipe = write_recipe(
            folder / "recipe.toml",
            f"world = {{ items = {ITEMS} }}",
            f"openai:fallible@{server.base_url}",
            f"openai:told@{server.base_url}",
        )
        stored: set[tuple[str, str]] = set()
        for number, lines in ((1, 40), (2, 8)):
            process = subprocess.Popen(
                [sys.executable, "-m", "rmr1", "distill", "run", recipe, "-o", folder / "out"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            path = folder / f"out/pass{number}.jsonl"
            while process.poll() is None and not (path.exists() and path.read_bytes().count(b"\n") >= lines):
                time.sleep(0.01)
            assert process.poll() is None, "it finished before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
            whole = path.read_bytes().rpartition(b"\n")[0].splitlines()
            stored |= {(path.name, json.loads(line)["key"]) for line in whole}
        answered_before = dict(server.asked)
        assert main(["distill", "run", str(recipe), "-o", str(folder / "out"), "--quiet"]) == 0
        for name in ("pass1.jsonl", "pass2.jsonl"):
            keys = [line["key"] for line in read_lines(folder / "out" / name)]
            assert len(keys) == len(set(keys))
        # Asked twice is at most what was in flight at the two kills, four requests and a few read ahead.
        assert sum(count - 1 for count in server.asked.values()) <= 2 * 8
        assert len(stored) >= 48 and answered_before
    return folder / "out"


def test_a_killed_distillation_is_verified_by_other_means(distilled: Path, benchmark: Any) -> None:
    verify = benchmark["distill_verify"]
    world = json.loads((distilled / "run.json").read_text())["data"]["world"]
    rows = read_lines(distilled / "train.jsonl")
    assert len(rows) >= 0.8 * ITEMS
    assert {row["pass"] for row in rows} == {1, 2}
    assert [fault for row in rows for fault in verify.check_row(row, world)] == []
    summary = json.loads((distilled / "summary.json").read_text())
    assert summary["rows"] == len(rows)
    assert summary["rows"] + sum(summary["dropped"].values()) == ITEMS
    assert summary["waiting"] == {"pass1": 0, "pass2": 0}
    for number, one in enumerate(summary["passes"], start=1):
        lines = read_lines(distilled / f"pass{number}.jsonl")
        read, written = (sum(line[name] for line in lines) for name in ("prompt_tokens", "completion_tokens"))
        assert (one["prompt_tokens"], one["completion_tokens"]) == (read, written)
        assert one["cost_usd"] == pytest.approx((read + 2 * written) / 1e6, abs=1e-6)


def test_the_verifier_sees_planted_faults(distilled: Path, benchmark: Any) -> None:
    """A check that cannot fail would say nothing."""
    verify = benchmark["distill_verify"]
    world = json.loads((distilled / "run.json").read_text())["data"]["world"]
    row = read_lines(distilled / "train.jsonl")[0]
    *prompt, judgment = row["messages"]
    text = judgment["content"]

    def faults(changed: str, **columns: Any) -> list[str]:
        return verify.check_row(
            {**row, "messages": [*prompt, {**judgment, "content": changed}], **columns}, world
        )

    other = "B" if row["verdict"] == "A" else "A"
    assert "verdict is not the label" in faults(text.replace(f"[[{row['verdict']}]]", f"[[{other}]]"))
    assert "a quotation stands in no answer" in faults(text.replace("<quote_A>", "<quote_A>zz ", 1))
    assert "form" in faults(text.replace("<eval>", ""))
    assert "the judgment shows that it was told" in faults(text.replace("</eval>", "As stated.</eval>"))
    assert "column 'order' does not fit" in faults(
        text, order={"given": "swapped"}.get(row["order"], "given")
    )


@pytest.fixture
def own_accelerator() -> Iterator[None]:
    """What TRL makes accelerate keep for the whole process is taken back."""
    pytest.importorskip("accelerate")
    from tests.training import alone

    with alone():
        yield


@pytest.mark.usefixtures("own_accelerator")
def test_trl_prepares_the_rows(distilled: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    from tests.tiny_models import build_model, build_tokenizer

    tokenizer = build_tokenizer()
    tokenizer.pad_token = "<unk>"
    tokenizer.model_max_length = 100_000
    rows = datasets.load_dataset(
        "json", data_files=str(distilled / "train.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows.num_rows == len(read_lines(distilled / "train.jsonl"))
    trainer = trl.SFTTrainer(
        model=build_model(vocab_size=len(tokenizer), max_position_embeddings=8192),
        args=trl.SFTConfig(
            output_dir=str(tmp_path / "trl"),
            max_length=None,
            report_to="none",
            use_cpu=True,
            bf16=False,
            max_steps=1,
            per_device_train_batch_size=1,
            disable_tqdm=True,
        ),
        train_dataset=rows.select(range(4)),
        processing_class=tokenizer,
    )
    prepared = trainer.train_dataset[0]["input_ids"]
    first = read_lines(distilled / "train.jsonl")[0]["messages"]
    text = tokenizer.decode(prepared)
    for message in first:
        assert message["content"] in text
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["input_ids"].shape[0] == 1


def test_sft_reads_the_rows_and_finds_no_leak(distilled: Path) -> None:
    pytest.importorskip("torch")
    from rmr1.train.examples import read_conversations

    rows = list(read_conversations(str(distilled / "train.jsonl")))
    assert len(rows) == len(read_lines(distilled / "train.jsonl"))
    assert all(
        [message.role for message in messages] == ["system", "user", "assistant"] for messages, _, _ in rows
    )


def test_openrlhf_and_llama_factory_find_what_they_look_for(distilled: Path) -> None:
    """Their rules, worked by hand: the prompt's rendering begins the whole one's; system, then user and assistant in turn."""
    pytest.importorskip("torch")
    from tests.tiny_models import build_tokenizer

    tokenizer = build_tokenizer()
    # A template that adds the opening of a turn only where it is asked to.
    tokenizer.chat_template = tokenizer.chat_template.split("<|im_start|>assistant")[0] + (
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    about = json.loads((distilled / "dataset_info.json").read_text())["rmr1_distill"]
    assert (about["file_name"], about["formatting"]) == ("train.jsonl", "sharegpt")
    tags = about["tags"]
    for row in read_lines(distilled / "train.jsonl"):
        messages = row[about["columns"]["messages"]]
        roles = [message[tags["role_tag"]] for message in messages]
        assert roles == [tags["system_tag"], tags["user_tag"], tags["assistant_tag"]]
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole.startswith(prompt)
        assert whole[len(prompt) :].startswith(messages[-1]["content"])


def answer_by(texts: dict[str, str]) -> Any:
    """A server's behaviour: the text whose key stands in the prompt."""

    def behave(call: Call) -> Answer:
        for key, text in texts.items():
            if key in call.item:
                return good(text=text)
        return failure(400, "no text for it")

    return behave


def test_a_teacher_that_refuses_shirks_or_drifts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAAAA")

    def behave(call: Call) -> Answer:
        if "Question 0?" in call.item:
            return good(text=None, message={"refusal": "I cannot judge this."})
        if "Question 1?" in call.item:
            return good(text="I cannot say.")
        if "Question 2?" in call.item:
            return good(text="**Verdict**: A is better, 8/10 against 5/10.")
        if "Question 3?" in call.item:
            return Answer(body=completion("", finish_reason="content_filter"), is_billed=True)
        if "Question 4?" in call.item:
            return failure(400, "content policy violation", code="content_filter")
        return good(text=good_text("A"))

    with FaultyServer(behave) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        assert main(["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == 1
    assert summary["dropped"] == {"no_verdict": 3, "refused": 2}
    assert (summary["answered"]["pass1"], summary["passes"][0]["refused"]) == (4, 2)
    assert summary["next"] == []  # asking again would not help
    reasons = {row["id"]: row["detail"] for row in read_lines(tmp_path / "out/dropped.jsonl")}
    assert reasons["p3"] == "the server's content filter ended the text"


def test_an_outage_is_worth_another_try_and_says_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAA")
    is_down = True

    def behave(call: Call) -> Answer:
        if is_down and "Question 3?" in call.item:
            return failure(500, "boom")
        return good(text=good_text("A"))

    with FaultyServer(behave) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]
        options = ["--set", "pass1.engine.max_retries=1"]
        assert main([*command, *options]) == 1
        out = capsys.readouterr().out
        assert "  3 answered, 3 right (100.0%), 3 kept\n" in out
        assert "  failed 1, mostly: HTTP 500 after 2 tries: boom\n" in out
        is_down = False
        assert main([*command, "--retry-failed"]) == 0
    assert "  4 answered, 4 right (100.0%), 4 kept\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bodies", "pairs"), [((b"<html>oops</html>",), 20), ((b"{", b"<html>oops</html>", b"{"), 40)]
)
def test_a_server_that_fails_at_everything_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bodies: tuple[bytes, ...], pairs: int
) -> None:
    """Sooner if it always fails in the same way."""
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 80)
    with FaultyServer(lambda call: Answer(body=bodies[len(server.calls) % len(bodies)])) as server:
        recipe = write_recipe(tmp_path / "r.toml", f'train = "{data}"', f"openai:judge@{server.base_url}")
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]
        assert main([*command, "--set", "pass1.engine.max_retries=0"]) == 1
        assert len(server.calls) <= pairs + 8  # and those in flight
    out = capsys.readouterr().out
    (stopped,) = [line for line in out.splitlines() if line.startswith("stopped: ")]
    assert stopped.startswith(
        f"stopped: pass 1 gave no verdict for {pairs} pairs in a row, mostly: no usable reply after 1 try: the reply is "
        "not valid JSON"
    )
    assert stopped.endswith("; the same command goes on, with --set pass1.give_up_after=0 without this stop")
    assert pairs > 20 or ": '<html>oops</html>';" in stopped


def test_tokens_are_those_that_the_server_counted_whatever_came_of_the_replies(tmp_path: Path) -> None:
    """One choice at a time, and the first reply to each prompt is of no use."""
    data = write_pairs(tmp_path / "pairs.jsonl", "AAAAA")

    def behave(call: Call) -> Answer:
        if not call.attempt:
            return Answer(body=completion(choices=[]), is_billed=True)
        return good(text=good_text("A"))

    with FaultyServer(behave) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        samples = ["--set", "pass1.samples=4", "--set", "pass1.temperature=0.5"]
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet", *samples]
        assert main([*command, "--budget", "1M"]) == 0
        num_billed = server.billed.total()
    assert num_billed == 5 * 5
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    about = summary["passes"][0]
    assert (about["prompt_tokens"], about["completion_tokens"]) == (100 * num_billed, 20 * num_billed)
    assert summary["budget"]["spent"] == 120 * num_billed
    assert about["cost_usd"] == pytest.approx(num_billed * (100 + 2 * 20) / 1e6)


def test_a_server_that_counts_nothing_is_estimated_and_held_to_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 40)
    with FaultyServer(lambda call: good(text=good_text("A"), usage=None)) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]
        assert main([*command, "--budget", "8k"]) == 0
        num_asked = len(server.calls)
    assert 4 <= num_asked < 20
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    written = num_asked * -(-len(good_text("A")) // 4)
    assert summary["passes"][0]["completion_tokens"] == written
    assert summary["budget"]["spent"] <= 8000 and summary["budget"]["is_exhausted"]
    assert "USD (estimated: the server does not count tokens)" in capsys.readouterr().out
    assert [record.message for record in caplog.records if "do not say how many tokens" in record.message]


def test_a_teacher_that_writes_past_its_limit_is_held_to_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 60)
    usage = {"prompt_tokens": 700, "completion_tokens": 3500}
    with FaultyServer(lambda call: good(text=good_text("A"), usage=usage)) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]
        assert main([*command, "--set", "pass1.engine.concurrency=32", "--budget", "60k"]) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert 40_000 <= summary["budget"]["spent"] <= 60_000
    # 4,200 tokens where 700 and at most 500 are allowed
    assert "an answer took up to 3.5 times what its limits allow" in capsys.readouterr().out


def test_a_server_that_is_not_there_or_refuses_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl")
    with FaultyServer(lambda call: failure(401, "bad key")) as server:
        recipe = write_recipe(tmp_path / "r.toml", f'train = "{data}"', f"openai:judge@{server.base_url}")
        assert main(["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "refuses the key" in error
    # Another port later on: what is answered by whom does not depend on the address.
    with FaultyServer(answer_by({"Question": good_text("A")})) as server:
        recipe = write_recipe(tmp_path / "r.toml", f'train = "{data}"', f"openai:judge@{server.base_url}")
        assert main(["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]) == 0


def test_a_budget_in_money_stops_and_says_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "A" * 40)
    with FaultyServer(answer_by({"Question": good_text("A")})) as server:
        recipe = write_recipe(
            tmp_path / "r.toml", f'train = "{data}"\norder = "given"', f"openai:judge@{server.base_url}"
        )
        # 100 tokens read and 20 written cost 0.00014 USD; the most a request may take is some 0.0018.
        command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]
        assert main([*command, "--budget", "0.004usd"]) == 0
        out = capsys.readouterr().out
        asked = len(server.calls)
        assert 10 <= asked <= 28
        assert f"{40 - asked} pairs are left for pass 1; a higher --budget goes on from here" in out
        assert "budget: 0.004 USD" in out
        assert main(command) == 0
        assert len(server.calls) == 40
        assert main([*command, "--budget", "5 euros"]) == 2
    assert "rmr1: budget '5 euros': expected tokens" in capsys.readouterr().err


def test_a_pass_by_batch_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "ABA")
    recipe = str(
        write_recipe(tmp_path / "r.toml", f'train = "{data}"\norder = "given"', "batch:gpt-4.1", "batch:o3")
    )
    out = ["-o", str(tmp_path / "out")]
    assert main(["distill", "run", recipe, *out]) == 1
    assert "3 requests of pass 1 wait for a batch: rmr1 distill export" in capsys.readouterr().out
    one = tmp_path / "one.jsonl"
    assert main(["distill", "export", recipe, *out, str(one)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"{one}: 3 requests of pass 1 to gpt-4.1"
    assert re.fullmatch(r"at most [\d,]+ tokens to read and 1,500 to write, 0\.0\d+ USD", shown[1])
    assert len(shown) == 2
    ids = [row["custom_id"] for row in read_lines(one)]
    body = completion(good_text("A"))
    results = "".join(
        json.dumps({"custom_id": name, "response": {"status_code": 200, "body": body}, "error": None}) + "\n"
        for name in ids
    )
    output = tmp_path / "output.jsonl"
    output.write_text(results[:-40])  # the download was cut short
    assert main(["distill", "import", recipe, *out, str(output)]) == 1
    shown = capsys.readouterr()
    assert "3 lines: stored 2 of pass 1, unreadable 1" in shown.out
    assert "output.jsonl:3" in shown.err and shown.err.count("\n") == 1
    output.write_text(results)
    assert main(["distill", "import", recipe, *out, str(output), "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert summary["imported"]["stored"] == {"pass1": 1, "pass2": 0}
    assert summary["waiting"] == {"pass1": 0, "pass2": 1}
    assert main(["distill", "export", recipe, *out, "--pass", "2", str(tmp_path / "two.jsonl")]) == 0
    (row,) = read_lines(tmp_path / "two.jsonl")
    assert "The right verdict is [[B]]" in row["body"]["messages"][-1]["content"]
    assert main(["distill", "export", recipe, *out, str(tmp_path / "none.jsonl")]) == 1
    assert not (tmp_path / "none.jsonl").exists()


def test_a_dry_run_sends_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl", "ABAB-")
    recipe = write_recipe(
        tmp_path / "r.toml", f'train = "{data}"', "openai:judge@http://127.0.0.1:9/v1", "batch:o3"
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    command = ["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--dry-run", "--json"]
    assert main([*command, "--expect-tokens", "100"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (figures["pairs"], figures["labelled"]) == (5, 4)
    one, two = figures["passes"]
    assert (one["requests"], two["requests"]) == (4, 1)
    assert one["completion_tokens"] == {"expected": 400, "most": 2000}
    assert one["cost_usd"]["expected"] == pytest.approx((one["prompt_tokens"] + 2 * 400) / 1e6)
    assert two["prompt_tokens"] > one["prompt_tokens"] / 4
    assert any("25%" in line for line in figures["assumptions"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[data]", "[dta]"), "unknown key 'dta'; did you mean 'data'?"),
        (("pairs.jsonl", "pears.jsonl"), "did you mean 'pairs.jsonl'?"),
        (("scripted:longer", "scripted:shorter"), "scripted judge 'shorter' is not known"),
        (("[pass1]", "family = 'rubrik'\n[pass1]"), "unknown key 'data.family'"),
        (("# top", "family = 'rubrik'"), "prompt family 'rubrik' is not known"),
        (("[pass1]", "[pass1"), "not valid TOML"),
    ],
)
def test_bad_recipes_are_one_line(
    change: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl")
    recipe = write_recipe(tmp_path / "r.toml", f'train = "{data}"', "scripted:longer", more="# top")
    recipe.write_text(recipe.read_text().replace(*change))
    assert main(["distill", "run", str(recipe), "-o", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_missing_folders_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "pairs.jsonl")
    recipe = str(write_recipe(tmp_path / "r.toml", f'train = "{data}"', "batch:gpt-4.1"))
    out = str(tmp_path / "out")
    for command, message in (
        (["run", recipe], "no folder to distil into; pass -o DIR"),
        (["import", recipe, "-o", out, recipe], "not a run folder"),
        (["export", recipe, "-o", out, "--pass", "2", "x.jsonl"], "the recipe has no [pass2]"),
        (["run", recipe, "-o", out, "--dry-run", "--expect-tokens", "0"], "expected at least 1"),
    ):
        assert main(["distill", *command]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error
