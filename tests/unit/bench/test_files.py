"""Copies of benchmark files: what two files share is counted once, equal rows of one file are items of their own."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from rmr1.bench.files import read_once
from rmr1.bench.run import count_pairs, load_benchmark, read_pairs
from rmr1.bench.tasks.pairs import read_labelled_pairs


def rewardbench(number, **fields):
    return {
        "id": number,
        "subset": "donotanswer",
        "prompt": f"Question {number}",
        "chosen": f"good {number}",
        "rejected": f"bad {number}",
        **fields,
    }


def judgebench(number):
    return {
        "pair_id": f"p{number}",
        "source": "livebench-math",
        "question": f"Q{number}",
        "response_model": "gpt-4o-2024-05-13",
        "response_A": "one",
        "response_B": "the other",
        "label": "A>B",
    }


def rm_bench(number):
    styles = [f"style {style} of {number}" for style in range(3)]
    return {
        "id": f"{number}",
        "prompt": f"Q{number}",
        "chosen": styles,
        "rejected": [f"not {one}" for one in styles],
    }


def rmb(number):
    return {
        "rmb_file": "Pairwise_set/Harmlessness/S1",
        "pair_uid": "u",
        "conversation_input": [{"role": "user", "content": f"Q{number}"}],
        "chosen": {"answer": f"good {number}"},
        "reject": {"answer": f"bad {number}"},
    }


def rewardbench2(number):
    return {
        "id": str(number),
        "subset": "Math",
        "prompt": f"Q{number}",
        "chosen": [f"good {number}"],
        "rejected": [f"bad {number} {one}" for one in range(3)],
        "num_correct": 1,
        "num_incorrect": 3,
    }


def own(number):
    return {"prompt": f"Q{number}", "response_a": f"a {number}", "response_b": "b", "label": "A"}


def write(path, rows):
    rows = list(rows)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        text = json.dumps(rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


CASES = {
    "rewardbench": (rewardbench, "filtered.json", "filtered-part.json", 1),
    "judgebench": (judgebench, "gpt.jsonl", "gpt.jsonl.gz", 1),
    "rm-bench": (rm_bench, "chat_filtered.json", "chat_filtered.jsonl.gz", 9),
    "rmb": (rmb, "pairwise_set_harmlessness.jsonl.gz", "pairwise_set_harmlessness-part.jsonl", 1),
    "rewardbench2": (rewardbench2, "test.jsonl", "test-00000.jsonl", 3),
    "pairs": (own, "pairs.jsonl", "pairs-part.jsonl", 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("part", [range(8), range(3, 6), [5, 1]], ids=["whole", "part", "shuffled part"])
def test_a_copy_beside_the_whole_file_is_counted_once(tmp_path, name, part):
    make, whole, copy, pairs_each = CASES[name]
    benchmark = load_benchmark(name)
    write(tmp_path / "alone" / whole, map(make, range(8)))
    write(tmp_path / "both" / whole, map(make, range(8)))
    write(tmp_path / "both" / copy, map(make, part))
    alone, both = ([*read_pairs(benchmark, tmp_path / folder)] for folder in ("alone", "both"))
    assert len(both) == 8 * pairs_each
    # The same items under the same names, so that runs over either can be compared.
    if name == "pairs" and list(part) == list(range(8)):
        assert [one.prompt for one in both] == [
            one.prompt for one in alone
        ]  # ids are places in the first file
    else:
        assert both == alone
    assert count_pairs(benchmark, tmp_path / "both") == 8 * pairs_each


@pytest.mark.parametrize("name", CASES)
def test_files_that_complete_each_other_are_one(tmp_path, name):
    make, whole, copy, pairs_each = CASES[name]
    write(tmp_path / whole, map(make, range(5)))
    write(tmp_path / copy, map(make, range(3, 8)))
    assert count_pairs(load_benchmark(name), tmp_path) == 8 * pairs_each


def test_equal_rows_of_one_file_are_items_of_their_own(tmp_path):
    """As the official file has them: two rows of one id and text are two items, a copy of one adds none."""
    rows = [rewardbench(1), rewardbench(1), rewardbench(2)]
    write(tmp_path / "filtered.json", rows)
    write(tmp_path / "part.json", rows[1:])
    found = [pair.id for pair in read_pairs(load_benchmark("rewardbench"), tmp_path)]
    assert found == ["donotanswer/1", "donotanswer/1-2", "donotanswer/2"]
    write(tmp_path / "part.json", [rewardbench(1)] * 3)
    assert (
        len([*read_pairs(load_benchmark("rewardbench"), tmp_path)]) == 4
    )  # three of them, and the other row


def test_rows_that_differ_in_anything_are_no_copies(tmp_path):
    write(tmp_path / "a.json", [rewardbench(1)])
    write(tmp_path / "b.json", [rewardbench(1, id=2), rewardbench(1, subset="xstest-should-refuse")])
    assert len([*read_pairs(load_benchmark("rewardbench"), tmp_path)]) == 3


def test_own_pairs_with_ids_of_their_own(tmp_path):
    write(tmp_path / "a.jsonl", [{"id": number, **own(7)} for number in (1, 2)])
    write(tmp_path / "b.jsonl", [{"id": number, **own(7)} for number in (2, 3)])
    assert [pair.id for pair in read_labelled_pairs(tmp_path)] == ["1", "2", "3"]
    assert [pair.id for pair in read_labelled_pairs(tmp_path, 2)] == ["1", "2"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["aab", "ab"], "aab"),
        (["ab", "aab"], "aab"),
        (["ab", "ab"], "ab"),
        (["", ""], ""),
        (["a", "", "b"], "ab"),
        (["abc", "bcd", "cde"], "abcde"),
        (["aa", "ab", "aaa"], "aaab"),
    ],
)
def test_most_of_each_row_that_a_file_holds(files, expected):
    places = [*range(len(files))]
    found = read_once(places, lambda place: iter(files[place]), lambda letter: letter.encode().rjust(8))
    assert Counter(found) == Counter(expected)
