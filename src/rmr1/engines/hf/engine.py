"""The embedded engine: a causal language model by the transformers library, on the CPU or one GPU.

Requests are read in windows of a few batches, sorted by length and batched under a token budget. Equal prompts are
read once, and texts that go on part by part are read on from where they were (`rmr1.engines.hf.continuing`).
`rmr1.engines.hf.decode` samples; this module turns requests into tokens and tokens into generations.

A prompt that leaves no room for one token is skipped (or raises, with `on_overlong="fail"`); one that leaves less than
`max_new_tokens` gets what is left. If the chat template opens the thinking part itself, the text begins with that mark.
Nothing else is added to a text, and nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rmr1.engines.base import UNWANTED, Request, SamplingParams, derive_seed
from rmr1.engines.options import Device, Dtype, Positive, Size, checking
from rmr1.forecast.batching import choose_batching, plan_batches
from rmr1.forecast.shape import read_shape
from rmr1.plugins import require
from rmr1.records import Generation

with require("running a model", "hf"):
    from rmr1.attention.kept import Kept
    from rmr1.attention.proof.judging import judging_paths
    from rmr1.devices import free_memory, is_out_of_memory, release_memory
    from rmr1.engines.hf.continuing import DEFAULT_BYTES, GPU_SHARE, KeptTexts
    from rmr1.engines.hf.decode import Probe, PromptRequest, RowRequest, Sampled, Watch, decode, score_tokens
    from rmr1.engines.hf.loading import LocalModel, answer_in_parts, blaming
    from rmr1.engines.hf.lora import apply_adapter, read_adapter
    from rmr1.engines.hf.reader import CHOOSING, Prepared, RequestReader, read_end_tokens
    from rmr1.engines.hf.telling import Telling
    from rmr1.engines.hf.tokens import Endings, TextStream

Answered = tuple[Request, tuple[Generation, ...]]
"""A request and its generations."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that can be answered."""

    prepared: Prepared
    params: SamplingParams
    kept: Kept | None
    """What was read of its text before."""

    @property
    def tokens(self) -> list[int]:
        return self.prepared.tokens

    @property
    def max_new_tokens(self) -> int:
        return self.prepared.max_new_tokens

    @property
    def numbers(self) -> range:
        """Those of its samples."""
        return self.prepared.request.list_samples(self.params)

    @property
    def num_unread(self) -> int:
        return len(self.tokens) - (0 if self.kept is None else self.kept.num_tokens)

    @property
    def prompt(self) -> Hashable:
        """What requests have in common that are rows of one prompt."""
        return tuple(self.tokens), self.max_new_tokens, self.prepared.choices


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
        kept_texts_gb: Size | None = None,
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
            kept_texts_gb: GiB for what was read of texts that go on part by part (guided judging), which is
                read again if it does not fit; by default 4 on the CPU, a fifth of a GPU's free memory.

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
        shape = read_shape(self._model.config, counted=(0, 0))
        self._token_bytes = shape.cache_width * self._model.dtype.itemsize
        free = free_memory(self._model.device)
        room = DEFAULT_BYTES if free is None else int(free * GPU_SHARE)
        self._endings: dict[tuple[tuple[str, ...], bool], Endings] = {}
        self._texts = KeptTexts(room if kept_texts_gb is None else int(kept_texts_gb * (1 << 30)))
        self._batching = choose_batching(
            "writes",
            is_gpu=self._model.device.type != "cpu",
            batch_size=batch_size,
            max_batch_tokens=max_batch_tokens,
            free_bytes=free,
            cache_bytes_per_token=self._token_bytes,
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

        stream = iter(requests)
        while window := self._read_window(stream, params):
            groups: dict[tuple[float, float, int, bool], dict[Hashable, list[_Asked]]] = {}
            for request, own, prepared in window:
                if isinstance(prepared, Generation):
                    yield request, (prepared,) * len(request.list_samples(own))
                    continue
                own = CHOOSING if prepared.choices else own
                asked = _Asked(prepared, own, self._texts.take(request.key, prepared.tokens))
                # Of texts of which something is kept only a few tokens are left to read: a batch of their own.
                kind = own.temperature, own.top_p, own.top_k, asked.kept is not None
                groups.setdefault(kind, {}).setdefault(asked.prompt, []).append(asked)
            for kind in list(groups):
                # Longest first: what does not fit into memory shows at once.
                alike = sorted(groups.pop(kind).values(), key=lambda one: len(one[0].tokens), reverse=True)
                batches = list(
                    plan_batches(
                        [(len(one[0].tokens), one[0].max_new_tokens) for one in alike],
                        self._batching,
                        num_samples=[sum(len(asked.numbers) for asked in one) for one in alike],
                        unread=[one[0].num_unread for one in alike],
                    )
                )
                for batch in batches:
                    for answers in answer_in_parts(
                        [alike[index] for index in batch], self._answer, self._refuse
                    ):
                        yield from answers

    def _read_window(
        self, stream: Iterator[Request], params: SamplingParams
    ) -> list[tuple[Request, SamplingParams, Prepared | Generation]]:
        """The next requests, not more than can be kept if they go on, but at least a quarter of a batch."""
        self._texts.begin_round()
        window = []
        most, num_kept, seen = self._batching.window, 0, set()
        for request in stream:
            own = request.choose_params(params)
            prepared = self._reader.prepare(request, own)
            window.append((request, own, prepared))
            if request.goes_on and isinstance(prepared, Prepared):
                size = len(prepared.tokens)
                # How much is written is not known; equal prompts are kept once.
                num_kept += min(size, prepared.max_new_tokens) + (
                    size if id(request.prompt) not in seen else 0
                )
                seen.add(id(request.prompt))
                if num_kept * self._token_bytes >= self._texts.room.limit:
                    most = min(most, max(1, self._batching.batch_size // 4))
            if len(window) >= most:
                break
        return window

    def _refuse(self, alike: Sequence[_Asked]) -> list[Answered]:
        size = len(alike[0].tokens)
        reason = f"out of GPU memory with a prompt of {size} tokens; lower num_samples or max_new_tokens"
        failure = self._reader.fail("error", reason, size)
        return [(asked.prepared.request, (failure,) * len(asked.numbers)) for asked in alike]

    def _answer(self, batch: Sequence[Sequence[_Asked]]) -> list[list[Answered]]:
        """The answers to requests of equal prompts, prompt by prompt."""
        with blaming(self.name, self._model, "run"):
            try:
                return self._decode(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self._texts.clear():
                    raise
            release_memory()
            return self._decode(batch)

    def _decode(self, batch: Sequence[Sequence[_Asked]]) -> list[list[Answered]]:
        streams = {
            id(asked): [self._build_stream(asked) for _ in asked.numbers]
            for alike in batch
            for asked in alike
        }
        rows_of = {
            id(asked): self._build_rows(asked, streams[id(asked)]) for alike in batch for asked in alike
        }
        prompts = [
            PromptRequest(
                tokens=alike[0].tokens,
                max_new_tokens=max(alike[0].max_new_tokens, *map(len, alike[0].prepared.choices), 0),
                rows=[row for asked in alike for row in rows_of[id(asked)]],
                begun=alike[0].kept,
            )
            for alike in batch
        ]
        end_tokens, params = self._reader.end_tokens, batch[0][0].params
        sampled = decode(self._model, prompts, params, end_tokens=end_tokens, room=self._texts.room)
        answers: list[list[Answered]] = []
        for alike, samples in zip(batch, sampled, strict=True):
            rows = iter(samples)
            answers.append([])
            for asked in alike:
                own = [next(rows) for _ in rows_of[id(asked)]]
                request = asked.prepared.request
                if request.goes_on:
                    self._texts.put(request.key, [*asked.tokens, *own[0].tokens], own[0].kept)
                if asked.prepared.choices:
                    found = self._reader.choose(asked.prepared, _read_choices(own))
                    answers[-1].append((request, (found,) * len(asked.numbers)))
                    continue
                texts = zip(asked.numbers, streams[id(asked)], own, strict=True)
                answers[-1].append((request, tuple(self._finish(asked, *text) for text in texts)))
        return answers

    def _build_stream(self, asked: _Asked) -> TextStream:
        params = asked.params
        ending = params.stop, params.stop_at_verdict
        if ending not in self._endings:
            self._endings[ending] = Endings(self._reader.tokenizer, params)
        return TextStream(
            self._reader.tokenizer,
            self._endings[ending],
            self._reader.watch(asked.prepared, params),
            stop_at_loop=asked.prepared.stops_at_loop,
        )

    def _build_rows(self, asked: _Asked, streams: Sequence[TextStream]) -> list[RowRequest]:
        """The rows of a request: its samples; or one in which the choices are compared, if each is a single token, or
        else one for each choice."""
        prepared, params = asked.prepared, asked.params
        keeps = prepared.request.goes_on
        if prepared.choices:
            if all(len(spelling) == 1 for spelling in prepared.choices):
                tokens = tuple(spelling[0] for spelling in prepared.choices)
                return [RowRequest(probe=lambda _: tokens, keeps=keeps)]
            return [
                RowRequest(probe=lambda token: (token,), forced=spelling, keeps=keeps and not number)
                for number, spelling in enumerate(prepared.choices)
            ]
        probe: Probe | None = None
        if params.verdict_logprobs:
            probe = self._reader.find_letters(prepared.request.prompt.labels).siblings
        return [
            RowRequest(
                seed=derive_seed(prepared.request.seed, number),
                watch=_watch(prepared, number, stream),
                probe=probe,
                keeps=keeps and not place,
            )
            for place, (number, stream) in enumerate(zip(asked.numbers, streams, strict=True))
        ]

    def _finish(self, asked: _Asked, number: int, stream: TextStream, row: Sampled) -> Generation:
        prepared, params = asked.prepared, asked.params
        if prepared.request.is_given_up:
            return self._reader.fail("error", UNWANTED, len(prepared.tokens))
        text = stream.finish()
        return self._reader.finish(
            prepared,
            text=text,
            num_tokens=len(row.tokens),
            finish_reason=row.finish_reason,
            verdict_logprobs=self._read_verdict(prepared, text, row) if params.verdict_logprobs else None,
            seed=derive_seed(prepared.request.seed, number) if params.temperature > 0 else None,
        )

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


def _watch(prepared: Prepared, number: int, stream: TextStream) -> Watch:
    """Ends a text at its stop strings, and as soon as nobody waits for it; tells who listens how it goes on."""
    request = prepared.request
    if request.is_wanted is None and request.listener is None:
        return stream.push
    telling = Telling(prepared, number, stream)

    def watch(token: int) -> bool:
        is_end = stream.push(token)
        telling.tell()
        return is_end or request.is_given_up

    return watch


def _read_choices(rows: Sequence[Sampled]) -> Sequence[float]:
    """The log-probability of each choice, by the rows that `_build_rows` asked for."""
    if len(rows) == 1:
        return rows[0].probes[0]
    return [sum(row.probes[place][0] for place in range(len(row.tokens))) for row in rows]
