"""Scalar reward models: conversations in, one number each out, by the transformers library.

A conversation is rendered by the model's chat template with the answer as its last turn and no opening for
another, and split into tokens without adding any: where the template writes a beginning-of-sequence token,
there is one, and where it writes none, none. Texts are handed over as they stand, as these models were
trained and are measured; control tokens inside an answer are not escaped. A conversation is never cut.

Requests are read in windows of a few batches, sorted by length and padded on the right. Sequence
classification reads the score at the last token that is not padding. A checkpoint that names no padding
token is padded with one that ends none of the batch's conversations, so the score stands where it does
without padding. Causal attention never looks to the right, so such models are given no mask of the padding
and attend by their fastest kernels, if a self-check finds the scores of each conversation alone
(`rmr1.engines.proof.scoring`).

Benchmarks ask about the same answer many times (each of RMB's best answers is compared with every loser, each
of RM-Bench's three styles with three others), so scores are remembered.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any, Literal

from rmr1.engines.base import Score, ScoreRequest
from rmr1.engines.options import Device, Dtype, Positive
from rmr1.errors import CheckpointError, ConfigError, GenerationError

try:
    import torch

    from rmr1.engines.adapters import load_adapter
    from rmr1.engines.attention import is_causal
    from rmr1.engines.chat import Chat
    from rmr1.engines.devices import choose_device, is_out_of_memory, of_device, release_memory
    from rmr1.engines.loading import blaming, choose_dtype, hash_text, load_checkpoint
    from rmr1.engines.proof.scoring import Scoring, prove_scoring
    from rmr1.engines.reader import check_reading
    from rmr1.engines.tokens import encode_text
    from rmr1.engines.transformers import plan_batches
except ModuleNotFoundError as error:
    raise ConfigError(
        f"running a model needs {error.name or 'a library'}, which is not installed; pip install 'rmr1[hf]'"
    ) from error

_LOGGER = logging.getLogger("rmr1.engines.scorer")

_BATCH_SIZE = {"cpu": 16, "gpu": 64}
_BATCH_TOKENS = {"cpu": 16_384, "gpu": 65_536}
_WINDOW_BATCHES = 4
"""Even, so that both conversations of a pair are in one window."""
_REMEMBERED = 65_536
"""Scores kept, the latest: some 15 MB."""


class ConversationReader:
    """Reads requests for one tokenizer and context length."""

    def __init__(
        self,
        *,
        tokenizer: Any,
        num_embeddings: int,
        max_model_len: int | None,
        on_overlong: Literal["skip", "fail"] = "skip",
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ):
        check_reading(on_overlong, chat_template_kwargs)
        self.tokenizer = tokenizer
        self.num_embeddings = num_embeddings
        self.max_model_len = max_model_len
        self.chat = Chat(tokenizer, chat_template_kwargs, purpose="scoring")
        self._on_overlong = on_overlong

    def prepare(self, request: ScoreRequest) -> tuple[int, ...] | Score:
        """The conversation's tokens, or the score that says why there is none.

        Raises:
            GenerationError: the conversation is too long and `on_overlong` is "fail".
        """
        try:
            text = self.chat.render(request.messages, add_generation_prompt=False)
        except GenerationError as error:
            return Score(value=None, problem="generation_failed", error=str(error))
        tokens = tuple(encode_text(self.tokenizer, text))
        limit = self.max_model_len
        if limit is not None and len(tokens) > limit:
            reason = f"conversation of {len(tokens)} tokens is longer than the model's context of {limit}"
            if self._on_overlong == "fail":
                raise GenerationError(f"pair {request.pair_id!r}: {reason}")
            return Score(value=None, prompt_tokens=len(tokens), problem="prompt_too_long", error=reason)
        if not tokens:
            reason = "the chat template gives no tokens for these messages"
        elif max(tokens) >= self.num_embeddings:
            reason = (
                f"conversation has token {max(tokens)}, but the model knows {self.num_embeddings}: tokenizer and "
                "model do not fit"
            )
        else:
            return tokens
        return Score(value=None, prompt_tokens=len(tokens), problem="generation_failed", error=reason)


class ScalarModel:
    """Scores conversations with a sequence-classification model of one label that this process holds."""

    def __init__(
        self,
        model: str,
        *,
        device: Device = "auto",
        dtype: Dtype = "auto",
        batch_size: Positive | None = None,
        max_batch_tokens: Positive | None = None,
        max_model_len: Positive | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        on_overlong: Literal["skip", "fail"] = "skip",
        revision: str | None = None,
        trust_remote_code: bool = False,
        attn_implementation: str | None = None,
        adapter: str | None = None,
    ):
        """Load the model.

        Args:
            model: a Hugging Face name, or a folder with configuration, weights and tokenizer.
            device: "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1" or "mps".
            dtype: "auto" (the checkpoint's own on a GPU, float32 on the CPU), "float32", "bfloat16"
                or "float16".
            batch_size: most conversations of a batch.
            max_batch_tokens: most tokens of a batch, padding included; a longer conversation goes alone.
            max_model_len: most tokens of a conversation; at most, and by default, the model's own.
            chat_template_kwargs: passed to the chat template.
            on_overlong: whether a conversation beyond `max_model_len` is skipped or ends the run.
            adapter: "module:function" or "path/file.py:function", for models with another head
                (`rmr1.engines.adapters`).

        Raises:
            ConfigError: a setting is wrong, or there is no such adapter.
            CheckpointError: the model cannot be loaded, has no tokenizer or no chat template, or has not
                one label.
        """
        for name, value in (
            ("batch_size", batch_size),
            ("max_batch_tokens", max_batch_tokens),
            ("max_model_len", max_model_len),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; expected a positive number")
        check_reading(on_overlong, chat_template_kwargs)
        self._adapter = None if adapter is None else load_adapter(adapter)
        self.name = model
        where = choose_device(device)
        checkpoint = load_checkpoint(
            model,
            device=where,
            dtype=choose_dtype(dtype, where),
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
            kind="scores" if adapter is None else "adapted",
            check=lambda tokenizer: Chat(tokenizer, chat_template_kwargs, purpose="scoring"),
        )
        if max_model_len and checkpoint.context and max_model_len > checkpoint.context:
            raise ConfigError(
                f"max_model_len {max_model_len} is beyond the model's context of {checkpoint.context}"
            )
        self._model = checkpoint.model
        self._identity = checkpoint.identity
        self._config: Any = checkpoint.model.config.get_text_config()
        self._config.use_cache = False
        embeddings: Any = checkpoint.model.get_input_embeddings()
        self._reader = ConversationReader(
            tokenizer=checkpoint.tokenizer,
            num_embeddings=int(embeddings.weight.shape[0]),
            max_model_len=max_model_len or checkpoint.context,
            on_overlong=on_overlong,
            chat_template_kwargs=chat_template_kwargs,
        )
        pad = getattr(self._config, "pad_token_id", None)
        # Some configurations say -1 for none.
        self._pad = pad if pad is not None and 0 <= pad < self._reader.num_embeddings else None
        self._known: dict[bytes, float] = {}
        self._scoring = Scoring(padding="none")
        self._scoring = prove_scoring(
            checkpoint.model, self._compute_all, may_be_bare=adapter is None and is_causal(checkpoint.model)
        )
        self.notes = self._scoring.notes
        """What the self-check of the model found, a line each."""
        for note in self.notes:
            _LOGGER.warning("%s: %s", model, note)
        self._batch_size = batch_size or of_device(_BATCH_SIZE, where)
        self._max_batch_tokens = max_batch_tokens or of_device(_BATCH_TOKENS, where)

    def fingerprint(self) -> dict[str, object]:
        """Model, weights, number format, context, chat template, adapter; not where it runs or how it batches."""
        return {
            "engine": "scalar",
            **self._identity,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "max_model_len": self._reader.max_model_len,
            "chat_template": hash_text(self._reader.tokenizer.chat_template),
            "chat_template_kwargs": self._reader.chat.kwargs,
            **self._reader.chat.describe(),
            "adapter": None if self._adapter is None else self._adapter.digest,
        }

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """See `rmr1.engines.base.Dated`."""
        self._reader.chat.begin_run(stored)

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        """Yield each request with its score; those that cannot be scored come first in a window.

        A conversation that occurs again is not computed again, unless that was long ago.

        Raises:
            GenerationError: a conversation is too long and `on_overlong` is "fail", or the adapter failed.
            CheckpointError: the model's output is not one number for each conversation.
        """
        stream = iter(requests)
        while window := list(islice(stream, self._batch_size * _WINDOW_BATCHES)):
            waiting: dict[tuple[int, ...], list[ScoreRequest]] = {}
            for request in window:
                prepared = self._reader.prepare(request)
                if isinstance(prepared, Score):
                    yield request, prepared
                elif (value := self._known.get(_digest(prepared))) is not None:
                    yield request, Score(value=value, prompt_tokens=len(prepared))
                else:
                    waiting.setdefault(prepared, []).append(request)
            # Longest first: what does not fit into memory shows at once.
            rows = sorted(waiting, key=len, reverse=True)
            for batch in plan_batches(
                [(len(row), 0) for row in rows],
                num_samples=1,
                batch_size=self._batch_size,
                max_batch_tokens=self._max_batch_tokens,
                max_prefill_tokens=self._max_batch_tokens,
            ):
                for row, score in self._run([rows[index] for index in batch]):
                    if score.value is not None:
                        self._remember(row, score.value)
                    for request in waiting.pop(row):
                        yield request, score

    def close(self) -> None:
        """Release the model. It cannot be used afterwards; closing twice is harmless."""
        self.__dict__.pop("_model", None)
        release_memory()

    def _remember(self, row: tuple[int, ...], value: float) -> None:
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[_digest(row)] = value

    def _run(self, rows: Sequence[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], Score]]:
        """Score a batch; one that does not fit into the GPU's memory is halved until it does."""
        try:
            values = self._compute(rows)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            values = None
        # Outside of the handler, whose traceback would keep the failed attempt's memory alive.
        if values is not None:
            for row, value in zip(rows, values, strict=True):
                yield row, _read_value(value, len(row))
            return
        release_memory()
        if len(rows) == 1:
            reason = f"out of GPU memory with a conversation of {len(rows[0])} tokens"
            yield (
                rows[0],
                Score(value=None, prompt_tokens=len(rows[0]), problem="generation_failed", error=reason),
            )
            return
        half = len(rows) // 2
        yield from self._run(rows[:half])
        yield from self._run(rows[half:])

    def _compute(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Scores of a batch, in the way that is right for the model."""
        scoring = self._scoring.within(max(map(len, rows)))
        batches = [[row] for row in rows] if scoring.padding == "none" else [rows]
        if scoring.turning is not None:
            scoring.turning.reset()
        scores = [self._compute_all(batch, scoring.padding == "masked") for batch in batches]
        return torch.cat(scores).tolist()

    def _compute_all(self, rows: Sequence[Sequence[int]], is_masked: bool) -> torch.Tensor:
        """Scores of rows that are padded on the right, `[B]` float32."""
        pad = choose_pad(rows, self._pad, self._reader.num_embeddings)
        self._config.pad_token_id = pad
        longest = max(map(len, rows))
        device = self._model.device
        inputs = {
            "input_ids": torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)
        }
        if is_masked:
            inputs["attention_mask"] = torch.tensor(
                [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device
            )
        with torch.inference_mode(), blaming(self.name, self._model, "run"):
            if self._adapter is None:
                output = self._model(**inputs)
                scores = getattr(output, "logits", output)
            else:
                scores = self._adapter(self._model, inputs)
        shape = tuple(getattr(scores, "shape", ()))
        if shape not in ((len(rows),), (len(rows), 1)):
            raise CheckpointError(
                f"model {self.name!r} gives an output of shape {shape} for {len(rows)} conversations; expected one "
                "number each. For another head name an adapter that turns its outputs into scores"
            )
        return scores.reshape(-1).float()


def choose_pad(rows: Sequence[Sequence[int]], pad: int | None, num_embeddings: int) -> int:
    """The checkpoint's own padding token; where it has none, one that ends none of the rows."""
    if pad is not None:
        return pad
    last = {row[-1] for row in rows}
    return next((token for token in range(num_embeddings) if token not in last), 0)


def _digest(row: tuple[int, ...]) -> bytes:
    return hashlib.blake2b(array("I", row).tobytes(), digest_size=16).digest()


def _read_value(value: float, num_tokens: int) -> Score:
    if isfinite(value):
        return Score(value=value, prompt_tokens=num_tokens)
    return Score(
        value=None, prompt_tokens=num_tokens, problem="no_ratings", error=f"the model's score is {value}"
    )
