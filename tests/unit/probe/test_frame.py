"""The frame of a prompt: nothing of the texts in it, everything else."""

from __future__ import annotations

from rmr1.messages import Message, Messages, assistant, user
from rmr1.probe.frame import excerpt_of_feature, frame_features
from rmr1.prompts import render_prompt
from rmr1.records import PreferencePair


def render(question: str, a: str, b: str, *, turns: int = 1) -> Messages:
    prompt = (user("hello"), assistant("hi")) * (turns - 1) + (user(question),)
    pair = PreferencePair(id="1", prompt=prompt, response_a=(assistant(a),), response_b=(assistant(b),))
    return render_prompt(pair, "rubric").messages


def changed(messages: Messages, old: str, new: str) -> Messages:
    assert any(message.role == "user" and old in message.text for message in messages)
    return tuple(
        Message(role=message.role, content=message.text.replace(old, new))
        if message.role == "user"
        else message
        for message in messages
    )


def test_texts_are_no_part_of_the_frame() -> None:
    one, two = render("why?", "because", "so"), render("Client", "[Question]", "line\n\n\nline: x")
    assert frame_features(one) == frame_features(two)
    assert not any("because" in name for name in frame_features(one))


def test_conversations_have_one_frame_whatever_their_length() -> None:
    assert frame_features(render("a", "b", "c", turns=2)) == frame_features(render("d: e", "f", "g", turns=5))
    assert frame_features(render("a", "b", "c", turns=2)) != frame_features(render("a", "b", "c"))


def test_a_misspelt_speaker() -> None:
    plain = render("why?", "because", "so", turns=2)
    for wrong in ("Chabot B", "Chatbt B", "chatbot B"):
        other = changed(plain, "Chatbot B: ", f"{wrong}: ")
        new = set(frame_features(other)) - set(frame_features(plain))
        assert f"line '{wrong}: in ‹B›'" in new
        assert f"{wrong}: " in excerpt_of_feature(other, f"line '{wrong}: in ‹B›'")


def test_a_misspelt_delimiter() -> None:
    plain = render("why?", "because", "so")
    for old in (
        "[The Start of Chatbot B's Response]",
        "[The End of Chatbot A's Response]",
        "[Client Question]",
    ):
        other = changed(plain, old, old.replace("Ch", "C").replace("Cl", "C"))
        assert set(frame_features(other)) != set(frame_features(plain))


def test_white_space_between_blocks() -> None:
    plain = render("why?", "because", "so")
    other = changed(plain, "\n\n[The Start of Chatbot A", "\n\n\n[The Start of Chatbot A")
    assert set(frame_features(other)) != set(frame_features(plain))


def test_a_prompt_of_another_form() -> None:
    text = "Please judge.\n[Answer one]\nblue\n[Answer two]\nred\nAssistant: yes\nSay A or B."
    found = frame_features((user(text),))
    assert "line '[Answer one]'" in found and "line 'Say A or B.'" in found and "line 'Assistant:'" in found
    assert not any("blue" in name for name in found)
