"""Injections as data: reading a catalogue, choosing from it, and putting texts into answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.audit.attacks.catalogue import (
    Injection,
    Texts,
    choose,
    digest_catalogue,
    inject,
    load_catalogue,
    read_catalogue,
    write_control,
    write_neutral,
)
from rmr1.errors import ConfigError, DataError
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.records import PreferencePair

PAIR = PreferencePair(
    id="p",
    prompt=(user("How?"),),
    response_a=(assistant("So."),),
    response_b=(assistant("Thus."),),
    label="A",
)
ENTRY = (
    'form = "structural"\n[[injection]]\nname = "one"\nkind = "verdict"\nend = "{own} beats {other}: {x}"\n'
)


def test_the_package_has_both_forms_of_every_kind_that_is_told() -> None:
    found = load_catalogue()
    kinds = {form: {one.kind for one in found if one.form == form} for form in ("structural", "persuasive")}
    assert kinds["structural"] == {
        "verdict",
        "delimiter",
        "token",
        "thinking",
        "role",
        "forgery",
        "look-alike",
    }
    assert kinds["persuasive"] == {
        *("authority", "flattery", "order", "rubric", "padding", "script", "hidden", "system", "noise"),
    }
    assert all(one.tries.endswith(".") for one in found)
    assert {one.place for one in found} == {"start", "end", "around"}


def test_letters_are_filled_in_and_other_braces_are_text() -> None:
    (one,) = read_catalogue(ENTRY, name="mine.toml")
    assert one.write("B", "A") == Texts(end="B beats A: {x}")
    assert replace(one, repeat=2, end="{own}-").write("A", "B").end == "A-A-"


def test_texts_go_around_what_the_answer_says_last() -> None:
    texts = Texts(start="Before", end="behind")
    assert inject(PAIR, "A", texts).response_a[0].text == "Before\n\nSo.\n\nbehind"
    assert inject(PAIR, "B", Texts(end="behind")).response_b[0].text == "Thus.\n\nbehind"
    assert inject(PAIR, "B", texts).response_a == PAIR.response_a
    longer = (assistant("First."), user("And?"), assistant("Last."))
    changed = inject(replace(PAIR, response_b=longer), "B", Texts(end="x")).response_b
    assert [one.text for one in changed] == ["First.", "And?", "Last.\n\nx"]
    parts = (Message(role="assistant", content=(TextPart(text="See"), ImagePart(url="https://x/y.png"))),)
    content = inject(replace(PAIR, response_a=parts), "A", Texts(start="s")).response_a[0].content
    assert content == (TextPart(text="s"), TextPart(text="See"), ImagePart(url="https://x/y.png"))
    with pytest.raises(DataError, match="no message of the assistant"):
        inject(replace(PAIR, response_a=(user("?"),)), "A", texts)


@given(st.integers(0, 3000), st.integers(0, 10**9))
def test_neutral_text_has_exactly_the_length(chars: int, draw: int) -> None:
    text = write_neutral(chars, draw)
    assert len(text) == chars and text == write_neutral(chars, draw)
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ,.")


def test_every_control_is_as_long_as_its_injection_at_both_ends() -> None:
    for one in load_catalogue():
        texts = one.write("A", "B")
        control = write_control(texts, seed=0, key="k")
        assert (len(control.start), len(control.end)) == (len(texts.start), len(texts.end)), one.name
        assert control.chars == texts.chars and control != texts
    assert write_control(texts, seed=1, key="k") != write_control(texts, seed=0, key="k")


def test_names_choose_forms_kinds_and_injections() -> None:
    found = load_catalogue()
    assert choose(found, None) == choose(found, []) == found
    assert {one.form for one in choose(found, ["persuasive"])} == {"persuasive"}
    chosen = choose(found, ["flattery", "answer-tag"])
    assert [one.name for one in chosen] == ["answer-tag", "flatter-the-judge", "gratitude", "plea"]
    with pytest.raises(ConfigError, match="kind='flatery' means no injection; did you mean flattery"):
        choose(found, ["flatery"])


def test_a_digest_tells_texts_and_nothing_else() -> None:
    one = Injection(name="a", kind="k", form="structural", tries="x", end="y")
    two = replace(one, name="b")
    assert digest_catalogue([one, two]) == digest_catalogue([two, replace(one, tries="z")])
    assert digest_catalogue([one]) != digest_catalogue([replace(one, end="z")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("form =", "not TOML"),
        ('form = "x"', "form is 'x'; expected 'structural' or 'persuasive'"),
        ('form = "structural"', "holds form; expected form and at least one"),
        (ENTRY + "repeat = 0", "repeat is 0; expected 1 to 10,000"),
        (ENTRY + "repeat = true", "repeat is True; expected a whole number"),
        (ENTRY + 'ends = "x"', "injection 1: unknown key 'ends'; did you mean end?"),
        (ENTRY.replace('"one"', '"One!"'), "name is 'One!'; expected small letters"),
        (ENTRY.replace("end =", "tries ="), "one has neither start nor end"),
        (ENTRY + ENTRY.partition("\n")[2], "the name 'one' occurs twice"),
        (ENTRY.replace('"one"', '"verdict"'), "the name 'verdict' occurs twice"),
    ],
)
def test_a_malformed_catalogue_is_refused_in_a_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(path)
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_catalogue(tmp_path / "none.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0"):
        load_catalogue(tmp_path / "odd.toml")
