"""Benchmarks and evaluation sets as pairs and lists, for judging their data like any other. Their official scores
come from `rmr1.bench`, which counts every row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.data.files import Row, describe, stem_of
from rmr1.data.sources.labels import label_of, read_label
from rmr1.data.sources.reader import (
    Reader,
    as_text,
    build_candidates,
    build_pair,
    instruction_in,
    optional_text,
    pairs_in,
    pairs_of,
    prompt_in,
    require_text,
    row_id,
    text_in,
    texts,
    turns,
)
from rmr1.data.sources.values import as_number
from rmr1.errors import DataError
from rmr1.messages import Messages, assistant
from rmr1.records import Candidates, Label, PreferencePair

_STYLES = 3  # concise, detailed, detailed with Markdown


def _read_answers(row: Row) -> dict[str, list[Messages]]:
    return {column: [(assistant(one),) for one in texts(row, column)] for column in ("chosen", "rejected")}


def _pair_answers(
    row: Row, answers: Mapping[str, list[Messages]], source: str, subset: str | None
) -> list[PreferencePair]:
    """Every right answer against every wrong one; `<id>/c0r2` is the first against the third."""
    prompt, item = turns(row, "prompt", "user"), row_id(row, "id")
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
        for i, better in enumerate(answers["chosen"])
        for j, worse in enumerate(answers["rejected"])
    ]


def _list_rewardbench2(row: Row) -> Candidates:
    """Right answers first. `best` is None where several are right, as in the subset Ties."""
    answers = _read_answers(row)
    return build_candidates(
        row,
        turns(row, "prompt", "user"),
        [one for some in answers.values() for one in some],
        0 if len(answers["chosen"]) == 1 else None,
        names=("prompt", *(f"{name}[{at}]" for name, some in answers.items() for at in range(len(some)))),
        id=row_id(row, "id"),
        source="rewardbench2",
        subset=optional_text(row, "subset"),
    )


def _read_rm_bench(row: Row) -> list[PreferencePair]:
    """The 3 x 3 style matrix; `<id>/c0r1` is the concise right answer against the detailed wrong one. The parts of
    the set name their domain in the file's name only (`chat_filtered.json`)."""
    answers = _read_answers(row)
    for column, some in answers.items():
        if len(some) != _STYLES:
            raise DataError(f"{column!r} holds {len(some)} answers, expected {_STYLES}")
    domain = optional_text(row, "domain") or stem_of(row.path).removesuffix("_filtered")
    return _pair_answers(row, answers, "rm-bench", domain)


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


def _list_rmb(row: Row) -> Candidates:
    losers = row.data.get("loser_list")
    if not isinstance(losers, list) or not losers:
        raise DataError(f"'loser_list' is {describe(losers)}, expected a list of answers")
    names = ("conversation_input", "bon_best", *(f"loser_list[{index}]" for index in range(len(losers))))
    answers = zip((row.data.get("bon_best"), *losers), names[1:], strict=True)
    return build_candidates(
        row,
        turns(row, "conversation_input", "user"),
        [_answer(one, name) for one, name in answers],
        0,
        names=names,
        id=row_id(row, "bon_uid"),
        source="rmb",
        subset=_rmb_category(row),
    )


def _llmbar_part(row: Row) -> str:
    """The part of the benchmark is the file's name, or its folder's where the file is `dataset.json`."""
    stem = stem_of(row.path)
    return Path(row.path).parent.name if stem == "dataset" else stem


def _alpaca_eval_label(row: Row) -> Label | None:
    """`preference`: 1, 2, or a weight between them; 0 and 1.5 are ties; null is not labelled."""

    def weigh(value: Any) -> Label | None:
        preference = as_number(value)
        if preference is None or not (preference == 0 or 1 <= preference <= 2):
            return None
        return "tie" if preference in (0, 1.5) else "A" if preference < 1.5 else "B"

    if row.data["preference"] is None:
        return None
    return read_label(row, "preference", weigh, "0, null or a number from 1 to 2")


_ALPACA_PROMPT = instruction_in("instruction")

_ANNOTATOR = re.compile(r"annotator\d+")


def _read_pandalm(row: Row) -> list[PreferencePair]:
    """The side that more than half of the annotators name; without a majority the pair is not labelled. An answer
    that stands as `true` in the file is the model's word."""
    votes = Counter(
        label_of(row, name, {0: "tie", 1: "A", 2: "B"}) for name in row.data if _ANNOTATOR.fullmatch(name)
    )
    winner, count = votes.most_common(1)[0]
    names = ("response1", "response2")
    words = (str(one) if isinstance(one := row.data[name], bool) else as_text(one, name) for name in names)
    first, second = ((assistant(one),) for one in words)
    return [
        build_pair(
            row,
            _ALPACA_PROMPT(row),
            first,
            second,
            winner if 2 * count > votes.total() else None,
            names=("instruction", *names),
            id=row_id(row, "idx"),
            source="pandalm",
        )
    ]


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
        pairs=pairs_in(
            "prompt", "chosen", "rejected", id="id", source="rewardbench", subset=text_in("subset")
        ),
        prompt=prompt_in("prompt"),
        fits=lambda data: not isinstance(data.get("chosen"), list) or not _has_lists(data),
    ),
    Reader(
        name="rewardbench2",
        source="RewardBench 2",
        columns=("id", "subset", "prompt", "chosen", "rejected", "num_correct"),
        pairs=lambda row: _pair_answers(
            row, _read_answers(row), "rewardbench2", optional_text(row, "subset")
        ),
        prompt=prompt_in("prompt"),
        candidates=_list_rewardbench2,
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
        pairs=lambda row: pairs_of(_list_rmb(row)),
        prompt=prompt_in("conversation_input"),
        candidates=_list_rmb,
    ),
    Reader(
        name="judgebench",
        source="JudgeBench",
        columns=("question", "response_A", "response_B", "label"),
        label="label",
        pairs=pairs_in(
            *("question", "response_A", "response_B"),
            label=lambda row: label_of(row, "label", {"A>B": "A", "B>A": "B"}),
            are_texts=True,
            id="pair_id",
            source=text_in("response_model"),
            subset=text_in("source"),
        ),
        prompt=prompt_in("question"),
    ),
    Reader(
        name="llmbar",
        source="LLMBar",
        columns=("input", "output_1", "output_2", "label"),
        label="label",
        pairs=pairs_in(
            *("input", "output_1", "output_2"),
            label=lambda row: label_of(row, "label", {1: "A", 2: "B"}),
            are_texts=True,
            source="llmbar",
            subset=_llmbar_part,
        ),
        prompt=prompt_in("input"),
    ),
    Reader(
        name="auto-j",
        source="Auto-J's pairwise test set",
        columns=("prompt", "response 1", "response 2", "label"),
        label="label",
        pairs=pairs_in(
            *("prompt", "response 1", "response 2"),
            label=lambda row: label_of(row, "label", {0: "A", 1: "B", 2: "tie"}),
            are_texts=True,
            source="auto-j",
            subset=text_in("scenario"),
        ),
        prompt=prompt_in("prompt"),
    ),
    Reader(
        name="alpaca-eval",
        source="AlpacaEval annotations",
        columns=("instruction", "output_1", "output_2", "preference"),
        label="preference",
        pairs=pairs_in(
            *("instruction", "output_1", "output_2"),
            label=_alpaca_eval_label,
            prompt=_ALPACA_PROMPT,
            are_texts=True,
            source="alpaca_eval",
            subset=text_in("dataset"),
        ),
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
