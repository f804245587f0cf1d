"""Chat templates as data: messages -> the text that a model reads, and the control tokens that its tokenizer finds there.

A tokenizer looks for its added tokens in the whole text, whoever wrote it; that is what a forged turn counts on, and what is
counted here. Rendering needs jinja2.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Protocol

from rmr1.messages import Messages
from rmr1.plugins import require


class Template(Protocol):
    """A chat template, and what finds control tokens in a text."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def render(self, messages: Messages) -> str:
        """The messages as one text, up to where the judge is to write."""

    def find_tokens(self, text: str) -> Counter[str]:
        """How often each control token is in a text."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """One form of chat, with its control tokens."""

    name: str
    tokens: tuple[str, ...]
    text: str

    def render(self, messages: Messages) -> str:
        """The messages as one text, up to where the judge is to write.

        Raises:
            ConfigError: jinja2 is not installed.
        """
        return str(
            self._compiled.render(messages=[{"role": one.role, "content": one.text} for one in messages])
        )

    def find_tokens(self, text: str) -> Counter[str]:
        """How often each control token stands in a text, the longest first as a tokenizer finds them."""
        return Counter(self._pattern.findall(text))

    @cached_property
    def _compiled(self) -> Any:
        with require("rendering chat templates", "report"):
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        return ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
        ).from_string(self.text)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self.tokens, key=len, reverse=True))))


@cache
def load_templates() -> tuple[ChatTemplate, ...]:
    """The five that the package has: ChatML (Qwen), Llama 3, Gemma, Mistral and DeepSeek."""
    file = resources.files(__package__) / "templates.toml"
    return tuple(
        ChatTemplate(name=one["name"], tokens=tuple(one["tokens"]), text=one["text"])
        for one in tomllib.loads(file.read_text(encoding="utf-8"))["template"]
    )
