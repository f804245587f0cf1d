"""Take a prompt family over from published training data or from a text file.

The released RM-R1 checkpoints were trained on the reference's exact wording. It is not ours to ship;
`rmr1 prompts import` reads it at run time out of the first row of the published training set (or any
JSONL in that form, or a text file) and stores it in the user's prompt folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.prompts.blocks import parse_blocks
from rmr1.prompts.families import (
    SHIPPED,
    PromptFamily,
    conversation_blocks,
    family_from_template,
    response_blocks,
    user_prompt_folder,
)


def family_from_messages(name: str, messages: Sequence[tuple[str, str]]) -> PromptFamily:
    """A family from one rendered example, given as (role, text) messages.

    The system message, if there is one, is kept as it stands. In the user message the blocks become
    fields; the words before and after them become the template's own, for both forms.

    Raises:
        DataError: there is no user message, or it lacks the protocol's delimiters.
    """
    system = next((text for role, text in messages if role == "system"), None)
    user = next((text for role, text in reversed(messages) if role == "user"), None)
    if user is None:
        raise DataError("the first row has no user message to take the template from")
    blocks = parse_blocks(user)
    return PromptFamily(
        name=name,
        system=system,
        single=blocks.prefix + response_blocks() + blocks.suffix,
        multi=blocks.prefix + conversation_blocks() + blocks.suffix,
    )


def family_from_text(name: str, text: str) -> PromptFamily:
    """A family from a text file: a template if it holds the fields, else a system prompt."""
    if "{question}" in text:
        return family_from_template(name, text)
    return PromptFamily(
        name=name, system=text.rstrip("\n"), single=response_blocks(), multi=conversation_blocks()
    )


def write_family(family: PromptFamily, *, overwrite: bool = False) -> Path:
    """Store a family in the user's prompt folder and return its folder.

    Raises:
        ConfigError: the name is taken or not a plain name.
    """
    if family.name in SHIPPED or Path(family.name).name != family.name or family.name.startswith("."):
        raise ConfigError(f"prompt family name {family.name!r} cannot be used; choose another name")
    folder = user_prompt_folder() / family.name
    if folder.exists() and not overwrite:
        raise ConfigError(
            f"{folder}: a prompt family of this name exists; choose another or pass {name_option('overwrite', True)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (
        ("system.txt", family.system),
        ("single.txt", family.single),
        ("multi.txt", family.multi),
    ):
        if text is not None:
            (folder / file).write_text(text + "\n", encoding="utf-8")
        else:
            (folder / file).unlink(missing_ok=True)
    return folder
