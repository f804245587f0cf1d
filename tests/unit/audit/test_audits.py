"""Every audit on columns made by hand: what it finds, what it lacks, and that neither names nor sequences count."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest

from rmr1.audit.audits import AUDIT_COLUMNS, AUDITS, AuditGathering, audit_columns
from rmr1.audit.facts import Facts
from rmr1.audit.finding import MOST_KEYS, Finding
from rmr1.records import swap_label
from tests.unit.audit.test_figures import PLAIN, tell


def gather(facts: Sequence[Facts]) -> AuditGathering:
    gathering = AuditGathering()
    for number, one in enumerate(facts):
        gathering.add(replace(one, key=f"{number:032x}"))
    return gathering


def examine(facts: Sequence[Facts], name: str) -> Finding:
    return next(one for one in gather(facts).findings() if one.name == name)


def both(number: int, given: str | None, swapped: str | None, label: str | None = "A", **more: Any) -> Facts:
    winner = given if given == swapped else None
    return tell(number, winner, label, given=given, swapped=swapped, has_flipped=given != swapped, **more)


def test_nothing_lacks_everything() -> None:
    found = gather([]).findings()
    assert [one.name for one in found] == [one.name for one in AUDITS]
    assert all(one.size is None and one.lacks and not one.alarm and one.coverage == 0 for one in found)
    unlabelled = gather([tell(number, "A", None) for number in range(30)]).findings()
    assert {one.name: one.lacks for one in unlabelled if one.size is None}.keys() >= {
        "calibration",
        "grounding",
        "votes",
    }


def test_position_of_pairs_asked_both_ways() -> None:
    facts = [both(number, "A", "B" if number < 12 else "A") for number in range(60)]
    facts += [both(60, "B", "A"), both(61, "tie", "A"), both(62, None, "B")]
    found = examine(facts, "position")
    assert (found.used, found.items, found.size) == (62, 63, pytest.approx(11 / 62))
    assert found.alarm and found.num_judgments == 12 and found.judgments[0] == f"{0:032x}"


def test_position_of_pairs_asked_in_one_order() -> None:
    # Right in 18 of 20 if the label's answer stands first, in 10 of 20 if second.
    facts = [
        tell(number, "A" if number % 20 < (18 if first == "A" else 10) else "B", "A", shown_first=first)
        for number, first in enumerate(["A"] * 20 + ["B"] * 20)
    ]
    found = examine(facts, "position")
    assert found.size == pytest.approx(0.4) and found.used == 40 and found.num_judgments == 10
    drawn = [replace(one, label=None, is_right=None) for one in facts]
    found = examine(drawn, "position")
    assert (
        found.size == pytest.approx((18 + 10 - 2 - 10) / 40) and "drawn" in found.says
    )  # first wins 28 of 40
    found = examine([replace(one, shown_first="A") for one in drawn], "position")
    assert found.size is None and "same place" in (found.lacks or "")


def style(number: int, said: str, label: str | None, longer: str, **more: Any) -> Facts:
    return tell(
        number,
        said,
        label,
        length_a=300 if longer == "A" else 100,
        length_b=300 if longer == "B" else 100,
        **more,
    )


def test_length_is_at_equal_correctness() -> None:
    # The label's answer is longer: right in 19 of 20; shorter: in 11 of 20.
    facts = [style(number, "A" if number < 19 else "B", "A", "A") for number in range(20)]
    facts += [style(20 + number, "B" if number < 11 else "A", "B", "A") for number in range(20)]
    found = examine(facts, "length")
    assert found.size == pytest.approx(0.4) and found.lacks is None and found.num_judgments == 9
    # Most labels' answers being longer is no fault of the judge.
    right = [style(number, "A", "A", "A" if number % 10 else "B") for number in range(200)]
    wrong = [
        replace(one, winner="B", is_right=False) if number % 13 == 0 else one
        for number, one in enumerate(right)
    ]
    assert not examine(wrong, "length").alarm


def test_length_without_labels_is_told_and_no_alarm() -> None:
    found = examine([style(number, "A", None, "A") for number in range(40)], "length")
    assert found.size == 1 and not found.alarm and "labels" in (found.lacks or "")


def test_length_between_subsets_says_nothing() -> None:
    facts = [style(number, "A", "A", "A", subset="x") for number in range(20)]
    facts += [style(20 + number, "A", "B", "A", subset="y") for number in range(20)]
    found = examine(facts, "length")
    assert found.size is None and "inside of subsets" in (found.lacks or "")


def test_refusals_lean_beside_length() -> None:
    facts = []
    for number in range(200):
        label, longer = "AB"[number % 2], "AB"[number // 2 % 2]
        refuses = "AB"[number // 4 % 2]
        said = refuses if number % 5 < 2 else label
        facts.append(style(number, said, label, longer, refuses_a=refuses == "A", refuses_b=refuses == "B"))
    assert examine(facts, "refusal").size == pytest.approx(0.4, abs=0.02)
    assert abs(examine(facts, "length").size or 0) < 0.05


def test_calibration() -> None:
    facts = [tell(number, "A", "A" if number % 10 < 6 else "B", probability=0.9) for number in range(100)]
    found = examine(facts, "calibration")
    assert found.size == pytest.approx(0.3) and found.alarm and found.num_judgments == 40
    assert examine([replace(one, probability=0.6) for one in facts], "calibration").size == pytest.approx(0)
    assert "labels" in (
        examine([replace(one, label=None, is_right=None) for one in facts], "calibration").lacks or ""
    )
    assert "probabilities" in (
        examine([replace(one, probability=None) for one in facts], "calibration").lacks or ""
    )


@pytest.mark.parametrize(
    ("name", "hits", "totals"),
    [
        ("grounding", "quotes_invented", "quotes_exact"),
        ("solution", "solutions_denied", "solutions"),
        ("weights", "sums_denied", "sums"),
        ("twins", "twins", "num_criteria"),
        ("level", "scored_level", "scored"),
        ("hinge", "turned", "weighable"),
    ],
)
def test_what_is_counted_in_texts(name: str, hits: str, totals: str) -> None:
    total = 3 if name == "grounding" else 4
    values = [{totals: total, hits: 1} if number < 30 else {totals: 4} for number in range(40)]
    found = examine([replace(PLAIN, prompt=number, **more) for number, more in enumerate(values)], name)  # type: ignore[arg-type]
    assert found.size == pytest.approx(30 / 160) and found.used == 40 and found.num_judgments == 30
    few = examine([replace(PLAIN, prompt=number, **more) for number, more in enumerate(values[:5])], name)  # type: ignore[arg-type]
    assert few.size is None and "5 judgments" in (few.lacks or "")


def test_votes() -> None:
    found = examine(
        [replace(PLAIN, prompt=number, vote_agreement=number % 2) for number in range(60)], "votes"
    )
    assert found.size == 0.5 and not found.alarm and found.num_judgments == 30
    coins = examine([replace(PLAIN, prompt=number, vote_agreement=0.3) for number in range(60)], "votes")
    assert coins.size == pytest.approx(0.7) and coins.alarm


def test_judgments_behind_a_finding_are_counted_and_some_named() -> None:
    found = examine([both(number, "A", "B") for number in range(200)], "position")
    assert found.num_judgments == 200 and len(found.judgments) == MOST_KEYS
    assert found.describe()["coverage"] == 1.0


def draw_facts(number: int) -> list[Facts]:
    draw = random.Random(number)
    facts = []
    for place in range(120):
        given, swapped = (draw.choice(("A", "B", "tie", None)) for _ in range(2))
        one = both(
            draw.randrange(80), given, swapped, draw.choice(("A", "B", "tie", None)), subset=draw.choice((None, "x")),
            length_a=draw.randrange(90, 200), length_b=draw.randrange(90, 200), marks_a=draw.randrange(3),
            marks_b=draw.randrange(3), probability=draw.choice((None, draw.random())), refuses_a=draw.random() < 0.3,
            quotes_exact=draw.randrange(3), quotes_invented=draw.randrange(2), solutions=1, solutions_denied=place % 2,
        )  # fmt: skip
        facts.append(one)
    return facts


def sizes(facts: Sequence[Facts]) -> dict[str, tuple[Any, ...]]:
    return {
        one.name: (one.size, one.interval, one.p, one.alarm, one.used) for one in gather(facts).findings()
    }


@pytest.mark.parametrize("number", range(5))
def test_exchanging_the_answers_changes_no_size(number: int) -> None:
    facts = draw_facts(number)
    names = {one.name for one in fields(Facts)}
    mirrored = []
    for one in facts:
        values: dict[str, Any] = {name: swap_label(getattr(one, name)) for name in ("winner", "label")}
        # What stood first is B now, and so the order that was given is the swapped one.
        values |= {"given": swap_label(one.swapped), "swapped": swap_label(one.given)}
        values |= {f"{name[:-2]}_b": getattr(one, name) for name in names if name.endswith("_a")}
        values |= {f"{name[:-2]}_a": getattr(one, name) for name in names if name.endswith("_b")}
        values["probability"] = None if one.probability is None else 1 - one.probability
        mirrored.append(replace(one, **values))
    before, after = sizes(facts), sizes(mirrored)
    for name, found in before.items():
        assert after[name] == (
            pytest.approx(found) if found[0] is None else tuple(map(pytest.approx, found))
        ), name


def test_the_sequence_counts_for_nothing() -> None:
    facts = [replace(one, key=f"{number:032x}") for number, one in enumerate(draw_facts(9))]
    shuffled = list(facts)
    random.Random(1).shuffle(shuffled)
    gatherings = AuditGathering(), AuditGathering()
    for gathering, ordered in zip(gatherings, (facts, shuffled), strict=True):
        for one in ordered:
            gathering.add(one)
    assert gatherings[0].findings() == gatherings[1].findings()


def test_columns_of_an_index_have_keys_as_bytes() -> None:
    gathering = gather(draw_facts(3))
    assert set(AUDIT_COLUMNS) == set(gathering.columns().numbers)
    found = audit_columns(gathering.columns(), [key.encode() for key in gathering.keys])
    assert found == gathering.findings()
