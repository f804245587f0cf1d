"""Scalar reward models: conversations in, one number each out, by the transformers library.

A conversation is rendered by the model's chat template with the answer as its last turn and no opening for
another, and split into tokens without adding any. Texts are handed over as they stand, as these models were
trained and are measured; control tokens inside an answer are not escaped. A conversation is never cut.

Sequence classification reads the score at the last token that is not padding. A checkpoint that names no padding
token is padded with one that ends none of the batch's conversations, so the score stands where it does without
padding. Which way of padding is right is found by a self-check (`rmr1.attention.proof.scoring`). Benchmarks ask about
the same answer many times, so scores are remembered.

Shapes: `B` conversations, `T` tokens.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any, Literal

from rmr1.engines.base import Score, ScoreRequest
from rmr1.engines.options import Device, Dtype, Positive, checking
from rmr1.errors import CheckpointError
from rmr1.forecast.batching import choose_batching, plan_batches
from rmr1.plugins import require
from rmr1.records import Problem

with require("running a model", "hf"):
    import torch
    from torch.nn.utils.rnn import pad_sequence

    from rmr1.attention.decode import is_causal
    from rmr1.attention.proof.ask import Paths
    from rmr1.attention.proof.scoring import prove_scoring
    from rmr1.engines.heads import load_head
    from rmr1.engines.hf.loading import LocalModel, answer_in_parts, blaming
    from rmr1.engines.hf.reader import Reader, Unreadable

_REMEMBERED = 65_536
"""Scores kept, the latest: some 15 MB."""


class ConversationReader(Reader):
    """Reads conversations whose last turn is to be scored."""

    purpose = "scoring"
    _kind = "conversation"

    def prepare(self, request: ScoreRequest) -> tuple[int, ...] | Score:
        """The conversation's tokens, or the score that says why there is none; raises as `encode`."""
        try:
            return tuple(self.encode(request.messages, request.pair_id)[1])
        except Unreadable as error:
            problem: Problem = "prompt_too_long" if error.is_overlong else "generation_failed"
            return Score(value=None, prompt_tokens=error.num_tokens, problem=problem, error=str(error))


class ScalarModel(LocalModel):
    """Scores conversations with a sequence-classification model of one label that this process holds."""

    _engine = "scalar"
    _reader_type = ConversationReader
    _reader: ConversationReader

    @checking("scalar")
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
        head: str | None = None,
    ):
        """Load the model.

        Args:
            model: a Hugging Face name, or a folder with configuration, weights and tokenizer.
            device, dtype: as for `rmr1.engines.hf.engine.TransformersEngine`.
            batch_size: most conversations of a batch.
            max_batch_tokens: most tokens of a batch, padding included; a longer conversation goes alone.
            max_model_len: most tokens of a conversation; at most, and by default, the model's own.
            chat_template_kwargs: passed to the chat template.
            on_overlong: whether a conversation beyond `max_model_len` is skipped or ends the run.
            head: "module:function" or "path/file.py:function", for models with another head
                (`rmr1.engines.heads`).

        Raises:
            ConfigError: a setting is wrong, or there is no such head.
            CheckpointError: the model cannot be loaded, has no tokenizer or no chat template, or has not
                one label.
        """
        self._head = None if head is None else load_head(head)
        reading = self._load(
            model,
            kind="scores" if head is None else "adapted",
            device=device,
            dtype=dtype,
            max_model_len=max_model_len,
            chat_template_kwargs=chat_template_kwargs,
            on_overlong=on_overlong,
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
        )
        self._identity["adapter"] = None if self._head is None else self._head.digest
        self._reader = ConversationReader(**reading)
        self._config: Any = self._model.config.get_text_config()
        self._config.use_cache = False
        pad = getattr(self._config, "pad_token_id", None)
        # Some configurations say -1 for none.
        self._pad = pad if pad is not None and 0 <= pad < self._reader.num_embeddings else None
        self._known: dict[bytes, float] = {}
        self._scoring = Paths()
        self._scoring = prove_scoring(
            self._model, self._compute_all, may_be_bare=head is None and is_causal(self._model)
        )
        self._tell(self._scoring.notes)
        self._batching = choose_batching(
            "scores",
            is_gpu=self._model.device.type != "cpu",
            batch_size=batch_size,
            max_batch_tokens=max_batch_tokens,
        )

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[tuple[ScoreRequest, Score]]:
        """Yield each request with its score; those that cannot be scored come first in a window.

        A conversation that occurs again is not computed again, unless that was long ago.

        Raises:
            GenerationError: a conversation is too long and `on_overlong` is "fail", or the head failed.
            CheckpointError: the model's output is not one number for each conversation.
        """
        stream = iter(requests)
        while window := list(islice(stream, self._batching.window)):
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
            for batch in plan_batches([(len(row), 0) for row in rows], self._batching):
                chosen = [rows[index] for index in batch]
                for row, score in answer_in_parts(chosen, self._answer, _refuse):
                    if score.value is not None:
                        if len(self._known) >= _REMEMBERED:
                            del self._known[next(iter(self._known))]
                        self._known[_digest(row)] = score.value
                    for request in waiting.pop(row):
                        yield request, score

    def _answer(self, rows: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], Score]]:
        return [
            (
                row,
                Score(value=value, prompt_tokens=len(row))
                if isfinite(value)
                else _fail(row, "no_ratings", f"the model's score is {value}"),
            )
            for row, value in zip(rows, self._compute(rows), strict=True)
        ]

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
        texts = [torch.tensor(row) for row in rows]
        ids_BT = pad_sequence(texts, batch_first=True, padding_value=pad)
        inputs = {"input_ids": ids_BT.to(self._model.device)}
        if is_masked:
            mask_BT = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
            inputs["attention_mask"] = mask_BT.to(self._model.device)
        with torch.inference_mode(), blaming(self.name, self._model, "run"):
            if self._head is None:
                output = self._model(**inputs)
                scores = getattr(output, "logits", output)
            else:
                scores = self._head(self._model, inputs)
        shape = tuple(getattr(scores, "shape", ()))
        if shape not in ((len(rows),), (len(rows), 1)):
            raise CheckpointError(
                f"model {self.name!r} gives an output of shape {shape} for {len(rows)} conversations; expected one "
                "number each. For another head name one of your own that turns its outputs into scores"
            )
        scores_B: torch.Tensor = scores.reshape(-1).float()
        return scores_B


def choose_pad(rows: Sequence[Sequence[int]], pad: int | None, num_embeddings: int) -> int:
    """The checkpoint's own padding token `pad`, or one that ends none of the rows."""
    if pad is not None:
        return pad
    last = {row[-1] for row in rows}
    return next((token for token in range(num_embeddings) if token not in last), 0)


def _digest(row: tuple[int, ...]) -> bytes:
    return hashlib.blake2b(array("I", row).tobytes(), digest_size=16).digest()


def _refuse(row: tuple[int, ...]) -> tuple[tuple[int, ...], Score]:
    reason = f"out of GPU memory with a conversation of {len(row)} tokens"
    return row, _fail(row, "generation_failed", reason)


def _fail(row: Sequence[int], problem: Problem, reason: str) -> Score:
    return Score(value=None, prompt_tokens=len(row), problem=problem, error=reason)
