"""Stop strings, verdict letters and growing texts."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.tokens import (
    Endings,
    TextStream,
    VerdictTokens,
    decode_tokens,
    encode_text,
    find_passage,
)
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.location import find_verdict_span
from rmr1.verdicts.stop import StopWatcher
from tests.tiny_models import MERGES, build_sentencepiece_tokenizer, build_tokenizer

ANSWER = "<answer>[[A]]</answer>"
STOP = ("</answer>",)

SPANS = [
    # text with the verdict letter between bars, or without any
    "so <answer>[[|A|]]</answer>",
    "<answer> [[ |B| ]] </answer>",
    "<answer>|A|</answer>",
    "<answer>**[[|a|]]**</answer>",
    "<answer>[[A]]</answer> no: <answer>[[|B|]]</answer>",
    "<answer>[[A]]</answer> no: <answer>[[|B|]]",
    "<answer>[[|A|]]</ans",
    "<answer>A",
    "<answer>both</answer> [[A]]",
    "<answer>[[C]]</answer>",
    "[[A]] </answer>",
    "[[|A|]]",
    "[[A]] and [[|A|]]",
    "[[a]]",
    "<think><answer>[[A]]</answer></think> <answer>[[|B|]]</answer>",
    "<answer>[[A]]</answer></think> <answer>[[|B|]]</answer>",
    "<think><answer>[[A]]</answer>",
    "<quote_A><answer>[[A]]</answer></quote_A> [[|B|]]",
    "<quote_A>x <answer>[[A]]</answer>",
    "<quote_A>x </eval> <answer>[[|A|]]</answer>",
    "<summary_B>[[A]]</summary_B>",
    r"<\answer>[\[A]]<\/answer> nothing",
    "nothing",
    "",
]


@pytest.mark.parametrize("marked", SPANS)
def test_verdict_span(marked: str) -> None:
    text = marked.replace("|", "")
    start = marked.find("|")
    expected = None if start < 0 else (start, marked.rfind("|") - 1)
    assert find_verdict_span(text, ("A", "B")) == expected
    assert parse_verdict(text).winner == (text[slice(*expected)].upper() if expected else None)


SIDED = [f"<{slash}{name}>" for slash in ("", "/") for name in ("quote_A", "quote_B", "summary_A")]
PLAIN = [f"<{slash}{name}>" for slash in ("", "/") for name in ("think", "eval", "answer")]
PARTS = st.sampled_from([*SIDED, *PLAIN, "[[A]]", "[[B]]", "[[", "]]", "A", "B", "*", " ", "text", "</ans"])


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.lists(PARTS, max_size=14))
def test_verdict_span_is_where_the_parser_reads(parts: list[str]) -> None:
    text = "".join(parts)
    winner, span = parse_verdict(text).winner, find_verdict_span(text, ("A", "B"))
    if winner is not None:
        assert span is not None and text[slice(*span)].upper() == winner


def test_span_search_takes_time_linear_in_the_text() -> None:
    started = time.perf_counter()
    for text in ("<quote_A>" * 20_000, "<quote_A><answer>" * 10_000, "<think>" * 20_000, "[[A]]" * 20_000):
        find_verdict_span(text, ("A", "B"))
        find_verdict_span("<answer>" + text, ("A", "B"))
    assert time.perf_counter() - started < 20


def build(style: str) -> Any:
    return build_sentencepiece_tokenizer() if style == "sentencepiece" else build_tokenizer(style)


TEXTS = [
    ANSWER,
    "He said: Paris is the capital. <quote_A>Ça va ? — 東京 🎉🎉</quote_A>\n\n<answer>[[B]]</answer>",
    " leading and  double  blanks ",
    "🎉",
]


@pytest.mark.parametrize("style", [*MERGES, "sentencepiece"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_stream_gives_the_text_of_all_tokens(style: str, text: str) -> None:
    tokenizer = build(style)
    tokens = encode_text(tokenizer, text)
    for stop in ((">",), ("!!",), ("🎉",), ()):
        stream = TextStream(tokenizer, Endings(tokenizer, SamplingParams(stop=stop)), StopWatcher(()))
        assert not any(stream.push(token) for token in tokens)
        assert stream.finish() == decode_tokens(tokenizer, tokens)


@pytest.mark.parametrize("style", [*MERGES, "sentencepiece"])
def test_text_stream_stops_within_and_across_tokens(style: str) -> None:
    tokenizer = build(style)
    for stop, kept in (("</answer>", f"x {ANSWER}"), ("]]<", "x <answer>[[A]]<"), ("[A", "x <answer>[[A")):
        tokens = encode_text(tokenizer, f"x {ANSWER} and more")
        stream = TextStream(tokenizer, Endings(tokenizer, SamplingParams(stop=(stop,))), StopWatcher((stop,)))
        used = next(count for count, token in enumerate(tokens, 1) if stream.push(token))
        assert stream.finish() == kept
        assert len(decode_tokens(tokenizer, tokens[: used - 1])) < len(kept)


def test_text_stream_reads_a_stop_string_of_broken_characters() -> None:
    tokenizer = build_tokenizer()
    tokens = encode_text(tokenizer, "好。次")
    assert len(tokens) == 9
    stream = TextStream(tokenizer, Endings(tokenizer, SamplingParams(stop=("。",))), StopWatcher(("。",)))
    assert [stream.push(token) for token in tokens[:6]] == [False] * 5 + [True]
    assert stream.finish() == "好。"


def test_text_stream_leaves_out_a_last_character_that_is_not_complete() -> None:
    tokenizer = build_tokenizer()
    tokens = encode_text(tokenizer, "ok 東")[:-1]
    stream = TextStream(tokenizer, Endings(tokenizer, SamplingParams(stop=STOP)), StopWatcher(STOP))
    for token in tokens:
        stream.push(token)
    assert stream.finish() == "ok "


def read_stream(tokenizer: Any, tokens: list[int]) -> str:
    stream = TextStream(tokenizer, Endings(tokenizer, SamplingParams(stop=STOP)), StopWatcher(STOP))
    for token in tokens:
        stream.push(token)
    return stream.finish()


@pytest.mark.parametrize("style", ["split", "sentencepiece"])
@pytest.mark.parametrize("text", ["the sign \ufffd", "two \ufffd\ufffd", "\ufffd", "東\ufffd", "> \ufffd"])
def test_text_stream_keeps_the_sign_that_the_model_wrote(style: str, text: str) -> None:
    tokenizer = build(style)
    tokens = encode_text(tokenizer, text)
    assert read_stream(tokenizer, tokens) == text
    assert read_stream(tokenizer, tokens[:-1]) == read_stream(tokenizer, tokens[:-2]) == text[:-1]


@pytest.mark.parametrize("style", ["split", "sentencepiece"])
@pytest.mark.parametrize("char", ["é", "東", "🎉"])
def test_text_stream_leaves_out_only_the_incomplete_character(style: str, char: str) -> None:
    tokenizer = build(style)
    tokens = encode_text(tokenizer, f"a\ufffd東{char}")
    for missing in range(1, len(char.encode())):
        assert read_stream(tokenizer, tokens[:-missing]) == "a\ufffd東"


@pytest.mark.parametrize("sign", ["\ufffd", " \ufffd", "x\ufffd"])
def test_text_stream_keeps_a_sign_that_is_one_token(sign: str) -> None:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens([sign])
    (token,) = encode_text(tokenizer, sign)
    assert read_stream(tokenizer, [*encode_text(tokenizer, "the"), token]) == f"the{sign}"


@pytest.mark.parametrize("style", [*MERGES, "sentencepiece"])
@pytest.mark.parametrize("text", [*TEXTS, "the sign \ufffd and 東", "好。次"])
@pytest.mark.parametrize("first", [1, 5])
def test_what_is_heard_of_a_text_stream_is_its_text_in_whole_characters(
    style: str, text: str, first: int
) -> None:
    tokenizer = build(style)
    tokens = encode_text(tokenizer, text)
    for stop, missing in ((("!!",), 0), ((">",), 0), ((), 0), ((), 1)):
        params = SamplingParams(stop=stop)
        heard, silent = (
            TextStream(tokenizer, Endings(tokenizer, params), StopWatcher(stop)) for _ in range(2)
        )
        pieces = []
        for number, token in enumerate(tokens[: len(tokens) - missing]):
            is_end = heard.push(token)
            assert silent.push(token) == is_end
            if number + 1 >= first:  # somebody may begin to listen amid a text
                pieces.append(heard.hear())
            if is_end:
                break
        whole = heard.finish()
        assert whole == silent.finish()
        told = "".join(pieces)
        # Only a sign at the end may be a character in the making.
        assert whole.startswith(told) and (set(whole[len(told) :]) <= {"\ufffd"} or not pieces)
        assert all("\ufffd" not in piece or "\ufffd" in text for piece in pieces)


def test_text_stream_leaves_out_first_bytes_behind_other_text() -> None:
    core = Tokenizer(models.BPE(vocab={"a": 0, "a\u00e6": 1, "\u013f": 2, "\u00b1": 3}, merges=[]))
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert decode_tokens(tokenizer, [0, 1, 2, 3]) == "aa\u6771"
    assert read_stream(tokenizer, [0, 1, 2]) == read_stream(tokenizer, [0, 1]) == "aa"


@pytest.mark.parametrize(
    ("style", "first", "before", "after", "siblings"),
    [
        ("split", "A", "", "", ("A", "B")),
        ("letter", "A", "", "", ("A", "B")),
        ("left", "[[A", "[[", "", ("[[A", "[[B")),
        ("right", "A]]</", "", "]]</", ("A]]</", "B]]</")),
        ("whole", "[[A]]", "[[", "]]", ("[[A]]", "[[B]]")),
        ("lopsided", "[[A]]", "[[", "]]", None),
        ("sentencepiece", "A", "", "", ("A", "B")),
    ],
)
def test_passage_and_siblings(
    style: str, first: str, before: str, after: str, siblings: tuple[str, ...] | None
) -> None:
    tokenizer = build(style)
    text = f"é 東 {ANSWER}"
    tokens = encode_text(tokenizer, text)
    span = find_verdict_span(text, ("A", "B"))
    assert span is not None
    passage = find_passage(tokenizer, tokens, text, span)
    assert passage is not None and passage.first == passage.last
    assert tokenizer.convert_ids_to_tokens(tokens[passage.first]) == first
    assert (passage.before, passage.after) == (before, after)
    letters = VerdictTokens(tokenizer, ("A", "B"))
    found = letters.siblings(tokens[passage.first])
    assert (None if found is None else tuple(tokenizer.convert_ids_to_tokens(list(found)))) == siblings
    spelled = letters.spell(passage, tokens, "A")
    assert spelled is not None and spelled[0] == [tokens[passage.first]]
    if style == "lopsided":
        assert tokenizer.convert_ids_to_tokens(spelled[1]) == ["[[", "B", "]]"]
    else:
        assert spelled == [[token] for token in found or ()]


def test_siblings_with_blanks_bytes_and_other_words() -> None:
    tokenizer: Any = build_sentencepiece_tokenizer()
    letters = VerdictTokens(tokenizer, ("A", "B"))
    number = tokenizer.convert_tokens_to_ids
    assert letters.siblings(number("▁A")) == (number("▁A"), number("▁B"))
    assert letters.siblings(number("▁B")) == (number("▁A"), number("▁B"))
    assert letters.siblings(number("<0x42>")) == (number("<0x41>"), number("<0x42>"))
    assert letters.siblings(number("a")) is None
    assert letters.siblings(number("<")) is None
    assert VerdictTokens(tokenizer, ("A", "B", "C", "é")).siblings(number("A")) is None


def test_passage_of_several_tokens_is_spelled_whole() -> None:
    tokenizer = build_tokenizer("letter")
    text = "<answer>[[10]]</answer>"
    tokens = encode_text(tokenizer, text)
    span = find_verdict_span(text, ("10", "7"))
    assert span == (10, 12)
    passage = find_passage(tokenizer, tokens, text, span)
    assert passage is not None and passage.last == passage.first + 1
    spelled = VerdictTokens(tokenizer, ("10", "7")).spell(passage, tokens, "10")
    assert spelled is not None
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in spelled] == [["1", "0"], ["7"]]


def test_passage_that_does_not_fit_the_text_is_none() -> None:
    tokenizer = build_tokenizer()
    tokens = encode_text(tokenizer, "some [[A]]")
    assert find_passage(tokenizer, tokens, "other [[A]]", (8, 9)) is None
    assert find_passage(tokenizer, tokens, "some [[A]] more", (13, 14)) is None


def test_long_text_is_encoded_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.model_max_length == 512
    assert len(encode_text(tokenizer, "[" * 20_000)) == 20_000
    assert capfd.readouterr() == ("", "")
