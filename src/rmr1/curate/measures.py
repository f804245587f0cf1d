"""What needs a library to be said of a text: its language and its length in tokens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rmr1.errors import ConfigError, RMR1Error, reason_of
from rmr1.models import resolve_model
from rmr1.plugins import require


def load_identifier(codes: frozenset[str]) -> Callable[[str], tuple[str, float]]:
    """A function from a text to the code of its language and how sure that is, in [0, 1]."""
    with require("telling languages", "data"):
        from py3langid import langid
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    unknown = sorted(codes - set(identifier.labels))
    if unknown:
        raise ConfigError(
            f"filters.languages: {unknown[0]!r} is no code of py3langid; it has {', '.join(sorted(identifier.labels))}"
        )
    classify: Callable[[str], tuple[str, float]] = identifier.classify
    return classify


def load_counter(name: str) -> Callable[[str], int]:
    """A function from a text to its number of tokens, special ones not counted."""
    with require("counting tokens", "hf"):
        from transformers import AutoTokenizer
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(resolve_model(name))
    except RMR1Error:
        raise
    # Network, hub and file errors of a dozen types: to the user all of them say "not readable".
    except Exception as error:
        raise ConfigError(f"tokenizer {name!r} cannot be read: {reason_of(error)}") from None
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def count_tokens(folder: Path, text: str) -> int:
    """The number of tokens of one text by the tokenizer in a folder. Its file is read without transformers, which
    takes seconds to import, if there is one."""
    file = folder / "tokenizer.json"
    if file.is_file() and find_spec("tokenizers") is not None:
        from tokenizers import Tokenizer

        with contextlib.suppress(Exception):  # which has no type of its own: a file of another version
            return len(Tokenizer.from_file(str(file)).encode(text, add_special_tokens=False).ids)
    return load_counter(str(folder))(text)
