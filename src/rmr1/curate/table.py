"""What stays in memory of the pairs that passed the filters: digests, lengths, signatures. No texts.

Measured with a prompt to each pair: 260 bytes, and with near duplicates 12 more for each permutation, so 1.8 kB with
128. Choosing and splitting take as much again for a moment.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmr1.curate.filters import Lengths, join_texts
from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.similar import Groups, Signer, join_similar
from rmr1.curate.texts import digest_messages, digest_text, find_later_turns, hash_shingles, split_words
from rmr1.messages import Messages
from rmr1.records import Label, PreferencePair
from rmr1.store.keys import content_digest

LABELS: tuple[Label | None, ...] = ("A", "B", "tie", None)

PROMPT_SHINGLE = 3
RESPONSE_SHINGLE = 5
"""Words in a row. Prompts are short, and one word of five in a row changes half of their shingles."""

TELLING_TURN = 8
"""Words from which on a question in a response ties its prompt to others; "yes, please go on" is asked everywhere."""

DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """One entry per pair, in the order they were read: [I]."""

    source: NDArray[np.uint16]
    place: NDArray[np.uint32]
    """Place of the pair in its source, from 0, bad rows counted."""
    prompt: NDArray[np.uint32]
    label: NDArray[np.uint8]
    """Index into `LABELS`, as read."""
    is_multi_turn: NDArray[np.uint8]
    characters: NDArray[np.uint32]
    """[I, 3]: prompt, preferred response (A where none is), other one."""
    tokens: NDArray[np.uint32] | None


class PairTable:
    """Filled pair by pair."""

    def __init__(self, recipe: CurateRecipe):
        self._source, self._place, self._prompt = array("H"), array("I"), array("I")
        self._label, self._is_multi_turn = array("B"), array("B")
        self._characters, self._tokens = array("I"), array("I")
        self._has_tokens = recipe.tokenizer is not None
        self.contents = bytearray()
        """16 bytes a pair: everything in it."""
        self.identities = bytearray()
        """16 bytes a pair: prompt and the two responses, whichever is first, whatever the label."""
        self.winners = bytearray()
        """8 bytes a pair: which of the two is preferred."""
        self._numbers: dict[bytes, int] = {}
        self.prompts = bytearray()
        """16 bytes a prompt: the normalised prompt."""
        self._opening, self._openings = array("I"), bytearray()
        """Prompts that go on after an answer; 16 bytes each of how they begin, without and with the first answer."""
        self._later, self._later_turns = array("I"), bytearray()
        """Prompts, and 16 bytes each of a question in a response to them."""
        rules = recipe.duplicates
        self.response_signer = Signer(rules.permutations) if rules.near else None
        """Two signatures a pair: of the preferred response (A where none is) and of the other one."""
        self.prompt_signer = Signer(rules.permutations) if rules.near or rules.prompts else None

    def stored(self) -> Mapping[str, array[int] | bytearray]:
        """All that the table holds, by name."""
        held = {name: one.values if isinstance(one, Signer) else one for name, one in vars(self).items()}
        return {name: one for name, one in held.items() if isinstance(one, array | bytearray)}

    def restore(self, read: Callable[[str], bytes]) -> None:
        """Fill an empty table with what `stored` gave."""
        for name, column in self.stored().items():
            if isinstance(column, bytearray):
                column += read(name)
            else:
                column.frombytes(read(name))
        digests = (_digest_at(self.prompts, at) for at in range(len(self.prompts) // DIGEST_SIZE))
        self._numbers = {digest: number for number, digest in enumerate(digests)}

    def __len__(self) -> int:
        return len(self._source)

    @property
    def num_prompts(self) -> int:
        return len(self._numbers)

    def add(
        self, source: int, place: int, pair: PreferencePair, characters: Lengths, tokens: Lengths | None
    ) -> None:
        self._source.append(source)
        self._place.append(place)
        self._label.append(LABELS.index(pair.label))
        self._is_multi_turn.append(
            len(pair.prompt) > 1 or len(pair.response_a) > 1 or len(pair.response_b) > 1
        )
        self._characters.extend(_by_preference(pair, characters))
        if tokens is not None:
            self._tokens.extend(_by_preference(pair, tokens))
        number = self._number_prompt(pair.prompt)
        self._prompt.append(number)
        for turn in find_later_turns(pair):
            if len(split_words(turn.text)) >= TELLING_TURN:
                self._later.append(number)
                self._later_turns += digest_messages((turn,))
        self.contents += content_digest(pair)
        self.identities += identify(pair)
        self.winners += digest_winner(pair)
        if self.response_signer is not None:
            sides = (pair.response_a, pair.response_b)
            for side in reversed(sides) if pair.label == "B" else sides:
                self.response_signer.add(hash_shingles(join_texts(side), RESPONSE_SHINGLE))

    def _number_prompt(self, prompt: Messages) -> int:
        digest = digest_messages(prompt)
        number = self._numbers.setdefault(digest, len(self._numbers))
        if number * DIGEST_SIZE < len(self.prompts):
            return number
        self.prompts += digest
        if self.prompt_signer is not None:
            self.prompt_signer.add(hash_shingles(join_texts(prompt), PROMPT_SHINGLE))
        # A conversation and its continuation are one prompt as far as splits go.
        asked = next((at for at, one in enumerate(prompt) if one.role == "user"), len(prompt))
        if asked + 2 < len(prompt):
            self._opening.append(number)
            self._openings += digest_messages(prompt[: asked + 1]) + digest_messages(prompt[: asked + 2])
        return number

    def content(self, item: int) -> bytes:
        return _digest_at(self.contents, item)

    def identity(self, item: int) -> bytes:
        return _digest_at(self.identities, item)

    def winner(self, item: int) -> bytes:
        return bytes(self.winners[item * 8 : (item + 1) * 8])

    def columns(self) -> Columns:
        return Columns(
            source=np.array(self._source, dtype=np.uint16),
            place=np.array(self._place, dtype=np.uint32),
            prompt=np.array(self._prompt, dtype=np.uint32),
            label=np.array(self._label, dtype=np.uint8),
            is_multi_turn=np.array(self._is_multi_turn, dtype=np.uint8),
            characters=np.array(self._characters, dtype=np.uint32).reshape(-1, 3),
            tokens=np.array(self._tokens, dtype=np.uint32).reshape(-1, 3) if self._has_tokens else None,
        )

    def group_prompts(self, threshold: float) -> Groups:
        """Prompts of one split: conversations that begin alike or ask the same later, and similar prompts (0: not
        those)."""
        groups = Groups(self.num_prompts)
        heads: dict[bytes, int] = {}
        for at, number in enumerate(self._opening):
            opening, answered = (_digest_at(self._openings, 2 * at + part) for part in (0, 1))
            if opening in self._numbers:
                groups.join(number, self._numbers[opening])
            groups.join(number, heads.setdefault(answered, number))
        for at, number in enumerate(self._later):
            turn = _digest_at(self._later_turns, at)
            groups.join(number, self._numbers.get(turn, heads.setdefault(turn, number)))
        if threshold and self.prompt_signer is not None:
            join_similar(self.prompt_signer.signatures(), threshold, groups)
        return groups


def _digest_at(digests: bytearray, place: int) -> bytes:
    return bytes(digests[place * DIGEST_SIZE : (place + 1) * DIGEST_SIZE])


def identify(pair: PreferencePair) -> bytes:
    """16 bytes of a pair without its label; equal for pairs that differ in order and white space only."""
    sides = sorted((_digest_side(pair.response_a), _digest_side(pair.response_b)))
    return digest_text("\0".join([_digest_side(pair.prompt), *sides]))


def digest_winner(pair: PreferencePair) -> bytes:
    """8 bytes that tell which response of the pair is preferred, wherever it stands."""
    side = {"A": pair.response_a, "B": pair.response_b}.get(pair.label or "")
    return digest_text(str(pair.label) if side is None else _digest_side(side))[:8]


def _digest_side(side: Messages) -> str:
    # Case and punctuation stay: "x = -1" and "x = 1" are two answers.
    return digest_text("\0".join(f"{one.role}\0{' '.join(one.text.split())}" for one in side)).hex()


def _by_preference(pair: PreferencePair, lengths: Lengths) -> tuple[int, int, int]:
    if pair.label == "B":
        return lengths.prompt, lengths.response_b, lengths.response_a
    return lengths.prompt, lengths.response_a, lengths.response_b
