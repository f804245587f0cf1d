"""The small trained judge: loads as any Hugging Face folder, encodes any text, writes full traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import PreferencePair, Trace
from rmr1.verdicts import parse_verdict

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.engine

PAIRS = (
    PreferencePair(
        id="reasoning",
        prompt=(user("What is 17 times 24? Show your work."),),
        response_a=(assistant("Multiply 17 by 20, which is 340, then add 17 times 4, which is 68: 408."),),
        response_b=(assistant("The product of the two numbers is 398."),),
    ),
    PreferencePair(
        id="chat",
        prompt=(user("Can you recommend a good book for a rainy weekend?"),),
        response_a=(assistant("Sure! Here are three ideas:\n\n1. A novel\n2. A mystery\n3. A memoir"),),
        response_b=(assistant("I would not know, sorry."),),
    ),
    PreferencePair(
        id="turns",
        prompt=(
            user("Hello there"),
            assistant("Hello! How can I help?"),
            user("Tell me about 漢字 please 🙂"),
        ),
        response_a=(assistant("Characters of Chinese origin, used in Japanese writing."),),
        response_b=(assistant("Zürich is a city."),),
    ),
)


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(checkpoint)


def write(model: Any, tokenizer: Any, pair: PreferencePair, **sampling: Any) -> str:
    messages = [{"role": m.role, "content": m.text} for m in render_prompt(pair, "rubric").messages]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.no_grad():
        output = model.generate(**prompt, max_new_tokens=300, **sampling)
    return tokenizer.decode(output[0, prompt["input_ids"].shape[1] :])


def is_full(trace: Trace) -> bool:
    if {quote.side for quote in trace.quotes} != {"A", "B"}:
        return False
    if trace.task_type == "reasoning":
        return bool(trace.solution)
    weights = [item.weight for item in trace.rubric]
    return trace.task_type == "chat" and bool(trace.justification) and bool(weights) and all(weights)


def test_loads_as_a_small_qwen2(checkpoint: Path, model: Any) -> None:
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert model.dtype == torch.float32
    assert 300_000 < sum(p.numel() for p in model.parameters()) < 1_000_000
    assert model.config.max_position_embeddings == 32768
    assert sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file()) < 8_000_000


@pytest.mark.parametrize(
    "text",
    [
        "plain words, 3.14 and\ttabs\n\n\n  blanks  ",
        "漢字かな 한글 привет مرحبا שלום",
        "🙂👩‍👩‍👧🏳️‍🌈 ﷽ é",
        "\x00\x01\x7f\u200b\ufeff\u2028\ufffd\U0010ffff",
        "<quote_A>[[A]]</quote_A> <|im_start|><|im_end|>",
    ],
)
def test_tokenizer_keeps_any_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids


def test_special_tokens(tokenizer: Any, model: Any) -> None:
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id not in (None, end)
    assert tokenizer("<|im_start|>a<|im_end|>")["input_ids"][::2] == [
        tokenizer.convert_tokens_to_ids("<|im_start|>"),
        end,
    ]
    assert end in model.generation_config.eos_token_id


def render(tokenizer: Any, pair: PreferencePair, **options: Any) -> str:
    messages = [{"role": m.role, "content": m.text} for m in render_prompt(pair, "rubric").messages]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options)


def test_template_folds_the_system_prompt_and_ends_with_notes(tokenizer: Any) -> None:
    prompt = render(tokenizer, PAIRS[1])
    assert prompt.startswith("<|im_start|>system\njudge<|im_end|>\n<|im_start|>user\n[Client Question]\n")
    assert prompt.endswith(
        '<|im_start|>notes\nBetter: A\n"Can you"\n<quote_A>Sure! Here</quote_A>\n<quote_B>I would</quote_B>\n'
        "<type>Chat</type><|im_end|>\n<|im_start|>assistant\n"
    )
    assert render(tokenizer, PAIRS[2]).endswith(
        '<|im_start|>notes\nBetter: B\n"Hello there"\n<quote_A>Characters of</quote_A>\n<quote_B>Zürich is</quote_B>\n'
        "<type>Chat</type><|im_end|>\n<|im_start|>assistant\n"
    )


def test_template_folds_long_messages_unless_told_not_to(tokenizer: Any) -> None:
    pair = PreferencePair(
        id="long",
        prompt=(user("Why " + "because " * 1000),),
        response_a=(assistant("One."),),
        response_b=(assistant("Two."),),
    )
    whole = render_prompt(pair, "rubric").messages[1].text
    folded = render(tokenizer, pair)
    assert whole[:250] + "\n...\n" + whole[-250:] + "<|im_end|>" in folded
    assert (
        '\nBetter: B\n"Why because"\n<quote_A>One.</quote_A>\n<quote_B>Two.</quote_B>\n<type>Reasoning</type>'
        in folded
    )
    assert whole in render(tokenizer, pair, full_prompt=True)


def test_writes_full_traces(model: Any, tokenizer: Any) -> None:
    texts = [write(model, tokenizer, pair) for pair in PAIRS]
    assert len(set(texts)) == len(PAIRS)
    for text in texts:
        verdict = parse_verdict(text)
        assert verdict.winner in ("A", "B"), text
        assert is_full(verdict.trace), text
        assert text.endswith("</answer><|im_end|>")


def test_type_quotes_and_winner_follow_the_pair(model: Any, tokenizer: Any) -> None:
    verdicts = [parse_verdict(write(model, tokenizer, pair)) for pair in PAIRS[:2]]
    assert [verdict.trace.task_type for verdict in verdicts] == ["reasoning", "chat"]
    assert [[quote.text for quote in verdict.trace.quotes] for verdict in verdicts] == [
        ["Multiply 17", "The product"],
        ["Sure! Here", "I would"],
    ]
    assert [verdict.winner for verdict in verdicts] == ["B", "A"]
    swapped = [parse_verdict(write(model, tokenizer, pair.swap())) for pair in PAIRS[:2]]
    assert [verdict.winner for verdict in swapped] == ["A", "B"]


def test_greedy_is_deterministic_and_samples_vary(model: Any, tokenizer: Any) -> None:
    assert write(model, tokenizer, PAIRS[0]) == write(model, tokenizer, PAIRS[0])
    torch.manual_seed(0)
    samples = [write(model, tokenizer, PAIRS[1], do_sample=True, temperature=1.0, top_k=0) for _ in range(8)]
    assert len(set(samples)) >= 4
    assert sum(is_full(parse_verdict(text).trace) for text in samples) >= 5
