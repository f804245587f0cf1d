"""Statistics against hand-worked and published values, and against simulation."""

from __future__ import annotations

import itertools
import math
from functools import cache
from math import comb

import numpy as np
import pytest

from rmr1.stats import (
    binomial_p,
    clustered_interval,
    clustered_mcnemar_test,
    count_independent,
    detectable_difference,
    mcnemar_power,
    mcnemar_test,
    percentile_interval,
    runs_p,
    student_quantile,
    variance_between,
    wilson_interval,
)


def interval(correct: int, total: int) -> tuple[float, float]:
    found = wilson_interval(correct, total)
    assert found is not None
    return found


def test_known_values():
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.71674, half width 0.22659.
    low, high = interval(8, 10)
    assert low == pytest.approx(0.4901625, abs=1e-6)
    assert high == pytest.approx(0.9433178, abs=1e-6)


def test_ends_stay_in_the_unit_interval():
    # None of 10: high = z^2 / (n + z^2) = 3.8415 / 13.8415.
    low, high = interval(0, 10)
    assert low == 0
    assert high == pytest.approx(0.2775328, abs=1e-6)
    low, high = interval(10, 10)
    assert low == pytest.approx(1 - 0.2775328, abs=1e-6)
    assert high == 1


def test_nothing_to_count():
    assert wilson_interval(0, 0) is None


@pytest.mark.parametrize(("correct", "total"), [(2, 1), (-1, 3)])
def test_no_share(correct, total):
    with pytest.raises(ValueError, match="is not a share"):
        wilson_interval(correct, total)


def test_percentile_interval():
    # Of 101 values the 2.55th smallest: 2.5% of 102.
    values = np.arange(101) / 100
    assert percentile_interval(values) == pytest.approx((0.0155, 0.9845))


def test_few_draws_do_not_make_percentiles_narrow():
    """Of 99 values and one more of the same kind, 95 in 100 times."""
    values = np.random.default_rng(1).normal(size=(4000, 100))
    found = [percentile_interval(row[1:]) for row in values]
    held = [low <= one <= high for (low, high), one in zip(found, values[:, 0], strict=True)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.008)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (30, 2.0423), (1e6, 1.96)]
)
def test_quantiles_of_student(freedom, quantile):
    assert student_quantile(freedom) == pytest.approx(quantile, rel=5e-4)


def test_percentiles_of_few_prompts_lie_further_out():
    values = np.random.default_rng(0).normal(size=200_000)
    low, high = percentile_interval(values, freedom=10)
    assert (low, high) == pytest.approx((-2.228, 2.228), abs=0.03)
    assert percentile_interval(values, freedom=1e9) == pytest.approx(percentile_interval(values), abs=1e-6)


def test_share_by_prompt_by_hand():
    # Four prompts of five items, of which 5, 4, 2.5 and 3.5 are right: share 0.75, variance between prompts 4/3 x (1.25^2 + 0.25^2 + 1.25^2 + 0.25^2) / 20^2 = 0.010833; as 0.1875 / 0.010833 = 17.3 items,
    # with Student's t of 3 degrees of freedom (3.182) as 17.3 x (1.96 / 3.182)^2 = 6.565.
    found = clustered_interval(np.array([5.0, 4.0, 2.5, 3.5]), np.full(4, 5.0))
    assert found == pytest.approx(wilson_interval(0.75 * 6.565, 6.565), abs=1e-3)


def test_share_by_prompt_is_never_narrower_than_that_of_items():
    even = clustered_interval(np.full(50, 2.0), np.full(50, 4.0))  # each prompt half right
    items = wilson_interval(100, 200)
    assert even is not None and even[0] < items[0] and even[1] > items[1]
    assert even == pytest.approx(items, abs=0.003)


def test_share_by_prompt_at_its_ends_counts_prompts():
    found = clustered_interval(np.full(100, 5.0), np.full(100, 5.0))
    low, high = wilson_interval(100, 100)
    assert found == pytest.approx((low, high), abs=2e-3) and found[1] == 1
    assert clustered_interval(np.array([3.0]), np.array([4.0])) is None


def test_degrees_of_freedom_of_a_share_are_those_of_its_variance():
    # 18 prompts with all of five items right and two with two: share 0.94, a is 0.003 and -0.027, the squares sum to 0.00162,
    # S = 20/19 of it = 0.0017053, fourth powers 1.0643e-6; of S by itself 1.0643e-6 - 17/19 x S^2 / 20 = 9.343e-7, so
    # 2 S^2 / 9.343e-7 = 6.22 degrees of freedom, not 19. As 0.0564 / S = 33.07 items, by Student's t (2.426) 21.6.
    right = np.array([5.0] * 18 + [2.0] * 2)
    assert count_independent(right, np.full(20, 5.0)) == pytest.approx(33.07 * (1.96 / 2.426) ** 2, rel=2e-3)
    # If the two have none right, 0.09 / (20/19 x 0.0045) = 19 items would become 12.4: less than the prompts.
    right = np.array([5.0] * 18 + [0.0] * 2)
    assert count_independent(right, np.full(20, 5.0)) == pytest.approx(19 * (1.96 / 2.093) ** 2, rel=2e-3)
    # All right: as many as the prompts, less by the t of 19.
    assert count_independent(np.full(20, 5.0), np.full(20, 5.0)) == pytest.approx(
        20 * (1.96 / 2.093) ** 2, rel=2e-3
    )


def test_prompts_without_items_are_not_there():
    right, items = np.array([3.0, 1.0, 2.0, 4.0]), np.array([4.0, 4.0, 2.0, 5.0])
    found = clustered_interval(np.append(right, [0.0] * 50), np.append(items, [0.0] * 50))
    assert found == clustered_interval(right, items)


@pytest.mark.parametrize(("prompts", "share"), [(30, 0.8), (100, 0.97)])
def test_intervals_of_good_judges_hold_by_prompt(prompts, share):
    """Prompts of 1 to 12 items, correlated by 0.6; by degrees of freedom of the prompts the second held 89.5%."""
    random = np.random.default_rng(5)
    items_P = random.integers(1, 13, prompts).astype(np.float64)
    chances = random.beta(share * 2 / 3, (1 - share) * 2 / 3, (3000, prompts))
    right = random.binomial(items_P.astype(np.int64), chances).astype(np.float64)
    found = [clustered_interval(one, items_P) for one in right]
    held = [one is not None and one[0] <= share <= one[1] for one in found]
    assert 0.93 <= np.mean(held) <= 0.97


def test_variance_and_its_own_of_kinds_is_that_of_prompts():
    kinds, counts = np.array([[1.0, -3.0, 0.0], [2.0, 1.0, -5.0]]), np.array([3.0, 1.0, 4.0])
    kinds -= (kinds @ counts / 8)[:, None]
    by_kind, by_prompt = (
        variance_between(kinds, counts),
        variance_between(np.repeat(kinds, [3, 1, 4], axis=1), np.ones(8)),
    )
    assert by_kind[0] == pytest.approx(by_prompt[0]) and by_kind[1] == pytest.approx(by_prompt[1])


@pytest.mark.parametrize(
    "changes",
    [(3, -1, 2, 2, -4, 0, 1), (1,) * 8 + (-1,) * 2, (5, 5, 5), (2, -2), (0, 0), (7,), (-3, -3, 1, 0, 0)],
)
def test_clustered_mcnemar_counts_all_ways_to_turn_signs(changes):
    sums = [
        sum(sign * change for sign, change in zip(signs, changes, strict=True))
        for signs in itertools.product((1, -1), repeat=len(changes))
    ]
    seen = abs(sum(changes))
    exact = sum(abs(one) >= seen for one in sums) / len(sums)
    point = sum(one == seen for one in sums) / len(sums)
    test = clustered_mcnemar_test(np.array(changes), 1, 2)
    assert test.exact_p == pytest.approx(exact, abs=1e-12)
    assert test.mid_p == pytest.approx(exact - point if seen else 1, abs=1e-12)
    assert (test.only_first, test.only_second, test.prompts) == (1, 2, sum(one != 0 for one in changes))


def test_clustered_mcnemar_of_items_of_their_own_is_mcnemar():
    changes = np.array([1] * 37 + [-1] * 61 + [0] * 30)
    found, plain = clustered_mcnemar_test(changes, 37, 61), mcnemar_test(37, 61)
    assert (found.exact_p, found.mid_p) == pytest.approx((plain.exact_p, plain.mid_p), abs=1e-12)


def test_clustered_mcnemar_of_many_prompts_is_the_chi_square_of_obuchowski():
    changes = np.random.default_rng(1).integers(-4, 6, 3000)
    z = changes.sum() / math.sqrt((changes**2).sum())
    assert clustered_mcnemar_test(changes, 0, 0).mid_p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=1e-4)


@pytest.mark.parametrize(
    ("counts", "exact_p", "mid_p"),
    [
        # 2 of 10: (1 + 10 + 45) / 1024 each side; mid-p leaves out half of 45 / 1024 each side.
        ((8, 2), 112 / 1024, 67 / 1024),
        ((2, 8), 112 / 1024, 67 / 1024),
        ((6, 0), 2 / 64, 1 / 64),
        ((1, 0), 1.0, 0.5),
        ((5, 5), 1.0, 1.0),
        ((0, 0), 1.0, 1.0),
    ],
)
def test_mcnemar_by_hand(counts, exact_p, mid_p):
    test = mcnemar_test(*counts)
    assert test.exact_p == pytest.approx(exact_p, abs=1e-12)
    assert test.mid_p == pytest.approx(mid_p, abs=1e-12)
    assert test.discordant == sum(counts)


@pytest.mark.parametrize(("first", "second"), [(37, 61), (400, 501), (1, 1022)])
def test_mcnemar_is_the_exact_sum(first, second):
    total, fewer = first + second, min(first, second)
    tail = sum(math.comb(total, count) for count in range(fewer + 1)) / 2**total
    point = math.comb(total, fewer) / 2**total
    test = mcnemar_test(first, second)
    assert test.exact_p == pytest.approx(2 * tail, rel=1e-9)
    assert test.mid_p == pytest.approx(2 * tail - point, rel=1e-9)


def test_mcnemar_of_a_million_is_the_normal_one():
    # z = 1000 / sqrt(601,000) = 1.28993; two-sided p 0.19707.
    p = math.erfc(1000 / math.sqrt(601_000) / math.sqrt(2))
    assert mcnemar_test(300_000, 301_000).mid_p == pytest.approx(p, abs=1e-5)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="must not be negative"):
        mcnemar_test(-1, 3)


def test_power_by_hand():
    # Six items, each right for the first judge alone with chance 0.9, for both or none with 0.1. The test
    # rejects at 5% with five of five (mid-p 1/32) and six of six (1/64): 6 x 0.9^5 x 0.1 + 0.9^6.
    assert mcnemar_power(0.9, 0.0, 6) == pytest.approx(0.354294 + 0.531441, abs=1e-9)
    # Of four of four the mid-p is 1/16: never.
    assert mcnemar_power(0.5, 0.5, 4) == 0
    assert mcnemar_power(0.0, 0.0, 100) == 0
    assert mcnemar_power(0.5, 0.0, 0) == 0


def simulate(only_first: float, only_second: float, items: int, repeats: int, seed: int) -> float:
    """The share of repeats in which the mid-p test rejects at 5%."""
    random = np.random.default_rng(seed)
    shares = [only_first, only_second, 1 - only_first - only_second]
    counts = random.multinomial(items, shares, size=repeats)
    test = cache(mcnemar_test)
    return float(np.mean([test(int(one), int(two)).mid_p <= 0.05 for one, two, _ in counts]))


@pytest.mark.parametrize(
    ("discordant", "items"), [(0.05, 100), (0.2, 100), (0.5, 100), (0.1, 350), (0.1, 3000)]
)
def test_false_positives_of_equal_judges(discordant, items):
    rate = simulate(discordant / 2, discordant / 2, items, 20_000, seed=1)
    assert rate <= 0.055
    assert rate == pytest.approx(mcnemar_power(discordant / 2, discordant / 2, items), abs=0.006)


@pytest.mark.parametrize(
    ("first", "second", "items"),
    [(0.1, 0.05, 350), (0.15, 0.10, 620), (0.02, 0.0, 350), (0.12, 0.10, 2985), (0.06, 0.055, 23_257)],
)
def test_power_is_what_simulation_finds(first, second, items):
    computed = mcnemar_power(first, second, items)
    assert simulate(first, second, items, 20_000, seed=2) == pytest.approx(computed, abs=0.012)


def test_power_of_many_items_is_the_usual_formula():
    # Miettinen 1968, first order: the normal test at n x discordant items.
    first, second, items = 0.1, 0.099, 1_000_000
    shift = (first - second) * math.sqrt(items) / math.sqrt(first + second - (first - second) ** 2)
    formula = 0.5 * math.erfc((1.959964 - shift) / math.sqrt(2))
    assert mcnemar_power(first, second, items) == pytest.approx(formula, abs=2e-3)


def test_detectable_difference():
    difference = detectable_difference(0.2, 620)
    reached = mcnemar_power((0.2 + difference) / 2, (0.2 - difference) / 2, 620)
    assert reached == pytest.approx(0.8, abs=0.005)
    # (1.96 + 0.84) x sqrt(0.2 / 620) = 0.0503.
    assert difference == pytest.approx(0.0503, abs=0.002)
    assert math.isnan(detectable_difference(0.2, 10))


def test_power_refuses_what_is_no_share():
    with pytest.raises(ValueError, match="not two shares"):
        mcnemar_power(0.7, 0.4, 10)


@pytest.mark.parametrize(
    ("successes", "total", "share", "expected"),
    [
        (20, 20, 0.5, 2 / 2**20),
        (0, 20, 0.5, 2 / 2**20),
        (8, 10, 0.5, 2 * (45 + 10 + 1) / 1024),
        (5, 10, 0.5, 1.0),
        (3, 3, 0.9, 1.0),
        (0, 3, 0.9, 0.002),
        (0, 0, 0.5, 1.0),
        (4, 4, 1.0, 1.0),
        (3, 4, 1.0, 0.0),
    ],
)
def test_binomial(successes: int, total: int, share: float, expected: float) -> None:
    assert binomial_p(successes, total, share) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.213, 0.9])
def test_binomial_is_the_sum_of_its_terms(share: float) -> None:
    total = 60
    chances = [
        comb(total, count) * share**count * (1 - share) ** (total - count) for count in range(total + 1)
    ]
    for count in range(total + 1):
        expected = min(1.0, 2 * min(sum(chances[: count + 1]), sum(chances[count:])))
        assert binomial_p(count, total, share) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_binomial_of_many() -> None:
    assert binomial_p(10_000, 20_000, 0.5) == pytest.approx(1.0)
    assert 0 < binomial_p(10_200, 20_000, 0.5) < 0.01  # 2.8 standard deviations
    assert binomial_p(19_500, 20_000, 0.5) < 1e-200


def test_counts_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="no count of successes"):
        binomial_p(3, 2, 0.5)


def test_runs() -> None:
    assert runs_p("AABB") == (2, 3.0, pytest.approx(0.2207, abs=1e-4))  # variance 2/3
    assert runs_p("A" * 50 + "B" * 50)[2] < 1e-20
    assert runs_p("AB" * 50)[0] == 100 and runs_p("AB" * 50)[2] < 1e-20
    assert runs_p("AAAA") == (1, 1.0, 1.0)
    assert runs_p("") == (0, 0.0, 1.0)
