"""The embedded engine: a causal language model by the transformers library, on the CPU or one GPU.

Requests are read in windows of a few batches, sorted by length and batched under a token budget, so
little is padded and memory stays flat. `rmr1.engines.hf.decode` samples; this module turns requests into
tokens and tokens into generations.

A prompt is never cut and nothing is added to what the chat template renders. A prompt that leaves no
room for one token is skipped (or raises, with `on_overlong="fail"`); one that leaves less than
`max_new_tokens` gets what is left.

If the chat template opens the thinking part itself, the text begins with that mark: without it, thinking
that was cut off would look like the judge's own words. Nothing else is added to a text, and nothing is cut off.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rmr1.engines.base import Request, SamplingParams, derive_seed
from rmr1.engines.options import Device, Dtype, Positive, checking
from rmr1.errors import ConfigError
from rmr1.forecast.batching import choose_batching, plan_batches
from rmr1.forecast.shape import read_shape
from rmr1.plugins import require
from rmr1.records import Generation

with require("running a model", "hf"):
    from rmr1.attention.proof.judging import judging_paths
    from rmr1.devices import choose_device, free_memory, is_out_of_memory, release_memory
    from rmr1.engines.hf.chat import Chat
    from rmr1.engines.hf.decode import PromptRequest, RowRequest, Sampled, decode, score_tokens
    from rmr1.engines.hf.loading import blaming, choose_dtype, hash_text, load_checkpoint
    from rmr1.engines.hf.lora import apply_adapter, read_adapter
    from rmr1.engines.hf.reader import Prepared, RequestReader, check_reading, read_end_tokens
    from rmr1.engines.hf.tokens import (
        Endings,
        TextStream,
    )

_LOGGER = logging.getLogger("rmr1.engines.hf.engine")


class TransformersEngine:
    """Answers requests with a causal language model that this process holds."""

    @checking("transformers")
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
        lora_adapter: str | Path | None = None,
    ):
        """Load the model.

        Args:
            model: a Hugging Face name, or a folder with configuration, weights and tokenizer.
            device: "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1" or "mps".
            dtype: "auto" (the checkpoint's own on a GPU, float32 on the CPU), "float32", "bfloat16"
                or "float16".
            batch_size: most rows decoded together, a row being one sample; a prompt's samples stay
                together even where they are more.
            max_batch_tokens: most tokens of a batch at its fullest, answers included. By default what
                fits into the GPU's free memory.
            max_model_len: most tokens of prompt and answer; at most, and by default, the model's own.
            chat_template_kwargs: passed to the chat template, such as `{"enable_thinking": False}`.
            on_overlong: whether a prompt beyond `max_model_len` is skipped or ends the run.
            lora_adapter: folder of a LoRA adapter that is added to the model's weights.

        Raises:
            ConfigError: a setting is wrong.
            CheckpointError: the model cannot be loaded, has no tokenizer or no chat template that
                writes every message.
        """
        check_reading(on_overlong, chat_template_kwargs)
        self.name = model
        adapter = None if lora_adapter is None else read_adapter(lora_adapter)
        where = choose_device(device)
        checkpoint = load_checkpoint(
            model,
            device=where,
            dtype=choose_dtype(dtype, where),
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
            check=lambda tokenizer: Chat(tokenizer, chat_template_kwargs),
        )
        self._model = checkpoint.model
        if adapter is not None:
            self._model = apply_adapter(checkpoint.model, adapter.path).eval()
        self._identity = {
            **checkpoint.identity,
            "lora_adapter": None if adapter is None else adapter.identity,
        }
        if max_model_len and checkpoint.context and max_model_len > checkpoint.context:
            raise ConfigError(
                f"max_model_len {max_model_len} is beyond the model's context of {checkpoint.context}"
            )
        self._reader = RequestReader(
            name=model,
            tokenizer=checkpoint.tokenizer,
            num_embeddings=_count_embeddings(checkpoint.model),
            max_model_len=max_model_len or checkpoint.context,
            end_tokens=read_end_tokens(
                getattr(checkpoint.model, "generation_config", None),
                checkpoint.model.config,
                checkpoint.tokenizer,
            ),
            on_overlong=on_overlong,
            chat_template_kwargs=chat_template_kwargs,
        )
        self.notes = judging_paths(self._model).notes
        """What the self-check of the model found, a line each."""
        for note in self.notes:
            _LOGGER.warning("%s: %s", model, note)
        self._batching = choose_batching(
            "writes",
            is_gpu=where.type != "cpu",
            batch_size=batch_size,
            max_batch_tokens=max_batch_tokens,
            free_bytes=free_memory(self._model.device),
            cache_bytes_per_token=_count_cache_bytes(self._model),
        )

    def fingerprint(self) -> dict[str, object]:
        """Model, weights, number format, context and chat template; not where it runs or how it batches."""
        return {
            "engine": "transformers",
            **self._identity,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "max_model_len": self._reader.max_model_len,
            "chat_template": hash_text(self._reader.tokenizer.chat_template),
            "chat_template_kwargs": self._reader.chat.kwargs,
            **self._reader.describe(),
        }

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """See `rmr1.engines.base.Dated`."""
        self._reader.chat.begin_run(stored)

    def special_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special tokens, and added ones that look like control tokens."""
        return self._reader.special_tokens()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield each request with its generations; those that cannot be answered come first in a window.

        Raises:
            GenerationError: the model's outputs are not numbers, or a prompt is too long and
                `on_overlong` is "fail".
        """
        endings = Endings(self._reader.tokenizer, params)
        stream = iter(requests)
        while window := list(islice(stream, self._batching.window)):
            ready: list[Prepared] = []
            for request in window:
                prepared = self._reader.prepare(request, params)
                if isinstance(prepared, Generation):
                    yield request, (prepared,) * len(request.list_samples(params))
                else:
                    ready.append(prepared)
            # Longest first: what does not fit into memory shows at once.
            ready.sort(key=lambda prepared: len(prepared.tokens), reverse=True)
            alike: dict[int, list[Prepared]] = {}
            for prepared in ready:
                alike.setdefault(len(prepared.request.list_samples(params)), []).append(prepared)
            for num_samples, ones in alike.items():
                sizes = [(len(prepared.tokens), prepared.max_new_tokens) for prepared in ones]
                for batch in plan_batches(sizes, self._batching, num_samples=num_samples):
                    yield from self._run([ones[index] for index in batch], params, endings)

    def close(self) -> None:
        """Release the model. The engine cannot be used afterwards; closing twice is harmless."""
        self.__dict__.pop("_model", None)
        release_memory()

    def _run(
        self, batch: Sequence[Prepared], params: SamplingParams, endings: Endings
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Answer a batch; one that does not fit into the GPU's memory is halved until it does."""
        try:
            with blaming(self.name, self._model, "run"):
                answers = self._answer(batch, params, endings)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            answers = None
        # Outside of the handler, whose traceback would keep the failed attempt's memory alive.
        if answers is not None:
            yield from answers
            return
        release_memory()
        if len(batch) == 1:
            reason = f"out of GPU memory with a prompt of {len(batch[0].tokens)} tokens; lower num_samples or max_new_tokens"
            yield (
                batch[0].request,
                (self._reader.fail("error", reason, len(batch[0].tokens)),)
                * len(batch[0].request.list_samples(params)),
            )
            return
        half = len(batch) // 2
        yield from self._run(batch[:half], params, endings)
        yield from self._run(batch[half:], params, endings)

    def _answer(
        self, batch: Sequence[Prepared], params: SamplingParams, endings: Endings
    ) -> list[tuple[Request, tuple[Generation, ...]]]:
        streams = [
            [
                TextStream(
                    self._reader.tokenizer,
                    endings,
                    self._reader.watch(prepared, params),
                )
                for _ in prepared.request.list_samples(params)
            ]
            for prepared in batch
        ]
        prompts = [
            PromptRequest(
                tokens=prepared.tokens,
                max_new_tokens=prepared.max_new_tokens,
                rows=[
                    RowRequest(
                        seed=derive_seed(prepared.request.seed, sample),
                        watch=stream.push,
                        probe=self._reader.find_letters(prepared.request.prompt.labels).siblings
                        if params.verdict_logprobs
                        else None,
                    )
                    for sample, stream in zip(prepared.request.list_samples(params), rows, strict=True)
                ],
            )
            for prepared, rows in zip(batch, streams, strict=True)
        ]
        sampled = decode(self._model, prompts, params, end_tokens=self._reader.end_tokens)
        return [
            (
                prepared.request,
                tuple(
                    self._finish(prepared, params, number, stream.finish(), row)
                    for number, stream, row in zip(
                        prepared.request.list_samples(params), streams[index], sampled[index], strict=True
                    )
                ),
            )
            for index, prepared in enumerate(batch)
        ]

    def _finish(
        self, prepared: Prepared, params: SamplingParams, number: int, text: str, row: Sampled
    ) -> Generation:
        return self._reader.finish(
            prepared,
            text=text,
            num_tokens=len(row.tokens),
            finish_reason=row.finish_reason,
            verdict_logprobs=self._read_verdict(prepared, text, row) if params.verdict_logprobs else None,
            seed=derive_seed(prepared.request.seed, number) if params.temperature > 0 else None,
        )

    def _read_verdict(self, prepared: Prepared, text: str, row: Sampled) -> list[float] | None:
        """The labels' log-probabilities at the verdict letter, of the model's own distribution."""
        place = self._reader.find_verdict(prepared, text, row.tokens, is_cut=row.finish_reason == "length")
        if place is None:
            return None
        if place.is_single and place.first in row.probes:
            return list(row.probes[place.first])
        scores = score_tokens(self._model, [*prepared.tokens, *row.tokens[: place.first]], place.spellings)
        return [sum(values) for values in scores]


def _count_cache_bytes(model: Any) -> int:
    """Bytes of one token's keys and values."""
    return read_shape(model.config, counted=(0, 0)).cache_width * int(model.dtype.itemsize)


def _count_embeddings(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])
