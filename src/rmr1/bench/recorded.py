"""Recorded outputs of other judges as judgments: their texts are read again, their scores compared again.

The decision that was recorded is kept apart, for comparison only. Two forms come in, recognised by their keys:

JudgeBench outputs (JSONL, one pair per line with `judgments`, the second in the swapped frame):
    `response` is read by rule `arena`; `scores` are a scalar judge's; `raw_judge_A` and `raw_judge_B`
    are two texts that rate one answer each, as JSON with a `score`.
RM-R1's RMB logs (JSON, `log_result/*.json`): `answers` is read by rule `published`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rmr1.bench.files import placed
from rmr1.bench.tasks.judgebench import LABELS, read_judgebench_pair
from rmr1.data.files import Row, read_rows
from rmr1.errors import ConfigError, DataError
from rmr1.faces import name_option
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import Message
from rmr1.records import Generation, Judgment, Order, PreferencePair, Problem, Verdict, Vote, swap_label
from rmr1.verdicts.votes import decide

ORDERS: tuple[Order, ...] = ("given", "swapped")
_SCORE = re.compile(r'"score"\s{0,8}:\s{0,8}"?(-?\d{1,6}(?:\.\d{1,12})?)"?')
_RM_R1 = "Is_Chosen_Answer_Shuffled_toPositionB"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJudgment:
    """A judgment made from a record, and the recorded decisions."""

    judgment: Judgment
    recorded: tuple[tuple[Order, str], ...]
    """(order, decision) in the pair frame: "A", "B", "tie", "none", or what stands there ("A>A")."""


def read_recorded(path: Path, rule: str | None = None) -> Iterator[RecordedJudgment]:
    """A file, or a folder of RM-R1 logs; texts are read by `rule` instead of their form's own.

    Raises:
        DataError: nothing can be read, or it is neither form. ConfigError: a rule is given for scores.
    """
    if path.is_dir():
        names = ("logs.json", "raw_logs.json")
        logs = sorted(file for file in path.rglob("log_result/*.json") if file.name in names)
        if not logs:
            raise DataError(
                "neither a run folder (run.json) nor logs of RM-R1 (**/log_result/*.json)", path=path
            )
        for file in logs:
            yield from read_rm_r1_logs(file, rule)
        return
    first = next(iter(read_rows(path)), None)
    if first is None:
        raise DataError("no row in it", path=path)
    if "judgments" in first.data:
        yield from read_judgebench_outputs(path, rule)
    elif _RM_R1 in first.data:
        yield from read_rm_r1_logs(path, rule)
    else:
        raise DataError(
            f"no recorded outputs: expected the key 'judgments' or {_RM_R1!r}; texts of our own form "
            f"({{id, order, text}}) are replayed with {name_option('model', 'replay:FILE')}",
            path=path,
        )


def read_judgebench_outputs(path: Path, rule: str | None = None) -> Iterator[RecordedJudgment]:
    """One judgment per line of a JudgeBench output file."""
    for row in read_rows(path):
        with placed(row):
            yield _read_output(row, rule)


def _read_output(row: Row, rule: str | None) -> RecordedJudgment:
    pair = read_judgebench_pair(row)
    entries = row.data.get("judgments")
    if not isinstance(entries, list) or not 1 <= len(entries) <= 2:
        raise DataError("'judgments' is not a list of one or two")
    outputs = [_output(entry) for entry in entries]
    kinds = {kind for kind in ("response", "scores", "raw_judge_A") for output in outputs if kind in output}
    family = str(row.data.get("judge_name", "recorded"))
    if rule is not None and kinds - {"response"}:
        raise ConfigError(
            f"{row.path}: these are scores, which no rule reads; leave {name_option('rule')} out"
        )
    if kinds == {"scores"}:
        try:
            judgment = _judge_scores(pair, family, outputs)
        except (KeyError, TypeError, ValueError):
            raise DataError("'scores' are not two numbers") from None
    else:
        used = "score_json" if kinds == {"raw_judge_A"} else rule or "arena"
        try:
            votes = [_vote(*one, used) for one in zip(ORDERS, outputs, strict=False)]
        except TypeError:
            raise DataError("'raw_judge_A' and 'raw_judge_B' are not texts") from None
        judgment = conclude(pair, votes, family=family, rule=used)
    decisions = (entry.get("decision") if isinstance(entry, Mapping) else None for entry in entries)
    recorded = tuple((order, _decision(text, order)) for order, text in zip(ORDERS, decisions, strict=False))
    return RecordedJudgment(judgment=judgment, recorded=recorded)


def _vote(order: Order, output: Mapping[str, Any], rule: str) -> Vote:
    if rule != "score_json":
        return cast_vote(_generation(output), order=order, sample=0, rule=rule)
    texts = [output.get(f"raw_judge_{side}") or "" for side in "AB"]
    verdict = _rate(*(parse_score_json(text) for text in texts))
    generation = _generation({**output, "response": "\n\n".join(texts)})
    return Vote(order=order, sample=0, generation=generation, verdict=verdict)


def read_rm_r1_logs(path: Path, rule: str | None = None) -> Iterator[RecordedJudgment]:
    """RM-R1's log of one RMB set; the chosen answer is A, as in `rmr1.bench.tasks.rmb`.

    A log does not say which row an entry is: the list entries of one `idx` are taken as its losers.
    """
    rows = list(read_rows(path))
    losers = Counter((row.data.get("category_path"), row.data.get("idx")) for row in rows)
    seen: Counter[tuple[Any, Any]] = Counter()
    for number, row in enumerate(rows):
        data = row.data
        try:
            *prompt, better = _messages(data["text_chosen"])
            *_, worse = _messages(data["text_rejected"])
            file, swapped, text = data["category_path"], data[_RM_R1], data["answers"]
            is_list = str(file).startswith("BoN_set")
            index = data["idx"] if is_list else None
        except (KeyError, TypeError, ValueError) as error:
            reason = f"not an entry of RM-R1's RMB log: {error!r}"
            raise DataError(reason, path=row.path, line=row.line) from None
        list_key = (file, data.get("idx"))
        seen[list_key] += 1
        pair = PreferencePair(
            id=f"{file}#{index}:{seen[list_key]}/{losers[list_key]}" if is_list else f"{file}#{number}",
            prompt=tuple(prompt),
            response_a=(better,),
            response_b=(worse,),
            label="A",
            source="rmb",
            subset=file,
        )
        order: Order = "swapped" if swapped else "given"
        used = rule or "published"
        generation = _generation({"response": text})
        vote = cast_vote(generation, order=order, sample=0, rule=used, labels=("A", "B"))
        results = data.get("results")
        result = "A" if results == 1 else "not A" if results == 0 else "none"
        judgment = conclude(pair, [vote], family="reasoning", rule=used)
        yield RecordedJudgment(judgment=judgment, recorded=((order, result),))


def parse_score_json(text: str) -> float | None:
    """The number under `score` in a judge's JSON text, or the one `"score": number` of a text that is no JSON
    (judges write LaTeX into its strings); None without one, or of several.
    """
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        found = _SCORE.findall(text)
        return float(found[0]) if len(found) == 1 else None
    score = value.get("score") if isinstance(value, dict) else None
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A decision that the text does not bear out as it was recorded."""

    pair_id: str
    order: Order
    ours: str
    problem: Problem | None
    recorded: str
    tail: str
    """The end of the judge's text, or its scores."""
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far decisions read from the texts and recorded decisions are the same."""

    decisions: int
    agree: int
    disagreements: tuple[Disagreement, ...]


UNEXPLAINED = "unexplained"


def compare_recorded(items: Iterable[RecordedJudgment]) -> Agreement:
    """Compare every order's decision with the recorded one."""
    decisions = agree = 0
    disagreements = []
    for item in items:
        for order, recorded in item.recorded:
            decisions += 1
            ours, problem = decision_in(item.judgment, order)
            if ours != "A" if recorded == "not A" else ours == recorded:
                agree += 1
                continue
            disagreements.append(
                Disagreement(
                    pair_id=item.judgment.pair.id,
                    order=order,
                    ours=ours,
                    problem=problem,
                    recorded=recorded,
                    tail=_tail(item.judgment, order),
                    cause=explain(item.judgment, order, ours, problem, recorded),
                )
            )
    return Agreement(decisions=decisions, agree=agree, disagreements=tuple(disagreements))


def decision_in(judgment: Judgment, order: Order) -> tuple[str, Problem | None]:
    """What the judgment says in one order, in the pair frame; "none" with its problem."""
    if not judgment.votes:
        return judgment.winner or "none", judgment.problem
    decision = decide([vote for vote in judgment.votes if vote.order == order])
    return decision.winner or "none", decision.problem


def explain(judgment: Judgment, order: Order, ours: str, problem: Problem | None, recorded: str) -> str:
    """The class of cause of a disagreement."""
    first, last = ("A", "B") if order == "given" else ("B", "A")
    if problem == "malformed_verdict" and ">" in recorded:
        return "the text names one side twice, which is no verdict; the record keeps its letters"
    if ours == "tie" and judgment.scores is not None and recorded == last:
        return "equal scores are a tie; the record gives them to the answer shown last"
    if problem == "no_ratings" and judgment.rule == "score_json" and recorded in ("A", "B", "tie"):
        return "no score in one of the two texts; the record takes a missing score for the lowest"
    if problem == "no_ratings" and judgment.rule == "ratings" and recorded == first:
        return "no number for one of the two answers; the record then takes the answer shown first"
    if judgment.rule == "output_ab" and recorded == first:
        if problem == "contradiction":
            return "the text calls both outputs better; the record takes Output (a), which it looks for first"
        if ours == last:
            return "a line of its own names Output (b); the record takes a later line that begins with Output (a)"
    return UNEXPLAINED


def _tail(judgment: Judgment, order: Order) -> str:
    if judgment.scores is not None:
        return f"scores {judgment.scores[0]:g} and {judgment.scores[1]:g}"
    texts = [vote.generation.text for vote in judgment.votes if vote.order == order]
    return " ".join(texts[0][-120:].split()) if texts else ""


def _output(entry: Any) -> Mapping[str, Any]:
    inner = entry.get("judgment") if isinstance(entry, Mapping) else None
    if not isinstance(inner, Mapping):
        return {}
    # Scalar judges leave an empty `response` beside their scores.
    return {key: value for key, value in inner.items() if key != "response" or "scores" not in inner}


def _generation(output: Mapping[str, Any]) -> Generation:
    text = output.get("response")
    return Generation(
        text=text if isinstance(text, str) else "",
        finish_reason="stop",
        model=output.get("judge_model"),
    )


def _judge_scores(pair: PreferencePair, family: str, outputs: Sequence[Mapping[str, Any]]) -> Judgment:
    """Scores that mirror each other in both orders are one scalar judgment, others one vote per order."""
    scores = [tuple(map(float, output["scores"])) if output else (None, None) for output in outputs]
    if (None, None) in scores or (len(scores) == 2 and scores[0] != scores[1][::-1]):
        votes = [
            Vote(order=order, sample=0, generation=_generation(output), verdict=_rate(*ratings))
            for order, output, ratings in zip(ORDERS, outputs, scores, strict=False)
        ]
        return conclude(pair, votes, kind="score", family=family, rule="scores")
    first, second = scores[0]
    verdict = _rate(first, second)
    return Judgment(
        pair=pair,
        family=family,
        rule="scores",
        kind="score",
        winner=verdict.winner,
        problem=verdict.problem,
        scores=verdict.ratings,  # type: ignore[arg-type]
    )


def _rate(first: float | None, second: float | None) -> Verdict:
    if first is None or second is None or not (isfinite(first) and isfinite(second)):
        return Verdict(winner=None, problem="no_ratings")
    winner = "tie" if first == second else "A" if first > second else "B"
    return Verdict(winner=winner, ratings=(first, second))


def _decision(text: Any, order: Order) -> str:
    if text is None:
        return "none"
    label = "tie" if text == "A=B" else LABELS.get(text)
    if label is None:
        return str(text)
    return str(label if order == "given" else swap_label(label))


def _messages(turns: Any) -> list[Message]:
    found = [Message(role=turn["role"], content=turn["content"]) for turn in turns]
    if len(found) < 2:
        raise ValueError("a conversation needs a prompt and an answer")
    return found
