"""Settings of a judging command, as its config file has them: defaults < preset < config file < --set < flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from rmr1.engines import list_option_faults
from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError, RMR1Error
from rmr1.judge.criteria import read_criteria
from rmr1.judge.floor import Floor, require_floor
from rmr1.judge.load import find_stages
from rmr1.judge.presets import find_preset
from rmr1.judge.settings import GuideKind, JudgeSettings, Placement
from rmr1.judge.stages import needs_own_model
from rmr1.models import JUDGE
from rmr1.named import PairForm, find_missing_family
from rmr1.prompts.thinking import check_pairs
from rmr1.settings import Complaint, Mistakes, Names, Place, Section
from rmr1.settings import rule as settings_rule
from rmr1.verdicts.rules import RULES
from rmr1.verdicts.votes import VoteBy

_PRESET_SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens", "num_samples", "stop")
"""What a released checkpoint's preset decides of the sampling."""

VOTING_TEMPERATURE = 1.0
"""The temperature of several samples if nothing else is said: the model's own distribution."""


def find_missing_criteria(source: str) -> str | None:
    """What is wrong with a text or a file of criteria."""
    try:
        read_criteria(source)
    except ConfigError as error:
        return str(error)
    return None


class SamplingConfig(Section):
    """`SamplingParams`, as a file says them."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 8192
    num_samples: int = 1
    stop: tuple[str, ...] = ()
    stop_at_verdict: bool = False
    thinking: tuple[tuple[str, str], ...] = ()
    logprobs: bool = False


class DataConfig(PairForm):
    format: str | None = None
    limit: int | None = Field(default=None, ge=1)
    skip_invalid: bool = False

    def reading_candidates(self) -> dict[str, Any]:
        """The arguments of `rmr1.data.read.read_candidates` that say how."""
        return {"format": self.format, "columns": self.map or None}


class JudgeConfig(Section):
    """A judging command's settings."""

    model: str = JUDGE
    """The judge's name; the bundled one by default."""
    family: Annotated[str | None, Names(find_missing_family)] = None
    """The prompt family; None is the default one of the model."""
    rule: str | None = None
    order: Placement | None = None
    seed: int = 0
    control_tokens: tuple[str, ...] = ()
    """The user's own control tokens."""
    vote_by: VoteBy = "majority"
    """What decides among several samples and orders."""
    stop_votes: float | None = None
    """End the voting once it is settled with this probability."""
    guide: GuideKind | None = None
    """Write the protocol's skeleton for the model, or only the verdict of a text that has none."""
    part_tokens: int = 1024
    """Most tokens of a part of a guided judgment."""
    criteria: Annotated[str | None, Names(find_missing_criteria)] = None
    """What the judge is to go by: a text, a criterion a line, or a file."""
    share_rubric: bool = False
    """Have the judge write a rubric for each question first, and go by it."""
    cascade: tuple[str, ...] | None = None
    """The stages of a cascade (`rmr1.judge.stages`): prompt families and `votes:K`, each with a model of its own if it
    names one."""
    calibration: str | None = None
    """A file of `rmr1 calibrate` or `rmr1 label`."""
    least_labels: int | None = None
    """Blind labels of people that the calibration has to be fitted on; it makes one necessary, as the next two do."""
    least_agreement: float | None = None
    """Least share of these labels that the judge's verdicts agree with."""
    least_kappa: float | None = None
    """Least Cohen's kappa of verdicts and these labels."""
    cache: str | None = None
    """The folder of a cache of judgments."""
    sampling: SamplingConfig = SamplingConfig()
    engine: dict[str, Any] = Field(default_factory=dict)
    """Options of the engine's constructor; each engine has its own."""
    data: DataConfig = DataConfig()

    @classmethod
    def complete(cls, values: Any, mistakes: Mistakes, section: Place) -> Any:
        """The values over the sampling of a released checkpoint's preset, and over the temperature of several votes."""
        said, preset = values.get("sampling", {}), None
        if "model" in values or _asks_own_model(values.get("cascade"), values.get("calibration")):
            preset = find_preset(str(values.get("model", JUDGE)))
        if not isinstance(said, Mapping):
            return values
        own = {} if preset is None else {name: getattr(preset.sampling, name) for name in _PRESET_SAMPLING}
        if said.get("num_samples", 1) != 1:
            own["temperature"] = own.get("temperature") or VOTING_TEMPERATURE
        if not own:
            return values
        return {**values, "sampling": {**own, **said}}

    @property
    def asked_model(self) -> str | None:
        """The judge's own model: the one that is named, or the bundled one; None if stages of a cascade name all."""
        named = "model" in self.model_fields_set
        return self.model if named or _asks_own_model(self.cascade, self.calibration) else None

    @settings_rule
    def _check_rule(self) -> Iterator[Complaint]:
        if self.rule is not None and self.rule not in RULES:
            yield ("rule",), f"rule {self.rule!r} is not known; choose one of {', '.join(RULES)}"

    @settings_rule
    def _check_engine(self) -> Iterator[Complaint]:
        for name, fault in list_option_faults(self.model, self.engine):
            yield ("engine", name), fault

    @settings_rule
    def _check_floor(self) -> Iterator[Complaint]:
        floor = Floor(labels=self.least_labels, agreement=self.least_agreement, kappa=self.least_kappa)
        try:
            require_floor(self.calibration, floor)
        except ConfigError as error:
            yield str(error)

    def judge_settings(self, *, order: Placement = "seeded") -> JudgeSettings:
        """The settings of the judge; `order` is the command's default."""
        values = self.sampling.model_dump()
        values["verdict_logprobs"] = values.pop("logprobs")
        values["thinking"] = check_pairs(values["thinking"])
        return JudgeSettings(
            rule=self.rule or "tagged",
            order=self.order or order,
            seed=self.seed,
            vote_by=self.vote_by,
            stop_votes=self.stop_votes,
            guide=self.guide,
            part_tokens=self.part_tokens,
            control_tokens=self.control_tokens,
            criteria=() if self.criteria is None else read_criteria(self.criteria),
            share_rubric=self.share_rubric,
            sampling=SamplingParams(**values),
        )


def _asks_own_model(cascade: Any, calibration: Any) -> bool:
    """Whether the judge's own model is asked; True if what is given cannot be read, which loading the judge says."""
    try:
        return needs_own_model(find_stages(cascade, calibration))
    except (RMR1Error, AttributeError, TypeError):
        return True
