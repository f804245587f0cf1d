"""The records that flow through the package, one after the other.

    PreferencePair ──> JudgePrompt ──> Generation ──> Verdict ──> Judgment
    Candidates

All are frozen, slotted, keyword-only dataclasses of plain values: hashable, picklable, free of any
library. Files and HTTP convert to and from them at the edges (`rmr1.data`, `rmr1.store`).

Two frames of reference occur and must not be mixed up. The *pair frame* is the pair as it was
read: `response_a` is A. The *prompt frame* is what the judge saw: in a `swapped` prompt the pair's
`response_b` stands first and is called A. A `Verdict` speaks in the prompt frame, a `Judgment` in
the pair frame; `Vote.winner` translates.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any, ClassVar, Literal, TypeVar

from rmr1.messages import Messages

Label = Literal["A", "B", "tie"]
Order = Literal["given", "swapped", "swapped_c", "swapped_d"]
"""The answer that stands first in a prompt, and is called A there: the pair's own A, or the one that it is
exchanged with: B, or of a prompt of four C or D."""
Side = Literal["A", "B"]
_Name = TypeVar("_Name", bound=str | None)
TaskType = Literal["reasoning", "chat"]
Kind = Literal["pair", "choice", "rating", "score"]
"""What a judge was asked about an item.

pair      which of two answers is better
choice    which of four is best
rating    how good each answer is, one at a time, by a number that a model writes
score     the same, by the number that a scalar model gives
"""

Problem = Literal[
    "empty",
    "no_verdict",
    "unclosed_thinking",
    "ambiguous",
    "contradiction",
    "malformed_verdict",
    "unknown_label",
    "no_ratings",
    "truncated",
    "generation_failed",
    "prompt_too_long",
    "split_vote",
    "no_probability",
    "abstained",
    "no_rubric",
]
"""Why there is no winner. A closed list: reports count by it.

empty                the text holds nothing but white space
no_verdict           no marker of the rule's form occurs; of a decision, the labels are too unlikely
unclosed_thinking    a thinking part was opened and never closed
ambiguous            both sides are marked and the rule has no way to choose; of a decision, both are as likely
contradiction        two verdicts of the rule's form disagree
malformed_verdict    a marker is there but broken: unclosed, empty, `[[A>>A]]`
unknown_label        the marker names a side that the prompt does not have
no_ratings           fewer numbers than answers, or a number out of its range or not finite
truncated            the generation ended at its token limit, and no complete verdict is the last thing written
generation_failed    the engine gave no text or score (its message is in `Generation.error`)
prompt_too_long      the prompt does not fit the model's context, and is never cut
split_vote           votes or orders disagree and no side has the majority
no_probability       votes are weighed by their probabilities, and the engine did not tell that of each
abstained            no stage of a cascade was sure enough: a person has to decide
no_rubric            the rubric that the question's judgments share was cut off, or holds no criterion that could be
                     read; the one vote has its text
"""

PROBLEMS: tuple[str, ...] = Problem.__args__  # type: ignore[attr-defined]


_EXCHANGED: Mapping[Order, Mapping[Any, Any]] = {
    "given": {},
    "swapped": {"A": "B", "B": "A"},
    "swapped_c": {"A": "C", "C": "A"},
    "swapped_d": {"A": "D", "D": "A"},
}


def swap_label(label: _Name, order: Order = "swapped") -> _Name:
    """A for B and B for A, or what else `order` exchanges; every other label stands. Its own inverse.

    >>> [swap_label(label) for label in ("A", "B", "tie", None)]
    ['B', 'A', 'tie', None]
    """
    name: _Name = _EXCHANGED[order].get(label, label)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """Two responses to one prompt, and which one people preferred.

    >>> from rmr1.messages import assistant, user
    >>> right, wrong = assistant("4"), assistant("5")
    >>> pair = PreferencePair(id="7", prompt=(user("2 + 2?"),), response_a=(right,), response_b=(wrong,), label="A")
    >>> pair.swap().label
    'B'
    """

    id: str
    """The dataset's own identifier, or the row's place in its file. Need not be unique."""
    prompt: Messages
    """What both responses answer: at least one message."""
    response_a: Messages
    """A single answer is the common case; several messages are a longer trajectory."""
    response_b: Messages
    others: tuple[Messages, ...] = ()
    """Answers C and D of a choice among four; a pair has none."""
    label: Label | None = None
    """The preferred side; "tie" is a label of its own; None means not labelled."""
    source: str | None = None
    subset: str | None = None
    """The part of the dataset that scores are reported by."""

    @property
    def responses(self) -> tuple[Messages, ...]:
        """All of them: A, B, and C and D where there are."""
        return (self.response_a, self.response_b, *self.others)

    def swap(self) -> PreferencePair:
        """The same pair with A and B exchanged, the label with them."""
        return replace(
            self,
            response_a=self.response_b,
            response_b=self.response_a,
            label=swap_label(self.label),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Several responses to one prompt, for best-of-N."""

    id: str
    prompt: Messages
    responses: tuple[Messages, ...]
    best: int | None = None
    """Index into `responses`, from 0; None means not labelled."""
    source: str | None = None
    subset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrompt:
    """What one judge model is asked about one pair in one order.

    >>> from rmr1.messages import user
    >>> JudgePrompt(pair_id="7", family="rating", order="given", side="B", messages=(user("Rate it."),)).slot
    'swapped'
    """

    pair_id: str
    family: str
    order: Order
    messages: Messages
    labels: tuple[str, ...] = ("A", "B")
    """The names of the responses in this prompt, of which a verdict is one; of a rating the numbers."""
    side: Side | None = None
    """The answer that the prompt shows alone, called A in it; None if it shows several."""
    num_criteria: int = 0
    """How many criteria it gives, each of which is to be scored by its number, from 1."""

    @property
    def slot(self) -> Order:
        """The prompt's name among those of its item, by which keys, seeds and recordings know it: its order, and
        "swapped" for B alone."""
        return "swapped" if self.side == "B" else self.order


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that were read and written.

    >>> (Usage(prompt_tokens=7, completion_tokens=2) + Usage(completion_tokens=3)).completion_tokens
    5
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    """Whether any are reckoned from characters, because a server did not say."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            is_estimated=self.is_estimated or other.is_estimated,
        )


NO_TEXT = ("error", "skipped")
"""The finish reasons of a generation that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One sampled text."""

    text: str
    finish_reason: str
    """"stop", "length" (token limit), "error" or "skipped" (over-long prompt)."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    verdict_logprobs: tuple[tuple[str, float], ...] | None = None
    """(label, log-probability) of each verdict letter where the text's verdict letter stands."""
    verdict_mass: float | None = None
    """Total probability of the letters in `verdict_logprobs`, in [0, 1]; near 1 when the model was
    about to write a verdict and nothing else."""
    model: str | None = None
    seed: int | None = None
    is_forced: bool = False
    """Whether the verdict, or the whole skeleton, was written for the model (`rmr1.judge.guide`)."""
    error: str | None = None
    """What went wrong where `finish_reason` is "error" or "skipped"."""
    is_refused: bool = False
    """Whether, after an error, the server will not answer this prompt however often it is asked."""
    billed: Usage | None = None
    """What a server counted for the requests that this text came by, discarded replies among them. Texts of one
    reply share a request: the first of them has it. None elsewhere, and where no server is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RubricItem:
    """One criterion: of the judge's rubric, or of those that it is given."""

    text: str
    weight: float | None = None
    """Share of the whole in [0, 1] where the judge wrote a percentage or a fraction, the bare
    number where it wrote one ("weight: 3"), None where it gave none. Of a user's criteria the shares add up to 1."""
    name: str | None = None
    """What a user calls it; the judge's own criteria have no name apart from their text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionScores:
    """What the answers got by one of the criteria that the judge was given, from 1 to 10."""

    criterion: int
    """The criterion's number, from 1."""
    a: float | None = None
    """None if the text gives A no score by it, or none that can be read."""
    b: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether both answers have a score."""
        return self.a is not None and self.b is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SideText:
    """A quotation or a summary, and the response it speaks of (prompt frame)."""

    side: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The judge's reasoning as data; every part that is absent is None or empty.

    >>> trace = Trace(rubric=(RubricItem(text="Accuracy", weight=0.6), RubricItem(text="Style", weight=0.4)))
    >>> [item.text for item in trace.rubric if (item.weight or 0) > 0.5]
    ['Accuracy']
    """

    task_type: TaskType | None = None
    rubric: tuple[RubricItem, ...] = ()
    justification: str | None = None
    solution: str | None = None
    evaluation: str | None = None
    """Inside of the `<eval>` block, tags and all."""
    quotes: tuple[SideText, ...] = ()
    summaries: tuple[SideText, ...] = ()
    thinking: str | None = None
    """What a reasoning model wrote before `</think>`."""
    scores: tuple[CriterionScores, ...] = ()
    """One for each criterion that the judge was given, in their order, also for those that it did not score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one text says, read by one rule. Speaks in the prompt frame.

    >>> [verdict.winner for verdict in (Verdict(winner="tie"), Verdict(winner=None, problem="truncated"))]
    ['tie', None]
    """

    winner: str | None
    """A label of the prompt, "tie", or None: then `problem` says why."""
    problem: Problem | None = None
    ratings: tuple[float, ...] | None = None
    """One number per response, in the prompt's order, where the form gives numbers."""
    strength: Literal["much", "slight"] | None = None
    """How clear the win is, where the form says (`[[A>>B]]` is "much", `[[A>B]]` is "slight")."""
    trace: Trace = field(default_factory=Trace)


def share_out(logprobs: Iterable[Sequence[Any]], slot: Order) -> float | None:
    """P(the pair's A is better) by (label, log-probability) of the labels of a prompt; None if neither answer has any.

    >>> share_out([("A", -0.5), ("B", -0.5)], "swapped")
    0.5
    """
    weights = {swap_label(label, slot): exp(min(value, 0.0)) for label, value in logprobs}
    a, b = weights.pop("A", 0.0), weights.pop("B", 0.0)
    ties = sum(weights.values())
    return (a + ties / 2) / (a + b + ties) if a + b > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One text and its verdict: one order, one sample.

    >>> said = Generation(text="<answer>[[A]]</answer>", finish_reason="stop")
    >>> vote = Vote(order="swapped", sample=0, generation=said, verdict=Verdict(winner="A"))
    >>> vote.winner  # the answer that was called A is the pair's B
    'B'
    """

    order: Order
    sample: int
    """Number of the sample within its order, from 0."""
    generation: Generation
    verdict: Verdict
    side: Side | None = None
    """The answer that was rated alone; None if the prompt showed several."""

    @property
    def slot(self) -> Order:
        """`JudgePrompt.slot` of the prompt that was answered."""
        return "swapped" if self.side == "B" else self.order

    def name_in_pair(self, label: _Name) -> _Name:
        """The pair's name of what the prompt calls `label`."""
        return swap_label(label, self.slot)

    @property
    def winner(self) -> str | None:
        """The verdict's winner in the pair frame."""
        return self.name_in_pair(self.verdict.winner)

    @property
    def problem(self) -> Problem | None:
        """Why there is no winner."""
        return self.verdict.problem

    @property
    def probability(self) -> float | None:
        """P(A is the better answer) by the verdict letter, where the text's verdict stands, shared out among the
        labels of the prompt, in the pair frame; a tie counts half for each side. None if it is not known."""
        return share_out(self.generation.verdict_logprobs or (), self.slot)

    @property
    def trace(self) -> Trace:
        """The verdict's trace with the sides of quotes, summaries and scores in the pair frame; what the judge wrote
        stands as it is."""
        trace = self.verdict.trace
        scores = trace.scores
        if self.order == "swapped":
            scores = tuple(replace(one, a=one.b, b=one.a) for one in scores)
        return replace(
            trace,
            quotes=self._in_pair(trace.quotes),
            summaries=self._in_pair(trace.summaries),
            scores=scores,
        )

    def _in_pair(self, texts: tuple[SideText, ...]) -> tuple[SideText, ...]:
        return tuple(replace(one, side=self.name_in_pair(one.side)) for one in texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What one stage of a cascade said of a pair."""

    stage: str
    winner: str | None
    """In the pair frame."""
    probability: float | None
    """P(A is the better answer), in [0, 1]."""
    completion_tokens: int = 0
    prompt_tokens: int = 0
    """Not stored by earlier versions, whose cascades asked one model."""
    problem: Problem | None = None
    """Why there is no winner. Earlier versions did not store it."""
    error: str | None = None
    """What went wrong if the engine failed."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Judgment:
    """The outcome for one pair, with everything needed to show, re-score or audit it.

    >>> from rmr1.messages import assistant, user
    >>> right, wrong = assistant("4"), assistant("5")
    >>> pair = PreferencePair(id="7", prompt=(user("2 + 2?"),), response_a=(right,), response_b=(wrong,), label="A")
    >>> Judgment(pair=pair, family="rubric", rule="tagged", winner="B", confidence=1.0)
    <Judgment of pair '7': B, wrong>
    """

    renderer: ClassVar[Callable[[Judgment], str] | None] = None
    """Writes a judgment for people. The package puts it here (`rmr1/__init__.py`): records know nobody."""

    pair: PreferencePair
    family: str
    rule: str
    winner: str | None
    """In the pair frame: "A", "B", "tie" or None: then `problem` says why. Of four also "C" and "D"."""
    problem: Problem | None = None
    kind: Kind = "pair"
    """What was asked: `winner` is the better of two, the best of four, or what has the higher number."""
    confidence: float | None = None
    """How sure the judge is of the winner, in [0, 1]; None where there is no winner.

    Of votes: the share of all votes that name the winner, or the winner's mean probability (`vote_by`). Of scores: the Bradley-Terry probability that
    the winner is the better one, sigmoid(score difference), above 0.5; None for a tie."""
    votes: tuple[Vote, ...] = ()
    vote_by: Literal["majority", "probability"] = "majority"
    """What decided among the votes."""
    criteria: tuple[RubricItem, ...] = ()
    """Those that the judge was given, a user's or the question's shared rubric, in the order of their numbers; a rubric
    that it wrote in a text is in that text's trace."""
    stages: tuple[StageResult, ...] = ()
    """Those that a cascade asked; the last one decided, unless it abstained, and the votes are its own."""
    is_cached: bool = False
    """Whether it was found in a cache, so that nothing was asked."""
    calibrated: float | None = None
    """P(A is the better answer), in [0, 1], by the calibration that the judge was given."""
    scores: tuple[float, float] | None = None
    """What A and B got, each judged alone: the scores of a scalar model, which has no votes, or ratings, with a vote
    for each."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    is_estimated: bool = False
    """Whether any of these tokens are reckoned from characters."""
    seconds: float = 0.0
    """Wall time from the moment the pair was handed to the engine. Not reproducible."""

    @property
    def correct(self) -> bool | None:
        """Whether the winner is the label; a missing verdict on a labelled pair is False."""
        return None if self.pair.label is None else self.winner == self.pair.label

    @property
    def deciding(self) -> Vote | None:
        """The first vote that names the winner, else the first vote; None if there are no votes."""
        named = (vote for vote in self.votes if vote.winner == self.winner)
        return next(named, self.votes[0] if self.votes else None)

    @property
    def trace(self) -> Trace:
        """The deciding vote's reasoning as data, in the pair frame; an empty one if there are no votes."""
        return Trace() if self.deciding is None else self.deciding.trace

    @property
    def reasoning(self) -> str:
        """The deciding vote's whole text, as the judge wrote it: its A is the answer that it saw first."""
        return "" if self.deciding is None else self.deciding.generation.text

    @property
    def orders(self) -> tuple[Order, ...]:
        return tuple(dict.fromkeys(vote.order for vote in self.votes))

    def __str__(self) -> str:
        """The whole judgment as `rmr1 show` prints it, without colours."""
        renderer = type(self).renderer
        return repr(self) if renderer is None else renderer(self)

    def __repr__(self) -> str:
        said = self.winner or f"none ({self.problem})"
        mark = {True: ", right", False: ", wrong", None: ""}[self.correct]
        return f"<Judgment of pair {self.pair.id!r}: {said}{mark}>"

    def _repr_html_(self) -> str:
        """The judgment for notebooks: the same text as `print` gives, all of it escaped."""
        return f"<pre>{html.escape(str(self))}</pre>"
