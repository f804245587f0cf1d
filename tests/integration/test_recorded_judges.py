"""Real judges' recorded outputs, read again: how far the texts bear out the records, and the scores.

The figures are pinned; the scores are also counted here a second time, straight from the recorded
decisions, without those that the texts do not bear out.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest
from benchmarks.llmbar import read_llmbar_outputs, read_llmbar_pairs

from rmr1.bench.base import score_judgments
from rmr1.bench.recorded import UNEXPLAINED, compare_recorded, read_recorded
from rmr1.bench.run import score_finished
from rmr1.bench.tasks.judgebench import JUDGEBENCH as JUDGEBENCH_BENCHMARK
from rmr1.bench.tasks.rmb import RMB
from rmr1.bench.tasks.rmb_sizes import SIZES

pytestmark = pytest.mark.shared

# file -> decisions, of them as recorded, correct pairs (Knowledge, Reasoning, Math, Coding)
JUDGEBENCH = {
    "ScalerLab__claude-3-5-sonnet-20240620__arena_hard__claude-3-haiku-20240307": (540, 540, (58, 15, 11, 3)),
    "ScalerLab__gpt-4o-2024-05-13__reward_model__Ray2333_GRM-Gemma-2B-rewardmodel-ft": (
        700,
        700,
        (97, 52, 36, 23),
    ),
    "ScalerLab__gpt-4o-2024-05-13__reward_model__Skywork_Skywork-Reward-Gemma-2-27B": (
        700,
        694,
        (92, 65, 47, 21),
    ),
    "ScalerLab__gpt-4o-2024-05-13__reward_model__internlm_internlm2-7b-reward": (700, 700, (87, 60, 40, 21)),
    "devcomfort-research__claude-3-5-sonnet-20240620__arena_hard__openrouter_inception_mercury": (
        540,
        540,
        (90, 36, 25, 21),
    ),
    "devcomfort-research__claude-3-5-sonnet-20240620__arena_hard__openrouter_minimax_minimax-m2.1": (
        540,
        534,
        (108, 26, 21, 12),
    ),
    "gozcam__pilot10-gpt-4o-2024-05-13__arena_hard__gpt-4.1-mini": (20, 20, (5, 1, 0, 1)),
    "gozcam__pilot10-gpt-4o-2024-05-13__arena_hard__meta-llama_Meta-Llama-3.1-8B-Instruct": (
        20,
        20,
        (4, 0, 0, 2),
    ),
    "gozcam__pilot10-gpt-4o-2024-05-13__skywork_critic__Skywork_Skywork-Critic-Llama-3.1-8B": (
        20,
        20,
        (4, 0, 0, 1),
    ),
    "stellalisy__gpt-4o-2024-05-13__no_rubric__Qwen-Qwen3-1.7B": (700, 667, (54, 37, 28, 22)),
    "stellalisy__gpt-4o-2024-05-13__rubric-by-Qwen-Qwen3-8B__Qwen-Qwen3-1.7B": (700, 666, (37, 20, 9, 5)),
    "stellalisy__gpt-4o-2024-05-13__rubric-by-Qwen3-8B__Qwen-Qwen3-8B": (700, 654, (71, 31, 28, 24)),
}

EQUAL_SCORES = "equal scores are a tie; the record gives them to the answer shown last"
ONE_SIDE_TWICE = "the text names one side twice, which is no verdict; the record keeps its letters"
NO_SCORE = "no score in one of the two texts; the record takes a missing score for the lowest"

DISAGREEMENTS = {
    "ScalerLab__gpt-4o-2024-05-13__reward_model__Skywork_Skywork-Reward-Gemma-2-27B": (
        EQUAL_SCORES,
        {
            (pair_id, order)
            for pair_id in ("30756abc", "3ca30a63", "857131ea")
            for order in ("given", "swapped")
        },
    ),
    "devcomfort-research__claude-3-5-sonnet-20240620__arena_hard__openrouter_minimax_minimax-m2.1": (
        ONE_SIDE_TWICE,
        {
            ("575b2175", "swapped"),
            ("c186e988", "swapped"),
            ("7cada2fd", "swapped"),
            ("f1891276", "given"),
            ("e28c2dde", "swapped"),
            ("fbc46398", "given"),
        },
    ),
}


def read_lines(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def count_correct(rows, without):
    """Correct pairs per category by the recorded decisions, those in `without` taken as none."""
    names = {"livebench-reasoning": 1, "livebench-math": 2, "livecodebench": 3}
    flip = {"A>B": "B>A", "B>A": "A>B"}
    counts = [0, 0, 0, 0]
    for row in rows:
        total = 0
        for order, entry in zip(("given", "swapped"), row["judgments"], strict=False):
            if (row["pair_id"], order) in without:
                continue
            decision = entry["decision"]
            if order == "swapped":
                decision = flip.get(decision, decision)
            total += (decision == row["label"]) - (decision == flip[row["label"]])
        counts[names.get(row["source"], 0)] += total > 0
    return tuple(counts)


def test_every_file_is_pinned(shared):
    files = (shared / "data" / "judge-outputs" / "judgebench").glob("*.jsonl.gz")
    assert sorted(path.name.removesuffix(".jsonl.gz") for path in files) == sorted(JUDGEBENCH)


@pytest.mark.parametrize("name", JUDGEBENCH)
def test_judges_of_judgebench(shared, name):
    path = shared / "data" / "judge-outputs" / "judgebench" / f"{name}.jsonl.gz"
    decisions, agree, correct = JUDGEBENCH[name]
    items = list(read_recorded(path))
    agreement = compare_recorded(items)
    assert (agreement.decisions, agreement.agree) == (decisions, agree)
    disagreements = {(one.pair_id, one.order) for one in agreement.disagreements}
    assert len(disagreements) == decisions - agree
    rows = read_lines(path)
    if name in DISAGREEMENTS:
        cause, expected = DISAGREEMENTS[name]
        assert {one.cause for one in agreement.disagreements} == {cause}
        assert {(pair_id[:8], order) for pair_id, order in disagreements} == expected
    elif disagreements:
        # All of them are judgments with exactly one text without a score: empty, but for one cut off.
        assert {one.cause for one in agreement.disagreements} == {NO_SCORE}
        assert disagreements == {
            (row["pair_id"], order)
            for row in rows
            for order, entry in zip(("given", "swapped"), row["judgments"], strict=True)
            if ('"score":' in entry["judgment"]["raw_judge_A"])
            != ('"score":' in entry["judgment"]["raw_judge_B"])
        }
    scores = score_judgments(JUDGEBENCH_BENCHMARK, (item.judgment for item in items))
    by_name = {figure.name: figure for figure in scores.figures}
    found = tuple(by_name[category].correct for category in ("Knowledge", "Reasoning", "Math", "Coding"))
    assert found == correct
    assert found == count_correct(rows, disagreements)
    (whole,) = scores.overall
    if "pilot10" in name:
        assert (whole.value, whole.status) == (None, "partial: 10 of 350")
    else:
        assert whole.status == "complete"
        assert whole.value == pytest.approx(sum(correct) / len(rows))


def test_rm_r1s_own_judgments_of_rmb(shared):
    folder = shared / "data" / "rm-r1-published" / "RM-R1-DeepSeek-Distilled-Qwen-32B" / "RMB"
    items = list(read_recorded(folder))
    agreement = compare_recorded(items)
    assert (agreement.decisions, agreement.agree) == (8, 8)
    # Their `results`: both comparisons of each list won, one of two pairs right in each split.
    assert [(item.judgment.pair.subset, item.judgment.correct) for item in items] == [
        ("BoN_set/Harmlessness/S9", True),
        ("BoN_set/Harmlessness/S9", True),
        ("BoN_set/Helpfulness/Reasoning/Human Decision Making", True),
        ("BoN_set/Helpfulness/Reasoning/Human Decision Making", True),
        ("Pairwise_set/Harmlessness/S10", False),
        ("Pairwise_set/Harmlessness/S10", True),
        ("Pairwise_set/Helpfulness/Summarization/Standard Summaries", True),
        ("Pairwise_set/Helpfulness/Summarization/Standard Summaries", False),
    ]
    for rule in ("tail", "tagged", "published"):
        reread = score_judgments(RMB, (item.judgment for item in read_recorded(folder, rule)))
        assert [(one.correct, one.total) for one in reread.figures] == [
            (1, 2),
            (1, 2),
            (1, 1),
            (1, 1),
            (2, 2),
            (2, 2),
        ]
    # Each of these pairs stands in the data as it was logged.
    assert score_finished(RMB, folder, data=shared / "data" / "rmb").judgments == 8


def test_official_sizes_bear_out_the_published_scores(shared):
    """Every published category accuracy is a whole number of right answers in a category of our size,
    and these numbers add up to the published accuracy of the split."""
    folder = shared / "data" / "rm-r1-published" / "RM-R1-DeepSeek-Distilled-Qwen-32B" / "RMB"
    values = {}
    for split in ("Helpfulness", "Harmlessness"):
        for kind, index in (("Pairwise", 0), ("BoN", 1)):
            whole, categories = json.loads(
                (folder / f"{kind}_set_{split}/score_result/Final_score.json").read_text()
            )
            right = {}
            for name, value in categories.items():
                size = SIZES[name.partition("/")[2]][index]
                right[name] = round(value * size)
                assert right[name] / size == value
            total = sum(sizes[index] for name, sizes in SIZES.items() if name.startswith(split))
            assert len(right) == sum(name.startswith(split) for name in SIZES)
            published = whole["Overall_accuracy" if kind == "Pairwise" else "BoN Final Accuracy"]
            assert sum(right.values()) / total == published
            values[f"{kind} {split}"] = published
    meta = json.loads((folder / "META_RESULT.json").read_text())
    average = meta.pop("Accuracy Averaged from Four Sections")
    assert meta == values
    assert sum(values.values()) / 4 == pytest.approx(average, abs=1e-12)


# (judge, method) -> disagreements with the record; every other method has none
LLMBAR = {
    ("GPT-4", "Rating"): {"equal": 134, "no number": 4},
    ("GPT-4", "Rating_Metrics"): {"equal": 96},
    ("GPT-4", "Rating_Metrics_Reference"): {"equal": 86},
    ("GPT-4", "Rating_NoRules"): {"equal": 176, "no number": 4},
    ("GPT-4", "Rating_Reference"): {"equal": 118, "no number": 2},
    ("GPT-4", "Swap_CoT"): {"both": 1},
    ("LLaMA2", "Swap_CoT"): {"both": 11},
    ("LLaMA2", "Vanilla_1shot"): {"own line": 28},
    ("LLaMA2", "Vanilla_2shot"): {"own line": 42},
    ("Falcon", "CoT"): {"both": 6},
    ("Falcon", "Metrics"): {"both": 2},
    ("Falcon", "Swap"): {"both": 6},
    ("Falcon", "Swap_CoT"): {"both": 17},
}
CAUSES = {
    "equal scores": "equal",
    "no number for": "no number",
    "the text calls both": "both",
    "a line of its own": "own line",
}


@pytest.mark.parametrize(
    ("judge", "decisions"),
    [("GPT-4", 15 * 838 + 94 + 86), ("LLaMA2", 10 * 838 + 2 * 342), ("Falcon", 10 * 838 + 2 * 726)],
)
def test_judges_of_llmbar(shared, judge, decisions):
    pairs = read_llmbar_pairs(shared / "data" / "llmbar")
    path = shared / "data" / "judge-outputs" / "llmbar" / f"{judge}.jsonl.gz"
    found = [(method, item) for method, _, item in read_llmbar_outputs(path, pairs)]
    agreement = compare_recorded(item for _, item in found)
    assert agreement.decisions == decisions
    assert all(one.cause != UNEXPLAINED for one in agreement.disagreements)
    counted: dict[tuple[str, str], Counter[str]] = {}
    for method, item in found:
        for one in compare_recorded([item]).disagreements:
            cause = next(short for start, short in CAUSES.items() if one.cause.startswith(start))
            counted.setdefault((judge, method), Counter())[cause] += 1
    assert counted == {key: value for key, value in LLMBAR.items() if key[0] == judge}
    exact = compare_recorded(item for _, _, item in read_llmbar_outputs(path, pairs, as_published=True))
    assert (exact.agree, exact.disagreements) == (decisions, ())
