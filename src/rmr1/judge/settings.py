"""How a judge is asked: everything about a judging run but its data and its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError
from rmr1.faces import name_option
from rmr1.judge.criteria import weigh_criteria
from rmr1.prompts.escape import check_tokens
from rmr1.records import RubricItem
from rmr1.verdicts.votes import VoteBy

Placement = Literal["seeded", "given", "both"]
GuideKind = Literal["protocol", "verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """Settings that decide what a judgment is."""

    rule: str = "tagged"
    """The verdict rule (`rmr1.verdicts.RULES`)."""
    order: Placement = "seeded"
    """The answer that stands first: drawn per item from the seed, as read, or both ways."""
    seed: int = 0
    sampling: SamplingParams = field(default_factory=SamplingParams)
    vote_by: VoteBy = "majority"
    """What decides among several samples and orders: the most votes, or the mean of their probabilities."""
    stop_votes: float | None = None
    """Cast no further votes once the side that leads is the right majority with this probability, in (0.5, 1]; 1 is
    once the majority cannot change. None casts all."""
    guide: GuideKind | None = None
    """Write the protocol's skeleton for the model, or only the verdict of a text that has none (`rmr1.judge.guide`)."""
    part_tokens: int = 1024
    """Most tokens of a part of a guided judgment; 0 reads the verdict at once where there are no parts."""
    control_tokens: tuple[str, ...] = ()
    """The user's own control tokens, broken in user text beside those that are known by their shape."""
    criteria: tuple[RubricItem, ...] = ()
    """What the judge is to go by, all weighed or none (`rmr1.judge.criteria`)."""
    share_rubric: bool = False
    """Have the judge write a rubric for each question first, and go by it whatever pair, order and vote; `criteria`, if
    there are any, stand behind its own."""

    def __post_init__(self) -> None:
        if self.order not in ("seeded", "given", "both"):
            raise ConfigError(f"order is {self.order!r}; expected seeded, given or both")
        check_tokens(self.control_tokens)
        sampling = self.sampling
        if sampling.num_samples < 1 or sampling.max_new_tokens < 1:
            raise ConfigError("num_samples and max_new_tokens must be at least 1")
        if sampling.temperature < 0 or not 0 < sampling.top_p <= 1 or sampling.top_k < 0:
            raise ConfigError(
                f"temperature {sampling.temperature}, top_p {sampling.top_p}, top_k {sampling.top_k}: "
                "expected temperature >= 0, 0 < top_p <= 1, top_k >= 0"
            )
        if sampling.num_samples > 1 and sampling.temperature == 0:
            raise ConfigError(
                f"{sampling.num_samples} samples at temperature 0 would all be the same text; set a temperature"
            )

        if self.vote_by not in ("majority", "probability"):
            raise ConfigError(f"vote_by is {self.vote_by!r}; expected majority or probability")
        if self.vote_by == "probability" and not sampling.verdict_logprobs:
            raise ConfigError(
                f"votes weighed by probability need the log-probabilities of verdicts; set {name_option('verdict_logprobs', True)}"
            )
        if self.guide not in (None, "protocol", "verdict"):
            raise ConfigError(f"guide is {self.guide!r}; expected protocol or verdict")
        if self.part_tokens < 0:
            raise ConfigError(f"part_tokens is {self.part_tokens}; expected 0 or more")
        if self.guide is not None and self.rule not in ("tagged", "published"):
            raise ConfigError(
                f"a guided judgment ends in an <answer> tag, which rule {self.rule!r} does not read; use tagged"
            )
        if self.criteria:
            weigh_criteria(self.criteria)
        if self.stop_votes is not None:
            if not 0.5 < self.stop_votes <= 1:
                raise ConfigError(f"stop_votes is {self.stop_votes:g}; expected more than 0.5, and at most 1")
            if self.vote_by == "probability":
                raise ConfigError("stop_votes counts votes; it goes with vote_by = majority")
            if sampling.num_samples == 1:
                raise ConfigError("stop_votes ends the voting early, and there is one vote; ask for several")

    @property
    def gives_criteria(self) -> bool:
        """Whether prompts hold criteria, a user's or a shared rubric."""
        return bool(self.criteria) or self.share_rubric

    def all_control_tokens(self, own: Sequence[str]) -> tuple[str, ...]:
        """The model's own and the user's, marks of thinking among them."""
        marks = [mark for pair in self.sampling.thinking for mark in pair]
        return tuple(dict.fromkeys([*own, *self.control_tokens, *marks]))

    def describe(self) -> dict[str, Any]:
        """All of them; of those that earlier versions did not have only what differs from how they asked."""
        values = asdict(self)
        values["criteria"] = [
            {name: value for name, value in one.items() if value is not None} for one in values["criteria"]
        ]
        plain: dict[str, Any] = {
            "vote_by": "majority",
            "stop_votes": None,
            "guide": None,
            "part_tokens": 1024,
            "criteria": [],
            "share_rubric": False,
        }
        return {name: value for name, value in values.items() if name not in plain or value != plain[name]}
