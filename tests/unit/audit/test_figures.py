"""Figures of columns, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rmr1.audit.columns import Columns, Gathering
from rmr1.audit.facts import Facts, list_kinds
from rmr1.audit.figures import FIGURE_COLUMNS, MOST_GROUPS, Figures, GroupFigures, measure
from rmr1.judge.consistency import difference_interval
from rmr1.judge.reliability import summarize_reliability
from rmr1.stats import clustered_interval, wilson_interval

PLAIN = Facts(
    key="k", id="1", source=None, subset=None, family="rubric", task_type=None, kind="pair", model=None,
    winner="A", label="A", is_right=True, problem=None, has_failed=False, given=None, swapped=None,
    has_flipped=None, num_votes=1, agreement=1.0, probability=None, confidence=None, is_calibrated=False,
    quotes_exact=0, quotes_levelled=0, quotes_invented=0, num_criteria=0, prompt=1, length_a=100, length_b=100,
    marks_a=0, marks_b=0, prompt_tokens=10, completion_tokens=5, is_estimated=False, is_cached=False, seconds=1.0,
)  # fmt: skip


def gather(*facts: Facts) -> Columns:
    gathering = Gathering(FIGURE_COLUMNS)
    for one in facts:
        gathering.add(one)
    return gathering.columns()


def tell(number: int, said: str | None, label: str | None = "A", **more: Any) -> Facts:
    is_right = None if label is None else said == label
    problem = None if said else "no_verdict"
    return replace(PLAIN, prompt=number, winner=said, label=label, is_right=is_right, problem=problem, **more)


def counted(group: tuple[GroupFigures, ...]) -> list[tuple[str, int, int, int]]:
    return [(one.name, one.right, one.labelled, one.unparsed) for one in group]


def test_nothing_has_no_figures() -> None:
    found = measure(gather())
    assert (found.items, found.labelled, found.seconds, found.winners) == (0, 0, 0.0, {})
    assert found.accuracy is found.position is found.reliability is found.risk is None
    assert found.subsets == () and found.groups == {}


def test_accuracy_with_intervals_by_prompt_and_by_group() -> None:
    found = measure(
        gather(
            tell(1, "A", subset="x", source="s"),
            tell(1, "B", subset="x", source="s"),
            tell(2, None, subset="y", source="s"),
            tell(3, "B", None, subset="y", source="t"),
            tell(4, "tie", "tie", source="s", task_type="chat"),
        )
    )
    assert (found.items, found.labelled, found.right, found.unparsed) == (5, 4, 2, 1)
    assert found.accuracy is not None and found.accuracy.accuracy == 0.5
    assert found.accuracy.interval == clustered_interval(np.array([1.0, 0.0, 1.0]), np.array([2.0, 1.0, 1.0]))
    assert counted(found.subsets) == [("no subset", 1, 1, 0), ("x", 1, 2, 0), ("y", 0, 1, 1)]
    assert found.subsets[0].interval == wilson_interval(1, 1)
    assert found.subsets[1].interval is None  # one prompt
    assert set(found.groups) == {"task_type"}  # one source among the labelled, one family
    assert counted(found.groups["task_type"]) == [("not told", 1, 3, 1), ("chat", 1, 1, 0)]
    assert found.winners == {"A": 1, "B": 2, "none": 1, "tie": 1} and found.problems == {"no_verdict": 1}


def test_style_is_what_the_preferred_answer_has_more_of() -> None:
    found = measure(
        gather(
            tell(1, "A", length_a=111, length_b=100),  # 11 of 111 are less than 10%
            tell(2, "A", length_a=112, length_b=100),
            tell(3, "A", "B", length_a=100, length_b=112, marks_b=1),
            tell(4, "B", "B", length_a=112, length_b=100, marks_a=3, marks_b=2),
            tell(5, "tie", "tie", length_a=112),
            tell(6, "A", length_a=300, kind="choice"),
        )
    )
    assert counted(found.groups["length"]) == [
        ("longer", 1, 2, 0),
        ("alike", 1, 1, 0),
        ("shorter", 1, 1, 0),
    ]
    assert counted(found.groups["markdown"]) == [("more", 0, 1, 0), ("as much", 2, 2, 0), ("less", 1, 1, 0)]


def test_more_groups_than_rows_share_one() -> None:
    many = [tell(number, "A", subset=f"s{number % 130:03}") for number in range(260)]
    found = measure(gather(*many, tell(1, "B", subset="s129")))
    assert len(found.subsets) == MOST_GROUPS + 1
    assert counted(found.subsets)[0] == ("others (30)", 2 * 30, 2 * 30, 0)
    assert ("s129", 2, 3, 0) in counted(found.subsets)  # the largest has a row of its own
    assert sum(one.labelled for one in found.subsets) == 261


def test_position_counts_pairs_with_a_verdict_in_both_orders() -> None:
    orders = ["AA", "BB", "AB", "AB", "BA", "A-", "--"]
    found = measure(
        gather(
            *(
                tell(
                    number,
                    "A",
                    given={"-": None}.get(one[0], one[0]),
                    swapped={"-": None}.get(one[1], one[1]),
                    has_flipped="-" not in one and one[0] != one[1],
                )
                for number, one in enumerate(orders)
            ),
            tell(9, "A"),
        )
    ).position
    assert found is not None
    assert (found.pairs, found.consistent, found.first, found.second, found.bias) == (5, 2, 2, 1, 0.2)
    assert found.interval == difference_interval(2, 1, 5)


def test_tokens_quotations_and_time() -> None:
    found = measure(
        gather(
            tell(1, "A", quotes_exact=2, quotes_invented=1, seconds=0.5),
            tell(2, "A", quotes_levelled=3, has_failed=True),
            tell(3, "A", is_cached=True, is_estimated=True, seconds=0.0),
        )
    )
    assert found.quotes == {"exact": 2, "levelled": 3, "none": 1}
    assert (found.judgments_with_quotes, found.judgments_with_invented, found.failed) == (2, 1, 1)
    assert (found.prompt_tokens, found.completion_tokens, found.is_estimated) == (20, 10, False)
    assert found.seconds == 0.5


def test_reliability_is_the_section_of_the_summary() -> None:
    found = measure(
        gather(
            tell(1, "A", probability=0.9, confidence=0.9, is_calibrated=True),
            tell(2, "B", "tie", probability=0.3, confidence=0.7),
            tell(3, "A"),
            tell(4, "A", None, probability=0.8, confidence=0.8),
        )
    ).reliability
    assert found == {
        "calibrated": True,
        "without": 1,
        **summarize_reliability(np.array([0.9, 0.3]), np.array([1.0, 0.5])),
    }


def test_risk_and_coverage_by_hand() -> None:
    found = measure(
        gather(
            tell(1, "A", confidence=0.9),
            tell(2, "B", confidence=0.8),
            tell(3, "A", confidence=0.8),
            tell(4, "A", confidence=0.6),
            tell(5, None, confidence=None),
            tell(6, "A", None, confidence=1.0),
        )
    ).risk
    assert found is not None and found.items == 4
    risks = [0, 0.5 / 2, 1 / 3, 1 / 4]  # of two that are equally sure one is wrong, so half of each
    assert found.area == pytest.approx(sum(risks) / 4)
    assert [(one.coverage, one.threshold) for one in found.points] == [
        *((0.25, 0.9), (0.5, 0.8), (0.75, 0.8), (1.0, 0.6)),
    ]
    assert [one.risk for one in found.points] == pytest.approx(risks)


def test_a_perfect_order_of_confidences_has_the_least_area() -> None:
    sure = [
        tell(number, "A" if number < 700 else "B", confidence=1 - number / 2000) for number in range(1000)
    ]
    good, bad = measure(gather(*sure)).risk, measure(gather(*(
        replace(one, confidence=1.5 - (one.confidence or 0)) for one in sure
    ))).risk  # fmt: skip
    assert good is not None and bad is not None
    assert len(good.points) == 100 and good.points[-1].risk == pytest.approx(0.3)
    # errors come last: the risk at n accepted of 1000 is (n - 700) / n, whose mean is about 0.3 + 0.7 log 0.7
    assert good.area == pytest.approx(0.3 + 0.7 * math.log(0.7), abs=1e-3)
    assert bad.area > 0.5


def test_the_sequence_counts_for_nothing() -> None:
    draw = np.random.default_rng(3)
    many = [
        tell(
            int(draw.integers(60)), draw.choice(["A", "B", "tie"]), draw.choice(["A", "B"]),
            subset=str(draw.integers(5)), probability=float(draw.random()), confidence=float(draw.random()),
            seconds=float(draw.random()), length_a=int(draw.integers(200)),
        )
        for _ in range(300)
    ]  # fmt: skip
    first: Figures = measure(gather(*many))
    assert measure(gather(*many[::-1])) == first


def test_every_column_that_figures_read_is_a_fact() -> None:
    assert set(FIGURE_COLUMNS) <= set(list_kinds())
    assert len(set(FIGURE_COLUMNS)) == len(FIGURE_COLUMNS)
