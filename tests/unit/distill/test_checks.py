"""What may be trained on: each check alone, in both frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rmr1.distill.checks import check_vote, check_votes
from rmr1.distill.items import Item
from rmr1.distill.recipe import SelectRecipe
from rmr1.judge.votes import cast_vote
from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import Generation, Order, PreferencePair, Vote
from tests.unit.distill.pairs import QUOTES, good_text

PAIR = PreferencePair(
    id="p",
    prompt=(user("Which flower?"),),
    response_a=(assistant(f"Here {QUOTES[0]}."),),
    response_b=(assistant(f"Here {QUOTES[1]}."),),
    label="A",
)


def make_item(order: Order = "given") -> Item:
    return Item(key="0" * 32, pair=PAIR, order=order)


def make_vote(text: str, *, order: Order = "given", sample: int = 0, **fields: Any) -> Vote:
    values = {"text": text, "finish_reason": "stop", "completion_tokens": 50, **fields}
    return cast_vote(Generation(**values), order=order, sample=sample, rule="tagged", labels=("A", "B"))


def reason_of(text: str, *, order: Order = "given", is_told: bool = False, **select: Any) -> str | None:
    fields = {
        key: select.pop(key) for key in ("finish_reason", "completion_tokens", "error") if key in select
    }
    item = make_item(order)
    vote = make_vote(text, order=order, **fields)
    prompt = render_prompt(PAIR, select.pop("family", "rubric"), order=order)
    return check_vote(vote, item, prompt, SelectRecipe(**select), is_told=is_told).reason


def test_a_good_text_passes_in_either_order() -> None:
    assert reason_of(good_text("A")) is None
    # In the swapped prompt the better answer is called B.
    assert reason_of(good_text("B", order="swapped"), order="swapped") is None
    assert reason_of(good_text("A", order="swapped"), order="swapped") == "wrong"
    # Quotations are looked up in the answer that the prompt calls so.
    assert reason_of(good_text("B", order="given"), order="swapped") == "quotes"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no_verdict"),
        ("I cannot help with that.", "no_verdict"),
        (good_text("B"), "wrong"),
        ("I like A. [[A]]", "format"),
        (good_text("A") + " Thanks!", "format"),
        (good_text("A").replace("<type>Chat</type>", ""), "format"),
        (good_text("A").replace("(100%)", "(70%)"), "rubric"),
        (good_text("A").replace("(100%)", ""), "rubric"),
        (good_text("A").replace("first answer", "best answer"), "quotes"),
        (good_text("A").replace("quote_", "summary_"), "quotes"),
    ],
)
def test_each_fault_has_its_reason(text: str, reason: str) -> None:
    assert reason_of(text) == reason


def test_quotations_of_escaped_text_are_found() -> None:
    pair = replace(PAIR, response_a=(assistant("Here <|im_end|> is\nUser: the <turn|> of roses."),))
    shown = "<\\|im_end|> is\n\\User: the <\\turn|>"
    for words, reason in ((shown, None), (shown.replace("\\", ""), None), (shown + " thorns", "quotes")):
        text = good_text("A").replace(QUOTES[0], words)
        item = Item(key="0" * 32, pair=pair, order="given")
        checked = check_vote(
            make_vote(text), item, render_prompt(pair, "rubric"), SelectRecipe(), is_told=False
        )
        assert checked.reason == reason, words


def test_faults_of_the_teacher_come_first() -> None:
    assert reason_of(good_text("A"), finish_reason="error", error="filtered") == "failed"
    assert reason_of("", finish_reason="skipped") == "prompt_too_long"
    assert reason_of(good_text("A")[:100], finish_reason="length") == "no_verdict"


def test_a_hint_matters_in_the_second_pass_only() -> None:
    text = good_text("A", words="The provided label is A.")
    assert reason_of(text) is None
    assert reason_of(text, is_told=True) == "hint"
    assert reason_of(text, is_told=True, hints=False) is None


def test_bounds_of_length() -> None:
    text = good_text("A")
    size = len(text)
    assert reason_of(text, min_chars=size, max_chars=size) is None
    assert reason_of(text, min_chars=size + 1) == "length"
    assert reason_of(text, max_chars=size - 1) == "length"
    assert reason_of(text, max_tokens=49) == "length"
    assert reason_of(text, max_tokens=50) is None


def test_quotations_may_be_asked_less_of() -> None:
    half = good_text("A").replace("first answer", "best answer")
    assert reason_of(half, quotes=0.5) is None
    none = good_text("A").replace("quote_", "summary_")
    assert reason_of(none, min_quotes=0) is None
    assert reason_of("<think>hm</think> <answer>[[A]]</answer>", family="reasoning") is None


def test_thinking_is_dropped_where_a_rubric_is_asked_and_kept_where_not() -> None:
    text = "<think>The provided label is A.</think>\n" + good_text("A")
    item, vote = make_item(), make_vote(text)
    rubric, reasoning = render_prompt(PAIR, "rubric"), render_prompt(PAIR, "reasoning")
    dropped = check_vote(vote, item, rubric, SelectRecipe(), is_told=True)
    assert (dropped.reason, dropped.text) == (None, good_text("A"))
    assert check_vote(vote, item, rubric, SelectRecipe(thinking="keep"), is_told=True).reason == "hint"
    assert check_vote(vote, item, reasoning, SelectRecipe(), is_told=False).text.startswith("<think>")


def test_the_best_of_several_has_most_quotations_then_is_shorter() -> None:
    more = good_text("A", words="<quote_A>about roses and</quote_A>".replace(" and", ""))
    long = good_text("A", words="One is better, as one can see at once.")
    short = good_text("A")
    third = good_text("A", words="<quote_A>answer is about roses</quote_A>")
    texts = [good_text("B"), long, short, third]
    votes = [make_vote(text, sample=number) for number, text in enumerate(texts)]
    prompt = render_prompt(PAIR)

    def kept(keep: str) -> int:
        return check_votes(votes, make_item(), prompt, SelectRecipe(keep=keep), is_told=False).sample

    assert [kept(one) for one in ("best", "first", "shortest", "longest")] == [3, 1, 2, 3]
    assert len(third) > len(long) > len(short)
    assert check_votes(votes[:3], make_item(), prompt, SelectRecipe(), is_told=False).sample == 2
    assert reason_of(more) is None  # two words count as a quotation, not as one of three words


def test_of_several_that_fail_the_one_that_came_furthest_is_reported() -> None:
    texts = [good_text("B"), good_text("A").replace("(100%)", "(70%)"), ""]
    votes = [make_vote(text, sample=number) for number, text in enumerate(texts)]
    found = check_votes(votes, make_item(), render_prompt(PAIR), SelectRecipe(), is_told=False)
    assert (found.reason, found.sample) == ("rubric", 1)
    assert found.is_told_apart and not found.is_wrong
    wrong = check_votes(votes[:1], make_item(), render_prompt(PAIR), SelectRecipe(), is_told=False)
    assert wrong.is_wrong and not wrong.is_told_apart


def test_a_pair_shown_in_both_orders_gives_the_same_reasons() -> None:
    """Exchanging the answers, the quotations and the verdict changes nothing."""
    for words in ("One is better.", "The provided label is A."):
        for winner in "AB":
            given = reason_of(good_text(winner, words=words), is_told=True)
            other = "B" if winner == "A" else "A"
            swapped = reason_of(good_text(other, order="swapped", words=words), order="swapped", is_told=True)
            assert given == swapped
    assert replace(PAIR, label="B").swap().label == "A"
