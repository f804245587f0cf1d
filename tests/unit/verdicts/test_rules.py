"""The parser: the table of texts, its properties, its time, and recorded outputs of real judges."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1.errors import ConfigError
from rmr1.records import PROBLEMS, Verdict, swap_label
from rmr1.verdicts import RULES, parse_verdict
from tests.unit.verdicts.judge_texts import CASES, Case

SECONDS_PER_MEGABYTE = 15.0
"""Several times what the slowest text takes; a quadratic walk takes hours."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")
def test_table(case: Case) -> None:
    assert parse_verdict(case.text, case.rule, case.labels, case.truncated) == case.verdict


def test_table_names_are_unique_and_every_rule_is_in_it():
    assert len({(case.rule, case.name) for case in CASES}) == len(CASES)
    assert {case.rule for case in CASES} == set(RULES)


def test_problems_of_the_text_rules_are_all_in_the_table():
    of_other_stages = {
        "generation_failed",
        "prompt_too_long",
        "split_vote",
        "no_probability",
        "abstained",
        "no_rubric",
    }
    assert {case.problem for case in CASES} - {None} == set(PROBLEMS) - of_other_stages


def test_default_rule_is_tagged_and_listed_first():
    assert tuple(RULES) == ("tagged", "tail", "published", "arena", "ratings")
    assert parse_verdict("<answer>[[b]]</answer>").winner == "B"
    assert parse_verdict("<answer>[[b]]</answer>", "tail").winner is None


def test_unknown_rule_names_the_rules():
    with pytest.raises(ConfigError, match="'last' is not known; choose one of tagged, tail, published"):
        parse_verdict("x", "last")


@pytest.mark.parametrize("labels", ["AB", ("A",), ("A", "A B"), ("A", "a"), ("A", "tie"), ("A", "")])
def test_unusable_labels(labels):
    with pytest.raises(ConfigError, match="label"):
        parse_verdict("x", labels=labels)


# Properties.

PIECES = (
    *("<answer>[[{a}]]</answer>", "<answer>{b}</answer>", "<answer>[[{a}", "<ANSWER> [[{b}]] </ANSWER>"),
    *("<answer>", "</answer>", "<think>", "</think>", "[[{a}]]", "[[{b}]]", "[[tie]]", "[[C]]", "[["),
    *("<quote_{a}>", "</quote_{a}>", "<summary_{b}>x</summary_{b}>", "<quote_{b}>y", "<eval>", "</eval>"),
    *("[[{a}>>{b}]]", "[[{b}>{a}]]", "[[{a}={b}]]", "[[{a}<{b}]]", "[[{a}>{a}]]", "<type>Chat</type>"),
    *("<rubric>", "</rubric>", "1. Tone (40%)\n", "- 30%", "<justify>", "</justify>", "<solution>"),
    *("Assistant {a}: 8\n", "Assistant {b}: 9/10\n", "Assistant {b}: 7\n", "{a}: 6\n", "\n", " ", "prose"),
)
ESCAPED = ["<\\answer>[\\[A]]<\\/answer>", "[\\[B]]", "[\\[A>>B]]", "<\\think>", "<\\/think>", "<\\quote_A>"]
pieces = st.lists(st.sampled_from(PIECES), max_size=14)
anything = st.one_of(
    st.text(max_size=200),
    st.text(alphabet=st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010), max_size=20),
    st.text(alphabet="<>[]/AB_answerthinkquote10%(. \n-|=", max_size=200),
    pieces.map(lambda parts: "".join(parts).format(a="A", b="B")),
)
rules = st.sampled_from(tuple(RULES))


@given(
    text=anything, rule=rules, truncated=st.booleans(), labels=st.sampled_from([("A", "B"), ("1", "2", "3")])
)
@settings(max_examples=400, deadline=None)
def test_never_raises_and_no_winner_means_a_problem(text, rule, truncated, labels):
    verdict = parse_verdict(text, rule, labels, truncated)
    assert (verdict.winner is None) == (verdict.problem is not None)
    assert verdict.problem is None or verdict.problem in PROBLEMS
    assert verdict.winner in {None, "tie", *labels}
    assert all(quoted.side in labels for quoted in verdict.trace.quotes + verdict.trace.summaries)


@given(parts=pieces, rule=rules)
@settings(max_examples=400, deadline=None)
def test_swapping_the_sides_in_the_text_swaps_the_verdict(parts, rule):
    template = "".join(parts)
    given_, swapped = (parse_verdict(template.format(a=a, b=b), rule) for a, b in (("A", "B"), ("B", "A")))
    assert swapped.winner == swap_label(given_.winner)
    assert (swapped.problem, swapped.strength) == (given_.problem, given_.strength)
    assert swapped.ratings == (given_.ratings and given_.ratings[::-1])
    assert [swap_label(quote.side) for quote in swapped.trace.quotes] == [
        quote.side for quote in given_.trace.quotes
    ]


@given(parts=pieces, rule=st.sampled_from(["tagged", "published", "arena"]), escaped=st.sampled_from(ESCAPED))
@settings(max_examples=300, deadline=None)
def test_escaped_tokens_change_nothing(parts, rule, escaped):
    # A closed tag first, so that no part of the text ends in an open answer.
    text = "".join(parts).format(a="A", b="B") + "\n<answer>[[A]]</answer>\n"
    plain, more = parse_verdict(text + "end", rule), parse_verdict(text + escaped + "end", rule)
    assert (more.winner, more.problem) == (plain.winner, plain.problem)
    assert more.trace.rubric == plain.trace.rubric and more.trace.task_type == plain.trace.task_type


@given(text=anything)
@settings(max_examples=300, deadline=None)
def test_tail_and_published_agree_with_their_one_line_form(text):
    a, b = ("<answer>[[A]]</answer>" in text[-80:], "<answer>[[B]]</answer>" in text[-80:])
    assert parse_verdict(text, "tail").winner == (None if a == b else "A" if a else "B")
    a, b = ("[[A]]" in text, "[[B]]" in text)
    assert parse_verdict(text, "published").winner == (None if a == b else "A" if a else "B")


@given(parts=pieces)
@settings(max_examples=200, deadline=None)
def test_the_trace_does_not_depend_on_the_rule(parts):
    text = "".join(parts).format(a="A", b="B")
    assert len({parse_verdict(text, rule).trace for rule in RULES}) == 1


def test_lone_surrogates_and_look_alike_letters():
    assert parse_verdict("\ud800<answer>[[A]]</answer>\udfff").winner == "A"
    assert parse_verdict("<an\u017fwer>[[A]]</an\u017fwer>").trace.thinking is None
    assert parse_verdict("<thin\u212a>[[A]]").winner == "A"  # no tag, so nothing is unclosed
    assert parse_verdict("<answer>[[\u0391]]</answer>").problem == "malformed_verdict"  # Greek Alpha


# Time.

HOSTILE = (
    *("<answer>", "</answer>", "<answer>[[A]]</answer>", "[[", "]]", "[[A", "[[A>B]]", "[[   ", "<", "< / "),
    *("<think>", "</think>", "<quote_A>", "</quote_A>", "<quote_A>x<summary_B>"),
    *(
        "<summary_A><quote_A>x</quote_A>",
        "<rubric>",
        "<justify>x</justify>",
        "<eval> ",
        "7",
        "9 ",
        "1.",
        "- ",
    ),
    *("| a | 3% |\n", "(weight ", "weight: ", "<item weight='3'>a", "scores are (1 ", "Assistant 1: 8\n"),
    *("\n", " ", "**", "<|x|>", "40% - "),
)
WRAPPINGS = ["{}", "<answer>{}", "<rubric>- {}</rubric>"]


def parse_seconds(text: str) -> float:
    started = time.process_time()
    for rule in ("tagged", "ratings"):
        assert parse_verdict(text, rule).problem in {None, *PROBLEMS}
    return time.process_time() - started


@pytest.mark.parametrize("unit", HOSTILE)
def test_time_is_linear_in_a_repeated_unit(unit):
    for wrapping in WRAPPINGS:
        assert parse_seconds(wrapping.format(unit * (100_000 // len(unit)))) < 2 * SECONDS_PER_MEGABYTE / 10


@pytest.mark.parametrize(
    "unit", ["<answer>", "[[", "<think>", "<quote_A>", "7", "- ", "- 1\n", "<rubric><justify>"]
)
def test_a_megabyte_takes_seconds(unit, soak):
    text = "<rubric>" + unit * (1_000_000 // len(unit))
    started = time.process_time()
    parse_verdict(text)
    assert time.process_time() - started < SECONDS_PER_MEGABYTE
    if soak:
        half = text[: len(text) // 2]
        assert parse_seconds(text) < 4 * parse_seconds(half) + 1


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<eval>", "</eval>"),
        ("<rubric>", "</rubric>"),
        ("<think>", "</think>"),
        ("<quote_A>", "</quote_A>"),
        ("<summary_A><quote_A>", "</quote_A></summary_A>"),
        ("<rubric><justify>", "</justify></rubric>"),
    ],
)
def test_deep_nesting_is_linear(opening, closing):
    depth = 200_000 // len(opening + closing)
    assert parse_seconds(opening * depth + closing * depth) < 2 * SECONDS_PER_MEGABYTE / 5


# Recorded outputs.


def read_lines(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.shared
@pytest.mark.parametrize("rule", ["tagged", "tail", "published", "arena", "ratings"])
def test_truncated_judge_texts_have_no_verdict(shared, rule):
    rows = read_lines(shared / "data/rewardbench/truncated_judge_texts.jsonl.gz")
    assert len(rows) == 2985
    verdicts = [parse_verdict(row["text"], rule) for row in rows]
    expected = "no_ratings" if rule == "ratings" else "no_verdict"
    assert {(verdict.winner, verdict.problem) for verdict in verdicts} == {(None, expected)}
    assert parse_verdict(rows[0]["text"], rule, truncated=True).problem == "truncated"


@pytest.mark.shared
@pytest.mark.parametrize("rule", ["tagged", "tail", "published"])
def test_published_judgments_come_out_as_recorded(shared, rule):
    logs = [
        row
        for path in (shared / "data/rm-r1-published").rglob("log_result/*logs.json")
        if not path.name.startswith("group")
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    assert len(logs) == 8
    for row in logs:
        verdict = parse_verdict(row["answers"], rule)
        chosen = "B" if row["Is_Chosen_Answer_Shuffled_toPositionB"] else "A"
        assert verdict.winner is not None
        assert (verdict.winner == chosen) == (row["results"] == 1)
        assert verdict.trace.thinking is not None and verdict.trace.thinking.startswith("Okay, so I need")


@pytest.mark.shared
def test_demo_outputs_are_read_in_full(shared):
    instruct, distilled = json.loads(
        (shared / "data/rm-r1-published/demo_outputs.json").read_text(encoding="utf-8")
    )
    trace = parse_verdict(instruct["text"]).trace
    assert trace.task_type == "chat"
    assert [item.weight for item in trace.rubric] == [0.4, 0.3, 0.2, 0.1]
    assert [item.text.split(":")[0] for item in trace.rubric] == [
        "Comprehensiveness of information",
        "Practicality and usefulness",
        "Organization and clarity",
        "Additional value",
    ]
    assert [quote.side for quote in trace.quotes] == list("ABABABA")
    assert [summary.side for summary in trace.summaries] == list("ABABABA")
    assert trace.thinking is None
    verdict = parse_verdict(distilled["text"])
    assert verdict.winner == "A" and verdict.trace.rubric == () and verdict.trace.thinking is not None


WINNERS = {"A>B": "A", "B>A": "B", "A=B": "tie", None: None, "A>A": None}


@pytest.mark.shared
@pytest.mark.parametrize(("kind", "files", "texts"), [("arena_hard", 5, 1660), ("skywork_critic", 1, 20)])
def test_arena_agrees_with_judgebench_decisions(shared, kind, files, texts):
    """ "A>A" is the one decision that names no winner; ours calls it malformed."""
    paths = sorted((shared / "data/judge-outputs/judgebench").glob(f"*__{kind}__*"))
    judgments = [game for path in paths for row in read_lines(path) for game in row["judgments"]]
    assert (len(paths), len(judgments)) == (files, texts)
    for game in judgments:
        verdict = parse_verdict(game["judgment"]["response"] or "", "arena")
        assert verdict.winner == WINNERS[game["decision"]]
        if game["decision"] == "A>A":
            assert verdict.problem == "malformed_verdict"


@pytest.mark.shared
def test_ratings_agree_with_recorded_scores(shared):
    rows = read_lines(shared / "data/judge-outputs/vicuna-blog/reviews.jsonl.gz")
    differing = [
        (row["score"], parse_verdict(row["text"], "ratings").ratings)
        for row in rows
        if parse_verdict(row["text"], "ratings").ratings != tuple(map(float, row["score"]))
    ]
    # Two records say 2 where the text says "Assistant 2: 4".
    assert len(rows) == 320 and differing == [([10, 2], (10.0, 4.0))] * 2
    rows = read_lines(shared / "data/judge-outputs/judgelrm/results_judgelrm3b.jsonl.gz")
    results = {"A": "1", "B": "2", "tie": "0"}
    verdicts: list[Verdict] = [parse_verdict(row["output"], "ratings") for row in rows]
    assert len(rows) == 999
    assert [results.get(verdict.winner or "") for verdict in verdicts] == [str(row["result"]) for row in rows]
