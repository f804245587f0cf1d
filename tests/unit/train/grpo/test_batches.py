"""From scored samples to mini-batches and rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

pytest.importorskip("torch")

import torch

from rmr1.engines.base import Request
from rmr1.engines.hf.reader import Prepared
from rmr1.messages import assistant, user
from rmr1.prompts.render import render_prompt
from rmr1.records import PreferencePair
from rmr1.rewards import build_rewards, compute_rewards
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches, build_update_row
from rmr1.train.grpo.learn import STATS
from rmr1.train.grpo.metrics import summarize_rollout, summarize_update
from rmr1.train.grpo.recipe import Objective
from rmr1.train.grpo.rollout import Sample
from rmr1.train.grpo.tasks import Task


def make_group(
    verdicts: str, *, label: str = "A", lengths: Sequence[int] | None = None, cut: str = "", name: str = "one"
) -> ScoredGroup:
    """A group with these verdicts, "-" for none; `cut` has "x" where the limit ended the text."""
    pair = PreferencePair(
        id=name,
        prompt=(user("question"),),
        response_a=(assistant("first"),),
        response_b=(assistant("second"),),
        label=label,  # type: ignore[arg-type]
        subset=f"{name}/part",
    )
    prompt = render_prompt(pair)
    task = Task(
        pair=pair,
        place=0,
        prepared=Prepared(
            request=Request(key="0", prompt=prompt),
            tokens=[1, 2, 3],
            max_new_tokens=9,
            opening="",
        ),
    )
    counts = lengths or [2] * len(verdicts)
    samples = [
        Sample(
            tokens=list(range(4, 4 + count)),
            logprobs=[-0.5 * (place + 1)] * count,
            text="no idea" if verdict == "-" else f"<answer>[[{verdict}]]</answer>",
            is_cut=place < len(cut) and cut[place] == "x",
        )
        for place, (verdict, count) in enumerate(zip(verdicts, counts, strict=True))
    ]
    judged = [sample.judge(task) for sample in samples]
    rewards = compute_rewards(build_rewards({"verdict": 1.0}), judged)
    return ScoredGroup(task=task, samples=samples, judged=judged, rewards=rewards)


def test_flat_groups_are_skipped_and_still_counted() -> None:
    groups = [make_group("AB", lengths=[1, 3]), make_group("AA", lengths=[5, 5]), make_group("BB")]
    (batch,) = build_minibatches(groups, Objective(beta=0.0), prompts=3)
    assert batch.groups == [groups[0]]
    assert (batch.num_sequences, batch.num_tokens) == (6, 18)
    (with_reference,) = build_minibatches(groups, Objective(beta=1e-3), prompts=3)
    assert len(with_reference.groups) == 3


def test_a_rollout_is_cut_into_mini_batches_in_its_order() -> None:
    groups = [make_group("AB", name=str(place)) for place in range(4)]
    batches = build_minibatches(groups, Objective(), prompts=2)
    assert [[group.task.pair.id for group in batch.groups] for batch in batches] == [["0", "1"], ["2", "3"]]


@pytest.mark.parametrize(("average", "weights"), [("sequence", [1 / 4, 1 / 12]), ("token", [1 / 8, 1 / 8])])
def test_tokens_of_a_row(average: str, weights: list[float]) -> None:
    groups = [make_group("AB", lengths=[1, 3]), make_group("AA")]
    objective = Objective(beta=0.0, average=average, scale="none")  # type: ignore[arg-type]
    (batch,) = build_minibatches(groups, objective, prompts=2)
    update = build_update_row(batch.groups, batch, objective)
    assert update.row.lengths == (1, 3)
    assert update.advantages.tolist() == [1.0, -1.0, -1.0, -1.0]
    assert torch.allclose(update.weights, torch.tensor([weights[0], *[weights[1]] * 3]))
    assert update.sampler_logprobs.tolist() == [-0.5, -1.0, -1.0, -1.0]


def test_samples_that_were_cut_off_teach_nothing_where_they_are_masked() -> None:
    group = make_group("AB-", cut="..x")
    objective = Objective(beta=0.0, overlong="mask", scale="none")
    (batch,) = build_minibatches([group], objective, prompts=1)
    update = build_update_row([group], batch, objective)
    assert update.weights.tolist()[4:] == [0.0, 0.0] and batch.num_sequences == 3
    assert update.advantages.tolist() == [1.0, 1.0, -1.0, -1.0, 0.0, 0.0]
    assert not make_group("A-", cut=".x").is_live(objective)
    assert not make_group("--", cut="xx").is_live(Objective(beta=1e-3, overlong="mask"))
    assert make_group("A-", cut=".x").is_live(Objective(beta=0.0))


def test_figures_of_a_rollout_and_its_update() -> None:
    groups = [make_group("AAB-", name="easy", cut="...x"), make_group("BB", label="B", name="hard")]
    found = summarize_rollout(groups)
    assert found["reward"] == pytest.approx((2 - 2 + 2) / 6) == found["reward/verdict"]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert (found["accuracy/easy"], found["accuracy/hard"]) == (0.5, 1.0)
    assert found["unparsed"] == found["cut"] == pytest.approx(1 / 6)
    assert (found["length"], found["longest"], found["groups"]) == (2.0, 2, 2)
    batches = build_minibatches(groups, Objective(beta=0.0), prompts=2)
    sums = {"loss": 0.5, **dict.fromkeys(STATS, 4.0), "tokens": 8.0}
    update = summarize_update(batches, sums, [1.0, 3.0])
    assert (update["live_groups"], update["grad_norm"], update["loss"]) == (1, 2.0, 0.25)
    assert update["kl"] == update["entropy"] == 0.5
