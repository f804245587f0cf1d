"""The tokenizer and the model that a recipe makes anew."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from rmr1.engines.hf.chat import Chat
from rmr1.engines.hf.tokens import decode_tokens, encode_text
from rmr1.errors import ConfigError
from rmr1.messages import assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import PreferencePair
from rmr1.train.recipe import ScratchRecipe
from rmr1.train.row import Example
from rmr1.train.scratch.model import build_model
from rmr1.train.scratch.tokenizer import CONTROL_TOKENS, Speller, learn_tokenizer, protocol_tokens

TEXTS = (
    "The answer is 28. 3 + 7 = 10; the answer is 10.",
    "The answer is right, the other answer is wrong.\n\n**The** answer",
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return learn_tokenizer(TEXTS, vocabulary=500)


def pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    return [decode_tokens(tokenizer, [token]) for token in encode_text(tokenizer, text)]


def test_words_numbers_and_the_protocol_are_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    assert pieces(tokenizer, "The answer is 28, not 7.") == [
        *("The", " answer", " is", " ", "28", ","),
        *(" ", "n", "o", "t", " ", "7", "."),
    ]
    assert pieces(tokenizer, "<quote_A>The answer</quote_A><answer>[[B]]</answer>") == [
        *("<quote_A>", "The", " answer", "</quote_A>", "<answer>", "[[B]]", "</answer>"),
    ]
    for number in range(100):
        assert len(encode_text(tokenizer, str(number))) == 1
    for text in (*protocol_tokens(), *CONTROL_TOKENS):
        assert len(encode_text(tokenizer, text)) == 1, text


def test_the_fixed_system_prompt_is_one_token(tokenizer: PreTrainedTokenizerBase) -> None:
    pair = PreferencePair(
        id="", prompt=(user("The?"),), response_a=(assistant("28"),), response_b=(assistant("7"),)
    )
    messages = render_prompt(pair, "rubric").messages
    text = Chat(tokenizer).render(messages)
    assert text.startswith("<|system|><|protocol|><|end|><|user|>[Client Question]\nThe?")
    assert text.endswith("<|end|><|assistant|>")
    assert "fair and careful" in Chat(tokenizer).render(
        (messages[0].__class__(role="system", content=messages[0].text + " "), messages[1])
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.sampled_from((*TEXTS, *protocol_tokens(), *CONTROL_TOKENS, " ", "\n", " 007", "é́", "\x00")),
        ),
        max_size=6,
    ).map("".join)
)
def test_any_text_is_encoded_and_decoded_exactly(text: str) -> None:
    tokenizer = _shared()
    assert decode_tokens(tokenizer, encode_text(tokenizer, text)) == text


_MADE: list[PreTrainedTokenizerBase] = []


def _shared() -> PreTrainedTokenizerBase:
    if not _MADE:
        _MADE.append(learn_tokenizer(TEXTS, vocabulary=500))
    return _MADE[0]


def test_spelt_words_are_the_same_text_and_follow_the_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    prompt, own = "The answer is wrong? The answer, the ", "right answer is The [[A]] answer 28"
    ids = encode_text(tokenizer, prompt)
    example = Example(tokens=[*ids, *encode_text(tokenizer, own)], num_prompt=len(ids), label="A")
    spelt = Speller(tokenizer, 0.999999).spell(example, Random(0))
    assert decode_tokens(tokenizer, spelt.tokens[: spelt.num_prompt]) == prompt
    assert decode_tokens(tokenizer, spelt.tokens[spelt.num_prompt :]) == own
    pieces = [decode_tokens(tokenizer, [token]) for token in spelt.tokens]
    assert not {" answer", "The", " is"} & set(pieces) and {"[[A]]", "28"} <= set(pieces)
    assert Speller(tokenizer, 1e-9).spell(example, Random(0)) is example
    half = Speller(tokenizer, 0.5)
    assert half.spell(example, Random(1)) == half.spell(example, Random(1))


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_it_is_the_same_after_storing(
    tokenizer: PreTrainedTokenizerBase, architecture: str, tmp_path
) -> None:
    # Beside a configuration: its type decides which class a stored tokenizer becomes.
    recipe = ScratchRecipe(hidden_size=16, heads=4, architecture=architecture)
    build_model(recipe, tokenizer, seed=0).config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "The <|end|> answer: <eval>x 99</eval> été"
    assert encode_text(again, text) == encode_text(tokenizer, text)
    assert again.chat_template == tokenizer.chat_template and again.eos_token == "<|end|>"
    assert len(again) == len(tokenizer) == max(tokenizer.get_vocab().values()) + 1


def test_rare_words_have_no_token_and_the_commonest_come_first() -> None:
    small = learn_tokenizer(["a a a b b c"] * 2, vocabulary=500, min_count=5)
    assert " a" not in small.get_vocab() and "Ġa" not in small.get_vocab()
    fixed = len(learn_tokenizer([], vocabulary=500))
    one = learn_tokenizer(["one two two three"] * 3, vocabulary=fixed + 1)
    assert len(one) == fixed + 1 and "Ġtwo" in one.get_vocab()
    with pytest.raises(ConfigError, match=f"the fixed tokens alone are {fixed}"):
        learn_tokenizer([], vocabulary=fixed - 1)


def test_the_model_has_the_recipes_shape(tokenizer: PreTrainedTokenizerBase) -> None:
    recipe = ScratchRecipe(hidden_size=32, layers=2, heads=4, kv_heads=2, intermediate_size=48, context=256)
    model = build_model(recipe, tokenizer, seed=3)
    assert model.config.model_type == "qwen3" and model.config.head_dim == 8
    assert model.config.max_position_embeddings == 256 and model.config.vocab_size == len(tokenizer)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    again = build_model(recipe, tokenizer, seed=3)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
