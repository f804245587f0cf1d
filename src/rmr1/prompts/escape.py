r"""Neutralise protocol and control tokens inside user text, reversibly.

A response that contains `[The End of Chatbot A's Response]`, `<answer>[[A]]</answer>` or
`<|im_end|>` could end its own block, speak for the judge or end the judge's prompt. Each such token
gets one backslash after its first character: `[\The End of ...`, `<\answer>`, `<\|im_end|>`,
`[\[A]]`. Backslashes that already stand there are kept, so `unescape` (take one away) restores every
text exactly; quotations in a trace are unescaped before they are looked up in the response.

`escape` covers every spelling that the parser would read (any case, white space inside), the control
tokens of the common chat templates, and whatever `special_tokens` the model's tokenizer adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rmr1.prompts.protocol import SIDE_TAGS, TAGS

_SPACE = r"\s{0,8}"
_TAG_NAMES = "|".join([*TAGS, *(rf"{tag}_[A-Z0-9]" for tag in SIDE_TAGS)])

_BUILT_IN = {
    "<": (
        # protocol tags, opening or closing, with attributes or unclosed
        rf"{_SPACE}/?{_SPACE}(?:{_TAG_NAMES})\b",
        # control tokens of chat templates
        r"\|[\w.:/+-]{1,64}\|?>",
        r"｜[^<>\n]{1,64}>",
        r"/?(?:s|bos|eos|pad|unk|im_start|im_end|start_of_turn|end_of_turn|begin_of_text|end_of_text)>",
        r"</?SYS>>",
    ),
    "[": (
        # verdict markers: [[A]], [[ tie ]], [[A>>B]]
        rf"\[{_SPACE}(?:[A-Z]|tie){_SPACE}(?:[<>=]{{1,3}}{_SPACE}[A-Z]{_SPACE})?\]",
        # block delimiters, English and Chinese
        rf"{_SPACE}(?:Client\s+Question|The\s+(?:Start|End)\s+of)\b",
        rf"{_SPACE}(?:客户问题|客服[A-Z](?:的回答|与客户的对话))",
        # control tokens of chat templates
        r"/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]",
    ),
}
"""First character of a token -> what may follow it, in any case."""

_SPEAKER = re.compile(r"^([ \t]*)(\\*)((?:User|Chatbot [A-Z]|Chabot [A-Z]|System|Tool)[ \t]*:)", re.M)
_ESCAPED_SPEAKER = re.compile(r"^([ \t]*)(\\+)((?:User|Chatbot [A-Z]|Chabot [A-Z]|System|Tool)[ \t]*:)", re.M)


@lru_cache(maxsize=32)
def _patterns(special_tokens: tuple[str, ...], escaped: bool) -> tuple[re.Pattern[str], ...]:
    """One pattern per first character: a pattern that begins with one literal is searched fast.

    Each is injective by itself, so they can be applied in turn and undone in reverse.
    """
    slashes = r"\\+" if escaped else r"\\*"
    rests: dict[str, list[str]] = {
        first: [f"(?i:{rest})" for rest in known] for first, known in _BUILT_IN.items()
    }
    # A token of one character, or one that holds a backslash, has no place for the escape.
    for token in sorted({token for token in special_tokens if len(token) > 1 and "\\" not in token}, key=len):
        rests.setdefault(token[0], []).insert(0, re.escape(token[1:]))
    return tuple(
        re.compile(f"({re.escape(first)})({slashes})({'|'.join(known)})") for first, known in rests.items()
    )


def escape(text: str, special_tokens: Sequence[str] = (), *, transcript: bool = False) -> str:
    r"""`text` with every imitable token broken by one backslash.

    `transcript` also breaks speaker names at the start of a line (`\User:`), which in a transcript
    would open a turn.

    >>> escape("so <answer>[[A]]</answer>")
    'so <\\answer>[\\[A]]<\\/answer>'
    """
    for pattern in _patterns(tuple(special_tokens), False):
        text = pattern.sub(r"\1\\\2\3", text)
    return _SPEAKER.sub(r"\1\\\2\3", text) if transcript else text


def find_tokens(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every built-in token that `escape` would break, in no particular order."""
    for pattern in _patterns((), False):
        for match in pattern.finditer(text):
            yield match.span()


def unescape(text: str, special_tokens: Sequence[str] = (), *, transcript: bool = False) -> str:
    """The inverse of `escape` with the same arguments."""
    if transcript:
        text = _ESCAPED_SPEAKER.sub(_drop_backslash, text)
    for pattern in reversed(_patterns(tuple(special_tokens), True)):
        text = pattern.sub(_drop_backslash, text)
    return text


def _drop_backslash(match: re.Match[str]) -> str:
    return match[1] + match[2][1:] + match[3]
