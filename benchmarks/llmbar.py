"""LLMBar's recorded evaluators (arXiv 2310.07641) as judgments.

Comes in: the authors' results (`set`, `method`, `i`, `results`) and the LLMBar data they speak of.
Goes out: `RecordedJudgment`s, one for each asking of both orders; methods that reconsider (Swap,
Swap_CoT) ask twice. Recorded winners are in the pair frame already.

The texts are read in the two forms that the prompts asked for, `better` ("Output (a) is better",
methods with reasoning) and `line` (a line "Output (a)"); our reading, `output_ab`, wants one side only,
and a line that says nothing else goes before lines that merely begin so. The authors' own searches
the whole text for (a) first and takes (b) only without it; `as_published` repeats that. Rating
methods score each answer by itself: a scalar judgment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from rmr1.bench.recorded import ORDERS, RecordedJudgment
from rmr1.data.files import read_rows
from rmr1.errors import DataError
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair, Verdict, Vote
from rmr1.verdicts.votes import decide

Form = Literal["better", "line"]

_FORMS: Mapping[Form, tuple[re.Pattern[str], ...]] = {
    "better": (re.compile(r"Output \(([ab])\) is better"),),
    "line": (
        re.compile(r"^ ?Output \(([ab])\)(?: is better)?[.:]?$", re.MULTILINE),
        re.compile(r"^ ?Output \(([ab])\)", re.MULTILINE),
    ),
}
"""Patterns of each form; a later one is tried where the earlier ones find nothing."""
_PUBLISHED: Mapping[Form, str] = {
    # The full stop stands for any character but a line break, as it did for the authors.
    "better": r"Output \({}\) is better.",
    "line": r"(?:^|\n) ?Output \({}\)",
}
_SWAP_KEYS = {"given": "swap = False", "swapped": "swap = True"}


def parse_output_ab(text: str, form: Form, *, as_published: bool = False) -> Verdict:
    """The one of Output (a) and Output (b) that the text calls better (prompt frame)."""
    if as_published:
        for label, letter in (("A", "a"), ("B", "b")):
            if re.search(_PUBLISHED[form].format(letter), text):
                return Verdict(winner=label)
        return Verdict(winner=None, problem="no_verdict")
    for pattern in _FORMS[form]:
        letters = set(pattern.findall(text))
        if len(letters) == 1:
            return Verdict(winner=letters.pop().upper())
        if letters:
            return Verdict(winner=None, problem="contradiction")
    return Verdict(winner=None, problem="no_verdict" if text.strip() else "empty")


def form_of(method: str, stage: int) -> Form:
    """The form that a method's prompt asks for; Swap reasons first and then picks in one line."""
    return "better" if method in ("CoT", "Swap_CoT") or (method == "Swap" and stage == 0) else "line"


def read_llmbar_pairs(data: Path) -> dict[tuple[str, int], PreferencePair]:
    """(set, row) -> pair, of the files `llmbar_*.jsonl[.gz]` in a folder.

    Raises:
        DataError: there are none, or a row is not LLMBar's.
    """
    pairs = {}
    for path in sorted(data.glob("llmbar_*.jsonl*")):
        name = path.name.split(".")[0].removeprefix("llmbar_")
        for number, row in enumerate(read_rows(path)):
            try:
                pairs[name, number] = PreferencePair(
                    id=f"{name}/{number}",
                    prompt=(user(row.data["input"]),),
                    response_a=(assistant(row.data["output_1"]),),
                    response_b=(assistant(row.data["output_2"]),),
                    label="A" if row.data["label"] == 1 else "B",
                    source="llmbar",
                    subset=name,
                )
            except KeyError as error:
                raise DataError(f"no {error} in a row of LLMBar", path=row.path, line=row.line) from None
    if not pairs:
        raise DataError("no llmbar_*.jsonl in it; expected LLMBar's data", path=data)
    return pairs


def read_llmbar_outputs(
    path: Path, pairs: Mapping[tuple[str, int], PreferencePair], *, as_published: bool = False
) -> Iterator[tuple[str, bool, RecordedJudgment]]:
    """(method, whether it is the method's last word, judgment) of every asking in a results file.

    Raises:
        DataError: a line is not of the form, or its label is not the data's.
    """
    for row in read_rows(path):
        data = row.data
        try:
            pair = pairs[str(data["set"]).lower(), data["i"]]
            method = data["method"]
            stages = [one for one in data["results"] if isinstance(one, dict)]
            if {1: "A", 2: "B"}[data["label"]] != pair.label:
                raise DataError(f"the label of {pair.id} is not the data's", path=row.path, line=row.line)
            for stage, results in enumerate(stages):
                if "score_1" in results:
                    judgment = _rate(pair, method, results, as_published=as_published)
                else:
                    judgment = _ask(pair, method, results, form_of(method, stage), as_published=as_published)
                recorded = tuple(
                    (order, {"1": "A", "2": "B"}.get(results[key].get("winner"), "none"))
                    for order, key in _SWAP_KEYS.items()
                )
                item = RecordedJudgment(judgment=judgment, recorded=recorded)  # type: ignore[arg-type]
                yield method, stage == len(stages) - 1, item
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"not a result of LLMBar: {error!r}", path=row.path, line=row.line) from None


def _ask(
    pair: PreferencePair, method: str, results: Mapping[str, Any], form: Form, *, as_published: bool
) -> Judgment:
    votes = []
    for order in ORDERS:
        text, finish_reason = results[_SWAP_KEYS[order]]["completion"]
        verdict = parse_output_ab(text, form, as_published=as_published)
        generation = Generation(text=text, finish_reason=finish_reason or "stop")
        votes.append(Vote(order=order, sample=0, generation=generation, verdict=verdict))
    decision = decide(votes)
    return Judgment(
        pair=pair,
        family=method,
        rule="output_ab",
        winner=decision.winner,
        problem=decision.problem,
        confidence=decision.confidence,
        votes=tuple(votes),
    )


def _rate(pair: PreferencePair, method: str, results: Mapping[str, Any], *, as_published: bool) -> Judgment:
    texts = [results[name][0].strip() for name in ("score_1", "score_2")]
    numbers = [float(text) if re.fullmatch(r"-?\d{1,4}", text) else None for text in texts]
    first, second = numbers
    if as_published and (first is None or second is None or first == second):
        # The authors take the second of two equal answers in both orders, and the first where a number
        # is missing: each order its own winner.
        label = "B" if first == second and first is not None else "A"
        generation = Generation(text="\n".join(texts), finish_reason="stop")
        votes = tuple(
            Vote(order=order, sample=0, generation=generation, verdict=Verdict(winner=label))
            for order in ORDERS
        )
        return Judgment(
            pair=pair, family=method, rule="ratings", winner=None, problem="split_vote", votes=votes
        )
    if first is None or second is None:
        return Judgment(pair=pair, family=method, rule="ratings", winner=None, problem="no_ratings")
    winner = "tie" if first == second else "A" if first > second else "B"
    return Judgment(pair=pair, family=method, rule="ratings", winner=winner, scores=(first, second))
