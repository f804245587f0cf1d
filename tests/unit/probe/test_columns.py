"""Which columns are read as what."""

from __future__ import annotations

import pytest

from rmr1.probe.columns import Cell, id_features, kind_of, read_cells


def cells(
    data: dict, *, label: str = "A", is_named: bool = True, ignored: tuple[str, ...] = ()
) -> list[Cell]:
    return list(read_cells(data, label=label, is_named=is_named, ignored=frozenset(ignored)))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        *((name, "ids") for name in ("id", "pair_uid", "prompt_id", "idx", "cmp_key", "questionId")),
        *((name, "models") for name in ("model_a", "generator_1", "chosen.llm_name", "response_model")),
        *((name, "other columns") for name in ("source", "subset", "identity", "domain", "judge")),
    ],
)
def test_kinds(column: str, kind: str) -> None:
    assert kind_of(column) == kind


def test_partners_of_named_sides() -> None:
    data = {"prompt": "q", "response_a": "x", "model_a": "m", "model_b": "n", "label": "B", "turn": 2}
    assert cells(data, label="B") == [
        Cell(kind="models", column="model_a, model_b", value=None, sides=("m", "n")),
        Cell(kind="other columns", column="turn", value="2"),
    ]


def test_partners_that_the_label_names_come_in_the_frame_of_the_sides() -> None:
    data = {"chosen": {"llm_name": "m", "answer": "x"}, "reject": {"llm_name": "n", "answer": "y"}}
    name = "chosen.llm_name, reject.llm_name"
    assert cells(data, is_named=False)[0].sides == ("m", "n")
    assert cells(data, label="B")[0] == Cell(kind="models", column=name, value=None, sides=("n", "m"))


def test_without_named_sides_one_and_two_are_columns_of_the_pair() -> None:
    assert [cell.column for cell in cells({"model_1": "m", "model_2": "n"}, is_named=False)] == [
        "model_1",
        "model_2",
    ]


def test_labels_texts_fractions_and_ignored_columns_are_passed_over() -> None:
    data = {
        "label": "A",
        "annotator3": 2,
        "score_chosen": 9.5,
        "prompt": "q",
        "margin": 0.3,
        "notes": "long " * 40,
        "tags": ["x"],
        "nothing": None,
        "copy_of_label": "A",
        "source": "web",
    }
    assert [cell.column for cell in cells(data, ignored=("copy_of_label",))] == ["source"]


def test_words_of_ids() -> None:
    assert id_features("17-chosen") == ("word 'chosen'",)
    assert id_features("mtbench_81_1_0") == ("ends with '0'", "word 'mtbench'")
    assert id_features("b5ce1305-50fe-5a5e-b785-325ab15c6d2b") == ()
    assert id_features("90210") == ()


def test_what_distil_says_of_its_rows_is_no_column() -> None:
    ours = {"verdict": "A", "order": "given", "pass": 1, "teacher": "t", "key": "k-2"}
    row = {"messages": [], "id": "p1", "source": "s", **ours}
    assert [cell.column for cell in cells(row)] == ["id", "source"]
    del row["key"]
    assert [cell.column for cell in cells(row)] == ["id", "source", "order", "pass", "teacher"]
