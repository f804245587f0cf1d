"""Models with chat templates of all kinds, from the command line to what a run stores."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rmr1.cli.main import main
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.hf.engine import TransformersEngine
from rmr1.engines.hf.tokens import decode_tokens, encode_text
from rmr1.errors import RMR1Error
from rmr1.judge import Judge
from rmr1.messages import assistant, user
from rmr1.records import JudgePrompt, PreferencePair

from ..chat_templates import MERGED, PARTS, REFUSED, STYLES, save_styled
from ..tiny_models import END, build_scorer, force_tokens, save_model
from ..training import make_rows, small_recipe, write_recipe, write_rows
from .runs import write_pairs

LATER = "2031-12-24T18:00:00"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.jsonl", 3)


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()  # what saving a model has shown
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def judge(capsys: pytest.CaptureFixture[str], pairs: Path, model: Path, run: Path) -> tuple[int, str]:
    code, _, err = run_main(
        capsys, "judge", pairs, "-m", model, "-o", run, "--max-new-tokens", 2, "--quiet", "--device", "cpu"
    )
    return code, err


def read_model(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())["model"]


def edit_model(run: Path, **changes: Any) -> None:
    description = json.loads((run / "run.json").read_text())
    model = {**description["model"], **changes}
    description["model"] = {key: value for key, value in model.items() if value is not None}
    (run / "run.json").write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("gemma_no_system", {**MERGED, "template_end_token": END}),
        ("drops_system", {**MERGED, "template_end_token": END}),
        ("list_content_only", {**PARTS, "template_end_token": END}),
        ("opens_think", {"template_end_token": END}),
    ],
)
def test_a_run_says_how_the_template_was_fed(
    capsys, pairs: Path, tmp_path: Path, name: str, recorded: dict[str, str]
) -> None:
    model, run = save_styled(tmp_path / "model", STYLES[name]), tmp_path / "run"
    assert judge(capsys, pairs, model, run)[0] == 0
    found = read_model(run)
    keys = {"system_role", "message_content", "turns", "template_time", "template_end_token"}
    assert {key: found[key] for key in keys & found.keys()} == recorded
    summary = json.loads((run / "summary.json").read_text())
    assert summary["items"] == 3 and not summary["failed"]
    # A dry run counts the prompts as they were asked, and takes the folder for what it is.
    code, out, _ = run_main(
        capsys, "judge", pairs, "-m", model, "--dry-run", "--json", "--max-new-tokens", 2, "--device", "cpu"
    )
    assert code == 0
    assert json.loads(out)["prompt_tokens"]["total"] == summary["prompt_tokens"]
    assert judge(capsys, pairs, model, run)[0] == 0
    # A run that was made without the form was asked other prompts.
    if recorded.keys() - {"template_end_token"}:
        first = min(recorded.keys() - {"template_end_token"})
        edit_model(run, **{first: None})
        code, err = judge(capsys, pairs, model, run)
        assert code and f"model.{first} was None, now {recorded[first]!r}" in err


def test_a_template_that_cannot_be_used_is_one_line_before_anything_else(
    capsys, pairs: Path, tmp_path: Path
) -> None:
    model, run = save_styled(tmp_path / "model", REFUSED["upper_case"][0]), tmp_path / "run"
    (model / "model.safetensors").write_bytes(b"never read")
    code, err = judge(capsys, pairs, model, run)
    assert code == 2 and err.count("\n") == 1 and not run.exists()
    assert "cannot be used: it leaves out the user's text or changes it" in err
    code, _, err = run_main(capsys, "judge", pairs, "-m", model, "--dry-run", "--device", "cpu")
    assert code == 2 and err.count("\n") == 1 and "cannot be used" in err


@pytest.mark.parametrize("verb", ["sft", "grpo", "scalar"])
def test_nothing_is_trained_with_it_either(capsys, pairs: Path, tmp_path: Path, verb: str) -> None:
    pytest.importorskip("accelerate")
    model = save_styled(tmp_path / "model", REFUSED["cut"][0])
    rows = write_rows(tmp_path / "rows.jsonl", make_rows(4))
    recipe: dict[str, Any] = {
        "device": "cpu",
        "model": {"base": str(model)},
        "data": {"train": str(rows if verb == "sft" else pairs)},
        "optim": {"steps": 1} if verb != "scalar" else {},
    }
    if verb == "sft":
        recipe["batch"], recipe["data"]["max_tokens"] = {"examples": 2}, 2048
    if verb == "grpo":
        recipe["rollout"] = {"prompts": 2, "samples": 2, "max_new_tokens": 4}
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    code, _, err = run_main(capsys, verb, path, "-o", tmp_path / "out", "--quiet")
    assert code == 2 and "cannot be used: it leaves out the user's text or changes it" in err
    assert err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_run_that_goes_on_writes_the_date_it_began_with(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, run = save_styled(tmp_path / "model", STYLES["dated"]), tmp_path / "run"
    wanted = [
        PreferencePair(
            id=str(index),
            prompt=(user(f"{index}?"),),
            response_a=(assistant("x"),),
            response_b=(assistant("y"),),
        )
        for index in range(3)
    ]
    seen: list[str] = []

    def load() -> Judge:
        loaded = Judge(
            str(model), sampling=SamplingParams(max_new_tokens=1), options={"device": "cpu"}, order="given"
        )
        reader: Any = loaded.pair_judge.engine._reader  # type: ignore[attr-defined]
        render = reader.chat.render
        monkeypatch.setattr(
            reader.chat, "render", lambda *args, **kwargs: seen.append(render(*args, **kwargs)) or seen[-1]
        )
        return loaded

    assert len(list(load().judge(wanted[:1], run=run))) == 1
    begun = read_model(run)["template_time"]
    monkeypatch.setattr("rmr1.engines.hf.chat.new_moment", lambda: LATER)
    later = load()
    assert len(list(later.judge(wanted, run=run))) == 3  # the stored one too
    assert read_model(run)["template_time"] == begun
    heads = {text.partition(END)[0] for text in seen}
    assert len(seen) == 3 and len(heads) == 1 and "2031" not in heads.pop()
    # The same judge begins another run, with its own date.
    assert len(list(later.judge(wanted[:1], run=tmp_path / "other"))) == 1
    assert read_model(tmp_path / "other")["template_time"] == LATER and "24 Dec 2031 18:00:00" in seen[-1]
    # A run of a time when none was stored goes on, with today's.
    edit_model(run, template_time=None)
    (run / "judgments.jsonl").write_text("")
    assert len(list(later.judge(wanted, run=run))) == 3 and "template_time" not in read_model(run)


def test_a_training_keeps_its_date_and_its_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    from rmr1.train.folder import read_beginning
    from rmr1.train.plan import build_plan
    from rmr1.train.recipe import Recipe
    from rmr1.train.sft import run_sft

    model, out = save_styled(tmp_path / "model", STYLES["dated"]), tmp_path / "out"
    found = [{"messages": row["messages"][1:]} for row in make_rows(8)]
    rows = write_rows(tmp_path / "rows.jsonl", found)
    sections: dict[str, Any] = {"optim": {"epochs": 1, "warmup": 0}}
    values = {**small_recipe(rows, **sections), "model": {"base": str(model), "precision": "fp32"}}
    recipe = Recipe.from_values({**values, "data": {"train": str(rows), "max_tokens": 2048}}, "r.toml")
    run_sft(recipe, out, quiet=True)
    stored = json.loads((out / "training.json").read_text())["model"]
    assert stored["template_time"][:2] == "20" and "system_role" not in stored
    monkeypatch.setattr("rmr1.train.folder.new_moment", lambda: LATER)
    assert read_beginning(out) == stored and read_beginning(tmp_path / "new") == {"template_time": LATER}
    plan = build_plan(recipe, stored=read_beginning(out))
    assert plan.describe()["model"] == stored
    assert run_sft(recipe, out, quiet=True)["was_finished"]
    later = build_plan(recipe, stored=read_beginning(tmp_path / "new"))
    assert later.describe()["model"] == {**stored, "template_time": LATER}
    first: Any = later.source.get(0, 0)
    assert "24 Dec 2031 18:00:00" in decode_tokens(plan.base.tokenizer, first.tokens[: first.num_prompt])


def test_the_templates_end_token_ends_a_text(tmp_path: Path) -> None:
    engine = TransformersEngine(str(save_styled(tmp_path / "model", STYLES["gemma_2"])), device="cpu")
    tokenizer: Any = engine._reader.tokenizer
    ids = encode_text(tokenizer, "I say <answer>[[A]]</answer><end_of_turn>\n<start_of_turn>user\nNo: [[B]]")
    force_tokens(engine._model, ids)
    prompt = JudgePrompt(pair_id="1", family="own", order="given", messages=(user("x"),), labels=("A", "B"))
    params = SamplingParams(max_new_tokens=60, stop=(), verdict_logprobs=True)
    ((_, (found,)),) = engine.generate([Request(key="k", prompt=prompt)], params)
    assert found.text == "I say <answer>[[A]]</answer>" and found.finish_reason == "stop"
    assert found.completion_tokens == ids.index(tokenizer.convert_tokens_to_ids("<end_of_turn>")) + 1
    assert found.verdict_logprobs is not None and dict(found.verdict_logprobs)["A"] < 0


def test_a_rollout_ends_there_too(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    from rmr1.train.grpo.plan import build_grpo_plan
    from rmr1.train.grpo.recipe import GrpoRecipe
    from rmr1.train.grpo.run import run_grpo

    model = save_styled(tmp_path / "model", STYLES["gemma_2"])
    path = write_pairs(tmp_path / "pairs.jsonl", 4)
    recipe = GrpoRecipe.from_values(
        {
            "device": "cpu",
            "model": {"base": str(model)},
            "data": {"train": str(path), "max_prompt_tokens": 4000},
            "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 2, "rows": 4},
            "update": {"row_tokens": 4096},
            "optim": {"lr": 1e-6, "steps": 1, "epochs": 1},
            "checkpoint": {"every": 0},
        },
        "r.toml",
    )
    plan = build_grpo_plan(recipe)
    end = plan.base.tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert end in plan.reader.end_tokens and plan.describe()["model"]["system_role"] == MERGED["system_role"]
    run_grpo(recipe, tmp_path / "out", quiet=True)
    # Others know it from what is stored.
    assert end in json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]


def test_a_scorer_joins_turns_and_says_so(capsys, tmp_path: Path) -> None:
    model = save_styled(tmp_path / "model", STYLES["mistral_v01"])
    save_model(model, build_scorer(vocab_size=512, max_position_embeddings=4096), None)
    data = tmp_path / "pairs.jsonl"
    talk = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]
    data.write_text(json.dumps({"prompt": talk, "response_a": "x", "response_b": "y", "label": "A"}) + "\n")
    code, _, err = run_main(capsys, "judge", data, "-m", model, "-o", tmp_path / "run", "--quiet")
    assert code == 0, err
    found = read_model(tmp_path / "run")
    assert found["system_role"] == MERGED["system_role"] and found["turns"].startswith("joined")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["failed"] == 0


def test_what_the_judge_thought_is_learnt_under_a_template_that_takes_it_out() -> None:
    from rmr1.train.rendering import Renderer

    from ..chat_templates import build_styled

    trace = "<think>\nA is shorter.</think>\n<answer>[[A]]</answer>"
    for name in ("deepseek_r1", "qwen_3"):
        tokenizer = build_styled(STYLES[name])
        example = Renderer(tokenizer).render((user("Which?"), assistant(trace)))
        prompt = decode_tokens(tokenizer, example.tokens[: example.num_prompt])
        own = decode_tokens(tokenizer, array("i", example.tokens[example.num_prompt :]))
        opened = "<think>\n" if prompt.endswith("<think>\n") else ""
        assert opened + own == trace + STYLES[name].end  # type: ignore[operator]


def test_rows_that_a_template_would_cut_are_named_before_training(tmp_path: Path) -> None:
    from rmr1.train.examples import read_examples
    from rmr1.train.rendering import Renderer

    from ..chat_templates import build_styled

    rows: list[Any] = make_rows(2)
    rows[1]["messages"][1:1] = [{"role": "user", "content": "q"}, {"role": "tool", "content": "found"}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    renderer = Renderer(build_styled(STYLES["drops_system"]))
    with pytest.raises(
        RMR1Error, match=r"rows.jsonl:2: the chat template leaves out the text of the tool turn"
    ):
        read_examples(str(path), renderer, max_tokens=10_000)
