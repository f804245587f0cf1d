"""`Judge` as a notebook meets it: what it takes, the order of its results, its end, how a judgment reads."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rmr1 import ConfigError, DataError, GenerationError, Judge, Judgment, PreferencePair
from rmr1.judge.judge import judge_in_order
from rmr1.messages import Message, assistant, user
from rmr1.records import Generation, Trace, Vote
from rmr1.report.terminal import print_judgment
from rmr1.store.keys import format_key, item_digest
from rmr1.store.runs import RunWriter
from rmr1.verdicts import parse_verdict

ROW = {"prompt": "q", "chosen": "a longer answer", "rejected": "b"}


class Counting:
    """A judge that notes what it is asked, and finishes in another order: odd ones first, each fourth fails."""

    name = "counting"
    order = None

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.num_closed = 0

    def describe(self) -> dict[str, Any]:
        return {"model_name": self.name, "model": {}, "prompt": {}, "settings": {}}

    def run(
        self, pairs: Iterable[PreferencePair], *, run: RunWriter | None = None
    ) -> Iterator[tuple[str, Judgment]]:
        found = []
        for pair in pairs:
            self.asked.append(pair.id)
            key = format_key(item_digest(pair), 0)
            if run is None or not run.is_finished(key):
                found.append((key, pair))
        for key, pair in [*found[1::2], *found[::2]]:
            failed = pair.id.endswith("3")
            judgment = Judgment(
                pair=pair,
                family="none",
                rule="none",
                winner=None if failed else "A",
                problem="generation_failed" if failed else None,
            )
            if run is not None:
                run.append(key, judgment)
            yield key, judgment

    def close(self) -> None:
        self.num_closed += 1


def rows(number: int) -> list[dict[str, str]]:
    return [{**ROW, "prompt": f"q{at}"} for at in range(number)]


QUESTIONS = [
    "q",
    user("q"),
    [user("q")],
    {"role": "user", "content": "q"},
    [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
    ({"role": "user", "content": [{"type": "text", "text": "q"}]},),
    [{"from": "human", "value": "q"}],
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_compare_takes_messages(question: Any) -> None:
    judge = Judge("scripted:longer")
    found = judge.compare(question, "short", [{"role": "assistant", "content": "a longer answer"}])
    assert found.winner == "B"
    assert found.pair.prompt[-1].text == "q" and found.pair.prompt[-1].role == "user"
    assert found.pair.response_b == (assistant("a longer answer"),)


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {"prompt": "q", "response_a": "a longer answer", "response_b": "b", "label": "A"},
        {"instruction": "q", "chosen": "a longer answer", "rejected": "b"},
        {"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a longer answer"}],
         "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]},
    ],
    ids=str,
)  # fmt: skip
def test_compare_takes_a_row(row: Any) -> None:
    found = Judge("scripted:longer").compare(row)
    assert found.winner == "A" and found.correct and found.pair.prompt[-1].text == "q"


def test_compare_takes_a_pair_and_a_series() -> None:
    pair = PreferencePair(
        id="7", prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("bb"),)
    )
    assert Judge("scripted:longer").compare(pair).pair is pair
    pandas = pytest.importorskip("pandas")
    assert Judge("scripted:longer").compare(pandas.DataFrame([ROW]).iloc[0]).winner == "A"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((5, "a", "b"), "question is int; expected a text, or a list of messages"),
        ((None, "a", "b"), "question is None; expected"),
        (("q",), "a is None; expected"),
        (("q", "a"), "b is None; expected"),
        (("q", None, "b"), "a is None; expected"),
        (("q", math.nan, "b"), "a is NaN, an empty cell; expected"),
        (("", "a", "b"), "'question' is empty"),
        (("q", "a", " "), "'b' is empty"),
        (("q", ["a1", "a2"], "b"), "a is a list of 2 texts; expected"),
        (("q", [], "b"), "a is an empty list; expected"),
        (("q", b"a", "b"), "a is bytes; expected"),
        (("q", [user("x"), 5], "b"), "a is list; expected"),
        ((ROW, "a", "b"), "question is a row, which holds its answers itself"),
        (("q", ROW, "b"), "a is a row, which holds its answers itself"),
        (("q", {"role": "robot", "content": "x"}, "b"), "message 1 of 'a' has the role 'robot'"),
        (({"colour": "red"},), "row:1: "),
        (({**ROW, "chosen": math.nan},), "row:1: 'chosen' is empty"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named_before_anything_is_asked(arguments: tuple[Any, ...], told: str) -> None:
    inner = Counting()
    with pytest.raises(DataError) as caught:
        Judge(inner).compare(*arguments)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert inner.asked == []


@pytest.mark.parametrize("model", [7, ["scripted:longer"], {"model": "scripted:longer"}], ids=str)
def test_what_is_no_model_is_named(model: Any) -> None:
    with pytest.raises(ConfigError, match=r"^Judge got .* as its model; expected a model's name, an engine"):
        Judge(model)


def test_judge_refuses_at_once_what_it_cannot_read() -> None:
    inner = Counting()
    judge = Judge(inner)
    for source in (None, 5, "", [ROW, 5], [*rows(300), {**ROW, "rejected": math.nan}], "no-such-file.jsonl"):
        with pytest.raises(DataError):
            judge.judge(source)
    with pytest.raises(
        DataError, match=r"list:2: 'chosen' is empty; drop the row, or pass rmr1.read_pairs\("
    ):
        judge.judge([ROW, {**ROW, "chosen": None}])
    with pytest.raises(DataError, match=r"'prompt' and 'score'.*columns=\{'responses': 'COLUMN'\}$"):
        judge.judge([{"prompt": "q", "score": 1}])  # no advice to drop the rows, which leaves none
    assert inner.asked == []


def test_judge_takes_a_path_and_a_generator(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(3)))
    for source in (path, str(path), (row for row in rows(3)), rows(3)):
        assert [one.pair.prompt[0].text for one in Judge("scripted:longer").judge(source)] == [
            "q0",
            "q1",
            "q2",
        ]


def test_results_keep_the_order_and_failures_their_place() -> None:
    ids = [f"list:{number}" for number in range(1, 8)]
    found = list(Judge(Counting()).judge(rows(7)))
    assert [one.pair.id for one in found] == ids
    assert [one.pair.id for one in found if one.problem == "generation_failed"] == ["list:3"]
    as_they_come = [one.pair.id for one in Judge(Counting()).judge(rows(7), as_completed=True)]
    assert as_they_come == [*ids[1::2], *ids[::2]]


def test_order_holds_in_a_run_and_finished_pairs_are_passed_over(tmp_path: Path) -> None:
    assert len(list(Judge(Counting()).judge(rows(2), run=tmp_path / "run"))) == 2
    again = Counting()
    found = [one.pair.id for one in Judge(again).judge(rows(6), run=tmp_path / "run")]
    assert found == [f"list:{number}" for number in range(1, 7)]
    assert len((tmp_path / "run" / "judgments.jsonl").read_text().splitlines()) == 6
    streamed = list(Judge(again).judge(rows(7), run=tmp_path / "run", as_completed=True))
    assert len(streamed) == 7 and streamed[-1].pair.id == "list:7"


def make_pair(number: int) -> PreferencePair:
    return PreferencePair(
        id=str(number), prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
    )


def test_each_is_yielded_as_soon_as_those_before_it_are_there() -> None:
    steps: list[str] = []

    def judge(pairs: Iterable[PreferencePair]) -> Iterator[tuple[str, Judgment]]:
        held = [(format_key(item_digest(pair), 0), pair) for pair in pairs]
        for at in (1, 0, 2):
            steps.append(f"finished {at}")
            key, pair = held[at]
            yield key, Judgment(pair=pair, family="", rule="", winner="A")

    for judgment in judge_in_order(map(make_pair, range(3)), judge):
        steps.append(f"yielded {judgment.pair.id}")
    assert steps == ["finished 1", "finished 0", "yielded 0", "yielded 1", "finished 2", "yielded 2"]


def test_what_is_finished_comes_before_an_error() -> None:
    def judge(pairs: Iterable[PreferencePair]) -> Iterator[tuple[str, Judgment]]:
        held = [(format_key(item_digest(pair), 0), pair) for pair in pairs]
        for at in (1, 2):
            yield held[at][0], Judgment(pair=held[at][1], family="", rule="", winner="A")
        raise GenerationError("the server is gone")

    stream = judge_in_order(map(make_pair, range(3)), judge)
    assert [next(stream).pair.id, next(stream).pair.id] == ["1", "2"]
    with pytest.raises(GenerationError, match="the server is gone"):
        next(stream)


def test_equal_pairs_are_all_answered() -> None:
    found = list(Judge("scripted:longer").judge([ROW, ROW, ROW]))
    assert [one.winner for one in found] == ["A"] * 3


def test_the_engine_is_closed_once_and_not_used_again() -> None:
    inner = Counting()
    with Judge(inner) as judge:
        assert judge.compare(ROW).winner == "A"
        later = judge.judge(rows(2))
    judge.close()
    assert inner.num_closed == 1 and repr(judge) == "<Judge 'counting', closed>"
    for use in (lambda: judge.compare(ROW), lambda: judge.judge([ROW]), lambda: next(later), judge.__enter__):
        with pytest.raises(
            ConfigError, match=r"^judge 'counting' is closed; make a new one with Judge\(\.\.\.\)$"
        ):
            use()


def test_an_error_in_the_block_closes_it_too() -> None:
    inner = Counting()
    with pytest.raises(KeyError), Judge(inner):
        raise KeyError
    assert inner.num_closed == 1


def test_a_judgment_reads_like_show() -> None:
    judgment = Judge("scripted:longer", order="both").compare(
        "Why <b>?", "\x1b[31mred", "a longer [bold]answer[/bold]"
    )
    page = io.StringIO()
    print_judgment(Console(file=page, force_terminal=False, color_system=None), "", judgment)
    shown = [line.rstrip() for line in page.getvalue().rstrip().splitlines()]
    assert str(judgment).splitlines() == shown
    assert "Question" in str(judgment) and "Verdict: B is better" in str(judgment)
    assert "\x1b" not in str(judgment) and "\\x1b[31mred" in str(judgment) and "[bold]answer" in str(judgment)
    assert repr(judgment) == "<Judgment of pair '0': B>"
    assert "<b>" not in judgment._repr_html_() and "Why &lt;b&gt;?" in judgment._repr_html_()


def test_a_failure_reads_as_one() -> None:
    failed = list(Judge(Counting()).judge(rows(3)))[2]
    assert repr(failed) == "<Judgment of pair 'list:3': none (generation_failed), wrong>"
    assert "Verdict: none, the engine gave no text" in str(failed)


def test_it_works_inside_a_running_event_loop_and_in_threads() -> None:
    async def cell() -> list[str | None]:
        return [one.winner for one in Judge("scripted:longer").judge(rows(3))]

    assert asyncio.run(cell()) == ["A"] * 3
    judge, found = Judge("scripted:longer"), []
    threads = [threading.Thread(target=lambda: found.append(judge.compare(ROW).winner)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["A"] * 4


def test_messages_of_records_and_dicts_mix() -> None:
    found = Judge("scripted:longer").compare(
        [Message(role="user", content="q"), {"role": "assistant", "content": "x"}, user("r")], "a", "bb"
    )
    assert [one.role for one in found.pair.prompt] == ["user", "assistant", "user"]


def test_own_column_names_are_said_where_the_pairs_are_given() -> None:
    frame = [{"q": f"q{number}", "good": "a longer answer", "bad": "b"} for number in range(2)]
    columns = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    found = list(Judge("scripted:longer").judge(frame, columns=columns))
    assert [one.winner for one in found] == ["A", "A"]
    marked = [{"prompt": "q", "response_a": "a longer answer", "response_b": "b", "label": 2}]
    (one,) = Judge("scripted:longer").judge(marked, labels={"1": "A", "2": "B"})
    assert one.pair.label == "B"


def test_a_dead_server_is_one_error_with_nothing_behind_it() -> None:
    judge = Judge("openai:x@http://127.0.0.1:9/v1", options={"max_retries": 0})
    with pytest.raises(GenerationError) as raised:
        judge.compare("q", "a", "bb")
    link: BaseException | None = raised.value
    while link is not None:
        assert not isinstance(link, BaseExceptionGroup)
        link = link.__context__


def test_a_source_without_pairs_is_told(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "empty.jsonl"
    path.write_text("")
    frame = pandas.DataFrame([ROW])
    for source, name in (
        (frame[frame.prompt == "nothing"], "DataFrame"), (pandas.DataFrame(), "DataFrame"), ([], "an empty list"),
        (path, str(path)),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match=f"^{name} holds no pairs, so nothing is judged$") as told:
            assert list(Judge("scripted:longer").judge(source)) == []
        assert told[0].filename == __file__


def test_failed_pairs_are_asked_again_if_the_user_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pass run= too"):
        Judge("scripted:longer").judge(rows(2), retry_failed=True)
    path, replies = tmp_path / "replies.jsonl", []
    for number in range(2):
        replies.append({"id": f"list:{number + 1}", "order": "given", "text": "<answer>[[A]]</answer>"})
    path.write_text(json.dumps(replies[0]) + "\n")
    run = tmp_path / "run"
    found = list(Judge(f"replay:{path}", order="given").judge(rows(2), run=run))
    assert [one.winner for one in found] == ["A", None]
    judge = Judge(f"replay:{path}", order="given")
    assert [one.problem for one in judge.judge(rows(2), run=run)] == [None, "generation_failed"]
    assert [one.problem for one in judge.judge(rows(2), run=run, retry_failed=True)] == [
        None,
        "generation_failed",
    ]
    asked = [json.loads(line)["key"] for line in (run / "judgments.jsonl").read_text().splitlines()]
    assert len(asked) == 2


def judge_texts(*votes: tuple[str, str]) -> Judgment:
    """A judgment of these texts, each in its order."""
    made = []
    for sample, (order, text) in enumerate(votes):
        generation = Generation(text=text, finish_reason="stop")
        made.append(Vote(order=order, sample=sample, generation=generation, verdict=parse_verdict(text)))  # type: ignore[arg-type]
    winners = [vote.winner for vote in made]
    return Judgment(
        pair=make_pair(1), family="", rule="", winner=max(winners, key=winners.count), votes=tuple(made)
    )


def reasoning(item: str, winner: str) -> str:
    return (
        f"<type>Chat</type><rubric>1. {item} (100%)</rubric><eval><quote_A>a</quote_A><summary_B>b</summary_B></eval>"
        f"<answer>[[{winner}]]</answer>"
    )


def test_a_judgment_has_its_reasoning_at_hand() -> None:
    text = reasoning("Accuracy", "A")
    given, swapped = judge_texts(("given", text)), judge_texts(("swapped", text))
    assert given.reasoning == swapped.reasoning == text
    assert given.winner == "A" and swapped.winner == "B"
    assert [one.text for one in given.trace.rubric] == ["Accuracy"] and given.trace == given.votes[
        0
    ].verdict.trace
    # A judgment speaks of the pair's A, whichever answer the judge saw first.
    assert [one.side for one in given.trace.quotes] == ["A"] and [
        one.side for one in given.trace.summaries
    ] == ["B"]
    assert [one.side for one in swapped.trace.quotes] == ["B"]
    assert [one.side for one in swapped.trace.summaries] == ["A"]


def test_the_reasoning_of_several_votes_is_one_of_the_winners() -> None:
    votes = [
        ("given", reasoning("Tone", "B")),
        ("given", reasoning("Truth", "A")),
        ("swapped", reasoning("Care", "B")),
    ]
    found = judge_texts(*votes)
    assert found.winner == "A" and found.reasoning == votes[1][1]
    assert [one.text for one in found.trace.rubric] == ["Truth"]


def test_a_judgment_without_votes_has_no_reasoning() -> None:
    found = Judgment(pair=make_pair(1), family="", rule="scores", winner="A", scores=(1.0, 0.0))
    assert found.reasoning == "" and found.trace == Trace() and found.deciding is None
