"""The chat-completions format: request bodies out, replies and error messages in. Pure but for pictures,
which are read from their files.

Servers differ in what they take. A `Dialect` says what is known of one server; `build_body` writes what
it takes, and `adapt` learns from an error that names a parameter.

Texts. What a server has delivered is kept as it was written; nothing is cut off it. Stop strings that the user chose
are sent. Servers cut the string itself off; it is put back where the server names it (`stop_reason` of vLLM,
`matched_stop` of SGLang), or where it closes a tag that the text leaves open.

Thinking. What a server took out of the text (`reasoning_content`, `reasoning`, parts of a type other than text) comes
first again, in `<think>` tags. Marks of thinking inside it get the backslash of `rmr1.prompts.escape`: a response that
the thinking quotes must not be able to end the thinking.
"""

from __future__ import annotations

import base64
import math
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import orjson

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.logprobs import TokenLogprobs, read_token_logprobs
from rmr1.errors import GenerationError
from rmr1.prompts.thinking import Pair, find_marks
from rmr1.records import Content, ImagePart, Messages, Usage

_MAX_STOPS = 4
"""OpenAI's own limit."""
_FEWER_LOGPROBS = 5
"""What servers that refuse 20 alternatives take."""
_LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
ADAPTABLE = (
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "stop",
    "top_logprobs",
    "logprobs",
    *_LENGTH_FIELDS,
)
"""What may be left out or renamed for a server that refuses it."""
_DISTINCT = ("temperature", "top_p", "top_k", "top_logprobs", "logprobs", *_LENGTH_FIELDS)
"""Names that are no words of a sentence about something else."""
_MESSAGE_CHARS = 300
_SHOWN_CHARS = 200
"""Of a reply that is no JSON."""
CHARS_PER_TOKEN = 4
"""For texts whose tokens nobody counts."""

_OVERLONG = re.compile(
    r"context.{0,12}(?:length|window|size)|maximum (?:model |prompt |input )?length|too many tokens"
    r"|(?:prompt|input|messages?)\b.{0,40}\btoo long|max_(?:completion_)?tokens must be at least 1\b",
    re.IGNORECASE,
)
_MODERATION = re.compile(r"moderat|flagged|content.{0,3}(?:filter|policy)", re.IGNORECASE)
_LENGTH_LIMIT = re.compile(r"at most (\d{1,9}) (?:completion|output|new) tokens", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"\bmodel\b.{0,200}\b(?:not found|not exist|not available|unknown|not supported)|no such model",
    re.IGNORECASE | re.DOTALL,
)
_LOCATION = re.compile(r"['\"]loc['\"]:\s*[\[(]\s*['\"]body['\"],\s*['\"](\w{1,32})['\"]")
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_TEXT_PARTS = ("text", "output_text", "input_text", "refusal")
_PART_FIELDS = ("text", "refusal", "thinking", "reasoning", "summary", "content")
"""Where a part of a message holds its text."""
_CLOSING_TAG = re.compile(r"</([\w-]{1,32})>")


class ReplyError(ValueError):
    """A reply that was sent as a success and is none."""

    def __init__(self, message: str, usage: Usage | None = None):
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is known of the parameters that a server takes."""

    refused: frozenset[str] = frozenset()
    """Parameters that are not sent; `n_greedy` is `n` at temperature 0, which vLLM refuses."""
    length_field: str | None = "max_tokens"
    """`max_tokens`, `max_completion_tokens`, or None where the server takes neither."""
    length_limit: int | None = None
    """Most tokens the server lets us ask for."""
    num_top_logprobs: int = 20

    def takes_choices(self, params: SamplingParams) -> bool:
        """Whether several samples may be asked for at once."""
        return _choices_name(params.temperature) not in self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One text of a reply, as the server split it."""

    content: str
    reasoning: str = ""
    finish_reason: str | None = None
    matched_stop: str | None = None
    """The stop string that ended the text, where the server says so."""
    error: str | None = None
    tokens: tuple[TokenLogprobs, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a server: at least one choice."""

    choices: tuple[Choice, ...]
    usage: Usage | None
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a server says with a status that is no success."""

    status: int
    message: str
    """One line, of at most 300 characters."""
    code: str = ""
    """`error.code` and `error.type`, in lower case."""
    param: str | None = None

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.message}" if self.message else f"HTTP {self.status}"

    @property
    def is_overlong(self) -> bool:
        """Whether prompt and answer do not fit into the model's context together."""
        return "context_length" in self.code or _OVERLONG.search(self.message) is not None

    @property
    def is_unknown_model(self) -> bool:
        return "model_not_found" in self.code or _NO_MODEL.search(self.message) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedText:
    """A choice as the judge's text."""

    text: str
    finish_reason: str
    content_start: int
    """Where the server's `content` begins in `text`."""


def build_messages(messages: Messages) -> list[dict[str, Any]]:
    """Messages in wire form.

    Raises:
        GenerationError: a picture's file cannot be read or is no picture.
    """
    return [{"role": message.role, "content": _build_content(message.content)} for message in messages]


def build_body(
    *,
    model: str,
    messages: list[dict[str, Any]],
    params: SamplingParams,
    dialect: Dialect,
    num_choices: int = 1,
    seed: int | None = None,
    has_length: bool = True,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a request: only what the server takes and what differs from its defaults.

    `has_length` False leaves the length limit to the server, which then uses the room there is. `extra`
    goes before everything else.
    """
    body: dict[str, Any] = {"temperature": params.temperature}
    if params.top_p != 1.0:
        body["top_p"] = params.top_p
    if params.top_k > 0:
        body["top_k"] = params.top_k
    if seed is not None:
        body["seed"] = seed
    if params.verdict_logprobs:
        body["logprobs"] = True
        body["top_logprobs"] = dialect.num_top_logprobs
    if params.stop:
        body["stop"] = list(params.stop[:_MAX_STOPS])
    body = {key: value for key, value in body.items() if key not in dialect.refused}
    if "logprobs" not in body:
        body.pop("top_logprobs", None)
    if num_choices > 1:
        body["n"] = num_choices
    if has_length and dialect.length_field is not None:
        limit = dialect.length_limit or params.max_new_tokens
        body[dialect.length_field] = min(params.max_new_tokens, limit)
    return {"model": model, "messages": messages, **body, **(extra or {})}


def adapt(
    dialect: Dialect, problem: Problem, body: Mapping[str, Any], *, ours: Sequence[str]
) -> tuple[Dialect, str] | None:
    """The dialect that avoids a problem, and a line that says what was learnt; None where it is no such problem.

    `ours` are the parameters of `body` that may be changed: not what the user asked for by name, and
    not what the server has taken before.
    """
    if (found := _LENGTH_LIMIT.search(problem.message)) and dialect.length_limit != int(found[1]):
        limit = int(found[1])
        if 0 < limit < body.get(dialect.length_field or "", 0):
            return replace(dialect, length_limit=limit), f"it writes at most {limit} tokens"
    name = _find_parameter(problem, [key for key in ours if key in body])
    if name is None:
        return None
    if name in _LENGTH_FIELDS:
        other = _LENGTH_FIELDS[1 - _LENGTH_FIELDS.index(name)]
        if other in dialect.refused:
            return replace(dialect, length_field=None), "no limit of new tokens is sent"
        return (
            replace(dialect, length_field=other, refused=dialect.refused | {name}),
            f"{other} is sent instead of {name}",
        )
    if name == "top_logprobs" and dialect.num_top_logprobs > _FEWER_LOGPROBS:
        return (
            replace(dialect, num_top_logprobs=_FEWER_LOGPROBS),
            f"log-probabilities of {_FEWER_LOGPROBS} tokens are asked for instead of {dialect.num_top_logprobs}",
        )
    if name == "n":
        return refuse_choices(dialect, body.get("temperature", 1.0)), "samples are asked for one by one"
    if name == "top_logprobs":
        name = "logprobs"
    return replace(dialect, refused=dialect.refused | {name}), f"{name} is not sent"


def refuse_choices(dialect: Dialect, temperature: float) -> Dialect:
    """The dialect of a server that gives one choice a reply at this temperature."""
    return replace(dialect, refused=dialect.refused | {_choices_name(temperature)})


def read_problem(status: int, body: bytes) -> Problem:
    """What a failed reply says, whatever its form."""
    text = body[:65536].decode(errors="replace")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        plain = re.sub(r"<style.{0,20000}?</style>|<[^<>]{0,500}>", " ", text, flags=re.DOTALL)
        return Problem(status=status, message=one_line(plain))
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    if not isinstance(error, dict):
        return Problem(status=status, message=one_line(error if isinstance(error, str) else text))
    param = error.get("param")
    message = error.get("message", error.get("detail"))
    if isinstance(message, list) and message and isinstance(message[0], dict):
        # FastAPI's form: `detail` is a list of {loc: ["body", NAME], msg, ...}.
        place = message[0].get("loc")
        param = param or (place[-1] if isinstance(place, list) and place else None)
        message = f"{message[0].get('msg', '')} ({param})"
    codes = " ".join(str(error[key]) for key in ("code", "type") if isinstance(error.get(key), str))
    return Problem(
        status=status,
        message=one_line(message if isinstance(message, str) else text),
        code=codes.lower(),
        param=param if isinstance(param, str) else None,
    )


def read_reply(body: bytes) -> Reply:
    """A successful reply.

    Raises:
        ReplyError: it is no JSON, holds an error or no choices; what it used, if it says so.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        shown = "" if body.lstrip()[:1] in (b"{", b"[", b"") else f": {_quote(body)}"
        raise ReplyError(f"the reply is not valid JSON{shown}") from None
    if not isinstance(data, dict):
        raise ReplyError("the reply is not a JSON object")
    usage = _read_usage(data.get("usage"))
    choices = [_read_choice(choice) for choice in data.get("choices") or () if isinstance(choice, dict)]
    good = tuple(choice for choice in choices if choice.error is None)
    if not good:
        said = choices[0].error if choices else _read_error(data.get("error"))
        raise ReplyError(f"the reply holds no text{f': {said}' if said else ' (no choices)'}", usage)
    model = data.get("model")
    return Reply(choices=good, usage=usage, model=model if isinstance(model, str) and model else None)


def compose_text(choice: Choice, stop: Sequence[str] = (), thinking: Sequence[Pair] = ()) -> ComposedText:
    """The judge's text as it was written: thinking first, and a stop string of the user's in its place."""
    content = choice.content
    finish_reason = "length" if choice.finish_reason in ("length", "max_tokens") else "stop"
    if finish_reason == "stop":
        content += _find_lost_stop(content, choice.matched_stop, stop)
    reasoning = choice.reasoning.strip("\n")
    opening = ""
    # Some servers deliver the thinking twice, inside of the content too.
    is_twice = reasoning.strip() in content and bool(find_marks(content, thinking))
    if reasoning.strip() and not is_twice:
        # Thinking that ran into the token limit was never closed.
        is_cut = finish_reason == "length" and not content.strip()
        opening = f"<think>\n{_escape_marks(reasoning, thinking)}" + ("" if is_cut else "\n</think>\n\n")
    return ComposedText(text=opening + content, finish_reason=finish_reason, content_start=len(opening))


def _escape_marks(reasoning: str, thinking: Sequence[Pair]) -> str:
    """Marks of thinking inside of thinking, each with a backslash behind its first character."""
    for mark in reversed(find_marks(reasoning, thinking)):
        reasoning = f"{reasoning[: mark.start + 1]}\\{reasoning[mark.start + 1 :]}"
    return reasoning


def split_tokens(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Whole numbers that add up to `total`, in proportion to `weights`.

    >>> split_tokens(10, [1, 1, 2])
    (3, 2, 5)
    """
    whole = sum(weights) or len(weights)
    weights = weights if sum(weights) else [1] * len(weights)
    bounds = [0]
    seen = 0
    for weight in weights:
        seen += weight
        bounds.append((2 * total * seen + whole) // (2 * whole))
    return tuple(end - start for start, end in pairwise(bounds))


def estimate_usage(num_prompt_tokens: int, choices: Sequence[Choice]) -> Usage:
    """What a reply took whose server does not say."""
    written = sum(len(choice.content) + len(choice.reasoning) for choice in choices)
    return Usage(
        prompt_tokens=num_prompt_tokens,
        completion_tokens=math.ceil(written / CHARS_PER_TOKEN),
        is_estimated=True,
    )


def is_moderated(message: str) -> bool:
    """Whether a server's words say that its moderation refused the prompt."""
    return _MODERATION.search(message) is not None


def one_line(text: str) -> str:
    """`text` without line breaks, shortened to what fits into an error message."""
    line = " ".join(text[: 8 * _MESSAGE_CHARS].split())
    return line if len(line) <= _MESSAGE_CHARS else line[: _MESSAGE_CHARS - 3] + "..."


def _choices_name(temperature: float) -> str:
    return "n" if temperature > 0 else "n_greedy"


def _build_content(content: Content) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return _mend(content)
    return [
        {"type": "image_url", "image_url": {"url": _image_url(part)}}
        if isinstance(part, ImagePart)
        else {"type": "text", "text": _mend(part.text)}
        for part in content
    ]


def _mend(text: str) -> str:
    """Half characters (lone surrogates), which JSON cannot carry, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _image_url(part: ImagePart) -> str:
    """The picture's URL; a file becomes a data URL, for the server cannot see our files."""
    url = urlsplit(part.url)
    if url.scheme != "file":
        return part.url
    path = Path(url2pathname(url.path))
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        # Data can name any file: only pictures leave this machine.
        raise GenerationError(f"{path}: not the name of a picture; expected .png, .jpg, .webp or the like")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GenerationError(f"{path}: the picture cannot be read ({error.strerror})") from None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _find_parameter(problem: Problem, names: Sequence[str]) -> str | None:
    """Which of the parameters the problem speaks of."""
    if problem.param is not None:
        named = problem.param.rpartition(".")[2]
        if named in names:
            return named
    located = _LOCATION.search(problem.message)
    if located and located[1] in names:
        return located[1]
    for name in sorted(names, key=len, reverse=True):
        if re.search(rf"""['"`]{name}['"`]""", problem.message):
            return name
    for name in sorted(names, key=len, reverse=True):
        pattern = (
            rf"\b{name}\b"
            if name in _DISTINCT
            else rf"\b{name}\b\s*(?:[=>:]|must|is\b|are\b|not\b|parameter|should|has to)"
            rf"|(?:parameters?|arguments?|field|option|unsupported|support)\W{{0,3}}(?:supplied\W{{0,3}})?\b{name}\b"
        )
        if re.search(pattern, problem.message, re.IGNORECASE if name != "n" else 0):
            return name
    return None


def _quote(body: bytes) -> str:
    """The beginning of what should have been JSON."""
    return repr(" ".join(body[:8192].decode(errors="replace").split())[:_SHOWN_CHARS])


def _read_usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None

    def count(name: str) -> int:
        number = value.get(name)
        return number if isinstance(number, int) and number > 0 else 0

    usage = Usage(prompt_tokens=count("prompt_tokens"), completion_tokens=count("completion_tokens"))
    return usage if usage != Usage() else None


def _read_choice(choice: dict[str, Any]) -> Choice:
    message = choice.get("message")
    reason = choice.get("finish_reason")
    error = _read_error(choice.get("error"))
    if error or not isinstance(message, dict):
        return Choice(content="", error=error or "a choice has no message")
    if reason in ("error", "abort"):
        return Choice(content="", error=f"the server ended it with {reason!r}")
    content, thinking = _read_content(message.get("content"))
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    for key in _REASONING_FIELDS:
        thinking = thinking or "".join(_read_content(message.get(key)))
    matched = next((choice[key] for key in ("stop_reason", "matched_stop") if choice.get(key)), None)
    return Choice(
        content=content,
        reasoning=thinking,
        finish_reason=reason if isinstance(reason, str) else None,
        matched_stop=matched if isinstance(matched, str) else None,
        tokens=read_token_logprobs(choice.get("logprobs")),
    )


def _read_content(content: Any) -> tuple[str, str]:
    """`(text, thinking)`; some servers send content as parts, thinking among them."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict):
        content = [content]
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = str(part.get("type") or "text")
        # A part of another type than text (`thinking`, `reasoning`, `reasoning.summary`) is what was thought.
        target = texts if kind in _TEXT_PARTS else thoughts
        inner = next((part[key] for key in _PART_FIELDS if isinstance(part.get(key), (str, list))), None)
        target.append("".join(_read_content(inner)))
    return "".join(texts), "".join(thoughts)


def _read_error(error: Any) -> str | None:
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return one_line(str(error)) if error else None


def _find_lost_stop(content: str, matched: str | None, stop: Sequence[str]) -> str:
    """The stop string that the server cut off the end, or nothing."""
    if matched is not None and matched in stop:
        return "" if content.endswith(matched) else matched
    for text in stop:
        tag = _CLOSING_TAG.fullmatch(text)
        if tag and content.rfind(f"<{tag[1]}>") > content.rfind(text):
            return text
    return ""
