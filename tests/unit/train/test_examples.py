"""From rows to documents: what has a loss, what is refused, and in which order examples are taken."""

from __future__ import annotations

import copy
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.tokens import decode_tokens
from rmr1.errors import CheckpointError, DataError
from rmr1.messages import Message, assistant, user
from rmr1.train.examples import (
    Position,
    StoredExamples,
    count_steps,
    read_conversations,
    read_examples,
    take_batch,
)
from rmr1.train.recipe import BatchRecipe
from rmr1.train.rendering import Renderer, find_end_token
from rmr1.train.row import Example
from tests.tiny_models import END, build_tokenizer
from tests.training import make_rows, write_rows

TOKENIZER = build_tokenizer()
RENDERER = Renderer(TOKENIZER)


def test_prompt_turn_and_end() -> None:
    example = RENDERER.render((user("Who?"), assistant("I say [[A]]")))
    prompt = decode_tokens(TOKENIZER, example.tokens[: example.num_prompt])
    own = decode_tokens(TOKENIZER, example.tokens[example.num_prompt :])
    assert prompt == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert own == f"I say [[A]]{END}"
    assert example.label == "A"


def test_thinking_that_the_template_opens_is_not_written_twice() -> None:
    renderer = Renderer(TOKENIZER, {"think": True})
    example = renderer.render((user("Who?"), assistant("<think>\nhm</think> <answer>[[B]]</answer>")))
    assert decode_tokens(TOKENIZER, example.tokens[: example.num_prompt]).endswith("assistant\n<think>\n")
    own = decode_tokens(TOKENIZER, example.tokens[example.num_prompt :])
    assert own == f"hm</think> <answer>[[B]]</answer>{END}" and example.label == "B"


def test_the_end_is_the_templates_else_the_tokenizers() -> None:
    assert find_end_token(Chat(TOKENIZER)) == TOKENIZER.convert_tokens_to_ids(END)
    plain = copy.deepcopy(TOKENIZER)
    plain.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    assert find_end_token(Chat(plain)) == plain.eos_token_id
    plain.eos_token = None
    with pytest.raises(CheckpointError, match="could not learn where to stop; set eos_token"):
        find_end_token(Chat(plain))


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ((user("a"),), "the last message is not the judge's"),
        ((user("a"), user("b")), "the last message is not the judge's"),
        ((user("a"), assistant("  ")), "the judge's turn is empty"),
        ((Message(role="tool", content="x"), assistant("b")), "the chat template refuses these messages"),
    ],
)
def test_conversations_that_cannot_be_trained_on(messages, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        RENDERER.render(messages)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"text": "x"}, r"rows.jsonl:2: the row has no 'messages' \(it has text\)"),
        ({"messages": []}, "rows.jsonl:2: 'messages' is not a list of messages"),
        ({"messages": [{"role": "judge", "content": "x"}]}, r"messages\[0\]: role 'judge' is not one of"),
        ({"messages": [{"role": "user", "content": 3}]}, r"messages\[0\]: content is not text"),
        (
            {"messages": [{"role": "user", "content": "x"}]},
            "rows.jsonl:2: the last message is not the judge's",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: dict, complaint: str) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [*make_rows(1), row])
    with pytest.raises(DataError, match=complaint):
        read_examples(str(path), RENDERER, max_tokens=10_000)


def test_nothing_to_train_on(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [])
    with pytest.raises(DataError, match="nothing to train on: it holds no rows"):
        read_examples(str(path), RENDERER, max_tokens=100)
    write_rows(path, make_rows(3))
    with pytest.raises(DataError, match=r"all 3 documents are longer than data.max_tokens 10"):
        read_examples(str(path), RENDERER, max_tokens=10)
    with pytest.raises(DataError, match=r"rows.jsonl:1: document of \d+ tokens is longer"):
        read_examples(str(path), RENDERER, max_tokens=10, on_overlong="fail")


def test_rows_kept_aside_are_not_trained_on(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", make_rows(60))
    kept, aside = read_examples(str(path), RENDERER, max_tokens=10_000, held_out_share=0.3)
    texts = [{tuple(one.tokens) for one in source.all} for source in (kept, aside)]
    assert len(texts[0]) + len(texts[1]) == 60 and not texts[0] & texts[1]
    assert 8 <= len(texts[1]) <= 28


def hint(row: dict, text: str, *, role: int = 1) -> dict:
    changed = copy.deepcopy(row)
    changed["messages"][role]["content"] += text
    return changed


def verdict(row: dict) -> str:
    return "A" if "[[A]]" in row["messages"][-1]["content"] else "B"


def test_a_verdict_in_the_prompt_is_found(tmp_path: Path) -> None:
    rows = make_rows(4)
    rows = [*rows[:2], *(hint(row, f"\nThe correct verdict is [[{verdict(row)}]].") for row in rows[2:])]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match=r"rows.jsonl:3: the prompt holds the verdict.*\(2 rows\)"):
        list(read_conversations(str(path)))
    assert len(list(read_conversations(str(path), check_prompts=False))) == 4


def test_a_wording_that_tells_the_verdict_is_found(tmp_path: Path) -> None:
    rows = [hint(row, " Please." if verdict(row) == "A" else " Thanks.", role=0) for row in make_rows(80)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match=r"the prompts give the verdict away: \d+ of one wording"):
        list(read_conversations(str(path)))


def test_marks_inside_the_answers_and_fair_examples_are_no_leak(tmp_path: Path) -> None:
    rows = [hint(row, "\nFor example: [[A]]", role=0) for row in make_rows(40)]
    for row in rows:
        text = row["messages"][1]["content"]
        row["messages"][1]["content"] = text.replace(
            "[The End of Chatbot A", f"[[{verdict(row)}]]\n[The End of Chatbot A"
        )
    path = write_rows(tmp_path / "rows.jsonl", rows)
    assert len(list(read_conversations(str(path)))) == 40


def stored(lengths: list[int], seed: int = 0) -> StoredExamples:
    source = StoredExamples(seed=seed)
    for index, length in enumerate(lengths):
        source.add(Example(tokens=[index] * length, num_prompt=1))
    return source


def take_all(source: StoredExamples, batch: BatchRecipe, epochs: int) -> list[list[int]]:
    position, steps = Position(), []
    while position.epoch < epochs:
        examples, position = take_batch(source, batch, position)
        steps.append([example.tokens[0] for example in examples])
    return steps


def test_every_example_once_an_epoch_in_an_order_of_its_own() -> None:
    source, batch = stored([3] * 10), BatchRecipe(examples=4)
    steps = take_all(source, batch, 2)
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2]
    first, second = (list(chain(*part)) for part in (steps[:3], steps[3:]))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    order = list(range(10))
    Random("0/0").shuffle(order)
    assert first == order
    assert count_steps(source, batch, epochs=2, steps=None) == 6
    assert count_steps(source, batch, epochs=2, steps=5) == 5
    assert take_all(stored([3] * 10, seed=1), batch, 1) != steps[:3]


def test_batches_by_tokens() -> None:
    source, batch = stored([5, 1, 4, 12, 2, 3]), BatchRecipe(tokens=6)
    steps = take_all(source, batch, 1)
    lengths = {0: 5, 1: 1, 2: 4, 3: 12, 4: 2, 5: 3}
    assert sorted(chain(*steps)) == list(range(6))
    assert all(len(step) == 1 or sum(lengths[one] for one in step) <= 6 for step in steps)
    assert count_steps(source, batch, epochs=3, steps=None) == len(take_all(source, batch, 3))
