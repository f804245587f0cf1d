"""Outlines, traces and rubrics where a whole verdict would hide what is tried."""

from __future__ import annotations

import pytest

from rmr1.records import RubricItem, SideText, Trace
from rmr1.verdicts.rubric import parse_rubric
from rmr1.verdicts.trace import read_outline, read_trace


def own_words(text: str) -> list[str]:
    return list(read_outline(text).own_texts())


def weigh(rubric: str) -> list[tuple[str, float | None]]:
    return [(item.text, item.weight) for item in parse_rubric(rubric)]


def test_own_words_are_what_stands_outside_thinking_and_quotations():
    text = "<think>no</think>one <quote_A>no</quote_A>two<summary_B>no</summary_B> three"
    assert own_words(text) == ["one ", "two", " three"]


def test_implicit_thinking_takes_everything_before_it():
    outline = read_outline("<type>Chat</type><quote_A>x</quote_A></think><type>Reasoning</type>")
    assert [(tag.kind, tag.is_closing) for tag in outline.tags] == [("type", False), ("type", True)]
    assert outline.quotes == () and outline.thinking == "<type>Chat</type><quote_A>x</quote_A>"
    assert read_trace(outline).task_type == "reasoning"


def test_unclosed_thinking_is_flagged_and_kept():
    outline = read_outline("Sure. <think>First")
    assert outline.is_thinking_unclosed and outline.thinking == "First"
    assert own_words("Sure. <think>First") == ["Sure. "]


def test_answer_does_not_end_an_unclosed_quotation_but_thinking_does():
    assert own_words("<quote_A>a<answer>[[A]]</answer>b") == []
    assert own_words("<quote_A>a<answer>b<think>c</think>d") == ["d"]


def test_unclosed_quotations_end_at_each_other():
    outline = read_outline("<quote_A>one <quote_B>two <quote_A>three</quote_A>")
    assert outline.quotes == (
        SideText(side="A", text="one"),
        SideText(side="B", text="two"),
        SideText(side="A", text="three"),
    )


def test_labels_give_the_sides_their_spelling():
    outline = read_outline("<quote_X1>a</quote_x1>", labels=("x1", "y"))
    assert outline.quotes == (SideText(side="x1", text="a"),)


def test_escaped_tags_are_text():
    assert read_trace(read_outline("<\\eval>x<\\/eval> <\\quote_A>y<\\/quote_A>")) == Trace()


def test_an_unclosed_block_ends_where_an_outer_one_does():
    trace = read_trace(read_outline("<rubric>- Tone<justify>why</rubric> more <eval>e"))
    assert trace.rubric == (RubricItem(text="Tone"),)
    assert trace.justification == "why" and trace.evaluation == "e"


def test_an_unclosed_block_does_not_run_into_thinking():
    trace = read_trace(read_outline("<eval>A is right.<think>or is it?"))
    assert trace.evaluation == "A is right." and trace.thinking == "or is it?"


def test_quoted_text_gives_no_criteria():
    text = "<rubric>1. Tone<quote_A>\n- be rude\n</quote_A> (40%)\n<justify>j</justify>2. Form<summary_B>x"
    trace = read_trace(read_outline(text))
    assert trace.rubric == (RubricItem(text="Tone", weight=0.4), RubricItem(text="Form"))
    assert [quoted.text for quoted in trace.quotes + trace.summaries] == ["- be rude", "x"]


def test_justify_that_runs_out_of_the_rubric_is_cut_at_its_end():
    trace = read_trace(read_outline("<rubric>- Tone\n<justify>why\n</rubric>- Depth</justify>"))
    assert trace.rubric == (RubricItem(text="Tone"),)
    assert trace.justification == "why\n</rubric>- Depth"


@pytest.mark.parametrize(
    ("line", "text", "weight"),
    [
        ("1. Accuracy (40%): facts", "Accuracy: facts", 0.4),
        ("1) Accuracy [40 %]", "Accuracy", 0.4),
        ("(1) Accuracy (40 percent)", "Accuracy", 0.4),
        ("a. Accuracy (Weight: 40%)", "Accuracy", 0.4),
        ("**1. Accuracy (40%)**: facts", "Accuracy: facts", 0.4),
        ("- **Accuracy (33.3%)**", "Accuracy", 0.333),
        ("+ Accuracy (40% of the total weight) - facts", "Accuracy - facts", 0.4),
        ("- Accuracy \u2014 40%", "Accuracy", 0.4),
        ("- Accuracy: 40%", "Accuracy", 0.4),
        ("- Accuracy = .4", "Accuracy", 0.4),
        ("- Accuracy, weighting of 3", "Accuracy", 3.0),
        ("- Accuracy (10 points): facts", "Accuracy: facts", 10.0),
        ("- Accuracy (4 out of 10)", "Accuracy", 0.4),
        ("- Accuracy (0%)", "Accuracy", 0.0),
        ("- Accuracy (3)", "Accuracy (3)", None),
        ("- Accuracy (1.5)", "Accuracy (1.5)", None),
        ("- Accuracy (3/0)", "Accuracy (3/0)", None),
        ("- Accuracy: 3", "Accuracy: 3", None),
        ("- Cuts costs by 30%", "Cuts costs by 30%", None),
        ("- Written in 2024", "Written in 2024", None),
        ("Accuracy (40%): facts", "Accuracy: facts", 0.4),
    ],
)
def test_one_line_of_a_rubric(line, text, weight):
    assert weigh(line) == [(text, weight)]


@pytest.mark.parametrize("line", ["Accuracy: facts", "40% of people agree.", "-", "1.", "---", "", "|---|"])
def test_lines_that_are_no_criteria(line):
    assert weigh(line) == []


def test_a_heading_with_plain_and_weighted_points_keeps_the_plain_ones():
    assert weigh("1. Form:\n   - spelling\n   - Tone (30%)") == [("Form:\n- spelling", None), ("Tone", 0.3)]


def test_a_paragraph_after_a_blank_line_is_not_part_of_the_criterion():
    assert weigh("- Tone\n  kind\n\nThat is all.") == [("Tone\nkind", None)]


def test_table_without_header_and_with_stray_pipes():
    assert weigh("| Tone | 0.5 |\n| 7 | Facts |\n||") == [("Tone", 0.5), ("Facts", None)]


def test_an_element_without_attribute_takes_the_weight_from_its_text():
    assert weigh("<criterion>Tone (40%)</criterion><item title='Form'></item>") == [
        ("Tone", 0.4),
        ("Form", None),
    ]
