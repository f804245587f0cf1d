"""Decision endpoints: one question with a choice for each answer of a prompt. Bodies out, answers in; pure.

Two forms are known:

    decisions   OpenAI's POST {base}/decisions (openai 3.57.0, `types/decision_create_params.py`), since 0.33 vLLM's too
    systemone   TypeSafe's POST {base}/systemone: vLLM since 0.32, Ollama, LocalAI

A prompt's system text is the question's instructions, and its user text what the question is about. An answer counts
only if it chooses one of the labels and tells a probability of each, of which the chosen one has none smaller. The
`confidence` of an answer is not read: servers mean different things by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Literal, get_args

from rmr1.engines.openai.wire import Reply, ReplyError, load_json, one_line
from rmr1.prompts.protocol import CHATBOT_NAME
from rmr1.records import Usage

DecisionForm = Literal["decisions", "systemone"]
"""A form of the endpoint, by the last part of its path."""
DECISION_FORMS: tuple[DecisionForm, ...] = get_args(DecisionForm)
"""Those that are known, in the sequence in which they are tried."""

QUESTION = "better"
"""The question's name."""
INSTRUCTIONS = "Which response is better?"
"""What is asked if the prompt has no system text."""
RESERVED = ("input", "questions", "state", "images")
"""Fields of the body that are not the user's."""
_LOWEST = -9999.0
"""The logarithm of nothing, in JSON."""
_MOST_APART = 0.01
"""How far from 1 the probabilities of all choices may add up, which are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReply(Reply):
    """A reply whose only question was answered, or why it was not."""

    shares: tuple[tuple[str, float], ...] = ()
    """(label, probability) of each label, which add up to 1; empty if there is a fault."""
    mass: float | None = None
    """Probability of all labels over the whole vocabulary, in [0, 1]; None if the server does not tell it."""
    fault: str | None = None
    """Why the answer is of no use."""
    is_declined: bool = False
    """Whether the model has declined to answer."""

    def take_logprobs(self) -> tuple[tuple[str, float], ...]:
        """(label, log-probability over the whole vocabulary, as far as that is told) of each label."""
        mass = 1.0 if self.mass is None else self.mass
        return tuple(
            (label, max(_LOWEST, log(share * mass)) if share * mass > 0 else _LOWEST)
            for label, share in self.shares
        )


def name_choice(label: str) -> str:
    """The value by which a label's answer is chosen.

    >>> name_choice("A")
    'Chatbot A'
    """
    return CHATBOT_NAME.format(label=label)


def build_decision(
    form: DecisionForm,
    *,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of a request in this form; `messages` are a prompt's, in the chat's wire form."""
    told = [str(one["content"]) for one in messages if one["role"] == "system"]
    instructions = "\n\n".join(told) or INSTRUCTIONS
    contents = [one["content"] for one in messages if one["role"] != "system"]
    parts = [part for content in contents for part in _list_parts(content)]
    names = [name_choice(label) for label in labels]
    if form == "decisions":
        content: Any = parts[0]["text"]
        if len(parts) > 1:
            content = [
                {"type": "input_image", "image_url": part["image_url"]["url"]}
                if part["type"] == "image_url"
                else {"type": "input_text", "text": part["text"]}
                for part in parts
            ]
        question: dict[str, Any] = {
            "type": "choice",
            "name": QUESTION,
            "instructions": instructions,
            "choices": [{"value": name} for name in names],
        }
        asked = {"input": [{"type": "message", "role": "user", "content": content}], "questions": [question]}
        return {"model": model, **asked, **(extra or {})}
    images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    question = {"type": "choice", "instructions": instructions, "criteria": dict.fromkeys(names)}
    return {
        "model": model,
        "state": "\n\n".join(part["text"] for part in parts if part["type"] == "text"),
        **({"images": images} if images else {}),
        "questions": {QUESTION: question},
        **(extra or {}),
    }


def find_form(body: Mapping[str, Any]) -> DecisionForm:
    """The form of a body."""
    return "decisions" if "input" in body else "systemone"


def read_decision(received: bytes, labels: Sequence[str]) -> DecisionReply:
    """A successful reply of either form.

    Raises:
        ReplyError: it is no JSON, or has no answers; with the status 404 if it says an error instead, as some servers
            answer what they do not know.
    """
    try:
        data = load_json(received)
    except ValueError:
        raise ReplyError("the reply is not valid JSON", is_json=False) from None
    if not isinstance(data, dict):
        raise ReplyError("the reply is not a JSON object")
    usage, error = _read_usage(data.get("usage")), data.get("error")
    answers = data.get("answers")
    if isinstance(answers, dict):
        answers = [answers.get(QUESTION)]
    if not isinstance(answers, list) or not answers or not isinstance(answers[0], dict):
        said = error.get("message") if isinstance(error, dict) else error
        raise ReplyError(
            f"the reply holds no answer{f': {one_line(str(said))}' if said else ''}",
            usage=usage,
            status=404 if said else None,
        )
    model = data.get("model")
    answer, names = answers[0], {name_choice(label): label for label in labels}
    is_declined = answer.get("type") == "refusal"
    fault = (
        "the model declined to answer (refusal)" if is_declined else _find_fault(answer, [*names], str(model))
    )
    probabilities = {} if fault is not None else _read_probabilities(answer)
    total = sum(probabilities[name] for name in names) if probabilities else 1.0
    return DecisionReply(
        choices=(),
        usage=usage,
        model=model if isinstance(model, str) and model else None,
        num_choices=1,
        shares=tuple((label, probabilities[name] / total) for name, label in names.items() if probabilities),
        mass=_read_mass(data.get("diagnostics")),
        fault=fault,
        is_declined=is_declined,
    )


def _list_parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _find_fault(answer: Mapping[str, Any], names: Sequence[str], model: str) -> str | None:
    if answer.get("type") != "choice":
        return f"the answer is of type {answer.get('type')!r}; expected a choice"
    choice, probabilities = answer.get("choice"), _read_probabilities(answer)
    if choice not in names:
        return f"the answer chooses {one_line(repr(choice))}, which is none of the choices"
    if not probabilities:
        return f"the answer has no probabilities: {model!r} tells only its choice"
    wrong = next((name for name in names if not _is_probability(probabilities.get(name))), None)
    if wrong is not None:
        told = one_line(repr(probabilities.get(wrong)))
        return f"the answer's probability of {wrong!r} is {told}; expected a number from 0 to 1"
    total = sum(probabilities[name] for name in names)
    if abs(total - 1) > _MOST_APART:
        return f"the probabilities of the choices add up to {total:.3g}, not to 1"
    if probabilities[choice] < max(probabilities[name] for name in names):
        return f"the answer chooses {choice!r}, to which it gives the lower probability, {probabilities[choice]:.3g}"
    return None


def _read_probabilities(answer: Mapping[str, Any]) -> dict[Any, Any]:
    """Value -> probability, as they were sent."""
    found = answer.get("probabilities")
    if isinstance(found, list):
        pairs = [(one.get("value"), one.get("probability")) for one in found if isinstance(one, dict)]
        return {value: probability for value, probability in pairs if isinstance(value, str)}
    return found if isinstance(found, dict) else {}


def _is_probability(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and 0 <= value <= 1
    )


def _read_mass(diagnostics: Any) -> float | None:
    """vLLM's `label_mass`."""
    told = diagnostics.get(QUESTION) if isinstance(diagnostics, dict) else None
    mass = told.get("label_mass") if isinstance(told, dict) else None
    is_number = isinstance(mass, int | float) and not isinstance(mass, bool) and isfinite(mass) and mass >= 0
    return min(1.0, float(mass)) if is_number else None  # type: ignore[arg-type]


def _read_usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    read, written = (value.get(f"{name}_tokens") for name in ("input", "output"))
    counts = [number if isinstance(number, int) and number > 0 else 0 for number in (read, written)]
    return Usage(prompt_tokens=counts[0], completion_tokens=counts[1]) if counts[0] else None
