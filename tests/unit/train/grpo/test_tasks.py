"""Pairs as prompts to judge, and in which order they are taken."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rmr1.engines.hf.reader import RequestReader
from rmr1.errors import ConfigError, DataError
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import PreferencePair
from rmr1.train.examples import Position
from rmr1.train.grpo.recipe import OPTIONS, PRESETS, GrpoRecipe
from rmr1.train.grpo.rollout import Sample, make_seed
from rmr1.train.grpo.tasks import StoredTasks, Task, TaskMaker, WorldTasks, open_tasks, take_tasks

from ....tiny_models import build_tokenizer


def recipe(**sections: Any) -> GrpoRecipe:
    values = {"model": {"base": "x"}, "data": {"train": "pairs.jsonl"}, **sections}
    return GrpoRecipe.from_values(values, "r.toml")


def make_maker(settings: GrpoRecipe, *, both: bool | None = None) -> TaskMaker:
    if both is None:
        both = settings.data.order == "both"
    tokenizer = build_tokenizer()
    reader = RequestReader(
        name="x",
        tokenizer=tokenizer,
        num_embeddings=len(tokenizer),
        max_model_len=100_000,
        end_tokens=(),
    )
    return TaskMaker(reader, load_family(settings.data.family), settings, both=both)


def pair(label: Any = "A", answer: str = "one") -> PreferencePair:
    return PreferencePair(
        id="p",
        prompt=(user("q"),),
        response_a=(assistant(answer),),
        response_b=(assistant("two"),),
        label=label,
    )


def test_control_tokens_of_ones_own_are_broken() -> None:
    settings = recipe(data={"train": "p", "family": "direct", "control_tokens": ["##STOP##"]})
    (task,) = make_maker(settings, both=False).make(pair(answer="x ##STOP## <turn|>"), 0)
    text = task.prompt.messages[-1].text
    assert "#\\#STOP##" in text and "<\\turn|>" in text and " ##STOP##" not in text
    with pytest.raises(ConfigError, match="two or more characters"):
        recipe(data={"train": "p", "control_tokens": ["#"]})


RECIPES = Path(__file__).resolve().parents[4] / "recipes"
DIRECT = {"train": "p", "family": "direct", "max_prompt_tokens": 2000}


def test_both_orders_are_two_tasks_with_labels_of_their_own_frame() -> None:
    maker = make_maker(recipe(data={**DIRECT, "order": "both"}))
    given, swapped = maker.make(pair("A"), 3)
    samples = [
        Sample(tokens=[1], logprobs=[0.0], text="", is_cut=False).judge(task) for task in (given, swapped)
    ]
    assert [sample.label for sample in samples] == ["A", "B"]
    assert (given.prompt.order, swapped.prompt.order) == ("given", "swapped")
    assert given.tokens != swapped.tokens and given.pair == swapped.pair
    assert make_seed("0", given, 0) != make_seed("0", swapped, 0) != make_seed("0", swapped, 1)
    assert maker.counts.tasks == 2


def test_seeded_orders_are_drawn_for_each_pair() -> None:
    maker = make_maker(recipe(data=DIRECT))
    orders = [maker.make(pair(), place)[0].prompt.order for place in range(60)]
    assert orders == [maker.make(pair(), place)[0].prompt.order for place in range(60)]
    assert 15 < orders.count("given") < 45
    fixed = make_maker(recipe(data={**DIRECT, "order": "given"}))
    assert {fixed.make(pair(), place)[0].prompt.order for place in range(60)} == {"given"}


def test_what_is_left_out_is_counted() -> None:
    maker = make_maker(recipe(data=DIRECT))
    assert maker.make(pair("tie"), 0) == [] and maker.make(pair(None), 1) == []
    assert maker.make(pair(answer="long " * 2000), 2) == []
    assert len(maker.make(pair(), 3)) == 1
    counts = maker.counts
    assert (counts.pairs, counts.undecided, counts.overlong, counts.tasks) == (4, 2, 1, 1)


def stored(number: int, tasks_of_a_pair: int, *, shuffle: bool = False) -> StoredTasks:
    maker = make_maker(recipe(data={**DIRECT, "order": "both" if tasks_of_a_pair == 2 else "given"}))
    return StoredTasks([maker.make(pair(), place) for place in range(number)], seed=0, shuffle=shuffle)


def places(tasks: list[Task]) -> list[int]:
    return [task.place for task in tasks]


def test_tasks_are_taken_across_the_ends_of_epochs() -> None:
    source = stored(5, 1)
    first, position = take_tasks(source, 3, Position())
    second, position = take_tasks(source, 3, position)
    assert places(first) == [0, 1, 2] and places(second) == [3, 4, 0]
    assert position == Position(epoch=1, index=1)


def test_a_prompt_that_comes_again_in_a_rollout_has_other_samples() -> None:
    tasks, _ = take_tasks(stored(2, 1), 4, Position())
    assert places(tasks) == [0, 1, 0, 1]
    assert len({make_seed("0/1", task, 0) for task in tasks}) == 4


def test_overlong_prompts_fail_where_the_recipe_says_so() -> None:
    maker = make_maker(recipe(data={**DIRECT, "on_overlong": "fail"}))
    assert len(maker.make(pair(), 0)) == 1
    with pytest.raises(DataError, match=r"pair 'p': its prompt has .* data.max_prompt_tokens is 2,000"):
        maker.make(pair(answer="long " * 2000), 1)


def test_held_out_pairs_of_a_file_that_puts_the_better_answer_first_are_no_gift_to_the_first(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"q{number}", "chosen": "one", "rejected": "two"} for number in range(60)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for order, expected in (("seeded", range(15, 45)), ("both", range(15, 45)), ("given", range(60, 61))):
        data = {**DIRECT, "order": order, "train": str(path), "held_out": str(path)}
        settings = recipe(data=data, rollout={"prompts": 8})
        _, held_out = open_tasks(settings, make_maker(settings), make_maker(settings, both=False))
        assert len(held_out) == 60
        assert sum(task.prompt.order == "given" for task in held_out) in expected  # where "A" is right


def test_the_two_orders_of_a_pair_are_never_divided() -> None:
    source = stored(5, 2)
    first, position = take_tasks(source, 4, Position())
    second, _ = take_tasks(source, 4, position)
    assert places(first) == [0, 0, 1, 1] and places(second) == [2, 2, 3, 3]


def test_each_epoch_has_an_order_of_its_own() -> None:
    source = stored(12, 1, shuffle=True)
    first, position = take_tasks(source, 12, Position())
    second, _ = take_tasks(source, 12, position)
    assert sorted(places(first)) == sorted(places(second)) == list(range(12))
    assert places(first) != places(second) != list(range(12))


def test_the_world_is_new_in_every_epoch() -> None:
    settings = recipe(data={"world": {"items": 3, "start": 50}, "family": "direct", "order": "given"})
    source = WorldTasks(settings.data, make_maker(settings))
    tasks, position = take_tasks(source, 4, Position())
    assert places(tasks) == [50, 51, 52, 53] and position == Position(epoch=1, index=1)
    assert tasks[0].pair.id == "train-0-50"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole(name: str) -> None:
    values: dict[str, Any] = {"preset": name, "data": {"train": "p"}}
    if "base" not in PRESETS[name]["model"]:
        with pytest.raises(ConfigError, match="name either base"):
            GrpoRecipe.from_values(values, "r.toml")
        values["model"] = {"base": "mine"}
    found = GrpoRecipe.from_values(values, "r.toml")
    assert (found.rollout.prompts, found.update_prompts, found.rollout.samples) == (1024, 128, 7)
    assert (found.data.max_prompt_tokens, found.rollout.max_new_tokens) == (4096, 8192)
    objective = found.objective.build()
    assert (objective.clip_low, objective.clip_high, objective.beta) == (0.2, 0.2, 1e-3)
    assert found.rewards == {"verdict": 1.0} and not found.is_on_policy
    assert (found.lora is not None) == name.endswith("lora")


@pytest.mark.parametrize("name", [name for name in PRESETS if "deepseek-7b" in name])
@pytest.mark.parametrize("option", OPTIONS)
def test_named_options_change_a_preset(name: str, option: str) -> None:
    values = {"preset": name, "data": {"train": "p"}, "objective": {"options": [option]}}
    objective = GrpoRecipe.from_values(values, "r.toml").objective.build()
    for key, value in OPTIONS[option].items():
        assert getattr(objective, key) == value
    plain = GrpoRecipe.from_values({"preset": name, "data": {"train": "p"}}, "r.toml").objective.build()
    assert plain.importance == "truncate"


def test_the_shipped_recipe_is_valid_and_takes_new_pairs() -> None:
    values = tomllib.loads((RECIPES / "tiny-grpo.toml").read_text())
    found = GrpoRecipe.from_values(values, "tiny-grpo.toml")
    judges = tomllib.loads((RECIPES / "tiny-judge.toml").read_text())
    assert found.data.world is not None and found.data.world.start >= judges["data"]["world"]["items"]
    assert found.model.base == "tiny" and found.is_on_policy


def test_the_papers_rates() -> None:
    rates = {name: PRESETS[name]["optim"]["lr"] for name in PRESETS if not name.endswith("lora")}
    assert rates == {
        "rm-r1-qwen-7b": 1e-6,
        "rm-r1-qwen-14b": 7e-7,
        "rm-r1-qwen-32b": 5e-7,
        "rm-r1-deepseek-7b": 1e-6,
        "rm-r1-deepseek-14b": 1e-6,
        "rm-r1-deepseek-32b": 8e-7,
    }
