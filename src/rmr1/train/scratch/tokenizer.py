"""A word-level tokenizer learnt from the training text, which encodes any text exactly.

A piece is a word with the blank before it, a sign, a run of white space, or at most two digits without a blank, so that
28 is the same token everywhere and a judge that compares numbers compares tokens. Pieces that occur often enough are
tokens; every other one is spelt in bytes. The protocol's tags, delimiter lines and verdict marks are tokens of their
own. Decoding gives back the text byte for byte.

Every word of the training text has a token, so bytes would never occur in training. A `Speller` therefore spells some
of the prompt's words in bytes, in the whole example, so that a judge learns to read and copy words it has no token for.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rmr1.errors import ConfigError
from rmr1.prompts.families import load_family
from rmr1.prompts.protocol import ENGLISH, SIDE_TAGS, TAGS
from rmr1.train.row import Example

END = "<|end|>"
PAD = "<|pad|>"
PROTOCOL = "<|protocol|>"
"""Stands for the `rubric` family's system prompt, which is always the same text."""

ROLES = ("system", "user", "assistant", "tool")
CONTROL_TOKENS = (PAD, END, PROTOCOL, *(f"<|{role}|>" for role in ROLES))

_PIECES = Regex(r" ?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+")
_WORD = re.compile(r"Ġ?([A-Za-z]{2,})")
"""A piece that is one word, in the byte-level spelling."""
_NUMBERS = tuple(dict.fromkeys([*map(str, range(100)), *(f"0{digit}" for digit in range(10))]))

_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['role'] == 'system' and message['content'] == @SYSTEM@ -%}
{{- '<|protocol|>' -}}
{%- else -%}
{{- message['content'] -}}
{%- endif -%}
{{- '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def protocol_tokens() -> tuple[str, ...]:
    """Texts of the judge protocol that are one token each."""
    names = [*TAGS, *(f"{name}_{side}" for name in SIDE_TAGS for side in "AB")]
    lines = [ENGLISH.question]
    for side in "AB":
        lines += [*ENGLISH.response(side), *ENGLISH.conversation(side)]
    return (
        *(f"<{slash}{name}>" for name in names for slash in ("", "/")),
        *lines,
        "[[A]]",
        "[[B]]",
    )


def learn_tokenizer(
    texts: Iterable[str], *, vocabulary: int, min_count: int = 2, context: int = 8192
) -> PreTrainedTokenizerBase:
    """A tokenizer whose words are the commonest of `texts`, with its chat template."""
    fixed = protocol_tokens()
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.add_tokens([AddedToken(text, normalized=False) for text in (*CONTROL_TOKENS, *fixed)])
    counts = _count_pieces(core, texts)
    pieces = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *_NUMBERS])
    room = vocabulary - len(pieces) - len(CONTROL_TOKENS) - len(fixed)
    if room < 0:
        raise ConfigError(
            f"model.from_scratch.tokenizer.vocabulary is {vocabulary}; the fixed tokens alone are {vocabulary - room}"
        )
    words = [piece for piece, count in counts.items() if count >= min_count and piece not in pieces]
    words.sort(key=lambda piece: (-counts[piece], piece))
    pieces |= dict.fromkeys(words[:room])
    # Without merges a piece is a token as a whole or bytes, nothing between.
    core.model = models.BPE(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], ignore_merges=True
    )
    core.decoder = decoders.ByteLevel()
    whole = Tokenizer.from_str(core.to_str())  # numbers the added tokens anew, after the pieces
    return PreTrainedTokenizerFast(
        tokenizer_object=whole,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[token for token in CONTROL_TOKENS if token not in (END, PAD)],
        chat_template=_TEMPLATE.replace("@SYSTEM@", repr(load_family("rubric").system)),
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def _count_pieces(core: Tokenizer, texts: Iterable[str]) -> Counter[str]:
    """How often each piece occurs, in the byte-level spelling, fixed tokens taken out first."""
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex("|".join(map(re.escape, (*CONTROL_TOKENS, *protocol_tokens())))),
                behavior="removed",
            ),
            core.pre_tokenizer,
        ]
    )
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in cut.pre_tokenize_str(text))
    return counts


class Speller:
    """Spells words of such a tokenizer in bytes."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: float):
        self._share = share
        self._words: dict[int, str] = {}
        self._bytes: dict[int, list[int]] = {}
        added = set(tokenizer.get_added_vocab())
        vocabulary = tokenizer.get_vocab()
        for piece, token in vocabulary.items():
            match = None if piece in added else _WORD.fullmatch(piece)
            if match is not None:
                self._words[token] = match[1].lower()
                self._bytes[token] = [vocabulary[char] for char in piece]

    def spell(self, example: Example, draw: Random) -> Example:
        """The same text, in which each word of the prompt is spelt with the speller's probability."""
        prompt = example.tokens[: example.num_prompt]
        words = dict.fromkeys(self._words[token] for token in prompt if token in self._words)
        chosen = {word for word in words if draw.random() < self._share}
        if not chosen:
            return example
        before = self._replace(prompt, chosen)
        after = self._replace(example.tokens[example.num_prompt :], chosen)
        return replace(example, tokens=array("i", [*before, *after]), num_prompt=len(before))

    def _replace(self, tokens: Iterable[int], chosen: set[str]) -> list[int]:
        found: list[int] = []
        for token in tokens:
            if self._words.get(token) in chosen:
                found += self._bytes[token]
            else:
                found.append(token)
        return found
