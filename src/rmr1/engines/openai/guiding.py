"""Whether a server goes on with a begun text, or else fills a sheet: found out by asking it, once for an engine.

Each way of asking (`WAYS`) gets begun texts that break off within a word. A server that goes on writes the rest of the
word; one that takes them for an earlier turn answers anew, with the whole word or from the beginning. A model that does
neither is asked for a text of its own, which is begun again and broken off: one that goes on writes what it wrote. A way
counts if it goes on twice. A sheet is tried with a value that nobody would guess.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.openai.continuing import WAYS, Manner
from rmr1.engines.openai.wire import one_line
from rmr1.engines.sheets import Field, Sheet
from rmr1.errors import ConfigError, GenerationError
from rmr1.messages import user
from rmr1.prompts.thinking import Pair, find_close_mark, find_marks
from rmr1.records import NO_TEXT, Generation, JudgePrompt, Usage

Ask = Callable[[Manner | None, Sequence[Request]], list[Generation]]
"""Asks the server the requests, in a manner of going on; the answers in their sequence."""

_WANTED = 2
"""Begun texts with which a server must go on."""
_SHORT, _TEXT, _LONG = 16, 48, 1024
"""Most tokens of a probe's reply: the rest of a word, a text, a sheet behind the thinking of a model that thinks."""
_COMPARED = 12
"""Characters that must be the same as before."""
_SHOWN = 60
_VALUE = "heron-4127"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A text that breaks off within a word."""

    question: str
    start: str
    rest: str
    """How it must go on."""
    anew: tuple[str, ...]
    """Beginnings of a reply that does not go on."""


_BEGUN = (
    Begun(
        question="Write the days of the week in English, one after the other, and nothing else.",
        start="(7) monday/tuesday/wednes",
        rest="day",
        anew=("(7)", "monday", "wednesday", "thursday"),
    ),
    Begun(
        question="Reply with this line alone: <type>Chat</type> <answer>[[B]]</answer>",
        start="<type>Chat</type> <ans",
        rest="wer>",
        anew=("<type", "<answer", "[[b"),
    ),
)
_OWN_QUESTION = "Describe rain in two or three sentences."
"""Asks for a text that nobody can go on with by guessing."""
_SHEET = Sheet(fields=(Field(name="code", about="The code.", choices=(_VALUE,)),))
_SHEET_QUESTION = "Write one JSON object with the field code."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How a server can be guided."""

    manner: Manner | None
    """How it goes on with begun texts; None if it only fills sheets."""
    opening: str
    """The mark by which the model's own texts open their thinking; "" if they have none, or may not."""
    note: str


def find_manner(ask: Ask, name: str, thinking: Sequence[Pair], read_usage: Callable[[], Usage]) -> Finding:
    """Try the ways of going on, then a sheet.

    Raises:
        ConfigError: the server can do neither. GenerationError: it gave no answer that would tell.
    """
    before = read_usage()

    def tell(what: str) -> str:
        used = read_usage()
        return (
            f"{what} (found out by asking, which took "
            f"{used.prompt_tokens - before.prompt_tokens:,} + {used.completion_tokens - before.completion_tokens:,} tokens)"
        )

    plain = _question(_OWN_QUESTION, "own", SamplingParams(max_new_tokens=_TEXT))
    (own,) = ask(None, [plain])
    if own.finish_reason in NO_TEXT:
        raise GenerationError(f"whether model {name!r} can be guided cannot be found out: {own.error}")
    marks = find_marks(own.text[:64], thinking)
    is_thinking = bool(marks) and not marks[0].is_closing and not own.text[: marks[0].start].strip()
    opening = own.text[marks[0].start : marks[0].end] + "\n" if is_thinking else ""
    tried: dict[str, list[str]] = {}
    for way in WAYS:
        manner = Manner(way=way, opening=opening)
        goes_on, said = _try_way(ask, manner, "" if is_thinking else own.text)
        if goes_on:
            note = f"guided: it goes on with begun texts, asked by {way}"
            if opening and not _try_thinking(ask, manner, opening):
                manner = replace(manner, opening="", keeps_thinking=False)
                note += "; thinking in them does not reach the model, so it does not think first"
            if _joins_letters(ask, manner):
                manner = replace(manner, joins_letters=True)
            return Finding(manner=manner, opening=manner.opening, note=tell(note))
        tried.setdefault(said, []).append(way)
    params = SamplingParams(max_new_tokens=_LONG)
    (filled,) = ask(None, [replace(_question(_SHEET_QUESTION, "sheet", params), sheet=_SHEET)])
    listed = "; ".join(f"{', '.join(ways)}: {said}" for said, ways in tried.items())
    if _reads(filled.text):
        note = f"guided by a JSON schema, for it does not go on with begun texts ({listed})"
        return Finding(manner=None, opening=opening, note=tell(note))
    if filled.finish_reason in NO_TEXT and not filled.is_refused:
        raise GenerationError(f"whether model {name!r} can be guided cannot be found out: {filled.error}")
    raise ConfigError(
        f"model {name!r} cannot be guided: its server neither goes on with a begun text ({listed}) nor keeps to a JSON "
        f"schema ({filled.error or 'it wrote ' + _show(filled.text)}); use a local model, or leave the guide out"
    )


def _try_way(ask: Ask, manner: Manner, own: str) -> tuple[bool, str]:
    """Whether a server goes on, and else what it said."""
    answers = ask(manner, [_begin(one.question, one.start, str(at)) for at, one in enumerate(_BEGUN)])
    num_good = 0
    for one, answer in zip(_BEGUN, answers, strict=True):
        if answer.finish_reason in NO_TEXT:
            return False, answer.error or "no answer"
        num_good += answer.text.startswith(one.rest)
        if answer.text.strip().lower().startswith(one.anew):
            return False, f"it answered anew, {_show(answer.text)} behind {_show(one.start)}"
    if num_good >= _WANTED:
        return True, ""
    wanted = list(_break_off(own))
    rest = ask(manner, [_begin(_OWN_QUESTION, own[:at], f"own {at}") for at, _ in wanted])
    same = [
        "".join(answer.text.split()).startswith(head) for (_, head), answer in zip(wanted, rest, strict=True)
    ]
    if sum(same) >= max(_WANTED, len(same) / 2):
        return True, ""
    return False, f"it wrote {_show(answers[0].text)} behind {_show(_BEGUN[0].start)}"


def _break_off(text: str) -> Iterator[tuple[int, str]]:
    """Places at the end of a word, and what stands behind them; only such as could not be the beginning of a text."""
    text = text.rstrip()
    words = "".join(text.split())
    places = [at for at in range(1, len(text)) if text[at].isspace() and not text[at - 1].isspace()]
    heads: dict[str, int] = {}
    for share in (1 / 4, 2 / 5, 1 / 2, 3 / 5):
        for at in places[int(share * len(places)) :][:1]:
            head = "".join(text[at:].split())[:_COMPARED]
            if len(head) == _COMPARED and words.count(head) == 1:
                heads.setdefault(head, at)
    yield from ((at, head) for head, at in heads.items())


def _try_thinking(ask: Ask, manner: Manner, opening: str) -> bool:
    """Whether a begun text goes on that holds thinking."""
    thought = f"{opening}They ask for a list.\n{find_close_mark(opening)}\n\n"
    answers = ask(
        manner, [_begin(one.question, thought + one.start, f"thought {at}") for at, one in enumerate(_BEGUN)]
    )
    return all(answer.text.startswith(one.rest) for one, answer in zip(_BEGUN, answers, strict=True))


def _joins_letters(ask: Ask, manner: Manner) -> bool:
    """Whether a letter behind brackets adds no token to the prompt; False if the server does not count."""
    counts = []
    for at, start in enumerate(("<answer>[[", "<answer>[[A")):
        (answer,) = ask(manner, [_begin(_BEGUN[1].question, start, f"letters {at}")])
        is_counted = answer.billed is not None and not answer.billed.is_estimated
        counts.append(answer.prompt_tokens if is_counted else at)
    return counts[1] <= counts[0]


def _question(text: str, name: str, params: SamplingParams) -> Request:
    key = f"guide/{name}"
    prompt = JudgePrompt(pair_id=key, family="", order="given", messages=(user(text),))
    return Request(key=key, prompt=prompt, params=params)


def _begin(question: str, start: str, name: str) -> Request:
    params = SamplingParams(max_new_tokens=_SHORT)
    return replace(_question(question, name, params), going_on=Continuation(start=start))


def _reads(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"code": _VALUE})
    except ValueError:
        return False


def _show(text: str) -> str:
    line = one_line(text)
    return repr(line if len(line) <= _SHOWN else line[: _SHOWN - 3] + "...")
