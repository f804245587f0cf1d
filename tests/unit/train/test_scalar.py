"""Scalar training before a weight is loaded: recipes, which pairs are seen when, rates, the optimizer."""

from __future__ import annotations

import itertools
import tomllib
from copy import deepcopy
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from rmr1.errors import ConfigError, TrainingError
from rmr1.train.optim import Optimizers, build_optimizers
from rmr1.train.scalar.model import compute_pair_losses
from rmr1.train.scalar.pairs import PairStore, plan_course, spell_pair
from rmr1.train.scalar.plan import ScalarPlan, choose_padding, list_rates
from rmr1.train.scalar.recipe import ScalarRecipe
from rmr1.train.scalar.run import choose, summarize

from ...tiny_models import build_scorer, build_tokenizer

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
LEAST: dict[str, Any] = {"model": {"base": "x"}, "data": {"train": "pairs.jsonl"}}


def recipe(**sections: Any) -> ScalarRecipe:
    return ScalarRecipe.from_values({**LEAST, **sections}, "r.toml")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"lora": {}}, "unknown key 'lora'; expected one of seed, device"),
        ({"optim": {"learning": 1}}, "unknown key 'optim.learning'; expected one of name, betas"),
        ({"data": {"train": "p", "heldout": "q"}}, "unknown key 'data.heldout'; did you mean 'held_out'?"),
        (
            {"data": {"world": {"items": 4, "teacher": "oracle"}}},
            "unknown key 'data.world.teacher'; expected one of items",
        ),
        ({"model": {"base": "x", "tokenizer": "y"}}, "model: tokenizer is for [model.from_scratch]"),
        ({"model": {}}, "model: name either base"),
        ({"data": {}}, "data: name either train, a file of pairs, or [data.world]"),
        ({"batch": {"examples": 6, "examples_at_once": 4}}, "batch: examples must be a multiple"),
        ({"optim": {"lr": []}}, "optim: lr names no rate"),
        ({"optim": {"lr": -1}}, "optim.lr.0: input should be greater than 0, got -1"),
        ({"optim": {"lr": [1e-3, 1e-3]}}, "optim: lr names a rate twice"),
        ({"optim": {"lr": [1e-3], "muon_lr": [1, 2]}}, "optim: lr has 1 rates and muon_lr 2"),
        ({"optim": {"lr": [1e-3, 2e-3]}}, "several rates in optim.lr need held-out pairs to choose by"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        recipe(**changes)
    assert str(raised.value).startswith("r.toml: ") and complaint in str(raised.value)
    assert all("\n" not in line for line in raised.value.lines)


def test_one_rate_may_stand_without_brackets() -> None:
    assert recipe(optim={"lr": 1e-3}).optim.lr == (1e-3,)


def test_rates_and_their_folders() -> None:
    held_out = {"train": "p", "held_out": "q"}
    plain = recipe(data=held_out, optim={"lr": [1e-3, 2e-5]})
    assert [rate.name for rate in list_rates(plain)] == ["lr-0.001", "lr-2e-05"]
    muon = recipe(data=held_out, optim={"name": "muon", "lr": [1e-3, 2e-3], "muon_lr": [1e-3, 5e-3]})
    assert [rate.name for rate in list_rates(muon)] == ["lr-0.001", "lr-0.002-muon-0.005"]


def test_the_shipped_recipe_has_the_judges_model_and_pairs() -> None:
    ours = ScalarRecipe.from_values(
        tomllib.loads((RECIPES / "tiny-scalar.toml").read_text()), "tiny-scalar.toml"
    )
    judges = tomllib.loads((RECIPES / "tiny-judge.toml").read_text())
    theirs = tomllib.loads((RECIPES / "tiny-scalar.toml").read_text())
    assert theirs["model"]["from_scratch"] == judges["model"]["from_scratch"]
    assert theirs["seed"] == judges["seed"]
    assert theirs["data"]["world"]["distribution"] == judges["data"]["world"]["distribution"]
    for name, default in (("seed", 0), ("spelled", 0.0)):
        assert theirs["data"]["world"].get(name, default) == judges["data"]["world"].get(name, default)
    assert theirs["optim"]["tokens"] == judges["optim"]["steps"] * judges["batch"]["tokens"]
    assert len(ours.optim.lr) == 3


def make_store(*lengths: tuple[int, int]) -> PairStore:
    store = PairStore()
    for number, (chosen, rejected) in enumerate(lengths):
        store.add([10 + number] * chosen, [20 + number] * rejected)
    return store


def test_a_store_gives_back_what_was_put_in() -> None:
    store = make_store((3, 1), (2, 4))
    assert len(store) == 2 and store.counts.tokens == 10
    assert [list(tokens) for tokens in store.get(1)] == [[11, 11], [21, 21, 21, 21]]
    assert (store.num_tokens(0), store.num_tokens(1)) == (4, 6)
    assert store.end_tokens == {10, 20, 11, 21}


def test_epochs_see_every_pair_once_each_in_another_order() -> None:
    store = make_store(*[(2, 1)] * 10)
    course = plan_course(store, recipe(batch={"examples": 4}, optim={"epochs": 3}))
    order = list(course.order)
    epochs = [order[:10], order[10:20], order[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # 30 pairs of 3 tokens in steps of 4; the last step has two of them.
    assert list(course.tokens) == [12, 24, 36, 48, 60, 72, 84, 90]
    again = plan_course(store, recipe(batch={"examples": 4}, optim={"epochs": 3}))
    assert list(again.order) == order


def test_pairs_of_a_step_are_of_similar_length_and_steps_come_in_random_order() -> None:
    store = make_store(*[(1 + place % 50, 1) for place in range(400)])
    course = plan_course(store, recipe(batch={"examples": 8}, optim={"epochs": 2}))
    steps = [course.order[start : start + 8] for start in range(0, 800, 8)]
    assert [sorted(chain.from_iterable(steps[start : start + 50])) for start in (0, 50)] == [
        list(range(400))
    ] * 2
    longest = [[store.longest(place) for place in step] for step in steps]
    real, padded = sum(map(sum, longest)), sum(8 * max(step) for step in longest)
    assert real / padded > 0.85
    means = [sum(step) for step in longest]
    assert means != sorted(means)


def test_tries_are_as_short_as_the_recipe_says() -> None:
    store = make_store(*[(2, 1)] * 40)
    given = recipe(
        data={"train": "p", "held_out": "q"},
        batch={"examples": 4},
        optim={"lr": [1e-3, 2e-3], "tokens": 600, "try_tokens": 100},
    )
    assert plan_course(store, given).tokens[-1] == 600
    assert plan_course(store, given, given.optim.try_tokens).tokens[-1] == 108


@pytest.mark.parametrize(("wanted", "steps"), [(1, 1), (12, 1), (13, 2), (120, 10)])
def test_a_budget_of_tokens_ends_with_the_step_that_reaches_it(wanted: int, steps: int) -> None:
    store = make_store(*[(2, 1)] * 10)
    course = plan_course(store, recipe(batch={"examples": 4}, optim={"tokens": wanted}))
    assert len(course.tokens) == steps and len(course.order) == 4 * steps
    assert course.tokens[-1] == 12 * steps


def product_of_choices(*words: tuple[int, int]) -> list[list[tuple[int, int]]]:
    """Every selection of the words."""
    return [
        [word for word, is_taken in zip(words, taken, strict=True) if is_taken]
        for taken in itertools.product((False, True), repeat=len(words))
    ]


def test_a_word_is_spelt_in_both_conversations_or_in_neither() -> None:
    from rmr1.train.scratch.tokenizer import Speller, learn_tokenizer

    tokenizer = learn_tokenizer(["stone river stone", "river stone river paper"], vocabulary=500, min_count=1)
    texts = ["stone river paper", "river stone stone"]
    conversations = [tokenizer(text)["input_ids"] for text in texts]
    assert [len(tokens) for tokens in conversations] == [3, 3]
    # Tokens gained: five letters for one token, and one more where the blank before them belongs to it.
    sizes = set()
    for seed in range(40):
        spelt = spell_pair(conversations, Speller(tokenizer, 0.5), Random(seed))
        assert [tokenizer.decode(tokens) for tokens in spelt] == texts
        sizes.add(tuple(len(tokens) for tokens in spelt))
    stone, river, paper = (4, 5 + 5), (5, 4), (5, 0)
    assert sizes == {
        (3 + sum(word[0] for word in words), 3 + sum(word[1] for word in words))
        for words in product_of_choices(stone, river, paper)
    }


def test_padding_is_a_token_that_ends_no_conversation() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.pad_token_id is None
    end = tokenizer.eos_token_id
    chosen = choose_padding(tokenizer, {end}, len(tokenizer))
    assert chosen in tokenizer.all_special_ids and chosen != end
    assert choose_padding(tokenizer, set(tokenizer.all_special_ids), 400) not in tokenizer.all_special_ids
    tokenizer.pad_token = tokenizer.eos_token
    assert choose_padding(tokenizer, {end}, len(tokenizer)) != end
    assert choose_padding(tokenizer, {5}, len(tokenizer)) == end


def build(name: str, *, lr: float = 1e-3, muon_lr: float = 1e-3) -> tuple[torch.nn.Module, Optimizers]:
    model = build_scorer(vocab_size=40)
    optimizers = build_optimizers(
        model, name=name, lr=lr, muon_lr=muon_lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1
    )
    return model, optimizers


def test_muon_has_the_matrices_inside_the_layers_only() -> None:
    model, optimizers = build("muon", muon_lr=2e-2)
    groups = [group for part in optimizers.parts for group in part.param_groups]
    assert [group["lr"] for group in groups] == [2e-2, 1e-3, 1e-3]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.1, 0.0]
    names = {id(one): name for name, one in model.named_parameters()}
    found = [{names[id(one)] for one in group["params"]} for group in groups]
    assert all(name.endswith("proj.weight") for name in found[0]) and len(found[0]) == 14
    assert found[1] == {"score.weight"}
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= found[2]
    assert sum(map(len, found)) == len(names)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizers_take_states(name: str) -> None:
    """By the names of the weights, as a checkpoint holds them."""

    def step(model: torch.nn.Module, optimizers: Optimizers) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter) * 0.1
        optimizers.step(0.5)
        optimizers.zero_grad()

    model, optimizers = build(name)
    step(model, optimizers)
    other, resumed = build(name)
    other.load_state_dict(model.state_dict())
    names = {weight: name for name, weight in model.named_parameters()}
    states = deepcopy(optimizers.list_states(names))
    for key, weight in other.named_parameters():
        own = {
            one.rpartition(".")[2]: value for one, value in states.items() if one.rpartition(".")[0] == key
        }
        assert own
        resumed.put_state(weight, own)
    step(model, optimizers)
    step(other, resumed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_loss_of_a_pair_by_hand() -> None:
    better_B, worse_B = torch.tensor([1.0, 0.0, 200.0]), torch.tensor([1.0, 1.0, 0.0])
    assert compute_pair_losses(better_B, worse_B).tolist() == pytest.approx(
        [0.693147, 1.313262, 0.0], abs=1e-6
    )


def make_plan() -> Any:
    plan = object.__new__(ScalarPlan)
    object.__setattr__(plan, "try_course", None)
    object.__setattr__(plan, "train", make_store((1, 1)))
    object.__setattr__(plan, "held_out", make_store((1, 1), (1, 1)))
    return plan


def test_the_best_try_is_kept() -> None:
    tries = [
        {"lr": 1.0, "held_out_accuracy": 0.5, "held_out_loss": 0.1, "seconds": 1.0},
        {"lr": 2.0, "held_out_accuracy": 0.7, "held_out_loss": 0.6, "seconds": 2.0},
        {"lr": 3.0, "held_out_accuracy": 0.7, "held_out_loss": 0.5, "seconds": 4.0},
        {"lr": 4.0, "diverged": True, "told": "rate 4, step 2: loss nan"},
    ]
    kept = choose(tries)
    assert kept == 2
    summary = summarize(make_plan(), tries[kept], tries)
    assert summary["lr"] == 3.0 and (summary["training_seconds"], summary["seconds"]) == (4.0, 7.0)
    assert (summary["train_pairs"], summary["held_out_pairs"]) == (1, 2)
    assert summary["tries"] == tries
    with pytest.raises(TrainingError, match=r"^rate 4, step 2: loss nan$"):
        choose(tries[3:])
