"""The embedded engine: a causal language model by the transformers library, on the CPU or one GPU.

Requests are read in windows of a few batches, sorted by length and batched under a token budget.
`rmr1.engines.hf.decode` samples; this module turns requests into tokens and tokens into generations.

A prompt that leaves no room for one token is skipped (or raises, with `on_overlong="fail"`); one that leaves less than
`max_new_tokens` gets what is left. If the chat template opens the thinking part itself, the text begins with that mark.
Nothing else is added to a text, and nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rmr1.engines.base import Request, SamplingParams, derive_seed
from rmr1.engines.options import Device, Dtype, Positive, checking
from rmr1.forecast.batching import choose_batching, plan_batches
from rmr1.forecast.shape import read_shape
from rmr1.plugins import require
from rmr1.records import Generation

with require("running a model", "hf"):
    from rmr1.attention.proof.judging import judging_paths
    from rmr1.devices import free_memory
    from rmr1.engines.hf.decode import Probe, PromptRequest, RowRequest, Sampled, decode, score_tokens
    from rmr1.engines.hf.loading import LocalModel, answer_in_parts, blaming
    from rmr1.engines.hf.lora import apply_adapter, read_adapter
    from rmr1.engines.hf.reader import CHOOSING, Prepared, RequestReader, read_end_tokens
    from rmr1.engines.hf.tokens import Endings, TextStream

Answered = tuple[Request, tuple[Generation, ...]]
"""A request and its generations."""


class TransformersEngine(LocalModel):
    """Answers requests with a causal language model that this process holds."""

    _engine = "transformers"
    _reader_type = RequestReader
    _reader: RequestReader

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
            device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1" or "mps".
            dtype: "auto" (the checkpoint's own on a GPU, float32 on the CPU), "float32", "bfloat16"
                or "float16".
            batch_size: most rows decoded together, a row being one sample; a prompt's samples stay
                together even if they are more.
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
        adapter = None if lora_adapter is None else read_adapter(lora_adapter)
        reading = self._load(
            model,
            device=device,
            dtype=dtype,
            max_model_len=max_model_len,
            chat_template_kwargs=chat_template_kwargs,
            on_overlong=on_overlong,
            revision=revision,
            trust_remote_code=trust_remote_code,
            attn_implementation=attn_implementation,
        )
        if adapter is not None:
            self._model = apply_adapter(self._model, adapter.path).eval()
        self._identity["lora_adapter"] = None if adapter is None else adapter.identity
        generation = getattr(self._model, "generation_config", None)
        end_tokens = read_end_tokens(generation, self._model.config, reading["tokenizer"])
        self._reader = RequestReader(name=model, end_tokens=end_tokens, **reading)
        self._tell(judging_paths(self._model).notes)
        width = read_shape(self._model.config, counted=(0, 0)).cache_width
        self._batching = choose_batching(
            "writes",
            is_gpu=self._model.device.type != "cpu",
            batch_size=batch_size,
            max_batch_tokens=max_batch_tokens,
            free_bytes=free_memory(self._model.device),
            cache_bytes_per_token=width * self._model.dtype.itemsize,
        )

    def special_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special tokens, and added ones that look like control tokens."""
        return self._reader.special_tokens()

    def generate(self, requests: Iterable[Request], params: SamplingParams) -> Iterator[Answered]:
        """Yield each request with its generations; those that cannot be answered come first in a window.

        Raises:
            GenerationError: the model's outputs are not numbers, or a prompt is too long and
                `on_overlong` is "fail".
        """

        def refuse(prepared: Prepared) -> Answered:
            size = len(prepared.tokens)
            reason = f"out of GPU memory with a prompt of {size} tokens; lower num_samples or max_new_tokens"
            failure = self._reader.fail("error", reason, size)
            return prepared.request, (failure,) * len(prepared.request.list_samples(params))

        stream = iter(requests)
        while window := list(islice(stream, self._batching.window)):
            ready: dict[tuple[SamplingParams, int], list[Prepared]] = {}
            for request in window:
                own, num_samples = request.choose_params(params), len(request.list_samples(params))
                prepared = self._reader.prepare(request, own)
                if isinstance(prepared, Generation):
                    yield request, (prepared,) * num_samples
                else:
                    own = CHOOSING if prepared.choices else own
                    ready.setdefault((own, num_samples), []).append(prepared)
            for (own, num_samples), alike in ready.items():
                # Longest first: what does not fit into memory shows at once.
                alike.sort(key=lambda prepared: len(prepared.tokens), reverse=True)
                sizes = [(len(prepared.tokens), prepared.max_new_tokens) for prepared in alike]
                for batch in plan_batches(sizes, self._batching, num_samples=num_samples):
                    answer = partial(self._answer, params=own)
                    yield from answer_in_parts([alike[index] for index in batch], answer, refuse)

    def _answer(self, batch: Sequence[Prepared], params: SamplingParams) -> list[Answered]:
        with blaming(self.name, self._model, "run"):
            return self._decode(batch, params, Endings(self._reader.tokenizer, params))

    def _decode(self, batch: Sequence[Prepared], params: SamplingParams, endings: Endings) -> list[Answered]:
        reader = self._reader
        streams = [
            [
                TextStream(
                    reader.tokenizer,
                    endings,
                    reader.watch(prepared, params),
                    stop_at_loop=prepared.stops_at_loop,
                )
                for _ in prepared.request.list_samples(params)
            ]
            for prepared in batch
        ]
        prompts = []
        for prepared, rows in zip(batch, streams, strict=True):
            probe = self._choose_probe(prepared, params)
            requests = [
                RowRequest(
                    seed=derive_seed(prepared.request.seed, number),
                    watch=stream.push,
                    probe=probe,
                )
                for number, stream in zip(prepared.request.list_samples(params), rows, strict=True)
            ]
            prompts.append(
                PromptRequest(tokens=prepared.tokens, max_new_tokens=prepared.max_new_tokens, rows=requests)
            )
        answers: list[Answered] = []
        sampled = decode(self._model, prompts, params, end_tokens=reader.end_tokens)
        for prepared, texts, samples in zip(batch, streams, sampled, strict=True):
            generations = []
            numbers = prepared.request.list_samples(params)
            for number, stream, row in zip(numbers, texts, samples, strict=True):
                if prepared.choices:
                    generations.append(reader.choose(prepared, self._score_choices(prepared, row)))
                    continue
                text = stream.finish()
                verdict = self._read_verdict(prepared, text, row) if params.verdict_logprobs else None
                generation = reader.finish(
                    prepared,
                    text=text,
                    num_tokens=len(row.tokens),
                    finish_reason=row.finish_reason,
                    verdict_logprobs=verdict,
                    seed=derive_seed(prepared.request.seed, number) if params.temperature > 0 else None,
                )
                generations.append(generation)
            answers.append((prepared.request, tuple(generations)))
        return answers

    def _choose_probe(self, prepared: Prepared, params: SamplingParams) -> Probe | None:
        if prepared.choices:
            return lambda _: tuple(spelling[0] for spelling in prepared.choices)
        if not params.verdict_logprobs:
            return None
        return self._reader.find_letters(prepared.request.prompt.labels).siblings

    def _score_choices(self, prepared: Prepared, row: Sampled) -> Sequence[float]:
        if all(len(spelling) == 1 for spelling in prepared.choices):
            return row.probes[0]
        return [sum(values) for values in score_tokens(self._model, prepared.tokens, prepared.choices)]

    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        """See `rmr1.engines.base.Guidable`."""
        return self._reader.find_opening(thinking)

    def fills_sheets(self) -> bool:
        """See `rmr1.engines.base.Guidable`."""
        return False

    def _read_verdict(self, prepared: Prepared, text: str, row: Sampled) -> list[float] | None:
        """The labels' log-probabilities at the verdict letter, of the model's own distribution."""
        place = self._reader.find_verdict(prepared, text, row.tokens, is_cut=row.finish_reason == "length")
        if place is None:
            return None
        if place.first in row.probes and all(len(spelling) == 1 for spelling in place.spellings):
            return list(row.probes[place.first])
        scores = score_tokens(self._model, [*prepared.tokens, *row.tokens[: place.first]], place.spellings)
        return [sum(values) for values in scores]
