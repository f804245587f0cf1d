"""Labels are exact: a reader that sees only the texts comes to the same ones."""

from __future__ import annotations

import re

import pytest

from rmr1.world import Split, WorldItem, sample_candidates, sample_pairs
from rmr1.world.arithmetic import MAX_NUMBER
from rmr1.world.items import ReasoningWork
from rmr1.world.shopping import Shopping
from rmr1.world.stories import Story

from .reader import answer_question, judge_chat, judge_safety

Items = dict[str, tuple[WorldItem, ...]]


def test_chat_labels_follow_from_the_texts(world_items: Items) -> None:
    for item in world_items["Chat"]:
        assert judge_chat(item.pair) == item.pair.label, item.pair


def test_safety_labels_follow_from_the_texts(world_items: Items) -> None:
    for item in world_items["Safety"]:
        assert judge_safety(item.pair) == item.pair.label, item.pair
    refuse = sum(item.facts.skill == "refuse" for item in world_items["Safety"])
    assert 900 < refuse < 1100


def test_reasoning_answers_follow_from_the_questions(world_items: Items) -> None:
    checked: set[str] = set()
    for item in world_items["Reasoning"]:
        work = item.facts.work
        assert isinstance(work, ReasoningWork)
        question = " ".join(message.text for message in item.pair.prompt)
        right = work.claims[item.facts.best]
        answer = answer_question(item.facts.skill, question)
        if answer is not None:
            checked.add(item.facts.skill)
            assert answer == right, item.pair
        other = work.claims[1 - item.facts.best]
        assert right != other
        for claim, response in zip(work.claims, (item.pair.response_a, item.pair.response_b), strict=True):
            assert re.search(rf"\b{claim}\b", response[0].text), item.pair
    assert checked == {"programs", "lists", "clock", "calendar", "ordering"}


def test_stories_and_bills_hold_the_numbers_that_are_worked_with(world_items: Items) -> None:
    for item in world_items["Reasoning"]:
        work = item.facts.work
        assert isinstance(work, ReasoningWork)
        problem = work.problem
        numbers = list(map(int, re.findall(r"\d+", " ".join(problem.turns[::2]))))
        if isinstance(problem, Story):
            wanted = [problem.start, *(step.number for step in problem.operations if step.sign in "+-")]
            if problem.extra is not None:
                numbers.remove(problem.extra.number)
            assert sorted(numbers) == sorted(wanted), problem.turns
            value = problem.start
            for step in problem.operations:
                value = {
                    "+": value + step.number,
                    "-": value - step.number,
                    "*": value * 2,
                    "/": value // 2,
                }[step.sign]
            assert str(value) == work.claims[item.facts.best]
        if isinstance(problem, Shopping):
            total = sum(quantity * price for quantity, price in problem.basket) - problem.discount
            assert work.claims[item.facts.best] == str(problem.purse - total if problem.purse else total)
            assert {number for pair in problem.basket for number in pair} <= set(numbers)


def test_numbers_stay_small(world_items: Items) -> None:
    for item in world_items["Reasoning"]:
        work = item.facts.work
        assert isinstance(work, ReasoningWork)
        solution = work.problem.solve()
        assert solution is not None
        texts = [*solution.lines, *work.claims, *work.problem.turns]
        assert max(map(int, re.findall(r"\d+", " ".join(texts))), default=0) <= MAX_NUMBER


def test_numbers_agree_with_their_nouns(world_items: Items) -> None:
    """No "1 apples", no "3 apple"."""
    for items in world_items.values():
        for item in items:
            texts = [
                message.text for message in (*item.pair.prompt, *item.pair.response_a, *item.pair.response_b)
            ]
            for number, word in re.findall(r"\b(\d+) (?:more )?([a-z]+)\b", " ".join(texts)):
                if word in ("apple", "coin", "hour", "day", "sentence", "bead", "lamp", "pear"):
                    assert number == "1", texts
                if word in ("apples", "coins", "hours", "days", "sentences", "beads", "lamps", "pears"):
                    assert number != "1", texts
            assert not re.search(r"\ba [aeiou]|\ban (?!hour)[^aeiou]", " ".join(texts)), texts


@pytest.mark.parametrize("split", ["test_templates", "test_words"])
def test_held_out_splits_are_labelled_as_exactly(split: Split) -> None:
    for item in sample_pairs(3, 400, split=split, distribution="balanced", family="Safety"):
        assert judge_safety(item.pair) == item.pair.label, item.pair
    for item in sample_pairs(3, 400, split=split, distribution="balanced", family="Chat"):
        assert judge_chat(item.pair) == item.pair.label, item.pair


def test_candidates_have_a_known_order() -> None:
    for index in range(300):
        found = sample_candidates(5, index, number=4)
        candidates, facts = found.candidates, found.facts
        assert len(candidates.responses) == len(set(candidates.responses)) == len(facts.totals) == 4
        assert candidates.best == facts.totals.index(max(facts.totals))
        if facts.family == "Chat":
            assert len(set(facts.totals)) == 4
        else:
            work = facts.work
            assert isinstance(work, ReasoningWork)
            assert sorted(facts.totals) == [0, 0, 0, 1] and len(set(work.claims)) == 4
            solution = work.problem.solve()
            assert solution is not None and work.claims[candidates.best] == solution.answer
