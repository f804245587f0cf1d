"""Every real preference file: how many pairs, which labels, which rows cannot be read and why."""

from __future__ import annotations

from collections import Counter

import pytest

from rmr1.data import read_candidates, read_pairs
from rmr1.errors import DataError

pytestmark = pytest.mark.shared

EMPTY = " is empty"

EXPECTED = {
    "gsm8k/example_model_solutions": ({"A": 2429}, 0),
    "judgebench/claude-3-5-sonnet-20240620": ({"A": 143, "B": 126, "tie": 1}, 0),
    "judgebench/gpt-4o-2024-05-13": ({"A": 193, "B": 157}, 0),
    "llmbar/casestudy_base_10": ({"A": 29, "B": 25}, 0),
    "llmbar/casestudy_base_9": ({"A": 25, "B": 29}, 0),
    "llmbar/casestudy_constraint": ({"A": 43, "B": 46}, 0),
    "llmbar/casestudy_negation": ({"A": 26, "B": 33}, 0),
    "llmbar/casestudy_normal": ({"A": 33, "B": 26}, 0),
    "llmbar/llmbar_adversarial_gptinst": ({"A": 45, "B": 47}, 0),
    "llmbar/llmbar_adversarial_gptout": ({"A": 22, "B": 25}, 0),
    "llmbar/llmbar_adversarial_manual": ({"A": 22, "B": 24}, 0),
    "llmbar/llmbar_adversarial_neighbor": ({"A": 75, "B": 59}, 0),
    "llmbar/llmbar_natural": ({"A": 42, "B": 58}, 0),
    "llmbar/processed_faireval": ({"A": 41, "B": 25}, 0),
    "llmbar/processed_llmeval2": ({"A": 90, "B": 108, "tie": 1}, 1),
    "llmbar/processed_mt-bench": ({"A": 101, "B": 99}, 0),
    "pandalm/testset-v1": ({"A": 398, "B": 444, "tie": 103}, 54),
    "preference-train/alpaca_eval_gpt4_pairs": ({"A": 3073, "B": 11335, "tie": 63, None: 15}, 4),
    "preference-train/autoj_pairwise_test": ({"A": 519, "B": 498, "tie": 374}, 1),
    "preference-train/dpo_en_demo": ({"A": 300}, 0),
    "preference-train/hh_harmless_base_test": ({"A": 2308}, 4),
    "preference-train/hh_helpful_test": ({"A": 2348}, 4),
    "preference-train/ifbench_pairs": ({"A": 444}, 0),
    "preference-train/mtbench_human_300": ({"A": 152, "B": 148}, 0),
    "preference-train/tldr_2k": ({"A": 985, "B": 1015}, 0),
    "preference-train/webgpt_test": ({"A": 348, "B": 308, "tie": 245}, 0),
    "preference-train/zh_customer_service_test": ({"A": 195, "B": 205}, 0),
    "preference-train/zh_customer_service_train": ({"A": 1447, "B": 1553}, 0),
    "rewardbench/rewardbench_filtered_partial": ({"A": 2448}, 0),
    "rm-bench/chat_filtered": ({"A": 9 * 129}, 0),
    "rm-bench/safety-refuse_filtered": ({"A": 9 * 284}, 0),
    "rm-bench/safety-response_filtered": ({"A": 9 * 157}, 0),
    "rmb/bon_set_harmlessness": ({"A": 3814, "tie": 5}, 0),
    "rmb/bon_set_helpfulness": ({"A": 4893, "tie": 2}, 0),
    "rmb/pairwise_set_harmlessness": ({"A": 6078, "tie": 7}, 2),
    "rmb/pairwise_set_helpfulness": ({"A": 8452, "tie": 4}, 0),
}
"""File: (pairs by label, rows that cannot be read). Every such row has an empty answer. Where a file knows no ties,
those here are pairs whose answers are the same."""

NO_PAIRS = (
    "gsm8k/test",
    "gsm8k/train",
    "pandalm/gpt-3.5-turbo-testset-v1",
    "pandalm/pandalm-7b-testset-v1",
    "rewardbench/truncated_judge_texts",
)


def test_no_file_is_left_out(shared):
    folders = {name.split("/")[0] for name in EXPECTED}
    found = {
        str(path.relative_to(shared / "data"))[: -len(".jsonl.gz")]
        for folder in folders
        for path in (shared / "data" / folder).glob("*.jsonl.gz")
    }
    assert found == {*EXPECTED, *NO_PAIRS}


@pytest.mark.parametrize("name", EXPECTED)
def test_pairs_and_labels(shared, name):
    errors: list[DataError] = []
    path = shared / "data" / f"{name}.jsonl.gz"
    labels: Counter = Counter()
    ids = set()
    for pair in read_pairs(path, on_error="skip", errors=errors):
        labels[pair.label] += 1
        ids.add(pair.id)
        assert pair.prompt and pair.response_a and pair.response_b
        assert pair.prompt[-1].role == "user"
        assert pair.response_a[0].role == pair.response_b[0].role == "assistant"
    expected, num_errors = EXPECTED[name]
    assert labels == expected
    assert len(ids) == labels.total()
    assert len(errors) == num_errors
    assert all(error.message.endswith(EMPTY) and error.line for error in errors)


@pytest.mark.parametrize("name", NO_PAIRS)
def test_files_without_pairs_are_one_error(shared, name):
    path = shared / "data" / f"{name}.jsonl.gz"
    with pytest.raises(DataError, match=":1: no known form has the columns "):
        list(read_pairs(path, on_error="skip"))


@pytest.mark.parametrize(
    ("name", "num_lists", "sizes"),
    [
        ("bon_set_harmlessness", 1677, {3: 1304, 4: 297, 5: 62, 6: 12, 7: 2}),
        ("bon_set_helpfulness", 2109, {3: 1574, 4: 415, 5: 103, 6: 12, 7: 5}),
    ],
)
def test_best_of_n_lists(shared, name, num_lists, sizes):
    found = list(read_candidates(shared / "data" / "rmb" / f"{name}.jsonl.gz"))
    assert len(found) == num_lists
    assert Counter(len(one.responses) for one in found) == sizes
    assert {one.best for one in found} == {0}


def test_rm_bench_takes_its_domain_from_the_files(shared):
    subsets = Counter(pair.subset for pair in read_pairs(shared / "data" / "rm-bench"))
    assert subsets == {"chat": 1161, "safety-refuse": 2556, "safety-response": 1413}
    first = next(read_pairs(shared / "data" / "rm-bench" / "chat_filtered.jsonl.gz"))
    assert first.id == "8/c0r0"


def test_subsets(shared):
    rewardbench = read_pairs(shared / "data/rewardbench/rewardbench_filtered_partial.jsonl.gz")
    assert len({pair.subset for pair in rewardbench}) == 23
    rmb = {pair.subset for pair in read_pairs(shared / "data/rmb", on_error="skip")}
    # 49 best-of-N files and 46 of the 49 pairwise ones
    assert len(rmb) == 95
