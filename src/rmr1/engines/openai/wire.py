"""The chat-completions format: request bodies out, replies in. Pure but for the files of pictures.

Everything that shapes the text is said, also if it is neutral, since a server may have defaults of its own, such as
those of a model's generation_config.json: the penalty always, the rest of the draw if there is one.

What a server has delivered is kept as it was written. Stop strings that the user chose are sent. Servers cut the
string itself off; it is put back if the server names it (`stop_reason` of vLLM, `matched_stop` of SGLang), or if it
closes a tag that the text leaves open. What a server took out of the text (`reasoning_content` and its like) comes
first again, in `<think>` tags. Marks of thinking inside it get the backslash of `rmr1.prompts.escape`: a response that
the thinking quotes must not be able to end the thinking.
"""

from __future__ import annotations

import base64
import json
import math
import mimetypes
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import orjson

from rmr1.engines.base import SamplingParams
from rmr1.engines.openai.logprobs import TokenLogprobs, align_verdict, read_token_logprobs
from rmr1.errors import GenerationError
from rmr1.messages import Content, ImagePart, Messages
from rmr1.prompts.thinking import Pair, find_marks
from rmr1.records import Generation, Usage
from rmr1.verdicts.location import find_verdict_span

_MAX_STOPS = 4
"""OpenAI's own limit."""
LENGTH_FIELDS = ("max_tokens", "max_completion_tokens")
"""The first one that is not refused is sent."""
NEUTRAL: Mapping[str, float] = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Parameters beside OpenAI's own by which a server could change the draw; and what turns them off."""
_MESSAGE_CHARS = 300
_SHOWN_CHARS = 200
CHARS_PER_TOKEN = 4

_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_THINKING_FIELDS = ("thinking", "reasoning", "summary")
_PART_FIELDS = ("text", "refusal", *_THINKING_FIELDS, "content", "value")
_CUT_REASONS = ("length", "max_tokens")
_CLOSING_TAG = re.compile(r"</([\w-]{1,32})>")
_EMPTY = "the text is empty"


@dataclass(eq=False)
class ReplyError(ValueError):
    """A reply that was sent as a success and is none."""

    message: str
    _: KW_ONLY
    usage: Usage | None = None
    is_empty: bool = False
    """Whether it is whole, and the model has said nothing."""
    is_json: bool = True
    status: int | None = None
    """The HTTP status that it should have had, if it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a server takes, as far as it is known."""

    refused: frozenset[str] = frozenset()
    """Parts that are not sent: parameters; `n_greedy`, which is `n` at temperature 0 and refused by vLLM; `system`,
    messages of that role, whose text the next user turn gets; `turns`, those of one role in a row, which are joined."""
    max_new_tokens: int = sys.maxsize
    num_top_logprobs: int = 20

    def __or__(self, other: Dialect) -> Dialect:
        return Dialect(
            refused=self.refused | other.refused,
            max_new_tokens=min(self.max_new_tokens, other.max_new_tokens),
            num_top_logprobs=min(self.num_top_logprobs, other.num_top_logprobs),
        )

    def takes_choices(self, params: SamplingParams) -> bool:
        """Whether several samples may be asked for at once."""
        return choices_name(params.temperature) not in self.refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One text of a reply, as the server split it."""

    content: str
    reasoning: str = ""
    finish_reason: str | None = None
    matched_stop: str | None = None
    tokens: tuple[TokenLogprobs, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of a server: at least one choice."""

    choices: tuple[Choice, ...]
    usage: Usage | None
    model: str | None
    num_choices: int
    """Those that hold no text among them."""


def build_messages(messages: Messages) -> list[dict[str, Any]]:
    """Messages in wire form; `GenerationError` if a picture's file cannot be read or is no picture."""
    return [{"role": message.role, "content": _build_content(message.content)} for message in messages]


def build_body(
    *,
    model: str,
    messages: list[dict[str, Any]],
    params: SamplingParams,
    dialect: Dialect,
    num_choices: int = 1,
    seed: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a request: only what the server takes; `extra` goes before everything else."""
    # A penalty changes greedy texts as well.
    body: dict[str, Any] = {
        "temperature": params.temperature,
        "repetition_penalty": NEUTRAL["repetition_penalty"],
    }
    if params.temperature > 0:
        body.update(NEUTRAL, top_p=params.top_p)
    elif params.top_p != 1.0:
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
    for name in [name for name in LENGTH_FIELDS if name not in dialect.refused][:1]:
        body[name] = min(params.max_new_tokens, dialect.max_new_tokens)
    if not dialect.refused.isdisjoint(("turns", "system")):
        messages = join_turns(messages, merges_system="system" in dialect.refused)
    return {"model": model, "messages": messages, **body, **(extra or {})}


def join_turns(messages: Sequence[Mapping[str, Any]], *, merges_system: bool) -> list[dict[str, Any]]:
    """Messages in wire form with turns of one role that follow each other as one, a blank line between.

    With `merges_system` system text is the user's.

    >>> join_turns(
    ...     [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], merges_system=True
    ... )
    [{'role': 'user', 'content': 'Be brief.\\n\\nHi'}]
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        is_moved = merges_system and message["role"] == "system"
        role = "user" if is_moved else message["role"]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] = _join(turns[-1]["content"], message["content"])
        elif message["content"] or not is_moved:
            turns.append({**message, "role": role})
    return turns


def choices_name(temperature: float) -> str:
    """What `n` is called in `Dialect.refused`."""
    return "n" if temperature > 0 else "n_greedy"


def read_reply(body: bytes, *, may_be_empty: bool = False) -> Reply:
    """A successful reply; `ReplyError` if it is no JSON, or holds an error or no text, unless that may be empty."""
    try:
        data = load_json(body)
    except ValueError:
        begin = " ".join(body[:8192].decode(errors="replace").split())[:_SHOWN_CHARS]
        shown = "" if begin[:1] in ("{", "[", "") else f": {begin!r}"
        raise ReplyError(f"the reply is not valid JSON{shown}", is_json=False) from None
    if not isinstance(data, dict):
        raise ReplyError("the reply is not a JSON object")
    usage = _read_usage(data.get("usage"))
    listed = [choice for choice in data.get("choices") or () if isinstance(choice, dict)]
    choices = [_read_choice(choice, may_be_empty) for choice in listed]
    good = tuple(choice for choice in choices if isinstance(choice, Choice))
    if not good:
        error = data.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        said = choices[0] if choices else _read_error(error)
        raise ReplyError(
            f"the reply holds no text{f': {said}' if said else ' (no choices)'}",
            usage=usage,
            is_empty=bool(choices) and all(choice == _EMPTY for choice in choices),
            status=code if isinstance(code, int) and 400 <= code < 600 else None,
        )
    model = data.get("model")
    return Reply(
        choices=good,
        usage=usage,
        model=model if isinstance(model, str) and model else None,
        num_choices=len(choices),
    )


def compose_text(
    choice: Choice, stop: Sequence[str] = (), thinking: Sequence[Pair] = ()
) -> tuple[str, str, int]:
    """`(text, finish reason, index at which the server's content begins)`: the judge's text as it was written,
    thinking first, and a stop string of the user's in its place."""
    content = choice.content
    finish_reason = "length" if choice.finish_reason in _CUT_REASONS else "stop"
    if finish_reason == "stop":
        content += _find_lost_stop(content, choice.matched_stop, stop)
    reasoning = choice.reasoning.strip("\n")
    opening = ""
    # Some servers deliver the thinking twice, inside of the content too.
    thought = reasoning.strip()
    is_twice = bool(thought) and thought in content and bool(find_marks(content, thinking))
    if thought and not is_twice:
        for mark in reversed(find_marks(reasoning, thinking)):
            reasoning = f"{reasoning[: mark.start + 1]}\\{reasoning[mark.start + 1 :]}"
        # Thinking that ran into the token limit was never closed.
        is_cut = finish_reason == "length" and not content.strip()
        opening = f"<think>\n{reasoning}" + ("" if is_cut else "\n</think>\n\n")
    return opening + content, finish_reason, len(opening)


def read_generations(
    reply: Reply,
    params: SamplingParams,
    labels: Sequence[str],
    *,
    num_choices: int,
    model: str | None,
    seed: int | None = None,
    spent: Usage | None = None,
) -> list[Generation]:
    """Generations of the first texts of a reply; `spent` is what replies before it took in vain."""
    choices, usage = reply.choices[:num_choices], reply.usage or Usage()
    weights = [len(choice.tokens or ()) or len(choice.content + choice.reasoning) for choice in choices]
    counts = split_tokens(usage.completion_tokens, weights)
    found: list[Generation] = []
    for choice, count in zip(choices, counts, strict=True):
        text, finish_reason, start = compose_text(choice, params.stop, params.thinking)
        verdict = None
        if params.verdict_logprobs and choice.tokens:
            span = find_verdict_span(text, labels, params.thinking, truncated=finish_reason == "length")
            if span is not None and span[0] >= start:
                inner = (span[0] - start, span[1] - start)
                verdict = align_verdict(choice.tokens, choice.content, inner, labels)
        is_filtered = choice.finish_reason == "content_filter"
        found.append(
            Generation(
                text=text,
                finish_reason="error" if is_filtered else finish_reason,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=count,
                verdict_logprobs=None if verdict is None else verdict.logprobs,
                verdict_mass=None if verdict is None else verdict.mass,
                model=model,
                seed=seed,
                error="the server's content filter ended the text" if is_filtered else None,
                is_refused=is_filtered,
                billed=None if found else usage + (spent or Usage()),
            )
        )
    return found


def split_tokens(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Whole numbers that add up to `total`, in proportion to `weights`.

    >>> split_tokens(10, [1, 1, 2])
    (3, 2, 5)
    """
    weights = weights if sum(weights) else [1] * len(weights)
    whole = sum(weights)
    bounds = [(2 * total * seen + whole) // (2 * whole) for seen in accumulate(weights, initial=0)]
    return tuple(end - start for start, end in pairwise(bounds))


def estimate_usage(num_prompt_tokens: int, choices: Sequence[Choice]) -> Usage:
    """What a reply took whose server does not say."""
    written = sum(len(choice.content) + len(choice.reasoning) for choice in choices)
    return Usage(
        prompt_tokens=num_prompt_tokens,
        completion_tokens=math.ceil(written / CHARS_PER_TOKEN),
        is_estimated=True,
    )


def load_json(body: bytes) -> Any:
    """JSON as servers write it: also with NaN and infinities, half characters and bytes that are no UTF-8."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            data = json.loads(body.decode(errors="replace"))
            return json.loads(_mend(json.dumps(data, ensure_ascii=False)))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def one_line(text: str) -> str:
    """`text` without line breaks, at most 300 characters."""
    line = " ".join(text[: 8 * _MESSAGE_CHARS].split())
    return line if len(line) <= _MESSAGE_CHARS else line[: _MESSAGE_CHARS - 3] + "..."


def _join(first: Any, second: Any) -> Any:
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    parts = [[{"type": "text", "text": one}] if isinstance(one, str) else one for one in (first, second)]
    return parts[0] + parts[1]


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
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _image_url(part: ImagePart) -> str:
    """A file becomes a data URL, for the server cannot see our files."""
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


def _read_usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None

    found = {name: value.get(name) for name in ("prompt_tokens", "completion_tokens")}
    counts: dict[str, Any] = {
        name: int(number)
        for name, number in found.items()
        if isinstance(number, int | float) and 0 < number < math.inf
    }
    return Usage(**counts) if counts else None


def _read_choice(choice: dict[str, Any], may_be_empty: bool) -> Choice | str:
    """The choice, or why it is none."""
    message = choice.get("message")
    reason = choice.get("finish_reason")
    error = _read_error(choice.get("error"))
    if error or not isinstance(message, dict):
        return error or "a choice has no message"
    if reason in ("error", "abort"):
        return f"the server ended it with {reason!r}"
    content, thinking = read_message(message)
    is_empty = not (content.strip() or thinking.strip())
    if is_empty and not may_be_empty and reason not in (*_CUT_REASONS, "content_filter"):
        return _EMPTY
    matched = next((choice[key] for key in ("stop_reason", "matched_stop") if choice.get(key)), None)
    return Choice(
        content=content,
        reasoning=thinking,
        finish_reason=reason if isinstance(reason, str) else None,
        matched_stop=matched if isinstance(matched, str) else None,
        tokens=read_token_logprobs(choice.get("logprobs")),
    )


def read_message(message: Mapping[str, Any]) -> tuple[str, str]:
    """`(text, thinking)` of a choice's message."""
    content, thinking = _read_content(message.get("content"))
    if not content and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    for key in _REASONING_FIELDS:
        thinking = thinking or "".join(_read_content(message.get(key)))
    return content, thinking


def _read_content(content: Any) -> tuple[str, str]:
    """`(text, thinking)`; some servers send content as parts."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, list):
        read = [_read_content(part) for part in content]
        return "".join(text for text, _ in read), "".join(thinking for _, thinking in read)
    if not isinstance(content, dict):
        return "", ""
    filled = (key for key in _PART_FIELDS if content.get(key) and isinstance(content[key], str | list | dict))
    key = next(filled, "")
    text, thinking = _read_content(content.get(key))
    # A part of any other type is text: an unknown one may hold the verdict.
    kind = str(content.get("type")).lower()
    is_thinking = key in _THINKING_FIELDS or "think" in kind or "reason" in kind
    return ("", text + thinking) if is_thinking else (text, thinking)


def _read_error(error: Any) -> str | None:
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return one_line(str(error)) if error else None


def _find_lost_stop(content: str, matched: str | None, stop: Sequence[str]) -> str:
    if matched is not None and matched in stop:
        return "" if content.endswith(matched) else matched
    for text in stop:
        tag = _CLOSING_TAG.fullmatch(text)
        if tag and content.rfind(f"<{tag[1]}>") > content.rfind(text):
            return text
    return ""
