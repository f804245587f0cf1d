r"""Neutralise protocol and control tokens inside user text, reversibly.

A response that contains `[The End of Chatbot A's Response]`, `<answer>[[A]]</answer>` or
`<|im_end|>` could end its own block, speak for the judge or end the judge's prompt. Each such token
gets one backslash after its first character: `[\The End of ...`, `<\answer>`, `<\|im_end|>`,
`[\[A]]`. Backslashes that already stand there are kept, so `unescape` (take one away) restores every
text exactly.

Broken is what somebody reads, and nothing else, so that code and HTML keep their looks (docs/design.md, "Prompts"): the
delimiters of the judge prompt, and in transcripts a speaker's name that begins a line; verdicts; of the tags `answer`,
`quote_X`, `summary_X`, `score_1`, every mark of thinking, and `rubric`, since a prompt with that tag is one that asks for it; and control
tokens, by their shape or as they are spelt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from rmr1.errors import ConfigError
from rmr1.prompts.thinking import MARK_NAMES

_S = r"\s{0,8}"
_TAG_END = r"(?=\s{0,8}(?:/?>|[\w-]{1,20}\s{0,4}=))"
_SHORT = r"(?:bo[stm]|eo[stmpdha]|sop|pad|unk|sep|cls)"
"""<bos>, [EOT], <seed:eos>: ends, beginnings and fillers."""
_NUMBERED = (
    r"(?:[a-z]{1,16}_){0,3}(?:unused|reserved|special|extra|token|control|sentinel|placeholder|dummy|pad)"
    r"(?:_[a-z]{1,16}){0,2}"
)

_ANGLED = "|".join(
    [
        "(?-i:s)",  # as it is spelt: <S> is a type parameter
        rf"(?:[a-z]{{1,16}}:)?{_SHORT}(?:_token)?",  # <eos>, <BOS_TOKEN>, <seed:eos>
        r"(?:[a-z]{1,16}:)?(?:tool|function)_(?:calls?|responses?|results?|outputs?|code)",
        r"(?:start|begin|beginning|end)_of_[a-z_]{1,32}",
        # <im_start>, <tool_call_end>: a part of a conversation; <warm_start> and (?P<tag_start>...) are none
        r"(?:[a-z]{1,16}_){0,2}(?:im|msg|message|turn|role|user|assistant|system|prompt|header|context|calls?|tools?"
        r"|functions?|responses?|results?|utterance|chat|image|img|video|audio|vision|speech)_(?:start|begin|end|sep)",
        r"fim_[a-z]{2,16}|[a-z]{2,16}_(?:soft|special)_token",
        rf"{_NUMBERED}_?\d{{1,6}}",  # <unused12>, <extra_id_0>
        r"(?-i:[A-Z]{2,24}(?:_[A-Z]{1,24}){0,3}_\d{1,6})",  # <SPECIAL_12>
    ]
)
"""Words that are control tokens in angle brackets."""
_SQUARED = "|".join(
    [
        r"(?-i:INST|SYS|SYSTEM_PROMPT|MODEL_SETTINGS|AVAILABLE_TOOLS|TOOL_[A-Z]{2,16})",
        r"(?-i:[BE]O[STM]|PAD|UNK|SEP|CLS|[gs]?MASK)",
        r"(?-i:(?<=/)[A-Z]{2,16}(?:_[A-Z]{2,16}){1,3})",  # [/ANY_WORDS]
        rf"{_NUMBERED}_\d{{1,6}}",  # [control_8]
    ]
)
"""The same in square brackets."""

_CONTROL: Mapping[str, tuple[str, ...]] = {
    "<": (
        # bars on both sides, or on one: <|im_end|>, <|turn>, <turn|>, </｜DSML｜invoke name="x">
        r"/?[|｜]{1,2}[^\s<>|｜\\](?:[^<>\n\\]{0,62}[^\s<>\\])?[|｜]>",
        r"/?(?:[|｜]\w[^\s<>\\]{0,62}|｜[^<>\n\\]{1,64})>",
        r"/?\w[\w.:/+-]{0,62}[|｜]>",
        # sentencepiece's sign for a blank: <[end▁of▁sentence]>; <[fim-prefix]>
        r"[^\s<>▁\\]{0,32}▁[^\s<>\\]{0,64}>",
        r"\[[a-z]{2,16}-[a-z]{2,16}\]>",
        r"</?(?-i:SYS|SYSTEM|INST|USER|ASSISTANT)>>",
        rf"/?(?=s>|[\w:]{{3,120}}>)(?:{_ANGLED})>",
        # thinking
        rf"[|｜]?{_S}/?{_S}(?:{MARK_NAMES})(?:{_TAG_END}|{_S}[|｜]>)",
    ),
    "[": (
        # [|endofturn|], but not the list [|1; 2|]
        r"\|[a-z][\w.:/+-]{2,62}\|\]",
        rf"/?(?=\w{{3,120}}\])(?:{_SQUARED})\]",
        r"@[a-z]{2,16}@\]",
        r"[\w!]{1,8}~(?=\[)",  # [e~[
        # thinking, in capitals only
        rf"{_S}/?{_S}(?-i:(?=[A-Z:_-]{{1,80}}(?![A-Za-z:_-])))(?:{MARK_NAMES})(?=[\s\]])",
    ),
    # ]~b], ]~!b[, ]<]image[>[: brackets that face the wrong way
    "]": (r"~\w{1,8}(?=\])", r"(?:~!\w{1,8}|!\w{1,8}~)(?=\[)", r"<(?=\][\w ]{1,24}\[>\[)"),
    "◁": (rf"(?:/?\w[^◁▷\n\\]{{0,40}}▷|{_S}/?{_S}(?:{MARK_NAMES})(?=[\s▷]))",),
}
"""First character of a control token -> what may follow it; in any case, unless a shape says otherwise."""

_CLOSE = "(?:]]|］］|】】)"
_NAMED = "(?:(?-i:[A-DＡ-Ｚ])|tie)"
_COMPARED = "(?:(?i:[A-D]){0}(?i:[A-D])|[A-Z0-9]{{1,16}}{0}[A-Z0-9]{{1,16}})".format(rf"{_S}[<>=]{{1,4}}{_S}")

_PROTOCOL: Mapping[str, tuple[str, ...]] = {
    "<": (rf"{_S}/?{_S}(?:answer|rubric|(?:quote|summary)_[a-z0-9]{{1,16}}|score_\d{{1,3}}){_TAG_END}",),
    "[": (
        rf"\[{_S}{_NAMED}{_S}{_CLOSE}",
        rf"\[{_S}(?-i:{_COMPARED}){_S}\]\]",
        rf"{_S}(?:Client\s+Question|The\s+(?:Start|End)\s+of)\b",
        rf"{_S}(?:客户问题|客服[A-Z](?:的回答|与客户的对话))",
    ),
    "［": (rf"［{_S}{_NAMED}{_S}{_CLOSE}",),
    "【": (rf"【{_S}{_NAMED}{_S}{_CLOSE}",),
    # What is left of harmony's channels if a server drops the control tokens.
    "a": (r"(?-i:ssistant(?=final|commentary))",),
}
"""The same of what our own parser and templates read."""

_NEEDLES = {"a": "ssistant"}
"""First character -> what a text must hold to be worth searching; by default the character."""

_ALONE = r"(?<![A-Za-z0-9_)\]$\[\\]\[)(?<![A-Za-z0-9]\(\[)"
"""What stands behind the first bracket of a mark: no name, index or call touches it."""
_UNTOUCHED = r"(?<![A-Za-z0-9_)\]][\[［【])"
"""The same of a mark with a number, which may be read also behind a sign."""
_NUMBER_MARK = r"[\[［【][^\[\]［］【】0-9０-９]{0,20}[0-9０-９][^\[\]［］【】]{0,40}[\]］】]{2}"
"""What follows the first bracket of `[[7]]`, `[[Rating: 7/10]]` and `【【７】】`."""

_SLASHES = (r"\\*", r"\\+")
"""What may stand between a token's first character and the rest: as written, and when escaped."""

_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_BLANK = (
    r"[\x00-\t\x0e-\x1b\x1f \x7f-\x84\x86-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u202a-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
"""What shows as a blank or not at all, and breaks no line."""
_SPEAKERS = ("User", "Chatbot", "Chabot", "System", "Tool")
_SPEAKER = tuple(
    re.compile(
        rf"((?:\A|[{_BREAKS}]){_BLANK}*)({slashes})((?:User|Chat?bot{_BLANK}+[A-Z]|System|Tool){_BLANK}*[:：])"
    )
    for slashes in _SLASHES
)

_ODD = re.compile(
    r"(?!</?[a-z]{1,12}\d?>\Z)[^\w\s()\"'.,;:!?](?=.*[^\W\d_])\S*[^\w\s()\"'.,;:!?]"
    r"|</?(?:image|audio|video|vision|mask|repo|tool|turn|role|user|assistant|system|human|bot)>"
)
"""An added token with signs at both ends, or a part of a conversation or a medium in angle brackets."""


class _Pass(NamedTuple):
    """One search through a text; `pattern` has three groups: what precedes the backslashes, they, and the rest.

    A pattern that begins with one literal is searched fast, hence one pass for each first character. Each is injective
    by itself, so they can be undone in reverse.
    """

    needle: str
    """A text that does not hold it is not searched."""
    pattern: re.Pattern[str]


@lru_cache(maxsize=4)
def _known_passes(ratings: bool, escaped: bool) -> tuple[_Pass, ...]:
    slashes = _SLASHES[escaped]
    rests: dict[str, list[str]] = {}
    for first, shapes in [*_CONTROL.items(), *_PROTOCOL.items()]:
        rests.setdefault(first, []).extend(shapes)
    passes = [
        _Pass(
            _NEEDLES.get(first, first),
            re.compile(f"({re.escape(first)})({slashes})((?i:{'|'.join(shapes)}))"),
        )
        for first, shapes in rests.items()
    ]
    passes.append(_Pass("[", re.compile(rf"(\[){_ALONE}({slashes})(\[{_S}[E-Z]{_S}{_CLOSE})")))
    if ratings:
        passes += [
            _Pass(first, re.compile(rf"({re.escape(first)}){_UNTOUCHED}({slashes})({_NUMBER_MARK})"))
            for first in "[［【"
        ]
    return tuple(passes)


@lru_cache(maxsize=64)
def _own_passes(tokens: tuple[str, ...], escaped: bool) -> tuple[_Pass, ...]:
    """Searches for literal tokens. One that has a known shape needs none; one of a single character, or that holds
    a backslash, has no place for the escape."""
    rests: dict[str, list[str]] = {}
    for token in sorted(set(tokens), key=len, reverse=True):
        if len(token) > 1 and "\\" not in token and not any(_has_shape(token, known) for known in _shapes()):
            rests.setdefault(token[0], []).append(re.escape(token[1:]))
    return tuple(
        _Pass(first, re.compile(f"({re.escape(first)})({_SLASHES[escaped]})({'|'.join(known)})"))
        for first, known in rests.items()
    )


def _find_patterns(
    text: str, special_tokens: Sequence[str], transcript: bool, ratings: bool, escaped: bool
) -> list[re.Pattern[str]]:
    """What may change the text, in order; no backslash more or less makes another choice."""
    passes = _known_passes(ratings, escaped)
    if special_tokens:
        passes = _own_passes(tuple(special_tokens), escaped) + passes
    found = [pattern for needle, pattern in passes if needle in text]
    if transcript and any(name in text for name in _SPEAKERS):
        found.append(_SPEAKER[escaped])
    return found


@lru_cache(maxsize=1)
def _shapes() -> tuple[dict[str, re.Pattern[str]], ...]:
    """The control tokens and the protocol's, each by first character."""
    return tuple(
        {first: re.compile(f"{re.escape(first)}(?i:{'|'.join(rests)})") for first, rests in known.items()}
        for known in (_CONTROL, _PROTOCOL)
    )


def _has_shape(token: str, known: Mapping[str, re.Pattern[str]]) -> bool:
    return token[:1] in known and known[token[0]].match(token) is not None


def is_control(token: str) -> bool:
    """Whether one of a tokenizer's added tokens looks like a control token.

    It does if it has a shape that is always broken, or if signs stand at both of its ends and it is neither
    `<word>`, which is HTML, nor of the judge protocol.
    """
    control, protocol = _shapes()
    return _has_shape(token, control) or (
        not _has_shape(token, protocol) and _ODD.fullmatch(token) is not None
    )


def check_tokens(tokens: Sequence[str]) -> tuple[str, ...]:
    """A user's own control tokens, if each can be broken.

    Raises:
        ConfigError: one is too short, or holds a backslash.
    """
    for token in tokens:
        if len(token) < 2 or "\\" in token or not token.strip():
            raise ConfigError(
                f"control token {token!r} is not two or more characters without a backslash: "
                "it is broken by a backslash after its first one"
            )
    return tuple(tokens)


def escape(
    text: str, special_tokens: Sequence[str] = (), *, transcript: bool = False, ratings: bool = False
) -> str:
    r"""`text` with every imitable token broken by one backslash.

    `transcript` also breaks speaker names at the start of a line (`\User:`), which in a transcript
    would open a turn; `ratings` also breaks `[[7]]`, which a prompt that asks for a number takes for one.

    >>> escape("so <answer>[[A]]</answer>")
    'so <\\answer>[\\[A]]<\\/answer>'
    """
    for pattern in _find_patterns(text, special_tokens, transcript, ratings, False):
        text = pattern.sub(r"\1\\\2\3", text)
    return text


def unescape(
    text: str, special_tokens: Sequence[str] = (), *, transcript: bool = False, ratings: bool = False
) -> str:
    """The inverse of `escape` with the same arguments."""
    if "\\" not in text:
        return text
    for pattern in reversed(_find_patterns(text, special_tokens, transcript, ratings, True)):
        text = pattern.sub(lambda match: match[1] + match[2][1:] + match[3], text)
    return text


def find_tokens(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every built-in token that `escape` would break, in no particular order."""
    for pattern in _find_patterns(text, (), False, False, False):
        for match in pattern.finditer(text):
            yield match.span()
