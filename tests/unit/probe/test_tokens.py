"""What is found in answers, and what is not mistaken for it."""

from __future__ import annotations

import pytest

from rmr1.messages import Message, TextPart, assistant, user
from rmr1.probe.tokens import control_tokens, edges, speaker_names, turn_structure


def names(find, text: str) -> list[str]:
    return [name for name, _ in find((assistant(text),))]


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("done<im_start>", "<im_start>"),
        ("done<|im_end|>", "<|im_end|>"),
        ("done<|im_start", "<|im_start"),
        ("<|eot_id|>", "<|eot_id|>"),
        ("<｜end▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        ("text</s>", "</s>"),
        ("[INST] hello [/INST]", "[INST]"),
        ("<<SYS>> be good", "<<SYS>>"),
        ("<start_of_turn>user", "<start_of_turn>"),
        ("### Response:\nyes", "### Response:"),
        ("so [[A]] it is", "[[A]]"),
        ("<answer>B</answer>", "<answer>"),
        ("[The Start of Chatbot A's Response]\nx]", "[The Start of Chatbot A's Response]"),
        ("<strange_new_token> x", "<strange_new_token>"),
    ],
)
def test_tokens_are_found(text: str, token: str) -> None:
    found = names(control_tokens, text)
    assert found[0] == repr(token) and found[-1] == "any control token"


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "#include <vector>",
        "std::vector<my_type> x",
        "<div class='x'>hello</div>",
        "## A heading",
        "see [1] and [NAME]",
        "x = a[[0]]",
        "if (a<b_c) {}",
        "",
    ],
)
def test_ordinary_text_has_none(text: str) -> None:
    assert names(control_tokens, text) == []


def test_speakers() -> None:
    assert names(speaker_names, "Yes.\n\nHuman: and then?\nAssistant: no") == ["Human:", "Assistant:"]
    assert names(speaker_names, "GPT4 Correct User: hi") == ["GPT4 Correct User:"]
    assert names(speaker_names, "Chabot B: hi") == ["Chabot B:"]
    assert names(speaker_names, "The user: a person. Note: this") == []


def test_turns() -> None:
    assert list(turn_structure((assistant("a"),))) == []
    found = [name for name, _ in turn_structure((assistant("a"), user("b"), assistant("c")))]
    assert found == ["3 messages", "more than one message", "a message of the role user"]
    parts = Message(role="assistant", content=(TextPart(text="x"),))
    assert [name for name, _ in turn_structure((parts,))] == ["a message in parts"]


def test_edges() -> None:
    assert names(edges, " a\n") == ["begins with ' '", "ends with '\\n'"]
    assert names(edges, "a\u200bb\r\nc") == ["holds a carriage return", "holds a zero-width space"]
    assert names(edges, "a b\nc") == []


def test_excerpts_show_the_place() -> None:
    (_, excerpt), *_ = control_tokens((assistant("x" * 100 + " <im_start> " + "y" * 100),))
    assert (
        "<im_start>" in excerpt and excerpt.startswith("…x") and excerpt.endswith("y…") and len(excerpt) < 100
    )
