"""Preference datasets that reward models are trained on.

Where the better answer is known and the sides are not, it is `response_a` (see `Reader`).
"""

from __future__ import annotations

import itertools
from typing import Any

from rmr1.data.files import Row, describe, is_missing
from rmr1.data.sources.columns import guess
from rmr1.data.sources.dialogue import parse_dialogue, split_conversations
from rmr1.data.sources.labels import SIDES, label_of, label_preferred
from rmr1.data.sources.messages import as_turns
from rmr1.data.sources.reader import (
    Reader,
    as_list,
    as_text,
    build_pair,
    instruction_in,
    optional_text,
    pairs_in,
    require_text,
    row_id,
    text,
    text_in,
    turns,
)
from rmr1.data.sources.values import as_number, shorten
from rmr1.errors import DataError
from rmr1.faces import name_option
from rmr1.messages import Messages, assistant, user
from rmr1.prompts import parse_blocks, parse_transcript
from rmr1.records import Label, PreferencePair


def _read_explicit(row: Row) -> list[PreferencePair]:
    """`prompt`, `chosen`, `rejected`; where the answers are whole conversations, they repeat the prompt."""
    prompt = turns(row, "prompt", "user")
    chosen = turns(row, "chosen", "assistant")
    rejected = turns(row, "rejected", "assistant")
    if _is_conversation(chosen) or _is_conversation(rejected):
        whole, chosen, rejected = split_conversations(chosen, rejected, ("chosen", "rejected"))
        asked = [message.text.strip() for message in whole]
        if any(message.text.strip() not in asked for message in prompt):
            raise DataError("the conversations in 'chosen' and 'rejected' do not repeat the text of 'prompt'")
        prompt = whole
    return [
        build_pair(
            row,
            prompt,
            chosen,
            rejected,
            label_preferred(row),
            id=row_id(row, "prompt_id" if "prompt_id" in row.data else "id"),
            source=optional_text(row, "source"),
            subset=optional_text(row, "subset"),
        )
    ]


def _is_conversation(messages: Messages) -> bool:
    return bool(messages) and messages[0].role in ("user", "system")


def _read_implicit(row: Row, columns: tuple[str, str] = ("chosen", "rejected")) -> list[PreferencePair]:
    conversations = [turns(row, column, "assistant") for column in columns]
    for messages, column in zip(conversations, columns, strict=True):
        require_text(messages, column)
    prompt, response_a, response_b = split_conversations(conversations[0], conversations[1], columns)
    return [
        build_pair(
            row,
            prompt,
            response_a,
            response_b,
            label_preferred(row),
            id=row_id(row, "id"),
            source=optional_text(row, "source"),
            subset=optional_text(row, "domain"),
        )
    ]


def _read_transcripts(row: Row) -> list[PreferencePair]:
    label = label_preferred(row)
    try:
        chosen, rejected = (text(row, name) for name in ("chosen", "rejected"))
        return _pair_transcripts(row, chosen, rejected, ("chosen", "rejected"), label)
    except DataError as error:
        asked = guess("prompt", tuple(row.data))
        if asked is None:
            raise
        told = name_option("columns", {"prompt": asked})
        raise DataError(f"{error.message}; if {asked!r} is the prompt, pass {told}") from None


def _read_dsp(row: Row) -> list[PreferencePair]:
    """`text` [2] and `score` [2]; the higher score wins, equal scores are a tie."""
    both, scores = as_list(row.data.get("text")), as_list(row.data.get("score"))
    if not isinstance(both, list) or len(both) != 2:
        raise DataError(f"'text' is {describe(both)}, expected a list of two transcripts")
    numbers = [as_number(score) for score in scores] if isinstance(scores, list) else []
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        raise DataError(f"score {shorten(scores)} is not a list of two numbers")
    names = ("text[0]", "text[1]")
    first, second = (as_text(one, name) for one, name in zip(both, names, strict=True))
    label: Label = "tie" if numbers[0] == numbers[1] else "A" if numbers[0] > numbers[1] else "B"
    return _pair_transcripts(row, first, second, names, label)


def _pair_transcripts(
    row: Row, first: str, second: str, names: tuple[str, str], label: Label | None
) -> list[PreferencePair]:
    for one, name in zip((first, second), names, strict=True):
        if not one.strip():
            raise DataError(f"{name!r} is empty")
    conversations = parse_dialogue(first, names[0]), parse_dialogue(second, names[1])
    return [build_pair(row, *split_conversations(*conversations, names), label)]


def _read_rm_r1(row: Row) -> list[PreferencePair]:
    """A rendered judge prompt, taken apart again without its system message; published data are not escaped."""
    messages = turns(row, "context_messages", "user")
    rendered = next((message.text for message in reversed(messages) if message.role == "user"), None)
    if rendered is None:
        raise DataError("'context_messages' has no user message")
    label = label_of(
        row,
        "winner",
        {"model_a": "A", "model_b": "B"},
        expected="'model_a' or 'model_b' (a judge's text stands there in the distillation set, which has no labels)",
    )
    blocks = parse_blocks(rendered)
    names = ("question", "response A", "response B")
    if blocks.is_conversation:
        prompt, response_a, response_b = split_conversations(
            parse_transcript(blocks.response_a),
            parse_transcript(blocks.response_b),
            ("Chatbot A", "Chatbot B"),
        )
    else:
        prompt = (user(blocks.question or ""),)
        response_a, response_b = (assistant(blocks.response_a),), (assistant(blocks.response_b),)
    return [build_pair(row, prompt, response_a, response_b, label, names=names)]


def _read_math_step_dpo(row: Row) -> list[PreferencePair]:
    """The answer is the shared first steps, once, then `full_chosen` or `full_rejected`, as in RM-R1's
    `mix_data.py`."""
    steps = row.data.get("initial_reason_steps")
    start = "" if is_missing(steps) else as_text(steps, "initial_reason_steps")
    answers = [text(row, name) for name in ("full_chosen", "full_rejected")]
    full = [answer if answer.startswith(start) else start + answer for answer in answers]
    if not all(answer.strip() for answer in answers):
        raise DataError(f"{('full_rejected' if answers[0].strip() else 'full_chosen')!r} is empty")
    prompt, better, worse = user(text(row, "prompt")), assistant(full[0]), assistant(full[1])
    subset = optional_text(row, "dataset")
    return [build_pair(row, (prompt,), (better,), (worse,), "A", source="math-step-dpo", subset=subset)]


_ALPACA_PROMPT = instruction_in("instruction")


def _read_alpaca_prompt(row: Row) -> Messages:
    """LLaMA-Factory's Alpaca form: `history` is a list of [question, answer]."""
    history = as_list(row.data.get("history")) or []
    if not isinstance(history, list) or not all(isinstance(one, list) and len(one) == 2 for one in history):
        raise DataError(f"'history' is {describe(history)}, expected a list of pairs of texts")
    turned = (
        (user(as_text(asked, "history")), assistant(as_text(said, "history"))) for asked, said in history
    )
    return (*itertools.chain.from_iterable(turned), *_ALPACA_PROMPT(row))


def _read_openai_prompt(row: Row) -> Messages:
    asked = row.data["input"]
    if not isinstance(asked, dict) or "messages" not in asked:
        raise DataError(f"'input' is {describe(asked)}, expected an object with messages")
    return as_turns(asked["messages"], "input.messages", "user")


_SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def _read_gsm8k(row: Row) -> list[PreferencePair]:
    """Each right solution against each wrong one, of four models; none where all or no model was right."""
    question = (user(text(row, "question")),)
    right: list[tuple[str, str]] = []
    wrong: list[tuple[str, str]] = []
    for name in _SOLVERS:
        found = row.data.get(name)
        if not isinstance(found, dict) or not isinstance(found.get("is_correct"), bool):
            raise DataError(f"{name!r} is {describe(found)}, expected an object with is_correct and solution")
        solution = as_text(found.get("solution"), f"{name}.solution")
        (right if found["is_correct"] else wrong).append((name, solution))
    return [
        build_pair(
            row,
            question,
            (assistant(better),),
            (assistant(worse),),
            "A",
            names=("question", winner, loser),
            id=f"{row_id(row)}/{winner}>{loser}",
            source="gsm8k-solutions",
        )
        for winner, better in right
        for loser, worse in wrong
    ]


def _holds(kind: type, *columns: str) -> Any:
    return lambda data: all(isinstance(data.get(column), kind) for column in columns)


READERS = (
    Reader(
        name="trl-explicit",
        source="TRL preference data with a prompt of its own",
        columns=("prompt", "chosen", "rejected"),
        pairs=_read_explicit,
    ),
    Reader(
        name="trl-implicit",
        source="TRL preference data: two message lists that repeat the prompt",
        columns=("chosen", "rejected"),
        pairs=_read_implicit,
        fits=_holds(list, "chosen", "rejected"),
    ),
    Reader(
        name="hh-rlhf",
        source="Anthropic hh-rlhf: transcripts of Human and Assistant",
        columns=("chosen", "rejected"),
        pairs=_read_transcripts,
        fits=_holds(str, "chosen", "rejected"),
    ),
    Reader(
        name="dsp",
        source="DSP's scored transcripts: hh-rlhf helpful, WebGPT",
        columns=("text", "score"),
        pairs=_read_dsp,
    ),
    Reader(
        name="rm-r1",
        source="RM-R1's training sets: rendered judge prompts with the winner",
        columns=("context_messages", "winner"),
        label="winner",
        pairs=_read_rm_r1,
    ),
    Reader(
        name="sharegpt",
        source="LLaMA-Factory's preference data (ShareGPT messages)",
        columns=("conversations", "chosen", "rejected"),
        pairs=pairs_in("conversations", "chosen", "rejected", label=label_preferred),
    ),
    Reader(
        name="ifbench",
        source="IFBench pairs of Agentic Reward Modeling",
        columns=("text_chosen", "text_rejected"),
        pairs=lambda row: _read_implicit(row, ("text_chosen", "text_rejected")),
    ),
    Reader(
        name="carejudge",
        source="CareJudge's MT-Bench human judgments",
        columns=("prompt", "response_a", "response_b", "label", "model_a", "model_b"),
        label="label",
        pairs=pairs_in(
            *("prompt", "response_a", "response_b"),
            label=lambda row: label_of(row, "label", SIDES),
            id="id",
            subset=text_in("domain"),
        ),
    ),
    Reader(
        name="gsm8k-solutions",
        source="GSM8K example_model_solutions: right and wrong solutions of four models",
        columns=("question", "ground_truth", *_SOLVERS),
        pairs=_read_gsm8k,
    ),
    Reader(
        name="skywork",
        source="Skywork-Reward-Preference-80K",
        columns=("chosen", "rejected", "source"),
        pairs=_read_implicit,
        fits=_holds(list, "chosen", "rejected"),
        verified=False,
    ),
    Reader(
        name="ultrafeedback",
        source="UltraFeedback binarized (H4)",
        columns=("prompt", "prompt_id", "chosen", "rejected", "score_chosen", "score_rejected"),
        pairs=_read_explicit,
        verified=False,
    ),
    Reader(
        name="code-preference",
        source="Vezora Code-Preference-Pairs",
        columns=("input", "accepted", "rejected"),
        pairs=pairs_in("input", "accepted", "rejected", are_texts=True, source="code-preference-pairs"),
        verified=False,
    ),
    Reader(
        name="math-step-dpo",
        source="Math-Step-DPO-10K",
        columns=("prompt", "initial_reason_steps", "full_chosen", "full_rejected"),
        pairs=_read_math_step_dpo,
        verified=False,
    ),
    Reader(
        name="alpaca",
        source="LLaMA-Factory's preference data (Alpaca form)",
        columns=("instruction", "chosen", "rejected"),
        pairs=pairs_in(
            *("instruction", "chosen", "rejected"),
            label=label_preferred,
            prompt=_read_alpaca_prompt,
            id="id",
            source=text_in("source"),
            subset=text_in("subset"),
        ),
        prompt=_ALPACA_PROMPT,
        verified=False,
    ),
    Reader(
        name="openai",
        source="OpenAI's preference fine-tuning",
        columns=("input", "preferred_output", "non_preferred_output"),
        pairs=pairs_in(
            "input", "preferred_output", "non_preferred_output", prompt=_read_openai_prompt, id="id"
        ),
        verified=False,
    ),
)
