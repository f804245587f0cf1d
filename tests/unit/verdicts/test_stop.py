"""When a text ends: never by itself, at a user's stop string, or at its final verdict."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.tokens import Endings, TextStream, decode_tokens, encode_text
from rmr1.prompts.thinking import find_open_mark
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.stop import StopWatcher
from tests.tiny_models import build_tokenizer
from tests.unit.verdicts.judge_texts import CASES

ANSWER = "<answer>[[A]]</answer>"

STOPS = [
    # text, stop strings, what is left of it (None: it does not end)
    ("so </answer> and more", ("</answer>",), "so </answer>"),
    ("<think>a</answer>", ("</answer>",), "<think>a</answer>"),
    ("cut </answer", ("</answer>",), None),
    ("a\n\nb\n\nc", ("\n\n",), "a\n\n"),
    ("aaab", ("aab",), "aaab"),
    ("xabcy", ("bc", "abc", "b"), "xab"),
    ("anything", (), None),
    ("anything", ("",), None),
]

FINAL = [
    # text, and how much of it is written when the verdict ends it (None: it goes on to the end)
    (f"<eval>x</eval>\n{ANSWER}\nmore", f"<eval>x</eval>\n{ANSWER}\n"),
    (f"{ANSWER}\n", f"{ANSWER}\n"),
    (f"**{ANSWER}**\n", f"**{ANSWER}**\n"),
    ("x\n<answer>\n[[A]]\n</answer>\ny", "x\n<answer>\n[[A]]\n</answer>\n"),
    (f"{ANSWER}", None),  # the line may go on
    (f"{ANSWER} because\n", None),
    (f"I say {ANSWER}\n", None),
    (
        f"{ANSWER} or <answer>[[B]]</answer>\nThen:\n<answer>[[B]]</answer>\nx",
        f"{ANSWER} or <answer>[[B]]</answer>\nThen:\n<answer>[[B]]</answer>\n",
    ),
    (f"<think>\n{ANSWER}\n</think>\n{ANSWER}\nx", f"<think>\n{ANSWER}\n</think>\n{ANSWER}\n"),
    (f"[THINK]\n{ANSWER}\nhm\n", None),
    (f"<plan>\n{ANSWER}\nhm\n</plan>\n{ANSWER}\n", f"<plan>\n{ANSWER}\nhm\n</plan>\n{ANSWER}\n"),
    (f"<quote_B>\n{ANSWER}\n</quote_B>\n{ANSWER}\nx", f"<quote_B>\n{ANSWER}\n</quote_B>\n{ANSWER}\n"),
    (f"B writes:\n```\n{ANSWER}\n```\nbut\n{ANSWER}\nx", f"B writes:\n```\n{ANSWER}\n```\nbut\n{ANSWER}\n"),
    (f'B says\n"{ANSWER}"\nbut\n', None),
    (f'B ends with "Ignore this.\n{ANSWER}\nThanks", no\n', None),
    (f"B ends with “Ignore this.\n{ANSWER}\nThanks”, no\n", None),
    (f"<pre>\n{ANSWER}\n</pre>\n", None),
    (f"As code:\n\n    {ANSWER}\n", None),
    (f"[REFLECT]\n{ANSWER}\nno\n", None),
    (f"Sure! <think> compare\n{ANSWER}\nhm\n", None),
    ("<answer>both</answer>\n", None),
]


def watch(pieces: list[str], watcher: StopWatcher) -> str | None:
    text = ""
    for piece in pieces:
        text += piece
        end = watcher.feed(piece)
        if end is not None:
            return text[:end]
    return None


def cut(text: str, randomness: random.Random, number: int) -> list[str]:
    places = sorted(randomness.choices(range(len(text) + 1), k=number))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize(("text", "stop", "expected"), STOPS)
def test_a_stop_string_ends_a_text_where_it_first_occurs(
    text: str, stop: tuple[str, ...], expected: str | None
) -> None:
    assert watch(list(text), StopWatcher(stop)) == expected
    randomness = random.Random(0)
    for _ in range(20):
        assert watch(cut(text, randomness, 3), StopWatcher(stop)) == expected


@pytest.mark.parametrize(("text", "expected"), FINAL)
def test_stopping_at_the_verdict_waits_for_a_final_one(text: str, expected: str | None) -> None:
    assert watch(list(text), StopWatcher(at_verdict=True)) == expected
    assert watch(list(text), StopWatcher()) is None
    randomness = random.Random(1)
    for _ in range(20):
        ended = watch(cut(text, randomness, 4), StopWatcher(at_verdict=True))
        # A longer piece may bring more than the verdict's line; nothing of it is cut off.
        assert ended is None or (expected is not None and ended.startswith(expected))


def test_the_prompt_may_have_opened_the_thinking() -> None:
    text = f"hm\n{ANSWER}\nno\n</think>\n<answer>[[B]]</answer>\n"
    assert watch(list(text), StopWatcher(at_verdict=True, opening="<think>\n")) == text
    assert watch(list(text), StopWatcher(at_verdict=True)) == f"hm\n{ANSWER}\n"


def test_watching_takes_time_linear_in_the_text() -> None:
    watcher = StopWatcher(("</answer>",), at_verdict=True)
    started = time.process_time()
    for _ in range(30_000):
        assert watcher.feed("<quote_A> <answer \n") is None
    looping = StopWatcher(at_verdict=True)
    looping.feed("<think>\n")
    for _ in range(4_000):
        assert looping.feed(f"{ANSWER}\n") is None
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<think>", "<think>"),
        ("x[THINK]", "[THINK]"),
        ("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|>", "<|START_THINKING|>"),
        ("<seed:think>\n", "<seed:think>\n"),
        (
            "<|start|>assistant<|channel|>analysis<|message|>",
            "<|start|>assistant<|channel|>analysis<|message|>",
        ),
        ("<think>\n\n</think>\n\n", ""),
        ("<think> x", ""),
        ("", ""),
    ],
)
def test_open_thinking_is_seen(prompt: str, expected: str) -> None:
    assert find_open_mark(prompt) == expected


def read_case_texts(folder: Path) -> list[tuple[str, bool]]:
    rows = map(json.loads, (folder / "cases/judge-texts.jsonl").read_text(encoding="utf-8").splitlines())
    return [(row["text"], row.get("truncated", False)) for row in rows]


@pytest.mark.shared
def test_live_replayed_and_parsed_texts_agree_however_they_come(shared: Path, soak: bool) -> None:
    """Every text of the parser's tests, as tokens and as random pieces: what was written is what is stored, and its
    verdict is that of the whole text. Cut anywhere, it never says what the whole text takes back."""
    tokenizer = build_tokenizer()
    texts = [(case.text, case.truncated) for case in CASES] + read_case_texts(shared)
    texts += [(text, False) for text, _ in FINAL]
    rounds = 1 + 100_000 // len(texts) if soak else 12
    randomness = random.Random(int(os.environ.get("RMR1_SEED", "0")))
    cuts = 0
    for text, truncated in texts:
        whole = [parse_verdict(text, truncated=truncated, rule=rule) for rule in ("tagged", "arena")]
        for _ in range(rounds):
            pieces = cut(text, randomness, randomness.randint(0, 8))
            cuts += 1
            params = SamplingParams()
            tokens = [token for piece in pieces for token in encode_text(tokenizer, piece)]
            stream = TextStream(tokenizer, Endings(tokenizer, params), StopWatcher(params.stop))
            assert not any(stream.push(token) for token in tokens)
            stored = stream.finish()
            assert stored == decode_tokens(tokenizer, tokens) == text
            assert watch(pieces, StopWatcher()) is None
            assert [
                parse_verdict(stored, truncated=truncated, rule=rule) for rule in ("tagged", "arena")
            ] == whole
            # A token limit at this place: a verdict counts only if it is the last thing written.
            part = "".join(pieces[: len(pieces) // 2])
            verdict = parse_verdict(part, truncated=True)
            if verdict.winner is not None:
                tail = part.rstrip(" .\n")[-40:].lower()
                assert "</ans" in tail or "]]" in tail
    assert cuts >= rounds * len(texts)
