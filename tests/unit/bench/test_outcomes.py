"""The table of outcomes: estimates by hand, the bootstrap against known distributions, bounds."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from rmr1.bench import draws as draws_module
from rmr1.bench.base import ItemCounts, score_outcomes
from rmr1.bench.draws import (
    add_each,
    bootstrap,
    draw_values,
    estimate_intervals,
    find_freedom,
    gather_prompts,
)
from rmr1.bench.outcomes import (
    Measure,
    Measures,
    Outcomes,
    PartBuilder,
    Table,
    estimate_values,
    mean,
    share,
    weighted_mean,
    whole,
)
from rmr1.bench.run import load_benchmark
from rmr1.stats import clustered_interval, wilson_interval


def make_part(name, credits, *, clusters=(), official=None, beside=None, num_cells=1):
    part = PartBuilder(name, official, num_cells=num_cells)
    for index, credit in enumerate(credits):
        part.items.append(str(index))
        part.credits.append(credit)
        part.no_verdict.append(0)
        part.ties.append(0)
        if beside is not None and beside[index] is not None:
            part.note("beside", beside[index])
    part.clusters.extend(clusters)
    return part.build()


def draw(outcomes, measures, **fields):
    return draw_values(gather_prompts([outcomes]), measures, **fields)


def make_outcomes(*parts):
    return Outcomes(benchmark="b", parts={part.name: part for part in parts}, judgments=0)


TABLE = make_outcomes(
    make_part("x", [1, 1, 1, 0], beside=[1, 0, None, None]),
    make_part("y", [0, 1]),
    make_part("empty", []),
    make_part("matrix", [[1, 0, 0, 1], [1, 1, 0, 0]], num_cells=4),
)


def value(estimate, outcomes=TABLE):
    return estimate(whole(outcomes)).tolist()


def test_estimates_by_hand():
    assert value(share("x")) == [0.75]
    assert value(share("x", "y")) == [4 / 6]
    assert value(mean(share("x"), share("y"))) == [0.625]
    assert value(weighted_mean({share("x"): 3, share("y"): 1})) == [(3 * 0.75 + 0.5) / 4]
    assert value(share("matrix")) == [0.5]
    assert value(share("matrix", cells=(0, 1))) == [0.75]
    # A cell that is named twice counts twice.
    assert value(share("matrix", cells=(0, 0, 2))) == [pytest.approx(2 / 3)]
    assert value(share("x", "y", beside="beside")) == [0.5]
    one = share("x")
    assert value(mean(one, one, share("y"))) == [pytest.approx((0.75 + 0.75 + 0.5) / 3)]


def test_nothing_to_count_is_no_number():
    for estimate in (
        share("empty"),
        share("no such part"),
        share("y", beside="beside"),
        mean(share("x"), share("empty")),
    ):
        assert np.isnan(value(estimate)[0])
    measures = [
        Measure(group="g", name="n", parts=("x",)),
        Measure(group="g", name="n", parts=("empty",)),
    ]
    assert estimate_values(TABLE, measures) == [0.75, None]
    assert estimate_intervals(TABLE, measures, num=50)[1] is None
    assert draw(TABLE, measures, num=0).shape == (2, 0)


def test_draws_of_a_share_are_binomial():
    """Of 400 items of which 300 are right: mean 0.75, standard deviation sqrt(0.75 * 0.25 / 399)."""
    table = make_outcomes(make_part("x", [1] * 300 + [0] * 100))
    (drawn,) = draw(table, [Measure(group="g", name="n", parts=("x",))], num=4000)
    assert drawn.mean() == pytest.approx(0.75, abs=0.002)
    assert drawn.std() == pytest.approx(sqrt(0.75 * 0.25 / 399), rel=0.05)
    # One item less is drawn than there are, so that the variance is that of the mean without bias.
    assert set(np.round(drawn * 399, 9) % 1) == {0}


def test_distinct_rows_are_drawn_like_items():
    """The same distribution as drawing items one by one: a mean of cells with four kinds of items."""
    rows = [[1, 1], [1, 0], [0, 1], [0, 0]]
    items = [rows[index % 4] for index in range(60)] + [[1, 1]] * 40
    table = make_outcomes(make_part("x", items, num_cells=2))
    (drawn,) = draw(table, [Measure(group="g", name="n", parts=("x",))], num=4000, seed=3)
    credits = np.array(items).mean(axis=1)
    assert drawn.mean() == pytest.approx(credits.mean(), abs=0.005)
    assert drawn.std() == pytest.approx(credits.std() / 10, rel=0.05)
    ((sample,),) = bootstrap(gather_prompts([table]), num=5)
    assert sample.rows("x").shape == (4, 2)
    assert sample.weights("x").sum(axis=1).tolist() == [100] * 5


def test_clusters_are_drawn_together():
    """Ten prompts of which all five pairs agree: as uncertain as ten items, not as fifty."""
    credits = [index // 5 < 6 for index in range(50)]
    together = make_part("x", credits, clusters=[index // 5 for index in range(50)])
    apart = make_part("x", credits)
    measure = Measure(group="g", name="n", parts=("x",))
    (clustered,) = draw(make_outcomes(together), [measure], num=4000)
    (single,) = draw(make_outcomes(apart), [measure], num=4000)
    assert clustered.std() == pytest.approx(sqrt(0.6 * 0.4 / 9), rel=0.05)
    assert single.std() == pytest.approx(sqrt(0.6 * 0.4 / 49), rel=0.05)
    counts = ItemCounts(make_outcomes(together))
    assert counts.prompts(measure) == 10
    assert counts.interval(measure) == clustered_interval(
        np.array([5.0] * 6 + [0.0] * 4), np.array([5.0] * 10)
    )
    counts = ItemCounts(make_outcomes(apart))
    assert counts.prompts(measure) is None and counts.interval(measure) == wilson_interval(30, 50)


def test_a_prompt_of_several_parts_is_drawn_once():
    """Two parts of the same six prompts, of which three are right: their difference never varies."""
    prompts, credits = [10, 20, 30, 40, 50, 60], [1, 0, 1, 0, 1, 0]
    both = [make_part(name, credits, clusters=prompts, official=6) for name in "xy"]
    measure = Measure(group="g", name="n", parts=("x", "y"), estimate=mean(share("x"), share("y")))
    (together,) = draw(make_outcomes(*both), [measure], num=4000)
    apart = make_part("y", credits, clusters=[one + 1 for one in prompts], official=6)
    (separate,) = draw(make_outcomes(both[0], apart), [measure], num=4000)
    assert together.std() == pytest.approx(sqrt(0.25 / 5), rel=0.05)
    assert separate.std() == pytest.approx(sqrt(0.25 / 5 / 2), rel=0.05)
    for one, *_ in bootstrap(gather_prompts([make_outcomes(*both)]), num=50):
        assert (one.sums("x") == one.sums("y")).all()


def test_prompts_that_are_alone_in_their_part_are_drawn_together():
    """Twenty subsets of one item each: drawn each inside its own part they would never vary."""
    table = make_outcomes(*(make_part(f"p{index}", [index % 2], official=1) for index in range(20)))
    prompts = gather_prompts([table])
    assert [int(prompts.counts[kinds].sum()) for kinds in prompts.strata.values()] == [20]
    measure = Measure(group="g", name="n", parts=tuple(table.parts))
    (drawn,) = draw(table, [measure], num=4000)
    assert drawn.std() == pytest.approx(sqrt(0.25 / 19), rel=0.05)
    # One part with one left over: it goes to the smallest of the others.
    parts = {"x": [1, 0], "y": [1, 0, 1], "z": [1]}
    rest = gather_prompts(
        [make_outcomes(*(make_part(name, credits, official=9) for name, credits in parts.items()))]
    )
    assert {name: int(rest.counts[kinds].sum()) for name, kinds in rest.strata.items()} == {"x": 3, "y": 3}


def test_one_prompt_has_no_interval():
    table = make_outcomes(make_part("x", [0.5, 1, 0], clusters=[7, 7, 7]), make_part("y", [1, 0.5, 0]))
    measures = [Measure(group="g", name=name, parts=(name,), estimate=share(name)) for name in "xy"]
    one, other = estimate_intervals(table, measures, num=200)
    assert one is None and other is not None
    assert estimate_intervals(make_outcomes(table.parts["x"]), measures[:1], num=200) == [None]


def freedom(*tables, estimate=None):
    measure = Measure(group="g", name="n", parts=tuple(tables[0].parts), estimate=estimate)
    return find_freedom(gather_prompts(tables), [measure]).tolist()


def test_degrees_of_freedom_are_those_of_the_variance():
    x, y = make_part("x", [1, 0] * 10, official=20), make_part("y", [1, 0, 1, 0], official=4)
    assert freedom(make_outcomes(x)) == pytest.approx([19])
    # Own data has no parts of fixed sizes: it is drawn as a whole.
    own = make_outcomes(make_part("x", [1, 0] * 10), make_part("y", [1, 0, 1, 0]))
    assert freedom(own) == pytest.approx([23])
    # A mean of a large part and a small one has hardly more than the small one's (Welch 1947).
    large, small = 0.25 / 19, 0.25 / 3
    welch = (large + small) ** 2 / (large**2 / 19 + small**2 / 3)
    assert freedom(make_outcomes(x, y), estimate=mean(share("x"), share("y"))) == pytest.approx(
        [welch], rel=1e-3
    )
    assert welch == pytest.approx(4.0, abs=0.01)


def test_degrees_of_freedom_of_prompts_that_are_not_alike():
    # Two prompts of eight items and sixteen of one, half of each right: a is 4 twice and 0.5 sixteen times,
    # so its squares sum to 36, the fourth powers to 513; S = 18/17 x 36 = 38.12.
    right = [1] * 8 + [0] * 8 + [1, 0] * 8
    uneven = make_outcomes(make_part("x", right, clusters=[0] * 8 + [1] * 8 + [*range(2, 18)]))
    expected = 2 * 38.12**2 / (513 - 15 / 17 * 38.12**2 / 18)
    assert freedom(uneven) == pytest.approx([expected], rel=0.01)
    assert expected == pytest.approx(6.6, abs=0.05)
    # Two judges that differ at 4 of 40 prompts, three times for the first: a is 0.95 three times, -1.05 once and
    # -0.05 at the others, squares 3.9, fourth powers 3.659; S = 4.
    first = make_outcomes(make_part("x", [1, 1, 1, 0] + [1] * 36))
    second = make_outcomes(make_part("x", [0, 0, 0, 1] + [1] * 36))
    assert freedom(first, second) == pytest.approx([2 * 16 / (3.659 - 37 / 39 * 16 / 40)], rel=0.01)
    assert freedom(first, first) == [1]


def test_a_little_more_of_each_kind(monkeypatch):
    x = make_part("x", [[1, 0], [0, 1], [1, 1], [0, 0]], clusters=[7, 8, 9, 9], num_cells=2, official=4)
    y = make_part("y", [[1, 1], [0, 1], [0, 0], [1, 0]], clusters=[7, 8, 8, 10], num_cells=2, official=4)
    prompts = gather_prompts([make_outcomes(x, y)])
    at_once = {name: next(add_each(prompts))[0].sums(name) for name in "xy"}
    monkeypatch.setattr(draws_module, "_MOST_KINDS", 3)
    samples = [sample for (sample,) in add_each(prompts)]
    assert [sample.num for sample in samples] == [3, 1]
    for name in "xy":
        for sample in samples:
            columns = prompts.tables[0][name].columns
            assert sample.sums(name) == pytest.approx(sample.weights(name) @ columns)
        assert np.concatenate([sample.sums(name) for sample in samples]) == pytest.approx(at_once[name])
        # Each prompt of the part stands once, and somewhere a thousandth more.
        weights = np.concatenate([sample.weights(name) for sample in samples])
        assert weights.min() == 1 and (weights.max(axis=0) == 1.001).all()


def test_parts_are_strata():
    """Each part keeps its number of items in every draw, so a difference between parts adds nothing."""
    table = make_outcomes(make_part("x", [1] * 10, official=10), make_part("y", [0] * 10, official=10))
    (drawn,) = draw(table, [Measure(group="g", name="n", parts=("x", "y"))], num=200)
    assert set(drawn) == {0.5}


def test_seed_and_batches(monkeypatch):
    table = make_outcomes(
        make_part("x", np.linspace(0, 1, 37), official=37), make_part("y", [1, 0, 0], official=3)
    )
    measures = [Measure(group="g", name="n", parts=(name,)) for name in ("x", "y")]
    first = draw(table, measures, num=100, seed=1)
    assert (draw(table, measures, num=100, seed=1) == first).all()
    assert (draw(table, measures, num=100, seed=2) != first).any()
    # A part's draws do not depend on the other parts, and batches are only batches.
    alone = make_outcomes(table.parts["y"])
    assert (draw(alone, measures[1:], num=100, seed=1)[0] == first[1]).all()
    monkeypatch.setattr(draws_module, "MOST_WEIGHTS", 200)
    assert len(list(bootstrap(gather_prompts([table]), num=100))) > 10
    # A product of matrices adds up in an order that depends on their sizes.
    assert draw(table, measures, num=100, seed=1) == pytest.approx(first, abs=1e-12)


def test_the_seed_of_scores_moves_intervals_alone():
    rows = [[1, 0], [1, 1], [0, 1], [0, 0], [1, 1], [1, 0]] * 5
    table = make_outcomes(make_part("x", rows, num_cells=2))
    measures = Measures(
        overall=(), figures=(Measure(group="g", name="n", parts=("x",), estimate=share("x")),)
    )
    toy = replace(load_benchmark("pairs"), rule=lambda outcomes, variant: measures)
    first, again, other = (
        score_outcomes(toy, table, num_resamples=99, seed=seed).figures[0] for seed in (0, 0, 1)
    )
    assert first == again and first.value == other.value == np.mean(rows)
    assert first.interval != other.interval


def test_two_tables_share_their_draws():
    left = make_outcomes(make_part("x", [1, 1, 0, 0, 1]))
    right = make_outcomes(make_part("x", [0, 1, 1, 0, 0]))
    for one, other in bootstrap(gather_prompts([left, right]), num=300):
        both = one.sums("x")[:, 0] - other.sums("x")[:, 0]
        # Items 0 and 4 favour the left, item 2 the right: what remains is their drawn difference.
        rows = one.rows("x")[:, 0] - other.rows("x")[:, 0]
        assert (both == one.weights("x") @ rows).all()
        assert (one.sums("x")[:, -1] == 5).all() and (other.sums("x")[:, -1] == 5).all()
    with pytest.raises(ValueError, match="does not hold the same items"):
        gather_prompts([left, make_outcomes(make_part("x", [1, 1]))])


def test_coverage_of_the_interval():
    """A 95% interval of 200 items holds the truth in about 95 of 100 samples."""
    random = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        credits = random.binomial(3, 0.6, size=200) / 3
        table = make_outcomes(make_part("x", credits))
        measure = Measure(group="g", name="n", parts=("x",), estimate=share("x"))
        found = estimate_intervals(table, [measure], num=400, seed=seed)[0]
        assert found is not None
        held += found[0] <= 0.6 <= found[1]
    assert 180 <= held <= 200


def test_coverage_of_a_mean_of_a_small_part_and_a_large_one():
    """The six prompts of the small part make up nearly all of the variance: as many as 306 they held 89%."""
    random = np.random.default_rng(8)
    held = 0
    measure = Measure(group="g", name="n", parts=("x", "y"), estimate=mean(share("x"), share("y")))
    for seed in range(400):
        table = make_outcomes(
            make_part("x", random.random(6), official=6),
            make_part("y", random.random(300).round(1), official=300),
        )
        (found,) = estimate_intervals(table, [measure], num=300, seed=seed)
        assert found is not None
        held += found[0] <= 0.5 <= found[1]
    assert 0.925 * 400 <= held <= 0.975 * 400


def test_a_million_items_are_a_few_rows():
    part = make_part("x", np.tile([1.0, 0.0, 0.5, 1.0], 250_000))
    assert len(Table(part).rows) == 1_000_000
    ((sample,),) = bootstrap(gather_prompts([make_outcomes(part)]), num=3)
    assert sample.rows("x").tolist() == [[0.0], [0.5], [1.0]]
