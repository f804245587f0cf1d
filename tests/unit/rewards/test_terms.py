"""Every reward term by hand, their sum, and a user's own function."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.prompts.render import render_prompt
from rmr1.records import Order, PreferencePair
from rmr1.rewards import (
    TERMS,
    Judged,
    build_rewards,
    compute_rewards,
    load_own,
    needs_both_orders,
    read_sample,
    summarize_rewards,
)
from rmr1.world.oracle import oracle_trace
from rmr1.world.sample import sample_pair

PAIR = PreferencePair(
    id="7",
    prompt=(user("Where does the fox jump?"),),
    response_a=(assistant("The quick fox jumps over the lazy dog, never under it."),),
    response_b=(assistant("It is known that foxes do not jump."),),
    label="A",
)

REASONING = """<type>Reasoning</type>

<solution>
over the dog
</solution>

<eval>
<quote_A>jumps over the lazy dog</quote_A> right <quote_B>foxes do not jump</quote_B> wrong
</eval>

<answer>[[A]]</answer>"""

CHAT = """<type>Chat</type>

<rubric>
1. Accuracy (60%): is it true
2. Tone (40%)
<justify>facts come first</justify>
</rubric>

<eval>
<quote_A>the quick fox</quote_A> good <summary_B>denies it</summary_B>
</eval>

<answer>[[A]]</answer>"""


def sample(
    text: str, *, order: Order = "given", family: str = "rubric", pair: PreferencePair = PAIR, **facts: Any
) -> Judged:
    facts = {"num_tokens": 10, "is_cut": False, **facts}
    return read_sample(text, prompt=render_prompt(pair, family, order=order), pair=pair, **facts)


def value(name: str, text: str, **facts: Any) -> float:
    return TERMS[name](sample(text, **facts))


def test_a_swapped_prompt_swaps_pair_and_label() -> None:
    given, swapped = sample(REASONING), sample(REASONING, order="swapped")
    assert (given.label, swapped.label) == ("A", "B")
    assert swapped.response("A") == PAIR.response_b and swapped.response("B") == PAIR.response_a
    assert given.verdict.winner == swapped.verdict.winner == "A"


def test_ties_and_unlabelled_pairs_have_no_reward() -> None:
    for label in ("tie", None):
        pair = PreferencePair(
            id="8", prompt=PAIR.prompt, response_a=PAIR.response_a, response_b=PAIR.response_b, label=label
        )
        with pytest.raises(ConfigError, match=f"pair '8' has the label {label!r}"):
            sample("", pair=pair)


@pytest.mark.parametrize(
    ("text", "tail", "parsed"),
    [
        (REASONING, 1, 1),
        (REASONING.replace("[[A]]", "[[B]]"), -1, -1),
        ("<answer>[[A]]</answer>" + "." * 58, 1, 1),
        ("<answer>[[A]]</answer>" + "." * 59, -1, 1),
        ("<answer>[[B]]</answer> no: <answer>[[A]]</answer>", -1, 1),
        ("<answer>A</answer>", -1, 1),
        ("<think>so <answer>[[A]]</answer>", 1, -1),
        ("", -1, -1),
    ],
)
def test_verdict_and_parsed(text: str, tail: float, parsed: float) -> None:
    assert (value("verdict", text), value("parsed", text)) == (tail, parsed)


def test_verdict_in_the_other_order() -> None:
    text = "<answer>[[B]]</answer>"
    assert value("verdict", text) == -1.0
    assert value("verdict", text, order="swapped") == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REASONING, 1),
        (CHAT, 1),
        (REASONING.replace("[[A]]", "[[B]]"), 1),  # wrong, and well formed
        ("<think>hm <eval> </think>" + CHAT, 1),
        (CHAT + "  \n", 1),
        (CHAT + " Done.", 0),
        (CHAT.replace("<type>Chat</type>", ""), 0),
        (CHAT.replace("Chat", "Reasoning"), 0),
        (REASONING.replace("Reasoning", "Poetry"), 0),
        (CHAT.replace("<justify>facts come first</justify>\n", ""), 0),
        (CHAT.replace("facts come first", ""), 0),
        (CHAT.replace("</rubric>", ""), 0),
        (CHAT.replace("1. Accuracy (60%): is it true\n2. Tone (40%)\n", ""), 0),
        (REASONING.replace("over the dog", " "), 0),
        (REASONING.replace("</solution>", "</solution><solution>again</solution>"), 0),
        (REASONING.replace("</quote_A>", "</quote_A></summary_A>"), 0),
        (REASONING.replace("[[A]]", "A"), 0),
        (REASONING.replace("[[A]]", "[[C]]"), 0),
        ("<answer>[[A]]</answer>", 0),
        ("<think>" + REASONING, 0),
        ("", 0),
    ],
)
def test_format_of_a_rubric_prompt(text: str, expected: float) -> None:
    assert value("format", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>A is right</think> A it is. <answer>[[A]]</answer>", 1),
        ("<answer>[[B]]</answer>", 1),
        ("I like A. <answer>[[A]]</answer> <answer>[[A]]</answer>", 0),
        ("<think>A is right. <answer>[[A]]</answer>", 0),
        ("A is right.", 0),
    ],
)
@pytest.mark.parametrize("family", ["reasoning", "direct"])
def test_format_of_other_prompts(text: str, expected: float, family: str) -> None:
    assert value("format", text, family=family) == expected


def test_a_text_that_was_cut_off_has_no_form() -> None:
    assert value("format", REASONING, is_cut=True) == 0.0


def test_what_a_prompt_asks_for_is_not_decided_by_its_answers() -> None:
    pair = PreferencePair(
        id="9",
        prompt=PAIR.prompt,
        response_a=(assistant("<rubric>1. All mine (100%)</rubric>"),),
        response_b=PAIR.response_b,
        label="A",
    )
    assert not sample("", pair=pair, family="reasoning").is_rubric_asked
    assert sample("", pair=pair).is_rubric_asked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REASONING, 1.0),
        (CHAT, 1.0),
        ("<quote_A>over the lazy dog</quote_A> <quote_B>over the lazy dog</quote_B>", 0.5),
        ("<quote_A>under the lazy dog</quote_A>", 0.0),
        ("<quote_A>lazy dog</quote_A>", 0.0),
        ("<quote_A>lazy dog</quote_A> <quote_A>Over  the lazy\ndog</quote_A>", 1.0),
        ("<quote_A>the quick fox ... under it</quote_A>", 1.0),
        ("<quote_A>the quick fox [...] over it</quote_A>", 0.0),
        ("<quote_A>the ... fox ... the ... dog</quote_A> <quote_A>no such thing here</quote_A>", 0.0),
        ("<quote_A>the ... fox ... the ... dog</quote_A>", 0.0),
        ("no quotation", 0.0),
    ],
)
def test_quotes(text: str, expected: float) -> None:
    assert value("quotes", text) == expected


def test_quotes_of_escaped_text_are_found() -> None:
    pair = replace(
        PAIR, response_a=(assistant("Then ##STOP## <|im_end|>\nUser: it said <answer>[[A]]</answer>"),)
    )
    shown = "<quote_A>Then #\\#STOP## <\\|im_end|>\n\\User: it said <\\answer>[\\[A]]<\\/answer></quote_A>"
    assert value("quotes", shown, pair=pair) == 1.0
    assert value("quotes", shown.replace("\\", ""), pair=pair) == 1.0
    assert value("quotes", shown.replace("Then", "When"), pair=pair) == 0.0


def test_quotes_are_looked_up_in_the_answer_as_shown() -> None:
    text = "<quote_B>over the lazy dog</quote_B>"
    assert (value("quotes", text), value("quotes", text, order="swapped")) == (0.0, 1.0)


def rubric(*lines: str) -> str:
    return "<type>Chat</type><rubric>" + "\n".join(lines) + "</rubric>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rubric("1. One (60%)", "2. Two (40%)"), 1),
        (rubric("1. One (33%)", "2. Two (33%)", "3. Three (34%)"), 1),
        (rubric("1. One (33.3%)", "2. Two (33.3%)", "3. Three (33.3%)"), 1),
        (rubric("1. One (0.7)", "2. Two (0.3)"), 1),
        (rubric("1. One [weight: 60]", "2. Two [weight: 40]"), 1),
        (rubric("1. One (60%)", "2. Two (30%)"), 0),
        (rubric("1. One (60%)", "2. Two (60%)"), 0),
        (rubric("1. One (100%)", "2. Two (0%)"), 0),
        (rubric("1. One (60%)", "2. Two"), 0),
        (rubric("1. One", "2. Two"), 0),
        (rubric("nothing to read"), 0),
        ("<type>Chat</type>", 0),
        ("", 0),
        (REASONING, 1),
        (REASONING + rubric("1. One (60%)"), 0),
    ],
)
def test_rubric(text: str, expected: float) -> None:
    assert value("rubric", text) == expected


def test_no_rubric_is_due_where_none_is_asked() -> None:
    assert value("rubric", "<answer>[[A]]</answer>", family="reasoning") == 1.0
    assert value("rubric", rubric("1. One (60%)"), family="reasoning") == 0.0


def test_consistency_pays_only_where_both_orders_are_right() -> None:
    terms = build_rewards({"consistency": 1.0})
    a, b = "<answer>[[A]]</answer>", "<answer>[[B]]</answer>"
    # The label is A in the given order and B in the swapped one.
    given = [sample(text) for text in (a, a, b, b)]
    swapped = [sample(text, order="swapped") for text in (b, a, b, a)]
    found = [reward.total for reward in compute_rewards(terms, given, swapped)]
    assert found == [1.0, -1.0, -1.0, -1.0]
    assert [reward.total for reward in compute_rewards(terms, swapped, given)] == found
    assert needs_both_orders(terms) and not needs_both_orders(build_rewards())


def test_consistency_needs_the_other_order() -> None:
    terms = build_rewards({"consistency": 1.0})
    one, other = sample(REASONING), sample(REASONING, order="swapped")
    with pytest.raises(ConfigError, match="pair '7' was asked in one order; roll out both orders"):
        compute_rewards(terms, [one])
    with pytest.raises(ConfigError, match="2 samples in one order and 1 in the other"):
        compute_rewards(terms, [one, one], [other])
    with pytest.raises(ConfigError, match="not two orders of one pair"):
        compute_rewards(terms, [one], [one])


@pytest.mark.parametrize(
    ("buffer", "num_tokens", "is_cut", "expected"),
    [
        (0, 100, False, 0.0),
        (0, 100, True, -1.0),
        (20, 80, False, 0.0),
        (20, 85, False, -0.25),
        (20, 100, False, -1.0),
        (20, 100, True, -1.0),
        (100, 25, False, -0.25),
    ],
)
def test_overlong(buffer: int, num_tokens: int, is_cut: bool, expected: float) -> None:
    terms = build_rewards({"overlong": 0.5}, max_new_tokens=100, overlong_buffer=buffer)
    (reward,) = compute_rewards(terms, [sample("", num_tokens=num_tokens, is_cut=is_cut)])
    assert reward.values == {"overlong": expected} and reward.total == 0.5 * expected


@pytest.mark.parametrize(("limit", "buffer"), [(100, 101), (None, 10), (100, -1)])
def test_a_buffer_that_does_not_fit(limit: int | None, buffer: int) -> None:
    with pytest.raises(ConfigError, match=f"a buffer of {buffer} tokens with a limit of {limit}"):
        build_rewards({"overlong": 1.0}, max_new_tokens=limit, overlong_buffer=buffer)
    build_rewards({"verdict": 1.0}, max_new_tokens=limit, overlong_buffer=buffer)


def test_terms_add_up_and_stay_apart() -> None:
    terms = build_rewards({"verdict": 1.0, "format": 0.2, "quotes": 0.5, "rubric": 0.0})
    wrong = CHAT.replace("[[A]]", "[[B]]").replace("40%", "50%").replace("the quick fox", "a slow red fox")
    rewards = compute_rewards(terms, [sample(CHAT), sample(wrong), sample("")])
    assert [reward.values for reward in rewards] == [
        {"verdict": 1.0, "format": 1.0, "quotes": 1.0, "rubric": 1.0},
        {"verdict": -1.0, "format": 1.0, "quotes": 0.0, "rubric": 0.0},
        {"verdict": -1.0, "format": 0.0, "quotes": 0.0, "rubric": 0.0},
    ]
    assert [reward.total for reward in rewards] == pytest.approx([1.7, -0.8, -1.0])
    assert summarize_rewards(rewards) == pytest.approx(
        {"total": -0.1 / 3, "verdict": -1 / 3, "format": 2 / 3, "quotes": 1 / 3, "rubric": 1 / 3}
    )
    assert summarize_rewards([]) == {}


def test_the_papers_reward_is_the_default() -> None:
    rewards = compute_rewards(build_rewards(), [sample(REASONING), sample("")])
    assert [(reward.total, dict(reward.values)) for reward in rewards] == [
        (1.0, {"verdict": 1.0}),
        (-1.0, {"verdict": -1.0}),
    ]


@pytest.mark.parametrize("order", ["given", "swapped"])
def test_the_ideal_teacher_earns_everything(order: Order) -> None:
    terms = build_rewards({"verdict": 1.0, "parsed": 1.0, "format": 1.0, "rubric": 1.0, "quotes": 1.0})
    quoted = 0
    for index in range(60):
        item = sample_pair(0, index)
        (reward,) = compute_rewards(terms, [sample(oracle_trace(item, order), pair=item.pair, order=order)])
        values = dict(reward.values)
        quoted += (found := values.pop("quotes")) == 1.0
        assert set(values.values()) == {1.0} and found in (0.0, 1.0), (index, values)
    assert quoted > 30


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"fromat": 1.0}, "reward 'fromat' is not known; did you mean 'format'?"),
        ({"beauty": 1.0}, "reward 'beauty' is not known; expected one of verdict, parsed, consistency"),
        ({"verdict": math.inf}, "reward 'verdict' has the weight inf; expected a finite number"),
        ({"verdict": 0.0}, "no reward has a weight other than 0"),
        ({}, "no reward has a weight other than 0"),
    ],
)
def test_settings_that_do_not_fit(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_rewards(weights)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def write(folder: Path, body: str) -> str:
    path = folder / "mine.py"
    path.write_text("from dataclasses import dataclass\n\n" + body, encoding="utf-8")
    return str(path)


def test_a_function_of_ones_own(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "@dataclass\nclass Bonus:\n    size: float = 0.5\n\n\n"
        "def reward_brief(sample):\n"
        "    return Bonus().size if sample.verdict.winner == sample.label and len(sample.text) < 50 else 0\n",
    )
    name = f"{path}:reward_brief"
    terms = build_rewards({"verdict": 1.0, name: 2.0})
    rewards = compute_rewards(terms, [sample("<answer>[[A]]</answer>"), sample(REASONING)])
    assert [reward.total for reward in rewards] == [2.0, 1.0]
    assert rewards[0].values == {"verdict": 1.0, name: 0.5}
    assert terms[0].digest is None and terms[1].digest == load_own(name).digest
    write(tmp_path, "def reward_brief(sample):\n    return 1\n")
    assert load_own(name).digest != terms[1].digest


def test_a_function_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rewards_of_mine.py").write_text("def longer(sample):\n    return len(sample.text)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (reward,) = compute_rewards(build_rewards({"rewards_of_mine:longer": 1.0}), [sample("four")])
    assert reward.total == 4.0
    sys.modules.pop("rewards_of_mine")


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ("", "nothing", "mine.py has no function 'nothing'"),
        ("size = 3\n", "size", "mine.py has no function 'size'"),
        ("import no_such_module_at_all\n", "f", "cannot be imported: ModuleNotFoundError: No module named"),
        ("def f(:\n", "f", "cannot be imported: SyntaxError"),
    ],
)
def test_functions_that_cannot_be_loaded(tmp_path: Path, body: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_rewards({f"{write(tmp_path, body)}:{name}": 1.0})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_names_of_functions_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be imported: FileNotFoundError"):
        load_own(f"{tmp_path}/nowhere.py:f")
    with pytest.raises(ConfigError, match=r"cannot be imported: ModuleNotFoundError"):
        load_own("no_such_module_at_all:f")
    with pytest.raises(ConfigError, match=r"expected 'module:function'"):
        load_own("mine.py:")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return float('nan')\n", "on pair '7' it returned 'nan'; expected a finite number"),
        ("    return float('inf')\n", "on pair '7' it returned 'inf'; expected a finite number"),
        ("    return '1'\n", "on pair '7' it returned '1'; expected a finite number"),
        ("    return None\n", "on pair '7' it returned 'None'; expected a finite number"),
        ("    return 10 ** 400\n", "on pair '7' it returned '1000"),
        ("    return sample.no_such_field\n", "on pair '7' it failed: AttributeError: 'Judged' object"),
        ("    raise KeyError\n", "on pair '7' it failed: KeyError"),
    ],
)
def test_functions_that_fail(tmp_path: Path, body: str, message: str) -> None:
    terms = build_rewards({write(tmp_path, "def f(sample):\n" + body) + ":f": 1.0})
    with pytest.raises(ConfigError) as caught:
        compute_rewards(terms, [sample(REASONING)])
    assert message in str(caught.value) and "\n" not in str(caught.value)
