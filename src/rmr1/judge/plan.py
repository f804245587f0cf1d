"""A judge that is not loaded: how its prompts are counted, and what is known of its speed and price.

A local model's prompts are read through the reader that the engine uses; a server's tokenizer is not at hand, so
characters are counted. Recorded and scripted texts have no tokens to plan for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rmr1.engines import load_decider, load_engine, parse_model_name
from rmr1.engines.base import Request, Score, ScoreRequest
from rmr1.engines.folders import find_folder
from rmr1.engines.options import EngineKind, check_options, read_options
from rmr1.errors import ConfigError
from rmr1.forecast.batching import choose_batching
from rmr1.forecast.machine import Machine
from rmr1.forecast.memory import VLLM_CPU_CACHE, VLLM_MEMORY_SHARE
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.forecast.prices import Price
from rmr1.forecast.time import VLLM_ROWS, BatchForecast, FlowForecast
from rmr1.judge.decision import describe_decision
from rmr1.judge.estimate import PromptCounter, PromptSize, ServerPace
from rmr1.judge.generative import KINDS, check_guidable, choose_guide, find_way
from rmr1.judge.guide import list_parts
from rmr1.judge.load import StagePlan, default_settings, plan_ask
from rmr1.judge.placement import render_prompts
from rmr1.judge.scalar import RULE
from rmr1.judge.settings import JudgeSettings
from rmr1.models import resolve_model
from rmr1.prompts import PromptFamily, load_family
from rmr1.prompts.families import FOUR_WAY
from rmr1.prompts.render import check_criteria_place
from rmr1.records import Generation, JudgePrompt, Kind, PreferencePair

if TYPE_CHECKING:
    from rmr1.engines.hf.outline import ModelOutline

PlanKind = Literal["transformers", "vllm", "scalar", "server", "decisions", "recorded"]
Parts = tuple[int, ...]
"""Most tokens of each request that a text takes, in their sequence: one, or the parts of a guided text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """What can be said about a judge that is not loaded."""

    name: str
    counter: PromptCounter
    kind: PlanKind
    sections: dict[str, Any]
    """What `PairJudge.describe` says, as far as it is known: a stored run must agree with it."""
    outline: ModelOutline | None = None
    pace: ServerPace | None = None
    price: Price | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """The engine's options, its defaults included."""
    parts: Parts = (0,)
    """Parts of a text of the judge's own family."""

    @property
    def writes(self) -> bool:
        """Whether the judge writes texts."""
        return self.kind not in ("scalar", "decisions")

    @property
    def is_served(self) -> bool:
        """Whether a server is asked, whose tokenizer is not at hand."""
        return self.kind in ("server", "decisions")

    @property
    def limit(self) -> int | None:
        """Most tokens of prompt and answer together; None if it is not known."""
        return None if self.outline is None else self.outline.max_model_len

    @property
    def num_devices(self) -> int:
        return self.options.get("tensor_parallel_size") or 1

    def forecast(self, *, num_samples: int, expected_tokens: float) -> BatchForecast | FlowForecast | None:
        """What tells the time as prompts are added; None if no machine of ours computes."""
        if self.outline is None:
            return None
        decoder, options, count = self.outline.decoder, self.options, self.num_devices
        machine, free = decoder.machine, self.outline.free_bytes
        weights = decoder.weight_bytes * decoder.shape.parameters()
        if self.kind == "vllm":
            room: float = VLLM_CPU_CACHE
            if options["kv_cache_gb"] is not None:
                room = options["kv_cache_gb"] * (1 << 30)
            elif machine.kind == "cuda":
                share = options["gpu_memory_utilization"] or VLLM_MEMORY_SHARE
                room = max(1.0, count * share * machine.memory_bytes - weights)
            return FlowForecast(
                decoder=replace(decoder, machine=machine.join(count)),
                num_samples=num_samples,
                expected_tokens=expected_tokens,
                cache_bytes=room,
                max_rows=options["max_num_seqs"] or VLLM_ROWS,
            )
        batching = choose_batching(
            "scores" if self.kind == "scalar" else "writes",
            is_gpu=machine.kind == "cuda",
            batch_size=options["batch_size"],
            max_batch_tokens=options["max_batch_tokens"],
            free_bytes=None if free is None else free - weights,
            cache_bytes_per_token=decoder.cache_bytes * decoder.shape.cache_width,
        )
        return BatchForecast(
            decoder=decoder, batching=batching, num_samples=num_samples, expected_tokens=expected_tokens
        )


def plan_judge(
    model: str,
    *,
    family: str | Path | PromptFamily | None = None,
    settings: JudgeSettings | None = None,
    options: Mapping[str, Any] | None = None,
    machine: Machine | None = None,
) -> JudgePlan:
    """The plan for what `load_judge` would load, with the same arguments, on this machine or the one at hand."""
    settings = settings or default_settings(model)
    return plan_asked(plan_ask(model, family, settings, options), machine=machine)


def plan_asked(asked: StagePlan, *, machine: Machine | None = None) -> JudgePlan:
    """The plan of a judge, or of a cascade's stage, whose way of asking is known; its model has a name.

    Raises:
        ConfigError: an option is wrong. CheckpointError: the model's configuration cannot be read.
    """
    model, settings, options, family = str(asked.model), asked.settings, asked.options, asked.family
    name = resolve_model(model)
    if family is None:
        return _plan_local(model, name, "scalar", None, settings, options, machine)
    check_criteria_place(family, is_given=settings.gives_criteria)
    if settings.share_rubric:
        raise ConfigError(
            "how many questions there are, and how long their shared rubrics will be, is not known beforehand; estimate "
            "without them"
        )
    parsed = parse_model_name(name)
    if parsed.scheme in ("scripted", "replay", "openai", "decisions"):
        return _plan_remote(model, family, settings, options, scheme=parsed.scheme)
    kind: Literal["transformers", "vllm"] = "vllm" if parsed.scheme == "vllm" else "transformers"
    return _plan_local(model, parsed.rest, kind, family, settings, options, machine)


def _plan_remote(
    model: str,
    family: PromptFamily,
    settings: JudgeSettings,
    options: Mapping[str, Any],
    *,
    scheme: Literal["scripted", "replay", "openai", "decisions"],
) -> JudgePlan:
    decides = scheme == "decisions"
    # Sends nothing, and refuses what is wrong.
    engine: Any = (load_decider if decides else load_engine)(model, options)
    is_server = decides or scheme == "openai"
    values = _fill_in("decisions" if decides else "openai", options) if is_server else {}
    if not decides:
        check_guidable(engine, settings)

    def size(prompt: JudgePrompt, parts: Parts) -> PromptSize:
        characters = sum(len(message.text) for message in prompt.messages)
        tokens = math.ceil(characters / CHARS_PER_TOKEN) if is_server else None
        return PromptSize(tokens=tokens, room=0 if decides else sum(parts), parts=parts)

    sections = _describe(family, settings, engine.fingerprint())
    if decides:
        sections["settings"] = describe_decision(settings)
    reader: object = _Unasked() if scheme == "openai" else engine
    pace = ("concurrency", "requests_per_minute", "tokens_per_minute")
    return JudgePlan(
        name=model,
        counter=_count_prompts(family, settings, size, reader),
        parts=(0,) if decides else _list_parts(reader, settings, family, KINDS[family.num_answers]),
        kind="decisions" if decides else "server" if is_server else "recorded",
        sections=sections,
        pace=ServerPace(**{name: values[name] for name in pace}) if is_server else None,
        price=engine.price if is_server else None,
        options=values,
    )


class _Unasked:
    """A server as nobody has asked it yet: its texts are guided part by part, and it does not think first."""

    def find_opening(self, thinking: object) -> str:
        return ""

    def fills_sheets(self) -> bool:
        return False


def _plan_local(
    name: str,
    model: str,
    kind: Literal["transformers", "vllm", "scalar"],
    family: PromptFamily | None,
    settings: JudgeSettings,
    options: Mapping[str, Any],
    machine: Machine | None,
) -> JudgePlan:
    """A judge that this machine computes; without a family a scalar model."""
    values = _fill_in(kind, options)
    find_folder(model)
    from rmr1.engines.hf.outline import read_outline
    from rmr1.engines.hf.reader import RequestReader
    from rmr1.engines.hf.scorer import ConversationReader

    count = values.get("tensor_parallel_size") or 1
    if machine is not None and count > machine.num_devices:
        raise ConfigError(
            f"tensor_parallel_size is {count}, and the machine has {machine.num_devices} device(s)"
        )
    does: Any = "writes" if kind != "scalar" else "scores" if values["head"] is None else "adapted"
    outline = read_outline(model, kind=does, machine=machine, **values)

    def identify(chat: Any) -> dict[str, Any]:
        # The part of the engine's fingerprint that is known before the model is loaded.
        return {
            "engine": kind,
            **outline.identity,
            "max_model_len": outline.max_model_len,
            "chat_template_kwargs": values["chat_template_kwargs"] or {},
            **chat.form.describe(),
        }

    plan = partial(JudgePlan, name=name, kind=kind, outline=outline, options=values)
    shared: dict[str, Any] = {
        "tokenizer": outline.tokenizer,
        "num_embeddings": outline.num_embeddings,
        "max_model_len": outline.max_model_len,
        "chat_template_kwargs": values["chat_template_kwargs"],
    }
    if family is None:
        scorer = ConversationReader(**shared)

        def measure(key: str, pair: PreferencePair) -> Iterator[PromptSize]:
            for response in (pair.response_a, pair.response_b):
                messages = (*pair.prompt, *response)
                read = scorer.prepare(ScoreRequest(key=key, pair_id=pair.id, messages=messages))
                if isinstance(read, Score):
                    yield PromptSize(tokens=read.prompt_tokens, problem=read.problem)
                else:
                    yield PromptSize(tokens=len(read))

        sections = {"model": identify(scorer.chat), "settings": {"rule": RULE}}
        return plan(counter=measure, sections=sections)
    reader = RequestReader(name=model, end_tokens=(), **shared)

    def size(prompt: JudgePrompt, parts: Parts) -> PromptSize:
        read = reader.prepare(
            Request(key="", prompt=prompt), replace(settings.sampling, max_new_tokens=sum(parts))
        )
        if isinstance(read, Generation):
            problem = "prompt_too_long" if read.finish_reason == "skipped" else "generation_failed"
            return PromptSize(tokens=read.prompt_tokens, problem=problem)
        return PromptSize(tokens=len(read.tokens), room=read.max_new_tokens, parts=parts)

    return plan(
        counter=_count_prompts(family, settings, size, reader, reader.special_tokens()),
        parts=_list_parts(reader, settings, family, KINDS[family.num_answers]),
        sections=_describe(family, settings, identify(reader.chat)),
    )


def _fill_in(kind: EngineKind, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an engine, its defaults among them; refused as the engine would refuse them."""
    defaults = {name: field.default for name, field in read_options(kind).model_fields.items()}
    return {**defaults, **check_options(kind, options)}


def _count_prompts(
    family: PromptFamily,
    settings: JudgeSettings,
    size: Callable[[JudgePrompt, Parts], PromptSize],
    reader: object,
    own_tokens: tuple[str, ...] = (),
) -> PromptCounter:
    special_tokens = settings.all_control_tokens(own_tokens)
    parts: dict[Kind, Parts] = {}

    def count(key: str, pair: PreferencePair) -> Iterator[PromptSize]:
        choice = load_family(FOUR_WAY) if pair.others and family.num_answers == 1 else None
        kind, shown = find_way(pair, family, choice)
        if kind not in parts:
            parts[kind] = _list_parts(reader, settings, shown, kind)
        for prompt in render_prompts(kind, pair, key, settings, shown, special_tokens):
            yield size(prompt, parts[kind])

    return count


def _list_parts(reader: object, settings: JudgeSettings, family: PromptFamily, kind: Kind) -> Parts:
    """What a text of the family takes, as an engine or its reader guides it."""
    guide = choose_guide(reader, settings, family, kind)
    if guide is None:
        return (settings.sampling.max_new_tokens,)
    is_free, number = settings.guide == "verdict", len(settings.criteria)
    return list_parts(guide, settings.sampling, is_free=is_free, num_criteria=number)


def _describe(family: PromptFamily, settings: JudgeSettings, model: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": dict(model), "prompt": {"digest": family.digest}, "settings": settings.describe()}
