"""A sampled judgment as rewards see it: the text, what it says, and the pair as the judge saw it.

All is in the prompt frame: side A is what came first in the prompt, also if the pair was shown in swapped order.
"""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.errors import ConfigError
from rmr1.messages import Messages
from rmr1.records import JudgePrompt, PreferencePair, Verdict
from rmr1.verdicts import parse_verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One sample. What a user's own reward function is given."""

    prompt: JudgePrompt
    """The prompt as the model saw it, user text escaped."""
    pair: PreferencePair
    """The pair as shown: `response_a` stood first. Labelled "A" or "B"."""
    text: str
    verdict: Verdict
    """The verdict by the rule `tagged`, with the trace: rubric, quotations, solution, thinking."""
    num_tokens: int
    """Tokens that were sampled, the end token with them."""
    is_cut: bool
    """Whether the text ended at the token limit."""
    partner: Judged | None = None
    """The sample of the same number from the same pair in the other order, where both are rolled out."""

    @property
    def label(self) -> str:
        """The right verdict, "A" or "B"."""
        assert self.pair.label is not None
        return self.pair.label

    @property
    def is_rubric_asked(self) -> bool:
        """Whether the prompt asks for the Chain-of-Rubrics form; answers cannot pretend it, their tags are escaped."""
        return any("<rubric>" in message.text for message in self.prompt.messages)

    def response(self, side: str) -> Messages:
        """What the prompt calls Chatbot A or B."""
        return self.pair.response_a if side == "A" else self.pair.response_b


def read_sample(
    text: str, *, prompt: JudgePrompt, pair: PreferencePair, num_tokens: int, is_cut: bool
) -> Judged:
    """The record of a text that was sampled for `prompt`; `pair` is the pair as it was read, not as shown.

    Raises:
        ConfigError: the pair has no label, or is a tie.
    """
    if pair.label not in ("A", "B"):
        raise ConfigError(f"pair {pair.id!r} has the label {pair.label!r}; rewards need 'A' or 'B'")
    return Judged(
        prompt=prompt,
        pair=pair if prompt.order == "given" else pair.swap(),
        text=text,
        verdict=parse_verdict(text, truncated=is_cut),
        num_tokens=num_tokens,
        is_cut=is_cut,
    )
