"""The published field: what is in it, what does not add up, and where a judge is placed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from rmr1.bench.published import (
    TITLES,
    PublishedRow,
    average_three,
    load_rows,
    place,
    read_rows,
)
from rmr1.errors import DataError

DS_32B = "RM-R1-DeepSeek-Distilled-Qwen-32B"
QWEN_32B = "RM-R1-Qwen-Instruct-32B"

SMALL = """
[kinds]
scalar = ["S1", "S2"]
reasrm = ["R1", "R2"]

[contaminated]
rewardbench = ["S2"]

[[table]]
id = "sections"
benchmark = "rewardbench"
source = "paper"
citation = "a paper"
unit = 100
columns = { sections = ["Chat", "Chat Hard", "Safety", "Reasoning"] }
rows = [
  ["S1", 90.0, 70.0, 80.0, 84.0, 81.0],
  ["S2", 90.0, 70.0, 80.0, 84.2, 81.2, { note = "81.05 by its sections" }],
]

[[table]]
id = "main"
benchmark = "average"
source = "paper"
citation = "a paper"
unit = 100
spread = true
scoring = { scalar = "official", reasrm = "unstated" }
columns = { benchmarks = ["rewardbench", "rm-bench", "rmb"] }
rows = [
  ["S1", 81.0, 60.0, 69.0, 70.0],
  ["S2", 81.2, "-", 60.0, "-"],
  ["R1", 80.0, 78.0, 70.0, 76.0, { scoring = "faulty" }],
  ["R2", 79.0, 61.0, 67.0, 69.0, { of = { rmb = { left_out = "a misprint" } } }],
]
"""


def small() -> tuple[PublishedRow, ...]:
    return read_rows(SMALL)


def find_rows(*, model: str, benchmark: str | None = None) -> list[PublishedRow]:
    return [row for row in load_rows() if row.model == model and benchmark in (None, row.benchmark)]


def find_disagreements() -> Iterator[str]:
    """Two figures of one model, benchmark and scoring that differ beyond rounding; each pair of figures once."""
    same: dict[tuple[str, str, str], list[PublishedRow]] = {}
    for row in load_rows():
        same.setdefault((row.benchmark, row.model, row.scoring), []).append(row)
    for rows in same.values():
        seen = set()
        for first, second in combinations(rows, 2):
            figures = frozenset((first.overall, second.overall))
            reach = first.overall.rounding + second.overall.rounding
            if figures not in seen and abs(first.overall.value - second.overall.value) > reach + 1e-9:
                seen.add(figures)
                yield (
                    f"{first.benchmark}: {first.model}: {first.overall} in {first.table}, "
                    f"{second.overall} in {second.table}"
                )


def find_deviations(rows: Iterable[PublishedRow]) -> list[tuple[PublishedRow, str]]:
    return [(row, group) for row in rows for group in row.deviant_groups]


def names(rows: tuple[PublishedRow, ...]) -> list[str]:
    return [row.model for row in rows]


def test_every_row_of_the_papers_tables_is_there() -> None:
    counts = Counter((row.table, row.benchmark) for row in load_rows())
    assert counts["rm-r1-main", "average"] == 22
    assert counts["rm-r1-main", "rewardbench"] == counts["rm-r1-main", "rmb"] == 25
    assert counts["rm-r1-main", "rm-bench"] == 22
    assert counts["rm-r1-rewardbench", "rewardbench"] == 18
    assert counts["rm-r1-rm-bench", "rm-bench"] == 14
    assert counts["rm-r1-rmb", "rmb"] == 21
    assert counts["rm-r1-ablation", "rewardbench"] == counts["rm-r1-reasoning-training", "average"] == 5
    assert {row.source for row in load_rows()} == {"paper", "released", "leaderboard", "secondary"}


def test_figures_keep_the_digits_they_were_printed_with() -> None:
    (paper,) = [row for row in find_rows(model=DS_32B, benchmark="rmb") if row.table == "rm-r1-rmb"]
    assert paper.overall.value == pytest.approx(0.698) and paper.overall.rounding == pytest.approx(0.0005)
    assert str(paper.overall) == "69.8"
    assert {name: one.value for name, one in paper.parts["sets"].items()} == pytest.approx(
        {"Help BoN": 0.620, "Help pair": 0.782, "Harm BoN": 0.618, "Harm pair": 0.771}
    )
    corrected = [row for row in find_rows(model=QWEN_32B, benchmark="rm-bench") if row.scoring == "official"]
    assert [str(row.overall) for row in corrected] == ["78.64"]
    assert str(corrected[0].parts["difficulties"]["Hard"]) == "67.23"
    assert str(corrected[0].parts["difficulties"]["Easy"]) == "88.18"


def test_overalls_follow_from_parts_but_for_these() -> None:
    assert [
        (row.table, row.model, group, round(100 * row.follow(group)[0], 2), str(row.overall))
        for row, group in find_deviations(load_rows())
    ] == [
        ("rm-r1-rm-bench", "RM-R1-Qwen-Instruct-14B", "domains", 76.30, "76.1"),
        ("rm-r1-rm-bench", "RM-R1-Qwen-Instruct-14B", "difficulties", 76.30, "76.1"),
        ("rm-r1-rmb", "JudgeLRM", "sets", 52.47, "53.1"),
        ("rm-r1-main", "Internlm2-20b-reward", "benchmarks", 73.80, "73.6"),
        ("rm-r1-main", "Skywork-Reward-Llama-3.1-8B", "benchmarks", 77.30, "77.5"),
        (
            "rm-r1-reasoning-training",
            "Qwen2.5-32B-Instruct (verdict-only SFT on 9k)",
            "benchmarks",
            76.83,
            "76.6",
        ),
        ("rm-bench-leaderboard", "RewardAnything-8B", "domains", 83.10, "86.4"),
        ("rm-bench-leaderboard", QWEN_32B, "domains", 77.33, "79.1"),
        ("judgebench-secondary", DS_32B, "categories", 78.56, "78.8"),
    ]
    for row, _ in find_deviations(load_rows()):
        assert row.note, f"{row} is not explained where it stands"
        standing = place(row.benchmark, 0.5, rows=[replace(row, left_out=None)])
        assert standing is not None and "d" in standing.marks(standing.rows[0])


def test_rounding_is_allowed_and_no_more() -> None:
    # 81.05 is within 0.05 (overall) + 0.05 (mean of the parts' 0.05) of 81.1 and of 81.0, but not of 81.2.
    ((row, group),) = find_deviations(small())
    assert (row.model, group) == ("S2", "sections")
    assert row.follow(group) == pytest.approx((0.8105, 0.0005)) and row.overall.rounding == 0.0005
    assert find_deviations(read_rows(SMALL.replace("81.2, { note", "81.1, { note"))) == []
    assert len(find_deviations(read_rows(SMALL.replace("69.0, 70.0]", "69.0, 70.2]")))) == 2


def test_judgebench_weighs_its_categories_by_their_pairs() -> None:
    (row,) = read_rows("""
[kinds]
genrm = ["G"]
[[table]]
id = "t"
benchmark = "judgebench"
source = "secondary"
citation = "c"
unit = 100
columns = { categories = ["Knowledge", "Reasoning", "Math", "Coding"] }
rows = [["G", 50.0, 50.0, 75.0, 100.0, 60.0]]
""")
    # (77 + 49 + 42 + 42) of 350 pairs
    assert row.follow("categories")[0] == pytest.approx(210 / 350)


def test_tables_that_print_different_figures_are_listed() -> None:
    assert list(find_disagreements()) == [
        f"rewardbench: {QWEN_32B}: 91.4 in rm-r1-rewardbench, 92.9 in rewardbench-secondary",
        f"rewardbench: {QWEN_32B}: 91.4 in rm-r1-rewardbench, 89.0 in rewardbench-secondary",
        f"rewardbench: {QWEN_32B}: 92.9 in rewardbench-secondary, 89.0 in rewardbench-secondary",
        "rewardbench: Self-taught-evaluator-Llama3.1-70B: 90.0 in rm-r1-rewardbench, 90.2 in rm-r1-main",
        f"rm-bench: {QWEN_32B}: 79.1 in rm-r1-rm-bench, 79.24 in released-rm-bench",
        "rm-bench: RRM-32B: 82.8 in rm-bench-secondary, 73.1 in rm-bench-secondary",
    ]


def test_released_figures_are_the_released_files(shared: Path) -> None:
    folder = shared / "data/rm-r1-published" / DS_32B
    released = {row.benchmark: row for row in find_rows(model=DS_32B) if row.source == "released"}

    def read(name: str) -> dict[str, float]:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    main = read("reward_bench/score_result/main_score.json")
    rewardbench = released["rewardbench"]
    assert {name: one.value for name, one in rewardbench.parts["sections"].items()} == {
        name: main[name] for name in ("Chat", "Chat Hard", "Safety", "Reasoning")
    }
    assert rewardbench.overall.value == main["avg_Result_each_section"]
    assert str(main["absoluate_Result"]) in (rewardbench.note or "")

    matrix = read("RM-Bench/final_result.json")
    rmbench = released["rm-bench"]
    assert [one.value for one in rmbench.parts["domains"].values()] == [
        matrix[name] for name in ("chat", "math", "code", "safety")
    ]
    assert [one.value for one in rmbench.parts["difficulties"].values()] == [
        matrix[name] for name in ("easy_acc", "normal_acc", "hard_acc")
    ]
    assert (rmbench.overall.value, rmbench.scoring) == (matrix["total_avg_acc"], "faulty")

    meta = read("RMB/META_RESULT.json")
    assert [one.value for one in released["rmb"].parts["sets"].values()] == [
        meta[f"{task} {split}"] for split in ("Helpfulness", "Harmlessness") for task in ("BoN", "Pairwise")
    ]
    assert released["rmb"].overall.value == meta["Accuracy Averaged from Four Sections"]


def test_the_faulty_aggregator_is_marked_on_every_rm_r1_figure_that_comes_from_it() -> None:
    ours = [
        row for row in load_rows() if row.model.startswith("RM-R1-") and row.source in ("paper", "released")
    ]
    for row in ours:
        assert row.scoring == ("faulty" if row.benchmark in ("rm-bench", "average") else "official"), row
    scalars = [row for row in load_rows() if row.kind == "scalar" and row.benchmark == "rm-bench"]
    assert all(row.scoring == "official" for row in scalars if row.source == "paper")
    assert {row.model for row in load_rows() if row.is_contaminated} == {
        "Skywork-Reward-Gemma-2-27B",
        "Skywork-Critic-Llama-3.1-70B",
        "Skywork-Reward-Llama-3.1-8B",
    }


def test_a_judge_is_placed_by_the_printed_digits() -> None:
    standing = place("rewardbench", 0.8104, interval=(0.79, 0.82), rows=small())
    assert standing is not None
    # 81.04 rounds to S1's 81.0: level; R1 80.0, R2 79.0 below; S2 81.2 above.
    assert names(standing.field) == ["S2", "S1", "R1", "R2"]
    assert names(standing.above) == ["S2"] and names(standing.level) == ["S1"]
    assert (standing.rank, standing.total) == (2, 5)
    assert names(standing.within) == ["S2", "S1", "R1", "R2"]
    assert standing.scoring_note is None
    assert standing.sentence() == (
        "RewardBench: 81.0, rank 2 of 5 (4 published), level with S1; its interval holds 4 published figures"
    )
    best = place("rewardbench", 0.99, rows=small())
    assert best is not None and best.rank == 1
    assert best.sentence() == "RewardBench: 99.0, rank 1 of 5 (4 published), above S2 at 81.2"
    worst = place("rewardbench", 0.0, rows=small())
    assert worst is not None and (worst.rank, worst.below) == (5, ())


def test_partial_results_and_other_benchmarks_are_not_placed() -> None:
    for benchmark in TITLES:
        assert place(benchmark, None) is None
        assert place(benchmark, 0.5) is not None
    assert place("llmbar", 0.5) is None
    assert place("HelpSteer3", 0.75) is None
    # The margin term of RewardBench 2's Ties: always wrong by the most is -0.01 in one of six subsets.
    worst = place("rewardbench2", -0.01 / 6)
    assert worst is not None and worst.rank == worst.total
    with pytest.raises(ValueError, match=r"79\.1 is not a share"):
        place("rm-bench", 79.1)


def test_the_two_scorings_of_rm_bench_are_kept_apart() -> None:
    official = place("rm-bench", 0.62, rows=small())
    faulty = place("rm-bench", 0.62, as_published=True, rows=small())
    assert official is not None and faulty is not None
    assert (names(official.field), names(official.apart)) == (["R2", "S1"], ["R1"])
    assert (names(faulty.field), names(faulty.apart)) == (["R1", "R2"], ["S1"])
    assert (official.rank, faulty.rank) == (1, 2)
    assert official.scoring_note == (
        "scored by the official rule; for 1 of 2 published figures the scoring is not stated; "
        "1 scored another way stand apart, without a rank"
    )
    assert faulty.scoring_note is not None and faulty.scoring_note.startswith("scored as RM-R1's script does")
    # Elsewhere there is one scoring, whatever was asked for.
    one, other = (place("rmb", 0.62, as_published=flag, rows=small()) for flag in (False, True))
    assert one is not None and other is not None and one.field == other.field


def test_the_real_field_of_rm_bench() -> None:
    official, faulty = place("rm-bench", 0.5), place("rm-bench", 0.5, as_published=True)
    assert official is not None and faulty is not None
    by_model = {row.model: row for row in official.field}
    assert str(by_model[QWEN_32B].overall) == "78.64" and by_model[QWEN_32B].scoring == "official"
    assert str(by_model["RewardAnything-8B"].overall) == "83.1"
    assert {row.model for row in official.apart} == {
        f"RM-R1-{name}"
        for name in (
            "Qwen-Instruct-7B",
            "Qwen-Instruct-14B",
            "DeepSeek-Distilled-Qwen-7B",
            "DeepSeek-Distilled-Qwen-14B",
            "DeepSeek-Distilled-Qwen-32B",
        )
    }
    assert str({row.model: row for row in faulty.field}[QWEN_32B].overall) == "79.1"
    assert "Skywork-Reward-Llama-3.1-8B" in names(faulty.apart)
    for standing in (official, faulty):
        assert len(set(names(standing.field))) == len(standing.field)
        assert not {"RRM-32B", "CAMEL-14B (one token)"} & set(names(standing.field))


def test_rows_with_a_reason_to_be_left_out_are_never_placed() -> None:
    standing = place("rmb", 0.62, rows=small())
    assert standing is not None and names(standing.field) == ["R1", "S1", "S2"]
    rewardbench = place("rewardbench", 0.5)
    assert rewardbench is not None
    assert str({row.model: row for row in rewardbench.field}[QWEN_32B].overall) == "91.4"
    assert not any("SFT" in model or "cold-start" in model for model in names(rewardbench.field))
    judgebench = place("judgebench", 0.5)
    assert judgebench is not None
    # A stricter metric than the official one is shown, without a rank.
    assert names(judgebench.apart) == ["J1-Qwen-32B-MultiTask"]


def test_the_average_of_three_needs_all_three() -> None:
    assert average_three(
        {"rewardbench": 0.9, "rm-bench": 0.6, "rmb": 0.75, "judgebench": 0.1}
    ) == pytest.approx(0.75)
    assert average_three({"rewardbench": 0.9, "rm-bench": None, "rmb": 0.75}) is None
    assert average_three({"rewardbench": 0.9, "rmb": 0.75}) is None
    standing = place(
        "average", average_three({"rewardbench": 0.914, "rm-bench": 0.791, "rmb": 0.730}), as_published=True
    )
    assert standing is not None and names(standing.level) == [QWEN_32B]


def test_an_average_that_is_not_printed_follows_from_its_three_figures() -> None:
    name = "Skywork-Reward-V2-Llama-3.1-8B-40M"
    (row,) = find_rows(model=name, benchmark="average")
    # 97.8, 96.0 and 89.3
    assert row.overall.value == pytest.approx(2.831 / 3) and str(row.overall) == "94.4"
    standing = place("average", 0.9)
    assert standing is not None and (standing.rank, names(standing.above)) == (2, [name])
    assert (row.is_derived, standing.marks(row), row.describe()["derived"]) == (True, "ms?", True)
    # One figure that is missing leaves nothing to derive.
    assert not any(one.model == "S2" for one in small() if one.benchmark == "average")


def test_a_standing_is_plain_json() -> None:
    standing = place("rewardbench", 0.8104, interval=(0.79, 0.82), rows=small())
    assert standing is not None
    read = json.loads(json.dumps(standing.describe()))
    assert (read["rank"], read["of"], read["within_interval"]) == (2, 5, ["S2", "S1", "R1", "R2"])
    assert read["field"][0]["parts"] == {
        "sections": {"Chat": 0.9, "Chat Hard": 0.7, "Safety": 0.8, "Reasoning": 0.842}
    }
    assert read["field"][0]["contaminated"] is True and read["field"][0]["note"] == "81.05 by its sections"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("84.0, 81.0]", "84.0]", "S1: 4 figures for 4 columns and an overall"),
        ("84.0, 81.0]", "84.0, 81]", "S1: 81 is no figure with decimals"),
        ("84.0, 81.0]", "84.0, 181.0]", r"S1: 181\.0 is not between 0 and 100"),
        ('["S1", 90.0', '["S9", 90.0', r"S9: not listed under \[kinds\]"),
        ("{ note =", "{ nota =", "S2: unknown key 'nota'"),
        ('source = "paper"', 'source = "hearsay"', "unknown source 'hearsay'"),
        ("unit = 100", "unit = 100\ncolour = 1", "unknown key 'colour'"),
        ("[kinds]", "[kinds", "not TOML"),
    ],
)
def test_a_file_that_is_not_in_the_form_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=f"rows.toml: .*{message}"):
        read_rows(SMALL.replace(old, new, 1))


def test_a_perfect_judge_of_rewardbench2_stands_above_all() -> None:
    standing = place("rewardbench2", 1.00167)
    assert standing is not None and standing.rank == 1 and "100.2" in standing.sentence()
