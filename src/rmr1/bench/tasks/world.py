"""How good a judge is in the synthetic world: fresh balanced pairs in, accuracy by kind of item out.

A judge that writes is asked in both orders. Its accuracy is the share of right verdicts over both; its
position consistency the share of pairs for which both orders name the same answer. A missing verdict is
wrong and counted. A scalar judge gives each pair one verdict and quotes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rmr1.audit.quotes import link_quotes
from rmr1.judge.base import PairJudge
from rmr1.judge.identity import describe_run
from rmr1.records import Judgment
from rmr1.store.runs import open_run, read_judgments
from rmr1.world import FAMILIES, STYLE_CLASSES, WorldFacts, WorldItem
from rmr1.world.reasoning import SKILLS

QUOTE_WORDS = 3
"""Shortest quotation that is looked up: a number or a name stands in an answer too easily."""

OVERALL = "all"
FAMILY_ROWS = FAMILIES
STYLE_ROWS = tuple(f"{style} style" for style in STYLE_CLASSES)
CROSSED_ROWS = tuple(f"{family}, {style} style" for family in FAMILIES for style in STYLE_CLASSES)
STEP_ROWS = tuple(f"Reasoning, {steps} step{'s' if steps > 1 else ''}" for steps in range(1, 6))
SKILL_ROWS = tuple(f"Reasoning, {skill}" for skill in SKILLS)
ROWS = (OVERALL, *FAMILY_ROWS, *STYLE_ROWS, *CROSSED_ROWS, *STEP_ROWS, *SKILL_ROWS)
"""Kinds of items, in the order of a report."""


def rows_of(facts: WorldFacts) -> tuple[str, ...]:
    """The rows that an item counts in."""
    rows = [OVERALL, facts.family, f"{facts.style_class} style", f"{facts.family}, {facts.style_class} style"]
    if facts.family == "Reasoning":
        rows += [STEP_ROWS[facts.steps - 1], f"Reasoning, {facts.skill}"]
    return tuple(rows)


def _share(count: int, total: int) -> float | None:
    return count / total if total else None


@dataclass(slots=True)
class RowCount:
    """Counts of one kind of items."""

    pairs: int = 0
    verdicts: int = 0
    """Two for each pair that was asked in both orders."""
    right: int = 0

    @property
    def accuracy(self) -> float | None:
        return _share(self.right, self.verdicts)


@dataclass(slots=True)
class WorldFigures:
    """Counts that grow judgment by judgment."""

    rows: dict[str, RowCount] = field(default_factory=lambda: {name: RowCount() for name in ROWS})
    both_orders: int = 0
    consistent: int = 0
    unparsed: int = 0
    quotes: int = 0
    """Quotes of `QUOTE_WORDS` words or more."""
    grounded: int = 0
    tokens: int = 0

    def add(self, judgment: Judgment, facts: WorldFacts) -> None:
        pair = judgment.pair
        winners = [vote.winner for vote in judgment.votes] if judgment.votes else [judgment.winner]
        for name in rows_of(facts):
            row = self.rows[name]
            row.pairs += 1
            row.verdicts += len(winners)
            row.right += winners.count(pair.label)
        self.unparsed += winners.count(None)
        self.tokens += judgment.completion_tokens
        if judgment.scores is None and len(judgment.orders) == 2:
            self.both_orders += 1
            self.consistent += len(set(winners)) == 1 and winners[0] is not None
        for quote in link_quotes(judgment):
            if len(quote.text.split()) >= QUOTE_WORDS:
                self.quotes += 1
                self.grounded += quote.is_found

    @property
    def consistency(self) -> float | None:
        """None for a judge that sees one answer at a time."""
        return _share(self.consistent, self.both_orders)

    @property
    def unparsed_share(self) -> float | None:
        return _share(self.unparsed, self.rows[OVERALL].verdicts)

    @property
    def grounded_share(self) -> float | None:
        return _share(self.grounded, self.quotes)

    @property
    def mean_tokens(self) -> float | None:
        """Tokens of a judgment, in one order."""
        return _share(self.tokens, self.rows[OVERALL].verdicts) or None

    def describe(self) -> dict[str, Any]:
        """The counts as JSON; a share is None if there is nothing to count."""
        return {
            "rows": {name: {**asdict(row), "accuracy": row.accuracy} for name, row in self.rows.items()},
            "position_consistency": self.consistency,
            "unparsed": self.unparsed_share,
            "quotes": self.quotes,
            "quotes_found": self.grounded_share,
            "mean_tokens": self.mean_tokens,
        }


def judge_items(
    judge: PairJudge,
    items: Sequence[WorldItem],
    *,
    folder: Path | None = None,
    on_judgment: Callable[[Judgment], Any] = lambda judgment: None,
) -> Iterator[tuple[WorldItem, Judgment]]:
    """Yield every item with its judgment, in the items' order.

    With `folder`, judgments are stored in that run folder, and those that it holds are not made again.

    Raises:
        RunError: the folder holds another run, or cannot be written.
    """
    found: dict[str, Judgment] = {}
    pairs = [item.pair for item in items]
    if folder is None:
        for _, judgment in judge.run(pairs):
            found[judgment.pair.id] = judgment
            on_judgment(judgment)
    else:
        data = {"source": "rmr1.world", "parts": sorted({pair.id.rpartition("-")[0] for pair in pairs})}
        with open_run(folder, describe_run("world", judge, data=data, folder=folder)) as writer:
            for _, judgment in judge.run(pairs, run=writer):
                on_judgment(judgment)
        # A folder may hold more: an earlier, longer run, or items of a world that was since reworded.
        wanted = {pair.id: pair for pair in pairs}
        for _, judgment in read_judgments(folder):
            if wanted.get(judgment.pair.id) == judgment.pair:
                found[judgment.pair.id] = judgment
    for item in items:
        yield item, found[item.pair.id]


def measure(judged: Iterable[tuple[WorldItem, Judgment]]) -> WorldFigures:
    figures = WorldFigures()
    for item, judgment in judged:
        figures.add(judgment, item.facts)
    return figures
