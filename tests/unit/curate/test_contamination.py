"""Which prompts overlap with a benchmark's, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.curate.contamination import BenchmarkIndex, build_index
from rmr1.errors import DataError
from rmr1.messages import Messages, assistant, user

from .making import write_rows

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def as_messages(prompt: str | Messages) -> Messages:
    return (user(prompt),) if isinstance(prompt, str) else prompt


def index_of(*prompts: str | Messages, length: int = 13) -> BenchmarkIndex:
    index = BenchmarkIndex(length)
    index.add("bench", ((f"b{at}", as_messages(prompt)) for at, prompt in enumerate(prompts)), [])
    return index


def kinds(index: BenchmarkIndex, prompt: str | Messages) -> list[tuple[str, str]]:
    return [(found.kind, found.item) for found in index.find(as_messages(prompt))]


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("Name a prime.", [("same", "b0")]),
        ("  Name a prime.\n", [("same", "b0")]),
        ("name a prime", [("wording", "b0")]),
        ("Please name a prime", []),
        ("Name a prime. Why?", []),
        (LONG, [("same", "b1")]),
        # 13 of the 14 words in a row, in another case; then 12, which is one too few.
        (f"Say: {LONG.upper()[:-9]}", [("ngram", "b1")]),
        ("say " + " ".join(LONG.split()[:13]) + " over", [("ngram", "b1")]),
        ("say " + " ".join(LONG.split()[:12]) + " over", []),
        ("say " + " ".join(LONG.split()[2:]) + " over", []),
    ],
)
def test_kinds(prompt: str, found: list[tuple[str, str]]) -> None:
    assert kinds(index_of("Name a prime.", LONG), prompt) == found


def test_one_turn_of_a_conversation_counts_and_an_answer_does_not() -> None:
    index = index_of("Name a prime.")
    talk = (user("Hi"), assistant("Hello!"), user("Name a prime!"))
    assert kinds(index, talk) == [("wording", "b0")]
    assert kinds(index, (user("Hi"), assistant("Name a prime."), user("No"))) == []


def test_a_conversation_of_the_benchmark_is_compared_as_a_whole() -> None:
    talk = (user("Hi"), assistant("Hello!"), user("Bye"))
    index = index_of(talk)
    assert kinds(index, talk) == [("same", "b0")]
    assert kinds(index, "Hi") == []


def test_words_in_a_row_do_not_cross_messages() -> None:
    words = LONG.split()
    index = index_of(LONG)
    assert kinds(index, (user(" ".join(words[:7])), assistant("ok"), user(" ".join(words[7:])))) == []


def test_each_benchmark_has_its_own_nearest_overlap() -> None:
    index = index_of(LONG)
    index.add("other", [("o0", (user(f"{LONG} fifteen"),)), ("o1", (user(f"{LONG} sixteen"),))], [])
    found = index.find((user(LONG),))
    assert [(one.benchmark, one.kind, one.item) for one in found] == [
        ("bench", "same", "b0"),
        ("other", "ngram", "o0"),
    ]
    assert found[1].shared == " ".join(LONG.split()[:13])


def test_scripts_without_spaces_are_compared_by_character() -> None:
    asked = "请问今天北京的天气怎么样啊谢谢你"
    assert kinds(index_of(asked), "你好" + asked[:13]) == [("ngram", "b0")]
    assert kinds(index_of(asked), "你好" + asked[:12]) == []


def test_prompts_without_words_are_no_wording_of_each_other() -> None:
    assert kinds(index_of("???"), "!!!") == []
    assert kinds(index_of("???"), "???") == [("same", "b0")]


def test_a_benchmark_counts_prompts_once_and_names_bad_rows(tmp_path: Path) -> None:
    row = {"prompt": "a", "response_a": "x", "response_b": "y"}
    path = write_rows(tmp_path / "own.jsonl", [row, row, {**row, "prompt": "b"}, {**row, "prompt": ""}])
    told: list[str] = []
    index = build_index({"own": (str(path),)}, 13, told.append)
    assert index.figures == {"own": {"prompts": 2, "unreadable": 1}}
    assert told == ["own"]
    with pytest.raises(DataError, match=r"decontaminate\.benchmarks\.own: no prompt could be read"):
        build_index(
            {"own": (str(write_rows(tmp_path / "bad.jsonl", [{**row, "prompt": ""}])),)}, 13, told.append
        )


def test_the_prompt_of_a_row_without_answers_counts(tmp_path: Path) -> None:
    """PandaLM has rows with an empty answer; no judge is measured on them, but others have their prompts."""
    row = {
        "instruction": "Add these.",
        "response1": "x",
        "response2": "y",
        "annotator1": 1,
        "input": "2 and 3",
    }
    rows = [
        row,
        {**row, "instruction": "Take these.", "response2": ""},
        {**row, "instruction": " ", "input": ""},
    ]
    index = build_index({"pandalm": (str(write_rows(tmp_path / "p.jsonl", rows)),)}, 13, lambda name: None)
    assert index.figures == {"pandalm": {"prompts": 2, "unreadable": 2}}
    assert kinds(index, "Take these.\n\n2 and 3") == [("same", "p:2")]


def test_what_the_user_asks_in_a_response_counts() -> None:
    index = index_of("Name a prime.", LONG)
    later = (user("name a prime"), user(f"And {LONG}"))
    assert [one.kind for one in index.find((user("Hi"),), later)] == ["wording"]
    assert [(one.kind, one.item) for one in index.find((user("Hi"),), later[1:])] == [("ngram", "b1")]
