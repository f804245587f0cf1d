"""LLMBar's textual forms, read our way and as the authors did."""

from __future__ import annotations

import json

import pytest
from benchmarks.llmbar import form_of, parse_output_ab, read_llmbar_outputs, read_llmbar_pairs

from rmr1.bench.recorded import compare_recorded
from rmr1.errors import DataError


@pytest.mark.parametrize(
    ("text", "form", "ours", "published"),
    [
        ("(a) is vague. Therefore, Output (b) is better.", "better", "B", "B"),
        ("Output (a) is better than Output (b) because ...", "better", "A", "A"),
        ("Output (a) is better", "better", "A", None),
        ("One says Output (a) is better. I say Output (b) is better.", "better", None, "A"),
        ("Output (b) wins", "better", None, None),
        ("", "better", None, None),
        ("Output (b)", "line", "B", "B"),
        (" Output (a).", "line", "A", "A"),
        ("I choose Output (b)", "line", None, None),
        ("Output (b) is better.\n\nOutput (a) is vague.", "line", "B", "A"),
        ("Output (b) is short.\nOutput (a) is vague.", "line", None, "A"),
        ("Output (b) is short.", "line", "B", "B"),
        ("Output (a)\nOutput (b)", "line", None, "A"),
    ],
)
def test_forms(text, form, ours, published):
    assert parse_output_ab(text, form).winner == ours
    assert parse_output_ab(text, form, as_published=True).winner == published


def test_problems():
    assert parse_output_ab("", "line").problem == "empty"
    assert parse_output_ab("hm", "line").problem == "no_verdict"
    assert parse_output_ab("Output (a)\nOutput (b)", "line").problem == "contradiction"


def test_form_of_each_method():
    assert [
        form_of(*one) for one in (("CoT", 0), ("Swap", 0), ("Swap", 1), ("Swap_CoT", 1), ("Metrics", 0))
    ] == [
        "better",
        "better",
        "line",
        "better",
        "line",
    ]


@pytest.fixture
def pairs(tmp_path):
    row = {"input": "I", "output_1": "one", "output_2": "two", "label": 2}
    (tmp_path / "llmbar_natural.jsonl").write_text(json.dumps(row) + "\n")
    return read_llmbar_pairs(tmp_path)


def write(tmp_path, *results, method="Vanilla", label=2):
    path = tmp_path / "judge.jsonl"
    row = {"set": "Natural", "method": method, "i": 0, "label": label, "results": list(results)}
    path.write_text(json.dumps(row) + "\n")
    return path


def asked(first, second, winners):
    return {
        "swap = False": {"completion": [first, "stop"], "winner": winners[0]},
        "swap = True": {"completion": [second, ""], "winner": winners[1]},
    }


def test_recorded_winners_are_in_the_pair_frame(tmp_path, pairs):
    path = write(tmp_path, ["metrics", "stop"], asked("Output (b)", "Output (a)", ["2", "2"]))
    ((method, is_last, item),) = read_llmbar_outputs(path, pairs)
    assert (method, is_last, item.judgment.winner, item.judgment.pair.label) == ("Vanilla", True, "B", "B")
    assert item.recorded == (("given", "B"), ("swapped", "B"))
    assert compare_recorded([item]).agree == 2


def test_reconsidering_methods_ask_twice(tmp_path, pairs):
    path = write(
        tmp_path,
        asked("so Output (a) is better.", "so Output (a) is better.", ["1", "2"]),
        asked("Output (b)", "Output (b)", ["2", "1"]),
        method="Swap",
    )
    found = list(read_llmbar_outputs(path, pairs))
    assert [is_last for _, is_last, _ in found] == [False, True]
    assert compare_recorded(item for _, _, item in found).agree == 4


def rated(first, second, winners):
    return {
        "score_1": [first, "stop"],
        "score_2": [second, "stop"],
        "swap = False": {"winner": winners[0]},
        "swap = True": {"winner": winners[1]},
    }


@pytest.mark.parametrize(
    ("first", "second", "winners", "winner", "agree"),
    [
        ("3", "8", ["2", "2"], "B", 2),
        ("8", "3", ["1", "1"], "A", 2),
        ("5", "5", ["2", "1"], "tie", 0),
        ("", "5", ["1", "2"], None, 0),
    ],
)
def test_ratings(tmp_path, pairs, first, second, winners, winner, agree):
    path = write(tmp_path, rated(first, second, winners), method="Rating")
    ((_, _, item),) = read_llmbar_outputs(path, pairs)
    assert item.judgment.winner == winner
    agreement = compare_recorded([item])
    assert agreement.agree == agree
    assert all(one.cause != "unexplained" for one in agreement.disagreements)
    ((_, _, exact),) = read_llmbar_outputs(path, pairs, as_published=True)
    assert compare_recorded([exact]).agree == 2


def test_label_must_be_the_datas(tmp_path, pairs):
    path = write(tmp_path, asked("Output (b)", "Output (a)", ["2", "2"]), label=1)
    with pytest.raises(DataError, match="label of natural/0"):
        list(read_llmbar_outputs(path, pairs))


def test_bad_files(tmp_path, pairs):
    with pytest.raises(DataError, match="not a result of LLMBar"):
        list(read_llmbar_outputs(write(tmp_path, {"swap = False": {}}), pairs))
    with pytest.raises(DataError, match=r"no llmbar_\*.jsonl"):
        read_llmbar_pairs(tmp_path / "none")
