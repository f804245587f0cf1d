"""The way between text and tokens: prompts in, growing texts out, and the tokens of a verdict.

A tokenizer may write `[[A]]` as `[[`, `A`, `]]`, as `[[A`, `]]`, as one token, or in other ways. What is compared is
therefore the *piece*: the token that holds the letter, and for every other label the token that spells the same piece
with the other letter (`[[A` and `[[B`, ` A` and ` B`). If the vocabulary has no such token, or the letter spans
several, each label's spelling of the piece is split into tokens and scored whole, after the same text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from rmr1.engines.base import SamplingParams
from rmr1.engines.loops import LOOP_EVERY, is_loop
from rmr1.verdicts.stop import StopWatcher, end_chars

_BROKEN = "\ufffd"
"""What an incomplete character decodes to."""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BYTES: dict[str, int] = {char: byte for byte, char in bytes_to_unicode().items()}
"""The byte that a character of a byte-level vocabulary stands for."""
_CHAR_BYTES = 4
"""Most bytes of a character."""


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of `text` as it stands, none added; a chat template writes a beginning-of-sequence token itself."""
    return list(
        tokenizer(text, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    )


def decode_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    """The text of `tokens`, control tokens included: what the model wrote is what is recorded."""
    text = tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert isinstance(text, str)
    return text


class TextStream:
    """One row's text as its tokens come, and whether it ends here.

    Tokens are decoded only when one comes that could complete an ending, together with all that came since.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        endings: Endings,
        watcher: StopWatcher,
        *,
        stop_at_loop: bool = False,
    ):
        self._tokenizer = tokenizer
        self._endings = endings
        self._stop_at_loop = stop_at_loop
        self._watcher = watcher
        self._tokens: list[int] = []
        self._context = 0
        self._read = 0
        self._pieces: list[str] = []
        self._end: int | None = None
        self._heard_context = 0
        self._num_heard_tokens = 0
        self._num_heard = 0

    def push(self, token: int) -> bool:
        """Take in a token; True if the text ends with it."""
        self._tokens.append(token)
        if self._end is None and self._endings.may_end(token):
            self._advance(is_last=False)
        if self._stop_at_loop and len(self._tokens) % LOOP_EVERY == 0 and is_loop(self._tokens):
            return True
        return self._end is not None

    def hear(self) -> str:
        """What was written since this was asked last, up to the last whole character and no further than the text's end.

        It is read beside the text itself, which is the same whether this is asked or not.
        """
        before = decode_tokens(self._tokenizer, self._tokens[self._heard_context : self._num_heard_tokens])
        after = decode_tokens(self._tokenizer, self._tokens[self._heard_context :])
        if after.endswith(_BROKEN):
            return ""
        piece = after[len(before) :]
        if self._end is not None:
            piece = piece[: max(0, self._end - self._num_heard)]
        if self._num_heard_tokens < len(self._tokens):
            self._heard_context, self._num_heard_tokens = self._num_heard_tokens, len(self._tokens)
        self._num_heard += len(piece)
        return piece

    def finish(self) -> str:
        """The whole text as it was written, up to a stop string's end, without a last character that the token limit
        has cut."""
        num_tokens, is_partial = len(self._tokens), False
        if self._end is None:
            num_tokens, is_partial = _find_incomplete(self._tokenizer, self._tokens)
        del self._tokens[num_tokens:]
        self._advance(is_last=True)
        text = "".join(self._pieces)
        if self._end is not None:
            return text[: self._end]
        return text.removesuffix(_BROKEN) if is_partial else text

    def _advance(self, *, is_last: bool) -> None:
        # Some tokenizers drop the blank before the first token they are given.
        before = decode_tokens(self._tokenizer, self._tokens[self._context : self._read])
        after = decode_tokens(self._tokenizer, self._tokens[self._context :])
        if after.endswith(_BROKEN) and not is_last:
            return
        piece = after[len(before) :]
        if self._read < len(self._tokens):
            self._context, self._read = self._read, len(self._tokens)
        self._pieces.append(piece)
        if self._end is None:
            self._end = self._watcher.feed(piece)


def _find_incomplete(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> tuple[int, bool]:
    """How many tokens come before those of a last, incomplete character; and whether the last of these holds its
    first bytes behind other text."""
    data = b""
    sizes: list[int] = []
    for token in reversed(tokens[-_CHAR_BYTES:]):
        piece = _token_bytes(tokenizer, token)
        if piece is None:
            break
        data = piece + data
        sizes.append(len(piece))
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    num_open = len(decoder.getstate()[0])
    num_tokens = len(tokens)
    for size in sizes:
        if size > num_open:
            break
        num_tokens -= 1
        num_open -= size
    return num_tokens, num_open > 0


def _token_bytes(tokenizer: PreTrainedTokenizerBase, token: int) -> bytes | None:
    """The bytes of a token that decodes to no whole characters; None for one that does."""
    if _BROKEN not in decode_tokens(tokenizer, [token]):
        return None
    raw = tokenizer.convert_ids_to_tokens(token)
    assert isinstance(raw, str)
    if byte := _BYTE_TOKEN.fullmatch(raw):
        return bytes([int(byte[1], 16)])
    return bytes(_BYTES[char] for char in raw) if _BYTES.keys() >= set(raw) else None


class Endings:
    """The tokens that could complete an ending; remembers its answers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, params: SamplingParams):
        self._tokenizer = tokenizer
        self._last = end_chars(params.stop, at_verdict=params.stop_at_verdict)
        self._is_ascii = all(char.isascii() for char in self._last)
        self._known: dict[int, bool] = {}

    @property
    def has_any(self) -> bool:
        """Whether anything but an end token could end a text."""
        return bool(self._last)

    def may_end(self, token: int) -> bool:
        if self._last and token not in self._known:
            piece = decode_tokens(self._tokenizer, [token])
            is_open = _BROKEN in piece and not self._is_ascii
            self._known[token] = is_open or not self._last.isdisjoint(piece)
        return self._known.get(token, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """The place of a span of text among the tokens: those from `first` to `last`, both included."""

    first: int
    last: int
    before: str
    """Their text before the span."""
    after: str
    head: str
    """All text before the token `first`."""


def find_passage(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], text: str, span: tuple[int, int]
) -> Passage | None:
    """The tokens that hold `text[span]`, `text` being the tokens' text or a beginning of it; None if the tokens around
    the span do not decode to characters of their own."""
    start, end = span
    first = last = _count_before(tokenizer, tokens, text, start)
    while last < len(tokens) and len(decode_tokens(tokenizer, tokens[: last + 1])) < end:
        last += 1
    if last >= len(tokens):
        return None
    head = decode_tokens(tokenizer, tokens[:first])
    through = decode_tokens(tokenizer, tokens[: last + 1])
    known = text[: len(through)]
    if not through.startswith(head) or not through.startswith(known) or len(head) > start:
        return None
    return Passage(first=first, last=last, before=through[len(head) : start], after=through[end:], head=head)


class VerdictTokens:
    """The tokens that spell one piece with each of the labels."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, labels: Sequence[str]):
        self._tokenizer = tokenizer
        self._labels = tuple(labels)
        self._vocabulary = tokenizer.get_vocab()
        names = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
        self._lone = re.compile(rf"[^\w\ufffd]*({names})[^\w\ufffd]*")
        self._known: dict[int, tuple[int, ...] | None] = {}

    def siblings(self, token: int) -> tuple[int, ...] | None:
        """The tokens with each label in the place of one that holds a label and no other word; None for every other
        token, and if a label has no such token."""
        if token not in self._known:
            self._known[token] = self._find_siblings(token)
        return self._known[token]

    def spell(self, passage: Passage, tokens: Sequence[int], word: str) -> list[list[int]] | None:
        """The tokens that spell the passage with each label, `word` being the one there, which keeps its tokens; None
        if a spelling, put after the same tokens, does not read as it should."""
        before = list(tokens[: passage.first])
        spellings = []
        for label in self._labels:
            if label.lower() == word.lower():
                spellings.append(list(tokens[passage.first : passage.last + 1]))
                continue
            other = label.lower() if word == word.lower() != word.upper() else label
            ids = self._continue(before, passage.head, passage.before + other + passage.after)
            if ids is None:
                return None
            spellings.append(ids)
        return spellings

    def _continue(self, before: list[int], head: str, piece: str) -> list[int] | None:
        """Tokens that put `piece` after the tokens `before`, whose text is `head`."""
        # Some tokenizers write a blank before a text's first word; then it is split after a character.
        for lead in ("", "\n", ">"):
            lead_ids = encode_text(self._tokenizer, lead) if lead else []
            ids = encode_text(self._tokenizer, lead + piece)
            ids = ids[len(lead_ids) :] if ids[: len(lead_ids)] == lead_ids else []
            if ids and decode_tokens(self._tokenizer, before + ids) == head + piece:
                return ids
        return None

    def _find_siblings(self, token: int) -> tuple[int, ...] | None:
        piece = decode_tokens(self._tokenizer, [token])
        match = self._lone.fullmatch(piece)
        if match is None:
            return None
        found = []
        for label in self._labels:
            wanted = piece[: match.start(1)] + label + piece[match.end(1) :]
            sibling = token if wanted == piece else self._find(token, match[1], label, wanted)
            if sibling is None:
                return None
            found.append(sibling)
        return tuple(found)

    def _find(self, token: int, word: str, other: str, wanted: str) -> int | None:
        """The token like `token` with `other` for `word`, if it decodes to `wanted`."""
        raw = self._tokenizer.convert_ids_to_tokens(token)
        assert isinstance(raw, str)
        places = (at for at in range(len(raw)) if raw.startswith(word, at))
        names = [raw[:at] + other + raw[at + len(word) :] for at in places]
        if _BYTE_TOKEN.fullmatch(raw) and len(other) == 1:
            names = [f"<0x{ord(other):02X}>"]
        for name in names:
            sibling = self._vocabulary.get(name)
            if sibling is not None and decode_tokens(self._tokenizer, [sibling]) == wanted:
                return sibling
        return None


def _count_before(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], text: str, start: int) -> int:
    """How many tokens decode to at most `start` characters of `text`."""
    low, high = 0, len(tokens)
    while low < high:
        middle = (low + high + 1) // 2
        if len(decode_tokens(tokenizer, tokens[:middle])) <= start:
            low = middle
        else:
            high = middle - 1
    # A character in the making may decode to more characters than it will be in the end, four at most.
    for count in range(min(low + 4, len(tokens)), low, -1):
        head = decode_tokens(tokenizer, tokens[:count])
        if len(head) <= start and text.startswith(head):
            return count
    return low
