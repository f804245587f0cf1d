"""Model names -> judges: one that writes, or one that scores, by what the checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rmr1.engines import is_scorer, load_engine, load_scorer
from rmr1.errors import ConfigError
from rmr1.judge.cascade import CascadeJudge, read_stages
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.presets import find_preset, load_preset_family
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import resolve_model
from rmr1.prompts import PromptFamily, load_family

DEFAULT_FAMILY = "rubric"


def load_judge(
    model: str,
    *,
    family: str | Path | PromptFamily | None = None,
    settings: JudgeSettings | None = None,
    options: Mapping[str, Any] | None = None,
) -> GenerativeJudge | ScalarJudge:
    """The judge for a model name (`rmr1.engines.load_engine`); `tiny` and `tiny-scalar` are the bundled ones.

    A checkpoint for sequence classification, or a reward model by the name of its architecture, becomes a
    scalar judge; everything else writes. For a scalar judge order and seed change nothing; a family, a rule or
    sampling would mean nothing and are refused.

    Args:
        family: None is the preset's where the model has one (`rmr1.judge.presets`), else `rubric`.
        settings: None is greedy, with the preset's token limit.
        options: settings of the engine, such as `device` and `dtype`.

    Raises:
        ConfigError: a setting is wrong, or means nothing to the model.
        CheckpointError: the model cannot be loaded.
    """
    settings = settings or default_settings(model)
    name = resolve_model(model)
    if find_preset(model) is None and is_scorer(name, options):
        refuse_meaningless(model, family, settings)
        scorer = load_scorer(name, options)
        scorer.name = model  # as it was typed, not where it lies
        return ScalarJudge(scorer)
    found = choose_family(model, family)  # before the model, which takes longer
    engine = load_engine(name, options)
    if name != model:
        engine.name = model
    return GenerativeJudge(engine, found, settings)


def load_cascade(
    model: str,
    names: Sequence[str],
    *,
    family: str | Path | PromptFamily | None = None,
    settings: JudgeSettings | None = None,
    options: Mapping[str, Any] | None = None,
) -> CascadeJudge:
    """The cascade of the stages that are named, over one model (`rmr1.judge.cascade`).

    Raises:
        ConfigError: a stage is unknown, or the model writes nothing. CheckpointError: it cannot be loaded.
    """
    name = resolve_model(model)
    stages = read_stages(names, choose_family(model, family), settings or default_settings(model))
    if find_preset(model) is None and is_scorer(name, options):
        raise ConfigError(
            f"model {model!r} is a scalar reward model: it has one way of judging, and no cascade"
        )
    engine = load_engine(name, options)
    engine.name = model
    return CascadeJudge(engine, stages)


def choose_family(model: str, family: str | Path | PromptFamily | None) -> PromptFamily:
    """The family that was named, else the preset's, else the default."""
    if family is not None:
        return load_family(family)
    preset = find_preset(model)
    return load_family(DEFAULT_FAMILY) if preset is None else load_preset_family(model, preset)


def default_settings(model: str) -> JudgeSettings:
    """How a model is asked if nothing is said."""
    preset = find_preset(model)
    return JudgeSettings() if preset is None else JudgeSettings(sampling=preset.sampling)


def refuse_meaningless(model: str, family: str | Path | PromptFamily | None, settings: JudgeSettings) -> None:
    """Refuse for a scalar model what only a judge that writes can follow."""
    plain = JudgeSettings()
    found = ["family"] if family is not None else []
    found += [name for name in ("rule", "control_tokens") if getattr(settings, name) != getattr(plain, name)]
    found += [
        one.name
        for one in fields(settings.sampling)
        if getattr(settings.sampling, one.name) != getattr(plain.sampling, one.name)
    ]
    if found:
        raise ConfigError(
            f"model {model!r} is a scalar reward model: it gives each answer a number and writes nothing; "
            f"leave {', '.join(found)} out"
        )
