"""`rmr1 train`: a file of pairs to a measured judge in one command."""

from __future__ import annotations

import csv
import json

import pytest

from rmr1.cli import main
from rmr1.world import sample_pairs
from tests.integration.faulty_server import FaultyServer, failure, good
from tests.unit.distill.pairs import good_text, write_pairs


@pytest.fixture
def table(tmp_path):
    """150 pairs of the world under column names of their own."""
    path = tmp_path / "mine.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "one", "two", "better"])
        for item in sample_pairs(0, 150, split="train", distribution="balanced"):
            pair = item.pair
            writer.writerow(
                [pair.prompt[0].text, pair.response_a[0].text, pair.response_b[0].text, pair.label]
            )
    return path


MAP = (
    "--map",
    "prompt=question",
    "--map",
    "response_a=one",
    "--map",
    "response_b=two",
    "--map",
    "label=better",
)
SMALL = (
    *("--set", "grpo.optim.steps=1", "--set", "grpo.rollout.prompts=4", "--set", "grpo.rollout.samples=2"),
    # Groups that differ, and the weights behind the step: those of the base would be the same at every rate.
    *("--set", "grpo.rollout.temperature=2.0", "--set", "grpo.evaluation.keep=last"),
)


def run(*arguments):
    return main.main([str(one) for one in arguments])


def test_own_pairs(table, tmp_path, capfd):
    out = tmp_path / "out"
    command = ("train", table, "--base", "tiny", "-o", out, *MAP, *SMALL)
    assert run(*command) == 0
    printed = capfd.readouterr()
    for stage in ("curate", "check", "grpo", "baseline", "bench"):
        assert f", {stage}: rmr1 " in printed.err
    assert printed.err.count("the bundled model knows only") == 1  # of five stages two ask it
    assert any(
        line.startswith("own pairs against ") and line.endswith("baseline:")
        for line in printed.out.splitlines()
    )
    assert printed.out.splitlines()[-1] == f"judge with it: rmr1 judge pairs.jsonl -m {out}/grpo"
    # Held out of the training: no prompt is on both sides.
    prompts = {
        name: {
            json.loads(line)["prompt"] for line in (out / "curate" / f"{name}.jsonl").read_text().splitlines()
        }
        for name in ("rl", "looks", "held_out")
    }
    assert prompts["held_out"] and not (prompts["rl"] | prompts["looks"]) & prompts["held_out"]
    scores = json.loads((out / "bench" / "summary.json").read_text())["scores"]
    assert scores["judgments"] == len((out / "curate" / "held_out.jsonl").read_text().splitlines())
    # Cards of the chain and of its judge.
    card = (out / "README.md").read_text()
    assert "| [grpo](grpo/README.md) |" in card and "## Measured (bench)" in card
    assert f"rmr1 judge pairs.jsonl -m {out}/grpo" in card
    assert "- grpo" in (out / "grpo" / "README.md").read_text()
    # Again: nothing is done twice.
    assert run(*command) == 0
    assert capfd.readouterr().err.count("done before") == 5
    # Another rate: the stages before it stay, what was made is moved.
    assert run(*command, "--set", "grpo.optim.lr=1e-9", "--set", "grpo.evaluation.keep=best") == 0
    said = capfd.readouterr()
    assert said.err.count("done before") == 3  # curate, check, baseline
    # One that changes no verdict keeps the base's weights, and the last line says so.
    (*_, last) = said.out.splitlines()
    assert last.startswith(
        "NO GAIN: the weights are those of tiny, because after no rollout more of the held-out"
    )
    assert last.endswith(f"; judge with it: rmr1 judge pairs.jsonl -m {out}/grpo")
    assert sorted(path.name for path in (out / "replaced").iterdir()) == ["bench-1", "grpo-1"]


def test_settings_reach_sections_that_are_files(table, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("RMR1_NOT_SET", raising=False)
    (tmp_path / "curate.toml").write_text(
        f'root = "$RMR1_NOT_SET"\n[sources.mine]\ndata = "{table.name}"\n[sources.mine.columns]\n'
        'prompt = "question"\nresponse_a = "one"\nresponse_b = "two"\nlabel = "better"\n'
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('curate = "curate.toml"\n')
    assert run("train", recipe, "--dry-run") == 2
    assert "rmr1 train --set curate.root=DIR)" in capfd.readouterr().err
    settings = ("--set", f"curate.root={tmp_path}", "--set", "curate.sources.mine.take=20")
    assert run("train", recipe, "--dry-run", *settings) == 0
    assert capfd.readouterr().out.splitlines()[1].split()[:2] == ["curate", "20"]


def write_chain(tmp_path, url, pairs):
    """Distilled by a server and nothing trained: a scripted judge is measured at the end."""
    data = write_pairs(tmp_path / "pairs.jsonl", "AB" * (pairs // 2))
    recipe = tmp_path / "chain.toml"
    recipe.write_text(
        f'[distill.data]\ntrain = "{data}"\norder = "given"\n'
        f'[distill.pass1]\nteacher = "openai:judge@{url}"\nmax_new_tokens = 500\n'
        "[distill.pass1.engine]\nbackoff_seconds = 0.01\nmax_retries = 0\n"
        f'[bench]\nmodel = "scripted:longer"\ndata = {{ pairs = "{data}" }}\n'
    )
    return recipe


@pytest.mark.parametrize(("pairs", "is_few"), [(40, False), (100, True)])
def test_a_reply_that_never_comes_does_not_block_the_chain(tmp_path, capfd, pairs, is_few):
    def behave(call):
        return failure(500, "boom") if "Question 3?" in call.item else good(text=good_text("A"))

    out = tmp_path / "out"
    with FaultyServer(behave) as server:
        command = ("train", write_chain(tmp_path, server.base_url, pairs), "-o", out)
        if not is_few:
            # One of 40 is more than 1%. The same command asks that one again, and no other.
            for asked in (40, 41):
                assert run(*command) == 2
                assert len(server.calls) == asked
            assert "Question 3?" in server.calls[-1].item
            printed = capfd.readouterr()
            assert "stage distill ended with exit code 1" in printed.err
            assert "1 of 40 pairs got no text from their teacher" in printed.out
            assert "of rmr1 train: --set distill.max_failed_share=0.03" in printed.out
            command = (*command, "--set", "distill.max_failed_share=0.03")
        assert run(*command) == 0
        asked = len(server.calls)
        assert run(*command) == 0
        assert len(server.calls) == asked
    assert "left out, as max_failed_share = 0.0" in capfd.readouterr().out
    summary = json.loads((out / "distill" / "summary.json").read_text())
    assert (summary["dropped"]["failed"], summary["rows"]) == (1, pairs // 2)


def test_few_prompts_are_told_right_after_curation(tmp_path, capfd):
    path, out = tmp_path / "own.jsonl", tmp_path / "out"
    rows = [
        {
            "prompt": f"{'abcde'[number % 5]}?",
            "response_a": f"a{number}",
            "response_b": f"b{number}",
            "label": "A",
        }
        for number in range(65)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for _ in range(2):
        assert run("train", path, "--base", "tiny", "-o", out) == 2
        printed = capfd.readouterr()
        assert "needs at least 2 prompts; the 65 pairs have 5 distinct prompts" in printed.err
        assert ", check: " not in printed.err


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("bench.judge.famly=x", "unknown key 'bench.judge.famly'; did you mean 'family'?"),
        ("bench.data.pairs=/nowhere", "bench.data.pairs: /nowhere: no such file or folder"),
        ("bench.baseline=no such model", "bench.baseline: 'no such model': no such folder, and not"),
    ],
)
def test_mistakes_of_the_last_stage_come_first(table, tmp_path, capfd, setting, message):
    out = tmp_path / "out"
    assert run("train", table, "--base", "tiny", "-o", out, *MAP, "--set", setting) == 2
    printed = capfd.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{table}",), "no folder to train into"),
        (("{table}", "-o", "{out}"), "pairs need --base MODEL"),
        (("{table}", "-o", "{out}", "--base", "tiny"), "name yours with --map"),
        (("{out}.toml", "-o", "{out}"), "no such config file"),
        (("{table}.toml", "-o", "{out}", "--base", "tiny"), "--base is for a file of pairs"),
        (("{table}", "-o", "{out}", "--base", "no/where", *MAP, "--set", "grop.x=1"), "did you mean 'grpo'"),
    ],
)
def test_mistakes_are_one_line(table, tmp_path, capfd, arguments, message):
    filled = [one.format(table=table, out=tmp_path / "out") for one in arguments]
    assert run("train", *filled) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not (tmp_path / "out").exists()


def test_adapters_pass_between_stages(tmp_path, capfd):
    """The adapters of the first training are merged, those of the second are what is measured."""
    pairs, out, recipe = tmp_path / "pairs.jsonl", tmp_path / "out", tmp_path / "chain.toml"
    rows = sample_pairs(0, 4, split="test", distribution="balanced")
    turns = ("prompt", "response_a", "response_b")
    pairs.write_text(
        "".join(
            json.dumps(
                {**{name: getattr(one.pair, name)[-1].text for name in turns}, "label": one.pair.label}
            )
            + "\n"
            for one in rows
        )
    )
    recipe.write_text(
        '[sft]\ndevice = "cpu"\nmodel = { base = "tiny" }\nlora = { r = 4 }\nbatch = { examples = 4 }\n'
        "data = { world = { items = 16 } }\noptim = { steps = 1 }\n"
        '[grpo]\ndevice = "cpu"\nlora = { r = 4 }\ndata = { world = { items = 16, held_out = 2 } }\n'
        "rollout = { prompts = 2, samples = 2, max_new_tokens = 160 }\noptim = { steps = 1 }\n"
        f'[bench]\ndata = {{ pairs = "{pairs}" }}\n'
    )
    assert run("train", recipe, "-o", out) == 0
    said = capfd.readouterr()
    assert f"merged: rmr1 merge tiny {out}/sft -o {out}/merged" in said.err
    assert said.out.splitlines()[-1].endswith(f"-m {out}/merged --adapter {out}/grpo")
    assert (out / "merged" / "model.safetensors").exists()
    assert json.loads((out / "bench" / "summary.json").read_text())["scores"]["judgments"] == 4
    # A merge that was stopped begins anew.
    state = json.loads((out / "stages.json").read_text())
    state["merged"]["is_done"] = False
    (out / "stages.json").write_text(json.dumps(state))
    assert run("train", recipe, "-o", out) == 0
    assert capfd.readouterr().err.count("done before") == 3
