"""What a judgment's texts can be held to, counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rmr1.audit.evidence import (
    Solutions,
    Sums,
    count_solutions,
    count_sums,
    count_twins,
    find_twins,
    share_agreeing,
)
from rmr1.audit.facts import tell_facts
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem, Vote

PAIR = PreferencePair(
    id="1",
    prompt=(user("How many?"),),
    response_a=(assistant("Let me see. I count 14 whistles."),),
    response_b=(assistant("It is **15** whistles."),),
    label="A",
)
CRITERIA = (RubricItem(text="Is it true?", weight=0.6), RubricItem(text="Is it short?", weight=0.4))


def vote(
    text: str, order: Order = "given", *, criteria: int = 0, rule: str = "tagged", sample: int = 0
) -> Vote:
    said = Generation(text=text, finish_reason="stop")
    return cast_vote(said, order=order, sample=sample, rule=rule, num_criteria=criteria)


def judge(*votes: Vote, criteria: Sequence[RubricItem] = ()) -> Judgment:
    return conclude(PAIR, votes, family="rubric", rule="tagged", criteria=criteria)


def solve(result: object, winner: str, order: Order = "given") -> Vote:
    return vote(f"<solution>6 + 8\nanswer {result}</solution><answer>[[{winner}]]</answer>", order)


def test_a_verdict_is_held_against_the_solution_in_the_frame_of_the_pair() -> None:
    both = judge(solve(14, "A"), solve(14, "A", "swapped"))  # the second names the pair's B
    assert count_solutions(both) == Solutions(checked=2, denied=1)
    assert count_solutions(judge(solve(15, "A", "swapped"))) == Solutions(1, 0)


def test_a_solution_is_only_checked_if_it_is_that_of_one_answer_and_there_is_a_verdict() -> None:
    assert count_solutions(judge(solve(13, "A"), solve("unknown", "A"), solve(14, "C"))) == Solutions(0, 0)
    same = PreferencePair(id="2", prompt=PAIR.prompt, response_a=PAIR.response_a, response_b=PAIR.response_a)
    judgment = conclude(same, [solve(14, "A")], family="rubric", rule="tagged")
    assert count_solutions(judgment) == Solutions(0, 0)


def test_without_a_block_what_is_marked_before_an_answer_is_named_is_the_solution() -> None:
    text = "My own answer:\n\n**14**\n\nAssistant A is right with 14; it is not #### 15.\n[[{}]]"
    assert count_solutions(judge(vote(text.format("A>B"), rule="arena"))) == Solutions(1, 0)
    assert count_solutions(judge(vote(text.format("B>A"), rule="arena"))) == Solutions(1, 1)
    loose = "It may be 14. Assistant A is right. [[A>B]]"
    assert count_solutions(judge(vote(loose, rule="arena"))) == Solutions(0, 0)
    unnamed = "**14**\n[[A>B]]"  # what is said before an answer is named is not known to be all of it
    assert count_solutions(judge(vote(unnamed, rule="arena"))) == Solutions(0, 0)


def score(a: Sequence[int], b: Sequence[int], winner: str, order: Order = "given") -> Vote:
    tags = "".join(
        f"<score_{n}>A: {x}, B: {y}</score_{n}>" for n, (x, y) in enumerate(zip(a, b, strict=True), start=1)
    )
    return vote(f"<eval>{tags}</eval><answer>[[{winner}]]</answer>", order, criteria=len(a))


def test_weighted_sums_are_held_against_verdicts() -> None:
    # 0.6 * 8 + 0.4 * 5 = 6.8 against 0.6 * 5 + 0.4 * 5 = 5: for A; without the first criterion it is level.
    assert count_sums(judge(score([8, 5], [5, 5], "A"), criteria=CRITERIA)) == Sums(1, 0, 2, 1, 1, 1)
    # For A with and without either.
    assert count_sums(judge(score([8, 6], [5, 5], "A"), criteria=CRITERIA)) == Sums(1, 0, 2, 0, 1, 0)
    # In a swapped prompt the first is the pair's B, and so is the verdict.
    assert count_sums(judge(score([8, 6], [5, 5], "A", "swapped"), criteria=CRITERIA)) == Sums(
        1, 0, 2, 0, 1, 0
    )
    assert count_sums(judge(score([8, 6], [5, 5], "B", "swapped"), criteria=CRITERIA)) == Sums(
        1, 1, 2, 0, 0, 0
    )
    level = judge(score([6, 6], [6, 6], "A"), criteria=CRITERIA)
    assert count_sums(level) == Sums(0, 0, 2, 2, 0, 0)


@pytest.mark.parametrize(
    ("line", "winner", "found"),
    [
        ("A 3, B 10", "B", (1, 0)),
        ("A 3, B 10", "A", (1, 1)),
        ("**Total:** A = 7.5, B = 8", "B", (1, 0)),
        ("Weighted score: Response A: 8/10 | Response B: 6/10", "A", (1, 0)),
        ("A 5, B 5", "A", (0, 0)),
        ("A has 3 mistakes, B has 10 of them", "A", (0, 0)),
        ("<quote_A>A 10, B 0</quote_A>", "A", (0, 0)),  # the answer's words
        ("<quote_A>so:\nA 10, B 0\nit is</quote_A>", "A", (0, 0)),
        ("A 10, B 0" + "\nand more" * 5, "A", (0, 0)),  # too far from the end
    ],
)
def test_totals_of_an_own_rubric(line: str, winner: str, found: tuple[int, int]) -> None:
    text = f"<rubric>\n1. True (60%)\n2. Short (40%)\n</rubric><eval>first\n{line}\n</eval><answer>[[{winner}]]</answer>"
    assert count_sums(judge(vote(text)))[:2] == found
    assert count_sums(judge(vote(text.replace("rubric>", "justify>"))))[:2] == (0, 0)


def test_twins() -> None:
    assert find_twins(("Factual accuracy", "Clear words", "factual accuracy.", "Accuracy")) == {2}
    assert find_twins(()) == frozenset()
    twice = (*CRITERIA, RubricItem(text="is it TRUE", weight=0.1))
    assert count_twins(judge(score([1, 1, 1], [1, 1, 1], "A"), criteria=twice)) == 1


def test_votes_of_the_same_prompt_are_compared_in_pairs() -> None:
    plain = [vote(f"<answer>[[{winner}]]</answer>", sample=number) for number, winner in enumerate("AAB")]
    assert share_agreeing(judge(*plain)) == pytest.approx(2 / 6)
    mixed = [*plain, vote("<answer>[[A]]</answer>", "swapped"), vote("none", "swapped")]
    assert share_agreeing(judge(*mixed)) == pytest.approx(2 / 6)
    assert share_agreeing(judge(plain[0], vote("<answer>[[B]]</answer>", "swapped"))) is None


def test_facts_have_all_of_it() -> None:
    found = tell_facts("k", judge(solve(14, "A", "swapped")))
    assert (found.solutions, found.solutions_denied, found.shown_first) == (1, 1, "B")
    assert (found.refuses_a, found.refuses_b, found.vote_agreement) == (False, False, None)
    assert tell_facts("k", judge(solve(14, "A"), solve(14, "A", "swapped"))).shown_first is None


@pytest.mark.parametrize(
    "piece", ["<quote_A>", "A 1, B 2\n", "1. True (1%)\n", "**", "(A) ", "score " * 3 + "A "]
)
def test_hostile_texts_take_no_time(piece: str) -> None:
    text = f"<rubric>\n1. True\n2. Short\n{piece * 3000}</rubric><eval>{piece * 10_000}</eval><answer>[[A]]</answer>"
    long = PreferencePair(
        id="1",
        prompt=(user(piece * 9000),),
        response_a=(assistant(piece * 9000),),
        response_b=(assistant("7"),),
    )
    tell_facts("k", conclude(long, [vote(text)], family="rubric", rule="tagged"))
