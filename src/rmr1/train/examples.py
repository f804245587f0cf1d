"""The source of training examples, and the order in which they are taken.

A source has epochs of a fixed number of examples, each a pure function of (epoch, index): rows of files in an order
drawn from the seed, or items of the synthetic world, which are new in every epoch. What a step sees depends on the
recipe and the position only, not on the number of processes.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Literal

from rmr1.data.files import read_rows
from rmr1.data.read import read_pairs
from rmr1.errors import DataError
from rmr1.messages import Messages
from rmr1.prompts.blocks import parse_blocks
from rmr1.prompts.families import load_family
from rmr1.records import PreferencePair
from rmr1.train.recipe import BatchRecipe, LabelledRecipe, WorldRecipe
from rmr1.train.rendering import Renderer, read_messages
from rmr1.train.row import Example
from rmr1.train.scratch.tokenizer import Speller
from rmr1.verdicts import parse_verdict

_FEWEST = 20
"""Prompts of one wording that all have one verdict: by chance less than once in half a million."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """What was read."""

    rows: int = 0
    overlong: int = 0
    tokens: int = 0
    judged_tokens: int = 0
    largest_token: int = 0


class StoredExamples:
    """Examples held in memory: about 4 bytes a token."""

    def __init__(self, *, seed: int = 0, max_tokens: int | None = None):
        self.counts = Counts()
        self.all: list[Example] = []
        """Examples in the order in which they were added."""
        self._seed = seed
        self._max_tokens = max_tokens
        self._order: tuple[int, list[int]] | None = None

    @property
    def num_examples(self) -> int:
        return len(self.all)

    def add(self, example: Example) -> bool:
        """Keep an example; False if it is too long."""
        self.counts.rows += 1
        if self._max_tokens is not None and len(example.tokens) > self._max_tokens:
            self.counts.overlong += 1
            return False
        self.all.append(replace(example, tokens=array("i", example.tokens)))
        self.counts.tokens += len(example.tokens)
        self.counts.judged_tokens += example.num_judged
        self.counts.largest_token = max(self.counts.largest_token, *example.tokens)
        return True

    def get(self, epoch: int, index: int) -> Example:
        if self._order is None or self._order[0] != epoch:
            order = list(range(self.num_examples))
            Random(f"{self._seed}/{epoch}").shuffle(order)
            self._order = epoch, order
        return self.all[self._order[1][index]]


class WorldExamples:
    """Items of the synthetic world with a teacher's judgment, drawn as they are needed."""

    def __init__(
        self,
        recipe: WorldRecipe,
        renderer: Renderer,
        *,
        split: Literal["train", "test"],
        max_tokens: int,
    ):
        self.num_examples = recipe.items
        self._speller = (
            Speller(renderer.tokenizer, recipe.spelled) if recipe.spelled and split == "train" else None
        )
        self._recipe = recipe
        self._renderer = renderer
        self._split: Literal["train", "test"] = split
        self._max_tokens = max_tokens

    def get(self, epoch: int, index: int) -> Example | None:
        """The example at a place; None if it is longer than allowed."""
        place = epoch * self.num_examples + index
        messages, label = _draw_conversation(self._recipe, place, split=self._split)
        example = self._renderer.render(messages, label=label)
        if self._speller is not None:
            example = self._speller.spell(example, Random(f"{self._recipe.seed}/{place}/spelled"))
        return example if len(example.tokens) <= self._max_tokens else None


Source = StoredExamples | WorldExamples


def _draw_conversation(
    recipe: WorldRecipe, index: int, *, split: Literal["train", "test"]
) -> tuple[Messages, str | None]:
    """Prompt and judgment of one item, and the item's true label."""
    from rmr1.messages import assistant
    from rmr1.prompts.render import render_prompt
    from rmr1.world import sample_pair, teacher_trace

    distribution = recipe.distribution if split == "train" else "balanced"
    item = sample_pair(recipe.seed, index, split=split, distribution=distribution)
    prompt = render_prompt(item.pair, recipe.family)
    trace = teacher_trace(item, recipe.teacher, recipe.seed)
    return (*prompt.messages, assistant(trace)), item.pair.label


def read_texts(
    number: int, world: WorldRecipe | None, train: str | Sequence[str] | None = None
) -> Iterator[str]:
    """The text that a new tokenizer is learnt from: the messages of the first so many training examples.

    The fixed system prompt is left out, since the template folds it.
    """
    if world is not None:
        conversations = (_draw_conversation(world, index, split="train")[0] for index in range(number))
    else:
        rows = read_conversations(train or (), check_prompts=False)
        conversations = (messages for messages, _, _ in islice(rows, number))
    folded = load_family("rubric").system
    for messages in conversations:
        yield from (message.text for message in messages if message.text != folded)


def read_conversations(
    sources: str | Sequence[str], *, check_prompts: bool = True
) -> Iterator[tuple[Messages, str, int]]:
    """(messages, file, line) of every row; that prompts give the verdicts away is said at the end."""
    check = _LeakCheck() if check_prompts else None
    for source in (sources,) if isinstance(sources, str) else sources:
        for row in read_rows(source):
            try:
                messages = read_messages(row.data)
            except DataError as error:
                raise DataError(error.message, path=row.path, line=row.line) from None
            if check is not None and messages[-1].role == "assistant":
                check.add(messages, parse_verdict(messages[-1].text).winner, path=row.path, line=row.line)
            yield messages, row.path, row.line
    if check is not None:
        check.finish()


def read_examples(
    sources: str | Sequence[str],
    renderer: Renderer,
    *,
    seed: int = 0,
    max_tokens: int,
    on_overlong: str = "skip",
    check_prompts: bool = True,
    held_out_share: float = 0.0,
) -> tuple[StoredExamples, StoredExamples]:
    """Training examples, and those kept aside."""
    kept, aside = (StoredExamples(seed=seed, max_tokens=max_tokens) for _ in range(2))
    draw = Random(f"{seed}/held-out")
    for messages, path, line in read_conversations(sources, check_prompts=check_prompts):
        try:
            example = renderer.render(messages)
        except DataError as error:
            raise DataError(error.message, path=path, line=line) from None
        target = aside if held_out_share and draw.random() < held_out_share else kept
        if not target.add(example) and on_overlong == "fail":
            raise DataError(
                f"document of {len(example.tokens)} tokens is longer than data.max_tokens {max_tokens}",
                path=path,
                line=line,
            )
    if not kept.num_examples:
        name, rows = sources if isinstance(sources, str) else ", ".join(sources), kept.counts.rows
        reason = (
            f"all {rows} documents are longer than data.max_tokens {max_tokens}"
            if rows
            else "it holds no rows"
        )
        raise DataError(f"nothing to train on: {reason}", path=name)
    return kept, aside


def read_labelled(sources: str | Sequence[str], data: LabelledRecipe) -> Iterator[tuple[str, PreferencePair]]:
    """(file, pair) of all of them, read as the recipe says."""
    for source in (sources,) if isinstance(sources, str) else sources:
        for pair in read_pairs(source, **data.reading()):
            yield source, pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far the data are used."""

    epoch: int = 0
    index: int = 0


def take_batch(source: Source, batch: BatchRecipe, position: Position) -> tuple[list[Example], Position]:
    """The examples of the next step, which over-long ones count to, and the position after it, in the same epoch."""
    examples: list[Example] = []
    tokens, index = 0, position.index
    while index < source.num_examples:
        if batch.examples is not None and index - position.index >= batch.examples:
            break
        example = source.get(position.epoch, index)
        if example is not None:
            tokens += len(example.tokens)
            if batch.tokens is not None and tokens > batch.tokens and examples:
                break
            examples.append(example)
        index += 1
    is_over = index >= source.num_examples
    return examples, Position(epoch=position.epoch + is_over, index=0 if is_over else index)


def count_steps(source: Source, batch: BatchRecipe, *, epochs: int, steps: int | None) -> int:
    """Steps of the whole run: of so many epochs, but at most `steps`."""
    if batch.examples is not None:
        found = epochs * -(-source.num_examples // batch.examples)
        return found if steps is None else min(found, steps)
    if isinstance(source, WorldExamples):
        assert steps is not None  # the recipe sees to it
        return steps
    found, position = 0, Position()
    while position.epoch < epochs and (steps is None or found < steps):
        _, position = take_batch(source, batch, position)
        found += 1
    return found


class _LeakCheck:
    """Finds prompts that give the verdict away; it sees every row once, and says at the end.

    A judge that reads the answer in its prompt learns nothing else. Two signs are looked for in a prompt without the
    question and both answers: the right side's mark always more often than the other's (a hint to the teacher that
    was left in), and a wording that comes with one verdict only.
    """

    def __init__(self) -> None:
        self._wordings: dict[bytes, Counter[str]] = {}
        self._hints: Counter[bool] = Counter()
        self._first: tuple[str | None, int | None] = (None, None)

    def add(self, messages: Messages, label: str | None, *, path: str | None, line: int | None) -> None:
        if label not in ("A", "B"):
            return
        frame, is_parsed = _frame(messages[:-1])
        excess = frame.count(f"[[{label}]]") - frame.count(f"[[{'B' if label == 'A' else 'A'}]]")
        if excess:
            if not self._hints:
                self._first = path, line
            self._hints[excess > 0] += 1
        if is_parsed:
            digest = hashlib.blake2b(frame.encode(errors="surrogatepass"), digest_size=16).digest()
            self._wordings.setdefault(digest, Counter())[label] += 1

    def finish(self) -> None:
        if self._hints[True] and not self._hints[False]:
            path, line = self._first
            raise DataError(
                "the prompt holds the verdict: outside the question and the answers it marks the side that the judge "
                f"then names, wherever it marks one ({self._hints[True]} rows); take it out, or set "
                "data.check_prompts = false",
                path=path,
                line=line,
            )
        pure = [
            count
            for count in self._wordings.values()
            if count.total() >= _FEWEST and len(count) == 1 and len(self._wordings) > 1
        ]
        if pure:
            label = next(iter(pure[0]))
            raise DataError(
                f"the prompts give the verdict away: {pure[0].total()} of one wording (question and answers left "
                f"out) all end in [[{label}]]; give all prompts the same wording, or set data.check_prompts = false"
            )


def _frame(messages: Messages) -> tuple[str, bool]:
    parts, is_parsed = [], False
    for message in messages:
        text = message.text
        if message.role == "user":
            try:
                blocks = parse_blocks(text)
            except DataError:
                pass
            else:
                text, is_parsed = f"{blocks.prefix}\n{blocks.suffix}", True
        parts.append(f"{message.role}: {text}")
    return "\n".join(parts), is_parsed
