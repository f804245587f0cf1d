"""What in an answer is not its wording: control tokens, template tags, names of speakers, invisible characters.

A pattern finds whatever looks like such a token, because those that get into data are those that nobody thought of
(`<im_start>` in the Skywork pairs of magpie_ultra).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rmr1.messages import Messages
from rmr1.prompts.escape import find_tokens

_TOKEN_LIKE = re.compile(
    r"<[|｜][^<>|｜\n]{1,48}[|｜]?>?"  # <|im_start|>, <|im_start>, <|im_start
    r"|(?<![\w/.#>])</?[a-z]{1,12}(?:_[a-z]{1,12}){1,3}>"  # <im_start>, not std::vector<my_type>
    r"|</?(?:s|bos|eos|pad|unk|sep|cls|mask|INST|SYS)>"
    r"|<</?SYS>>"
    r"|\[/?(?:INST|SYS|SYSTEM|PAD|UNK|BOS|EOS|SEP|CLS|MASK)\]"
    r"|^#{2,4} ?(?:Instruction|Response|Input|Human|Assistant|User|System)s?:?[ \t]*$",
    re.M,
)
_SPEAKER = re.compile(
    r"^[ \t]*(?:\*\*)?((?:Human|Assistant|User|System|Client|Customer|AI|Bot|Model|GPT4 Correct (?:User|Assistant)"
    r"|Chatbot(?: [A-Z])?|Chabot(?: [A-Z])?|Response [AB]|Answer [AB]|USER|ASSISTANT|SYSTEM|HUMAN)[ \t]?[:：])",
    re.M,
)
_INVISIBLE = {
    "\r": "a carriage return",
    "\u00a0": "a no-break space",
    "\u200b": "a zero-width space",
    "\u200d": "a zero-width joiner",
    "\ufeff": "a byte order mark",
    "\ufffd": "a replacement character",
    "\x00": "a NUL character",
}
_CONTROL = re.compile("[" + "".join(_INVISIBLE) + "]")
_REST = re.compile(r"(?<![\]>])[^\n<>\[\]]{0,60}[\]>]{1,2}|(?<=[^\]]\])\]")
"""What follows a token that is known by its beginning: `[The Start of`, `<answer`, `[[A]`."""
_REACH = 30
"""Characters of context on each side of an excerpt."""

Found = tuple[str, str]
"""(feature, excerpt)"""


def control_tokens(answer: Messages) -> Iterator[Found]:
    """Each control token, template tag or protocol tag, and that there is one at all."""
    first = ""
    for message in answer:
        text = message.text
        if "<" not in text and "[" not in text and "##" not in text:
            continue
        for start, end in _spans(text):
            rest = _REST.match(text, end)
            end = rest.end() if rest else end
            excerpt = excerpt_of(text, start, end)
            first = first or excerpt
            yield repr(" ".join(text[start:end].split())[:60]), excerpt
    if first:
        yield "any control token", first


def _spans(text: str) -> list[tuple[int, int]]:
    """The spans of tokens; of two that overlap the longer one."""
    found = [match.span() for match in _TOKEN_LIKE.finditer(text)] + list(find_tokens(text))
    kept: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def speaker_names(answer: Messages) -> Iterator[Found]:
    """Names of speakers that begin a line: an answer that goes on to write the other side's turn."""
    for message in answer:
        for match in _SPEAKER.finditer(message.text):
            name = " ".join(match[1].rstrip(":： \t").split())
            yield f"{name}:", excerpt_of(message.text, match.start(1), match.end(1))


def turn_structure(answer: Messages) -> Iterator[Found]:
    """How many messages the answer is made of, and who speaks."""
    roles = [message.role for message in answer]
    if not roles:
        return
    count = f"{len(roles)} messages" if 1 < len(roles) <= 4 else "more than 4 messages"
    if len(roles) > 1:
        yield count, " ".join(roles[:8])
        yield "more than one message", " ".join(roles[:8])
    for role in sorted(set(roles) - {"assistant"}):
        yield f"a message of the role {role}", " ".join(roles[:8])
    if any(not isinstance(message.content, str) for message in answer):
        yield "a message in parts", " ".join(roles[:8])


def edges(answer: Messages) -> Iterator[Found]:
    """White space at the ends and characters that cannot be seen."""
    text = answer[-1].text if answer else ""
    if not text:
        return
    head, tail = repr(text[:_REACH]), repr(text[-_REACH:])
    if text[0].isspace():
        yield f"begins with {text[0]!r}", head
    if text[-1].isspace():
        yield f"ends with {text[-1]!r}", tail
    for character in sorted(set(_CONTROL.findall(text))):
        place = text.index(character)
        yield f"holds {_INVISIBLE[character]}", repr(excerpt_of(text, place, place + 1))


def excerpt_of(text: str, start: int, end: int) -> str:
    """The place in one line, with a little of what stands around it."""
    before, after = max(0, start - _REACH), min(len(text), end + _REACH)
    shown = " ".join(text[before:after].split())[: 2 * _REACH + 60]
    return f"{'…' if before else ''}{shown}{'…' if after < len(text) else ''}"
