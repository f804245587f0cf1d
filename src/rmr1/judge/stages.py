"""The names of a cascade's stages, taken apart.

    direct                    a prompt family, asked once, greedily
    votes:8                   eight votes with the judge's own family
    direct@MODEL              the same with another model than the judge's own, by any name that a model may have
    votes:8@MODEL
    @MODEL                    another model, asked as it is by default; so are scalar models
    decisions:NAME@URL        a decision endpoint, which needs no family

The first "@" is what parts them, for a model's name may hold others; a path that exists is a family whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmr1.errors import ConfigError

_ALONE = "decisions:"
_SECRET = re.compile(r"(?<=//)[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageName:
    """One stage's name, taken apart."""

    text: str
    """The name as it was written."""
    family: str | None = None
    """None: the judge's own, or for another model its own."""
    votes: int = 1
    model: str | None = None
    """None: the judge's own."""

    @property
    def shown(self) -> str:
        """The name without the password that a URL may hold, for messages."""
        return hide_secrets(self.text)


def parse_stages(names: Sequence[str]) -> tuple[StageName, ...]:
    """The stages that are named.

    Raises:
        ConfigError: there are fewer than two, one stands twice, or one is malformed.
    """
    shown = hide_secrets(",".join(names))
    if len(names) < 2:
        raise ConfigError(
            f"a cascade of {shown or 'nothing'} has no stage to pass a pair on to; name two or more"
        )
    if len(set(names)) < len(names):
        raise ConfigError(f"cascade {shown}: a stage stands twice")
    return tuple(map(parse_stage, names))


def parse_stage(text: str) -> StageName:
    """The stage of this name; `ConfigError` if it is malformed.

    >>> parse_stage("votes:8@openai:big@http://127.0.0.1:8000/v1").model
    'openai:big@http://127.0.0.1:8000/v1'
    """
    if text.startswith(_ALONE):
        return StageName(text=text, model=text)
    if text.strip() and Path(text).exists():
        return StageName(text=text, family=text)
    asked, at, model = text.partition("@")
    if (at and not model.strip()) or not text.strip():
        raise ConfigError(
            f"stage {hide_secrets(text)!r}: expected FAMILY, votes:K, FAMILY@MODEL, votes:K@MODEL, @MODEL or "
            "decisions:NAME@URL"
        )
    own = model if at else None
    kind, colon, number = asked.partition(":")
    if kind == "votes" and colon:
        if not number.isdecimal() or int(number) < 2:
            raise ConfigError(f"stage {hide_secrets(text)!r}: expected votes:K with K of 2 or more")
        return StageName(text=text, votes=int(number), model=own)
    return StageName(text=text, family=asked or None, model=own)


def needs_own_model(names: Sequence[str] | None) -> bool:
    """Whether the judge's own model is asked: in some stage of a cascade, or because there is none."""
    return names is None or any(one.model is None for one in parse_stages(names))


def hide_secrets(text: str) -> str:
    """The text without what stands before the host of a URL.

    >>> hide_secrets("rubric@openai:m@https://me:pass@host/v1")
    'rubric@openai:m@https://host/v1'
    """
    return _SECRET.sub("", text)
