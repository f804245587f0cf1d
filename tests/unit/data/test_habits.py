"""How people write preference data: what is read of each habit, or the line that refuses it.

The rows of `shared/cases/pairs.jsonl` are among them; the others are public datasets' and tools' forms, one row each.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rmr1.curate.write import pair_row
from rmr1.data import read_pairs
from rmr1.data.read import read_prompts
from rmr1.errors import ConfigError, DataError
from rmr1.faces import speaking
from rmr1.messages import Message, Messages, TextPart, ToolCall, assistant, user
from rmr1.prompts import load_family, render_prompt
from rmr1.records import PreferencePair
from rmr1.store.codec import dump_record, dumps, load_record, loads


@pytest.fixture(autouse=True)
def at_the_command_line() -> Iterator[None]:
    """Settings are told as the flags that they are there (tests/unit/test_faces.py has those of Python)."""
    with speaking("command"):
        yield


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def system(text: str) -> Message:
    return Message(role="system", content=text)


Q = turn("user", "q")
GOOD, BAD = [Q, turn("assistant", "good")], [Q, turn("assistant", "bad")]
OWN = {"prompt": "q", "response_a": "aa", "response_b": "b", "label": "A"}
ULTRAFEEDBACK = {
    "prompt": "q",
    "prompt_id": "h",
    "chosen": [{"content": "q", "role": "user"}, {"content": "a", "role": "assistant"}],
    "rejected": [{"content": "q", "role": "user"}, {"content": "b", "role": "assistant"}],
    "messages": [],
}
CASES = [
    {"system": "Answer only in French.", "prompt": "Hello?", "chosen": "Bonjour!", "rejected": "Hello!"},
    {**ULTRAFEEDBACK, "score_chosen": 3.0, "score_rejected": 9.0},
    {**ULTRAFEEDBACK, "score_chosen": 8.0, "score_rejected": 8.0},
    {"instruction": "Translate to English", "input": "Hola", "output_1": "Hello", "output_2": "Bye", "preference": 1},
    {"id": "s", "prompt": "\ud83d lone", "response_a": "a", "response_b": "bb", "label": "A"},
]  # fmt: skip
"""As they stand in the shared folder."""


def write_jsonl(folder: Path, *rows: Any) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(
    folder: Path, row: dict[str, str], *, delimiter: str = ",", head: str = "", encoding: str = "utf-8"
) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), delimiter=delimiter)
    writer.writeheader()
    writer.writerow(row)
    path = folder / "pairs.csv"
    path.write_bytes((head + text.getvalue()).encode(encoding))
    return path


def tell(pair: PreferencePair) -> tuple[Any, ...]:
    """Label, prompt and answers, with roles only where they are not the plain ones."""

    def say(messages: Messages, role: str) -> Any:
        if len(messages) == 1 and messages[0].role == role:
            return messages[0].text
        return [(message.role, message.text) for message in messages]

    return (
        pair.label,
        say(pair.prompt, "user"),
        say(pair.response_a, "assistant"),
        say(pair.response_b, "assistant"),
    )


def read_one(path: Path, **options: Any) -> tuple[Any, ...]:
    (pair,) = read_pairs(path, **options)
    return tell(pair)


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_pairs(path, **options))
    assert str(caught.value).startswith(f"{path}:")
    return caught.value.message


@pytest.mark.shared
def test_the_cases_are_those_of_the_shared_folder(shared):
    path = shared / "cases" / "pairs.jsonl"
    assert [json.loads(line) for line in path.read_text().splitlines()] == CASES


def test_the_cases(tmp_path):
    read = [
        ("A", [("system", "Answer only in French."), ("user", "Hello?")], "Bonjour!", "Hello!"),
        ("tie", "q", "a", "b"),
        ("A", "Translate to English\n\nHola", "Hello", "Bye"),
    ]
    errors: list[DataError] = []
    found = list(read_pairs(write_jsonl(tmp_path, *CASES), on_error="skip", errors=errors))
    assert [tell(pair) for pair in found] == read
    assert [(error.line, error.message) for error in errors] == [
        (
            2,
            "score_chosen 3.0 is below score_rejected 9.0, so the scores contradict the names of the answers",
        ),
        (
            5,
            "'prompt' holds half a character (the lone surrogate U+D83D at character 1); write the whole "
            "character, or take it out",
        ),
    ]


# ---- the system's column


@pytest.mark.parametrize("column", ["system", "system_prompt", "system_message", "System", " system "])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": [Q], "chosen": GOOD, "rejected": BAD},
        {"chosen": GOOD, "rejected": BAD},
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
        {"prompt": "q", "response_a": "good", "response_b": "bad", "label": "A"},
        {"prompt": "q", "responses": ["bad", "good"], "best": 1},
        {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"},
        {"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "good"},
         "rejected": {"from": "gpt", "value": "bad"}},
        {"input": "q", "accepted": "good", "rejected": "bad"},
    ],
)  # fmt: skip
def test_a_system_column_is_the_systems_message(tmp_path, row, column):
    plain = ("A", "q", "good", "bad")
    if column in ("system", "system_prompt", "system_message"):
        for empty in (None, "", " \n"):
            assert read_one(write_jsonl(tmp_path, {**row, column: empty})) == plain
    path = write_jsonl(tmp_path, {**row, column: "Be terse."})
    assert read_one(path) == ("A", [("system", "Be terse."), ("user", "q")], "good", "bad")


def test_a_system_column_beside_a_system_message(tmp_path):
    row = {"prompt": [turn("system", "Be terse."), Q], "chosen": "good", "rejected": "bad"}
    same = write_jsonl(tmp_path, {**row, "system": "Be terse."})
    assert read_one(same) == ("A", [("system", "Be terse."), ("user", "q")], "good", "bad")
    other = write_jsonl(tmp_path, {**row, "system": "Be long."})
    assert refusal(other) == "the prompt has a system message of its own, and not that of 'system'"
    number = write_jsonl(tmp_path, {**row, "system": 3})
    assert refusal(number) == "'system' is a number, expected a text or a list of messages"


def test_a_mapped_system_column(tmp_path):
    path = write_jsonl(tmp_path, {"role_text": "Be terse.", **OWN})
    assert read_one(path, columns={"system": "role_text"})[1] == [("system", "Be terse."), ("user", "q")]


def test_prompts_alone_have_it_too(tmp_path):
    row = {"id": 1, "subset": "s", "system": "Be terse.", "prompt": "q", "chosen": "", "rejected": "b"}
    ((_, prompt),) = read_prompts(write_jsonl(tmp_path, row), errors=[])
    assert prompt == (system("Be terse."), user("q"))


# ---- Alpaca's input


@pytest.mark.parametrize(
    "row",
    [
        {"output_1": "good", "output_2": "bad", "preference": 1},
        {"response1": "good", "response2": "bad", "annotator1": 1},
        {"chosen": "good", "rejected": "bad"},
    ],
)
@pytest.mark.parametrize(
    ("more", "asked"), [("Hola", "Do.\n\nHola"), ("", "Do."), (None, "Do."), ("  ", "Do.")]
)
def test_an_input_belongs_to_its_instruction(tmp_path, row, more, asked):
    path = write_jsonl(tmp_path, {"instruction": "Do.", "input": more, **row})
    assert read_one(path) == ("A", asked, "good", "bad")


def test_a_mapped_instruction_takes_its_input_along(tmp_path):
    path = write_jsonl(tmp_path, {"instruction": "Do.", "input": "Hola", "better": "good", "worse": "bad"})
    columns = {"prompt": "instruction", "chosen": "better", "rejected": "worse"}
    assert read_one(path, columns=columns) == ("A", "Do.\n\nHola", "good", "bad")
    path = write_jsonl(tmp_path, {"instruction": [Q], "input": "Hola", "better": "good", "worse": "bad"})
    assert refusal(path, columns=columns) == "'input' cannot be joined to 'instruction', which is no text"


def test_an_input_beside_a_prompt_is_not_dropped_unsaid(tmp_path):
    row = {"prompt": "Do.", "input": "Hola", "chosen": "good", "rejected": "bad"}
    path = write_jsonl(tmp_path, row)
    assert refusal(path) == (
        "'input' says something that 'prompt' does not: write both into 'prompt', or pass --map prompt=prompt to "
        "leave 'input' out"
    )
    assert read_one(path, columns={"prompt": "prompt"}) == ("A", "Do.", "good", "bad")
    for more in ("Do.", "User: Do.\nAssistant:", "", None):
        assert read_one(write_jsonl(tmp_path, {**row, "input": more}))[1] == "Do."


# ---- messages in a text


def numpy_repr(messages: list[dict[str, Any]]) -> str:
    """As numpy prints an array of objects: no commas between them."""
    return "[" + "\n ".join(map(repr, messages)) + "]"


@pytest.mark.parametrize("spell", [repr, json.dumps, numpy_repr, lambda value: json.dumps(value, indent=1)])
def test_messages_in_csv_cells(tmp_path, spell):
    plain = ("A", "q", "good", "bad")
    both = {"chosen": spell(GOOD), "rejected": spell(BAD)}
    assert read_one(write_csv(tmp_path, {"prompt": "q", **both})) == plain
    assert read_one(write_csv(tmp_path, {"": "0", **both, "score_chosen": "8.0"})) == plain
    own = {"prompt": spell([Q]), "response_a": spell(GOOD[1:]), "response_b": spell(BAD[1:]), "label": "A"}
    assert read_one(write_csv(tmp_path, own)) == plain
    assert read_one(write_jsonl(tmp_path, both)) == plain


def test_sharegpt_messages_in_csv_cells(tmp_path):
    row = {
        "conversations": repr([{"from": "human", "value": "q"}]),
        "chosen": repr({"from": "gpt", "value": "good"}),
        "rejected": repr({"from": "gpt", "value": "bad"}),
    }
    assert read_one(write_csv(tmp_path, row)) == ("A", "q", "good", "bad")


def test_lists_in_csv_cells(tmp_path):
    row = {"prompt": "q", "responses": repr(["bad", "good"]), "best": "1"}
    assert read_one(write_csv(tmp_path, row)) == ("A", "q", "good", "bad")
    row = {"id": "1", "subset": "s", "prompt": "q", "chosen": "['good']", "rejected": '["bad"]', "num_correct": "1"}  # fmt: skip
    assert read_one(write_csv(tmp_path, row)) == ("A", "q", "good", "bad")


@pytest.mark.parametrize(
    "cell",
    [
        repr(GOOD)[:30],
        repr(GOOD)[:-1],
        json.dumps(GOOD)[:-2],
        "[{'role': 'user', 'content': 'q'}, ..., {'role': 'assistant', 'content': 'a'}]x]",
        "[{'role': 'user', 'content': array(['q'], dtype=object)}]",
    ],
)
def test_messages_that_cannot_be_read_are_refused(tmp_path, cell):
    path = write_csv(tmp_path, {"prompt": "q", "chosen": cell, "rejected": repr(BAD)})
    assert refusal(path).startswith(
        "'chosen' begins like a list of messages, but is neither JSON nor a Python literal: "
    )


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3]",
        '["apple", "pear"]',
        '{"role": "admin", "name": "Bob"}',
        '[{"value": 1}, {"value": 2}]',
        '[{"value": 1}, {"value": 2',
        '[{"role": "user", "content": "hi"}] is how a request to a chat API looks.',
        "[{'role': 'x'}",
        "{'a': 1} and more",
        "[link](https://example.org)",
        pytest.param("[" * 100_000 + "{'role': 'user', 'content': 'q'}]", id="deep"),
    ],
)
def test_texts_that_only_look_alike_stay_texts(tmp_path, text):
    row = {"prompt": "q", "chosen": text, "rejected": "b"}
    assert read_one(write_jsonl(tmp_path, row)) == ("A", "q", text, "b")
    assert read_one(write_csv(tmp_path, row)) == ("A", "q", text, "b")


# ---- answers that are the same, scores


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "a"},
        {"prompt": "q", "chosen": "a", "rejected": [turn("assistant", "a")]},
        {"chosen": GOOD, "rejected": GOOD},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: a"},
        {"prompt": "q", "response_a": "a", "response_b": "a"},
        {"prompt": "q", "response_a": "a", "response_b": "a", "label": "A"},
        {"prompt": "q", "response_a": "a", "response_b": "a", "label": "B"},
        {"prompt": "q", "responses": ["a", "a"], "best": 0},
        {"question": "q", "response_A": "a", "response_B": "a", "label": "A>B"},
        {"instruction": "q", "output_1": "a", "output_2": "a", "preference": None},
        {"context": "q", "completions": [{"rank": 0, "completion": "a"}, {"rank": 1, "completion": "a"}]},
        {"prompt": "q", "response_a": [turn("assistant", [{"text": "a"}])], "response_b": "a", "label": "A"},
    ],
)
def test_answers_that_are_the_same_are_a_tie(tmp_path, row):
    assert read_one(write_jsonl(tmp_path, row))[0] == "tie"


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("score_chosen", "score_rejected"),
        ("chosen_score", "rejected_score"),
        ("chosen-rating", "rejected-rating"),
        ("rating_chosen", "rating_rejected"),
        ("Chosen_Score", "Rejected_Score"),
    ],
)
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"chosen": GOOD, "rejected": BAD},
        {"instruction": "q", "chosen": "a", "rejected": "b"},
        {"chosen": "\n\nHuman: q\n\nAssistant: a", "rejected": "\n\nHuman: q\n\nAssistant: b"},
    ],
)
def test_scores_and_names_must_agree(tmp_path, row, chosen, rejected):
    def scored(higher: Any, lower: Any) -> Path:
        return write_jsonl(tmp_path, {**row, chosen: higher, rejected: lower})

    assert refusal(scored(3.0, 9.0)) == (
        f"{chosen} 3.0 is below {rejected} 9.0, so the scores contradict the names of the answers"
    )
    assert "contradict" in refusal(scored("3", 9))
    assert [read_one(scored(*both))[0] for both in ((8, 8.0), ("8", "8.0"))] == ["tie", "tie"]
    clear = [(9, 3), (None, 3), (9, None), ("n/a", 3), (float("nan"), 3), (0, -1)]
    assert {read_one(scored(*both))[0] for both in clear} == {"A"}


def test_several_scores(tmp_path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 5, "score_rejected": 5}
    ahead = {**row, "chosen_rating": 9, "rejected_rating": 3}
    behind = {**row, "chosen_rating": 3, "rejected_rating": 9}
    assert read_one(write_jsonl(tmp_path, ahead))[0] == "A"
    assert "chosen_rating 3 is below" in refusal(write_jsonl(tmp_path, behind))


def test_votes_of_shp_must_agree(tmp_path):
    row = {"history": "q", "human_ref_A": "a", "human_ref_B": "b", "labels": 1, "score_A": 2, "score_B": 9}
    assert refusal(write_jsonl(tmp_path, row)) == "labels 1 contradicts score_A 2 and score_B 9"
    assert read_one(write_jsonl(tmp_path, {**row, "score_B": 2}))[0] == "tie"


# ---- half characters


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({**OWN, "response_b": "b\udc00"}, "response_b"),
        ({**OWN, "id": "\ud800"}, "id"),
        ({**OWN, "subset": "x\ud800"}, "subset"),
        ({**OWN, "prompt": [turn("user", "a"), turn("user", "\ud83d")]}, "prompt"),
        ({**OWN, "prompt": [turn("user", [{"type": "text", "text": "\ud83d"}])]}, "prompt"),
        ({"prompt": "q", "chosen": "a", "rejected": "\ud83d"}, "rejected"),
        ({"prompt": "q", "responses": ["a", "\ud83d"], "best": 0}, "responses[1]"),
        ({"prompt": "q", "chosen": json.dumps([turn("assistant", "\ud83d")]), "rejected": "a"}, "chosen"),
        ({**OWN, "system": "\ud83d"}, "system"),
    ],
)
def test_half_a_character_is_a_bad_row(tmp_path, row, name):
    path = write_jsonl(tmp_path, OWN, row, OWN)
    errors: list[DataError] = []
    assert len(list(read_pairs(path, on_error="skip", errors=errors))) == 2
    assert [error.line for error in errors] == [2]
    assert errors[0].message.startswith(f"{name!r} holds half a character (the lone surrogate U+D")
    str(errors[0]).encode()


def test_whole_characters_and_other_columns_are_left_alone(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"prompt": "\\ud83d\\ude00", "response_a": "a", "response_b": "b", "raw": "\\ud83d"}\n', "utf-8"
    )
    assert read_one(path)[1] == "\U0001f600"


# ---- calls of tools

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
SAID = '[tool call: weather {"city": "Paris"}]'


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (turn("assistant", None, tool_calls=[CALL]), SAID),
        (turn("assistant", "", tool_calls=[CALL, CALL]), f"{SAID}\n{SAID}"),
        (turn("assistant", [], tool_calls=[CALL]), SAID),
        (turn("assistant", "I look.", tool_calls=[CALL]), f"I look.\n\n{SAID}"),
        ({"role": "assistant", "tool_calls": [CALL]}, SAID),
        (turn("assistant", None, tool_calls=json.dumps([CALL])), SAID),
        (turn("assistant", None, tool_calls=[{"name": "weather", "arguments": {"city": "Paris"}}]), SAID),
        (turn("assistant", None, function_call=CALL["function"]), SAID),
        (turn("assistant", None, tool_calls=[{"function": {"name": "now"}}]), "[tool call: now]"),
        (turn("assistant", None, tool_calls=[{"function": {"name": "f", "arguments": "{cut"}}]), "[tool call: f {cut]"),
        (turn("assistant", "a", tool_calls=[]), "a"),
        (turn("assistant", "a", tool_calls=None, function_call=None), "a"),
        (turn("assistant", None, refusal="I cannot."), "I cannot."),
        (turn("assistant", [{"type": "text", "text": "I look."},
                            {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Paris"}}]),
         f"I look.\n\n{SAID}"),
        (turn("assistant", [{"type": "refusal", "refusal": "I cannot."}]), "I cannot."),
    ],
)  # fmt: skip
def test_calls_of_tools_are_kept_and_read_as_text(tmp_path, message, text):
    row = {"prompt": "q", "response_a": [message], "response_b": "b", "label": "A"}
    assert read_one(write_jsonl(tmp_path, row)) == ("A", "q", text, "b")
    row["response_a"] = repr([message])
    assert read_one(write_csv(tmp_path, row)) == ("A", "q", text, "b")


def test_a_whole_turn_with_tools(tmp_path):
    chosen = [
        Q,
        turn("assistant", None, tool_calls=[CALL]),
        turn("tool", "18 degrees", tool_call_id="c1"),
        turn("tool", {"unit": "C"}),
        turn("user", [{"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sun"}]}]),
        turn("assistant", "18"),
    ]  # fmt: skip
    (pair,) = read_pairs(write_jsonl(tmp_path, {"chosen": chosen, "rejected": BAD}))
    called = ToolCall(name="weather", arguments='{"city": "Paris"}', id="c1")
    assert pair.response_a == (
        Message(role="assistant", content="", tool_calls=(called,)),
        Message(role="tool", content="18 degrees", tool_call_id="c1"),
        Message(role="tool", content='{"unit": "C"}'),
        Message(role="tool", content=(TextPart(text="sun"),), tool_call_id="c1"),
        assistant("18"),
    )
    said = [message.text for message in pair.response_a]
    assert said == [SAID, "18 degrees", '{"unit": "C"}', "sun", "18"]
    prompt = render_prompt(pair, load_family("rubric"), order="given").messages[-1].text
    assert all(text in prompt for text in said)
    # A stored line, a row of our own and a record from Python hold the same.
    assert load_record(PreferencePair, loads(dumps(dump_record(pair)))) == pair
    (again,) = read_pairs(write_jsonl(tmp_path, loads(dumps(dump_record(pair)))))
    assert again.response_a == pair.response_a
    (from_python,) = read_pairs([pair_row(pair)])
    assert from_python.response_a == pair.response_a
    (of_records,) = read_pairs([{"prompt": "q", "response_a": list(pair.response_a), "response_b": "b"}])
    assert of_records.response_a == pair.response_a


def test_a_text_without_tools_is_stored_as_it_was():
    assert dump_record(user("q")) == {"role": "user", "content": "q"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (turn("assistant", None), "message 1 of 'response_a' has no content"),
        (turn("assistant", None, tool_calls=[]), "message 1 of 'response_a' has no content"),
        (turn("tool", None), "message 1 of 'response_a' has no content"),
        (
            turn("assistant", None, tool_calls=[{"id": "c1"}]),
            "message 1 of 'response_a' has a tool call without the name of a function: {'id': 'c1'}",
        ),
        (
            turn("assistant", "a", tool_calls="[{"),
            "message 1 of 'response_a' has tool calls that cannot be read: it does not end where it begins",
        ),
        (
            turn("assistant", "a", tool_calls={"name": "f"}),
            "message 1 of 'response_a' has tool calls that are an object, expected a list",
        ),
    ],
)
def test_turns_that_say_nothing_are_refused(tmp_path, message, reason):
    path = write_jsonl(tmp_path, {"prompt": "q", "response_a": [message], "response_b": "b"})
    assert refusal(path) == reason


# ---- labels


NUMBERS = {"1": "A", "2": "B", "0": "tie"}


@pytest.mark.parametrize(
    ("row", "labels", "label"),
    [
        ({**OWN, "label": 1}, NUMBERS, "A"),
        ({**OWN, "label": "2.0"}, NUMBERS, "B"),
        ({**OWN, "label": 0.0}, NUMBERS, "tie"),
        ({**OWN, "label": None}, NUMBERS, None),
        ({**OWN, "label": True}, {"true": "A", "false": "B"}, "A"),
        ({**OWN, "label": " first "}, {"first": "A"}, "A"),
        ({**OWN, "label": "A"}, {"A": "B"}, "B"),
        ({"prompt": "q", "response_a": "a", "response_b": "b", "winner": "gpt"}, {"gpt": "B"}, "B"),
        ({"instruction": "q", "output_1": "a", "output_2": "b", "preference": 1}, {"0": "A", "1": "B"}, "B"),
        ({"context": "q", "response1": "a", "response2": "b", "overall_preference": -1},
         {"-1": "tie", "-2": "A"}, "tie"),
        ({"question": "q", "response_A": "a", "response_B": "b", "label": "A=B"}, {"A=B": "tie"}, "tie"),
        ({"input": "q", "output_1": "a", "output_2": "b", "label": 3}, {"3": "tie"}, "tie"),
        ({"conversation_a": GOOD, "conversation_b": BAD, "winner": "neither"}, {"neither": "tie"}, "tie"),
        ({"history": "q", "human_ref_A": "a", "human_ref_B": "b", "labels": 2, "score_A": 2, "score_B": 9},
         NUMBERS, "B"),
    ],
)  # fmt: skip
def test_labels_are_mapped(tmp_path, row, labels, label):
    assert read_one(write_jsonl(tmp_path, row), labels=labels)[0] == label


def test_a_value_that_the_mapping_lacks_is_a_bad_row(tmp_path):
    path = write_jsonl(tmp_path, *[{**OWN, "label": value} for value in (1, 3, "A", 2)])
    errors: list[DataError] = []
    found = read_pairs(path, labels={"1": "A", "2": "B"}, on_error="skip", errors=errors)
    assert [pair.label for pair in found] == ["A", "B"]
    assert [(error.line, error.message) for error in errors] == [
        (2, "label 3 is not among the values of --label: '1' or '2'"),
        (3, "label 'A' is not among the values of --label: '1' or '2'"),
    ]


def test_a_mapping_needs_a_column(tmp_path):
    path = write_jsonl(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "b"})
    assert refusal(path, labels=NUMBERS, on_error="skip") == (
        "--label maps the values of a label's column, and the form 'trl-explicit' has none"
    )
    path = write_jsonl(tmp_path, {"prompt": "q", "response_a": "a", "response_b": "b", "better": 1})
    assert refusal(path, labels=NUMBERS) == (
        "--label maps the values of a label's column, and the form 'rmr1' has it in 'label', which the row lacks"
    )
    assert read_one(path, labels=NUMBERS, columns={"label": "better"})[0] == "A"
    with pytest.raises(ConfigError, match="label '1' cannot mean 'C'; expected 'A', 'B' or 'tie'"):
        read_pairs(path, labels={"1": "C"})  # type: ignore[dict-item]


@pytest.mark.parametrize("name", ["preference", "Preferred", "verdict"])
@pytest.mark.parametrize("value", ["A", "model_b", 1, "2", 0])
def test_what_looks_like_a_label_is_not_passed_over(tmp_path, name, value):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", name: value}
    path = write_jsonl(tmp_path, row)
    assert refusal(path) == (
        f"no column 'label', but {name!r} says {value!r}; if that names the better answer, pass --map label={name}, "
        "else --format rmr1, which passes over it"
    )
    assert read_one(path, format="rmr1")[0] is None
    assert read_one(path, columns={"label": name}, labels={str(value): "B"})[0] == "B"
    assert read_one(write_jsonl(tmp_path, {**row, "label": "tie"}))[0] == "tie"
    for other in (None, "The first one is clearer.", ["A"], 7):
        assert read_one(write_jsonl(tmp_path, {**row, name: other}))[0] is None


@pytest.mark.parametrize(
    ("winner", "label"),
    [("A", "A"), ("B", "B"), ("tie", "tie"), ("model_a", "A"), ("model_b", "B"), ("tie (bothbad)", "tie"), (None, None)],
)  # fmt: skip
def test_a_winner_stands_for_the_label(tmp_path, winner, label):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "winner": winner}
    assert read_one(write_jsonl(tmp_path, row))[0] == label
    assert read_one(write_jsonl(tmp_path, {**row, "label": "B"}))[0] == "B"


def test_codes_are_asked_for(tmp_path):
    hint = "; say what its values mean, as in --label 1=A --label 2=B"
    path = write_jsonl(tmp_path, {**OWN, "label": 1})
    assert refusal(path) == f"label 1 is not 'A', 'B' or 'tie'{hint}"
    path = write_jsonl(tmp_path, {"prompt": "q", "response_a": "a", "response_b": "b", "winner": "gpt-4"})
    assert refusal(path).startswith("winner 'gpt-4' is not 'A', 'B', 'tie', 'model_a'")
    assert refusal(path).endswith(hint)


def test_one_outcome_of_an_arenas_table(tmp_path):
    row = {"prompt": "q", "response_a": "a", "response_b": "b", "winner_model_a": 1, "winner_model_b": 1, "winner_tie": 0}  # fmt: skip
    assert refusal(write_jsonl(tmp_path, row)) == (
        "winner_model_a 1, winner_model_b 1, winner_tie 0: expected 1 in one of them and 0 in the others"
    )
    turns = {**row, "winner_model_b": 0, "prompt": '["q", "r"]', "response_a": '["a"]', "response_b": '["b", "c"]'}  # fmt: skip
    assert refusal(write_jsonl(tmp_path, turns)) == (
        "'prompt', 'response_a' and 'response_b' hold 2, 1 and 2 turns"
    )


# ---- names of columns, delimiters


@pytest.mark.parametrize(
    "row",
    [
        {"Prompt": "q", "Chosen": "a", "Rejected": "b"},
        {" prompt ": "q", "chosen ": "a", "rejected": "b"},
        {"\ufeffprompt": "q", "chosen": "a", "rejected": "b"},
        {"PROMPT": "q", "RESPONSE_A": "a", "Response_B": "b", "LABEL": "A"},
        {"prompt": "q", "response_a": "a", "response_b": "b", " Winner": "model_a"},
        {"Prompt": "q", "chosen": [turn("assistant", "a")], "rejected": [turn("assistant", "b")]},
        {"Instruction": "q", "Output_1": "a", "Output_2": "b", "Preference": 1},
    ],
)
def test_case_and_outer_spaces_of_names(tmp_path, row):
    assert read_one(write_jsonl(tmp_path, row)) == ("A", "q", "a", "b")


def test_names_that_could_mean_two_things(tmp_path):
    row = {"prompt": "q", "Prompt": "r", "chosen": "a", "rejected": "b"}
    assert read_one(write_jsonl(tmp_path, row))[1] == "q"
    path = write_jsonl(tmp_path, {"Prompt": "q", "PROMPT": "r", "response_a": "a", "response_b": "b"})
    assert "if they mean what they say, pass --map prompt=PROMPT" in refusal(path)
    # `response_a` is our own name: JudgeBench's is `response_A`.
    path = write_jsonl(tmp_path, {"question": "q", "response_a": "a", "response_b": "b", "label": "A"})
    assert "pass --map prompt=question" in refusal(path)


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        ({"system": "s", "question": "q", "chosen": "a", "rejected": "b"}, "if 'question' is the prompt, pass --map prompt=question"),
        ({"prompt": "q", "Response A": "a", "Response B": "b"}, "pass --map 'response_a=Response A' --map 'response_b=Response B'"),
        ({"question": "q", "chosen": "a", "rejected": "b", "winner": "x"}, "pass --map prompt=question"),
        ({"prompt": "q", "chosen": "a", "loser": "b"}, "pass --map rejected=loser"),
        ({"prompt": "q", "winner": "a", "loser": "b"}, "pass --map chosen=winner --map rejected=loser"),
    ],
)  # fmt: skip
def test_advice_for_names_that_are_near(tmp_path, row, advice):
    assert refusal(write_jsonl(tmp_path, row)).endswith(advice)


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
@pytest.mark.parametrize(
    ("head", "encoding"), [("", "utf-8"), ("", "utf-8-sig"), ("\n\n", "utf-8"), ("sep=X\r\n", "utf-8")]
)
def test_a_tables_delimiter_is_told_by_its_header(tmp_path, delimiter, head, encoding):
    row = {**OWN, "response_a": "one, two; three | four\tfive\nsix"}
    path = write_csv(tmp_path, row, delimiter=delimiter, head=head.replace("X", delimiter), encoding=encoding)
    (pair,) = read_pairs(path)
    assert tell(pair) == ("A", "q", row["response_a"], "b")
    assert pair.id == f"pairs:{2 + head.count(chr(10))}"
    table = path.rename(path.with_suffix(".tsv"))
    assert [tell(pair) for pair in read_pairs(table)] == [tell(pair)]


def test_two_delimiters_are_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt;response_a;response_b, label\nq;a;b,A\n")
    assert refusal(path) == (
        "no known form has the columns 'prompt;response_a;response_b' and ' label'; they look separated by ';', "
        "but not by it alone: separate all columns alike"
    )


def test_a_list_in_one_json_file(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([OWN, {**OWN, "Label": None}], indent=2))
    assert [pair.label for pair in read_pairs(path)] == ["A", "A"]
