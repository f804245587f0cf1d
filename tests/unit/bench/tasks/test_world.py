"""What is counted of a judge in the synthetic world, by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rmr1.bench.tasks.world import ROWS, WorldFigures, judge_items, measure, rows_of
from rmr1.errors import RunError
from rmr1.judge import JudgeSettings, load_judge
from rmr1.records import Generation, Judgment, SideText, Trace, Verdict, Vote, swap_label
from rmr1.screen import format_percent
from rmr1.world import WorldItem, sample_pair, sample_pairs


def find_item(family: str, style: str) -> WorldItem:
    return next(
        item
        for item in sample_pairs(0, 400, split="test", distribution="balanced", family=family)  # type: ignore[arg-type]
        if item.facts.style_class == style
    )


def judge_by_hand(
    item: WorldItem, given: str | None, swapped: str | None, quotes: tuple[str, ...] = ()
) -> Judgment:
    """Winners in the pair frame; the quotes are of response A, made in the given order."""

    def vote(order: str, winner: str | None) -> Vote:
        said = winner if order == "given" else swap_label(winner)
        texts = quotes if order == "given" else ()
        trace = Trace(quotes=tuple(SideText(side="A", text=text) for text in texts))
        verdict = Verdict(winner=said, problem=None if said else "no_verdict", trace=trace)
        generation = Generation(text="", finish_reason="stop", completion_tokens=10)
        return Vote(order=order, sample=0, generation=generation, verdict=verdict)  # type: ignore[arg-type]

    votes = (vote("given", given), vote("swapped", swapped))
    return Judgment(
        pair=item.pair, family="rubric", rule="tagged", winner=None, votes=votes, completion_tokens=20
    )


def test_both_orders_count_and_contradictions_are_inconsistent() -> None:
    item = find_item("Chat", "hard")
    right = item.pair.label
    assert right in ("A", "B")
    wrong = swap_label(right)
    figures = measure(
        (item, judge_by_hand(item, *winners))
        for winners in ((right, right), (right, wrong), (wrong, wrong), (right, None))
    )
    for name in ("all", "Chat", "hard style", "Chat, hard style"):
        row = figures.rows[name]
        assert (row.pairs, row.verdicts, row.right) == (4, 8, 4)
        assert row.accuracy == 0.5
    assert figures.rows["Reasoning"].accuracy is None
    # Twice the same answer, once right and once wrong; a missing verdict agrees with nothing.
    assert figures.consistency == 0.5
    assert figures.unparsed_share == 1 / 8
    assert figures.mean_tokens == 10


def test_missing_verdicts_in_both_orders_are_not_consistent() -> None:
    item = find_item("Safety", "easy")
    figures = measure([(item, judge_by_hand(item, None, None))])
    assert figures.consistency == 0.0 and figures.unparsed_share == 1.0


def test_quotes_of_three_words_are_looked_up() -> None:
    item = find_item("Reasoning", "normal")
    words = item.pair.response_a[0].text.split()
    quotes = (" ".join(words[:3]), " ".join(words[:2]), "words that never stood there")
    figures = measure([(item, judge_by_hand(item, "A", "A", quotes))])
    assert (figures.quotes, figures.grounded) == (2, 1) and figures.grounded_share == 0.5


def test_a_scalar_judge_has_one_verdict_and_no_order() -> None:
    item = find_item("Reasoning", "easy")
    judgment = Judgment(
        pair=item.pair,
        family="scalar",
        rule="scores",
        winner=item.pair.label,
        confidence=0.9,
        scores=(1.0, 0.0),
    )
    figures = measure([(item, judgment)])
    assert (figures.rows["all"].verdicts, figures.rows["all"].accuracy) == (1, 1.0)
    assert figures.consistency is None and figures.grounded_share is None and figures.mean_tokens is None


def test_rows() -> None:
    assert len(ROWS) == len(set(ROWS)) == 1 + 3 + 3 + 9 + 5 + 7
    facts = sample_pair(0, 0, split="test", family="Reasoning").facts
    rows = rows_of(replace(facts, steps=1, style_class="hard", skill="clock"))
    assert rows[:4] == ("all", "Reasoning", "hard style", "Reasoning, hard style")
    assert rows[4:] == ("Reasoning, 1 step", "Reasoning, clock")
    assert set(rows) <= set(ROWS) and rows_of(replace(facts, steps=5))[4] == "Reasoning, 5 steps"


def test_a_description_is_json() -> None:
    import json

    empty = WorldFigures().describe()
    assert json.loads(json.dumps(empty))["rows"]["Chat"]["accuracy"] is None
    assert format_percent(None) == "-" and format_percent(0.98765, 1) == "98.8"


def test_a_folder_is_gone_on_with_and_read_back(tmp_path: Path) -> None:
    items = list(sample_pairs(5, 6, split="test", distribution="balanced"))
    judge = load_judge("scripted:longer", settings=JudgeSettings(order="both"))
    seen: list[Judgment] = []
    first = list(judge_items(judge, items[:4], folder=tmp_path / "run", on_judgment=seen.append))
    assert [item for item, _ in first] == items[:4] and len(seen) == 4
    whole = list(judge_items(judge, items, folder=tmp_path / "run", on_judgment=seen.append))
    assert len(seen) == 6 and [judgment.pair for _, judgment in whole] == [item.pair for item in items]
    plain = list(judge_items(judge, items))
    assert [judgment.winner for _, judgment in plain] == [judgment.winner for _, judgment in whole]
    fewer = list(judge_items(judge, items[2:3], folder=tmp_path / "run"))
    assert len(fewer) == 1 and fewer[0][1].pair == items[2].pair
    with pytest.raises(RunError):
        list(judge_items(judge, [sample_pair(6, 0, split="test")], folder=tmp_path / "run"))
