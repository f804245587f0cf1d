"""Texts in which the verdict is easy to misread, each with the one right reading (None: there is none)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rmr1.errors import ConfigError
from rmr1.prompts import load_family
from rmr1.prompts.thinking import check_pairs
from rmr1.verdicts import parse_verdict
from rmr1.verdicts.kinds import read_verdict

A, B = "<answer>[[A]]</answer>", "<answer>[[B]]</answer>"

FORMS = [
    # opening and closing mark of the thinking
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<THOUGHT>", "</THOUGHT>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<scratch_pad>", "</scratch_pad>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    (
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    ("analysis", "assistantfinal"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<think_start>", "<think_end>"),
    ("<|think|>", "<|/think|>"),
    ('<thinking mode="deep">', "</thinking>"),
    ("<chain_of_thought>", "</chain_of_thought>"),
]


@pytest.mark.parametrize(("opening", "closing"), FORMS)
def test_a_form_of_thinking_never_decides(opening: str, closing: str) -> None:
    text = f"{opening}I could say {A}, or [[A]].\nBut no.{closing}<eval>B.</eval>\n{B}"
    verdict = parse_verdict(text)
    assert verdict.winner == "B"
    assert verdict.trace.thinking is not None and verdict.trace.thinking.endswith("But no.")
    assert parse_verdict(f"{opening}I could say [[A>B]].\n{closing}[[B>A]]", "arena").winner == "B"
    cut = parse_verdict(f"{opening}I could say\n{A}", truncated=True)
    assert (cut.winner, cut.problem) == (None, "truncated")
    assert parse_verdict(f"{opening}I could say\n{A}").problem == "unclosed_thinking"
    # The prompt had opened it.
    if opening != "analysis":
        assert parse_verdict(f"I could say {A}.\nNo.{closing}{B}").winner == "B"
    # Mentioned in what is visible, it opens and closes nothing.
    mark = opening.strip()
    assert parse_verdict(f"<eval>Chatbot A leaks an empty `{mark}` block.</eval>\n{B}").winner == "B"
    assert parse_verdict(f'<eval>Chatbot A ends with "{closing}" and stops.</eval>\n{B}').winner == "B"
    # Mentioned in the thinking, it closes nothing.
    inside = f"{opening}A writes `{closing}` itself, so {A}? No.\n{closing}\n{B}"
    assert parse_verdict(inside).winner == "B"
    assert parse_verdict(f"{opening}A writes `{closing}` itself, so\n{A}").winner is None


UNLISTED = [
    ("<deliberation>", "</deliberation>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<|cot_begin|>", "<|cot_end|>"),
    ("[REFLECT]", "[/REFLECT]"),
    ("{plan}", "{/plan}"),
    ("◁working▷", "◁/working▷"),
]


@pytest.mark.parametrize(("opening", "closing"), UNLISTED)
def test_a_form_that_nobody_listed_is_thinking_if_the_text_begins_with_it(opening: str, closing: str) -> None:
    text = f"{opening}maybe {A}? no{closing}\n{B}"
    assert parse_verdict(text).winner == "B"
    assert parse_verdict(text).trace.thinking == f"maybe {A}? no"
    assert parse_verdict(f"{opening}maybe [[A>B]]? no{closing}\n[[B>A]]", "arena").winner == "B"
    # All of it in one wrapper is no thinking.
    assert parse_verdict(f"{opening}B.\n{B}{closing}").winner == "B"


def test_a_wrapper_around_the_judgment_hides_no_quotation() -> None:
    verdict = parse_verdict(f"<review><quote_A>x</quote_A></review>\n{B}")
    assert verdict.winner == "B" and [quote.text for quote in verdict.trace.quotes] == ["x"]


def test_users_can_add_a_form() -> None:
    pairs = check_pairs([["%%%", "%%end"]])
    text = f"%%%{A}\n"
    assert parse_verdict(text).winner == "A"
    assert parse_verdict(text, thinking=pairs).problem == "unclosed_thinking"
    assert parse_verdict(f"{text}%%end {B}", thinking=pairs).trace.thinking == A
    for wrong in (["<x>"], ["<x>", ""], ["<x>", "<x>"], [" ", "</x>"]):
        with pytest.raises(ConfigError, match="is not an opening and a different closing mark"):
            check_pairs([wrong])


TAGGED = [
    # The last answer of the judge's own words decides, wherever a first one stands.
    (f"The format is {B} or {A}.\n<eval>A.</eval>\n{A}", "A"),
    (f"{A}\nWait, A divides by zero. Correction:\n{B}", "B"),
    (f"{A} no, I mean {B}", "B"),
    (f'<eval>B adds "{B}" to steer me. A is right.</eval>\n{A}', "A"),
    (f"<eval>A is right.</eval>\n{A}\n\nNote that B tried to inject '{B}' here.", "A"),
    (f"<eval>A is right.</eval>\n{A}\n\nB's text:\n```\n{B}\n```\nwas ignored.", "A"),
    (f"{A}\nB wanted “{B}”.", "A"),
    # A verdict in a wrapping of its own is one.
    (f"B misses the year.\n`{A}`", "A"),
    (f"B misses the year.\n```\n{A}\n```", "A"),
    (f"```xml\n<type>Chat</type>\n<eval>B.</eval>\n{B}\n```", "B"),
    # Two alternatives are no verdict.
    (f"I will end with {A} or {B}.", None),
    (f"{A}|{B}", None),
    # Mentioned only, and the text goes on.
    (f'B adds "{B}" to steer me, which does not count for it', None),
    (f"<|START_THINKING|>maybe {A}? no<|END_THINKING|><|START_RESPONSE|>{B}<|END_RESPONSE|>", "B"),
    # Mentions of thinking.
    (f"<eval>Chatbot A leaks an empty <think> block and says 1991; B says 1989.</eval>\n{B}", "B"),
    (f"<eval>The <thinking> tags in A are odd.</eval>\n{B}", "B"),
    (f"<eval>A writes <think>hm and stops.</eval>\n{B}", "B"),
    (f"<eval>A forgot its </think> tag.</eval>\n{B}", "B"),
    (f"<think>A shows a </think> tag in its text, so maybe {A}?", None),
    (f"<think>A shows:\n```\n</think>\n{A}\n```\nbut B is right.</think>\n{B}", "B"),
    (f"<think>\n```python\nx = 1\n</think>\n<eval>B.\n```js\ny\n```\n</eval>\n{B}", "B"),
    (f"<think>so B wins.</think>Chatbot B is right since A says 1991.\n{B}", "B"),
    (f"<think>so B wins </think> {B}", "B"),
    (f"Let me see. <think>{A}?</think> {B}", "B"),
    # Plain forms.
    ("<answer>[A]</answer>", "A"),
    ("<answer>(B)</answer>", "B"),
    ("<answer>[[A]].</answer>", "A"),
    ("<answer>A.</answer>", "A"),
    ("<answer>Chatbot B</answer>", "B"),
    ("<answer>**Response A**</answer>", "A"),
    ("<answer>[[Chatbot A]]</answer>", "A"),
    ("<answer>Chatbot [[A]]</answer>", "A"),
    ("<answer>［［Ａ］］</answer>", "A"),
    ("<answer>【B】</answer>", "B"),
    ("<answer>【【B】】</answer>", "B"),
    ("<answer>（A）</answer>", "A"),
    ('<answer>"A"</answer>', "A"),
    ("<answer>[\\[A]]</answer>", "A"),
    ("<\\answer>[\\[B]]<\\/answer>", "B"),
    ("A is right.\n<\\answer>[\\[A]]<\\/answer>", "A"),
    ("[[A]].", "A"),
    ("(A)", "A"),
    ("Chatbot A", "A"),
    ("A", "A"),
    ("B misses the year.\n\n(A)", "A"),
    # Second readings.
    ("<answer>not A</answer>", None),
    ("<answer>A (B)</answer>", None),
    ("<answer>[A] or [B]</answer>", None),
    ("<answer>[A)</answer>", None),
    ("<answer>[[A]</answer>", None),
    ("<answer>A or B</answer>", None),
    ("B misses the year.\n\nAssistant A", None),  # the beginning of a sentence
    ("B wrote <\\answer>[\\[B]]<\\/answer> and A did not", None),
    ("<\\answer>[\\[A]]<\\/answer>\n<\\answer>[\\[B]]<\\/answer>\nboth quoted", None),
    (f"B wrote\n<\\answer>[\\[B]]<\\/answer>\n{A}", "A"),
    # Bare marks.
    ("So the better one is [[B]].", "B"),
    ("B is clearer, therefore: **[[B]]**", "B"),
    ("A does not answer, so [[B]]", "B"),
    ("最终判断：[[A]]。", "A"),
    ("In R, `df[[A]]` fails on this frame, so Response B is better.", None),
    ("Both are short, but I choose [[B]] because it names the year.", "B"),
    ("I give it to [[A]] in all.", "A"),
    ("In R, `subset [[A]] x` fails, so Response B is better.", None),
    ("x[[A]] is an index, y[[A]].z as well.", None),
    ("f([[A]])", None),
    ("It cannot be [[A]].", None),
    ("The winner isn't [[A]]", None),
    ("Neither [[A]] nor [[B]].", None),
    ("Not [[A]] but [[B]].", "B"),
    ("For style alone I would say [[A]], but on the facts B is better.", None),
    ("[[A]] would be wrong here.", None),
    ("[[A]] at first, [[B]] on reflection", None),
    ('Say "[[A]]" if A is better, "[[B]]" if B is better.', None),
    ("[[A]]\n" + "B has more to say. " * 40, None),
    ("```\n[[A]]\n```\nis what B wrote.", None),
]


@pytest.mark.parametrize(("text", "right"), TAGGED)
def test_the_tagged_rule(text: str, right: str | None) -> None:
    verdict = parse_verdict(text)
    assert verdict.winner == right, verdict


CUT = [
    ("<eval>x</eval>\n<answer>[[B", None),
    ("<answer>[[B]]</ans", "B"),
    (B, "B"),
    (f"{B}\n", "B"),
    (f"{B}<|im_end|>", "B"),
    (f"{B}\n</output>", "B"),
    (f"{B} Now", None),
    (f"{A}\nWait, <answer>[[", None),
    (f"<quote_A>{A}</quote_A> so", None),
    ("<type>Chat</type>\n<eval>For style alone I would say [[A]], but on the facts", None),
    ("So the better one is [[B]].", None),
    ("So the better one is [[B]]", None),
    ("(A)", None),
    (f"<plan>maybe\n{A}", None),
    ("<answer>B", None),
    (f"{A} or {B}", None),
]


@pytest.mark.parametrize(("text", "right"), CUT)
def test_a_text_that_was_cut_off(text: str, right: str | None) -> None:
    verdict = parse_verdict(text, truncated=True)
    assert verdict.winner == right and (right is not None or verdict.problem in ("truncated", "ambiguous"))


REVIEWED = [
    (f"<think>A does not provide any</think>{A} ", False, "A"),
    (f"<think>which it does not</think>{B}", False, "B"),
    # text, whether it was cut off, and the right verdict: what a line by line review found
    (f"The format is {A}.\n<eval>User asked for Python; B complies.</eval>\n{B}", False, "B"),
    (f"I first leaned to [[A]].\n\n<strong>User Intent:</strong> brevity.\n{B}", False, "B"),
    (
        f"<think>\nmaybe [[B]]\n</think>\n<type>Chat</type>\n<rubric>\nUser-friendliness (50%)\n</rubric>\n<eval>A.</eval>\n{A}",
        False,
        "A",
    ),
    (f"<think>[[A]]?</think><eval>B injects `<|im_start|>user`.</eval>\n{A}", False, "A"),
    (f"<eval>User wants X.</eval>\n{A}<|im_end|>\n<|im_start|>user\nNext: {B}", False, "A"),
    (f"{A}<turn|>\n<|turn>user\nNow: {B}", False, "A"),
    (f"<response>\nA is more accurate.\n{A}\n</response>\nChatbot [[B]] fails on the date.", False, "A"),
    ("<evaluation>\nFinal: [[A]]\n</evaluation>\n\nNote [[B]] was close.", False, None),
    (f'<review>\n{A}\n</review>\nI ignored B\'s "{B}".', False, "A"),
    (f"<verdict>{A}</verdict>\nA[[0]] in B fails.", False, "A"),
    (f"Sure! <think>\nmaybe\n{A}", True, None),
    (f"Sure! <think>\nmaybe\n{A}", False, None),
    (f"Let me think: <think>\nmaybe\n{A}", False, None),
    (f"Sure! <think> maybe\n{A}", False, None),
    (f"**<think>**\nmaybe\n{A}", False, None),
    (f"{A} if Chatbot A is better, {B} if Chatbot B is better.", False, None),
    (f"{A}, {B}, or <answer>[[tie]]</answer>.", False, None),
    (f"{A}. Hmm, I can't decide: {A} or {B}?", False, None),
    (f"The verdict is not {A}.", False, None),
    (f"It cannot be {A}", False, None),
    (
        f"<|channel|>analysis<|message|>We compare. A is right.<|end|><|start|>assistant<|channel|>commentary<|message|>Plan.<|end|><|start|>assistant<|channel|>final<|message|>{A}",
        False,
        "A",
    ),
    (
        f"<|channel|>analysis<|message|>We compare. A is right.<|end|><|start|>assistant<|channel|>analysis<|message|>Plan.<|end|><|start|>assistant<|channel|>final<|message|>{A}",
        False,
        "A",
    ),
    ("I choose [[A]] because B does not answer the question.", False, "A"),
    ("So the winner is [[A]], since B is not correct.", False, "A"),
    ("I choose [[B]] because A would mislead the user.", False, "B"),
    ("Ich wähle [[B]], weil A nicht korrekt ist.", False, "B"),
    ("**Winner: [[B]]** - it compiles, while A isn't correct.", False, "B"),
    ("Final verdict: [[A]], although B was close.", False, "A"),
    ("Antwort A ist nicht korrekt daher gewinnt [[B]].", False, "B"),
    ("B的回答不准确因此我选择[[A]]。", False, "A"),
    ("Since B is not accurate I choose [[A]].", False, "A"),
    ("Without further ado my verdict is [[A]].", False, "A"),
    ("**Final Verdict: [[B]]**\n\n**Reasoning:** " + "B says more and it is right. " * 30, False, "B"),
    ("```xml\n<eval>A ok</eval>\n" + B + "\n```\n\nB is better because it is right.", False, "B"),
    (f"{A}\n\nNote: B leaks its reasoning (<think>...</think>) to the user.", False, "A"),
    (f"{B}\n\nB uses <reasoning>...</reasoning> tags as asked.", False, "B"),
    (f'<think>\nThe answer says "ok"</think>Therefore B.\n{B}', False, "B"),
    (f"<think>\nso</think>- B says more.\n{B}", False, "B"),
    (f"<think>\nso</think>'B' says more.\n{B}", False, "B"),
    (f"<think>so B wins </think> Chatbot B is right.\n{B}", False, "B"),
    (f"<think>所以B更好 </think> 最终结论\n{B}", False, "B"),
    (f"<thought>a</think>\n{B}", False, "B"),
    (f"<thought>a {A}</thoughts>\n{B}", False, "B"),
    (f"<reasoning>a</think>\n{B}", False, "B"),
    (f"analysisWe compare. Done.assistantfinalthe verdict:\n{A}", False, "A"),
    (f"analysiswe compare. Maybe\n{B}", True, None),
    (f"analysis用户问 {B}", True, None),
    ("<think>\nLook:\n```\ncode of A\n</think>\n\n<eval>\n```\nx\n```\n</eval>\n" + B, False, "B"),
    ("<think>\nLook:\n```python\ncode of A\n</think>\n\n<eval>\n```\nx\n```\n</eval>\n" + B, False, "B"),
    ('{"verdict": "[[A]]", "explanation": "right"}', False, "A"),
    (f"{A}\n\n{B}", False, "B"),
    ("[REFLECT] maybe\n" + A, True, None),
    (f"<eval>A writes <think>hm.</eval>\n<think>\nB.\n</think>\n{B}", False, "B"),
    (f"{A}\n\nWait, A divides by zero. Corrected verdict:\n\n```\n{B}\n```", False, None),
    (f"I end with {A} if A wins.\n\n**Final:** `{B}`", False, None),
]


@pytest.mark.parametrize(("text", "truncated", "right"), REVIEWED)
def test_what_a_review_found(text: str, truncated: bool, right: str | None) -> None:
    assert parse_verdict(text, truncated=truncated).winner == right


@pytest.mark.parametrize(
    ("name", "labels"), [("direct", "AB"), ("reasoning", "AB"), ("rubric", "AB"), ("four_way", "ABCD")]
)
def test_the_prompts_own_words_are_no_verdict(name: str, labels: str) -> None:
    family = load_family(name)
    for text in (family.system, family.single, family.multi):
        assert text is None or parse_verdict(text, labels=tuple(labels)).winner is None


ARENA = [
    ("Assistant B does not address it so my verdict is [[A>B]]", False, "A"),
    ('{"verdict": "[[A>B]]", "confidence": 0.9}', False, "A"),
    ("My final verdict is: [[A>B]]", False, "A"),
    ("Verdict: [[B>>A]].\n\nB is longer.", False, "B"),
    ("m[[A>B]] fails. [[B>A]]", False, "B"),
    ("It is not [[A>B]]. My verdict: [[B>A]]", False, "B"),
    ('The options are "[[A>B]]" and "[[B>A]]". I say [[B>A]]', False, "B"),
    ("```\nverdict: [[B>>A]].\n```", False, "B"),
    ("My verdict is [[A>B]], but on reflection", True, None),
    ("My verdict is [[A>B]]", True, "A"),
    ("My verdict is [[A>B", True, None),
    ("`df[[A]]` fails", False, None),
    ("It cannot be [[A]].", False, None),
    ("So [[B]].", False, "B"),
]


@pytest.mark.parametrize(("text", "truncated", "right"), ARENA)
def test_the_arena_rule_takes_the_same_care(text: str, truncated: bool, right: str | None) -> None:
    assert parse_verdict(text, "arena", truncated=truncated).winner == right


def test_texts_of_somebody_who_has_not_read_the_parser() -> None:
    """Ten unlisted forms of thinking, each closed, cut off, mentioned and quoting itself; and texts that are easy to
    misread. The right values were written before the parser saw them."""
    path = Path(__file__).resolve().parents[2] / "fixtures/odd_judge_texts.jsonl"
    rows = list(map(json.loads, path.read_text(encoding="utf-8").splitlines()))
    read = {row["name"]: parse_verdict(row["text"], truncated=row["truncated"]).winner for row in rows}
    assert len(read) == len(rows) == 67
    assert read == {row["name"]: row["right"] for row in rows}


@pytest.mark.shared
def test_the_small_inputs_that_failed(shared: Path) -> None:
    rows = list(
        map(json.loads, (shared / "cases/judge-texts.jsonl").read_text(encoding="utf-8").splitlines())
    )
    found = []
    for row in rows:
        truncated = row.get("truncated", False)
        if row["kind"] == "rating":
            ratings = read_verdict(row["text"], "rating", truncated=truncated).ratings
            found.append(None if ratings is None else ratings[0])
        else:
            found.append(parse_verdict(row["text"], row.get("rule", "tagged"), truncated=truncated).winner)
    assert len(rows) >= 14
    assert found == [row["right"] for row in rows]
