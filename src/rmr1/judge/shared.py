"""The rubric of a question, written once and shared by all judgments about it: every pair, order and vote.

The judge sees the question alone (prompt family `rubric_writer`). What is shared is kept by `rmr1.store.rubrics`, under the
question's content, and its seed is drawn from the run's and the content. A rubric that was cut off or holds no criterion
is kept too: nothing is judged by it, and every judgment of the question has the problem `no_rubric`. A request that the
engine failed on is not kept, and is made again for the question's next pair. Criteria of the settings are not shown to the
writer; they stand behind what it wrote (`join_criteria`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rmr1.engines.base import Continuation, Engine, Guidable, Request
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.votes import conclude, count_usage
from rmr1.prompts import PromptFamily
from rmr1.prompts.render import render_question
from rmr1.records import (
    NO_TEXT,
    Generation,
    Judgment,
    PreferencePair,
    Problem,
    RubricItem,
    Usage,
    Verdict,
    Vote,
)
from rmr1.store.keys import question_digest, seed_for
from rmr1.store.rubrics import RubricKeeper, SharedRubric
from rmr1.verdicts.scores import share_weights
from rmr1.verdicts.trace import read_outline, read_trace

_START, _END = "<rubric>\n", "</rubric>"

Answers = Sequence[tuple[Generation, ...]]


@dataclass(slots=True, kw_only=True)
class RubricWriter:
    """Asks for the rubrics of questions."""

    engine: Engine
    family: PromptFamily
    settings: JudgeSettings
    keeper: RubricKeeper
    special_tokens: tuple[str, ...] = ()
    _failed: dict[str, Generation] = field(default_factory=dict)
    """Question -> what the engine last failed with, which several pairs may be told."""

    def ask(
        self, key: str, pair: PreferencePair
    ) -> Generator[tuple[Request, ...], Answers, tuple[SharedRubric, Usage]]:
        """The rubric of the pair's question, and what it took if it was asked for because of this item."""
        question = question_digest(pair)
        rubric = self.keeper.find(question)
        if rubric is None:
            ((generation,),) = yield (self._request(pair, question),)
            # Another item that waited for the same answer may have kept it.
            rubric = self.keeper.find(question) or self._take(key, question, generation)
        if rubric.asked_by != key or rubric.generation is None:
            return rubric, Usage()
        vote = Vote(order="given", sample=0, generation=rubric.generation, verdict=Verdict(winner=None))
        return rubric, count_usage([vote])

    def _take(self, key: str, question: str, generation: Generation) -> SharedRubric:
        whole = self._complete(generation)
        rubric = SharedRubric(criteria=self._read(whole), generation=whole, asked_by=key)
        if generation.finish_reason != "error":
            self.keeper.keep(question, rubric)
        elif self._failed.get(question) is generation:
            return replace(rubric, asked_by="")
        else:
            self._failed[question] = generation
        return rubric

    def accepts(self, pair: PreferencePair, judgment: Judgment) -> bool:
        """Whether a judgment from elsewhere was made by the rubric that this run's judgments of the question share;
        its rubric is taken over if there is none yet, and it is all that the judgment went by."""
        question, given = question_digest(pair), self.settings.criteria
        known = self.keeper.find(question)
        if known is None:
            if given:
                return False
            generation = None if judgment.criteria else judgment.votes[0].generation
            self.keeper.keep(question, SharedRubric(criteria=judgment.criteria, generation=generation))
            return True
        return join_criteria(known.criteria, given) == judgment.criteria

    @property
    def _is_begun(self) -> bool:
        """Whether the rubric's first tag is written for the model: it is guided, and does not think first."""
        engine, settings = self.engine, self.settings
        return (
            settings.guide == "protocol"
            and isinstance(engine, Guidable)
            and not engine.find_opening(settings.sampling.thinking)
        )

    def _request(self, pair: PreferencePair, question: str) -> Request:
        settings = self.settings
        params = replace(settings.sampling, num_samples=1, stop_at_verdict=False, verdict_logprobs=False)
        going_on = None
        if self._is_begun:
            going_on = Continuation(start=_START, stop_at_loop=True)
            params = replace(params, stop=(_END,), max_new_tokens=max(1, settings.part_tokens))
        return Request(
            key=f"rubric/{question}",
            prompt=render_question(pair, special_tokens=self.special_tokens, family=self.family),
            seed=seed_for(settings.seed, "rubric", question),
            params=params,
            going_on=going_on,
        )

    def _complete(self, generation: Generation) -> Generation:
        """The text with what was written for the model."""
        if not self._is_begun or generation.finish_reason in NO_TEXT:
            return generation
        text = _START + generation.text
        return replace(generation, text=text if _END in text else f"{text.rstrip()}\n{_END}", is_forced=True)

    def _read(self, generation: Generation) -> tuple[RubricItem, ...]:
        if generation.finish_reason in NO_TEXT:
            return ()
        outline = read_outline(generation.text, thinking=self.settings.sampling.thinking)
        is_closed = any(tag.kind == "rubric" and tag.is_closing for tag in outline.tags)
        if generation.finish_reason == "length" and not is_closed:
            return ()
        return read_trace(outline).rubric


def join_criteria(written: tuple[RubricItem, ...], given: tuple[RubricItem, ...]) -> tuple[RubricItem, ...]:
    """A question's rubric with a user's criteria behind it, each of which weighs on average as much as one of the rubric; none
    has a weight if none had. No rubric stays none.

    >>> [one.weight for one in join_criteria((RubricItem(text="true", weight=1.0),), (RubricItem(text="short"),))]
    [0.5, 0.5]
    """
    if not written or not given:
        return written
    whole = len(written) + len(given)
    if all(one.weight is None for one in (*written, *given)):
        return (*written, *given)

    def scale(items: tuple[RubricItem, ...]) -> Iterator[RubricItem]:
        shares = share_weights(items) or (1 / len(items),) * len(items)
        for one, share in zip(items, shares, strict=True):
            yield replace(one, weight=round(share * len(items) / whole, 9))

    return (*scale(written), *scale(given))


def judge_without(pair: PreferencePair, rubric: SharedRubric, *, family: str, rule: str) -> Judgment:
    """The judgment of a pair whose question has no rubric that could be read: the vote holds what was written instead."""
    generation = rubric.generation or Generation(text="", finish_reason="stop")
    problem: Problem = "no_rubric"
    if generation.finish_reason in NO_TEXT:
        problem = "generation_failed" if generation.finish_reason == "error" else "prompt_too_long"
    vote = Vote(order="given", sample=0, generation=generation, verdict=Verdict(winner=None, problem=problem))
    judgment = conclude(pair, [vote], family=family, rule=rule)
    return replace(judgment, prompt_tokens=0, completion_tokens=0, is_estimated=False)
