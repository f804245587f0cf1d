"""Benchmarks and evaluation sets as pairs and lists, one function per form.

These are for judging a benchmark's data like any other. Its official score comes from `rmr1.bench`,
which reads the same files with the benchmark's own identifiers and counts every row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.data.files import Row, stem_of
from rmr1.data.sources.labels import label_of, read_label
from rmr1.data.sources.reader import (
    Reader,
    as_text,
    build_candidates,
    build_pair,
    instruction_in,
    optional_text,
    pairs_of,
    prompt_in,
    require_text,
    row_id,
    text,
    texts,
    turns,
)
from rmr1.data.sources.values import as_number, describe
from rmr1.errors import DataError
from rmr1.records import Candidates, Label, Messages, PreferencePair, assistant, user

STYLES = 3
"""RM-Bench writes each answer in three styles: concise, detailed, detailed with Markdown."""


def _read_rewardbench(row: Row) -> list[PreferencePair]:
    return [
        build_pair(
            row,
            turns(row, "prompt", "user"),
            turns(row, "chosen", "assistant"),
            turns(row, "rejected", "assistant"),
            "A",
            id=row_id(row, "id"),
            source="rewardbench",
            subset=optional_text(row, "subset"),
        )
    ]


def _rewardbench2_answers(row: Row) -> tuple[Messages, list[Messages], list[Messages]]:
    prompt = turns(row, "prompt", "user")
    require_text(prompt, "prompt")
    answers: dict[str, list[Messages]] = {}
    for column in ("chosen", "rejected"):
        answers[column] = [(assistant(one),) for one in texts(row, column)]
        for index, messages in enumerate(answers[column]):
            require_text(messages, f"{column}[{index}]")
    return prompt, answers["chosen"], answers["rejected"]


def _read_rewardbench2_pairs(row: Row) -> list[PreferencePair]:
    """Every right answer against every wrong one; `<id>/c0r2` is the first against the third."""
    prompt, chosen, rejected = _rewardbench2_answers(row)
    return _all_pairs(row, prompt, chosen, rejected, "rewardbench2", optional_text(row, "subset"))


def _read_rewardbench2_list(row: Row) -> Candidates:
    """Right answers first. `best` is None where several are right, as in the subset Ties."""
    prompt, chosen, rejected = _rewardbench2_answers(row)
    return build_candidates(
        row,
        prompt,
        (*chosen, *rejected),
        0 if len(chosen) == 1 else None,
        names=("prompt", *["chosen"] * len(chosen), *["rejected"] * len(rejected)),
        id=row_id(row, "id"),
        source="rewardbench2",
        subset=optional_text(row, "subset"),
    )


def _all_pairs(
    row: Row,
    prompt: Messages,
    chosen: list[Messages],
    rejected: list[Messages],
    source: str,
    subset: str | None,
) -> list[PreferencePair]:
    item = row_id(row, "id")
    return [
        build_pair(
            row,
            prompt,
            better,
            worse,
            "A",
            names=("prompt", f"chosen[{i}]", f"rejected[{j}]"),
            id=f"{item}/c{i}r{j}",
            source=source,
            subset=subset,
        )
        for i, better in enumerate(chosen)
        for j, worse in enumerate(rejected)
    ]


def _read_rm_bench(row: Row) -> list[PreferencePair]:
    """The 3 x 3 style matrix; `<id>/c0r1` is the concise right answer against the detailed wrong one.

    The domain stands in a column of the whole set, and only in the file's name in the parts
    (`chat_filtered.json`).
    """
    answers: dict[str, list[Messages]] = {}
    for column in ("chosen", "rejected"):
        found = texts(row, column)
        if len(found) != STYLES:
            raise DataError(f"{column!r} holds {len(found)} answers, expected {STYLES}")
        answers[column] = [(assistant(one),) for one in found]
    domain = optional_text(row, "domain") or stem_of(row.path).removesuffix("_filtered")
    prompt = turns(row, "prompt", "user")
    return _all_pairs(row, prompt, answers["chosen"], answers["rejected"], "rm-bench", domain)


def _answer(value: Any, name: str) -> Messages:
    if not isinstance(value, dict):
        raise DataError(f"{name!r} is {describe(value)}, expected an object with an answer")
    messages = (assistant(as_text(value.get("answer"), name)),)
    require_text(messages, name)
    return messages


def _rmb_category(row: Row) -> str | None:
    return optional_text(row, "rmb_file") or optional_text(row, "category_path")


def _read_rmb_pair(row: Row) -> list[PreferencePair]:
    return [
        build_pair(
            row,
            turns(row, "conversation_input", "user"),
            _answer(row.data.get("chosen"), "chosen"),
            _answer(row.data.get("reject"), "reject"),
            "A",
            names=("conversation_input", "chosen", "reject"),
            id=row_id(row, "pair_uid"),
            source="rmb",
            subset=_rmb_category(row),
        )
    ]


def _read_rmb_list(row: Row) -> Candidates:
    losers = row.data.get("loser_list")
    if not isinstance(losers, list) or not losers:
        raise DataError(f"'loser_list' is {describe(losers)}, expected a list of answers")
    prompt = turns(row, "conversation_input", "user")
    names = ("conversation_input", "bon_best", *(f"loser_list[{index}]" for index in range(len(losers))))
    require_text(prompt, names[0])
    answers = zip((row.data.get("bon_best"), *losers), names[1:], strict=True)
    return build_candidates(
        row,
        prompt,
        [_answer(one, name) for one, name in answers],
        0,
        names=names,
        id=row_id(row, "bon_uid"),
        source="rmb",
        subset=_rmb_category(row),
    )


def _two_answers(
    row: Row, names: tuple[str, str, str], label: Label | None, **about: str | None
) -> list[PreferencePair]:
    prompt, first, second = (text(row, name) for name in names)
    return [
        build_pair(
            row, (user(prompt),), (assistant(first),), (assistant(second),), label, names=names, **about
        )
    ]


def _read_judgebench(row: Row) -> list[PreferencePair]:
    return _two_answers(
        row,
        ("question", "response_A", "response_B"),
        label_of(row, "label", {"A>B": "A", "B>A": "B"}),
        id=row_id(row, "pair_id"),
        source=optional_text(row, "response_model"),
        subset=optional_text(row, "source"),
    )


def _read_llmbar(row: Row) -> list[PreferencePair]:
    """The part of the benchmark is the file's name, or its folder's where the file is `dataset.json`."""
    stem = stem_of(row.path)
    return _two_answers(
        row,
        ("input", "output_1", "output_2"),
        label_of(row, "label", {1: "A", 2: "B"}),
        source="llmbar",
        subset=Path(row.path).parent.name if stem == "dataset" else stem,
    )


def _read_autoj(row: Row) -> list[PreferencePair]:
    return _two_answers(
        row,
        ("prompt", "response 1", "response 2"),
        label_of(row, "label", {0: "A", 1: "B", 2: "tie"}),
        source="auto-j",
        subset=optional_text(row, "scenario"),
    )


def _read_alpaca_eval(row: Row) -> list[PreferencePair]:
    """`preference`: 1, 2, or a weight between them; 0 and 1.5 are ties; null is not labelled."""
    label: Label | None = None
    if row.data["preference"] is not None:
        label = read_label(row, "preference", _weigh_preference, "0, null or a number from 1 to 2")
    return [
        build_pair(
            row,
            _ALPACA_PROMPT(row),
            (assistant(text(row, "output_1")),),
            (assistant(text(row, "output_2")),),
            label,
            names=("instruction", "output_1", "output_2"),
            source="alpaca_eval",
            subset=optional_text(row, "dataset"),
        )
    ]


def _weigh_preference(value: Any) -> Label | None:
    preference = as_number(value)
    if preference is None or not (preference == 0 or 1 <= preference <= 2):
        return None
    return "tie" if preference in (0, 1.5) else "A" if preference < 1.5 else "B"


_ALPACA_PROMPT = instruction_in("instruction")

_ANNOTATOR = re.compile(r"annotator\d+")


def _read_pandalm(row: Row) -> list[PreferencePair]:
    """The side that more than half of the annotators name; without a majority the pair is not labelled.

    Some answers stand in the file as `true` where the model wrote the word; they are read as "True".
    """
    votes = Counter(
        label_of(row, name, {0: "tie", 1: "A", 2: "B"}) for name in row.data if _ANNOTATOR.fullmatch(name)
    )
    winner, count = votes.most_common(1)[0]
    names = ("response1", "response2")
    values = (row.data[name] for name in names)
    first, second = (
        str(value) if isinstance(value, bool) else as_text(value, name)
        for value, name in zip(values, names, strict=True)
    )
    return [
        build_pair(
            row,
            _ALPACA_PROMPT(row),
            (assistant(first),),
            (assistant(second),),
            winner if 2 * count > votes.total() else None,
            names=("instruction", *names),
            id=row_id(row, "idx"),
            source="pandalm",
        )
    ]


def _has_text_answers(data: Mapping[str, Any]) -> bool:
    return not isinstance(data.get("chosen"), list) or not _has_lists(data)


def _has_lists(data: Mapping[str, Any]) -> bool:
    return all(
        isinstance(data.get(column), list) and all(isinstance(one, str) for one in data[column])
        for column in ("chosen", "rejected")
    )


READERS = (
    Reader(
        name="rewardbench",
        source="RewardBench",
        columns=("id", "subset", "prompt", "chosen", "rejected"),
        pairs=_read_rewardbench,
        prompt=prompt_in("prompt"),
        fits=_has_text_answers,
    ),
    Reader(
        name="rewardbench2",
        source="RewardBench 2",
        columns=("id", "subset", "prompt", "chosen", "rejected", "num_correct"),
        pairs=_read_rewardbench2_pairs,
        prompt=prompt_in("prompt"),
        candidates=_read_rewardbench2_list,
        verified=False,
    ),
    Reader(
        name="rm-bench",
        source="RM-Bench",
        columns=("id", "prompt", "chosen", "rejected"),
        pairs=_read_rm_bench,
        prompt=prompt_in("prompt"),
        fits=_has_lists,
    ),
    Reader(
        name="rmb",
        source="RMB, pairwise sets",
        columns=("conversation_input", "chosen", "reject"),
        pairs=_read_rmb_pair,
        prompt=prompt_in("conversation_input"),
    ),
    Reader(
        name="rmb-bon",
        source="RMB, best-of-N sets",
        columns=("conversation_input", "bon_best", "loser_list"),
        pairs=lambda row: pairs_of(_read_rmb_list(row)),
        prompt=prompt_in("conversation_input"),
        candidates=_read_rmb_list,
    ),
    Reader(
        name="judgebench",
        source="JudgeBench",
        columns=("question", "response_A", "response_B", "label"),
        label="label",
        pairs=_read_judgebench,
        prompt=prompt_in("question"),
    ),
    Reader(
        name="llmbar",
        source="LLMBar",
        columns=("input", "output_1", "output_2", "label"),
        label="label",
        pairs=_read_llmbar,
        prompt=prompt_in("input"),
    ),
    Reader(
        name="auto-j",
        source="Auto-J's pairwise test set",
        columns=("prompt", "response 1", "response 2", "label"),
        label="label",
        pairs=_read_autoj,
        prompt=prompt_in("prompt"),
    ),
    Reader(
        name="alpaca-eval",
        source="AlpacaEval annotations",
        columns=("instruction", "output_1", "output_2", "preference"),
        label="preference",
        pairs=_read_alpaca_eval,
        prompt=_ALPACA_PROMPT,
    ),
    Reader(
        name="pandalm",
        source="PandaLM's test set",
        columns=("instruction", "response1", "response2", "annotator1"),
        pairs=_read_pandalm,
        prompt=_ALPACA_PROMPT,
    ),
)
