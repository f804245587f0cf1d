"""A distillation recipe: what TOML says, checked. Unknown keys are errors that name the nearest known one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rmr1.distill.budget import parse_budget
from rmr1.engines import list_option_faults
from rmr1.engines.base import SamplingParams
from rmr1.named import ControlTokens, FamilyName, PairForm, RowSource, find_missing_file, find_missing_teacher
from rmr1.settings import Complaint, Names, Section, rule


def _check_budget(text: str) -> str:
    parse_budget(text)
    return text


class DistillWorldRecipe(Section):
    """Items of the synthetic preference world instead of a file."""

    items: int = Field(ge=1)
    seed: int = 0
    start: int = Field(default=0, ge=0)
    """Index of the first one."""
    distribution: Literal["biased", "balanced"] = "biased"


class DistillDataRecipe(PairForm, RowSource):
    """Labelled pairs, in any form that `rmr1 judge` reads. Ties and unlabelled pairs are dropped and counted."""

    limit: int | None = Field(default=None, ge=1)
    """Only the first pairs. May be raised later: what is answered stays."""
    skip_invalid: bool = False
    """Count and pass over rows that cannot be read."""
    order: Literal["seeded", "given"] = "seeded"
    """The answer that stands first: drawn per pair from the seed, or as read."""
    world: DistillWorldRecipe | None = None


class PassRecipe(Section):
    """One teacher, and how it is asked."""

    teacher: Annotated[str, Names(find_missing_teacher)] = Field(min_length=1)
    """A model name as of `rmr1 judge -m`, or batch:NAME, which is asked by `distill export` and `import` alone."""
    samples: int = Field(default=1, ge=1)
    """Texts per prompt, of which one is kept."""
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    max_new_tokens: int = Field(default=8192, ge=1)
    """The reference's limit (its `claude` and `o3` scripts)."""
    give_up_after: int = Field(default=50, ge=0)
    """Stop after so many pairs without one verdict; 0 goes on. See `rmr1.judge.alarm`."""
    engine: dict[str, Any] = Field(default_factory=dict)
    """Options of the engine's constructor."""

    @rule
    def _check_samples(self) -> Iterator[str]:
        if self.samples > 1 and self.temperature == 0:
            yield f"{self.samples} samples at temperature 0 would all be the same text; set a temperature"

    @rule
    def _check_engine(self) -> Iterator[Complaint]:
        for name, fault in list_option_faults(self.teacher, self.engine):
            yield ("engine", name), fault

    def sampling(self) -> SamplingParams:
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_new_tokens=self.max_new_tokens,
            num_samples=self.samples,
        )


class SecondPassRecipe(PassRecipe):
    """The teacher that is told the right verdict."""

    redo: Literal["wrong", "all"] = "wrong"
    """What it is asked: pairs whose first verdict is wrong or missing, or also those whose first text fails
    another check."""
    template: Annotated[str | None, Names(find_missing_file)] = None
    """A text file that replaces both shipped notes; see `rmr1.distill.second`."""
    max_judgment_chars: int = Field(default=24000, ge=0)
    """A longer first judgment is shown without its middle; 0 shows none."""


class SelectRecipe(Section):
    """The texts that become rows. The section may be changed later: rows are written anew from what is stored."""

    format: bool = True
    """The whole form that the prompt asks for, each block once, closed, and in order."""
    rubric: bool = True
    """The rubric's weights add up, where a rubric is due."""
    hints: bool = True
    """No sign, in a text of the second pass, that its writer was told the verdict."""
    quotes: float = Field(default=1.0, ge=0, le=1)
    """Least share of a text's quotations that stand in the answer they name."""
    min_quotes: int = Field(default=1, ge=0)
    """Fewest quotations, where the prompt asks for any."""
    min_chars: int = Field(default=0, ge=0)
    max_chars: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest text as its teacher counted it."""
    thinking: Literal["auto", "keep", "drop"] = "auto"
    """What a teacher wrote in <think>: kept for prompts that leave the reasoning to the model, dropped for those
    that ask for a rubric."""
    keep: Literal["best", "shortest", "longest", "first"] = "best"
    """The choice among several texts that pass. Best: most different grounded quotations of three words or more, then
    the shorter one."""
    quota_by: Literal["subset", "source", "task"] = "subset"
    """What a family is: the first part of the pair's subset, its source, or the task type that the text names."""
    quotas: dict[str, int] = Field(default_factory=dict)
    """Most rows of a family; "*" is every family that is not named. Which ones is drawn by the seed."""

    @rule
    def _check_bounds(self) -> Iterator[str]:
        if self.max_chars is not None and self.max_chars < self.min_chars:
            yield f"max_chars {self.max_chars} is below min_chars {self.min_chars}"

    @rule
    def _check_quotas(self) -> Iterator[str]:
        for name, number in self.quotas.items():
            if number < 0:
                yield f"quotas.{name} is {number}; expected 0 or more"


class DistillRecipe(Section):
    seed: int = 0
    """Seed of placement, sampling and quotas."""
    family: FamilyName = "rubric"
    """Prompt family: a name, a folder or a template file."""
    control_tokens: ControlTokens = ()
    """The student's, broken in user text of its prompts and the teachers', beside those known by their shape."""
    budget: Annotated[str, AfterValidator(_check_budget)] | None = None
    """Most that both teachers together may use: "2M" or "500000" tokens, "5usd"."""
    max_failed_share: float = Field(default=0.0, ge=0, le=1)
    """Most labelled pairs, as a share, that may stay without a teacher's text; they are dropped."""
    data: DistillDataRecipe
    pass1: PassRecipe
    pass2: SecondPassRecipe | None = None
    """Without it what the first teacher judges wrongly is dropped."""
    select: SelectRecipe = SelectRecipe()

    @property
    def passes(self) -> tuple[PassRecipe, ...]:
        return (self.pass1,) if self.pass2 is None else (self.pass1, self.pass2)
