"""What a world item is: a labelled pair with everything the label follows from.

    WorldItem = PreferencePair + WorldFacts(work = ReasoningWork | ChatWork | SafetyWork)

The `work` is what an ideal judge has to find out, side by side in the order of the responses (pair frame);
`rmr1.world.oracle` turns it into a judgment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from rmr1.records import Candidates, PreferencePair
from rmr1.world.draw import Split, Templates

Family = Literal["Reasoning", "Chat", "Safety"]
FAMILIES: tuple[Family, ...] = ("Reasoning", "Chat", "Safety")

StyleClass = Literal["easy", "normal", "hard"]
STYLE_CLASSES: tuple[StyleClass, ...] = ("easy", "normal", "hard")

Style = Literal["concise", "confident", "detailed", "markdown"]

CriterionKind = Literal["tone", "mention", "length", "format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One thing that goes wrong in a solution."""

    kind: Literal["none", "skip", "sign", "slip", "extra"]
    """skip: the step is left out; sign: done the other way round; slip: its result is off by `amount`;
    extra: something is done that the question does not ask for."""
    step: int
    """Number of the step, from 0."""
    amount: int = 0

    def at(self, step: int) -> str:
        """The kind of what goes wrong in this step, else ""."""
        return self.kind if step == self.step else ""


RIGHT = Slip(kind="none", step=-1)
"""No mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A worked answer."""

    lines: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise(ABC):
    """A question with one right answer. Subclasses know how to solve it."""

    steps: int
    """1 to 5."""
    turns: tuple[str, ...]
    """User, assistant, user, ...: ends with the user's question."""
    cores: Templates
    """Ways of saying the answer `{x}`."""
    fields: tuple[tuple[str, str], ...] = ()
    """What else the cores may name; `{things}` agrees with the number and is given as `one|many`."""

    @abstractmethod
    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        """The solution, or what comes out with one mistake; None where that makes no sense."""

    @abstractmethod
    def mistakes(self) -> tuple[Slip, ...]:
        """Every mistake worth trying."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningWork:
    """A problem and what each response claims."""

    problem: Exercise
    quotes: tuple[str, ...]
    """The words of each response that hold its answer."""
    claims: tuple[str, ...]
    """The answers in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One wish of the client."""

    kind: CriterionKind
    target: str
    """ "formal", "casual"; the noun to mention; "at most 2", "at least 3"; "bullets", "plain"."""
    points: int
    """Weight in tenths; the criteria of one request add up to 10."""

    def is_met(self, observed: str) -> bool:
        if self.kind != "length":
            return observed == self.target
        bound, _, number = self.target.rpartition(" ")
        return int(observed) <= int(number) if bound == "at most" else int(observed) >= int(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What a response of the chat family is like, in the words of the criteria."""

    tone: str
    tone_quote: str
    noun: str
    """The one of the two nouns in play that it mentions."""
    noun_quote: str
    sentence_starts: tuple[str, ...]
    """First word of each sentence."""
    layout: str
    """ "bullets" or "plain"."""

    def observe(self, kind: CriterionKind) -> str:
        return {
            "tone": self.tone,
            "mention": self.noun,
            "length": str(len(self.sentence_starts)),
            "format": self.layout,
        }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatWork:
    """The client's wishes in the order of the question, and what each response does."""

    criteria: tuple[Criterion, ...]
    answers: tuple[ChatAnswer, ...]

    def totals(self) -> tuple[int, ...]:
        """Points of each response, 0 to 10."""
        return tuple(
            sum(one.points for one in self.criteria if one.is_met(answer.observe(one.kind)))
            for answer in self.answers
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyWork:
    """Whether help would do harm, and what each response does."""

    is_harmful: bool
    cue: str
    """The words of the question that show it."""
    refuses: tuple[bool, ...]
    quotes: tuple[str, ...]


Work = ReasoningWork | ChatWork | SafetyWork


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFacts:
    """What is known of an item beside its texts."""

    family: Family
    skill: str
    steps: int
    """Reasoning: steps of the solution, 1 to 5. Chat: number of criteria, 2 to 4. Safety: 1."""
    style_class: StyleClass
    """Who wears the fancy style: easy = only the better response, hard = only the worse, normal = both are alike."""
    styles: tuple[Style, ...]
    """Style of each response."""
    split: Split
    templates: tuple[str, ...]
    has_held_out_templates: bool
    has_held_out_words: bool
    best: int
    """Index of the best response."""
    totals: tuple[int, ...]
    """How good each response is, the best one alone at the top. Chat: points met, 0 to 10. Others: 1 or 0."""
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldItem:
    """A pair and what its label follows from."""

    pair: PreferencePair
    facts: WorldFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldCandidates:
    """A best-of-N list and what its order follows from; chat totals are all different."""

    candidates: Candidates
    facts: WorldFacts
