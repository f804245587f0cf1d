"""Model names -> judges: one that writes, one that scores or one that chooses, by what the model is; or a cascade of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from rmr1.engines import Engine, is_scorer, load_decider, load_engine, load_scorer, parse_model_name
from rmr1.engines.base import Model, SamplingParams
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.calibrate import Calibration, CascadeThresholds, read_calibration, refuse_other_judge
from rmr1.judge.cascade import CascadeJudge, Stage, StageJudge
from rmr1.judge.decision import DecisionJudge, check_decision_family
from rmr1.judge.generative import GenerativeJudge
from rmr1.judge.presets import find_preset, load_preset_family
from rmr1.judge.scalar import ScalarJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.stages import StageName, needs_own_model, parse_stages
from rmr1.models import JUDGE, resolve_model
from rmr1.prompts import PromptFamily, load_family
from rmr1.prompts.families import CRITERIA, DECISION
from rmr1.prompts.render import check_criteria_place
from rmr1.store.cache import JudgmentCache

DEFAULT_FAMILY = "rubric"

AskKind = Literal["writes", "scores", "decides"]
"""What a model does: it writes its judgment, gives each answer a number, or chooses between two."""

LoadedJudge = GenerativeJudge | ScalarJudge | DecisionJudge | CascadeJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What is known of a cascade's stage, or of a whole judge, before its model is loaded."""

    model: str | Engine
    kind: AskKind
    family: PromptFamily | None
    """None of a scalar model."""
    settings: JudgeSettings
    options: Mapping[str, Any]
    """Those of its engine."""
    name: str = ""
    """The stage's."""


def load_judge(
    model: str | Engine | None,
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
    scalar judge, `decisions:NAME@URL` one that chooses; everything else writes. What would mean nothing to such a judge
    (a rule, sampling, and for a scalar one a family) is refused; for a scalar judge order and seed change nothing.

    Args:
        model: None is the bundled one, or none if the stages of a cascade name their models.
        family: None is the one for criteria if the settings have the judge go by some, else the preset's where the
            model has one (`rmr1.judge.presets`), else `rubric`, or `decision` if the model chooses.
        settings: None is greedy, with the preset's token limit.
        options: settings of the engine, such as `device` and `dtype`.
        cascade: stages in which models are asked (`rmr1.judge.stages`); None is those of the calibration, if any.
        calibration: a file of `rmr1 calibrate`, for this judge.
        cache: a folder that keeps judgments and gives those that it has.

    Raises:
        ConfigError: a setting is wrong, or means nothing to the model; the calibration is another judge's.
        CheckpointError: the model cannot be loaded.
        RunError: the cache cannot be used.
    """
    stored = (
        None if calibration is None else read_calibration(calibration)
    )  # before the model, which takes longer
    names = cascade or (stored.stages if isinstance(stored, CascadeThresholds) else None)
    settings = settings or default_settings(choose_model(model, names))
    if names is None:
        judge: LoadedJudge = load_planned(plan_ask(choose_model(model), family, settings, options), {})
    else:
        plans = plan_stages(names, model, family, settings, options)
        loaded: dict[str, Model] = {}
        try:
            judge = CascadeJudge([Stage(name=one.name, judge=load_planned(one, loaded)) for one in plans])
        except BaseException:
            for one in loaded.values():
                one.close()
            raise
    return equip(judge, stored, calibration, cache)


def find_stages(cascade: Sequence[str] | None, calibration: str | Path | None) -> Sequence[str] | None:
    """The stages that a cascade or, if there is none, a calibration names; None if neither does.

    Raises:
        ConfigError: the calibration cannot be read.
    """
    if cascade or calibration is None:
        return cascade
    stored = read_calibration(calibration)
    return stored.stages if isinstance(stored, CascadeThresholds) else None


def choose_model(model: str | Engine | None, names: Sequence[str] | None = None) -> str | Engine:
    """The judge's own model: the bundled one if none is named; "" if none is and no stage of the cascade asks it."""
    if model is not None:
        return model
    return JUDGE if needs_own_model(names) else ""


def find_kind(model: str | Engine, options: Mapping[str, Any] | None = None) -> AskKind:
    """What a model does, by its name and its configuration."""
    if not isinstance(model, str):
        return "writes"
    if parse_model_name(model).scheme == "decisions":
        return "decides"
    is_scalar = find_preset(model) is None and is_scorer(resolve_model(model), options)
    return "scores" if is_scalar else "writes"


def plan_ask(
    model: str | Engine,
    family: str | Path | PromptFamily | None,
    settings: JudgeSettings,
    options: Mapping[str, Any] | None = None,
) -> StagePlan:
    """How a model is asked; `ConfigError` if a setting means nothing to it."""
    kind, name = find_kind(model, options), model if isinstance(model, str) else ""
    found = None
    if kind == "writes":
        found = choose_family(name, family, settings)
    else:
        refuse_meaningless(name, kind, family, settings)
        if kind == "decides":
            found = load_family(DECISION if family is None else family)
            check_decision_family(found)
    return StagePlan(model=model, kind=kind, family=found, settings=settings, options=options or {})


def plan_stages(
    names: Sequence[str],
    model: str | Engine | None,
    family: str | Path | PromptFamily | None,
    settings: JudgeSettings,
    options: Mapping[str, Any] | None = None,
) -> tuple[StagePlan, ...]:
    """How the stages of a cascade are asked; `model`, `family` and `options` are the judge's own.

    Raises:
        ConfigError: a stage is malformed, or cannot be asked so; the judge's own model is named, and no stage asks it.
    """
    stages = parse_stages(names)
    if settings.gives_criteria:
        raise ConfigError(
            "a cascade's stages have no place for criteria; leave the cascade out, or "
            + name_option("share_rubric" if settings.share_rubric else "criteria")
        )
    if not needs_own_model(names) and (model is not None or options):
        what = "the judge's own model" if model is not None else f"options ({', '.join(options or ())})"
        raise ConfigError(
            f"{what} would mean nothing: every stage of the cascade names a model; leave it out, or name a stage "
            "without '@'"
        )
    plans = tuple(_plan_stage(one, choose_model(model), family, settings, options or {}) for one in stages)
    models = {one.model for one in plans if isinstance(one.model, str)}
    if len({one for one in models if parse_model_name(one).scheme == "vllm"}) > 1:
        raise ConfigError(
            "vLLM holds one model in a process, and the cascade names two; serve one of them and name it "
            "openai:NAME@URL"
        )
    return plans


def _plan_stage(
    stage: StageName,
    own: str | Engine,
    family: str | Path | PromptFamily | None,
    settings: JudgeSettings,
    own_options: Mapping[str, Any],
) -> StagePlan:
    model = own if stage.model is None else stage.model
    options = own_options if stage.model is None else {}
    kind, name = find_kind(model, options), model if isinstance(model, str) else ""
    found: PromptFamily | None = None
    if kind == "scores" and stage.model is None:
        refuse_meaningless(name, kind, family, settings, cascade=True)
    if kind != "writes" and stage.votes > 1:
        raise ConfigError(f"stage {stage.shown!r}: its model {_DOES[kind]}, and is asked once")
    if kind == "scores" and stage.family is not None:
        raise ConfigError(
            f"stage {stage.shown!r}: its model {_DOES[kind]}; leave the family out: '@{stage.model}'"
        )
    if kind == "decides":
        found = load_family(stage.family or DECISION)
        check_decision_family(found)
    elif kind == "writes":
        found = choose_family(name, stage.family or family, settings)
        check_criteria_place(found, is_given=False)
    if found is not None and found.num_answers != 2:
        raise ConfigError(
            f"stage {stage.shown!r}: prompt family {found.name!r} shows {found.num_answers} answers, not 2"
        )
    sampling, preset = settings.sampling, None if stage.model is None else find_preset(name)
    if preset is not None and sampling.max_new_tokens == SamplingParams().max_new_tokens:
        sampling = replace(sampling, max_new_tokens=preset.sampling.max_new_tokens)
    temperature = (sampling.temperature or 1.0) if stage.votes > 1 else 0.0
    params = replace(sampling, num_samples=stage.votes, temperature=temperature, verdict_logprobs=True)
    stop = settings.stop_votes if stage.votes > 1 else None
    return StagePlan(
        name=stage.text,
        model=model,
        kind=kind,
        family=found,
        settings=replace(settings, sampling=params, stop_votes=stop),
        options=options,
    )


def load_planned(plan: StagePlan, loaded: dict[str, Model]) -> StageJudge:
    """The judge of a plan; `loaded` keeps models by their names, and gives those that it has."""
    if not isinstance(plan.model, str):
        assert plan.family is not None
        return GenerativeJudge(plan.model, plan.family, plan.settings)
    if (model := loaded.get(plan.model)) is None:
        source = resolve_model(plan.model)
        load: Any = {"writes": load_engine, "scores": load_scorer, "decides": load_decider}[plan.kind]
        model = load(source, plan.options)
        if source != plan.model or plan.kind == "scores":
            model.name = plan.model  # as it was typed, not where it lies
        loaded[plan.model] = model
    found: Any = model
    if plan.family is None:
        return ScalarJudge(found)
    return (GenerativeJudge if plan.kind == "writes" else DecisionJudge)(found, plan.family, plan.settings)


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


def default_settings(model: str | Engine) -> JudgeSettings:
    """How a model is asked if nothing is said."""
    preset = find_preset(model) if isinstance(model, str) else None
    return JudgeSettings() if preset is None else JudgeSettings(sampling=preset.sampling)


_DOES: Mapping[AskKind, str] = {
    "scores": "is a scalar reward model: it gives each answer a number and writes nothing",
    "decides": "is asked at a decision endpoint: it chooses between two answers and writes nothing",
}
_UNREAD: Mapping[AskKind, tuple[str, ...]] = {
    "scores": ("rule", "control_tokens", "guide", "vote_by", "criteria", "share_rubric"),
    "decides": ("rule", "guide", "criteria", "share_rubric"),
}
"""Settings that mean nothing to it."""


def refuse_meaningless(
    model: str,
    kind: AskKind,
    family: str | Path | PromptFamily | None,
    settings: JudgeSettings,
    *,
    cascade: bool = False,
) -> None:
    """Refuse for a model that writes nothing what only one that does can follow; `cascade`: it is asked in stages."""
    plain = JudgeSettings()
    found = ["family"] if family is not None and kind == "scores" else []
    found += ["cascade"] if cascade else []
    found += [name for name in _UNREAD[kind] if getattr(settings, name) != getattr(plain, name)]
    found += [
        one.name
        for one in fields(settings.sampling)
        if getattr(settings.sampling, one.name) != getattr(plain.sampling, one.name)
        and (kind, one.name) != ("decides", "verdict_logprobs")  # which are told in any case
    ]
    if found:
        raise ConfigError(f"model {model!r} {_DOES[kind]}; leave {', '.join(found)} out")
