"""Requests as tokens, and rows of tokens as generations: what engines that hold a model share.

A prompt is never cut and nothing is added to what the chat template renders.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from math import exp
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from rmr1.engines.base import Continuation, Request, SamplingParams
from rmr1.engines.hf.chat import Chat, Purpose
from rmr1.engines.hf.tokens import VerdictTokens, encode_text, find_passage
from rmr1.errors import ConfigError, GenerationError
from rmr1.messages import Messages, user
from rmr1.prompts.escape import is_control
from rmr1.prompts.thinking import Pair, find_marks, find_open_mark
from rmr1.records import Generation
from rmr1.verdicts.location import find_verdict_span
from rmr1.verdicts.stop import StopWatcher

_MOST_ENCODED = 512
"""Prompts whose tokens are remembered, more than are asked about at a time by default."""

MARK_CHARS = 64
"""Characters at the beginning of a text, beside the mark itself, in which the model may repeat a mark of thinking."""
_RESERVED = {"tokenize", "add_generation_prompt", "continue_final_message", "conversation", "return_dict"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as tokens."""

    request: Request
    tokens: list[int]
    max_new_tokens: int
    opening: str
    """The mark by which the chat template has opened the thinking part at the prompt's end, or ""."""
    thinking: tuple[Pair, ...] = ()
    """The user's own forms of thinking."""
    num_start: int = 0
    """The tokens at the end that are the beginning of the answer."""
    choices: tuple[tuple[int, ...], ...] = ()
    """The tokens of each choice from the first that differs on, without those that all end in."""

    @property
    def stops_at_loop(self) -> bool:
        """Whether an n-gram that repeats itself ends the text."""
        return self.request.going_on is not None and self.request.going_on.stop_at_loop


CHOOSING = SamplingParams(max_new_tokens=1)
"""How a request with choices is decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPlace:
    """The place of a row's verdict letter, and what could stand there."""

    first: int
    """The row's tokens before it."""
    spellings: tuple[tuple[int, ...], ...]
    """The tokens that spell the verdict with each label; of equal meaning, not of equal number."""


class Unreadable(Exception):
    """Messages that cannot be given to the model, and why."""

    def __init__(self, reason: str, num_tokens: int = 0, *, is_overlong: bool = False):
        super().__init__(reason)
        self.num_tokens = num_tokens
        self.is_overlong = is_overlong


class Reader:
    """Renders messages and splits them into tokens, for one model."""

    purpose: Purpose = "judging"
    _kind = "prompt"

    def __init__(
        self,
        *,
        tokenizer: PreTrainedTokenizerBase,
        num_embeddings: int,
        max_model_len: int | None,
        on_overlong: Literal["skip", "fail"] = "skip",
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ):
        check_reading(on_overlong, chat_template_kwargs)
        self.chat = Chat(tokenizer, chat_template_kwargs, purpose=self.purpose)
        self.tokenizer = tokenizer
        self.num_embeddings = num_embeddings
        self.max_model_len = max_model_len
        self._on_overlong = on_overlong

    def describe(self) -> dict[str, object]:
        """What an engine's fingerprint says of the chat template's use; nothing of a plain one."""
        return dict(self.chat.describe())

    def encode(self, messages: Messages, pair_id: str) -> tuple[str, list[int]]:
        """The messages' text and its tokens.

        Raises:
            Unreadable: the model cannot be given them.
            GenerationError: they are too long and `on_overlong` is "fail".
        """
        is_invited = self.purpose == "judging"
        try:
            text = self.chat.render(messages, add_generation_prompt=is_invited)
        except GenerationError as error:
            raise Unreadable(str(error)) from error
        tokens = encode_text(self.tokenizer, text)
        limit = self.max_model_len
        if limit is not None and len(tokens) + is_invited > limit:
            reason = f"{self._kind} of {len(tokens)} tokens is longer than the model's context of {limit}"
            if self._on_overlong == "fail":
                raise GenerationError(f"pair {pair_id!r}: {reason}")
            raise Unreadable(reason, len(tokens), is_overlong=True)
        if not tokens:
            raise Unreadable("the chat template gives no tokens for these messages")
        if max(tokens) >= self.num_embeddings:
            raise Unreadable(
                f"{self._kind} has token {max(tokens)}, but the model knows {self.num_embeddings}: tokenizer and model "
                "do not fit",
                len(tokens),
            )
        return text, tokens


class RequestReader(Reader):
    """Reads requests to a judge."""

    def __init__(self, *, name: str, end_tokens: Collection[int], **settings: Any):
        """`end_tokens` are those that the checkpoint names; the chat template's own joins them. The `settings` are
        those of `Reader`."""
        super().__init__(**settings)
        self.name = name
        end = self.chat.end_token
        is_own = end is not None and end not in end_tokens and end < self.num_embeddings
        self._own_end = end if is_own else None
        self._folded = self._find_folded()
        self.end_tokens = frozenset(end_tokens) | ({self._own_end} if self._own_end is not None else set())
        self._verdict_tokens: dict[tuple[str, ...], VerdictTokens] = {}
        self._encoded: dict[tuple[int, datetime], tuple[Messages, tuple[str, list[int]]]] = {}

    def describe(self) -> dict[str, object]:
        """What an engine's fingerprint says of the chat template's use; nothing of a plain one."""
        end = None if self._own_end is None else self.tokenizer.convert_ids_to_tokens(self._own_end)
        return super().describe() | ({} if end is None else {"template_end_token": end})

    def special_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special tokens, and added ones that look like control tokens."""
        found = dict.fromkeys(self.tokenizer.all_special_tokens)
        for token in self.tokenizer.added_tokens_decoder.values():
            if token.special or is_control(token.content):
                found[token.content] = None
        return tuple(found)

    def encode(self, messages: Messages, pair_id: str) -> tuple[str, list[int]]:
        """The messages' text and its tokens; as `Reader.encode`, and Unreadable if the tokenizer would make a control token
        of what users wrote."""
        for message in messages if self._folded else ():
            for token in encode_text(self.tokenizer, message.text):
                if token in self._folded:
                    raise Unreadable(
                        f"the texts hold what this tokenizer turns into the control token {self._folded[token]!r}, spelt "
                        "otherwise"
                    )
        return super().encode(messages, pair_id)

    def _find_folded(self) -> dict[int, str]:
        """Control tokens, by their numbers, that are looked for in normalised text, where other spellings are the same:
        full-width letters, capitals, hidden characters. Escaping knows the spelling alone."""
        normalizer = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "normalizer", None)
        if normalizer is None:
            return {}
        names = set(self.special_tokens()) - {self.tokenizer.unk_token}
        return {
            number: token.content
            for number, token in self.tokenizer.added_tokens_decoder.items()
            if token.normalized and token.content in names
        }

    def prepare(self, request: Request, params: SamplingParams) -> Prepared | Generation:
        """The request as tokens, or the generation that says why it cannot be answered; raises as `encode`."""
        try:
            text, tokens = self._encode_prompt(request)
        except Unreadable as error:
            return self.fail("skipped" if error.is_overlong else "error", str(error), error.num_tokens)
        opening, num_prompt = find_open_mark(text, params.thinking), len(tokens)
        choices: tuple[tuple[int, ...], ...] = ()
        going_on = request.going_on
        if going_on is not None:
            try:
                start, choices = self._encode_start(going_on, opening)
            except Unreadable as error:
                return self.fail("error", str(error), num_prompt)
            tokens = [*tokens, *start]
        room = 1 if choices else params.max_new_tokens
        left = room if self.max_model_len is None else self.max_model_len - len(tokens)
        if left < 1:
            reason = f"no room is left in the model's context of {self.max_model_len} tokens"
            return self.fail("error", reason, num_prompt)
        return Prepared(
            request=request,
            tokens=tokens,
            max_new_tokens=min(room, left),
            opening="" if going_on is not None and going_on.start else opening,
            thinking=params.thinking,
            num_start=len(tokens) - num_prompt,
            choices=choices,
        )

    def _encode_prompt(self, request: Request) -> tuple[str, list[int]]:
        """The prompt's text and tokens; remembered for a while if there are several requests for its texts."""
        messages = request.prompt.messages
        if not request.goes_on and request.going_on is None:
            return self.encode(messages, request.prompt.pair_id)
        key = id(messages), self.chat.moment
        held = self._encoded.pop(key, None)
        if held is None or held[0] is not messages:
            held = messages, self.encode(messages, request.prompt.pair_id)
        self._encoded[key] = held
        if len(self._encoded) > _MOST_ENCODED:
            del self._encoded[next(iter(self._encoded))]
        return held[1]

    def fills_sheets(self) -> bool:
        """See `rmr1.engines.base.Guidable`."""
        return False

    def find_opening(self, thinking: Sequence[Pair]) -> str:
        """The mark by which the chat template opens the thinking at the end of a prompt; "" if it does not."""
        return find_open_mark(self.chat.render((user("?"),), add_generation_prompt=True), thinking)

    def _encode_start(
        self, going_on: Continuation, opening: str
    ) -> tuple[list[int], tuple[tuple[int, ...], ...]]:
        """(the tokens of the beginning, those in which the choices differ).

        The beginning is split into tokens together with each choice, since a token may reach over its end: of `[[` and
        `A` some tokenizers make one. What all begin with alike is given to the model, and what follows is compared, but
        for what all end in.

        Raises:
            Unreadable: nothing is left of a choice.
        """
        start = going_on.start.removeprefix(opening)
        if not going_on.choices:
            return encode_text(self.tokenizer, start), ()
        spelt = [encode_text(self.tokenizer, start + choice) for choice in going_on.choices]
        before = _count_alike(spelt)
        rests = [one[before:] for one in spelt]
        behind = _count_alike([one[::-1] for one in rests])
        choices = tuple(tuple(one[: len(one) - behind]) for one in rests)
        if not all(choices):
            told = " and ".join(map(repr, going_on.choices))
            raise Unreadable(f"the tokenizer does not tell {told} apart behind the same text")
        return spelt[0][:before], choices

    def watch(self, prepared: Prepared, params: SamplingParams) -> StopWatcher:
        """The watcher that ends one of the request's texts before the model does."""
        return StopWatcher(
            params.stop,
            at_verdict=params.stop_at_verdict,
            opening=prepared.opening,
            labels=prepared.request.prompt.labels,
            thinking=params.thinking,
        )

    def choose(self, prepared: Prepared, logprobs: Sequence[float]) -> Generation:
        """The generation of a request with choices, of which `logprobs` are."""
        going_on = prepared.request.going_on
        assert going_on is not None
        told = tuple(zip(going_on.choices, logprobs, strict=True))
        return Generation(
            text=max(told, key=lambda one: one[1])[0],
            finish_reason="stop",
            prompt_tokens=len(prepared.tokens) - prepared.num_start,
            completion_tokens=1,
            verdict_logprobs=told,
            verdict_mass=min(1.0, sum(exp(logprob) for logprob in logprobs)),
            model=self.name,
        )

    def fail(self, finish_reason: str, reason: str, prompt_tokens: int = 0) -> Generation:
        """The generation of a prompt that was not answered."""
        return Generation(
            text="", finish_reason=finish_reason, prompt_tokens=prompt_tokens, model=self.name, error=reason
        )

    def find_verdict(
        self, prepared: Prepared, text: str, tokens: Sequence[int], *, is_cut: bool
    ) -> VerdictPlace | None:
        """The place at which the row `tokens` says which answer is better; `is_cut`: by the token limit."""
        labels = prepared.request.prompt.labels
        opening = find_opening(prepared.opening, text, prepared.thinking)
        span = find_verdict_span(opening + text, labels, prepared.thinking, truncated=is_cut)
        if span is None or span[0] < len(opening):
            return None
        start, end = span[0] - len(opening), span[1] - len(opening)
        own = list(tokens[:-1] if tokens[-1] in self.end_tokens else tokens)
        passage = find_passage(self.tokenizer, own, text, (start, end))
        if passage is None:
            return None
        letters = self.find_letters(labels)
        if passage.first == passage.last and (siblings := letters.siblings(own[passage.first])):
            return VerdictPlace(first=passage.first, spellings=tuple((token,) for token in siblings))
        spellings = letters.spell(passage, own, text[start:end])
        if spellings is None:
            return None
        return VerdictPlace(first=passage.first, spellings=tuple(map(tuple, spellings)))

    def find_letters(self, labels: tuple[str, ...]) -> VerdictTokens:
        """The tokens that spell these labels."""
        if labels not in self._verdict_tokens:
            self._verdict_tokens[labels] = VerdictTokens(self.tokenizer, labels)
        return self._verdict_tokens[labels]

    def finish(
        self,
        prepared: Prepared,
        *,
        text: str,
        num_tokens: int,
        finish_reason: str,
        verdict_logprobs: Sequence[float] | None,
        seed: int | None,
    ) -> Generation:
        """The generation of a row; `verdict_logprobs` holds one number for each label of the prompt."""
        told = None
        if verdict_logprobs is not None:
            told = tuple(zip(prepared.request.prompt.labels, verdict_logprobs, strict=True))
        return Generation(
            text=find_opening(prepared.opening, text, prepared.thinking) + text,
            finish_reason=finish_reason,
            prompt_tokens=len(prepared.tokens) - prepared.num_start,
            completion_tokens=num_tokens,
            verdict_logprobs=told,
            verdict_mass=None if told is None else min(1.0, sum(exp(logprob) for _, logprob in told)),
            model=self.name,
            seed=seed,
        )


def _count_alike(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with alike."""
    columns = zip(*rows, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def check_reading(on_overlong: str, chat_template_kwargs: Mapping[str, Any] | None) -> None:
    """Raises ConfigError if `on_overlong` or a template argument is not allowed."""
    if on_overlong not in ("skip", "fail"):
        raise ConfigError(f"on_overlong is {on_overlong!r}; expected 'skip' or 'fail'")
    if reserved := _RESERVED & (chat_template_kwargs or {}).keys():
        raise ConfigError(f"chat_template_kwargs may not set {min(reserved)!r}, which the engine sets itself")


def read_end_tokens(*sources: Any) -> frozenset[int]:
    """The end tokens that generation configuration, model configuration and tokenizer name."""
    found: set[int] = set()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    return frozenset(found)


def find_opening(opening: str, text: str, thinking: Sequence[Pair] = ()) -> str:
    """The mark of thinking `opening`, by which the prompt of `text` ended, unless the model has repeated it; it is put
    before the text, since cut-off thinking would look like a judgment without it."""
    marks = find_marks(text[: len(opening) + MARK_CHARS], thinking) if opening else []
    is_repeated = bool(marks) and not marks[0].is_closing and not text[: marks[0].start].strip()
    return "" if is_repeated else opening
