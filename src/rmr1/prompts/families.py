"""Prompt families: a system prompt and two user templates, kept as text files.

A family is a folder of plain text: `single.txt` (one question and its answers), `multi.txt` (whole
conversations) and, where the family has one, `system.txt`. One's own live anywhere, or by name in the
user's prompt folder, where `rmr1 prompts import` puts them: the released RM-R1 checkpoints were trained on the
reference's exact wording, which is not ours to ship and is read from the published training data.

Templates hold `{question}`, `{response_a}`, `{response_b}` or `{conversation_a}`, `{conversation_b}`;
nothing else is special, braces included. A family that holds A alone rates one answer at a time; one that
holds A to D has the best of four chosen. A family that compares two answers may hold `{criteria}` too: the place for
criteria that the judge is given. `rubric_writer`, which asks for the rubric of a question, shows no answer.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.prompts.blocks import parse_blocks
from rmr1.prompts.protocol import ENGLISH

BUILT_IN = ("rubric", "reasoning", "direct")
"""Those that compare two answers."""
RATING, FOUR_WAY = "rating", "four_way"
"""Those that rate one answer, and choose among four."""
CRITERIA, RUBRIC_WRITER = "criteria", "rubric_writer"
"""The one that compares two answers by criteria that it is given, and the one that asks for a question's rubric."""
DECISION = "decision"
"""The one that asks which of two answers is better and for no text: a question for decision endpoints."""
SHIPPED = (*BUILT_IN, CRITERIA, RATING, FOUR_WAY, RUBRIC_WRITER, DECISION)
PUBLISHED = {
    "rm-r1-rubric": ("rubric", "gaotang/RM-R1-Entire-RLVR-Train"),
    "rm-r1-reasoning": ("reasoning", "gaotang/RM-R1-Reasoning-RLVR"),
}
"""Name under which the authors' wording is imported -> (the family of ours that asks the same in other words, the published
dataset whose first row holds it)."""
LABELS = {1: "A", 2: "AB", 4: "ABCD"}
"""How many answers a prompt may show -> what they are called."""
_FIELD = re.compile(r"\{(question|criteria|(?:response|conversation)_[abcd])\}")

_FOLLOWING = "the multi-turn form, which keeps what stands before the question and behind the last answer,"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFamily:
    """One way of asking a judge."""

    name: str
    system: str | None
    single: str
    multi: str

    @property
    def num_answers(self) -> int:
        """How many answers one prompt shows: 1, 2 or 4; 0 of the family that asks for a rubric."""
        return sum(field.startswith("response_") for field in set(_FIELD.findall(self.single)))

    @property
    def has_criteria(self) -> bool:
        """Whether its prompts have a place for criteria that the judge is given."""
        return "criteria" in _FIELD.findall(self.single)

    @property
    def digest(self) -> str:
        """SHA-256 over all three texts: two families with one digest ask the same."""
        digest = hashlib.sha256()
        for text in (self.system or "", self.single, self.multi):
            digest.update(len(text).to_bytes(8, "big") + text.encode())
        return digest.hexdigest()


def user_prompt_folder() -> Path:
    """The folder of imported families: RMR1_PROMPTS, else the user's configuration folder."""
    if folder := os.environ.get("RMR1_PROMPTS"):
        return Path(folder)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "rmr1" / "prompts"


def list_families() -> list[tuple[str, str]]:
    """(name, where it comes from) of every family that can be named: "built in" or a folder."""
    imported = sorted(path.parent for path in user_prompt_folder().glob("*/single.txt") if path.is_file())
    return [(name, "built in") for name in SHIPPED] + [(path.name, str(path)) for path in imported]


def load_family(name: str | Path | PromptFamily) -> PromptFamily:
    """A family by name, by folder, or by one template file.

    Raises:
        ConfigError: no such family, or a template lacks one of its fields.
    """
    if isinstance(name, PromptFamily):
        return name
    if str(name) in SHIPPED:
        return _read_folder(str(name), resources.files("rmr1.prompts") / "families" / str(name))
    path = Path(name)
    if own := _find_imported(path):
        return _read_folder(str(name), own)
    if path.is_dir():
        return _read_folder(path.resolve().name, path)
    if path.is_file():
        return family_from_template(path.stem, _read_text(path))
    if str(name) in PUBLISHED:
        raise ConfigError(f"prompt family {name} is {tell_import(str(name))}")
    known = ", ".join(known for known, _ in list_families())
    raise ConfigError(
        f"prompt family {str(name)!r} is not known; expected one of {known}, or a folder or file with templates"
    )


def tell_import(name: str) -> str:
    """What a family of `PUBLISHED` is, and the command that takes it over; the end of a message."""
    return (
        "its authors' exact wording, which is not ours to ship. Take it over once: rmr1 prompts import "
        f"{PUBLISHED[name][1]} --name {name}"
    )


def locate_family(name: str) -> Path | None:
    """The folder or file of a family of one's own; None of a shipped one, or of none."""
    path = Path(name)
    if name in SHIPPED:
        return None
    return _find_imported(path) or (path if path.exists() else None)


def is_named_family(name: str) -> bool:
    """Whether `load_family` finds a family by this name wherever it is asked, shipped or imported."""
    return name in SHIPPED or _find_imported(Path(name)) is not None


def _find_imported(name: Path) -> Path | None:
    own = user_prompt_folder() / name
    return own if len(name.parts) == 1 and own.is_dir() else None


def family_from_template(name: str, template: str, *, system: str | None = None) -> PromptFamily:
    """A family from one single-turn template; the multi-turn one follows from it."""
    template = template.rstrip("\n")
    own = ("criteria",) if "criteria" in _FIELD.findall(template) else ()
    _require_fields(name, "template", template, (*single_fields("AB"), *own))
    multi = multi_from_single(template)
    _require_fields(name, _FOLLOWING, multi, (*multi_fields("AB"), *own))
    return PromptFamily(name=name, system=system, single=template, multi=multi)


def multi_from_single(single: str, labels: str = "AB") -> str:
    """The multi-turn template with the same words around the blocks."""
    start, end = ENGLISH.response(labels[-1])
    head, found_head, _ = single.partition(ENGLISH.question)
    _, found_tail, tail = single.rpartition(end)
    if not (found_head and found_tail and start in single):
        head, tail = "", ""
    return head + conversation_blocks(labels) + tail


def single_fields(labels: str) -> tuple[str, ...]:
    return ("question", *(f"response_{label.lower()}" for label in labels))


def multi_fields(labels: str) -> tuple[str, ...]:
    return tuple(f"conversation_{label.lower()}" for label in labels)


def conversation_blocks(labels: str = "AB") -> str:
    """The delimited transcripts of the multi-turn form."""
    delimited = ((ENGLISH.conversation(label), label.lower()) for label in labels)
    return "\n\n".join(f"{start}\n{{conversation_{name}}}\n{end}" for (start, end), name in delimited)


def response_blocks() -> str:
    """The delimited question and responses of the single-turn form."""
    delimited = ((ENGLISH.response(label), label.lower()) for label in "AB")
    responses = (f"{start}\n{{response_{name}}}\n{end}" for (start, end), name in delimited)
    return "\n\n".join([f"{ENGLISH.question}\n{{question}}", *responses])


def fill(template: str, values: dict[str, str]) -> str:
    """Put `values` into the template in one pass: braces inside a value stay text."""
    return _FIELD.sub(lambda match: values[match[1]], template)


def family_from_messages(name: str, messages: Sequence[tuple[str, str]]) -> PromptFamily:
    """A family from one rendered example, given as (role, text) messages: the blocks of the user message become fields.

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
    for name in ("system", "single", "multi"):
        path, text = folder / f"{name}.txt", getattr(family, name)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text + "\n", encoding="utf-8")
    return folder


def _read_folder(name: str, folder: Path | Traversable) -> PromptFamily:
    single = _read_text(folder / "single.txt").rstrip("\n")
    found = set(_FIELD.findall(single))
    if name == RUBRIC_WRITER:
        labels, single_wanted, multi_wanted = "", ("question",), ("question",)
    else:
        own = ("criteria",) if "criteria" in found and "response_b" in found else ()
        labels = next((one for one in LABELS.values() if found - {*own} == set(single_fields(one))), "AB")
        single_wanted, multi_wanted = (*single_fields(labels), *own), (*multi_fields(labels), *own)
    _require_fields(name, "single.txt", single, single_wanted)
    where = "multi.txt"
    if (folder / "multi.txt").is_file():
        multi = _read_text(folder / "multi.txt").rstrip("\n")
    else:
        multi, where = multi_from_single(single, labels), _FOLLOWING
    _require_fields(name, where, multi, multi_wanted)
    system = _read_text(folder / "system.txt").rstrip("\n") if (folder / "system.txt").is_file() else None
    return PromptFamily(name=name, system=system, single=single, multi=multi)


def _read_text(path: Path | Traversable) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a prompt family needs at least single.txt") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save the template as UTF-8") from None


def _require_fields(name: str, where: str, template: str, fields: tuple[str, ...]) -> None:
    found = set(_FIELD.findall(template))
    if found != set(fields):
        seen = ", ".join(f"{{{field}}}" for field in sorted(found)) or "none"
        wanted = ", ".join(f"{{{field}}}" for field in fields)
        raise ConfigError(
            f"prompt family {name!r}: {where} holds the fields {seen}; expected exactly {wanted}"
        )
