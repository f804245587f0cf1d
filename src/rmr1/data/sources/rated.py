"""Datasets in which people compared, rated or ranked answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rmr1.data.files import Row, describe
from rmr1.data.sources.dialogue import parse_dialogue, split_conversations
from rmr1.data.sources.labels import WINNERS, label_of, read_label
from rmr1.data.sources.messages import as_turns
from rmr1.data.sources.reader import (
    Reader,
    as_list,
    as_text,
    build_candidates,
    build_pair,
    optional_text,
    pairs_in,
    prompt_in,
    require_text,
    row_id,
    text,
    text_in,
    turns,
)
from rmr1.data.sources.values import as_number, shorten
from rmr1.errors import DataError
from rmr1.messages import Messages, assistant, user
from rmr1.records import Candidates, Label, PreferencePair


def _strength_in(column: str) -> Callable[[Row], Label | None]:
    """A function from a row to the side that a strength names: from -3 (the first answer is much better) to 3."""

    def side(value: Any) -> Label | None:
        preference = as_number(value)
        if preference is None or not -3 <= preference <= 3:
            return None
        return "tie" if preference == 0 else "A" if preference < 0 else "B"

    return lambda row: read_label(row, column, side, "a number from -3 to 3")


def _read_arena(row: Row) -> list[PreferencePair]:
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


_ONE_HOT: Mapping[str, Label] = {"winner_model_a": "A", "winner_model_b": "B", "winner_tie": "tie"}


def _read_arena_table(row: Row) -> list[PreferencePair]:
    """`prompt`, `response_a` and `response_b` are texts, or lists with one text for every turn; one of three columns
    is 1."""
    marked = [label for column, label in _ONE_HOT.items() if as_number(row.data[column]) == 1]
    if len(marked) != 1 or any(as_number(row.data[column]) not in (0, 1) for column in _ONE_HOT):
        values = ", ".join(f"{column} {shorten(row.data[column])}" for column in _ONE_HOT)
        raise DataError(f"{values}: expected 1 in one of them and 0 in the others")
    names = ("prompt", "response_a", "response_b")
    asked, first, second = (as_list(row.data[name]) for name in names)
    if isinstance(asked, list) and isinstance(first, list) and isinstance(second, list):
        if not asked or not len(asked) == len(first) == len(second):
            raise DataError(
                f"'prompt', 'response_a' and 'response_b' hold {len(asked)}, {len(first)} and {len(second)} turns"
            )
        one, other = _interleave(asked, first, names[1]), _interleave(asked, second, names[2])
        prompt, response_a, response_b = split_conversations(one, other, names[1:])
    else:
        prompt = turns(row, "prompt", "user")
        response_a, response_b = (turns(row, name, "assistant") for name in names[1:])
    return [build_pair(row, prompt, response_a, response_b, marked[0], names=names, id=row_id(row, "id"))]


def _interleave(asked: Sequence[Any], said: Sequence[Any], name: str) -> Messages:
    return tuple(
        message
        for number, (question, answer) in enumerate(zip(asked, said, strict=True))
        for message in (
            user(as_text(question, f"prompt[{number}]")),
            assistant("" if answer is None else as_text(answer, f"{name}[{number}]")),
        )
    )


def _shp_label(row: Row) -> Label | None:
    """`labels`: 1 where A is preferred, 0 where B is; the scores are the comments' votes."""
    label = label_of(row, "labels", {1: "A", 0: "B"})
    first, second = (as_number(row.data.get(name)) for name in ("score_A", "score_B"))
    if row.labels is not None or first is None or second is None:
        return label
    if first == second:
        return "tie"
    if (label == "A") != (first > second):
        raise DataError(
            f"labels {row.data['labels']} contradicts score_A {row.data['score_A']} and score_B {row.data['score_B']}"
        )
    return label


_Ranked = list[tuple[float, Messages]]
"""(rank, answer), best first. A lower rank is preferred."""


def _read_ranked(row: Row, column: str, key: str) -> _Ranked:
    answers = row.data.get(column)
    if not isinstance(answers, list) or len(answers) < 2:
        raise DataError(f"{column!r} is {describe(answers)}, expected a list of two or more")
    ranked = []
    for index, one in enumerate(answers):
        name = f"{column}[{index}]"
        if not isinstance(one, dict):
            raise DataError(f"{name!r} is {describe(one)}, expected an object with rank and {key}")
        rank = as_number(one.get("rank"))
        if rank is None:
            raise DataError(f"the rank of {name!r} is {shorten(one.get('rank'))}, expected a number")
        messages = as_turns(one.get(key), name, "assistant")
        require_text(messages, name)
        ranked.append((rank, messages))
    return sorted(ranked, key=lambda one: one[0])


def _pair_ranked(
    row: Row, prompt: Messages, ranked: _Ranked, names: tuple[str, str], **about: str | None
) -> list[PreferencePair]:
    place, two = row_id(row, "id"), list(itertools.combinations(ranked, 2))
    return [
        build_pair(
            row,
            prompt,
            better,
            worse,
            "tie" if rank == other else "A",
            names=(*names, names[1]),
            id=place if len(two) == 1 else f"{place}:{number}/{len(two)}",
            **about,
        )
        for number, ((rank, better), (other, worse)) in enumerate(two, start=1)
    ]


def _list_ranked(
    row: Row, prompt: Messages, ranked: _Ranked, names: tuple[str, str], **about: str | None
) -> Candidates:
    best = None if ranked[0][0] == ranked[1][0] else 0
    answers = [messages for _, messages in ranked]
    told = (names[0], *[names[1]] * len(ranked))
    return build_candidates(row, prompt, answers, best, names=told, id=row_id(row, "id"), **about)


def _find_nemo(row: Row) -> dict[str, Any]:
    return {
        "prompt": turns(row, "context", "user"),
        "ranked": _read_ranked(row, "completions", "completion"),
        "names": ("context", "completions"),
        "subset": optional_text(row, "task_name"),
    }


def _find_nectar(row: Row) -> dict[str, Any]:
    r"""The prompt is a transcript that ends with `\n\nAssistant: `."""
    prompt = parse_dialogue(text(row, "prompt"), "prompt")
    if prompt[-1].role == "assistant" and not prompt[-1].text:
        prompt = prompt[:-1]
    ranked = _read_ranked(row, "answers", "answer")
    return {"prompt": prompt, "ranked": ranked, "names": ("prompt", "answers"), "source": "nectar"}


READERS = (
    Reader(
        name="helpsteer3",
        source="HelpSteer3, configuration preference",
        columns=("context", "response1", "response2", "overall_preference"),
        label="overall_preference",
        pairs=pairs_in(
            *("context", "response1", "response2"),
            label=_strength_in("overall_preference"),
            source="helpsteer3",
            subset=text_in("domain"),
        ),
        verified=False,
    ),
    Reader(
        name="nemo-rl",
        source="NeMo-RL preference data: ranked completions",
        columns=("context", "completions"),
        pairs=lambda row: _pair_ranked(row, **_find_nemo(row)),
        candidates=lambda row: _list_ranked(row, **_find_nemo(row)),
        verified=False,
    ),
    Reader(
        name="nectar",
        source="Nectar: seven ranked answers",
        columns=("prompt", "answers"),
        pairs=lambda row: _pair_ranked(row, **_find_nectar(row)),
        candidates=lambda row: _list_ranked(row, **_find_nectar(row)),
        verified=False,
    ),
    Reader(
        name="arena",
        source="Chatbot Arena and MT-Bench: two conversations and the winner",
        columns=("conversation_a", "conversation_b", "winner"),
        label="winner",
        pairs=_read_arena,
        verified=False,
    ),
    Reader(
        name="arena-table",
        source="Chatbot Arena as a table: a column for each outcome",
        columns=("prompt", "response_a", "response_b", *_ONE_HOT),
        pairs=_read_arena_table,
        verified=False,
    ),
    Reader(
        name="shp",
        source="Stanford Human Preferences",
        columns=("history", "human_ref_A", "human_ref_B", "labels"),
        label="labels",
        pairs=pairs_in(
            *("history", "human_ref_A", "human_ref_B"),
            label=_shp_label,
            source="shp",
            subset=text_in("domain"),
        ),
        prompt=prompt_in("history"),
        verified=False,
    ),
    Reader(
        name="helpsteer2",
        source="HelpSteer2, preference",
        columns=("prompt", "response_1", "response_2", "preference_strength"),
        label="preference_strength",
        pairs=pairs_in(
            *("prompt", "response_1", "response_2"),
            label=_strength_in("preference_strength"),
            source="helpsteer2",
        ),
        prompt=prompt_in("prompt"),
        verified=False,
    ),
)
