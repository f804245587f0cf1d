"""Labelled pairs -> prompts to judge, as tokens, with the right verdict beside them.

A task is one prompt: a pair in one order. With both orders a pair is two tasks, which follow each other. Prompts are
rendered by what renders them when the judge is asked (`RequestReader`), so what is reinforced is what is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from rmr1.engines.base import Request, SamplingParams
from rmr1.engines.hf.reader import Prepared, RequestReader
from rmr1.errors import DataError
from rmr1.prompts import PromptFamily
from rmr1.prompts.render import render_prompt
from rmr1.records import JudgePrompt, Order, PreferencePair
from rmr1.train.examples import Position, read_labelled
from rmr1.train.grpo.recipe import GrpoRecipe, TaskDataRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One prompt to judge."""

    pair: PreferencePair
    """The pair as it was read; labelled "A" or "B"."""
    prepared: Prepared
    place: int
    """Number of the pair as it is read."""
    epoch: int = 0
    """Epoch in which the task is trained on."""

    @property
    def prompt(self) -> JudgePrompt:
        return self.prepared.request.prompt

    @property
    def tokens(self) -> Sequence[int]:
        return self.prepared.tokens

    @property
    def family(self) -> str:
        """What accuracy is told apart by: the first part of the pair's subset."""
        return (self.pair.subset or "").partition("/")[0] or "all"


_SAMPLED = 200
"""Pairs of the world by which the length of all is told."""


@dataclass(slots=True, kw_only=True)
class TaskCounts:
    """What was read."""

    pairs: int = 0
    undecided: int = 0
    """Ties, and pairs without a label."""
    overlong: int = 0
    prompt_tokens: int = 0
    """Prompt tokens of the tasks that are kept, or of a sample of the world's."""
    tasks: int = 0


class TaskMaker:
    """Makes the tasks of a pair."""

    def __init__(
        self, reader: RequestReader, family: PromptFamily, recipe: GrpoRecipe, *, both: bool = False
    ):
        """If `both`, a pair is a task in each order, otherwise in the one that the recipe says."""
        self._reader = reader
        self._family = family
        self._recipe = recipe
        self._both = both
        self._special = (*reader.special_tokens(), *recipe.data.control_tokens)
        self._params = SamplingParams(
            max_new_tokens=recipe.rollout.max_new_tokens, temperature=recipe.rollout.temperature
        )
        self.counts = TaskCounts()

    def make(self, pair: PreferencePair, place: int, *, epoch: int = 0) -> list[Task]:
        """The tasks of a pair: one, or one for each order; none if it is left out, which is counted."""
        counts = self.counts
        counts.pairs += 1
        if pair.label not in ("A", "B"):
            counts.undecided += 1
            return []
        orders: Sequence[Order] = ("given", "swapped")
        if not self._both and self._recipe.data.order == "given":
            orders = ("given",)
        elif not self._both:
            # Files of chosen and rejected answers have the better one first: unshuffled, "A" is always right.
            orders = (Random(f"{self._recipe.seed}/order/{place}").choice(orders),)
        tasks = [self._make(pair, place, order, epoch) for order in orders]
        kept = [task for task in tasks if task is not None]
        if len(kept) < len(tasks):
            counts.overlong += 1
            return []
        counts.tasks += len(kept)
        counts.prompt_tokens += sum(len(task.tokens) for task in kept)
        return kept

    def _make(self, pair: PreferencePair, place: int, order: Order, epoch: int) -> Task | None:
        prompt = render_prompt(pair, self._family, order=order, special_tokens=self._special)
        prepared = self._reader.prepare(Request(key=f"{place}/{order}", prompt=prompt), self._params)
        most = self._recipe.data.max_prompt_tokens
        if isinstance(prepared, Prepared):
            if len(prepared.tokens) <= most:
                return Task(pair=pair, prepared=prepared, place=place, epoch=epoch)
            reason = f"its prompt has {len(prepared.tokens):,} tokens, data.max_prompt_tokens is {most:,}"
        elif prepared.finish_reason == "skipped":
            reason = prepared.error or "its prompt is too long"
        else:
            raise DataError(f"pair {pair.id!r}: {prepared.error}")
        if self._recipe.data.on_overlong == "fail":
            raise DataError(f"pair {pair.id!r}: {reason}, and data.on_overlong is 'fail'")
        return None


class StoredTasks:
    """Tasks of files, held in memory."""

    def __init__(self, tasks: Sequence[list[Task]], *, seed: int, shuffle: bool):
        self.num_pairs = len(tasks)
        self._tasks = tasks
        self._seed = seed
        self._shuffle = shuffle
        self._order: tuple[int, list[int]] | None = None

    def get(self, epoch: int, index: int) -> list[Task]:
        """The tasks of the pair at a place; each epoch has its own order."""
        if self._shuffle and (self._order is None or self._order[0] != epoch):
            order = list(range(len(self._tasks)))
            Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = epoch, order
        found = self._tasks[index if self._order is None else self._order[1][index]]
        return [replace(task, epoch=epoch) for task in found]


class WorldTasks:
    """Pairs of the synthetic world, drawn as they are needed and new in every epoch."""

    def __init__(self, data: TaskDataRecipe, maker: TaskMaker):
        assert data.world is not None
        self.num_pairs = data.world.items
        self._world = data.world
        self._maker = maker

    def get(self, epoch: int, index: int) -> list[Task]:
        """The tasks of the pair at a place; none if it is left out."""
        from rmr1.world import sample_pair

        world = self._world
        place = world.start + epoch * world.items + index
        item = sample_pair(world.seed, place, split="train", distribution=world.distribution)
        return self._maker.make(item.pair, place, epoch=epoch)


TaskSource = StoredTasks | WorldTasks


def open_tasks(recipe: GrpoRecipe, maker: TaskMaker, aside: TaskMaker) -> tuple[TaskSource, list[Task]]:
    """The source of training tasks, which `maker` has counted, and the held-out ones, which `aside` makes."""
    data, source, held_out = recipe.data, None, []
    if data.world is not None:
        from rmr1.world import sample_pairs

        test = sample_pairs(data.world.seed, data.world.held_out, split="test", distribution="balanced")
        held_out = [task for place, item in enumerate(test) for task in aside.make(item.pair, place)]
        source = WorldTasks(data, maker)
        for index in range(min(_SAMPLED, source.num_pairs)):
            source.get(0, index)
    draw = Random(f"{recipe.seed}/held-out")
    kept: list[list[Task]] = []
    for place, (_, pair) in enumerate(read_labelled(data.train or (), data)):
        is_aside = bool(data.held_out_share) and draw.random() < data.held_out_share
        if is_aside:
            held_out += aside.make(pair, place)
        elif tasks := maker.make(pair, place):
            kept.append(tasks)
    for place, (_, pair) in enumerate(read_labelled(data.held_out or (), data)):
        held_out += aside.make(pair, place)
    counts = maker.counts
    if not counts.tasks:
        raise DataError(
            f"nothing to train on: of {counts.pairs} pairs {counts.undecided} have no preferred answer and "
            f"{counts.overlong} have a prompt longer than data.max_prompt_tokens {data.max_prompt_tokens}",
            path=", ".join(data.sources) or None,
        )
    return source or StoredTasks(kept, seed=recipe.seed, shuffle=data.shuffle), held_out


def take_tasks(source: TaskSource, number: int, position: Position) -> tuple[list[Task], Position]:
    """The next `number` prompts, across the ends of epochs, or one less if a pair's two orders do not both fit; and the
    position after them."""
    tasks: list[Task] = []
    epoch, index, passed = position.epoch, position.index, 0
    while len(tasks) < number and passed < max(source.num_pairs, number):
        if index >= source.num_pairs:
            epoch, index = epoch + 1, 0
        found = source.get(epoch, index)
        if len(tasks) + len(found) > number:
            break
        tasks += found
        index += 1
        passed += 1
    return tasks, Position(epoch=epoch, index=index)
