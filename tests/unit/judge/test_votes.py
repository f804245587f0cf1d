"""Votes -> decision, placement, translation between the frames."""

from __future__ import annotations

import pytest

from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError
from rmr1.judge.placement import orders_for
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.votes import count_usage
from rmr1.messages import assistant, user
from rmr1.records import Generation, PreferencePair, Usage, Verdict, Vote
from rmr1.verdicts.votes import decide


def vote(winner: str | None, order: str = "given", problem: str | None = None) -> Vote:
    verdict = Verdict(winner=winner, problem=problem or (None if winner else "no_verdict"))
    return Vote(order=order, sample=0, generation=Generation(text="", finish_reason="stop"), verdict=verdict)


@pytest.mark.parametrize(
    ("votes", "winner", "problem", "confidence"),
    [
        ([vote("A")], "A", None, 1.0),
        ([vote("A", "swapped")], "B", None, 1.0),
        ([vote("A"), vote("B", "swapped")], "A", None, 1.0),
        ([vote("A"), vote("A", "swapped")], None, "split_vote", None),
        ([vote("A"), vote("tie", "swapped")], None, "split_vote", None),
        ([vote("tie"), vote("tie", "swapped")], "tie", None, 1.0),
        ([vote("A"), vote(None, "swapped")], "A", None, 0.5),
        ([vote("A"), vote("A"), vote("B")], "A", None, 2 / 3),
        ([vote("A"), vote("B"), vote(None)], None, "split_vote", None),
        (
            [vote(None), vote(None, problem="truncated"), vote(None, problem="truncated")],
            None,
            "truncated",
            None,
        ),
        ([], None, "generation_failed", None),
    ],
)
def test_decide(votes: list[Vote], winner: str | None, problem: str | None, confidence: float | None) -> None:
    decision = decide(votes)
    assert (decision.winner, decision.problem, decision.confidence) == (winner, problem, confidence)


def test_seeded_placement_is_even_and_depends_on_seed_and_key_only() -> None:
    orders = [orders_for("seeded", seed=0, key=f"k{i}")[0] for i in range(4000)]
    assert 1850 < orders.count("given") < 2150
    assert orders == [orders_for("seeded", seed=0, key=f"k{i}")[0] for i in range(4000)]
    other = [orders_for("seeded", seed=1, key=f"k{i}")[0] for i in range(4000)]
    assert 1850 < sum(a == b for a, b in zip(orders, other, strict=True)) < 2150
    for index in range(20):  # both: the drawn one first
        drawn = orders_for("seeded", seed=0, key=f"k{index}")
        both = orders_for("both", seed=0, key=f"k{index}")
        assert both[:1] == drawn and set(both) == {"given", "swapped"}
    assert orders_for("given", seed=0, key="k") == ("given",)


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"top_k": -1},
        {"max_new_tokens": 0},
        {"num_samples": 0},
        {"num_samples": 4},
    ],
)
def test_impossible_sampling_is_refused(sampling: dict) -> None:
    with pytest.raises(ConfigError):
        JudgeSettings(sampling=SamplingParams(**sampling))


def test_swap_exchanges_everything_and_is_its_own_inverse() -> None:
    pair = PreferencePair(
        id="1", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),), label="A"
    )
    swapped = pair.swap()
    assert (swapped.response_a[0].text, swapped.label) == ("b", "B")
    assert swapped.swap() == pair


def test_tokens_of_samples_are_what_a_server_counted_or_the_prompt_once() -> None:
    def of(billed: Usage | None) -> Vote:
        generation = Generation(
            text="x", finish_reason="stop", prompt_tokens=100, completion_tokens=20, billed=billed
        )
        return Vote(order="given", sample=0, generation=generation, verdict=Verdict(winner="A"))

    assert count_usage([of(None)] * 3) == Usage(prompt_tokens=100, completion_tokens=60)
    alone = Usage(prompt_tokens=100, completion_tokens=20)
    guess = Usage(prompt_tokens=300, completion_tokens=50, is_estimated=True)
    assert count_usage([of(alone), of(guess), of(None)]) == Usage(
        prompt_tokens=400, completion_tokens=70, is_estimated=True
    )
