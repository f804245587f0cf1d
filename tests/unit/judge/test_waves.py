"""Votes in waves, by probability, and what early stopping keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import comb, log

import pytest

from rmr1.engines.base import SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import ConfigError
from rmr1.judge import GenerativeJudge, JudgeSettings
from rmr1.judge.summary import Tally, is_unanswered
from rmr1.messages import assistant, user
from rmr1.prompts import load_family
from rmr1.records import Generation, JudgePrompt, PreferencePair, Verdict, Vote
from rmr1.store.keys import seed_for
from rmr1.verdicts.votes import combine_probabilities, count_next_wave, decide, is_settled


def cast(winner: str | None, probability: float | None = None, order: str = "given") -> Vote:
    logprobs = None
    if probability is not None:
        logprobs = (("A", log(probability)), ("B", log(1 - probability)))
    text = Generation(text="", finish_reason="stop", verdict_logprobs=logprobs)
    problem = None if winner else "no_verdict"
    return Vote(order=order, sample=0, generation=text, verdict=Verdict(winner=winner, problem=problem))


@pytest.mark.parametrize(
    ("votes", "left", "is_fixed"),
    [
        ("AA", 2, False),
        ("AAA", 2, True),
        ("AAAB", 2, False),
        ("AAA", 3, False),
        ("", 0, False),
        ("AAAA", 3, True),
    ],
)
def test_a_majority_that_cannot_change(votes: str, left: int, is_fixed: bool) -> None:
    assert is_settled([cast(one) for one in votes], left, 1.0) is is_fixed


def test_the_bar_is_the_beta_posterior() -> None:
    three = [cast("A")] * 3
    posterior = 1 - 0.5**4  # of a uniform prior after three alike
    assert is_settled(three, 13, posterior) and not is_settled(three, 13, posterior + 1e-9)
    mixed = [*three, cast("B")]
    posterior = sum(comb(5, k) for k in range(4)) / 2**5
    assert is_settled(mixed, 12, posterior) and not is_settled(mixed, 12, posterior + 1e-9)
    assert not is_settled([cast("A"), cast("B")], 14, 0.51)


def test_waves_are_the_fewest_votes_that_may_do() -> None:
    assert count_next_wave([], 16, 1.0) == 9
    assert count_next_wave([], 16, 0.95) == 4  # 1 - 0.5**5 is the first above 0.95
    assert count_next_wave([cast("A"), cast("B")], 1, 0.95) == 1
    assert count_next_wave([cast("A")] * 3 + [cast("B")], 12, 0.95) == 3


def test_probabilities_are_averaged_by_order() -> None:
    votes = [cast("A", 0.9), cast("A", 0.7), cast("B", 0.6, "swapped")]
    assert combine_probabilities(votes) == pytest.approx((0.8 + 0.4) / 2)
    decision = decide(votes, "probability")
    assert decision.winner == "A" and decision.confidence == pytest.approx(0.6)
    assert decide([cast("A", 0.55), cast("B", 0.1), cast("A", 0.51)], "probability").winner == "B"
    assert decide([cast("A", 0.9), cast("A")], "probability").problem == "no_probability"
    assert decide([cast("A", 0.9), cast(None)], "probability").winner == "A"
    assert decide([cast("A", 0.3, "given"), cast("A", 0.3, "swapped")], "probability").problem == "split_vote"


def test_counted_votes_are_shares_with_half_a_vote_for_each_side() -> None:
    assert combine_probabilities([cast("A")]) is None
    assert combine_probabilities([cast("A")] * 3) == pytest.approx(3.5 / 4)
    assert combine_probabilities([cast("A"), cast("tie"), cast("B")]) == pytest.approx(0.5)


def script(prompt: JudgePrompt, sample: int) -> str:
    """Every pair has a share of its own of samples that name its A."""
    share = seed_for(0, "share", prompt.pair_id) % 100
    share = 100 - share if prompt.order == "swapped" else share
    return f"<answer>[[{'A' if seed_for(1, prompt.pair_id, str(sample)) % 100 < share else 'B'}]]</answer>"


def make_pairs(number: int) -> Iterator[PreferencePair]:
    for index in range(number):
        yield PreferencePair(
            id=str(index),
            prompt=(user(f"q{index}"),),
            response_a=(assistant("a"),),
            response_b=(assistant("b"),),
        )


def run(
    stop: float | None, order: str = "given", number: int = 60
) -> dict[str, tuple[str | None, list[Vote]]]:
    sampling = SamplingParams(temperature=1.0, num_samples=16)
    settings = JudgeSettings(order=order, sampling=sampling, stop_votes=stop)
    judge = GenerativeJudge(ScriptedEngine(script, "shares"), load_family("direct"), settings)
    return {key: (one.winner, list(one.votes)) for key, one in judge.run(make_pairs(number))}


@pytest.mark.parametrize("order", ["given", "both"])
def test_early_votes_are_the_first_of_all_votes(order: str) -> None:
    full, fixed, likely = run(None, order), run(1.0, order), run(0.95, order)
    for key, (winner, votes) in full.items():
        assert len(votes) == (16 if order == "given" else 32)
        assert fixed[key][0] == winner  # a majority that cannot change has not changed
        for early in (fixed[key][1], likely[key][1]):
            by_order = Counter(vote.order for vote in early)
            assert len(set(by_order.values())) == 1  # as many of each order
            kept = [vote for vote in votes if vote.sample < by_order[vote.order]]
            assert [vote.verdict.winner for vote in early] == [vote.verdict.winner for vote in kept]
    cast_early = sum(len(votes) for _, votes in likely.values())
    assert cast_early < 0.75 * sum(len(votes) for _, votes in full.values())
    alike = sum(likely[key][0] == winner for key, (winner, _) in full.items())
    assert alike >= (54 if order == "given" else 40)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stop_votes": 0.5}, "stop_votes is 0.5; expected more than 0.5"),
        ({"stop_votes": 0.9}, "there is one vote"),
        ({"vote_by": "sum"}, "vote_by is 'sum'"),
        ({"vote_by": "probability"}, "need the log-probabilities"),
    ],
)
def test_settings_that_mean_nothing_together(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        JudgeSettings(**changes)


def test_settings_that_earlier_versions_did_not_have_are_told_only_if_they_differ() -> None:
    assert "vote_by" not in JudgeSettings().describe()
    sampling = SamplingParams(temperature=1.0, num_samples=4)
    assert JudgeSettings(stop_votes=1.0, sampling=sampling).describe()["stop_votes"] == 1.0


def test_a_run_without_the_probabilities_that_were_to_decide_has_no_answers() -> None:
    sampling = SamplingParams(temperature=1.0, num_samples=2, verdict_logprobs=True)
    settings = JudgeSettings(order="given", sampling=sampling, vote_by="probability")
    judge = GenerativeJudge(ScriptedEngine(script, "silent"), load_family("direct"), settings)
    tally = Tally()
    for _, judgment in judge.run(make_pairs(4)):
        assert judgment.problem == "no_probability"
        tally.add(judgment)
    assert is_unanswered(tally.items, tally.problems)
