"""A judge that is not loaded: how its prompts are counted, and what is known of its speed and price.

A local model's prompts are read by its own tokenizer and chat template, through the reader that the engine
uses. A server's tokenizer is not at hand: there the characters are counted. Recorded and scripted texts
have no tokens to plan for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rmr1.engines import is_scorer, load_engine, parse_model_name
from rmr1.engines.base import Request, Score, ScoreRequest
from rmr1.engines.folders import find_folder
from rmr1.engines.options import Kind as EngineKind
from rmr1.engines.options import check_options, read_options
from rmr1.engines.prices import Price
from rmr1.judge.answers import render_asks
from rmr1.judge.compare import orders_for
from rmr1.judge.estimate import CHARS_PER_TOKEN, PromptCounter, PromptSize, ServerPace
from rmr1.judge.load import choose_family, default_settings, refuse_meaningless
from rmr1.judge.presets import find_preset
from rmr1.judge.scalar import RULE
from rmr1.judge.settings import JudgeSettings
from rmr1.models import resolve_model
from rmr1.prompts import PromptFamily, load_family, render_prompt
from rmr1.prompts.families import FOUR_WAY
from rmr1.records import Generation, JudgePrompt, PreferencePair

if TYPE_CHECKING:
    from rmr1.engines.chat import Chat
    from rmr1.engines.forecast import Forecast
    from rmr1.engines.outline import Outline
    from rmr1.engines.scorer import ConversationReader
    from rmr1.engines.speed import MachineSpeed

Kind = Literal["transformers", "vllm", "scalar", "server", "recorded"]
"""What computes: this machine by one of three engines, a server, or nothing (recorded and scripted texts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """What can be said about a judge without loading it or asking it anything."""

    name: str
    counter: PromptCounter
    kind: Kind
    sections: dict[str, Any]
    """What `PairJudge.describe` says, as far as it is known: a stored run must agree with it."""
    outline: Outline | None = None
    """The shape of a local model; None of others."""
    speed: MachineSpeed | None = None
    """The machine's speed, if the model is local."""
    pace: ServerPace | None = None
    """The pace of a server; None of a local model."""
    price: Price | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """The engine's options, its defaults included."""

    @property
    def limit(self) -> int | None:
        """Most tokens of prompt and answer together; None where there is none or it is not known."""
        return None if self.outline is None else self.outline.max_model_len

    def forecast(self, *, num_samples: int, expected_tokens: float) -> Forecast | None:
        """What tells the time as prompts are added; None for judges that this machine does not compute."""
        if self.outline is None or self.speed is None:
            return None
        from rmr1.engines.forecast import BatchForecast, FlowForecast, read_batching, read_flow, read_scoring

        shape, device, options = self.outline.shape, self.outline.device, self.options
        if self.kind == "vllm":
            return FlowForecast(
                shape=shape,
                speed=_multiply(self.speed, options["tensor_parallel_size"]),
                flow=read_flow(shape, device, options),
                num_samples=num_samples,
                expected_tokens=expected_tokens,
            )
        return BatchForecast(
            shape=shape,
            speed=self.speed,
            batching=read_scoring(device, options)
            if self.kind == "scalar"
            else read_batching(shape, device, options),
            num_samples=num_samples,
            expected_tokens=expected_tokens,
        )


def plan_judge(
    model: str,
    *,
    family: str | Path | PromptFamily | None = None,
    settings: JudgeSettings | None = None,
    options: Mapping[str, Any] | None = None,
) -> JudgePlan:
    """The plan for what `load_judge` would load, with the same arguments.

    Raises:
        ConfigError: a setting is wrong. CheckpointError: there is no such model, or it cannot judge.
    """
    settings, options = settings or default_settings(model), options or {}
    name = resolve_model(model)
    if find_preset(model) is None and is_scorer(name, options):
        refuse_meaningless(model, family, settings)
        return replace(_plan_scalar(name, options), name=model)
    found = choose_family(model, family)
    scheme = parse_model_name(name).scheme
    if scheme in ("scripted", "replay"):
        return _plan_recorded(model, found, settings, options)
    if scheme == "openai":
        return _plan_server(model, found, settings, options)
    return replace(_plan_local(name, found, settings, options), name=model)


def _plan_recorded(
    model: str, family: PromptFamily, settings: JudgeSettings, options: Mapping[str, Any]
) -> JudgePlan:
    engine = load_engine(model, options)
    room = settings.sampling.max_new_tokens
    return JudgePlan(
        name=model,
        counter=_FamilyCounter(family, settings, lambda prompt: PromptSize(tokens=None, room=room)),
        kind="recorded",
        sections=_describe(family, settings, engine.fingerprint()),
    )


def _plan_server(
    model: str, family: PromptFamily, settings: JudgeSettings, options: Mapping[str, Any]
) -> JudgePlan:
    engine: Any = load_engine(model, options)  # sends nothing, and refuses what is wrong
    values = _fill_in("openai", options)
    room = settings.sampling.max_new_tokens

    def size(prompt: JudgePrompt) -> PromptSize:
        characters = sum(len(message.text) for message in prompt.messages)
        return PromptSize(tokens=math.ceil(characters / CHARS_PER_TOKEN), room=room)

    return JudgePlan(
        name=model,
        counter=_FamilyCounter(family, settings, size),
        kind="server",
        sections=_describe(family, settings, engine.fingerprint()),
        pace=ServerPace(
            concurrency=values["concurrency"],
            requests_per_minute=values["requests_per_minute"],
            tokens_per_minute=values["tokens_per_minute"],
        ),
        price=engine.price,
        options=values,
    )


def _plan_local(
    model: str, family: PromptFamily, settings: JudgeSettings, options: Mapping[str, Any]
) -> JudgePlan:
    parsed = parse_model_name(model)
    kind: Literal["vllm", "transformers"] = "vllm" if parsed.scheme == "vllm" else "transformers"
    name = parsed.rest
    values = _fill_in(kind, options)
    find_folder(name)
    from rmr1.engines.outline import read_outline
    from rmr1.engines.reader import RequestReader
    from rmr1.engines.speed import measure_speed

    outline = read_outline(name, **values)
    reader = RequestReader(
        name=name,
        tokenizer=outline.tokenizer,
        num_embeddings=outline.num_embeddings,
        max_model_len=outline.max_model_len,
        end_tokens=(),
        chat_template_kwargs=values["chat_template_kwargs"],
    )

    def size(prompt: JudgePrompt) -> PromptSize:
        read = reader.prepare(Request(key="", prompt=prompt), settings.sampling)
        if isinstance(read, Generation):
            problem = "prompt_too_long" if read.finish_reason == "skipped" else "generation_failed"
            return PromptSize(tokens=read.prompt_tokens, problem=problem)
        return PromptSize(tokens=len(read.tokens), room=read.max_new_tokens)

    return JudgePlan(
        name=model,
        counter=_FamilyCounter(family, settings, size, reader.special_tokens()),
        kind=kind,
        sections=_describe(family, settings, _identify(kind, outline, values, reader.chat)),
        outline=outline,
        speed=measure_speed(outline.device, outline.dtype),
        options=values,
    )


def _plan_scalar(model: str, options: Mapping[str, Any]) -> JudgePlan:
    values = _fill_in("scalar", options)
    from rmr1.engines.outline import read_outline
    from rmr1.engines.scorer import ConversationReader
    from rmr1.engines.speed import measure_speed

    outline = read_outline(model, kind="scores" if values["adapter"] is None else "adapted", **values)
    reader = ConversationReader(
        tokenizer=outline.tokenizer,
        num_embeddings=outline.num_embeddings,
        max_model_len=outline.max_model_len,
        chat_template_kwargs=values["chat_template_kwargs"],
    )
    return JudgePlan(
        name=model,
        counter=_ScalarCounter(reader),
        kind="scalar",
        sections={"model": _identify("scalar", outline, values, reader.chat), "settings": {"rule": RULE}},
        outline=outline,
        speed=measure_speed(outline.device, outline.dtype),
        options=values,
    )


@dataclass(frozen=True, slots=True)
class _FamilyCounter:
    """Renders what a judge of this family would be asked."""

    family: PromptFamily
    settings: JudgeSettings
    size: Callable[[JudgePrompt], PromptSize]
    own_tokens: tuple[str, ...] = ()
    """The control tokens that the model's tokenizer names."""

    def count(self, key: str, pair: PreferencePair) -> Iterator[PromptSize]:
        special_tokens = self.settings.all_control_tokens(self.own_tokens)
        if self.family.num_answers == 1:
            choice = load_family(FOUR_WAY) if pair.others else None
            for prompt in render_asks(pair, key, self.settings, self.family, choice, special_tokens):
                yield self.size(prompt)
            return
        for order in orders_for(self.settings.order, seed=self.settings.seed, key=key):
            yield self.size(render_prompt(pair, self.family, order=order, special_tokens=special_tokens))


@dataclass(frozen=True, slots=True)
class _ScalarCounter:
    """Reads both conversations of a pair, as a scalar judge does."""

    reader: ConversationReader

    def count(self, key: str, pair: PreferencePair) -> Iterator[PromptSize]:
        for response in (pair.response_a, pair.response_b):
            read = self.reader.prepare(
                ScoreRequest(key=key, pair_id=pair.id, messages=(*pair.prompt, *response))
            )
            if isinstance(read, Score):
                yield PromptSize(tokens=read.prompt_tokens, problem=read.problem)
            else:
                yield PromptSize(tokens=len(read))


def _identify(kind: Kind, outline: Outline, options: Mapping[str, Any], chat: Chat) -> dict[str, Any]:
    """The part of the engine's fingerprint that is known before the model is loaded."""
    return {
        "engine": kind,
        **outline.identity,
        "max_model_len": outline.max_model_len,
        "chat_template_kwargs": options["chat_template_kwargs"] or {},
        **chat.form.describe(),
    }


def _describe(family: PromptFamily, settings: JudgeSettings, model: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": dict(model), "prompt": {"digest": family.digest}, "settings": settings.describe()}


def _fill_in(kind: EngineKind, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an engine, those that are not said by its defaults; refused as the engine would refuse them."""
    defaults = {name: option.default for name, option in read_options(kind).items()}
    return {**defaults, **check_options(kind, options)}


def _multiply(speed: MachineSpeed, count: int) -> MachineSpeed:
    """The speed of several such devices together."""
    return replace(
        speed,
        flops_per_second=count * speed.flops_per_second,
        bytes_per_second=count * speed.bytes_per_second,
    )
