"""Templates that open the thinking: what is learnt behind them, and that a judge reads it as it was meant."""

from __future__ import annotations

import copy

import pytest

from rmr1.engines.hf.tokens import decode_tokens
from rmr1.errors import DataError
from rmr1.messages import assistant, user
from rmr1.prompts.thinking import find_close_mark, find_marks, find_open_mark
from rmr1.train.examples import StoredExamples
from rmr1.train.plan import check_targets
from rmr1.train.rendering import Renderer
from rmr1.train.row import Example
from tests.tiny_models import END, build_tokenizer

JUDGMENT = "<type>Chat</type>\n<eval><quote_A>red</quote_A> is better.</eval>\n<answer>[[A]]</answer>"
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\nOPENING{% endif %}"
)
# Writes the last turn's thinking, empty or not, and takes it out of earlier ones.
HISTORY = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n{{ m.reasoning_content or '' }}</think>\n---\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def renderer_of(template: str) -> Renderer:
    tokenizer = copy.deepcopy(build_tokenizer())
    tokenizer.chat_template = template
    return Renderer(tokenizer)


def own_text(renderer: Renderer, turn: str) -> tuple[str, Example]:
    example = renderer.render((user("Who?"), assistant(turn)))
    return decode_tokens(renderer.tokenizer, example.tokens[example.num_prompt :]), example


@pytest.mark.parametrize(
    ("opening", "closed"),
    [
        ("<think>\n", "\n</think>\n\n"),
        ("<think>", "</think>"),
        ("<thinking>\n", "\n</thinking>\n\n"),
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|begin_of_thought|>\n\n", "\n\n<|end_of_thought|>\n\n"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<seed:think>", "</seed:think>"),
        ("<reasoning>\n", "\n</reasoning>\n\n"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ],
)
def test_what_the_template_opens_is_closed(opening: str, closed: str) -> None:
    renderer = renderer_of(TURNS.replace("OPENING", opening))
    text, example = own_text(renderer, JUDGMENT)
    assert text == closed + JUDGMENT + END
    verdict = renderer.read_back(example)
    assert verdict.winner == example.label == "A" and verdict.trace.task_type == "chat"
    # A trace that thinks goes on behind the mark, and its thinking is closed once.
    text, example = own_text(renderer, f"<think>\nRed is warm.\n</think>\n\n{JUDGMENT}")
    verdict = renderer.read_back(example)
    assert verdict.winner == "A" and verdict.trace.thinking == "Red is warm."
    assert sum(mark.is_closing for mark in find_marks(opening + text)) == 1


def test_a_closed_thought_is_written_as_the_template_writes_it() -> None:
    renderer = renderer_of(HISTORY)
    text, example = own_text(renderer, JUDGMENT)
    assert text == f"</think>\n---\n{JUDGMENT}{END}"
    assert renderer.read_back(example).winner == "A"


def test_thinking_whose_opening_was_left_to_the_template_goes_on() -> None:
    """As servers store it, which leave out the mark that the prompt holds."""
    renderer = renderer_of(TURNS.replace("OPENING", "<think>\n"))
    turn = f"Red is warm.\n</think>\n\n{JUDGMENT}"
    text, example = own_text(renderer, turn)
    assert text == turn + END
    assert renderer.read_back(example).trace.thinking == "Red is warm."


def test_thinking_in_another_word_is_closed_in_the_templates() -> None:
    renderer = renderer_of(TURNS.replace("OPENING", "<think>\n"))
    text, example = own_text(renderer, f"<thinking>Red is warm.</thinking>{JUDGMENT}")
    assert text == f"Red is warm.\n</think>\n\n{JUDGMENT}{END}"
    assert renderer.read_back(example).trace.thinking == "Red is warm."


def test_a_thought_that_the_prompt_has_closed_stays_closed() -> None:
    renderer = renderer_of(TURNS.replace("OPENING", "<think>\n\n</think>\n\n"))
    text, example = own_text(renderer, JUDGMENT)
    assert text == JUDGMENT + END and renderer.read_back(example).winner == "A"


def test_words_of_a_chat_are_closed_off_too() -> None:
    renderer = renderer_of(TURNS.replace("OPENING", "<think>\n"))
    assert own_text(renderer, "Hello there")[0] == f"\n</think>\n\nHello there{END}"


@pytest.mark.parametrize("word", ["<think>", "<|begin_of_thought|>", "<SCRATCHPAD>", "<|thinking_start|>"])
def test_the_closing_mark_is_of_the_opening_ones_form(word: str) -> None:
    (opening,) = find_marks(word)
    (closing,) = find_marks(find_close_mark(word))
    assert closing.is_closing and closing.form == opening.form
    assert find_open_mark(f"x {word}") == word


def test_the_templates_own_closing_mark_is_taken() -> None:
    assert find_close_mark("<think>\n", "{{ m.content.split('</thinking>')[-1] }}") == "</thinking>"


def targets(*turns: str) -> tuple[Renderer, StoredExamples]:
    renderer = renderer_of(TURNS.replace("OPENING", ""))
    source = StoredExamples()
    for turn in turns:
        source.add(renderer.render((user("Who?"), assistant(turn)), label="A"))
    return renderer, source


def test_targets_are_read_back_before_a_run() -> None:
    renderer, source = targets(JUDGMENT, JUDGMENT)
    assert list(check_targets(renderer, source)) == []
    lost = f"<think>\nIt goes on. {JUDGMENT}"
    renderer, source = targets(JUDGMENT, lost)
    (note,) = check_targets(renderer, source)
    assert (
        note.startswith("1 of the first 2 targets do not give their label") and "1 unclosed_thinking" in note
    )
    renderer, source = targets(lost, lost)
    with pytest.raises(DataError, match=r"none of the first 2 targets gives its label .*2 unclosed_thinking"):
        list(check_targets(renderer, source))
    with pytest.raises(DataError, match=r"2 say B for A"):
        list(check_targets(*targets(*[JUDGMENT.replace("[[A]]", "[[B]]")] * 2)))
