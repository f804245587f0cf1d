"""Rubrics as judges write them, line by line and as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.verdicts.rubric import parse_rubric

TEXTS: tuple[tuple[str, list[tuple[str, float | None]]], ...] = (
    ("Accuracy (40%), Clarity (35%), Depth (25%)", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ("Accuracy 40%; Clarity 35%; Depth 25%", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ("Accuracy: 40%, Clarity: 35%, Depth: 25%", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ("Accuracy - 40%, Clarity - 35%, Depth - 25%", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ("40% Accuracy, 35% Clarity, 25% Depth", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ("准确性（40%），清晰度（35%）", [("准确性", 0.4), ("清晰度", 0.35)]),
    ("准确性（40％）、清晰度（35％）、深度（25％）", [("准确性", 0.4), ("清晰度", 0.35), ("深度", 0.25)]),
    ("1. 准确性（40％）：事实是否正确", [("准确性：事实是否正确", 0.4)]),
    ("1. 准确性：40%", [("准确性", 0.4)]),
    ("- Accuracy (~40%)", [("Accuracy", 0.4)]),
    ("- Accuracy (≈40%)", [("Accuracy", 0.4)]),
    ("- Accuracy (≈ 40 %): facts", [("Accuracy: facts", 0.4)]),
    ("- Accuracy (about 40%)", [("Accuracy", 0.4)]),
    ("- Accuracy (approx. 40%)", [("Accuracy", 0.4)]),
    ("- Accuracy (weight: ~40%)", [("Accuracy", 0.4)]),
    ("- Accuracy: ~40%", [("Accuracy", 0.4)]),
    ('{"Accuracy": 40, "Clarity": 35, "Depth": 25}', [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    ('{"Accuracy": "40%", "Clarity": "60%"}', [("Accuracy", 0.4), ("Clarity", 0.6)]),
    ('{"Accuracy": 0.4, "Clarity": 0.6}', [("Accuracy", 0.4), ("Clarity", 0.6)]),
    ('```json\n{"Accuracy": 40, "Clarity": 60}\n```', [("Accuracy", 0.4), ("Clarity", 0.6)]),
    (
        '[{"criterion": "Accuracy", "weight": 0.4}, {"criterion": "Clarity", "weight": 0.6}]',
        [("Accuracy", 0.4), ("Clarity", 0.6)],
    ),
    (
        '```json\n[{"name": "Accuracy", "description": "Facts hold.", "weight": "40%"}, {"name": "Tone", "weight": "60%"}]\n```',
        [("Accuracy: Facts hold.", 0.4), ("Tone", 0.6)],
    ),
    (
        '{"criteria": [{"name": "Accuracy", "weight": 3}, {"name": "Tone", "weight": 1}]}',
        [("Accuracy", 3.0), ("Tone", 1.0)],
    ),
    ('{"rubric": {"Accuracy": 60, "Tone": 40}}', [("Accuracy", 0.6), ("Tone", 0.4)]),
    (
        '{"Accuracy": {"weight": 60, "description": "Facts hold."}, "Tone": {"weight": 40}}',
        [("Accuracy: Facts hold.", 0.6), ("Tone", 0.4)],
    ),
    ("1. Accuracy (60%)\n2. Tone (40%)\nTotal: 100%", [("Accuracy", 0.6), ("Tone", 0.4)]),
    ("- Accuracy: 60%\n- Tone: 40%\n- Total: 100%", [("Accuracy", 0.6), ("Tone", 0.4)]),
    ("- Accuracy: 60%\n- Tone: 40%\nSum: 100%", [("Accuracy", 0.6), ("Tone", 0.4)]),
    ("1. 准确性（60%）\n2. 语气（40%）\n合计：100%", [("准确性", 0.6), ("语气", 0.4)]),
    ("Accuracy (60%), Tone (40%), Total (100%)", [("Accuracy", 0.6), ("Tone", 0.4)]),
    (
        "| Criterion | Weight |\n|---|---|\n| Accuracy | 60% |\n| Tone | 40% |\n| Total | 100% |",
        [("Accuracy", 0.6), ("Tone", 0.4)],
    ),
    ("- Accuracy (5 points)\n- Tone (3 points)\n- Total (8 points)", [("Accuracy", 5.0), ("Tone", 3.0)]),
    ("- Accuracy (100%)", [("Accuracy", 1.0)]),
    ("- Accuracy (50%)\n- Tone (50%)", [("Accuracy", 0.5), ("Tone", 0.5)]),
    ("- Accuracy (30-40%)", [("Accuracy (30-40%)", None)]),
    ("- Accuracy: 30-40%", [("Accuracy: 30-40%", None)]),
    ("- Accuracy (30% to 40%)", [("Accuracy (30% to 40%)", None)]),
    ("1. Accuracy (40%): names, dates, places", [("Accuracy: names, dates, places", 0.4)]),
    ("1. Accuracy (40%), with names (dates, too)", [("Accuracy, with names (dates, too)", 0.4)]),
    ("1. Accuracy, depth (40%)\n2. Tone (60%)", [("Accuracy, depth", 0.4), ("Tone", 0.6)]),
    ("I use 2 criteria: Accuracy (40%), Tone (60%).", [("Accuracy", 0.4), ("Tone", 0.6)]),
    ("Accuracy (40%) and Tone (60%)", [("Accuracy", 0.4), ("Tone", 0.6)]),
    (
        "Criteria: Accuracy (40%), Clarity (35%), Depth (25%)",
        [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)],
    ),
    ("- Accuracy (40%), Clarity (35%), Depth (25%)", [("Accuracy", 0.4), ("Clarity", 0.35), ("Depth", 0.25)]),
    (
        "Correctness (50%), completeness (30%), and style (20%)",
        [("Correctness", 0.5), ("completeness", 0.3), ("style", 0.2)],
    ),
    ("Correctness [50%]; Style [50%]", [("Correctness", 0.5), ("Style", 0.5)]),
    ("**Correctness** (50%), **Style** (50%)", [("Correctness", 0.5), ("Style", 0.5)]),
    ("正确性（50%）；文风（50%）", [("正确性", 0.5), ("文风", 0.5)]),
    ("正确性 50%，文风 50%", [("正确性", 0.5), ("文风", 0.5)]),
    ("1. 正确性（权重：50%）\n2. 文风（权重：50%）\n总计：100%", [("正确性", 0.5), ("文风", 0.5)]),
    ("- 正确性（约50%）", [("正确性", 0.5)]),
    ("- Correctness （50%）: no false claims", [("Correctness: no false claims", 0.5)]),
    ("- Correctness (approximately 50%)", [("Correctness", 0.5)]),
    ("- Correctness (~ 50 percent)", [("Correctness", 0.5)]),
    ("~50% - Correctness\n~50% - Style", [("Correctness", 0.5), ("Style", 0.5)]),
    ("Correctness (3), Style (2)", []),
    ("In 2020, 40% agreed, 60% did not.", []),
    ("40% of users agree, 60% do not.", []),
    ("- Correctness (40%)\n- Style (60%)\n- TOTAL (100%)", [("Correctness", 0.4), ("Style", 0.6)]),
    ("- Correctness (40%)\n- Style (60%)\n**Total: 100%**", [("Correctness", 0.4), ("Style", 0.6)]),
    ("- Correctness (40%)\n- Style (60%)\n\nTotal = 100%", [("Correctness", 0.4), ("Style", 0.6)]),
    ("- Correctness (40%)\n- Style (60%)\n- Gesamt (100%)", [("Correctness", 0.4), ("Style", 0.6)]),
    ("- A (25%)\n- B (25%)\n- C (50%)", [("A", 0.25), ("B", 0.25), ("C", 0.5)]),
    ("- Correctness (40%)\n- Style (60%)\n  Total: 100%", [("Correctness", 0.4), ("Style", 0.6)]),
    ("- Overall quality (20%)\n- Style (80%)", [("Overall quality", 0.2), ("Style", 0.8)]),
    ("- Correctness: 30% - 40%", [("Correctness: 30% - 40%", None)]),
    ("- Correctness (30–40%)", [("Correctness (30–40%)", None)]),
    ("30-40% Correctness", []),
    (
        'Here is my rubric:\n```json\n{"Correctness": "50%", "Style": "50%"}\n```',
        [("Correctness", 0.5), ("Style", 0.5)],
    ),
    ('{"Correctness": 5, "Style": 3}', [("Correctness", 5.0), ("Style", 3.0)]),
    (
        '{"Correctness": "No false claims", "Style": "Plain"}',
        [("Correctness: No false claims", None), ("Style: Plain", None)],
    ),
    ('["Correctness (50%)", "Style (50%)"]', [("Correctness", 0.5), ("Style", 0.5)]),
    (
        '[\n  {"criterion": "Correctness", "weight": 50},\n  {"criterion": "Style", "weight": 50}\n]',
        [("Correctness", 0.5), ("Style", 0.5)],
    ),
    ('{"Correctness": 60, "Style": 40, "Total": 100}', [("Correctness", 0.6), ("Style", 0.4)]),
    (
        "1. Correctness (names, dates) (40%), Style (60%)",
        [("Correctness (names, dates)", 0.4), ("Style", 0.6)],
    ),
    ("1. Correctness: facts (40%), Style: plain (60%)", [("Correctness: facts", 0.4), ("Style: plain", 0.6)]),
    (
        "1. Correctness (40%)\n   - names (20%), dates (20%)",
        [("Correctness\n- names (20%), dates (20%)", 0.4)],
    ),
    ("Weights: correctness 50%, style 50%", [("correctness", 0.5), ("style", 0.5)]),
    (
        "1. **Facts (Worth 0.4)**\n   - Dates are right.\n   - Score: 0.4\n\n2. **Tone (Worth 0.6)**\n   - Score: 0.6\n\n**Total: 1.0**",
        [("Facts\n- Dates are right.\n- Score: 0.4", 0.4), ("Tone\n- Score: 0.6", 0.6)],
    ),
    ("- Facts (Score: 0.4)\n- Tone (Score: 0.6)\n- Total Score: 1.0", [("Facts", 0.4), ("Tone", 0.6)]),
    ('{"a": {"b": {"Facts": 3}}}', [("Facts", 3.0)]),
    ('{"Facts": true, "Tone": null}', [("Facts", None), ("Tone", None)]),
    ('{"Facts": 1e999, "Tone": NaN}', [("Facts", None), ("Tone", None)]),
    ('{"\\ud800": 1}', [("�", 1.0)]),
)


def weigh(text: str) -> list[tuple[str, float | None]]:
    return [(item.text, item.weight) for item in parse_rubric(text)]


@pytest.mark.parametrize(("text", "items"), TEXTS)
def test_criteria_of_a_rubric(text: str, items: list[tuple[str, float | None]]) -> None:
    assert weigh(text) == items


WORDS = ("Accuracy", "Depth of thought", "Tone", "Use of sources", "\u51c6\u786e\u6027", "Cl\u00e1rity")
ITEMS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.integers(1, 99)),
    min_size=2,
    max_size=5,
    unique_by=lambda item: item[0],
)
LINES = (
    *(
        "{}. {} ({}%)",
        "{}) **{}** - {}%",
        "{}. {}: ~{}%",
        "{}. {}\uff08{}\uff05\uff09",
        "{}. {} [about {} percent]",
    ),
    *("{}. {} (weight: {}/100)", "{}. {} ({}%): is it so?"),
)
PARTS = (
    *(("{} ({}%)", ", "), ("{} {}%", "; "), ("{}: {}%", ", "), ("{}\uff08{}\uff05\uff09", "\uff0c")),
    *(("{} - {}%", ", "), ("{} (~{}%)", " and "), ("{} [{}%]", "\u3001")),
)


def shares(items: list[tuple[str, int]]) -> list[tuple[str, float | None]]:
    return [(name, amount / 100) for name, amount in items]


@given(items=ITEMS, form=st.sampled_from(LINES))
def test_lines_hold_the_items_they_were_written_for(items: list[tuple[str, int]], form: str) -> None:
    text = "\n".join(form.format(place, *item) for place, item in enumerate(items, 1))
    behind = ": is it so?" if form.endswith("?") else ""
    assert weigh(text) == [(name + behind, share) for name, share in shares(items)]


@given(items=ITEMS, form=st.sampled_from(PARTS), before=st.sampled_from(["", "- ", "1. "]))
def test_one_line_holds_the_items_it_was_written_for(
    items: list[tuple[str, int]], form: tuple[str, str], before: str
) -> None:
    part, between = form
    assert weigh(before + between.join(part.format(*item) for item in items)) == shares(items)


@given(items=ITEMS, is_fenced=st.booleans(), is_list=st.booleans())
def test_json_holds_the_items_it_was_written_for(
    items: list[tuple[str, int]], is_fenced: bool, is_list: bool
) -> None:
    weights = {name: f"{amount}%" for name, amount in items}
    value = (
        [{"criterion": name, "weight": weight} for name, weight in weights.items()] if is_list else weights
    )
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert weigh(f"```json\n{text}\n```" if is_fenced else text) == shares(items)


@given(items=ITEMS, name=st.sampled_from(["Total", "**Total**", "Sum", "\u5408\u8ba1"]))
def test_a_total_is_no_criterion(items: list[tuple[str, int]], name: str) -> None:
    lines = [f"- {one}: {amount}%" for one, amount in items]
    assert weigh("\n".join([*lines, f"- {name}: {sum(amount for _, amount in items) % 101}%"])) == shares(
        items
    )


@given(text=st.text(max_size=300) | st.text(alphabet='{}[]":,0123456789%()~ \n-abweight', max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert all(item.text for item in parse_rubric(text))


def test_json_that_is_nested_deeper_than_python_reads_is_text():
    assert parse_rubric("[" * 100_000) == ()
