"""Two runs item by item: alignment, hand-worked tests, the gate, and simulated repeats."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rmr1.bench.base import Benchmark, score_judgments, score_outcomes
from rmr1.bench.compare import (
    HEADER,
    compare_outcomes,
    compare_runs,
    comparison_remarks,
    comparison_rows,
    format_p,
)
from rmr1.bench.draws import gather_prompts, swap
from rmr1.bench.outcomes import Measure, Measures, Outcomes, Part, Whole, mean, share
from rmr1.bench.results import check_baseline
from rmr1.bench.shared_items import find_changed, pair_outcomes
from rmr1.bench.tasks.pairs import PAIRS
from rmr1.bench.tasks.rmb import RMB
from rmr1.errors import ConfigError, DataError, RunError
from rmr1.messages import assistant
from rmr1.stats import mcnemar_power
from tests.unit.bench.judgments import judge, make_pair


@cache
def numbers(count):
    return tuple(map(str, range(count)))


def make_part(name, credits, items=None, **fields):
    credits = np.asarray(credits, dtype=np.float64).reshape(len(credits), -1)
    return Part(
        name=name,
        items=numbers(len(credits)) if items is None else tuple(items),
        credits=credits,
        no_verdict=np.zeros(len(credits), dtype=np.int32),
        ties=np.zeros(len(credits), dtype=np.int32),
        **fields,
    )


def make_outcomes(*parts):
    return Outcomes(benchmark="toy", parts={part.name: part for part in parts}, judgments=0)


def rule(outcomes, variant):
    """All items alike as a figure, the mean of the parts as the overall score."""
    parts = tuple(outcomes.parts)
    whole = Measure(group="toy", name="overall", parts=parts, estimate=mean(*map(share, parts)))
    figures = (Measure(group="toy", name="all", parts=parts),)
    return Measures(overall=(Whole(measure=whole, needs=figures),), figures=figures)


TOY = Benchmark(
    name="toy",
    title="Toy",
    order="given",
    placements=("given",),
    find_files=lambda data: [data],
    read_pairs=lambda data, limit: iter(()),
    tally=lambda rulings: make_outcomes(),
    rule=rule,
)


def run(winners, orders=("given",), **fields):
    """Judgments of pairs 0, 1, ... labelled A."""
    return [
        judge(make_pair(str(number), **fields), winner, orders=orders)
        for number, winner in enumerate(winners)
    ]


def test_mcnemar_by_hand():
    # 8 pairs only the new judge got right, 2 only the old one, 5 both, 5 neither.
    new = run(["A"] * 8 + ["B"] * 2 + ["A"] * 5 + ["B"] * 5)
    old = run(["B"] * 8 + ["A"] * 2 + ["A"] * 5 + [None] * 5)
    comparison = compare_runs(PAIRS, new, old)
    (overall,) = comparison.overall
    assert (overall.new, overall.old, overall.items) == (13 / 20, 7 / 20, 20)
    assert overall.difference == pytest.approx(0.3)
    assert (overall.better, overall.worse) == (8, 2)
    assert overall.test is not None
    assert overall.test.exact_p == pytest.approx(112 / 1024)
    assert overall.p == overall.test.mid_p == pytest.approx(67 / 1024)
    # The difference of one item is +1, -1 or 0: variance 0.5 - 0.09, so its mean has s.d. 0.147; Student's t of
    # 19 degrees of freedom.
    low, high = overall.interval
    assert low == pytest.approx(0.3 - 2.09 * 0.147, abs=0.06)
    assert high == pytest.approx(0.3 + 2.09 * 0.147, abs=0.06)
    assert comparison.shared == 20
    assert not overall.is_partial


def test_order_of_judging_does_not_matter():
    random = np.random.default_rng(3)
    new, old = run(random.choice(["A", "B"], 60)), run(random.choice(["A", "B"], 60))
    shuffled = [old[index] for index in random.permutation(60)]
    assert compare_runs(PAIRS, new, old).overall == compare_runs(PAIRS, new, shuffled).overall


def test_turned_round():
    random = np.random.default_rng(4)
    first, second = run(random.choice(["A", "B"], 80)), run(random.choice(["A", "B"], 80))
    (one,) = compare_runs(PAIRS, first, second).overall
    (other,) = compare_runs(PAIRS, second, first).overall
    assert one.difference == -other.difference
    # Other draws, so the interval is the same but for their noise.
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=0.03)
    assert one.p == other.p
    assert (one.better, one.worse) == (other.worse, other.better)


def test_a_run_with_itself():
    new = run(["A", "B", "A"])
    (overall,) = compare_runs(PAIRS, new, new).overall
    assert (overall.difference, overall.interval, overall.p) == (0, (0, 0), 1)


def test_items_of_one_run_only_are_named():
    new, old = run(["A", "B", "A", "A"]), run(["A", "A", "A", "B"])
    comparison = compare_runs(PAIRS, new[:3], old[1:])
    assert comparison.shared == 2
    assert (comparison.only_new.count, comparison.only_new.examples) == (1, ("  A#0",))
    assert (comparison.only_old.count, comparison.only_old.examples) == (1, ("  A#3",))
    (overall,) = comparison.overall
    assert (overall.new, overall.old, overall.items) == (0.5, 1.0, 2)
    remarks = comparison_remarks(comparison)
    assert "compared over the 2 items that both runs hold" in remarks
    assert any("in the new run only: 1" in line for line in remarks)


def test_changed_texts_and_labels_are_left_out_and_named():
    new, old = run(["A"] * 4), run(["B"] * 4)
    other_text = replace(old[1].pair, response_b=(assistant("three"),))
    old[1] = replace(old[1], pair=other_text)
    old[2] = replace(old[2], pair=replace(old[2].pair, label="B"))
    assert find_changed(new, old) == {"1", "2"}
    comparison = compare_runs(PAIRS, new, old)
    assert (comparison.changed.count, comparison.changed.examples, comparison.shared) == (2, ("1", "2"), 2)


def test_the_third_and_fourth_answers_are_part_of_a_pair():
    old = [replace(one, pair=replace(one.pair, others=((assistant("c"),),))) for one in run(["A", "A"])]
    new = [old[0], replace(old[1], pair=replace(old[1].pair, others=((assistant("other"),),)))]
    assert find_changed(new, old) == {"1"}


def test_nothing_shared():
    new = run(["A", "A"])
    other = [judge(make_pair("x"), "A", orders=("given",))]
    with pytest.raises(
        DataError, match=r"share no item of pairs: 2 items are in the new one only .*1 in the"
    ):
        compare_runs(PAIRS, new, other)
    changed = [replace(one, pair=replace(one.pair, prompt=(assistant("?"),))) for one in new]
    with pytest.raises(DataError, match=r"2 have one id .0, 1. but other texts or another label"):
        compare_runs(PAIRS, new, changed)


def test_no_run_folder(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        compare_runs(PAIRS, tmp_path, run(["A"]))


def test_unknown_variant():
    with pytest.raises(ConfigError, match="no scoring 'x'"):
        compare_outcomes(
            TOY, make_outcomes(make_part("a", [1])), make_outcomes(make_part("a", [1])), variant="x"
        )


def test_lists_missing_in_one_run():
    def asked(row, loser, winner):
        return judge(make_pair(f"BoN_set/Harmlessness/S9#{row}:{loser}/2"), winner, orders=("given",))

    new = [asked(0, 1, "A"), asked(0, 2, "A"), asked(1, 1, "A"), asked(1, 2, "A")]
    old = [asked(0, 1, "B"), asked(0, 2, "A"), asked(1, 1, "A")]
    comparison = compare_runs(RMB, new, old)
    lists = next(one for one in comparison.figures if (one.group, one.name) == ("harmlessness", "best of N"))
    assert (lists.new, lists.old, lists.items, lists.better) == (1, 0, 1, 1)
    assert any(
        "unfinished items are left out: 0 of the new run, 1 of the old" in one for one in comparison.notes
    )
    assert comparison.overall[0].is_partial
    assert comparison.overall[0].difference is None


def test_different_ways_of_asking_are_said():
    new = run(["A", "B"])
    old = [judge(one.pair, "A", "A") for one in new]
    assert any("not asked alike" in note for note in compare_runs(PAIRS, new, old).notes)


def test_cells_must_match():
    with pytest.raises(DataError, match="asked in different ways"):
        pair_outcomes(make_outcomes(make_part("a", [[1, 0]])), make_outcomes(make_part("a", [1])))


def test_items_of_one_name_go_in_turn():
    new = make_outcomes(make_part("a", [1, 0, 1], items=("x", "x", "y")))
    old = make_outcomes(make_part("a", [0, 0.5, 1, 0], items=("x", "z", "x", "x")))
    paired = pair_outcomes(new, old)
    assert paired.old.parts["a"].credits[:, 0].tolist() == [0, 1]
    assert paired.new.parts["a"].items == paired.old.parts["a"].items == ("x", "x")
    assert (paired.only_new.examples, paired.only_old.examples) == (("a#y",), ("a#z", "a#x"))


def test_clusters_are_numbered_alike():
    new = make_outcomes(make_part("a", [1, 1, 0, 0], items="abcd", clusters=np.array([0, 0, 1, 1])))
    old = make_outcomes(make_part("a", [0, 0, 1, 1], items="dcba", clusters=np.array([0, 0, 1, 1])))
    paired = pair_outcomes(new, old)
    assert paired.old.parts["a"].credits[:, 0].tolist() == [1, 1, 0, 0]
    assert paired.old.parts["a"].clusters.tolist() == [0, 0, 1, 1]


def test_clusters_widen_the_interval_and_are_tested_whole():
    random = np.random.default_rng(5)
    better = np.repeat(random.random(40) < 0.6, 5)
    new, old = better.astype(float), np.zeros(200)
    clusters = np.repeat(np.arange(40), 5)
    (alone,) = compare_outcomes(
        TOY, make_outcomes(make_part("a", new)), make_outcomes(make_part("a", old))
    ).figures
    (together,) = compare_outcomes(
        TOY,
        make_outcomes(make_part("a", new, clusters=clusters)),
        make_outcomes(make_part("a", old, clusters=clusters)),
    ).figures
    width = [one.interval[1] - one.interval[0] for one in (alone, together)]
    # Five equal items of a cluster are worth one: sqrt(5) = 2.24 times as wide.
    assert width[1] / width[0] == pytest.approx(5**0.5, rel=0.1)
    # Of 40 prompts 24 favour the new judge and none the old one: 2 / 2^24, not 2 / 2^120.
    assert alone.test.exact_p == pytest.approx(2 / 2**120)
    assert together.test.exact_p == pytest.approx(2 / 2**24, rel=1e-6)
    assert (together.test.prompts, together.prompts, alone.prompts) == (24, 40, None)
    assert (together.better, together.worse) == (120, 0)
    assert together.describe()["p_of"] == "mcnemar mid-p by prompt"


def test_swap_test_is_mcnemar_where_items_are_right_or_wrong():
    # The sum over all exchanges, by simulation: 8 and 2 give the exact p, 0.109.
    new = make_part("a", [1] * 8 + [0] * 2 + [1] * 10)
    old = make_part("a", [0] * 8 + [1] * 2 + [1] * 10)
    comparison = compare_outcomes(TOY, make_outcomes(new), make_outcomes(old), num_resamples=40_000)
    (figure,), (overall,) = comparison.figures, comparison.overall
    assert figure.test.exact_p == pytest.approx(0.109375)
    assert overall.test is None
    assert overall.p == pytest.approx(0.109375, abs=0.006)


def test_swap_keeps_what_both_earned():
    new, old = make_part("a", [[1, 0], [0.5, 1], [0, 0]]), make_part("a", [[0, 0], [0.5, 1], [1, 1]])
    paired = pair_outcomes(make_outcomes(new), make_outcomes(old))
    total = 0
    for first, second in swap(gather_prompts([paired.new, paired.old]), num=50):
        total += first.num
        sums = first.sums("a") + second.sums("a")
        # Columns of both runs together, and three items each, whatever was exchanged.
        assert (sums == [3, 3, 6]).all()
        assert len(np.unique(first.sums("a"), axis=0)) > 1
    assert total == 50


def test_swap_in_batches_is_swap_at_once(monkeypatch):
    new, old = make_part("a", [1, 0, 1, 1]), make_part("a", [0, 0, 1, 0])
    paired = pair_outcomes(make_outcomes(new), make_outcomes(old))
    at_once = [first.sums("a") for first, _ in swap(gather_prompts([paired.new, paired.old]), num=10)]
    monkeypatch.setattr("rmr1.bench.draws.MOST_WEIGHTS", 20)
    in_batches = [first.sums("a") for first, _ in swap(gather_prompts([paired.new, paired.old]), num=10)]
    assert len(at_once) == 1 and len(in_batches) > 1
    assert np.concatenate(in_batches).sum() == pytest.approx(at_once[0].sum(), rel=0.5)
    assert sum(map(len, in_batches)) == 10


def test_matrix_has_no_single_discordant_count():
    new = make_outcomes(make_part("a", [[1, 0, 0.5]] * 10))
    old = make_outcomes(make_part("a", [[0, 0, 0.5]] * 10))
    comparison = compare_outcomes(TOY, new, old)
    assert comparison.overall[0].better is None and comparison.overall[0].p < 0.01
    # All cells alike: an item is better where its sum is.
    assert (comparison.figures[0].better, comparison.figures[0].worse) == (10, 0)


def test_without_draws():
    comparison = compare_runs(PAIRS, run(["A", "A"]), run(["A", "B"]), num_resamples=0)
    assert comparison.overall[0].interval is None
    assert comparison.overall[0].p == 0.5


def test_table_and_json():
    comparison = compare_runs(PAIRS, run(["A"] * 12 + ["B"] * 8), run(["B"] * 12 + ["B"] * 8))
    rows = comparison_rows(comparison)
    assert all(len(row) == len(HEADER) for row in rows)
    assert rows[-1][:5] == ("pairs", "overall", "60.00", "0.00", "+60.00")
    assert rows[-1][6:] == ("<0.001", "12/0", "20")
    assert sum(max(len(row[index]) for row in (HEADER, *rows)) + 2 for index in range(len(HEADER))) <= 100
    described = comparison.describe()
    assert described["overall"][0]["p_of"] == "mcnemar mid-p"
    assert described["overall"][0]["mcnemar_exact_p"] == pytest.approx(2 / 4096)
    assert described["only_new"] == {"count": 0, "examples": ()}


def test_format_p():
    assert [format_p(p) for p in (0.0004, 0.001, 0.04567, 1)] == ["<0.001", "0.001", "0.046", "1.000"]


def gate(new, old=None, fail_under=None):
    comparison = None if old is None else compare_runs(PAIRS, new, old)
    return check_baseline(score_judgments(PAIRS, new), comparison, fail_under)


def test_gate_on_a_floor():
    judgments = run(["A"] * 8 + ["B"] * 2)
    assert gate(judgments, fail_under=80).is_passed
    found = gate(judgments, fail_under=80.01)
    assert not found.is_passed
    assert found.line == "pairs 80.00% is under 80.01%"


def test_gate_on_a_baseline():
    old = run(["A"] * 50)
    # Six lost and none won: mid-p 1/64. Five: 1/32. Four: 1/16.
    worse = gate(run(["B"] * 5 + ["A"] * 45), old)
    assert not worse.is_passed
    assert "pairs is worse than the baseline: 90.00% against 100.00%, -10.00 points (95% -" in worse.line
    assert "p 0.031, 50 items)" in worse.line
    chance = gate(run(["B"] * 4 + ["A"] * 46), old)
    assert chance.is_passed
    assert "not significantly worse than the baseline: 92.00% against 100.00%" in chance.line
    assert gate(old, run(["B"] * 50)).is_passed


def test_gate_on_both():
    old, new = run(["A"] * 50), run(["B"] * 5 + ["A"] * 45)
    found = gate(new, old, fail_under=95)
    assert not found.is_passed
    assert found.line.startswith("pairs 90.00% is under 95%; pairs is worse")
    assert not gate(new, old, fail_under=90).is_passed
    assert gate(old, old, fail_under=90).line.startswith("pairs 100.00% reaches 90%; pairs is not")


def test_gate_needs_an_overall_score():
    judgments = [judge(make_pair("Pairwise_set/Harmlessness/S1#0"), "A", orders=("given",))]
    found = check_baseline(score_judgments(RMB, judgments), None, 10)
    assert not found.is_passed
    assert found.line.startswith("rmb has no overall score to hold against 10% (partial: 1 of ")


def test_gate_does_not_pass_what_it_cannot_compare():
    parts = make_outcomes(make_part("a", [0, 0])), make_outcomes(make_part("a", [1, 1]))
    untested = compare_outcomes(TOY, *parts, num_resamples=0)
    found = check_baseline(score_judgments(PAIRS, run(["A"])), untested)
    assert not found.is_passed
    assert found.line.endswith("cannot be compared with the baseline: no resamples drawn")
    pair = judge(make_pair("Pairwise_set/Harmlessness/S1#0"), "A", orders=("given",))
    found = check_baseline(score_judgments(RMB, [pair]), compare_runs(RMB, [pair], [pair]))
    assert found.line.endswith("rmb cannot be compared with the baseline: nothing to count in what both hold")


@pytest.mark.parametrize("percent", [0.8, 1, -5, 101])
def test_gate_takes_percentages(percent):
    with pytest.raises(ConfigError, match="expected a percentage, as 80 for 80%"):
        gate(run(["A"]), fail_under=percent)


def simulate(shares, repeats, sizes, num_resamples, seed):
    """Rejections at 5% by (McNemar, swap test, interval) over repeats of comparing two judges, of whom
    `shares` of the items are right for the new one alone, the old one alone, both, none."""
    random = np.random.default_rng(seed)
    found = np.zeros((repeats, 3), dtype=bool)
    for repeat in range(repeats):
        kinds = [random.choice(4, size=size, p=shares) for size in sizes]
        new = make_outcomes(*(make_part(f"p{i}", (kind == 0) | (kind == 2)) for i, kind in enumerate(kinds)))
        old = make_outcomes(*(make_part(f"p{i}", (kind == 1) | (kind == 2)) for i, kind in enumerate(kinds)))
        comparison = compare_outcomes(TOY, new, old, num_resamples=num_resamples, seed=repeat)
        (figure,), (overall,) = comparison.figures, comparison.overall
        found[repeat, 0] = figure.p <= 0.05
        if num_resamples:
            found[repeat, 1] = overall.p <= 0.05
            found[repeat, 2] = not figure.interval[0] <= 0 <= figure.interval[1]
    return found.mean(axis=0)


def test_equal_judges_differ_in_at_most_6_5_percent_of_1000_repeats(soak):
    mcnemar, _, _ = simulate((0.1, 0.1, 0.6, 0.2), 1000, (200, 150), 0, seed=0)
    assert mcnemar <= 0.065
    # The bootstrap's own repeats are fewer by default; of 150 a true 5% gives 9% or more once in 40 times.
    found = simulate((0.1, 0.1, 0.6, 0.2), 1000 if soak else 150, (200, 150), 400, seed=0)
    assert (found <= (0.065 if soak else 0.09)).all()


def test_power_of_1000_repeats_is_the_computed_one():
    mcnemar, _, _ = simulate((0.12, 0.06, 0.6, 0.22), 1000, (350,), 0, seed=1)
    assert mcnemar == pytest.approx(mcnemar_power(0.12, 0.06, 350), abs=0.03)


def with_prompts(winners, prompts):
    return [
        judge(make_pair(str(number), prompt=f"prompt {prompt}"), winner, orders=("given",))
        for number, (winner, prompt) in enumerate(zip(winners, prompts, strict=True))
    ]


def test_pairs_of_one_prompt_are_compared_whole():
    """Six prompts of four pairs, all won: 1/32 in the mid-p form, not 1/2^24; the table says which test it is."""
    prompts = [number // 4 for number in range(24)]
    new, old = with_prompts("A" * 24, prompts), with_prompts("B" * 24, prompts)
    comparison = compare_runs(PAIRS, new, old)
    (overall,) = comparison.overall
    assert (overall.items, overall.prompts, overall.better) == (24, 6, 24)
    assert (overall.p, overall.test.exact_p) == pytest.approx((1 / 64, 1 / 32))
    assert overall.describe()["p_of"] == "mcnemar mid-p by prompt"
    remarks = comparison_remarks(comparison)
    assert "24 items of 6 prompts; intervals and tests take the items of a prompt together" in remarks
    assert any(line.startswith("p where items share prompts: McNemar's test by prompt") for line in remarks)
    scores = score_judgments(PAIRS, new)
    assert (scores.overall[0].prompts, scores.overall[0].total) == (6, 24)
    assert "24 items of 6 prompts; intervals take the items of a prompt together" in scores.notes


def test_a_baseline_must_share_nine_in_ten_items():
    judgments = run(["A"] * 100)
    assert gate(judgments, judgments[:90]).is_passed
    assert gate(judgments[10:], judgments).is_passed
    for new, old in ((judgments, judgments[:89]), (judgments[11:], judgments)):
        found = gate(new, old)
        assert not found.is_passed
        assert found.line == (
            "pairs cannot be compared with the baseline: they share 89 items, "
            f"{100 * 89 / len(new):.1f}% of this run's {len(new)} and {100 * 89 / len(old):.1f}% of the baseline's "
            f"{len(old)}; needed are 90% of both"
        )
    # Changed texts and labels are not shared either.
    changed = [replace(one, pair=replace(one.pair, label="B")) for one in judgments[:11]]
    found = gate([*changed, *judgments[11:]], judgments)
    assert not found.is_passed
    assert "they share 89 items, 89.0% of this run's 100 and 89.0% of the baseline's 100" in found.line


def test_a_baseline_of_one_set_is_none_of_two():
    from rmr1.bench.tasks.judgebench import JUDGEBENCH, OFFICIAL

    def asked(model):
        return [
            judge(make_pair(f"{model} {number}", subset="livebench-math", source=model), "A", "A")
            for number in range(20)
        ]

    first, second = map(asked, OFFICIAL)
    comparison = compare_runs(JUDGEBENCH, [*first, *second], first)
    found = check_baseline(score_judgments(JUDGEBENCH, [*first, *second]), comparison)
    assert not found.is_passed
    assert "claude-3-5-sonnet-20240620 cannot be compared with the baseline: they share 0 items" in found.line


def simulate_prompts(repeats, num_resamples, seed):
    """As `simulate`, of 60 prompts of 2 to 8 pairs; a judge has one chance of being right at all of a prompt's."""
    random = np.random.default_rng(seed)
    sizes = random.integers(2, 9, 60)
    prompts = np.repeat(np.arange(60), sizes)
    found, covered = np.zeros((repeats, 3), dtype=bool), 0
    for repeat in range(repeats):
        parts = []
        for _ in range(2):
            chances = random.beta(0.7, 0.3, 60)  # mean 0.7, correlation inside a prompt 0.5
            credits = random.random(len(prompts)) < chances[prompts]
            parts.append(
                make_outcomes(
                    *(make_part(f"p{i}", credits[i::2], clusters=prompts[i::2].copy()) for i in range(2))
                )
            )
        comparison = compare_outcomes(TOY, *parts, num_resamples=num_resamples, seed=repeat)
        (figure,), (overall,) = comparison.figures, comparison.overall
        found[repeat] = figure.p <= 0.05, overall.p <= 0.05, not figure.interval[0] <= 0 <= figure.interval[1]
        low, high = score_outcomes(TOY, parts[0], num_resamples=0).figures[0].interval
        covered += low <= 0.7 <= high
    return found.mean(axis=0), covered / repeats


def test_equal_judges_differ_no_more_often_where_pairs_share_prompts(soak):
    """Pair by pair McNemar's test would reject in some 35% of the repeats."""
    repeats = 1000 if soak else 150
    rates, coverage = simulate_prompts(repeats, 300, seed=3)
    assert (rates <= (0.07 if soak else 0.095)).all()
    assert coverage == pytest.approx(0.95, abs=0.02 if soak else 0.045)
