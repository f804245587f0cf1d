"""Both teachers write the real protocol; one is always right, one about three times of four."""

from __future__ import annotations

from collections import Counter

import pytest

from rmr1.prompts import render_prompt
from rmr1.records import Order
from rmr1.verdicts import RULES, parse_verdict
from rmr1.verdicts.grounding import is_grounded
from rmr1.world import (
    FAMILIES,
    WorldItem,
    anchored_trace,
    fallible_trace,
    oracle_trace,
    sample_pairs,
    teacher_trace,
)
from rmr1.world.arithmetic import Step
from rmr1.world.items import ChatAnswer, ChatWork, Criterion, Family, ReasoningWork
from rmr1.world.oracle import read_work, write_reading
from rmr1.world.stories import Story

Items = dict[str, tuple[WorldItem, ...]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ["given", "swapped"])
def test_the_oracle_is_right_and_quotes_what_stands_there(
    world_items: Items, family: Family, order: Order
) -> None:
    for item in world_items[family]:
        text = oracle_trace(item, order)
        shown = item.pair if order == "given" else item.pair.swap()
        verdict = parse_verdict(text)
        assert verdict.winner == shown.label
        trace = verdict.trace
        assert trace.task_type == ("reasoning" if family == "Reasoning" else "chat")
        if family == "Reasoning":
            assert trace.solution and not trace.rubric
        else:
            weights = [one.weight for one in trace.rubric]
            assert len(weights) >= 2 and trace.justification
            assert sum(weight for weight in weights if weight is not None) == pytest.approx(1)
        if family != "Chat":
            assert {quote.side for quote in trace.quotes} == {"A", "B"}
        for quote in trace.quotes:
            response = shown.response_a if quote.side == "A" else shown.response_b
            assert is_grounded(quote.text, response[0].text)
            assert len(quote.text.split()) >= 3 and quote.text in response[0].text


def test_all_rules_that_know_the_form_read_the_verdict(world_items: Items) -> None:
    for family in FAMILIES:
        for item in world_items[family][:100]:
            text = oracle_trace(item)
            for rule in ("tagged", "tail", "published", "arena"):
                assert rule in RULES and parse_verdict(text, rule).winner == item.pair.label


def test_traces_and_prompts_stay_short(world_items: Items) -> None:
    """A small model reads them: the means are what docs/world.md says, the tails have a bound."""
    prompts, traces = [], []
    for items in world_items.values():
        for item in items:
            pair = item.pair
            texts = [message.text for message in (*pair.prompt, *pair.response_a, *pair.response_b)]
            prompts.append(sum(len(text.split()) for text in texts))
            traces.append(len(oracle_trace(item).split()))
            assert "expected" in oracle_trace(item)
    assert sum(prompts) / len(prompts) < 90 and max(prompts) < 220
    assert sum(traces) / len(traces) < 80 and max(traces) < 140


STORY = Story(
    steps=2,
    turns=("Mia has 4 pears. Mia buys 3 more. Mia gives 2 to Tom. How many pears does Mia have now?",),
    cores=None,  # type: ignore[arg-type]
    start=4,
    operations=(Step("+", 3), Step("-", 2)),
)


def test_a_reasoning_judgment_by_hand() -> None:
    work = ReasoningWork(problem=STORY, quotes=("Mia has 7 pears", "The answer is 5"), claims=("7", "5"))
    reading = read_work(work, (1, 0))
    assert reading.totals() == (1, 0)
    assert write_reading(reading, "A") == (
        "<type>Reasoning</type>\n\n<solution>\n4 + 3 = 7\n7 - 2 = 5\nanswer 5\n</solution>\n\n<eval>\n"
        "<quote_A>The answer is 5</quote_A> 5, expected 5 right\n"
        "<quote_B>Mia has 7 pears</quote_B> 7, expected 5 wrong\n</eval>\n\n<answer>[[A]]</answer>"
    )


def test_a_chat_judgment_by_hand() -> None:
    work = ChatWork(
        criteria=(
            Criterion(kind="length", target="at most 2", points=3),
            Criterion(kind="mention", target="pear", points=5),
            Criterion(kind="tone", target="casual", points=2),
        ),
        answers=(
            ChatAnswer(
                tone="casual",
                tone_quote="Hey folks, tea and",
                noun="plum",
                noun_quote="Guests should bring a plum",
                sentence_starts=("Hey", "Guests"),
                layout="plain",
            ),
            ChatAnswer(
                tone="formal",
                tone_quote="Dear guests, everyone needs",
                noun="pear",
                noun_quote="everyone needs a pear there",
                sentence_starts=("Dear", "Parking", "Tea"),
                layout="bullets",
            ),
        ),
    )
    assert work.totals() == (5, 5)
    reading = read_work(work, (0, 1))
    assert write_reading(reading, "B") == (
        "<type>Chat</type>\n\n<rubric>\n1. At most 2 sentences (30%)\n2. Mentions pear (50%)\n"
        "3. Casual tone (20%)\n<justify>the thing to mention matters most</justify>\n</rubric>\n\n<eval>\n"
        "<summary_A>1 Hey 2 Guests</summary_A> 2, expected at most 2 yes 3\n"
        "<quote_A>Guests should bring a plum</quote_A> plum, expected pear no 3\n"
        "<quote_A>Hey folks, tea and</quote_A> casual, expected casual yes 5\n"
        "<summary_B>1 Dear 2 Parking 3 Tea</summary_B> 3, expected at most 2 no 0\n"
        "<quote_B>everyone needs a pear there</quote_B> pear, expected pear yes 5\n"
        "<quote_B>Dear guests, everyone needs</quote_B> formal, expected casual no 5\n"
        "A 5, B 5\n</eval>\n\n<answer>[[B]]</answer>"
    )


def test_the_fallible_teacher_is_right_about_three_times_of_four() -> None:
    right: Counter[object] = Counter()
    seen: Counter[object] = Counter()
    flaws: Counter[str | None] = Counter()
    for item in sample_pairs(8, 3000):
        judgment = fallible_trace(item, 1)
        verdict = parse_verdict(judgment.text)
        assert verdict.winner == judgment.winner and verdict.problem is None
        assert judgment == fallible_trace(item, 1)
        if judgment.flaw is None:
            assert judgment.text == oracle_trace(item)
        flaws[judgment.flaw] += 1
        facts = item.facts
        for key in ("all", facts.style_class, (facts.family, facts.steps)):
            seen[key] += 1
            right[key] += judgment.winner == item.pair.label
    rates = {key: right[key] / seen[key] for key in seen}
    assert 0.72 < rates["all"] < 0.79
    assert rates["hard"] + 0.2 < rates["normal"]
    assert rates["Reasoning", 5] + 0.1 < rates["Reasoning", 3] + 0.05 < rates["Reasoning", 1]
    assert set(flaws) == {
        None, "same_mistake", "own_slip", "style", "misread", "miscount", "weights", "caution", "trust"
    }  # fmt: skip


def test_the_corrected_teachers_wrong_verdicts_are_written_anew() -> None:
    kinds: Counter[str] = Counter()
    for item in sample_pairs(8, 400):
        judgment, corrected = fallible_trace(item, 1), teacher_trace(item, "corrected", 1)
        assert teacher_trace(item, "fallible", 1) == judgment.text
        assert parse_verdict(corrected).winner == item.pair.label
        if judgment.winner == item.pair.label:
            assert corrected == judgment.text
            kinds["flawed but right" if judgment.flaw else "right"] += 1
        else:
            assert corrected == teacher_trace(item, "oracle") != judgment.text
            kinds["anew"] += 1
    assert all(kinds[kind] > 20 for kind in ("right", "flawed but right", "anew"))


def test_the_fallible_teacher_reads_the_order_it_is_shown() -> None:
    for item in sample_pairs(9, 200):
        prompt = render_prompt(item.pair, "rubric", order="swapped").messages[-1].text
        judgment = fallible_trace(item, 2, "swapped")
        for quote in parse_verdict(judgment.text).trace.quotes:
            start = prompt.index(f"[The Start of Chatbot {quote.side}") if len(item.pair.prompt) == 1 else 0
            assert quote.text in prompt[start:]


def test_the_anchored_teacher_errs_by_one_habit_alone() -> None:
    right: Counter[object] = Counter()
    seen: Counter[object] = Counter()
    for item in sample_pairs(8, 2000):
        facts = item.facts
        for order, first in (("given", 0), ("swapped", 1)):
            judgment = anchored_trace(item, 1, order)
            winner = parse_verdict(judgment).winner
            is_right = (winner == "A") == (facts.best == first)
            is_long = facts.family == "Reasoning" and facts.steps >= 3
            seen[is_long, facts.best == first] += 1
            right[is_long, facts.best == first] += is_right
            # What stands before the verdict is right in any case.
            assert judgment.split("<answer>")[0] == oracle_trace(item, order).split("<answer>")[0]
        assert teacher_trace(item, "anchored", 1) == anchored_trace(item, 1)
    for kind in ((False, True), (False, False), (True, True)):
        assert right[kind] == seen[kind] > 200
    assert 0.15 < right[True, False] / seen[True, False] < 0.25
