"""Datasets in which people compared, rated or ranked answers, one function per form; `preference` lists their readers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.data.files import Row
from rmr1.data.sources.dialogue import parse_dialogue, split_conversations
from rmr1.data.sources.labels import WINNERS, label_of, read_label
from rmr1.data.sources.messages import as_turns
from rmr1.data.sources.reader import (
    as_list,
    as_text,
    build_candidates,
    build_pair,
    optional_text,
    require_text,
    row_id,
    text,
    turns,
)
from rmr1.data.sources.values import as_number, describe, shorten
from rmr1.errors import DataError
from rmr1.records import Candidates, Label, Messages, PreferencePair, assistant, user


def _side_of_strength(value: Any) -> Label | None:
    """The side that a strength names: from -3 (the first answer is much better) to 3; 0 is a tie."""
    preference = as_number(value)
    if preference is None or not -3 <= preference <= 3:
        return None
    return "tie" if preference == 0 else "A" if preference < 0 else "B"


def read_helpsteer3(row: Row) -> list[PreferencePair]:
    return [
        build_pair(
            row,
            turns(row, "context", "user"),
            turns(row, "response1", "assistant"),
            turns(row, "response2", "assistant"),
            read_label(row, "overall_preference", _side_of_strength, "a number from -3 to 3"),
            names=("context", "response1", "response2"),
            source="helpsteer3",
            subset=optional_text(row, "domain"),
        )
    ]


def read_helpsteer2(row: Row) -> list[PreferencePair]:
    return [
        build_pair(
            row,
            turns(row, "prompt", "user"),
            turns(row, "response_1", "assistant"),
            turns(row, "response_2", "assistant"),
            read_label(row, "preference_strength", _side_of_strength, "a number from -3 to 3"),
            names=("prompt", "response_1", "response_2"),
            source="helpsteer2",
        )
    ]


def read_arena(row: Row) -> list[PreferencePair]:
    """Two whole conversations; those that are longer than the `turn` that was judged are cut behind it."""
    names = ("conversation_a", "conversation_b")
    turn = as_number(row.data.get("turn"))
    first, second = (_until_turn(turns(row, name, "assistant"), turn) for name in names)
    for messages, name in zip((first, second), names, strict=True):
        require_text(messages, name)
    return [
        build_pair(
            row,
            *split_conversations(first, second, names),
            label_of(row, "winner", WINNERS),
            names=("the prompt", *names),
            id=row_id(row, "question_id" if "question_id" in row.data else "id"),
            subset=optional_text(row, "language"),
        )
    ]


def _until_turn(messages: Messages, turn: float | None) -> Messages:
    asked = [index for index, message in enumerate(messages) if message.role == "user"]
    return messages if turn is None or not 0 < turn < len(asked) else messages[: asked[int(turn)]]


ONE_HOT: Mapping[str, Label] = {"winner_model_a": "A", "winner_model_b": "B", "winner_tie": "tie"}


def read_arena_table(row: Row) -> list[PreferencePair]:
    """`prompt`, `response_a` and `response_b` are texts, or lists with one text for every turn; one of three columns
    is 1."""
    marked = [label for column, label in ONE_HOT.items() if as_number(row.data[column]) == 1]
    if len(marked) != 1 or any(as_number(row.data[column]) not in (0, 1) for column in ONE_HOT):
        values = ", ".join(f"{column} {shorten(row.data[column])}" for column in ONE_HOT)
        raise DataError(f"{values}: expected 1 in one of them and 0 in the others")
    names = ("prompt", "response_a", "response_b")
    asked, first, second = (as_list(row.data[name]) for name in names)
    if isinstance(asked, list) and isinstance(first, list) and isinstance(second, list):
        if not asked or not len(asked) == len(first) == len(second):
            raise DataError(
                f"'prompt', 'response_a' and 'response_b' hold {len(asked)}, {len(first)} and {len(second)} turns"
            )
        one, other = (
            _interleave(asked, said, name) for said, name in ((first, names[1]), (second, names[2]))
        )
        prompt, response_a, response_b = split_conversations(one, other, names[1:])
    else:
        prompt = turns(row, "prompt", "user")
        response_a, response_b = (turns(row, name, "assistant") for name in names[1:])
    return [build_pair(row, prompt, response_a, response_b, marked[0], names=names, id=row_id(row, "id"))]


def _interleave(asked: Sequence[Any], said: Sequence[Any], name: str) -> Messages:
    pairs = zip(asked, said, strict=True)
    return tuple(
        message
        for number, (question, answer) in enumerate(pairs)
        for message in (
            user(as_text(question, f"prompt[{number}]")),
            assistant("" if answer is None else as_text(answer, f"{name}[{number}]")),
        )
    )


def read_shp(row: Row) -> list[PreferencePair]:
    """`labels`: 1 where A is preferred, 0 where B is; the scores are the comments' votes."""
    label = label_of(row, "labels", {1: "A", 0: "B"})
    scores = [as_number(row.data.get(name)) for name in ("score_A", "score_B")]
    if row.labels is None and scores[0] is not None and scores[1] is not None:
        if (label == "A") != (scores[0] >= scores[1]) and scores[0] != scores[1]:
            raise DataError(
                f"labels {row.data['labels']} contradicts score_A {row.data['score_A']} and score_B {row.data['score_B']}"
            )
        label = "tie" if scores[0] == scores[1] else label
    return [
        build_pair(
            row,
            turns(row, "history", "user"),
            turns(row, "human_ref_A", "assistant"),
            turns(row, "human_ref_B", "assistant"),
            label,
            names=("history", "human_ref_A", "human_ref_B"),
            source="shp",
            subset=optional_text(row, "domain"),
        )
    ]


_Ranked = list[tuple[float, Messages]]
"""(rank, answer), best first. A lower rank is preferred."""


def _ranked(row: Row, column: str, key: str) -> _Ranked:
    answers = row.data.get(column)
    if not isinstance(answers, list) or len(answers) < 2:
        raise DataError(f"{column!r} is {describe(answers)}, expected a list of two or more")
    found = []
    for index, one in enumerate(answers):
        name = f"{column}[{index}]"
        if not isinstance(one, dict):
            raise DataError(f"{name!r} is {describe(one)}, expected an object with rank and {key}")
        rank = as_number(one.get("rank"))
        if rank is None:
            raise DataError(f"the rank of {name!r} is {shorten(one.get('rank'))}, expected a number")
        messages = as_turns(one.get(key), name, "assistant")
        require_text(messages, name)
        found.append((rank, messages))
    return sorted(found, key=lambda one: one[0])


def pair_ranked(
    row: Row, prompt: Messages, ranked: _Ranked, names: tuple[str, str], **about: str | None
) -> list[PreferencePair]:
    """Every two answers; equal ranks are a tie."""
    place, two = row_id(row, "id"), list(itertools.combinations(range(len(ranked)), 2))
    return [
        build_pair(
            row,
            prompt,
            ranked[i][1],
            ranked[j][1],
            "tie" if ranked[i][0] == ranked[j][0] else "A",
            names=(*names, names[1]),
            id=place if len(two) == 1 else f"{place}:{number}/{len(two)}",
            **about,
        )
        for number, (i, j) in enumerate(two, start=1)
    ]


def list_ranked(
    row: Row, prompt: Messages, ranked: _Ranked, names: tuple[str, str], **about: str | None
) -> Candidates:
    return build_candidates(
        row,
        prompt,
        [messages for _, messages in ranked],
        None if ranked[0][0] == ranked[1][0] else 0,
        names=(names[0], *[names[1]] * len(ranked)),
        id=row_id(row, "id"),
        **about,
    )


def find_nemo(row: Row) -> dict[str, Any]:
    return {
        "prompt": turns(row, "context", "user"),
        "ranked": _ranked(row, "completions", "completion"),
        "names": ("context", "completions"),
        "subset": optional_text(row, "task_name"),
    }


def find_nectar(row: Row) -> dict[str, Any]:
    r"""The prompt is a transcript that ends with `\n\nAssistant: `."""
    prompt = parse_dialogue(text(row, "prompt"), "prompt")
    if prompt[-1].role == "assistant" and not prompt[-1].text:
        prompt = prompt[:-1]
    return {
        "prompt": prompt,
        "ranked": _ranked(row, "answers", "answer"),
        "names": ("prompt", "answers"),
        "source": "nectar",
    }
