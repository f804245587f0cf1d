"""`rmr1 show` of folders that are no judging runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rmr1.cli.main import main

ADAM = {"lr": 1e-3, "epochs": 2, "steps": 30}
RECIPE: dict[str, Any] = {
    "model": {"base": "org/base", "from_scratch": None},
    "data": {"train": ["a.jsonl", "b.jsonl"], "held_out": "h.jsonl"},
    "optim": ADAM,
}
LOOK = {"step": 10, "held_out_loss": 0.5, "held_out_accuracy": 0.8125, "held_out_unparsed": 3}
STEP = {"step": 12, "loss": 0.25, "lr": 5e-4, "seconds": 3.0}


def write_training(
    folder: Path, recipe: dict[str, Any], *lines: dict[str, Any], summary: dict[str, Any] | None = None
) -> Path:
    folder.mkdir(parents=True)
    (folder / "training.json").write_text(json.dumps({"recipe": recipe}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 1')
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def show(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    assert main(["show", *map(str, words)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_training_that_goes_on(capsys, tmp_path: Path) -> None:
    folder = write_training(tmp_path / "m", RECIPE, LOOK, STEP)
    (folder / "checkpoints" / "step-00000010").mkdir(parents=True)
    assert show(capsys, folder) == [
        f"{folder}: a judge by fine-tuning, from org/base",
        "data: a.jsonl, b.jsonl; held out: h.jsonl",
        "not finished: 12 of 30 steps done; the same command goes on after step 10",
        "look after step 10: held-out loss 0.5000, held-out accuracy 81.2%, held-out unparsed 3",
        "step 12: loss 0.2500, rate 5.0e-04",
    ]


def test_a_reinforcement_that_kept_the_weights_of_its_base(capsys, tmp_path: Path) -> None:
    summary = {"steps": 30, "seconds": 99.4, "updates": 4, "kept_step": 0, "best_held_out_accuracy": 0.5}
    folder = write_training(tmp_path / "m", {**RECIPE, "rollout": {}}, LOOK, summary=summary)
    lines = show(capsys, folder)
    assert lines[0] == f"{folder}: a judge by reinforcement (GRPO), from org/base"
    assert lines[2] == "finished: 30 rollouts in 99 s"
    assert lines[-1].startswith("NO GAIN: the weights are those of org/base") and f"-m {folder}" in lines[-1]


def test_a_scalar_model_shows_its_tries(capsys, tmp_path: Path) -> None:
    recipe = {**RECIPE, "optim": {"lr": [1e-3, 2e-3], "epochs": 6, "tokens": None}}
    recipe["model"] = {"base": None, "from_scratch": {"architecture": "qwen3"}}
    recipe["data"] = {"train": None, "world": {"items": 1000}}
    folder = write_training(tmp_path / "m", recipe)
    write_training(folder / "tries" / "lr-0.001", recipe, {**LOOK, "step": 7}, {**STEP, "step": 8})
    assert show(capsys, folder) == [
        f"{folder}: a scalar reward model, from nothing (qwen3)",
        "data: the synthetic world, 1,000 items",
        "not finished: 8 steps of 6 epochs done; the same command goes on after step 0",
        "tries/lr-0.001, look after step 7: held-out loss 0.5000, held-out accuracy 81.2%, held-out unparsed 3",
        "tries/lr-0.001, step 8: loss 0.2500, rate 5.0e-04",
    ]


def test_a_pipeline_shows_its_stages(capsys, tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text(
        json.dumps(
            {
                "sft": {"is_done": True, "seconds": 60, "exit_code": 0},
                "grpo": {"is_done": False, "seconds": 5},
            }
        )
    )
    summary = {"steps": 30, "seconds": 50, "loss": 0.5, "held_out_accuracy": 0.75}
    write_training(tmp_path / "sft", RECIPE, LOOK, summary=summary)
    assert show(capsys, tmp_path) == [
        f"{tmp_path}: a pipeline of 2 stages so far",
        "sft: done, 60 s: loss 0.5000, held-out accuracy 75.0%",
        "grpo: begun and not done; the same command goes on there, 5 s",
        f"more of a stage: rmr1 show {tmp_path}/sft",
        f"judge with it: rmr1 judge pairs.jsonl -m {tmp_path}/sft",
    ]


def test_json_holds_the_description_the_looks_and_the_summary(capsys, tmp_path: Path) -> None:
    folder = write_training(tmp_path / "m", RECIPE, LOOK, STEP, summary={"steps": 30})
    found = json.loads(show(capsys, folder, "--json")[0])
    assert found == {
        "kind": "sft",
        "description": {"recipe": RECIPE},
        "summary": {"steps": 30},
        "looks": [LOOK],
    }


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ({"training.json": "{"}, (), "training.json: not valid JSON"),
        ({"training.json": "[]"}, (), "training.json: not a JSON object"),
        ({"training.json": '{"recipe": {"model": 5}}'}, (), "a file of it was changed or damaged"),
        ({"training.json": "{}"}, (), "a file of it was changed or damaged"),
        ({"stages.json": '{"sft": 1}'}, (), "a file of it was changed or damaged"),
        ({"curate.json": "{}"}, (), "a file of it was changed or damaged"),
        ({"run.json": '{"kind": "distill"}'}, (), "a file of it was changed or damaged"),
        (
            {"training.json": "{}"},
            ("--wrong",),
            "holds no judgments (it was made by rmr1 sft); --wrong is for runs",
        ),
        ({"training.json": "{}"}, ("7",), "holds no judgments (it was made by rmr1 sft); an ID is for runs"),
        ({"a/run.json": "{}", "b/run.json": "{}"}, (), "holds runs; name one of them: "),
        ({"x.txt": ""}, (), "not a run folder (no run.json) and not a training"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    content: dict[str, str], words: tuple[str, ...], said: str, capsys, tmp_path: Path
) -> None:
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert main(["show", str(tmp_path), *words]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert main(["show", str(tmp_path / "nowhere")]) == 2 and "no such folder" in capsys.readouterr().err
