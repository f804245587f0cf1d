"""Tasks -> samples, written by a vLLM engine that the trainer's process holds.

vLLM starts from the base's files and gets the trainer's weights in place after every update: through its own reloading
of weights, by the checkpoint's names, adapters added to what they adapt on the way. Then it forgets what it cached.

Log-probabilities are those of the distribution that a token was drawn from, after the temperature. vLLM's kernels round
otherwise than the trainer's: what `rmr1.train.grpo.objective` calls importance. Under several processes each one has an
engine of its own, on its own device.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.tokens import Endings, TextStream
from rmr1.engines.vllm.core import (
    Core,
    check_installed,
    import_vllm,
    is_cpu,
    start_core,
    step_core,
    stop_core,
)
from rmr1.errors import CheckpointError, ConfigError, GenerationError, RMR1Error, reason_of
from rmr1.forecast.memory import VLLM_CPU_CACHE
from rmr1.train.evaluate import finish_text
from rmr1.train.group import count_processes
from rmr1.train.grpo.rollout import Sample, make_seed
from rmr1.train.grpo.tasks import Task
from rmr1.train.sharding import gather_whole
from rmr1.verdicts.stop import StopWatcher

_CPU_STEP_TOKENS = 4096
_BASE, _ADAPTER = ".base_layer", ".lora_"
"""What peft puts into the names of the weights that it adapts, and of those that it adds."""


class VllmSampler:
    """Samples as `rmr1.train.grpo.rollout.Sampler` does, from weights of its own: see `update_weights`."""

    def __init__(
        self,
        base: str | Path,
        tokenizer: PreTrainedTokenizerBase,
        *,
        end_tokens: Collection[int],
        max_model_len: int,
        gpu_memory: float = 0.4,
        dtype: str = "auto",
        seed: int = 0,
        revision: str | None = None,
        trust_remote_code: bool = False,
        max_num_seqs: int | None = None,
        cpu_cache_bytes: int = VLLM_CPU_CACHE,
        tensor_parallel: int = 1,
        sleeps: bool = False,
    ):
        """Start vLLM with the base's weights. A process holds one engine at a time, which sets its random states.

        `max_model_len` is of prompt and sample together, `gpu_memory` a share in (0, 1), `dtype` a name such as
        "bfloat16" or "auto"; `cpu_cache_bytes` are for keys and values if vLLM computes on the CPU. `tensor_parallel`
        neighbouring processes hold one engine, and are asked the same. One that `sleeps` is to be woken before it is
        given weights, which it forgets: see `wake` and `sleep`.

        Raises:
            ConfigError: vLLM is not installed, or an engine runs in this process already.
            CheckpointError: vLLM cannot run this model with these settings.
        """
        check_installed()
        self._vllm = import_vllm()
        on_cpu = is_cpu()
        self._device_type = "cpu" if on_cpu else "cuda"
        check_grouping(tensor_parallel, sleeps=sleeps, on_cpu=on_cpu)
        self._tokenizer = tokenizer
        self._max_model_len = max_model_len
        self._num_added = 0
        device: dict[str, Any] = {"gpu_memory_utilization": gpu_memory}
        if on_cpu:
            device = {
                "kv_cache_memory_bytes": cpu_cache_bytes,
                "enforce_eager": True,
                # A prompt computed in parts would have its sample's random numbers wound back after each,
                # which the CPU build cannot do.
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(_CPU_STEP_TOKENS, max_model_len),
            }
        # In one of several processes vLLM joins the group that is there, and takes this process's device.
        is_grouped = torch.distributed.is_available() and torch.distributed.is_initialized()
        self._core: Core | None = start_core(
            str(base),
            {
                "model": str(base),
                "tokenizer": str(base),
                "revision": revision,
                "trust_remote_code": trust_remote_code,
                "dtype": dtype,
                "seed": seed,
                "max_model_len": max_model_len,
                "max_num_seqs": max_num_seqs,
                "logprobs_mode": "processed_logprobs",
                "distributed_executor_backend": "external_launcher" if is_grouped else None,
                "tensor_parallel_size": tensor_parallel if tensor_parallel > 1 else None,
                "enable_sleep_mode": True if sleeps else None,
                **device,
            },
            {},
        )
        vocabulary = self._core.engine.vllm_config.model_config.get_vocab_size()
        self._end_tokens = frozenset(token for token in end_tokens if 0 <= token < vocabulary)
        try:
            # A token that does not count: vLLM compiles at the first use, for up to half a minute.
            self._add(self._core, [0], temperature=1.0, seed=0, max_tokens=1, logprobs=0)
            while self._core.engine.has_unfinished_requests():
                step_core(self._core)
        except GenerationError as error:
            self.close()
            raise CheckpointError(f"vLLM cannot run model {str(base)!r}: {error}") from error

    def sample(
        self,
        tasks: Sequence[Task],
        *,
        samples: int,
        temperature: float,
        seed: str = "",
        with_logprobs: bool = True,
    ) -> list[list[Sample]]:
        core = self._require_core()
        endings = Endings(self._tokenizer, SamplingParams())
        rooms = [min(one.prepared.max_new_tokens, self._max_model_len - len(one.tokens)) for one in tasks]
        for task, room in zip(tasks, rooms, strict=True):
            if room < 1:  # one prompt that vLLM refuses would leave the others' samples half done
                raise GenerationError(
                    f"pair {task.pair.id!r}: the prompt of {len(task.tokens)} tokens leaves no room in vLLM's "
                    f"context of {self._max_model_len}"
                )
        found: list[list[_Row]] = []
        waiting: dict[str, _Row] = {}
        try:
            # Under the trainer's autocast vLLM's own choice of number formats would not hold.
            with torch.autocast(self._device_type, enabled=False):
                for task, room in zip(tasks, rooms, strict=True):
                    group = []
                    for number in range(samples):
                        row = _Row(
                            task=task,
                            stream=TextStream(self._tokenizer, endings, StopWatcher()),
                            end_tokens=self._end_tokens,
                            most_tokens=room,
                        )
                        key = self._add(
                            core,
                            task.tokens,
                            temperature=temperature,
                            seed=make_seed(seed, task, number) if temperature > 0 else None,
                            max_tokens=room,
                            logprobs=0 if with_logprobs else None,
                        )
                        waiting[key] = row
                        group.append(row)
                    found.append(group)
                while waiting:
                    _step(core, waiting)
        finally:
            if waiting and self._core is not None:
                core.engine.abort_request(list(waiting))
        return [[row.read() for row in group] for group in found]

    @torch.no_grad()
    def update_weights(self, model: PreTrainedModel) -> None:
        """Sample from `model`'s weights from now on; they are copied. Adapters in it count, and stay apart."""
        core = self._require_core()
        try:
            core.engine.collective_rpc("reload_weights", kwargs={"weights_iterator": merge_weights(model)})
            if self._device_type == "cpu":
                core.engine.apply_model(_pack_shared)
        except RMR1Error:
            raise
        except Exception as error:  # reloading runs code of every kind of layer
            raise GenerationError(
                f"vLLM does not take the trainer's weights: {reason_of(error)}; set rollout.engine = 'transformers'"
            ) from error
        if core.engine.reset_prefix_cache() is False:
            raise GenerationError("vLLM keeps what it cached under older weights: samples are still running")

    def sleep(self) -> None:
        """Give the memory of weights and cache back; both are forgotten."""
        self._require_core().engine.sleep(level=2)

    def wake(self) -> None:
        """Take the memory again. The weights have no values until they are updated."""
        self._require_core().engine.wake_up()

    def close(self) -> None:
        """Stop vLLM and release its memory. Also ends torch's process groups: nothing shared comes after."""
        core, self._core = self._core, None
        if core is not None:
            stop_core(core)

    def _require_core(self) -> Core:
        if self._core is None:
            raise GenerationError("the vLLM engine of the rollout is closed")
        return self._core

    def _add(self, core: Core, tokens: Sequence[int], **settings: Any) -> str:
        key = str(self._num_added)
        self._num_added += 1
        try:
            core.engine.add_request(
                key,
                self._vllm.inputs.TokensPrompt(prompt_token_ids=list(tokens)),
                self._vllm.SamplingParams(
                    ignore_eos=True,  # the end tokens are all among `stop_token_ids`
                    stop_token_ids=sorted(self._end_tokens),
                    detokenize=False,
                    output_kind=self._vllm.sampling_params.RequestOutputKind.DELTA,
                    **settings,
                ),
            )
        except ValueError as error:
            raise GenerationError(f"vLLM refuses a prompt: {reason_of(error)}") from error
        return key


def check_grouping(tensor_parallel: int, *, sleeps: bool, on_cpu: bool) -> None:
    """
    Raises:
        ConfigError: the processes cannot be divided into such groups, or this vLLM cannot do what is asked.
    """
    number = count_processes()
    if number % tensor_parallel:
        raise ConfigError(
            f"rollout.tensor_parallel is {tensor_parallel}, and {number} process(es) train: their number must be a "
            "multiple of it"
        )
    if on_cpu and (sleeps or tensor_parallel > 1):
        raise ConfigError(
            "rollout.sleep and rollout.tensor_parallel need vLLM on GPUs; this one computes on the CPU"
        )


def merge_weights(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The model's weights by their names in a checkpoint, each once; LoRA adapters are added, in a copy. Those of a model
    that is divided are gathered one after the other, by all processes in the same sequence.

    Raises:
        ConfigError: an adapter is of another kind, or of an output layer tied to the input embedding.
    """
    adapted = {name: module for name, module in model.named_modules() if hasattr(module, "base_layer")}
    weights = dict(model.named_parameters())
    for name, module in adapted.items():
        is_linear = getattr(module.base_layer, "weight", None) is not None and getattr(module, "lora_A", None)
        if not is_linear or f"{name}{_BASE}.weight" not in weights:
            raise ConfigError(
                f"lora.target_modules: vLLM cannot sample with an adapter of {name!r}; leave it out, or set "
                "rollout.engine = 'transformers'"
            )
    for full, weight in weights.items():
        layer, _, own = full.rpartition(".")
        name = layer.removesuffix(_BASE)
        if name in adapted and own == "weight":
            yield f"{name}.weight", _add_adapters(weight, adapted[name])
        elif _ADAPTER not in full:
            yield f"{name}.{own}", _plain(weight)


def _add_adapters(weight: torch.Tensor, module: Any) -> torch.Tensor:
    """Added in float32 and rounded once, to the weight's own number format."""
    merged = _plain(weight).float()
    for adapter in module.active_adapters:
        if adapter in module.lora_A:
            first, second = module.lora_A[adapter].weight, module.lora_B[adapter].weight
            parts = [gather_whole(one.detach()).float() for one in (second, first)]
            change = parts[0] @ parts[1] * module.scaling[adapter]
            merged = merged + (change.T if module.fan_in_fan_out else change)
    return merged.to(weight.dtype) if weight.is_floating_point() else merged


def _plain(weight: torch.Tensor) -> torch.Tensor:
    """All of a weight, in numbers that can be computed with."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        return gather_whole(weight.detach())
    from bitsandbytes.functional import dequantize_4bit

    found: torch.Tensor = dequantize_4bit(weight.data, state)
    return found


def _pack_shared(model: torch.nn.Module) -> None:
    """On the CPU a layer computes from a packed copy, which vLLM does not make anew for an output layer that shares the
    input embedding's matrix."""
    for layer in model.modules():
        weight = getattr(layer, "weight", None)
        if hasattr(layer, "cpu_linear") and isinstance(weight, torch.Tensor) and weight.numel():
            layer.quant_method.process_weights_after_loading(layer)  # type: ignore[union-attr,operator]


def _step(core: Core, waiting: dict[str, _Row]) -> None:
    ended = []
    for output in step_core(core):
        row = waiting.get(output.request_id)
        if row is None:
            continue
        completion = output.outputs[0]
        row.take(completion.token_ids, completion.logprobs)
        if output.finished and not row.is_done:
            raise GenerationError(
                f"pair {row.task.pair.id!r}: vLLM ended the text: {completion.finish_reason}"
            )
        if row.is_done:
            del waiting[output.request_id]
            if not output.finished:
                ended.append(output.request_id)
    if ended:
        core.engine.abort_request(ended)


@dataclass(slots=True, kw_only=True)
class _Row:
    task: Task
    stream: TextStream
    end_tokens: frozenset[int]
    most_tokens: int
    is_done: bool = False
    is_cut: bool = False
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def take(self, tokens: Sequence[int], logprobs: Sequence[Any] | None) -> None:
        for place, token in enumerate(tokens):
            self.tokens.append(token)
            if logprobs is not None:
                self.logprobs.append(logprobs[place][token].logprob)
            if token in self.end_tokens or self.stream.push(token):
                self.is_done = True
            elif len(self.tokens) >= self.most_tokens:
                self.is_done = self.is_cut = True
            if self.is_done:  # several tokens may come at once
                return

    def read(self) -> Sample:
        text = finish_text(self.stream, self.task.prepared.opening)
        return Sample(tokens=self.tokens, logprobs=self.logprobs, text=text, is_cut=self.is_cut)
