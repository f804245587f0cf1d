"""Budgets: their form, and that what is stored never exceeds them."""

from __future__ import annotations

import pytest

from rmr1.distill.budget import Meter, parse_budget
from rmr1.errors import ConfigError
from rmr1.forecast.prices import Price


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("500000", 500_000, "tokens"),
        ("2M", 2e6, "tokens"),
        ("80k tokens", 80_000, "tokens"),
        ("5usd", 5, "usd"),
        ("5.50 USD", 5.5, "usd"),
        ("$5", 5, "usd"),
        ("5$", 5, "usd"),
    ],
)
def test_forms(text: str, amount: float, unit: str) -> None:
    budget = parse_budget(text)
    assert (budget.amount, budget.unit) == (amount, unit)


@pytest.mark.parametrize("text", ["", "much", "0", "-5", "5 eur", "$5usd", "2Musd", "1e6", "nan"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        parse_budget(text)


def test_what_is_set_aside_counts_until_it_is_settled() -> None:
    meter = Meter(parse_budget("1000"))
    assert meter.reserve("a", 400, 500)  # 100 tokens of prompt and at most 500 new
    assert not meter.reserve("b", 400, 500)
    meter.settle("a", 400, 100, 50)
    assert meter.spent == 150
    assert meter.reserve("b", 400, 500)


def test_prompts_are_reckoned_by_the_densest_one_so_far() -> None:
    meter = Meter(parse_budget("1000"))
    assert meter.reserve("a", 400, 0)
    meter.settle("a", 400, 400, 0)  # a token a character
    assert not meter.reserve("b", 700, 0)
    assert meter.reserve("b", 600, 0)


def test_money_needs_a_price_of_whoever_bills() -> None:
    meter = Meter(parse_budget("1usd"))
    with pytest.raises(ConfigError, match="the price of x is not known"):
        meter.set_price(None, is_billed=True, name="x")
    meter.set_price(None, is_billed=False, name="local")
    meter.add(10**9, 10**9)
    assert meter.spent == 0
    meter.set_price(Price(2.0, 8.0), is_billed=True, name="x")
    meter.add(250_000, 50_000)  # 0.50 + 0.40
    assert meter.spent == pytest.approx(0.9)
    assert not meter.reserve("a", 4, 20_000)  # 0.16 more


def test_without_a_budget_everything_fits() -> None:
    meter = Meter(None)
    assert meter.reserve("a", 10**9, 10**9)


def test_prompts_of_several_samples_are_set_aside_for_each_until_a_server_shares_them() -> None:
    meter = Meter(parse_budget("1000"))
    assert not meter.reserve("a", 800, 60, num_samples=4)  # 4 times 200 and 60
    assert meter.reserve("a", 400, 60, num_samples=4)
    meter.settle("a", 400, 100, 120)
    assert meter.reserve("b", 800, 60, num_samples=4)


def test_a_server_that_reads_the_prompt_for_each_sample_is_remembered() -> None:
    meter = Meter(parse_budget("1000"))
    assert meter.reserve("a", 400, 10, num_samples=4)
    meter.settle("a", 400, 400, 40)
    assert not meter.reserve("b", 800, 10, num_samples=4)
    assert meter.reserve("b", 500, 10, num_samples=4)


def test_before_the_first_answer_few_are_under_way() -> None:
    meter = Meter(parse_budget("1M"))
    assert [meter.reserve(key, 4, 1) for key in "abcde"] == [True] * 4 + [False]
    meter.settle("a", 4, 0, 0)  # a failure teaches nothing
    assert meter.reserve("e", 4, 1) and not meter.reserve("f", 4, 1)
    meter.settle("b", 4, 1, 1)
    assert all(meter.reserve(key, 4, 1) for key in "fghi")


def test_as_much_more_is_set_aside_as_a_teacher_takes_beyond_its_limit() -> None:
    meter = Meter(parse_budget("10000"))
    assert meter.reserve("a", 400, 100)
    meter.settle("a", 400, 100, 700)  # 800 where 200 are allowed
    assert (meter.spent, meter.overrun) == (800, 4)
    meter.add(0, 8400)  # 800 are left
    assert not meter.reserve("b", 404, 100)
    assert meter.reserve("b", 400, 100)
