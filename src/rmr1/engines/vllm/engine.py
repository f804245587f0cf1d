"""The offline vLLM engine: a causal language model on one or several GPUs, or on the CPU, in this process.

Requests are added in the order they come, so prompts that begin alike are adjacent and their common part is computed
once. Each sample is a request of its own to vLLM, with its own seed. If more than an end token may end a text, or somebody
listens, its tokens are watched as they come, by the same rules as in the transformers engine, and a row is taken back where it ends;
else they are handed over when it has ended, which spares the work of an output for each.

The log-probabilities at the verdict letter come from a second, tiny request for each row: the prompt and what was
written before the letter, nearly all of it in the cache, and one token more. Asking for them while sampling would
cost every token of a long text, and its list of likeliest tokens need not hold both letters.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rmr1.engines.base import UNWANTED, Request, SamplingParams, derive_seed
from rmr1.engines.options import Dtype, Positive, Share, Size, checking
from rmr1.errors import CheckpointError, ConfigError, GenerationError, reason_of
from rmr1.plugins import require
from rmr1.records import Generation

with require("the vllm engine", "vllm"):
    from rmr1.engines.hf.loading import describe_checkpoint, hash_text
    from rmr1.engines.hf.lora import read_adapter
    from rmr1.engines.hf.reader import Prepared, RequestReader
    from rmr1.engines.hf.telling import Telling
    from rmr1.engines.hf.tokens import Endings, TextStream
    from rmr1.engines.vllm.core import (
        Core,
        check_installed,
        choose_lora_rank,
        find_end_tokens,
        import_vllm,
        is_cpu,
        start_core,
        step_core,
        stop_core,
    )

_CPU_CACHE_GB = 4.0
_CPU_STEP_TOKENS = 4096
_READ_AHEAD = 2


class VLLMEngine:
    """Answers requests with a vLLM engine that this process holds."""

    @checking("vllm")
    def __init__(
        self,
        model: str,
        *,
        dtype: Dtype = "auto",
        tensor_parallel_size: Positive = 1,
        max_model_len: Positive | None = None,
        gpu_memory_utilization: Share | None = None,
        kv_cache_gb: Size | None = None,
        max_num_seqs: Positive | None = None,
        quantization: str | None = None,
        lora_adapter: str | Path | None = None,
        enforce_eager: bool | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        on_overlong: Literal["skip", "fail"] = "skip",
        revision: str | None = None,
        trust_remote_code: bool = False,
        engine_args: Mapping[str, Any] | None = None,
    ):
        """Load the model.

        A process can hold one engine at a time. With several GPUs vLLM starts processes that import the main module
        again: a script then needs `if __name__ == "__main__":`.

        Args:
            dtype: "auto" is the checkpoint's own on a GPU, float32 on the CPU.
            tensor_parallel_size: number of GPUs that the weights are divided among.
            max_model_len: most tokens of prompt and answer; at most, and by default, the model's own.
            gpu_memory_utilization: share of the GPU's memory to take, in (0, 1]; on the CPU of the
                machine's.
            kv_cache_gb: GiB for keys and values, in place of that share; 4 on the CPU by default.
            max_num_seqs: most rows computed at a time, a row being one sample.
            quantization: vLLM's name of the method; by default what the checkpoint says.
            enforce_eager: True compiles nothing: slower, but ready sooner. By default on the CPU only.
            on_overlong: whether a prompt beyond `max_model_len` is skipped or ends the run.
            engine_args: further arguments of vLLM's `EngineArgs`.

        Raises:
            ConfigError: a setting is wrong, vLLM is not installed, or an engine runs in this process already.
            CheckpointError: the model cannot be loaded.
        """
        check_installed()
        self.name = model
        adapter = None if lora_adapter is None else read_adapter(lora_adapter)
        max_lora_rank = None if adapter is None else choose_lora_rank(adapter.rank)
        found = describe_checkpoint(model, revision=revision, trust_remote_code=trust_remote_code)
        if max_model_len and found.context and max_model_len > found.context:
            raise ConfigError(
                f"max_model_len {max_model_len} is beyond the model's context of {found.context}"
            )
        self._reader = RequestReader(
            name=model,
            tokenizer=found.tokenizer,
            num_embeddings=found.config.get_text_config().vocab_size,
            max_model_len=max_model_len or found.context,
            end_tokens=find_end_tokens(found, revision=revision),
            on_overlong=on_overlong,
            chat_template_kwargs=chat_template_kwargs,
        )
        vllm = import_vllm()
        on_cpu = is_cpu()
        if kv_cache_gb is None and gpu_memory_utilization is None and on_cpu:
            kv_cache_gb = _CPU_CACHE_GB  # the share that fits a GPU is far too much of a machine's memory
        extra = dict(engine_args or {})
        if on_cpu and (most := self._reader.max_model_len) is not None:
            # No prompt in parts: after one vLLM winds random numbers back, which on the CPU it cannot.
            whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(_CPU_STEP_TOKENS, most)}
            extra = {**whole, **extra}
        # Imports that failed on the way keep this frame: what it names could never be released.
        self._core: Core | None = start_core(
            model,
            {
                "model": found.source,
                "tokenizer": found.source,
                "revision": revision,
                "trust_remote_code": trust_remote_code,
                "dtype": "float32" if dtype == "auto" and on_cpu else dtype,
                "max_model_len": self._reader.max_model_len,
                "tensor_parallel_size": tensor_parallel_size,
                "gpu_memory_utilization": gpu_memory_utilization,
                "kv_cache_memory_bytes": None if kv_cache_gb is None else int(kv_cache_gb * (1 << 30)),
                "max_num_seqs": max_num_seqs,
                "quantization": quantization,
                "enforce_eager": on_cpu if enforce_eager is None else enforce_eager,
                "enable_lora": adapter is not None,
                "max_lora_rank": max_lora_rank,
            },
            extra,
        )
        self._vllm = vllm
        self._lora: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest("adapter", 1, str(adapter.path))
        self._identity: dict[str, object] = {
            "engine": "vllm",
            **found.identity,
            "vllm": self._core.version,
            "dtype": self._core.dtype,
            "quantization": quantization,
            "lora_adapter": None if adapter is None else adapter.identity,
            "max_model_len": self._reader.max_model_len,
            "chat_template": hash_text(found.tokenizer.chat_template),
            "chat_template_kwargs": self._reader.chat.kwargs,
        }
        self._listeners: dict[str, _Listener] = {}
        self._keys = map(str, itertools.count())
        self._has_probed = False
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        """Prompt tokens that were found in the prefix cache."""
        try:
            self._warm_up()
        except GenerationError as error:
            self.close()
            raise CheckpointError(f"vLLM cannot run model {model!r}: {error}") from error

    def fingerprint(self) -> dict[str, object]:
        """What is computed, and by which vLLM; not where it runs."""
        return {**self._identity, **self._reader.describe()}

    def begin_run(self, stored: Mapping[str, object] | None) -> None:
        """See `rmr1.engines.base.Dated`."""
        self._reader.chat.begin_run(stored)

    def special_tokens(self) -> tuple[str, ...]:
        return self._reader.special_tokens()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        """Yield each request with its generations as they finish."""
        core = self._require_core()
        endings: dict[SamplingParams, Endings] = {}
        most_rows = _READ_AHEAD * core.max_num_seqs
        stream = iter(requests)
        tasks: list[_Task] = []
        num_rows = 0
        try:
            while True:
                # The last request may go over the limit with its samples, which belong together.
                while not tasks or num_rows + params.num_samples <= most_rows:
                    request = next(stream, None)
                    if request is None:
                        break
                    own = request.choose_params(params)
                    prepared = self._reader.prepare(request, own)
                    if isinstance(prepared, Generation):
                        yield request, (prepared,) * len(request.list_samples(params))
                        continue
                    if (own.verdict_logprobs or prepared.choices) and not self._has_probed:
                        self._warm_up(ids=(0, 1))
                        self._has_probed = True
                    if own not in endings:
                        endings[own] = Endings(self._reader.tokenizer, own)
                    tasks.append(self._start(prepared, own, endings[own]))
                    num_rows += len(tasks[-1].rows)
                if not tasks:
                    return
                finished = [task for task in tasks if not task.waiting]
                if not finished:
                    self._step(core)
                self._give_up(core, [task for task in tasks if task.prepared.request.is_given_up])
                for task in finished:
                    tasks.remove(task)
                    num_rows -= len(task.rows)
                    yield task.prepared.request, self._read_all(task)
        finally:
            # The caller has had enough, or something failed: what is left must not go on.
            keys = [
                key for task in tasks for key in task.waiting if self._listeners.pop(key, None) is not None
            ]
            if keys and self._core is not None:
                self._core.engine.abort_request(keys)

    def close(self) -> None:
        """Stop vLLM and release its memory. The engine cannot be used afterwards."""
        core, self._core = self._core, None
        if core is not None:
            self._listeners.clear()
            stop_core(core)

    def _require_core(self) -> Core:
        if self._core is None:
            raise GenerationError(f"the engine of model {self.name!r} is closed")
        return self._core

    def find_opening(self, thinking: Sequence[tuple[str, str]]) -> str:
        """See `rmr1.engines.base.Guidable`."""
        return self._reader.find_opening(thinking)

    def fills_sheets(self) -> bool:
        """See `rmr1.engines.base.Guidable`."""
        return False

    def _start(self, prepared: Prepared, params: SamplingParams, endings: Endings) -> _Task:
        task = _Task(prepared=prepared, wants_verdict=params.verdict_logprobs)
        if prepared.choices:
            task.choices = self._probe_spellings(prepared.tokens, prepared.choices, task.waiting)
            return task
        is_heard = prepared.request.is_heard
        for sample in prepared.request.list_samples(params):
            stream = TextStream(
                self._reader.tokenizer,
                endings,
                self._reader.watch(prepared, params),
                stop_at_loop=prepared.stops_at_loop,
            )
            row = _Row(
                task=task,
                waiting=task.waiting,
                stream=stream,
                telling=Telling(prepared, sample, stream) if is_heard else None,
                end_tokens=self._reader.end_tokens,
                seed=derive_seed(prepared.request.seed, sample) if params.temperature > 0 else None,
            )
            task.rows.append(row)
            self._add(
                row,
                prepared.tokens,
                temperature=params.temperature,
                top_p=params.top_p,
                top_k=params.top_k,
                seed=row.seed,
                max_tokens=prepared.max_new_tokens,
                stop_token_ids=sorted(self._reader.end_tokens),
                is_watched=endings.has_any or prepared.stops_at_loop or is_heard,
            )
        return task

    def _add(
        self,
        listener: _Listener,
        tokens: Sequence[int],
        *,
        is_watched: bool = False,
        priority: int = 0,
        **settings: Any,
    ) -> None:
        """Add a request to vLLM, which hands over its tokens one by one if they are watched, else all at its end."""
        listener.key, kinds = next(self._keys), self._vllm.sampling_params.RequestOutputKind
        try:
            self._require_core().engine.add_request(
                listener.key,
                self._vllm.inputs.TokensPrompt(prompt_token_ids=list(tokens)),
                self._vllm.SamplingParams(
                    ignore_eos=True,  # the end tokens are all among `stop_token_ids`
                    detokenize=False,
                    output_kind=kinds.DELTA if is_watched else kinds.FINAL_ONLY,
                    **settings,
                ),
                lora_request=self._lora,
                priority=priority,
            )
        except ValueError as error:  # only this one is refused
            listener.fail(f"vLLM refuses the prompt: {reason_of(error)}")
            return
        self._listeners[listener.key] = listener
        listener.waiting.add(listener.key)

    def _give_up(self, core: Core, tasks: Sequence[_Task]) -> None:
        """End what nobody waits for."""
        keys = [key for task in tasks for key in task.waiting]
        for key in keys:
            if (listener := self._listeners.pop(key, None)) is not None:
                listener.fail(UNWANTED)
        for task in tasks:
            task.waiting.clear()
        if keys:
            core.engine.abort_request(keys)

    def _step(self, core: Core) -> None:
        ended = []
        for output in step_core(core):
            listener = self._listeners.get(output.request_id)
            if listener is None:
                continue
            completion = output.outputs[0]
            if isinstance(listener, _Row) and not listener.tokens:
                self.num_prompt_tokens += len(listener.task.prepared.tokens)
                self.num_cached_tokens += output.num_cached_tokens or 0
            listener.take(completion)
            if output.finished and not listener.is_done:
                listener.fail(f"vLLM ended the text: {completion.finish_reason}")
            if not listener.is_done:
                continue
            del self._listeners[output.request_id]
            if not output.finished:
                ended.append(output.request_id)
            if isinstance(listener, _Row) and listener.task.wants_verdict and listener.error is None:
                self._ask_verdict(listener)
            listener.waiting.remove(listener.key)
        if ended:
            core.engine.abort_request(ended)

    def _ask_verdict(self, row: _Row) -> None:
        prepared = row.task.prepared
        place = self._reader.find_verdict(
            prepared, row.text, row.tokens, is_cut=row.finish_reason == "length"
        )
        if place is None:
            return
        row.spellings = place.spellings
        prefix = [*prepared.tokens, *row.tokens[: place.first]]
        row.probes = self._probe_spellings(prefix, place.spellings, row.waiting)

    def _probe_spellings(
        self, prefix: Sequence[int], spellings: Sequence[tuple[int, ...]], waiting: set[str]
    ) -> dict[tuple[int, ...], _Probe]:
        """Probes by what of a spelling stands before the probed place."""
        wanted: dict[tuple[int, ...], list[int]] = {}
        for spelling in spellings:
            for index, token in enumerate(spelling):
                wanted.setdefault(spelling[:index], []).append(token)
        return {written: self._probe([*prefix, *written], ids, waiting) for written, ids in wanted.items()}

    def _probe(self, tokens: Sequence[int], ids: Sequence[int], waiting: set[str]) -> _Probe:
        """A request for the log-probabilities of `ids` behind the tokens; without `ids` only for a step."""
        probe = _Probe(waiting=waiting)
        unique = list(dict.fromkeys(ids))
        limit = self._reader.max_model_len
        if limit is not None and len(tokens) + 1 > limit:
            probe.fail("no room for it")  # a label's spelling is longer than what was left of the context
            return probe
        asked: dict[str, Any] = {"logprobs": len(unique), "logprob_token_ids": unique} if unique else {}
        # First in the queue: a probe takes one step, and what it needs is still in the cache.
        self._add(probe, tokens, priority=-1, temperature=0.0, max_tokens=1, **asked)
        return probe

    def _read_all(self, task: _Task) -> tuple[Generation, ...]:
        if task.choices is None:
            return tuple(self._read(task, row) for row in task.rows)
        found = read_spellings(task.prepared.choices, task.choices)
        if found is None:
            reason = "vLLM does not tell how likely the choices are"
            return (self._reader.fail("error", reason, len(task.prepared.tokens)),)
        return (self._reader.choose(task.prepared, found),)

    def _read(self, task: _Task, row: _Row) -> Generation:
        if row.error is not None:
            return self._reader.fail("error", row.error, len(task.prepared.tokens))
        return self._reader.finish(
            task.prepared,
            text=row.text,
            num_tokens=len(row.tokens),
            finish_reason=row.finish_reason,
            verdict_logprobs=row.read_verdict(),
            seed=row.seed,
        )

    def _warm_up(self, ids: Sequence[int] = ()) -> None:
        """One step that does not count: vLLM compiles at the first use, for up to half a minute."""
        probe = self._probe([0], ids, set())
        while not probe.is_done:
            self._step(self._require_core())


@dataclass(slots=True, kw_only=True)
class _Listener(ABC):
    """What one of vLLM's requests writes to."""

    key: str = ""
    waiting: set[str]
    """Keys of the unfinished requests of its task, its own among them."""
    is_done: bool = False
    error: str | None = None

    @abstractmethod
    def take(self, completion: Any) -> None:
        """Take in new tokens, a `vllm.CompletionOutput`."""

    def fail(self, reason: str) -> None:
        self.error, self.is_done = reason, True


@dataclass(slots=True, kw_only=True)
class _Probe(_Listener):
    logprobs: dict[int, float] = field(default_factory=dict)

    def take(self, completion: Any) -> None:
        if completion.token_ids:
            self.is_done = True
            if completion.logprobs:
                self.logprobs = {token: found.logprob for token, found in completion.logprobs[0].items()}


@dataclass(slots=True, kw_only=True)
class _Row(_Listener):
    task: _Task
    stream: TextStream
    telling: Telling | None
    end_tokens: frozenset[int]
    seed: int | None
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: str = "length"
    spellings: tuple[tuple[int, ...], ...] | None = None
    probes: dict[tuple[int, ...], _Probe] = field(default_factory=dict)
    """Probes by what of a spelling stands before the probed place."""

    def take(self, completion: Any) -> None:
        for token in completion.token_ids:
            self.tokens.append(token)
            if token in self.end_tokens or self.stream.push(token):
                self.finish_reason = "stop"
                self.is_done = True
            elif len(self.tokens) >= self.task.prepared.max_new_tokens:
                self.is_done = True
            if self.is_done:  # several tokens may come at once
                self.text = self.stream.finish()
                return
        if self.telling is not None:
            self.telling.tell()

    def read_verdict(self) -> tuple[float, ...] | None:
        """None if there is no verdict, or a label is not known."""
        return None if self.spellings is None else read_spellings(self.spellings, self.probes)


def read_spellings(
    spellings: Sequence[tuple[int, ...]], probes: Mapping[tuple[int, ...], _Probe]
) -> tuple[float, ...] | None:
    """Each spelling's log-probability; None if one is not known."""
    try:
        return tuple(
            sum(probes[spelling[:index]].logprobs[token] for index, token in enumerate(spelling))
            for spelling in spellings
        )
    except KeyError:
        return None


@dataclass(slots=True, kw_only=True, eq=False)
class _Task:
    prepared: Prepared
    wants_verdict: bool
    rows: list[_Row] = field(default_factory=list)
    choices: dict[tuple[int, ...], _Probe] | None = None
    """What is asked if the request has choices, as `_Row.probes`."""
    waiting: set[str] = field(default_factory=set)
    """Keys of its unfinished requests to vLLM."""
