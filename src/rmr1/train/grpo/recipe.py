"""The recipe of reinforcement learning: what TOML says, checked. Sections that mean the same as for `rmr1 sft` are the same.

The defaults are RM-R1's objective and sampling (arXiv 2505.02387, section 3.3; the reference repository's scripts
where the paper is silent); `preset` adds the rest of one of its six models. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from rmr1.named import ControlTokens, FamilyName, find_missing_function
from rmr1.rewards import PAPER, find_unknown_term
from rmr1.settings import Complaint, Names, Section, rule
from rmr1.train.recipe import (
    Beta,
    CheckpointRecipe,
    LabelledRecipe,
    LoraRecipe,
    ModelRecipe,
    OptimRecipe,
    PairWorldRecipe,
    Recipe,
    TrainingRecipe,
    list_variants,
)

Average = Literal["sequence", "token"]
Scale = Literal["std", "none"]


class PolicyRecipe(ModelRecipe):
    """A judge that already writes judgments; without adapters a second copy of it is the reference."""

    @rule
    def _check_base(self) -> Iterator[str]:
        if self.from_scratch is not None:
            yield "from_scratch has nothing to reinforce; name base, a judge that rmr1 sft trained"


class TaskWorldRecipe(PairWorldRecipe):
    """The items are new in every epoch."""

    start: int = Field(default=0, ge=0)
    """Number of the first: beyond those that the judge was fine-tuned on."""
    distribution: Literal["biased", "balanced"] = "biased"


class TaskDataRecipe(LabelledRecipe):
    world: TaskWorldRecipe | None = None
    family: FamilyName = "rubric"
    """Prompt family."""
    control_tokens: ControlTokens = ()
    """Broken in user text, beside those that are known by their shape or named by the tokenizer."""
    order: Literal["seeded", "given", "both"] = "seeded"
    """The answer that stands first: drawn per pair from the seed, as read, or both ways, which makes two prompts."""
    max_prompt_tokens: int = Field(default=4096, ge=1)
    """A pair with a longer prompt is left out and counted, never cut."""
    shuffle: bool = True


class RolloutRecipe(Section):
    """What is sampled before each update."""

    engine: Literal["transformers", "vllm"] = "transformers"
    prompts: int = Field(default=1024, ge=1)
    samples: int = Field(default=7, ge=2)
    """Samples of each prompt: the size of a group."""
    max_new_tokens: int = Field(default=8192, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    rows: int = Field(default=128, ge=1)
    """Samples that are decoded together, over whole groups; for transformers."""
    gpu_memory: float = Field(default=0.4, gt=0, lt=1)
    """Share of the GPU's memory that vLLM takes."""
    tensor_parallel: int = Field(default=1, ge=1, exclude=True)
    """Processes that hold one vLLM engine together. Not run on a GPU yet; no part of what a run is known by."""
    sleep: bool = Field(default=False, exclude=True)
    """Give the GPU's memory back to the update between rollouts. Not run on a GPU yet."""

    @rule
    def _check_engine(self) -> Iterator[str]:
        if self.engine != "vllm" and (self.tensor_parallel > 1 or self.sleep):
            yield 'tensor_parallel and sleep are for engine = "vllm"'


class UpdateRecipe(Section):
    """How a rollout becomes steps of the optimizer."""

    prompts: int | None = Field(default=None, ge=1)
    """Prompts of one step; by default all of the rollout, which keeps the policy on its own samples."""
    row_tokens: int = Field(default=16384, ge=1)
    """Tokens of a packed row of groups, each prompt counted once, or of one group where that is longer: what
    bounds the memory."""


class Objective(Section):
    """What is minimised (`rmr1.train.grpo.objective`). The defaults are the paper's."""

    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """The ratio counts down to 1 - clip_low."""
    clip_high: float = Field(default=0.2, ge=0)
    """The ratio counts up to 1 + clip_high."""
    beta: float = Field(default=1e-3, ge=0)
    """Coefficient of the KL term; 0 needs no reference."""
    correct_kl: bool = False
    average: Average = "sequence"
    scale: Scale = "std"
    """Whether advantages are divided by the group's standard deviation."""
    epsilon: float = Field(default=1e-6, ge=0)
    """What is added to the standard deviation; as in verl, TRL's is 1e-4."""
    overlong: Literal["keep", "mask"] = "keep"
    importance: Literal["none", "truncate", "mask"] = "none"
    importance_cap: float = Field(default=2.0, ge=1)


OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "clip-higher": {"clip_high": 0.28},
        "token-level": {"average": "token"},
        "no-std": {"scale": "none"},
        "overlong-masked": {"overlong": "mask"},
        "importance-truncated": {"importance": "truncate"},
        "importance-masked": {"importance": "mask"},
    }
)
"""Settings by the name that the literature knows them by."""


class ObjectiveRecipe(Objective):
    """What a file says of the objective: settings, which are over those of the options, which are over the paper's."""

    options: tuple[str, ...] = ()
    """Named ones: "clip-higher", "token-level", "no-std", "overlong-masked", "importance-truncated", ..."""

    @rule
    def _check_options(self) -> Iterator[str]:
        for option in self.options:
            if option not in OPTIONS:
                yield f"option {option!r} is not known; expected one of {', '.join(OPTIONS)}"

    @model_serializer
    def _keep_said(self) -> dict[str, Any]:
        """What is not said is None: a run is known by what its recipe says."""
        said = self.model_fields_set | {"options"}
        return {name: getattr(self, name) if name in said else None for name in type(self).model_fields}

    def build(self) -> Objective:
        """The settings and those of the options."""
        values: dict[str, Any] = {}
        for option in self.options:
            values |= OPTIONS[option]
        said = {name: getattr(self, name) for name in self.model_fields_set - {"options"}}
        return Objective(**values | said)


class TunerRecipe(OptimRecipe):
    lr: float = Field(default=1e-6, gt=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "constant"
    warmup: float = Field(default=0, ge=0)
    steps: int | None = Field(default=None, ge=1)
    """Rollouts, at most; each makes one or several steps of the optimizer."""


class VerdictEvaluationRecipe(Section):
    every: int | None = Field(default=None, ge=1)
    """Rollouts between two looks at the held-out pairs; there is one before the first and one at the end."""
    sampled: bool = True
    """Whether there are, beside the greedy judgments, ones at the rollout's temperature."""
    rows: int = Field(default=64, ge=1)
    keep: Literal["best", "last"] = "best"
    """The weights that are stored in the end: those with the best greedy accuracy, or the last."""


def _paper(lr: float, *, base: str | None, family: str) -> dict[str, Any]:
    """Rates are of the reference repository's cluster scripts. What the defaults say is not said again."""
    return {
        "model": {"precision": "bf16", "checkpointing": True, **({"base": base} if base else {})},
        "data": {"family": family},
        "rollout": {"engine": "vllm"},
        "update": {"prompts": 128, "row_tokens": 65536},
        "objective": {"beta": 1e-3},
        "rewards": {"verdict": 1.0},
        "optim": {"lr": lr},
        "evaluation": {"every": 5},
        "checkpoint": {"every": 5},
    }


_BASE = "deepseek-ai/DeepSeek-R1-Distill-Qwen-"
_FULL = {
    "rm-r1-qwen-7b": _paper(1e-6, base=None, family="rubric"),
    "rm-r1-qwen-14b": _paper(7e-7, base=None, family="rubric"),
    "rm-r1-qwen-32b": _paper(5e-7, base=None, family="rubric"),
    "rm-r1-deepseek-7b": _paper(1e-6, base=f"{_BASE}7B", family="reasoning"),
    "rm-r1-deepseek-14b": _paper(1e-6, base=f"{_BASE}14B", family="reasoning"),
    "rm-r1-deepseek-32b": _paper(8e-7, base=f"{_BASE}32B", family="reasoning"),
}

PRESETS = list_variants(_FULL)
"""RM-R1's six reinforcement runs (arXiv 2505.02387, section 4 and appendix), as settings under a recipe's own, each
also with adapters. What bounds the memory is the paper's, or a default; what fits a machine is chosen by
`rmr1.train.fitting`.

The instruct models start from the paper's supervised stage, which was not published: `model.base` is yours to name.
"""


class GrpoRecipe(TrainingRecipe):
    presets = PRESETS
    instead = Recipe.instead
    preset: str | None = None
    model: PolicyRecipe
    lora: LoraRecipe | None = None
    data: TaskDataRecipe
    rollout: RolloutRecipe = RolloutRecipe()
    update: UpdateRecipe = UpdateRecipe()
    objective: ObjectiveRecipe = ObjectiveRecipe()
    rewards: Annotated[
        dict[str, float], Names(lambda name: find_unknown_term(name) or find_missing_function(name))
    ] = Field(default_factory=lambda: dict(PAPER))
    """Weight of each term; see `rmr1.rewards`."""
    overlong_buffer: int = Field(default=0, ge=0)
    """Tokens before the limit at which the reward `overlong` begins to fall."""
    optim: TunerRecipe = TunerRecipe()
    evaluation: VerdictEvaluationRecipe = VerdictEvaluationRecipe()
    checkpoint: CheckpointRecipe = CheckpointRecipe(every=10)

    @property
    def update_prompts(self) -> int:
        """Prompts of one step of the optimizer."""
        return self.update.prompts or self.rollout.prompts

    @property
    def is_on_policy(self) -> bool:
        """Whether every sample is learnt from by the weights that made it."""
        return self.update_prompts >= self.rollout.prompts

    @model_validator(mode="before")
    @classmethod
    def _correct_vllm(cls, values: Any) -> Any:
        """vLLM's probabilities are not the trainer's own: `importance` is "truncate" unless something is said."""
        match values:
            case {"rollout": {"engine": "vllm"}, **rest} if isinstance(rest.get("objective", {}), Mapping):
                objective: Any = rest.get("objective", {})
                options = objective.get("options")
                named = options if isinstance(options, list | tuple) else ()
                fixing = [name for name, settings in OPTIONS.items() if "importance" in settings]
                if "importance" not in objective and not any(name in named for name in fixing):
                    return {**values, "objective": {**objective, "importance": "truncate"}}
        return values

    @rule
    def _check_parts(self) -> Iterator[str]:
        if self.rollout.prompts % self.update_prompts:
            yield "rollout.prompts must be a multiple of update.prompts"

    @rule
    def _check_orders(self) -> Iterator[str]:
        if self.data.order == "both" and self.update_prompts % 2:
            yield 'with data.order "both" update.prompts must be even: a pair makes two prompts'

    @rule
    def _check_overlong(self) -> Iterator[Complaint]:
        if "overlong" in self.rewards and self.overlong_buffer > self.rollout.max_new_tokens:
            yield (
                ("overlong_buffer",),
                f"overlong_buffer is {self.overlong_buffer}; expected at most rollout.max_new_tokens, "
                f"{self.rollout.max_new_tokens}",
            )

    @rule
    def _check_rewards(self) -> Iterator[str]:
        if "consistency" in self.rewards and self.data.order != "both":
            yield 'rewards.consistency compares both orders of a pair; set data.order = "both"'
        if not any(self.rewards.values()):
            yield "rewards names no term with a weight"
