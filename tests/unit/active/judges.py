"""A judge that is scripted from the rubric down, and the pairs that it judges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from rmr1.active.pool import Pool, prepare_pool
from rmr1.active.settings import PoolSettings, pool_judge_settings
from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.errors import GenerationError
from rmr1.judge.load import load_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.messages import assistant, user
from rmr1.prompts import parse_blocks
from rmr1.prompts.families import RUBRIC_WRITER
from rmr1.records import Generation, JudgePrompt, PreferencePair

KINDS = ("clear", "rubric", "tie", "place")


class RubricJudge(ScriptedEngine):
    """Says of a pair, whose kind its question names:

    clear     the answer with "good" is better
    rubric    the one with "good" if the rubric asks for truth alone, the other one if it asks for brevity too
    tie       either, drawn anew for each text
    place     what stands first
    """

    def __init__(self, *, fails: str = "", stops: int = 0, brevity: float = 0.5):
        super().__init__(self._write, "rubric-judge")
        self._identity, self.fails, self.stops, self.brevity = "rubric-judge", fails, stops, brevity
        self.num_asked = 0
        self._random = Random(0)

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            self.num_asked += 1
            if self.stops and self.num_asked > self.stops:
                raise GenerationError("the machine has gone")
            text = request.prompt.messages[-1].text
            if self.fails and self.fails in text and request.prompt.family != RUBRIC_WRITER:
                yield request, (self._failure(request.prompt, "busy"),) * len(request.list_samples(params))
                continue
            self._random = Random(request.seed)
            samples = request.list_samples(params)
            yield (
                request,
                tuple(self._answer(request.prompt, one, request.choose_params(params)) for one in samples),
            )

    def _write(self, prompt: JudgePrompt, sample: int) -> str:
        text = prompt.messages[-1].text
        if prompt.family == RUBRIC_WRITER:
            has_brevity = self._random.random() < self.brevity
            brevity = "\n2. Brevity (60%): is it short?" if has_brevity else ""
            return f"<rubric>\n1. Truth ({40 if has_brevity else 100}%): is it true?{brevity}\n</rubric>"
        blocks = parse_blocks(text)
        first = "A" if "good" in blocks.response_a else "B"
        other = "B" if first == "A" else "A"
        winner = first
        if "rubric" in text.split("[Client Question]")[-1] and "is it short?" in text:
            winner = other
        if "tie kind" in text:
            winner = "AB"[self._random.random() < 0.5]
        if "place kind" in text:
            winner = "A"
        lines = []
        for number in range(1, prompt.num_criteria + 1):
            side = winner if prompt.num_criteria == number else first
            lines.append(f"<score_{number}>{side}: 8, {'B' if side == 'A' else 'A'}: 4</score_{number}>")
        scores = "\n".join(lines)
        return f"<eval>\n{scores}\n</eval>\n\n<answer>[[{winner}]]</answer>"


def make_pairs(number: int = 5, kinds: Iterable[str] = KINDS) -> list[PreferencePair]:
    """So many of each kind; the good answer is A in every second one."""
    pairs = []
    for kind in kinds:
        for place in range(number):
            answers = (assistant("a good one"), assistant("another one"))
            pairs.append(
                PreferencePair(
                    id=f"{kind}-{place}",
                    prompt=(user(f"question {place} of the {kind} kind"),),
                    response_a=(answers[place % 2],),
                    response_b=(answers[1 - place % 2],),
                )
            )
    return pairs


def make_pool(
    folder: Path,
    pairs: list[PreferencePair] | None = None,
    model: ScriptedEngine | None = None,
    **settings: object,
) -> Pool:
    """A pool of the scripted judge."""
    chosen = PoolSettings(**{"rubrics": 6, "votes": 3, "check": 0.0, **settings})  # type: ignore[arg-type]
    judge = load_judge(model or RubricJudge(), settings=pool_judge_settings(JudgeSettings(), chosen))
    return prepare_pool(make_pairs() if pairs is None else pairs, judge, folder, chosen)
