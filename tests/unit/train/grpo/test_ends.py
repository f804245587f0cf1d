"""Where a sampled judgment ends: at the end token, which is reinforced like every other token (`rm-r1.md`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("torch")

import torch

from rmr1.engines.hf.tokens import encode_text
from rmr1.rewards import build_rewards, compute_rewards
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches, build_update_row
from rmr1.train.grpo.objective import Objective
from rmr1.train.grpo.rollout import Sampler
from tests.tiny_models import END, build_model, build_tokenizer, force_tokens

from .test_tasks import make_maker, pair, recipe

BEHIND = "<answer>[[A]]</answer> That is all."


@pytest.mark.parametrize(("room", "ends"), [(200, True), (0, False)])
def test_what_stands_behind_the_answer_is_learnt_up_to_the_end_token(room: int, ends: bool) -> None:
    tokenizer = build_tokenizer()
    model = build_model(vocab_size=len(tokenizer), max_position_embeddings=8192)
    written = encode_text(tokenizer, BEHIND)
    end = tokenizer.convert_tokens_to_ids(END)
    settings = recipe(
        data={"train": "p", "family": "direct", "order": "given"},
        rollout={"max_new_tokens": len(written) + room},
    )
    (task,) = make_maker(settings, both=False).make(pair(), 0)
    force_tokens(model, [*written, end])
    sampler = Sampler(model, tokenizer, end_tokens={end}, rows=4)
    ((sample,),) = sampler.sample([task], samples=1, temperature=0.0)
    assert sample.text == BEHIND
    assert sample.tokens == ([*written, end] if ends else written)
    assert len(sample.logprobs) == len(sample.tokens)
    assert sample.is_cut is not ends

    right, wrong = replace(sample, is_cut=False), replace(sample, text="no verdict")
    judged = [right.judge(task), wrong.judge(task)]
    assert [one.verdict.winner for one in judged] == ["A", None]
    rewards = compute_rewards(build_rewards({"verdict": 1.0}), judged)
    group = ScoredGroup(task=task, samples=[right, wrong], judged=judged, rewards=rewards)
    (batch,) = build_minibatches([group], Objective(beta=0.0), prompts=1)
    found = build_update_row([group], batch, Objective(beta=0.0))
    worth = found.weights * found.advantages
    assert len(worth) == 2 * len(sample.tokens) and bool((worth != 0).all())
    assert (found.row.targets == end).sum() == 2 * ends
    assert torch.equal(found.row.targets[: len(sample.tokens)], torch.tensor(sample.tokens))
