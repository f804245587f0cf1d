"""One flat record of a judgment, in the pair's frame."""

from __future__ import annotations

from dataclasses import fields, replace
from math import log

import pytest

from rmr1.audit.columns import Gathering, choose_type, kind_of
from rmr1.audit.facts import Facts, list_kinds, tell_facts
from rmr1.audit.filters import has_flipped, winner_confidence
from rmr1.audit.markdown import count_marks
from rmr1.errors import ConfigError
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem, Vote
from rmr1.store.codec import dump_record
from rmr1.store.rulings import ruling_of

PAIR = PreferencePair(
    id="seven",
    prompt=(user("How?"),),
    response_a=(assistant("# Steps\n- **Wash** it\n- Dry it"),),
    response_b=(assistant("Paint it green."),),
    label="A",
    source="world",
    subset="Chat",
)


def vote(letter: str, order: Order = "given", *quotes: str, p: float | None = None) -> Vote:
    marked = "".join(f"<quote_{side}>{text}</quote_{side}>" for side, text in zip("AB", quotes, strict=False))
    text = (
        f"<type>Chat</type><rubric>\n1. Kind (60%)\n2. True (40%)\n</rubric><eval>{marked}</eval>"
        f"<answer>[[{letter}]]</answer>"
    )
    logprobs = None if p is None else (("A", log(p)), ("B", log(1 - p)))
    said = Generation(
        text=text, finish_reason="stop", model="m", verdict_logprobs=logprobs, prompt_tokens=10, completion_tokens=4
    )  # fmt: skip
    return cast_vote(said, order=order, sample=0, rule="tagged")


def judge(*votes: Vote, pair: PreferencePair = PAIR) -> Judgment:
    judgment = conclude(pair, list(votes), family="rubric", rule="tagged")
    return replace(judgment, prompt_tokens=20, completion_tokens=8, seconds=1.5)


def test_every_fact_of_a_judgment_in_both_orders_is_in_the_frame_of_the_pair() -> None:
    both = judge(
        vote("A", "given", "Dry it", "paint it  green", p=0.9),
        vote("A", "swapped", "Paint it", "made up", p=0.7),
    )
    found = tell_facts("k" * 32, both)
    assert (found.key, found.id, found.source, found.subset) == ("k" * 32, "seven", "world", "Chat")
    assert (found.family, found.task_type, found.kind, found.model) == ("rubric", "chat", "pair", "m")
    assert (found.winner, found.label, found.is_right, found.problem) == (None, "A", False, "split_vote")
    assert (found.given, found.swapped, found.has_flipped) == ("A", "B", True)
    assert found.probability == pytest.approx((0.9 + 0.3) / 2)
    assert (found.confidence, found.agreement, found.num_votes) == (None, None, 2)
    assert (found.quotes_exact, found.quotes_levelled, found.quotes_invented) == (2, 1, 1)
    assert (found.num_criteria, found.has_failed, found.is_calibrated) == (2, False, False)
    assert (found.length_a, found.length_b) == (30, 15)
    assert (found.marks_a, found.marks_b) == (4, 0)
    assert (found.prompt_tokens, found.completion_tokens, found.seconds) == (20, 8, 1.5)
    assert found.prompt == ruling_of(both).prompt
    assert dump_record(PAIR)["prompt"]  # what the number is made of


def test_agreement_is_the_share_of_all_votes() -> None:
    votes = [vote("A"), vote("A"), vote("B"), vote("C")]
    found = tell_facts("k", judge(*votes))
    assert (found.winner, found.agreement, found.num_votes) == ("A", 0.5, 4)
    assert (found.given, found.swapped, found.has_flipped) == (None, None, None)


def test_confidence_is_that_of_the_filters_and_so_are_flips() -> None:
    for judgment in (judge(vote("B", p=0.2)), judge(vote("A"), vote("B", "swapped")), judge(vote("x"))):
        found = tell_facts("k", judgment)
        assert found.confidence == winner_confidence(judgment)
        assert bool(found.has_flipped) == has_flipped(judgment)
    assert tell_facts("k", replace(judgment, calibrated=0.4)).is_calibrated


def test_given_criteria_are_counted_before_those_of_the_text() -> None:
    given = (RubricItem(text="True?"),)
    assert tell_facts("k", replace(judge(vote("A")), criteria=given)).num_criteria == 1


def test_an_error_and_an_unlabelled_pair() -> None:
    said = Generation(text="", finish_reason="error", error="busy")
    failed = judge(cast_vote(said, order="given", sample=0, rule="tagged"), pair=replace(PAIR, label=None))
    found = tell_facts("k", failed)
    assert (found.has_failed, found.is_right, found.problem) == (True, None, "generation_failed")
    assert (found.task_type, found.model, found.num_criteria) == (None, None, 0)


def test_marks_are_headings_items_and_bold() -> None:
    assert count_marks("plain * text # here 2 * 3 * 4") == 0
    assert count_marks("## a\n\n1. b\n2) c\n+ d\n\n__e__ and **f**") == 6


def test_every_field_has_a_kind() -> None:
    kinds = list_kinds()
    assert list(kinds) == [one.name for one in fields(Facts)]
    assert [kinds[name] for name in ("key", "subset", "is_right", "seconds", "prompt")] == [
        *("text", "name", "flag", "number", "count")
    ]
    assert choose_type("prompt").itemsize == 8 and choose_type("has_flipped").itemsize == 1
    with pytest.raises(ConfigError, match="'key' is no column; there are source, "):
        kind_of("key")


def test_what_is_gathered_is_what_was_told() -> None:
    gathering = Gathering(("subset", "is_right", "confidence", "length_a"))
    told = [
        tell_facts(str(number), judge(vote("AB"[number % 2], p=0.6), pair=replace(PAIR, subset=f"s{number % 300}")))
        for number in range(600)
    ]  # fmt: skip
    for one in [*told, tell_facts("x", judge(vote("x"), pair=replace(PAIR, subset=None, label=None)))]:
        gathering.add(one)
    columns = gathering.columns()
    codes = columns.numbers["subset"]
    assert [columns.names["subset"][code] for code in codes[:-1]] == [one.subset for one in told]
    assert codes[-1] == -1 and columns.numbers["is_right"].tolist() == [1, 0] * 300 + [-1]
    assert columns.numbers["confidence"][0] == told[0].confidence
    assert columns.numbers["confidence"][-1] != columns.numbers["confidence"][-1]  # not a number
    assert columns.take(codes == 5).numbers["length_a"].tolist() == [30, 30]
    assert columns.is_named("subset", "s5").sum() == 2 and not columns.is_named("subset", "none").any()
    assert columns.count_names("subset")["s7"] == 2 and columns.count_names("subset")[None] == 1
