"""The shipped fake: texts from a script instead of a model, for tests, examples and trying things out.

The four judges of `load_scripted` write full Chain-of-Rubrics traces with real quotations: `longer` prefers the longer
response, `always-a` and `always-b` the place, and `hash` decides by a digest of the prompt and the sample's number.
Tokens are counted as characters // 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from rmr1.engines.base import Request, SamplingParams
from rmr1.errors import ConfigError, DataError
from rmr1.prompts import parse_blocks
from rmr1.prompts.blocks import Blocks
from rmr1.prompts.families import RUBRIC_WRITER
from rmr1.prompts.protocol import CHATBOT_NAME
from rmr1.records import Generation, JudgePrompt

Script = Callable[[JudgePrompt, int], str]

_CHARS_PER_TOKEN = 4
_MAX_QUOTE_WORDS = 14
_PIECES = 4
"""How many a text has for somebody who listens."""
_RUBRIC = (
    "<rubric>\n"
    "1. Helpfulness (60%): does the response give the Client what was asked for?\n"
    "2. Completeness (40%): does it leave nothing important out?\n"
    "<justify>The Client needs an answer first, and all of it second.</justify>\n</rubric>"
)


class ScriptedEngine:
    """Answers each request by a function of its prompt and the sample's number."""

    def __init__(
        self,
        script: Script | Mapping[str, str | Sequence[str]] | Sequence[str],
        name: str = "scripted",
        *,
        fail_every: int = 0,
    ):
        """Wrap a script.

        Args:
            script: a function `(prompt, sample) -> text`, or texts by pair id, or texts for every
                prompt. Of several texts sample i gets number i, from the start again when they run out.
            fail_every: every n-th request of the engine's life ends in an error; 0 is never.
        """
        self.name = name
        self._script = script if callable(script) else _play(script)
        self._identity = _identify(script)
        self._fail_every = fail_every
        self._num_requests = 0

    def fingerprint(self) -> dict[str, object]:
        return {"engine": "scripted", "script": self._identity}

    def special_tokens(self) -> tuple[str, ...]:
        return ()

    def generate(
        self, requests: Iterable[Request], params: SamplingParams
    ) -> Iterator[tuple[Request, tuple[Generation, ...]]]:
        for request in requests:
            self._num_requests += 1
            if self._fail_every and self._num_requests % self._fail_every == 0:
                failure = self._failure(request.prompt, f"scripted failure of request {self._num_requests}")
                yield request, (failure,) * len(request.list_samples(params))
                continue
            own, samples = request.choose_params(params), request.list_samples(params)
            generations = tuple(self._answer(request.prompt, sample, own) for sample in samples)
            for sample, generation in zip(samples, generations, strict=True):
                _tell(request, sample, generation.text)
            yield request, generations

    def close(self) -> None:
        """Nothing to release."""

    def _answer(self, prompt: JudgePrompt, sample: int, params: SamplingParams) -> Generation:
        try:
            text = self._script(prompt, sample)
        except DataError as error:
            return self._failure(prompt, str(error))
        is_cut = _count_tokens(text) > params.max_new_tokens
        if is_cut:
            text = text[: params.max_new_tokens * _CHARS_PER_TOKEN]
        return Generation(
            text=text,
            finish_reason="length" if is_cut else "stop",
            prompt_tokens=_count_prompt(prompt),
            completion_tokens=_count_tokens(text),
            model=self.name,
        )

    def _failure(self, prompt: JudgePrompt, reason: str) -> Generation:
        return Generation(
            text="", finish_reason="error", prompt_tokens=_count_prompt(prompt), model=self.name, error=reason
        )


def _tell(request: Request, sample: int, text: str) -> None:
    """Tell who listens, in a few pieces, as a model would."""
    if request.listener is not None and request.listener.is_there:
        size = -(-len(text) // _PIECES) or 1
        for start in range(0, len(text), size):
            request.listener.hear(sample, start, text[start : start + size])


def load_scripted(name: str) -> ScriptedEngine:
    """One of the shipped judges."""
    if name not in _CHOICES:
        raise ConfigError(f"scripted judge {name!r} is not known; choose one of {', '.join(_CHOICES)}")
    choose = _CHOICES[name]

    def script(prompt: JudgePrompt, sample: int) -> str:
        if prompt.family == RUBRIC_WRITER:
            return _RUBRIC
        blocks = parse_blocks(prompt.messages[-1].text)
        return write_trace(prompt.family, blocks, choose(blocks, sample), num_criteria=prompt.num_criteria)

    script.__qualname__ = name
    return ScriptedEngine(script, f"scripted:{name}")


def write_trace(family: str, blocks: Blocks, winner: str, *, num_criteria: int = 0) -> str:
    """A well-formed judgment for `winner` in the form that a prompt family asks for, and that a prompt with so many
    criteria asks for; by each of these the winner gets 8 and the other answer 5."""
    verdict = f"<answer>[[{winner}]]</answer>"
    if family == "direct":
        return verdict
    evidence = "\n".join(
        f"- Chatbot {label}: {_describe(response, label)}"
        for label, response in (("A", blocks.response_a), ("B", blocks.response_b))
    )
    if num_criteria:
        line = "A: 8, B: 5" if winner == "A" else "A: 5, B: 8"
        scores = "\n".join(
            f"<score_{number}>{line}</score_{number}>" for number in range(1, num_criteria + 1)
        )
        return f"<eval>\n{evidence}\n{scores}\n</eval>\n\n{verdict}"
    if family == "reasoning":
        return f"<think>\n{evidence}\nChatbot {winner} serves the Client better.\n</think>\n\n{verdict}"
    return (
        f"<type>Chat</type>\n\n{_RUBRIC}\n\n"
        f"<eval>\n{evidence}\nWeighed by the rubric, Chatbot {winner} comes out ahead.\n</eval>\n\n{verdict}"
    )


def _describe(response: str, label: str) -> str:
    # Of a transcript what the Chatbot said last.
    response = response.rpartition(f"\n{CHATBOT_NAME.format(label=label)}: ")[2]
    quote = _take_quote(response)
    summary = f"<summary_{label}>a response of {len(response.split())} words</summary_{label}>"
    return f"<quote_{label}>{quote}</quote_{label}> opens {summary}" if quote else f"only {summary}"


def _take_quote(response: str) -> str:
    # The first words of the first line that has any, up to whatever looks like markup.
    for line in response.splitlines():
        words = line.split()[:_MAX_QUOTE_WORDS]
        if quote := " ".join(takewhile(lambda word: not any(char in word for char in "<>[]\\"), words)):
            return quote
    return ""


def _choose_longer(blocks: Blocks, sample: int) -> str:
    plain = blocks.unescape()
    return "A" if len(plain.response_a) >= len(plain.response_b) else "B"


def _choose_by_hash(blocks: Blocks, sample: int) -> str:
    parts = (blocks.question or "", blocks.response_a, blocks.response_b, str(sample))
    return "AB"[_digest("\0".join(parts))[0] & 1]


_CHOICES: dict[str, Callable[[Blocks, int], str]] = {
    "longer": _choose_longer,
    "always-a": lambda blocks, sample: "A",
    "always-b": lambda blocks, sample: "B",
    "hash": _choose_by_hash,
}


def _play(texts: Mapping[str, str | Sequence[str]] | Sequence[str]) -> Script:
    def script(prompt: JudgePrompt, sample: int) -> str:
        chosen = texts
        if isinstance(chosen, Mapping):
            if prompt.pair_id not in chosen:
                raise DataError(f"the script has no text for pair {prompt.pair_id!r}")
            chosen = chosen[prompt.pair_id]
        return chosen if isinstance(chosen, str) else chosen[sample % len(chosen)]

    return script


def _identify(script: object) -> str:
    if isinstance(script, Mapping):
        script = sorted(script.items())
    elif callable(script):
        return str(getattr(script, "__qualname__", type(script).__qualname__))
    return _digest(repr(script)).hex()[:16]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _count_tokens(text: str) -> int:
    return len(text) // _CHARS_PER_TOKEN


def _count_prompt(prompt: JudgePrompt) -> int:
    return sum(_count_tokens(message.text) for message in prompt.messages)
