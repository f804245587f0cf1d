"""Model names taken apart: which engine is meant, and what it is to load.

org/name, a folder     the embedded transformers engine
vllm:NAME_OR_FOLDER    the offline vLLM engine
openai:NAME@URL        any OpenAI-compatible server; without @URL the one of OPENAI_BASE_URL, else OpenAI's own
decisions:NAME@URL     a server's decision endpoint, which gives a probability and writes nothing; likewise
replay:FILE_OR_RUN     recorded outputs
scripted:NAME          the shipped fake
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from rmr1.errors import ConfigError

Scheme = Literal["vllm", "openai", "decisions", "replay", "scripted"]

SCHEMES: dict[str, Scheme] = {one: one for one in get_args(Scheme)}

_KNOWN = "openai:NAME, openai:NAME@URL, decisions:NAME@URL, vllm:NAME_OR_FOLDER, replay:FILE_OR_RUN and scripted:NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model name, taken apart."""

    scheme: Scheme | None
    """None: a model of the hub or a folder, run by transformers."""
    rest: str


def parse_model_name(text: str) -> ModelName:
    """The parts of a model name; a path that exists is a folder, whatever stands in it."""
    if not text.strip():
        raise ConfigError("the model's name is empty; expected a Hugging Face name or folder, or " + _KNOWN)
    prefix, colon, rest = text.partition(":")
    if colon and prefix in SCHEMES:
        return ModelName(scheme=SCHEMES[prefix], rest=rest)
    if not colon or "/" in prefix or Path(text).exists():
        return ModelName(scheme=None, rest=text)
    # Of a URL nothing is repeated: it may hold a password.
    if prefix in ("http", "https"):
        raise ConfigError(
            "a model is not named by a server's URL alone; write openai:NAME@URL, "
            "such as openai:my-model@http://127.0.0.1:8000/v1"
        )
    near = get_close_matches(prefix.lower(), SCHEMES, n=1, cutoff=0.75)  # `ollama` is not meant as `vllm`
    name = rest if rest and "@" not in rest and "//" not in rest else "NAME"
    hint = (
        f"did you mean {near[0]}:?"
        if near
        else f"a local server such as Ollama or llama.cpp is openai:{name}@http://127.0.0.1:11434/v1 (with its own port)"
    )
    raise ConfigError(
        f"unknown prefix {prefix + ':'!r} of a model name; known are {_KNOWN}, and without a prefix it is a Hugging "
        f"Face name or folder; {hint}"
    )


def split_server(rest: str) -> tuple[str, str | None]:
    """What stands behind `openai:` or `decisions:`, as the model's name and the server's URL; None if there is no URL."""
    at = max(rest.rfind("@http://"), rest.rfind("@https://"))
    return (rest[:at], rest[at + 1 :]) if at >= 0 else (rest, None)
