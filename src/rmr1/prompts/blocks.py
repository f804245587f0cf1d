"""Rendered judge prompt -> its parts: the inverse of the templates' delimiters.

Used to read training data that was published already rendered, by the scripted engines, and to prove
that hostile text cannot break out of its block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rmr1.errors import DataError
from rmr1.prompts.escape import unescape
from rmr1.prompts.protocol import DIALECTS, Delimiters


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The parts of one rendered user message, as they stand there (escaped, if they were)."""

    question: str | None
    """None if `is_conversation`: both transcripts hold it."""
    response_a: str
    response_b: str
    is_conversation: bool
    prefix: str
    """What stands before the first delimiter; `suffix`, after the last."""
    suffix: str

    def unescape(self, special_tokens: tuple[str, ...] = ()) -> Blocks:
        """The parts as the user wrote them."""

        def plain(text: str) -> str:
            return unescape(text, special_tokens, transcript=self.is_conversation)

        question = None if self.question is None else plain(self.question)
        return replace(
            self, question=question, response_a=plain(self.response_a), response_b=plain(self.response_b)
        )


def parse_blocks(text: str) -> Blocks:
    """Split a rendered user message at the protocol's delimiters, of either form and any of `protocol.DIALECTS`.

    The first opening delimiter and the last closing one count, so text that was rendered without escaping is split as
    well as can be.

    Raises:
        DataError: a delimiter is missing; the message names it.
    """
    for dialect in DIALECTS:
        if dialect.conversation("A")[0] in text:
            return _split(text, dialect, is_conversation=True)
        if dialect.response("A")[0] in text:
            return _split(text, dialect, is_conversation=False)
    raise DataError(
        f"the prompt has no delimiter {DIALECTS[0].response('A')[0]!r}: it was not rendered by the judge protocol"
    )


def _split(text: str, dialect: Delimiters, *, is_conversation: bool) -> Blocks:
    delimiters = dialect.conversation if is_conversation else dialect.response
    (start_a, end_a), (start_b, end_b) = delimiters("A"), delimiters("B")
    question = None
    if is_conversation:
        prefix, rest = _cut(text, start_a)
    else:
        prefix, rest = _cut(text, dialect.question + "\n")
        question, rest = _cut(rest, start_a)
        question = question.removesuffix("\n").removesuffix("\n")
    response_a, rest = _cut(rest, f"{end_a}\n\n{start_b}" if f"{end_a}\n\n{start_b}" in rest else end_a)
    if rest.lstrip().startswith(start_b):
        rest = rest.lstrip()[len(start_b) :]
    response_b, found, suffix = rest.rpartition(end_b)
    if not found:
        raise DataError(f"the prompt has no delimiter {end_b!r} after {start_b!r}")
    # The line breaks at both ends of a block belong to its delimiters.
    return Blocks(
        question=question,
        response_a=response_a.removeprefix("\n").removesuffix("\n"),
        response_b=response_b.removeprefix("\n").removesuffix("\n"),
        is_conversation=is_conversation,
        prefix=prefix,
        suffix=suffix,
    )


def _cut(text: str, delimiter: str) -> tuple[str, str]:
    before, found, after = text.partition(delimiter)
    if not found:
        raise DataError(f"the prompt has no delimiter {delimiter.strip()!r} where one is expected")
    return before, after
