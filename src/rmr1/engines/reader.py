"""Requests as tokens, and rows of tokens as generations: what engines that sample tokens share.

A prompt is never cut and nothing is added to what the chat template renders. What cannot be asked
comes back as a `Generation` that says why; a sampled row becomes one with its verdict's log-probabilities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.chat import Chat
from rmr1.engines.tokens import VerdictTokens, encode_text, find_passage
from rmr1.errors import ConfigError, GenerationError
from rmr1.prompts.escape import is_control
from rmr1.prompts.thinking import Pair, find_marks, find_open_mark
from rmr1.records import Generation
from rmr1.verdicts.place import find_verdict_span
from rmr1.verdicts.stop import StopWatcher

_TEMPLATE_KEYS = {
    "tokenize",
    "add_generation_prompt",
    "continue_final_message",
    "conversation",
    "return_dict",
}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPlace:
    """The place of a row's verdict letter, and what could stand there."""

    first: int
    """Number of the row's tokens before it."""
    spellings: tuple[tuple[int, ...], ...]
    """The tokens that spell the verdict with each label; of equal meaning, not of equal number."""

    @property
    def is_single(self) -> bool:
        """Whether one token decides."""
        return all(len(spelling) == 1 for spelling in self.spellings)


class RequestReader:
    """Reads requests for one tokenizer and context length."""

    def __init__(
        self,
        *,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        num_embeddings: int,
        max_model_len: int | None,
        end_tokens: Collection[int],
        on_overlong: Literal["skip", "fail"] = "skip",
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ):
        """`end_tokens` are those that the checkpoint names; the chat template's own joins them.

        Raises:
            ConfigError: an argument of the template is the engine's.
            CheckpointError: the chat template does not write every message.
        """
        check_reading(on_overlong, chat_template_kwargs)
        self.chat = Chat(tokenizer, chat_template_kwargs)
        self.name = name
        self.tokenizer = tokenizer
        self.max_model_len = max_model_len
        end = self.chat.end_token
        self._own_end = end if end is not None and end not in end_tokens and end < num_embeddings else None
        self.end_tokens = frozenset(end_tokens) | ({self._own_end} if self._own_end is not None else set())
        self._num_embeddings = num_embeddings
        self._on_overlong = on_overlong
        self._verdict_tokens: dict[tuple[str, ...], VerdictTokens] = {}

    def describe(self) -> dict[str, object]:
        """What an engine's fingerprint says of the chat template's use; nothing where all is plain."""
        end = None if self._own_end is None else self.tokenizer.convert_ids_to_tokens(self._own_end)
        return {**self.chat.describe(), **({} if end is None else {"template_end_token": end})}

    def special_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special tokens, and added ones that look like control tokens."""
        found = dict.fromkeys(self.tokenizer.all_special_tokens)
        for token in self.tokenizer.added_tokens_decoder.values():
            if token.special or is_control(token.content):
                found[token.content] = None
        return tuple(found)

    def prepare(self, request: Request, params: SamplingParams) -> Prepared | Generation:
        """The request as tokens, or the generation that says why it cannot be answered.

        Raises:
            GenerationError: the prompt is too long and `on_overlong` is "fail".
        """
        try:
            text = self.chat.render(request.prompt.messages)
        except GenerationError as error:
            return self.fail("error", str(error))
        tokens = encode_text(self.tokenizer, text)
        limit = self.max_model_len
        if limit is not None and len(tokens) + 1 > limit:
            reason = f"prompt of {len(tokens)} tokens is longer than the model's context of {limit}"
            if self._on_overlong == "fail":
                raise GenerationError(f"pair {request.prompt.pair_id!r}: {reason}")
            return self.fail("skipped", reason, len(tokens))
        if not tokens:
            return self.fail("error", "the chat template gives no tokens for these messages")
        if max(tokens) >= self._num_embeddings:
            reason = f"prompt has token {max(tokens)}, but the model knows {self._num_embeddings}: tokenizer and model do not fit"
            return self.fail("error", reason, len(tokens))
        room = params.max_new_tokens if limit is None else min(params.max_new_tokens, limit - len(tokens))
        return Prepared(
            request=request,
            tokens=tokens,
            max_new_tokens=room,
            opening=find_open_mark(text, params.thinking),
            thinking=params.thinking,
        )

    def watch(self, prepared: Prepared, params: SamplingParams) -> StopWatcher:
        """What says where one of the request's texts ends before the model ends it."""
        return StopWatcher(
            params.stop,
            at_verdict=params.stop_at_verdict,
            opening=prepared.opening,
            labels=prepared.request.prompt.labels,
            thinking=params.thinking,
        )

    def fail(self, finish_reason: str, reason: str, prompt_tokens: int = 0) -> Generation:
        """The generation of a prompt that was not answered."""
        return Generation(
            text="", finish_reason=finish_reason, prompt_tokens=prompt_tokens, model=self.name, error=reason
        )

    def find_verdict(
        self, prepared: Prepared, text: str, tokens: Sequence[int], *, is_cut: bool
    ) -> VerdictPlace | None:
        """The place at which the row `tokens`, whose text is `text`, says which answer is better; `is_cut` by the token limit."""
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
        """The tokens that spell these labels; made once."""
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
        labels = prepared.request.prompt.labels
        mass = None if verdict_logprobs is None else min(1.0, sum(map(exp, verdict_logprobs)))
        return Generation(
            text=find_opening(prepared.opening, text, prepared.thinking) + text,
            finish_reason=finish_reason,
            prompt_tokens=len(prepared.tokens),
            completion_tokens=num_tokens,
            verdict_logprobs=None
            if verdict_logprobs is None
            else tuple(zip(labels, verdict_logprobs, strict=True)),
            verdict_mass=mass,
            model=self.name,
            seed=seed,
        )


def check_reading(on_overlong: str, chat_template_kwargs: Mapping[str, Any] | None) -> None:
    """Raises ConfigError where `on_overlong` or a template argument is not allowed."""
    if on_overlong not in ("skip", "fail"):
        raise ConfigError(f"on_overlong is {on_overlong!r}; expected 'skip' or 'fail'")
    if reserved := _TEMPLATE_KEYS & (chat_template_kwargs or {}).keys():
        raise ConfigError(f"chat_template_kwargs may not set {min(reserved)!r}, which the engine sets itself")


def derive_seed(seed: int, sample: int) -> int:
    """The seed of one sample of a request, in [0, 2**53): the same everywhere, and exact in JSON."""
    digest = hashlib.sha256(f"{seed}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def read_end_tokens(*sources: Any) -> frozenset[int]:
    """The end tokens that generation configuration, model configuration and tokenizer name."""
    found: set[int] = set()
    for source in sources:
        value = getattr(source, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [] if value is None else [value])
    return frozenset(found)


def find_opening(opening: str, text: str, thinking: Sequence[Pair] = ()) -> str:
    """What is put before a text whose prompt ended with the mark of thinking `opening`, unless the model has
    repeated the mark: without it cut-off thinking would look like a judgment. Judging and training read texts with
    it; targets that are learnt close what it opens."""
    marks = find_marks(text[: len(opening) + 64], thinking) if opening else []
    is_repeated = bool(marks) and not marks[0].is_closing and not text[: marks[0].start].strip()
    return "" if is_repeated else opening
