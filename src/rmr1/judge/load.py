"""Model names -> judges: one that writes, or one that scores, by what the checkpoint is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rmr1.engines import Engine, is_scorer, load_engine, load_scorer
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.calibrate import Calibration, CascadeThresholds, read_calibration, refuse_other_judge
from rmr1.judge.cascade import CascadeJudge, read_stages
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.presets import find_preset, load_preset_family
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.models import resolve_model
from rmr1.prompts import PromptFamily, load_family
from rmr1.prompts.families import CRITERIA
from rmr1.store.cache import JudgmentCache

DEFAULT_FAMILY = "rubric"

LoadedJudge = GenerativeJudge | ScalarJudge | CascadeJudge


def load_judge(
    model: str | Engine,
    *,
    family: str | Path | PromptFamily | None = None,
    settings: JudgeSettings | None = None,
    options: Mapping[str, Any] | None = None,
    cascade: Sequence[str] | None = None,
    calibration: str | Path | None = None,
    cache: str | Path | None = None,
) -> LoadedJudge:
    """The judge for a model name (`rmr1.engines.load_engine`); `tiny` and `tiny-scalar` are the bundled ones; or for an engine.

    A checkpoint for sequence classification, or a reward model by the name of its architecture, becomes a
    scalar judge; everything else writes. For a scalar judge order and seed change nothing; a family, a rule,
    sampling or a cascade would mean nothing and are refused.

    Args:
        family: None is the one for criteria if the settings have the judge go by some, else the preset's where the
            model has one (`rmr1.judge.presets`), else `rubric`.
        settings: None is greedy, with the preset's token limit.
        options: settings of the engine, such as `device` and `dtype`.
        cascade: stages in which the model is asked (`rmr1.judge.cascade`); None is those of the calibration, if any.
        calibration: a file of `rmr1 calibrate`, for this judge.
        cache: a folder that keeps judgments and gives those that it has.

    Raises:
        ConfigError: a setting is wrong, or means nothing to the model; the calibration is another judge's.
        CheckpointError: the model cannot be loaded.
        RunError: the cache cannot be used.
    """
    name = model if isinstance(model, str) else ""
    settings = settings or default_settings(name)
    stored = (
        None if calibration is None else read_calibration(calibration)
    )  # before the model, which takes longer
    names = cascade or (stored.stages if isinstance(stored, CascadeThresholds) else None)
    if isinstance(model, str) and find_preset(model) is None and is_scorer(resolve_model(model), options):
        refuse_meaningless(model, family, settings, names)
        scorer = load_scorer(resolve_model(model), options)
        scorer.name = model  # as it was typed, not where it lies
        return equip(ScalarJudge(scorer), stored, calibration, cache)
    if names is not None and settings.gives_criteria:
        raise ConfigError(
            "a cascade's stages have no place for criteria; leave the cascade out, or "
            + name_option("share_rubric" if settings.share_rubric else "criteria")
        )
    found = choose_family(name, family, settings)
    stages = None if names is None else read_stages(names, found, settings)
    engine = load_engine(resolve_model(model), options) if isinstance(model, str) else model
    if name and resolve_model(name) != name:
        engine.name = name
    judge = GenerativeJudge(engine, found, settings) if stages is None else CascadeJudge(engine, stages)
    return equip(judge, stored, calibration, cache)


def equip(
    judge: LoadedJudge,
    stored: Calibration | CascadeThresholds | None,
    path: str | Path | None,
    cache: str | Path | None,
) -> LoadedJudge:
    """The judge with what `path` holds of it, and a cache.

    Raises:
        ConfigError: that is another judge's. RunError: the cache cannot be used.
    """
    if stored is not None and path is not None:
        refuse_other_judge(stored.judge, judge.describe(), path)
    if isinstance(judge, CascadeJudge) and isinstance(stored, CascadeThresholds):
        judge.thresholds = stored.thresholds
    elif isinstance(stored, Calibration):
        judge.finish.calibration = stored
    judge.finish.cache = None if cache is None else JudgmentCache(cache)
    return judge


def choose_family(
    model: str, family: str | Path | PromptFamily | None, settings: JudgeSettings | None = None
) -> PromptFamily:
    """The family that was named, else the one for criteria if there are any, else the preset's, else the default."""
    if family is not None:
        return load_family(family)
    if settings is not None and settings.gives_criteria:
        return load_family(CRITERIA)
    preset = find_preset(model)
    return load_family(DEFAULT_FAMILY) if preset is None else load_preset_family(model, preset)


def default_settings(model: str) -> JudgeSettings:
    """How a model is asked if nothing is said."""
    preset = find_preset(model)
    return JudgeSettings() if preset is None else JudgeSettings(sampling=preset.sampling)


def refuse_meaningless(
    model: str,
    family: str | Path | PromptFamily | None,
    settings: JudgeSettings,
    cascade: Sequence[str] | None = None,
) -> None:
    """Refuse for a scalar model what only a judge that writes can follow."""
    plain = JudgeSettings()
    found = [name for name, value in (("family", family), ("cascade", cascade)) if value is not None]
    own = ("rule", "control_tokens", "criteria", "share_rubric")
    found += [name for name in own if getattr(settings, name) != getattr(plain, name)]
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
