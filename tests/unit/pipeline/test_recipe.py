"""What a pipeline's recipe becomes: which stages, what each reads, and what is refused."""

from __future__ import annotations

import json
import shutil
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rmr1.errors import ConfigError, DataError
from rmr1.forecast.machine import build_machine, parse_machine
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.models import find_bundled
from rmr1.pipeline.check import list_missing_data, require_verdicts
from rmr1.pipeline.forecast import forecast_pipeline
from rmr1.pipeline.own import choose_own, plan_own
from rmr1.pipeline.recipe import PRESETS, build_pipeline
from rmr1.prompts import load_family
from rmr1.prompts.families import PUBLISHED, write_family

ROOT = Path(__file__).parents[3]
ROW = {"prompt": "Q", "response_a": "short", "response_b": "a longer answer", "label": "B"}


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    rows = [{**ROW, "prompt": f"{words[index // 10]} {words[index % 10]} {index}"} for index in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def curated(pairs, **splits):
    return {
        "sources": {"mine": {"data": str(pairs)}},
        "splits": splits or {"distill": 0.2, "held_out": 0.1, "looks": 0.1, "rl": "rest"},
    }


def whole(pairs):
    return {
        "seed": 7,
        "curate": curated(pairs),
        "distill": {"pass1": {"teacher": "scripted:longer"}},
        "sft": {"model": {"base": "tiny"}, "batch": {"tokens": 4096}},
        "grpo": {},
        "bench": {"baseline": "tiny"},
    }


def test_each_stage_begins_with_what_the_one_before_made(pairs):
    found = build_pipeline(whole(pairs), "p.toml")
    assert [one.name for one in found.stages] == ["curate", "distill", "sft", "grpo", "baseline", "bench"]
    by_name = {one.name: one for one in found.stages}
    assert by_name["distill"].command == (
        "distill",
        "run",
        "{DIR}/recipes/distill.toml",
        "-o",
        "{DIR}/distill",
        "--retry-failed",
    )
    assert by_name["distill"].recipe["max_failed_share"] == 0.01
    assert by_name["distill"].recipe["data"]["train"] == "{DIR}/curate/distill.jsonl"
    assert by_name["sft"].recipe["data"]["train"] == "{DIR}/distill/train.jsonl"
    grpo = by_name["grpo"].recipe
    assert (grpo["model"]["base"], grpo["seed"]) == ("{DIR}/sft", 7)
    # The pairs that choose the checkpoint are not those that the result is measured on.
    assert grpo["data"] == {
        "train": "{DIR}/curate/rl.jsonl",
        "held_out": "{DIR}/curate/looks.jsonl",
        "order": "given",
    }
    assert by_name["distill"].recipe["data"]["order"] == "given"
    assert by_name["bench"].command == (
        *("bench", "pairs", "{DIR}/curate/held_out.jsonl", "--baseline={DIR}/baseline"),
        *("-m", "{DIR}/grpo", "-o", "{DIR}/bench"),
    )
    assert by_name["baseline"].command[3:5] == ("-m", "tiny")
    assert {name: one.reads for name, one in by_name.items()} == {
        "curate": (str(pairs),),
        "distill": ("{DIR}/curate/distill.jsonl",),
        "sft": ("{DIR}/distill/train.jsonl",),
        "grpo": ("{DIR}/curate/rl.jsonl", "{DIR}/curate/looks.jsonl", "{DIR}/sft"),
        "baseline": ("{DIR}/curate/held_out.jsonl",),
        "bench": ("{DIR}/curate/held_out.jsonl", "{DIR}/baseline", "{DIR}/grpo"),
    }


def test_prompts_and_local_teachers_are_read(pairs, tmp_path, monkeypatch):
    """What they hold is no part of the recipe, and the stage is done anew where it changes."""
    monkeypatch.setenv("RMR1_PROMPTS", str(tmp_path / "imported"))
    families = tmp_path / "imported" / "mine", tmp_path / "family.txt"
    families[0].mkdir(parents=True)
    template, teacher, adapter = tmp_path / "told.txt", tmp_path / "teacher", tmp_path / "adapter"
    teacher.mkdir()
    adapter.mkdir()
    for file in (template, families[1], families[0] / "single.txt"):
        file.write_text(load_family("rubric").single)
    values = whole(pairs)
    values["distill"] = {
        "family": str(families[1]),
        "pass1": {"teacher": str(teacher), "engine": {"lora_adapter": str(adapter)}},
        "pass2": {"teacher": f"vllm:{teacher}", "template": str(template)},
    }
    values["grpo"]["data"] = {"family": "mine"}
    values["bench"]["judge"] = {"family": str(families[1])}
    by_name = {one.name: one.reads for one in build_pipeline(values, "p.toml").stages}
    assert by_name["distill"] == (
        "{DIR}/curate/distill.jsonl",
        *map(str, (families[1], teacher, adapter, teacher, template)),
    )
    assert by_name["grpo"][-1] == str(families[0])
    assert by_name["baseline"][-1] == by_name["bench"][-1] == str(families[1])
    base = {"model": {"base": "tiny"}, "data": {"family": "mine"}}
    check = build_pipeline({"curate": curated(pairs), "grpo": base}, "p.toml").stages[1]
    assert check.reads[-1] == str(families[0])


def test_what_a_section_says_stands(pairs):
    values = whole(pairs)
    del values["distill"], values["bench"]
    values["sft"]["data"] = {"train": str(pairs)}
    values["grpo"] = {
        "seed": 1,
        "data": {"train": str(pairs), "held_out_share": 0.5},
        "model": {"base": "tiny"},
    }
    found = build_pipeline(values, "p.toml")
    by_name = {one.name: one for one in found.stages}
    assert by_name["sft"].reads == (str(pairs),)
    assert by_name["grpo"].recipe["data"] == {"train": str(pairs), "held_out_share": 0.5}
    assert by_name["grpo"].recipe["seed"] == 1


def test_sides_are_drawn_where_curation_left_them_as_read(pairs):
    values = whole(pairs)
    values["curate"]["sides"] = "as-read"
    by_name = {one.name: one for one in build_pipeline(values, "p.toml").stages}
    assert "order" not in by_name["grpo"].recipe["data"]
    values["curate"]["sides"] = "balanced"
    values["distill"]["data"] = {"order": "seeded"}
    by_name = {one.name: one for one in build_pipeline(values, "p.toml").stages}
    assert by_name["distill"].recipe["data"]["order"] == "seeded"


def test_a_base_that_nothing_taught_is_checked_first(pairs):
    values = {
        "curate": curated(pairs, rl="rest"),
        "grpo": {"model": {"base": "tiny"}, "rollout": {"max_new_tokens": 99}},
    }
    check = build_pipeline(values, "p.toml").stages[1]
    assert check.command == (
        *("judge", "{DIR}/curate/rl.jsonl", "-m", "tiny", "--family=rubric"),
        *("--limit=64", "--max-new-tokens=99", "-o", "{DIR}/check"),
    )
    assert check.check is require_verdicts
    values = {
        "grpo": {
            "model": {"base": "tiny"},
            "data": {"train": str(pairs), "map": {"prompt": "q"}, "format": "rmr1"},
        }
    }
    (check, _) = build_pipeline(values, "p.toml").stages
    assert check.command[1:4] == (str(pairs), "--map=prompt=q", "--format=rmr1")
    assert check.reads == (str(pairs),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curat": {}}, "unknown key 'curat'; did you mean 'curate'"),
        ({"grpo": {"rollot": {}}}, "p.toml: unknown key 'grpo.rollot'; did you mean 'rollout'"),
        ({"preset": "rm-r2"}, "unknown preset 'rm-r2'; expected one of rm-r1-qwen-7b"),
        ({"curate": None}, "distill: data.train is missing, and no stage [curate] makes it"),
        ({"distill": None}, "sft: data.train is missing, and no stage [distill] makes it"),
        ({"curate": "elsewhere.toml"}, "elsewhere.toml: no such config file; p.toml names it"),
        ({"bench": {"benchmarks": ["rmb"]}}, "data names no place for 'rmb'"),
        ({"bench": {"benchmarks": ["rmb", "pairs"], "data": {"rmb": "x"}}}, '"pairs" stands alone'),
        ({"bench": {"benchmarks": ["rewardbnch"]}}, "no benchmark 'rewardbnch'; did you mean 'rewardbench'?"),
        ({"bench": {"data": {"mine": "x"}}}, "no benchmark 'mine'; there are rewardbench, rm-bench"),
        (
            {"bench": {"baseline": "no such model"}},
            "bench.baseline: 'no such model': no such folder, and not a Hugging Face name (expected 'owner/name')",
        ),
        ({"bench": {"model": "scripted:nobody"}}, "bench.model: scripted judge 'nobody' is not known"),
        (
            {"bench": {"model": "openai:nobody@here"}},
            "bench.model: a model on a server is named openai:NAME@URL",
        ),
        (
            {"bench": {"model": "openai:a@http://b/v1", "judge": {"engine": {"concurency": 1}}}},
            "bench.judge: unknown key 'engine.concurency' for OpenAIEngine; did you mean 'concurrency'?",
        ),
        (
            {"bench": {"judge": {"engine": {"batchsize": 1}}}},
            "bench.judge: unknown key 'engine.batchsize' for TransformersEngine; did you mean 'batch_size'?",
        ),
        (
            {"bench": {"judge": {"family": "rubrik"}}},
            "bench.judge.family: prompt family 'rubrik' is not known",
        ),
        (
            {
                "bench": {
                    "benchmarks": ["rewardbench"],
                    "data": {"rewardbench": "a/b"},
                    "judge": {"order": "given"},
                }
            },
            "bench.judge: RewardBench names the better answer first",
        ),
        (dict.fromkeys(("curate", "distill", "sft", "grpo", "bench")), "no stage; expected a section"),
    ],
)
def test_mistakes(pairs, change, message):
    values = {name: value for name, value in {**whole(pairs), **change}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        build_pipeline(values, "p.toml", look=True, look_at_benchmarks=False)
    assert any(message in line for line in caught.value.lines)


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("pairs", "/nowhere", "bench.data.pairs: /nowhere: no such file or folder; expected labelled pairs"),
        ("pairs", "org/set@test", None),
        ("pairs", "org/set.jsonl", "bench.data.pairs: org/set.jsonl: no such file or folder"),
        ("rewardbench", "allenai/reward-bench@filtered", None),
        ("rewardbench", "nowhere", "bench.data.rewardbench: nowhere: no such folder; expected"),
        # RMB is no dataset of the hub, whatever its folder is called.
        ("rmb", "data/RMB_dataset", "bench.data.rmb: data/RMB_dataset: no such folder; expected RMB_dataset"),
    ],
)
def test_data_of_benchmarks_that_are_not_there(pairs, name, place, told):
    values = {"bench": {"benchmarks": [name], "data": {name: place}, "model": "tiny"}}
    pipeline = build_pipeline(values, "p.toml")
    found = next(list_missing_data(pipeline.recipes["bench"]), None)
    assert found is None if told is None else found.startswith(told)
    assert forecast_pipeline(pipeline)[0][0].obstacle == found
    assert not [*list_missing_data(build_pipeline(whole(pairs), "p.toml").recipes["bench"])]


def test_a_split_that_is_not_made(pairs):
    with pytest.raises(ConfigError, match=r"curate\.splits: no split 'distill'"):
        build_pipeline({**whole(pairs), "curate": curated(pairs, rl="rest")}, "p.toml")


def test_own_pairs(pairs, tmp_path):
    found = build_pipeline(plan_own(str(pairs), "tiny"), str(pairs))
    assert [one.name for one in found.stages] == ["curate", "check", "grpo", "baseline", "bench"]
    taught = build_pipeline(plan_own(str(pairs), "tiny", teacher="scripted:longer", seed=3), str(pairs))
    assert [one.name for one in taught.stages] == ["curate", "distill", "sft", "grpo", "baseline", "bench"]
    assert taught.recipes["sft"].seed == 3
    # What is kept aside to choose the checkpoint and to measure on are different tenths.
    assert found.recipes["curate"].splits == {"held_out": 0.1, "looks": 0.1, "rl": "rest"}
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps(ROW) + "\n")
    with pytest.raises(ConfigError, match="1 pairs with a preferred answer; expected at least 50"):
        plan_own(str(few), "tiny")
    with pytest.raises(DataError):
        plan_own(str(tmp_path / "none.csv"), "tiny")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{**ROW, "label": "1"}] * 3,
            "3 rows cannot be read (the first: {path}:1: label '1' is not 'A', 'B' or",
        ),
        (
            [{**ROW, "label": ["B"]}] * 2,
            "2 rows cannot be read (the first: {path}:1: label ['B'] is not 'A', 'B'",
        ),
        (
            [{**ROW, "label": None}] * 4 + [{**ROW, "label": "tie"}],
            "answer, 4 have no label, 1 are ties; expected",
        ),
        (
            [{**ROW, "label": None}],
            "a label is A, B or tie, in the column label or the one that --map label=THEIRS names",
        ),
        ([], "0 pairs with a preferred answer; expected at least 50"),
    ],
)
def test_why_own_pairs_are_too_few(tmp_path, rows, told):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError) as caught:
        plan_own(str(path), "tiny")
    assert told.format(path=path) in str(caught.value)


def model_folder(tmp_path, **config):
    folder = tmp_path / "model"
    shutil.copytree(find_bundled(), folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", **config}))
    return str(folder)


@pytest.mark.parametrize(
    ("base", "told"),
    [
        (
            "openai:gpt@http://localhost/v1",
            "grpo.model.base: 'openai:gpt@http://localhost/v1' is asked through openai",
        ),
        ("scripted:longer", "training needs the weights; name a folder"),
        ("nonsense", "grpo.model.base: 'nonsense' is neither a folder nor a model of the hub (ORG/NAME)"),
        (
            {"architectures": ["Qwen2ForSequenceClassification"]},
            "is a scalar reward model, which writes no judgments",
        ),
        (
            {"architectures": ["Qwen2ForCausalLM"], "max_position_embeddings": 256},
            "reads 256 tokens at most, and the prompt 'rubric' alone has ",
        ),
    ],
)
def test_a_base_that_cannot_be_trained(pairs, tmp_path, base, told):
    base = model_folder(tmp_path, **base) if isinstance(base, dict) else base
    with pytest.raises(ConfigError) as caught:
        build_pipeline({"curate": curated(pairs), "grpo": {"model": {"base": base}}}, "p.toml", look=True)
    assert told in str(caught.value)


def test_a_base_whose_context_suffices(pairs, tmp_path):
    base = model_folder(
        tmp_path,
        max_position_embeddings=256,
        rope_scaling={"rope_type": "yarn", "factor": 8.0},
        architectures=["Qwen2ForCausalLM"],
    )
    build_pipeline({"curate": curated(pairs), "grpo": {"model": {"base": base}}}, "p.toml")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"grpo\.model\.base: .*holds no config\.json"):
        build_pipeline({"curate": curated(pairs), "grpo": {"model": {"base": base}}}, "p.toml", look=True)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        ("nonsense", "distill.pass1.teacher: 'nonsense' is neither a folder nor a model of the hub"),
        ("scripted:nobody", "distill.pass1.teacher: scripted judge 'nobody' is not known"),
        ("openai:nobody@here", "distill.pass1.teacher: "),
        ("batch:", "distill.pass1.teacher: teacher 'batch:' names no model"),
    ],
)
def test_a_teacher_that_cannot_be_asked(pairs, teacher, told):
    values = whole(pairs)
    values["distill"]["pass1"]["teacher"] = teacher
    with pytest.raises(ConfigError) as caught:
        build_pipeline(values, "p.toml", look=True)
    assert told in str(caught.value)


def test_forecast(pairs):
    found, assumptions = forecast_pipeline(build_pipeline(whole(pairs), "p.toml"))
    by_name = {one.name: one for one in found}
    assert [one.name for one in found] == ["curate", "distill", "sft", "grpo", "baseline", "bench"]
    assert [by_name[name].items for name in ("curate", "distill", "sft", "grpo", "bench")] == [
        100,
        20,
        20,
        60,
        10,
    ]
    # No server bills for a scripted teacher; every text is expected to have 800 tokens.
    assert by_name["distill"].cost_usd is None
    assert by_name["distill"].completion_tokens == 20 * 800
    assert any("a judgment has 800 tokens" in one for one in assumptions)
    assert not any(one.obstacle for one in found)
    assert by_name["grpo"].notes[-1].startswith("hours on 1 x ")


def test_a_forecast_is_of_the_machine_that_is_named():
    """No card holds all that a training of 7.6 billion weights needs; eight divide it, and are faster."""
    path = ROOT / "recipes" / "rm-r1-pipeline.toml"
    pipeline = build_pipeline(tomllib.loads(path.read_text()), str(path))
    one, many = (
        {stage.name: stage for stage in forecast_pipeline(pipeline, machine=name)[0]}
        for name in ("h200", "8xH200")
    )
    for name in ("sft", "grpo"):
        assert one[name].notes[-1] == "hours on 1 x H200"
        assert 4 < one[name].hours / many[name].hours < 10
        assert "GB), and H200 has 141 GB; " in one[name].obstacle
        assert many[name].obstacle is None
    with pytest.raises(ConfigError, match="machine 'H1' is not known"):
        forecast_pipeline(pipeline, machine="H1")


def read_preset(preset, machine, folder=None, **sections):
    path = ROOT / "recipes" / "rm-r1-pipeline.toml"
    values = {**tomllib.loads(path.read_text()), "preset": preset, **sections}
    return build_pipeline(values, str(path), machine=parse_machine(machine), folder=folder)


def test_a_preset_trains_what_fits_the_machine():
    whole, adapters = (read_preset("rm-r1-qwen-7b", name) for name in ("8xH200", "H200"))
    assert whole.choice.told.startswith("trains whole weights, which fit 8 x H200: sft: ")
    assert whole.recipes["grpo"].lora is None
    assert adapters.choice.told.startswith("trains adapters, which fit 1 x H200: ")
    assert adapters.recipes["sft"].optim.lr == pytest.approx(5e-5)
    for found, name in ((whole, "8xH200"), (adapters, "H200")):
        stages = forecast_pipeline(found, machine=name)[0]
        assert not [one.name for one in stages if one.obstacle]
    # What is named is taken, and what nothing fits stays as it is and is refused with what is in the way.
    assert read_preset("rm-r1-qwen-7b-lora", "8xH200").choice.kind == "-lora"
    nothing = read_preset("rm-r1-qwen-32b", "4090")
    assert nothing.choice.told == "trains whole weights, and nothing fits 1 x 4090"
    assert all(one.obstacle for one in forecast_pipeline(nothing, machine="4090")[0] if one.hours)


def test_what_the_recipe_says_is_not_chosen():
    said = {"rollout": {"gpu_memory": 0.35}}
    found = read_preset("rm-r1-qwen-7b", "8xH200", grpo=said)
    assert found.recipes["grpo"].rollout.gpu_memory == 0.35
    assert "gpu_memory" not in found.choice.told


def test_a_folder_goes_on_with_what_was_chosen_in_it(tmp_path):
    begun = read_preset("rm-r1-qwen-7b", "H200")
    (tmp_path / "choice.json").write_text(json.dumps(asdict(begun.choice)))
    assert read_preset("rm-r1-qwen-7b", "8xH200", tmp_path).choice == begun.choice
    # Something else was asked for.
    assert read_preset("rm-r1-qwen-7b-lora", "8xH200", tmp_path).choice != begun.choice


def test_adapters_are_merged_between_the_trainings(pairs):
    """The KL term holds to the judge before reinforcement, so the base of the new adapters is that judge."""
    values = whole(pairs)
    values["sft"]["lora"] = values["grpo"]["lora"] = {"r": 4}
    stages = {one.name: one for one in build_pipeline(values, "p.toml").stages}
    assert [*stages] == ["curate", "distill", "sft", "merged", "grpo", "baseline", "bench"]
    assert stages["merged"].command == ("merge", "tiny", "{DIR}/sft", "-o", "{DIR}/merged")
    assert stages["merged"].anew and stages["merged"].reads == ("{DIR}/sft",)
    assert stages["grpo"].recipe["model"]["base"] == "{DIR}/merged"
    words = stages["bench"].command
    assert words[words.index("-m") + 1] == "{DIR}/merged" and "--adapter={DIR}/grpo" in words
    assert {"{DIR}/merged", "{DIR}/grpo"} <= {*stages["bench"].reads}
    del values["grpo"]
    stages = {one.name: one for one in build_pipeline(values, "p.toml").stages}
    words = stages["bench"].command
    assert "merged" not in stages
    assert words[words.index("-m") + 1] == "tiny" and "--adapter={DIR}/sft" in words


def test_trainings_alone_start_several_processes(pairs):
    """How many is no part of what a stage makes."""
    one, two = (build_pipeline(whole(pairs), "p.toml", processes=lambda device, n=n: n) for n in (1, 2))
    assert {stage.name: stage.where for stage in two.stages if stage.where} == {
        "sft": ("--processes=2",),
        "grpo": ("--processes=2",),
    }
    assert [stage.command for stage in one.stages] == [stage.command for stage in two.stages]
    assert not [stage for stage in one.stages if stage.where]


def test_own_pairs_are_trained_on_by_what_fits(pairs):
    values = plan_own(str(pairs), "Qwen/Qwen2.5-7B-Instruct")
    _, none = choose_own(plan_own(str(pairs), "tiny"), "tiny", parse_machine("H200"))
    assert none is None
    found, choice = choose_own(values, "Qwen/Qwen2.5-7B-Instruct", parse_machine("H200"))
    assert choice.kind == "-lora" and found["grpo"]["lora"] == {"r": 32, "alpha": 64}
    assert found["grpo"]["optim"]["lr"] == pytest.approx(1e-5)
    pipeline = build_pipeline(found, str(pairs))
    assert not [one.name for one in forecast_pipeline(pipeline, machine="H200")[0] if one.obstacle]


def test_a_forecast_says_what_cannot_be_done_here(pairs, monkeypatch, tmp_path):
    def find(name, device, processes):
        return build_machine("a small GPU", memory_bytes=8 << 30)

    monkeypatch.setattr("rmr1.pipeline.forecast.find_machine", find)
    values = whole(pairs)
    values["sft"]["model"]["base"] = values["bench"]["baseline"] = "Qwen/Qwen2.5-7B-Instruct"
    values["sft"]["lora"] = {}
    del values["grpo"]
    free = 20 << 30
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free))
    by_name = {one.name: one for one in forecast_pipeline(build_pipeline(values, "p.toml"))[0]}
    # 7.6 billion weights in 32 bits, and adapters of them; as a checkpoint they fit.
    assert "training adapters of 7.6B parameters needs about 31 GB" in by_name["sft"].obstacle
    assert 'a small GPU has 8.6 GB; take bf16, set lora.quantize = "nf4" or take' in by_name["sft"].obstacle
    assert "of disk" not in by_name["sft"].obstacle
    del values["sft"]["lora"]
    found = forecast_pipeline(build_pipeline(values, "p.toml"), folder=tmp_path / "not" / "yet")[0]
    by_name = {one.name: one for one in found}
    assert f"GiB of disk, and {tmp_path} has 20.0 GiB free; choose another -o" in by_name["sft"].obstacle
    assert [one.name for one in found if one.obstacle] == ["sft"]


def test_a_forecast_counts_the_pairs_of_the_check(pairs):
    values = {"curate": curated(pairs, rl="rest"), "grpo": {"model": {"base": "tiny"}}}
    for share, items in (("rest", 64), (0.4, 40)):
        values["curate"]["splits"] = {"rl": share} if share == "rest" else {"rl": share, "other": "rest"}
        found, _ = forecast_pipeline(build_pipeline(values, "p.toml"))
        assert {one.name: one.items for one in found}["check"] == items


@pytest.mark.parametrize("preset", [one for one in PRESETS if not one.endswith("lora")])
def test_the_papers_pipelines(preset):
    """Each of the six, read from the recipe that ships, with the figures that follow from the paper's mix."""
    name = "rm-r1-pipeline-deepseek.toml" if "deepseek" in preset else "rm-r1-pipeline.toml"
    path = ROOT / "recipes" / name
    values = {**tomllib.loads(path.read_text()), "preset": preset}
    found, _ = forecast_pipeline(build_pipeline(values, str(path)))
    by_name = {one.name: one for one in found}
    assert by_name["curate"].items == 10_795 + 8_000 + 54_146
    # 1,024 prompts a rollout, 7 samples each (section 4.1). What is distilled is not reinforced on; the others are
    # reinforced on all pairs.
    items, rollouts = (64_188, 62) if "qwen" in preset else (72_941, 71)
    assert by_name["grpo"].items == items
    assert by_name["grpo"].notes[0] == f"{rollouts} rollouts of 1024 prompts, 7 samples each"
    assert ("distill" in by_name) == ("qwen" in preset)
    if "qwen" in preset:
        # 8,753 items read twice in part by o3 and Claude 3.7 Sonnet; a few hundred dollars at 800 tokens a text.
        assert by_name["distill"].cost_usd == pytest.approx(3 * 13.1 + 15 * 7.0 + 2 * 6.1 + 8 * 1.75, rel=0.1)


@pytest.mark.parametrize("preset", ["rm-r1-qwen-7b", "rm-r1-deepseek-7b"])
def test_the_authors_wording_in_every_stage(preset, tmp_path, monkeypatch):
    monkeypatch.setenv("RMR1_PROMPTS", str(tmp_path))
    name = "rm-r1-pipeline-deepseek.toml" if "deepseek" in preset else "rm-r1-pipeline.toml"
    path = ROOT / "recipes" / name
    values = {**tomllib.loads(path.read_text()), "preset": preset, "wording": "published"}
    family = "rm-r1-reasoning" if "deepseek" in preset else "rm-r1-rubric"
    with pytest.raises(
        ConfigError, match=f"Take it over once: rmr1 prompts import gaotang/.* --name {family}"
    ):
        build_pipeline(values, str(path), look=True, look_at_benchmarks=False)
    write_family(replace(load_family(PUBLISHED[family][0]), name=family))
    recipes = build_pipeline(values, str(path), look=True, look_at_benchmarks=False).recipes
    asked = [recipes["grpo"].data.family, recipes["bench"].judge["family"]]
    asked += [recipes["distill"].family] if "distill" in recipes else []
    assert set(asked) == {family}


def test_a_family_of_ones_own_stands_beside_the_authors_wording(pairs):
    values = {**whole(pairs), "wording": "published"}
    values["distill"]["family"] = "direct"
    values["grpo"] = {"data": {"family": "direct"}}
    values["bench"]["judge"] = {"family": "direct"}
    recipes = build_pipeline(values, "p.toml").recipes
    assert [recipes["distill"].family, recipes["grpo"].data.family] == ["direct", "direct"]
    assert recipes["bench"].judge["family"] == "direct"


def test_both_of_the_papers_pipelines_curate_the_same_pairs():
    both = tomllib.loads((ROOT / "recipes" / "rm-r1-pipeline-deepseek.toml").read_text())["curate"]
    alone = tomllib.loads((ROOT / "recipes" / "curate-rm-r1.toml").read_text())
    assert both == {**alone, "splits": {"rl": "rest"}}


def test_nothing_is_kept_for_a_stage_that_is_not_there(pairs):
    values = {"curate": {"sources": {"mine": {"data": str(pairs)}}}, "grpo": {"model": {"base": "tiny"}}}
    splits = build_pipeline(values, "p.toml").recipes["curate"].splits
    assert splits == {"held_out": 0.02, "looks": 0.02, "rl": "rest"}
    values["distill"] = {"pass1": {"teacher": "scripted:longer"}}
    assert build_pipeline(values, "p.toml").recipes["curate"].splits["distill"] == 0.12


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_forecast_without_curation_reads_local_files(pairs, tmp_path):
    """Ties are not asked about; 8,000 characters of an answer are 2,000 tokens of a pair."""
    long = [{**ROW, "prompt": f"Q{number}", "response_a": "x" * 8000} for number in range(30)]
    file = write_rows(tmp_path / "long.jsonl", [*long, *({**ROW, "label": "tie"} for _ in range(5))])
    values = {
        "distill": {
            "data": {"train": [file], "limit": 10},
            "pass1": {
                "teacher": "openai:t@http://s/v1",
                "engine": {"price_in": 1.0, "price_out": 0.0},
            },
        },
        "sft": {"model": {"base": "tiny"}, "batch": {"tokens": 4096}},
        "grpo": {"data": {"train": file, "order": "both"}, "rollout": {"prompts": 20}},
        "bench": {"data": {"pairs": file}, "limit": 33},
    }
    found, assumptions = forecast_pipeline(build_pipeline(values, "p.toml"))
    by_name = {one.name: one for one in found}
    assert {name: one.items for name, one in by_name.items()} == {
        "distill": 10,
        "sft": 10,
        "grpo": 30,
        "bench": 33,
    }
    # Five short pairs of 35 lower the mean of about 2,030 tokens.
    (told,) = (one for one in assumptions if "question and both answers" in one)
    assert 1700 < int(told.split("answers ")[1].split()[0].replace(",", "")) < 1800
    assert by_name["distill"].cost_usd == pytest.approx(by_name["distill"].prompt_tokens / 1e6)
    assert by_name["distill"].prompt_tokens > 10 * 1700
    # Both orders of 30 pairs are 60 prompts.
    assert by_name["grpo"].notes[0] == "3 rollouts of 20 prompts, 7 samples each"


def test_a_forecast_of_rows_that_are_there(tmp_path):
    """Two rows of 400 characters, read in three epochs."""
    messages = [{"role": "user", "content": "q" * 300}, {"role": "assistant", "content": "a" * 100}]
    rows = write_rows(tmp_path / "rows.jsonl", [{"messages": messages}] * 2)
    values = {
        "sft": {
            "model": {"base": "tiny"},
            "batch": {"tokens": 4096},
            "data": {"train": rows},
            "optim": {"epochs": 3},
        }
    }
    (sft,) = forecast_pipeline(build_pipeline(values, "p.toml"))[0]
    assert (sft.items, sft.prompt_tokens) == (2, 2 * 3 * 400 // CHARS_PER_TOKEN)


def test_a_forecast_leaves_open_what_it_does_not_know(pairs, tmp_path):
    def items(**values):
        return {one.name: one.items for one in forecast_pipeline(build_pipeline(values, "p.toml"))[0]}

    teacher = {"pass1": {"teacher": "scripted:longer"}}
    assert items(distill={"data": {"train": "org/set@train"}, **teacher}) == {"distill": None}
    assert items(distill={"data": {"world": {"items": 50}, "limit": 20}, **teacher}) == {"distill": 20}
    assert items(bench={"model": "tiny", "data": {"pairs": str(pairs)}}) == {"bench": 100}
    assert items(bench={"model": "tiny", "data": {"pairs": "org/set@test"}}) == {"bench": None}
    official = {
        "model": "tiny",
        "benchmarks": ["rewardbench"],
        "data": {"rewardbench": "allenai/reward-bench@filtered"},
    }
    assert items(bench=official) == {"bench": 2985}
    assert items(bench={**official, "limit": 5}) == {"bench": None}
    # What is measured on is what [bench.data] names, not the curated split of ten pairs.
    named = {"model": "tiny", "data": {"pairs": str(pairs)}}
    assert items(curate=curated(pairs), bench=named)["bench"] == 100
