"""A chat-completions server with a small deterministic model, which goes on with begun texts or not, as it is told."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from tests.integration.faulty_server import Answer, Call, completion, failure

TEXT = "<type>Reasoning</type>\n\n<solution>\n4 is right\n</solution>\n\n<eval>\nA says 4\n</eval>\n\n<answer>[[A]]</answer>"
"""What the model has learnt to write."""
CHANCES = {"A": 0.7, "B": 0.2, "Chat": 0.3, "Reasoning": 0.6}
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_JOINED = re.compile(r"\[\[[AB]|\[\[|\w+|\s+|[^\w\s]")


@dataclass(kw_only=True)
class Guidable:
    """The behaviour of a `FaultyServer`: all in one place that a kind of server does."""

    way: str = "continue_final_message"
    """What it goes on with a begun text by: that field, "prefix", "last" (always), or "" (never)."""
    is_strict: bool = False
    """Whether it refuses fields that it does not know."""
    has_logprobs: bool = True
    has_schema: bool = False
    """Whether it keeps to a JSON schema."""
    constraint: str = ""
    """Another field by which it writes one of several texts."""
    thinks: bool = False
    """Whether it thinks before a text of its own, which it splits off, as its template opens the thinking."""
    strips_thinking: bool = False
    """Whether its template drops thinking from what the assistant said."""
    echoes: bool = False
    """Whether replies repeat the begun text."""
    knows_words: bool = True
    """Whether the model can go on with common words; else it writes what it has learnt, whatever it is asked."""
    refuses_answers: bool = False
    """Whether the model never names an answer by itself."""
    joins_letters: bool = False
    """Whether its tokenizer makes one token of `[[A`; then it takes A for the better one behind a lone `[[`, else B."""
    is_cut: bool = False
    """Whether it stops within a sheet's texts."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The requests that were not refused."""
    billed: list[tuple[int, int]] = field(default_factory=list)
    """(prompt tokens, completion tokens) of each."""

    def __call__(self, call: Call) -> Answer:
        body = call.body
        known = {"model", "messages", "temperature", "top_p", "max_tokens", "stop", "seed", "logprobs"}
        known |= {"top_logprobs", "repetition_penalty", "top_k", "min_p", self.constraint}
        known -= set() if self.has_logprobs else {"logprobs", "top_logprobs"}
        known |= {"response_format"} if self.has_schema else set()
        known |= {"continue_final_message", "add_generation_prompt"} if self.way[:1] == "c" else set()
        if self.is_strict and (unknown := sorted(body.keys() - known)):
            return failure(400, f"Unrecognized request argument supplied: {unknown[0]}", param=unknown[0])
        last = body["messages"][-1]
        if self.is_strict and "prefix" in last and self.way != "prefix":
            return failure(422, "messages.last.prefix: Extra inputs are not permitted")
        self.bodies.append(body)
        begun = last["content"] if last["role"] == "assistant" else ""
        goes_on = {"last": True, "prefix": last.get("prefix"), "": False}
        if not begun or not goes_on.get(self.way, body.get(self.way)):
            begun = ""
        if self.strips_thinking:
            begun = begun.rpartition("</think>")[2].lstrip()
        return self.reply(body, begun)

    def reply(self, body: dict[str, Any], begun: str) -> Answer:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema and self.has_schema:
            return self.say(body, self.fill(schema), "")
        if self.constraint in body:
            told = str(body[self.constraint]).replace("\\", "")
            wanted = "<answer>[[A]]</answer>"
            return self.say(body, wanted if wanted in told else "<type>Reasoning</type>", "")
        text = self.write(begun, body["messages"])
        thought = "Let me see" if self.thinks and not begun else ""
        return self.say(body, text, thought, begun if self.echoes else "")

    def fill(self, schema: dict[str, Any]) -> str:
        texts = {"work": "4 is right", "evaluation": "A says <answer>4", "reasons": "A says 4"}
        values = {
            name: one["enum"][0] if "enum" in one else texts[name]
            for name, one in schema["properties"].items()
        }
        whole = json.dumps(values)
        return whole[: whole.index("A says") + 3] if self.is_cut and "A says" in whole else whole

    def write(self, begun: str, messages: list[dict[str, Any]]) -> str:
        begun = begun.rpartition("</think>")[2].lstrip()
        asked = json.dumps([one for one in messages if one["role"] != "assistant"])
        if self.refuses_answers and begun.endswith(("<answer>[[", "</eval>\n\n")):
            return "neither"
        if self.joins_letters and begun.endswith("<answer>[["):
            return "B]]</answer>"
        if self.knows_words and "days of the week" in asked:
            days = "monday/tuesday/wednesday/thursday"
            return days.partition(begun.removeprefix("(7) "))[2] if begun else days
        if self.knows_words and "this line alone" in asked:
            return "<type>Chat</type> <answer>[[B]]</answer>".removeprefix(begun)
        for length in range(min(40, len(begun)), 0, -1):
            if begun[-length:] in TEXT:
                return TEXT.partition(begun[-length:])[2]
        return TEXT

    def say(self, body: dict[str, Any], text: str, thought: str, echo: str = "") -> Answer:
        finish_reason, matched = "stop", None
        split = _JOINED if self.joins_letters else _TOKEN
        tokens = split.findall(text)
        if len(tokens) > body["max_tokens"]:
            tokens, finish_reason = tokens[: body["max_tokens"]], "length"
            text = "".join(tokens)
        ends = [(text.index(stop), stop) for stop in body.get("stop", ()) if stop in text]
        if ends:
            at, matched = min(ends)
            text, finish_reason, thought = text[:at], "stop", thought
        text = echo + text
        logprobs = {}
        if self.has_logprobs and body.get("logprobs"):
            logprobs = {"logprobs": {"content": [_tell(token) for token in tokens]}}
        message = {"reasoning_content": thought} if thought else {}
        num_prompt = 50 + len(split.findall(str(body["messages"][-1]["content"])))
        self.billed.append((num_prompt, len(tokens)))
        usage = {"prompt_tokens": num_prompt, "completion_tokens": len(tokens)}
        more = {"stop_reason": matched} if matched else {}
        reply = completion(
            text, usage=usage, finish_reason=finish_reason, message=message, **logprobs, **more
        )
        return Answer(body=reply, is_billed=True)


def _tell(token: str) -> dict[str, Any]:
    lead = "[[" if token.startswith("[[") else ""
    word = token.removeprefix(lead)
    others = {one: CHANCES[one] for pair in ("AB", ("Reasoning", "Chat")) if word in pair for one in pair}
    chance = CHANCES.get(word, 0.9)
    told = {word: chance, **others}
    listed = [{"token": lead + one, "logprob": math.log(value)} for one, value in told.items()]
    return {"token": token, "logprob": math.log(chance), "top_logprobs": listed}
