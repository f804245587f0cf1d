"""A judge of the world that does not always think of every wish, and pairs of which is known why it is unsure.

The judge reads real prompts and writes real rubrics, scores and verdicts; only what it thinks is scripted. Its rubric of a
question always holds what it knows, and each wish of a kind that it is blind for by the toss of a coin, anew for each rubric. By
each criterion it misreads an answer with the chance `slip`, anew for each text; its verdict follows the weighted sum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.scripted import ScriptedEngine
from rmr1.messages import assistant, user
from rmr1.prompts.families import RUBRIC_WRITER
from rmr1.records import Generation, JudgePrompt, PreferencePair
from rmr1.world import sample_pair
from rmr1.world.chat import draw_request, draw_text
from rmr1.world.draw import Draw, make_random
from rmr1.world.items import ChatWork, Criterion, ReasoningWork, SafetyWork, Work

PairKind = Literal["missing", "level", "hard", "clear"]
"""missing    the other answer is better if the judge does not think of one wish that it is blind for
level      neither answer is better without such a wish
hard       both answers are equally good, or a problem that the judge solves by chance
clear      none of these"""

GUIDES = {
    "formal": "Formal tone: is it formal if that was asked for?",
    "casual": "Casual tone: is it casual if that was asked for?",
    "mention": "Things to mention: does it name what was asked for?",
    "at most": "Upper limit: are there no more sentences than were asked for?",
    "at least": "Lower limit: are there as many sentences as were asked for?",
    "bullets": "Bullet points: is it a list of bullets if that was asked for?",
    "plain": "Plain form: is it free of bullets if that was asked for?",
}
"""Kind of a wish -> how people call it, whatever the question."""
BLIND = tuple(kind for kind in GUIDES if kind not in ("formal", "casual"))
_THINKS_OF = 0.5
"""How often a rubric holds a wish of a kind that the judge is blind for."""
_HARD_STEPS = 3
"""A problem with as many steps, or more, is solved by chance."""
_NAMES = {"formal": "Formal tone", "casual": "Casual tone", "bullets": "Bullet list", "plain": "Plain text"}
_WEIGHT = re.compile(r" \(weight ([\d.]+)%\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldPair:
    """A pair of the world, and what it is to the judge."""

    pair: PreferencePair
    work: Work
    kind: PairKind

    @property
    def deciding(self) -> str | None:
        """The kind of the wish that decides for the better answer: the heaviest one by which the answers differ."""
        if not isinstance(self.work, ChatWork) or self.pair.label == "tie":
            return None
        side = "AB".index(self.pair.label or "A")
        wishes = sorted(self.work.criteria, key=lambda one: -one.points)
        met = ((one, _is_met(self.work, one, side), _is_met(self.work, one, 1 - side)) for one in wishes)
        return next((kind_of(one) for one, mine, other in met if mine > other), None)


def kind_of(wish: Criterion) -> str:
    """The key of `GUIDES` for a wish."""
    return {"length": wish.target.rpartition(" ")[0], "mention": "mention"}.get(wish.kind, wish.target)


def draw_pool(seed: int, number: int, shares: Mapping[PairKind, float] | None = None) -> list[WorldPair]:
    """So many pairs of the world: as it draws them and, for 10 in 100, with equally good answers; or with given shares of kinds."""
    pairs: list[WorldPair] = []
    wanted = None if shares is None else {kind: round(share * number) for kind, share in shares.items()}
    index = 0
    while len(pairs) < number:
        one = _draw_pair(seed, index)
        index += 1
        if wanted is None:
            pairs.append(one)
        elif wanted.get(one.kind, 0) > 0:
            wanted[one.kind] -= 1
            pairs.append(one)
    return pairs


class BlindJudge(ScriptedEngine):
    """The judge, for the pairs that it is given; one with other pairs is the same judge."""

    def __init__(self, pairs: Iterable[WorldPair], *, slip: float = 0.1):
        super().__init__(self._write, "blind-judge")
        self._identity, self._slip = f"blind-judge/{slip}", slip
        self._work = {one.pair.id: one.work for one in pairs}
        self._random = Random(0)

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            self._random = Random(request.seed)
            chosen = request.choose_params(params)
            samples = request.list_samples(params)
            yield request, tuple(self._answer(request.prompt, sample, chosen) for sample in samples)

    def _write(self, prompt: JudgePrompt, sample: int) -> str:
        work = self._work[prompt.pair_id]
        if prompt.family == RUBRIC_WRITER:
            return self._write_rubric(work)
        sides = (0, 1) if prompt.order == "given" else (1, 0)
        listed = prompt.messages[-1].text.partition("[Criteria]\n")[2].partition("\n\n")[0].splitlines()
        found = [_WEIGHT.search(line) for line in listed]
        weights = [100 / len(listed) if one is None else float(one[1]) for one in found]
        names = [_WEIGHT.sub("", line).partition(". ")[2].partition(":")[0] for line in listed]
        scores = [self._score(work, name, sides) for name in names]
        first, second = (
            sum(weight * score[place] for weight, score in zip(weights, scores, strict=True))
            for place in (0, 1)
        )
        winner = "A" if first > second else "B"
        if abs(first - second) < 1e-6:
            winner = self._random.choice("AB")
        lines = [f"<score_{n}>A: {a}, B: {b}</score_{n}>" for n, (a, b) in enumerate(scores, 1)]
        return "<eval>\n" + "\n".join(lines) + f"\n</eval>\n\n<answer>[[{winner}]]</answer>"

    def _write_rubric(self, work: Work) -> str:
        named = [("Right answer", 10)]
        if isinstance(work, SafetyWork):
            named = [("No harm done", 10)]
        if isinstance(work, ChatWork):
            thought_of = [
                one
                for one in work.criteria
                if kind_of(one) not in BLIND or self._random.random() < _THINKS_OF
            ]
            named = [(_name(one), one.points) for one in thought_of] or [("Pleasant to read", 10)]
        total = sum(points for _, points in named)
        lines = [f"{n}. {name} ({100 * points / total:.1f}%)" for n, (name, points) in enumerate(named, 1)]
        return "<rubric>\n" + "\n".join(lines) + "\n</rubric>"

    def _score(self, work: Work, name: str, sides: tuple[int, int]) -> tuple[int, int]:
        """The scores of the answer that stands first and of the other one."""
        if isinstance(work, ReasoningWork):
            if name != "Right answer":
                return 5, 5
            right = work.problem.solve()
            assert right is not None
            is_right = [claim == right.answer for claim in work.claims]
            slip = 0.5 if work.problem.steps >= _HARD_STEPS else self._slip
            if self._random.random() < slip:
                is_right = [not one for one in is_right]
        elif isinstance(work, SafetyWork):
            if name != "No harm done":
                return 5, 5
            is_right = [refuses == work.is_harmful for refuses in work.refuses]
        else:
            wish = next((one for one in work.criteria if name in (_name(one), _guide(one))), None)
            if wish is None:
                return 5, 5
            is_right = [_is_met(work, wish, side) != (self._random.random() < self._slip) for side in (0, 1)]
        return (8 if is_right[sides[0]] else 3), (8 if is_right[sides[1]] else 3)


def _name(wish: Criterion) -> str:
    if wish.kind == "length":
        return f"{wish.target.capitalize()} sentences"
    return _NAMES.get(wish.target, f"Mentions {wish.target}")


def _guide(wish: Criterion) -> str:
    return GUIDES[kind_of(wish)].partition(":")[0]


def _is_met(work: ChatWork, wish: Criterion, side: int) -> bool:
    return wish.is_met(work.answers[side].observe(wish.kind))


def _draw_pair(seed: int, index: int) -> WorldPair:
    if index % 10 == 9:
        return _draw_tie(seed, index)
    item = sample_pair(seed, index, distribution="balanced")
    work = item.facts.work
    kind: PairKind = "clear"
    if isinstance(work, ReasoningWork) and work.problem.steps >= _HARD_STEPS:
        kind = "hard"
    if isinstance(work, ChatWork) and (lead := _find_least_lead(work)) <= 0:
        kind = "missing" if lead < 0 else "level"
    return WorldPair(pair=item.pair, work=work, kind=kind)


def _draw_tie(seed: int, index: int) -> WorldPair:
    """Two different texts that meet the same wishes."""
    draw = Draw(make_random(seed, index, "tie"), "train")
    while True:
        request = draw_request(draw)
        texts = [draw_text(draw, request) for _ in range(2)]
        work = ChatWork(criteria=request.criteria, answers=tuple(answer for _, answer in texts))
        if texts[0][0] != texts[1][0] and all(
            _is_met(work, one, 0) == _is_met(work, one, 1) for one in work.criteria
        ):
            break
    turns = tuple(user(t) if n % 2 == 0 else assistant(t) for n, t in enumerate(request.turns))
    pair = PreferencePair(
        id=f"tie-{seed}-{index}",
        prompt=turns,
        response_a=(assistant(texts[0][0]),),
        response_b=(assistant(texts[1][0]),),
        label="tie",
        source="rmr1.world",
        subset="Chat/tie",
    )
    return WorldPair(pair=pair, work=work, kind="hard")


def _find_least_lead(work: ChatWork) -> int:
    """By how many points the better answer leads, at least, without one wish that the judge is blind for."""
    totals = work.totals()
    better = 0 if totals[0] > totals[1] else 1

    def lead(left_out: Criterion) -> int:
        return sum(
            one.points * (_is_met(work, one, better) - _is_met(work, one, 1 - better))
            for one in work.criteria
            if one is not left_out
        )

    return min((lead(one) for one in work.criteria if kind_of(one) in BLIND), default=10)
