"""Which prompts overlap with a benchmark's, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmr1.curate.contamination import BenchmarkIndex, build_index
from rmr1.errors import DataError
from rmr1.records import Messages, PreferencePair, assistant, user

from .making import write_rows

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def pair(prompt: str | Messages, id: str = "b") -> PreferencePair:
    messages = (user(prompt),) if isinstance(prompt, str) else prompt
    return PreferencePair(id=id, prompt=messages, response_a=(assistant("x"),), response_b=(assistant("y"),))


def index_of(*prompts: str | Messages, length: int = 13) -> BenchmarkIndex:
    index = BenchmarkIndex(length)
    index.add("bench", iter([pair(prompt, f"b{at}") for at, prompt in enumerate(prompts)]), [])
    return index


def kinds(index: BenchmarkIndex, prompt: str | Messages) -> list[tuple[str, str]]:
    messages = (user(prompt),) if isinstance(prompt, str) else prompt
    return [(found.kind, found.item) for found in index.find(messages)]


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
    index.add("other", iter([pair(f"{LONG} fifteen", "o0"), pair(f"{LONG} sixteen", "o1")]), [])
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
    path = write_rows(tmp_path / "own.jsonl", [row, row, {**row, "prompt": "b"}, {**row, "response_a": ""}])
    told: list[str] = []
    index = build_index({"own": (str(path),)}, 13, told.append)
    (figures,) = index.figures
    assert (figures.pairs, figures.prompts, figures.unreadable) == (3, 2, 1)
    assert told == ["own"]
    with pytest.raises(DataError, match=r"decontaminate\.benchmarks\.own: no pair could be read"):
        build_index(
            {"own": (str(write_rows(tmp_path / "bad.jsonl", [{**row, "prompt": ""}])),)}, 13, told.append
        )
