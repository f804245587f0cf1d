"""Real labels, and several ways of judging each pair: recorded judges, or criteria that are measured.

A way takes the place of a rubric: P(A is better) by it, with A first and with B first. What people's labels improve is which way
is followed (the one that was right most often), or how much each counts (log-odds of having been right, as naive Bayes).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llmbar import read_llmbar_outputs, read_llmbar_pairs
from numpy.typing import NDArray

from rmr1.active.choose import Chooser
from rmr1.active.information import measure_information, read_votes
from rmr1.audit.markdown import count_marks
from rmr1.audit.quotes import answer_text
from rmr1.audit.refusing import is_refusal
from rmr1.data.files import read_rows
from rmr1.data.read import read_pairs
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair
from rmr1.store.keys import question_digest

Floats = NDArray[np.float64]

BUDGETS = (5, 10, 20, 40, 80, 160)
_MOST = 700
"""Pairs of a dataset that are looked at."""


class Ways(NamedTuple):
    pairs: list[PreferencePair]
    orders_NWO: Floats
    """P(A is better) by each way, with A first and with B first; 0.5 if it tells nothing."""


def measure_strategies(ways: Ways, seed: int) -> dict[str, Any]:
    """How right the improved judge is on half of the questions, by labels of the other half."""
    random = np.random.default_rng(seed)
    questions = [question_digest(pair) for pair in ways.pairs]
    unique = sorted(set(questions))
    chosen = set(random.permutation(unique)[: len(unique) // 2])
    is_pool = np.array([one in chosen for one in questions])
    label_N = np.array([{"A": 1.0, "B": 0.0}[pair.label or ""] for pair in ways.pairs])
    mean_NW = ways.orders_NWO.mean(axis=2)
    test = ~is_pool
    told_N = _right(mean_NW.mean(axis=1), label_N)
    found: dict[str, Any] = {
        "ways": mean_NW.shape[1],
        "pool": int(is_pool.sum()),
        "test": int(test.sum()),
        "majority": float(told_N[test].mean()),
        "best": float(_right(mean_NW, label_N[:, None])[test].mean(axis=0).max()),
        "questions": [questions[place] for place in np.flatnonzero(test)],
        "chosen": {},
        "weighed": {},
    }
    places = np.flatnonzero(is_pool)
    for strategy in ("random", "uncertainty", "information"):
        asked = _choose(ways, places, strategy, seed)
        for rule in ("chosen", "weighed"):
            found[rule][strategy] = {
                str(budget): _improve(mean_NW, label_N, asked[:budget], test, rule).round(4).tolist()
                for budget in BUDGETS
                if budget <= len(asked)
            }
    return found


def _choose(ways: Ways, places: Sequence[int], strategy: str, seed: int) -> list[int]:
    """The pairs in the sequence in which they are asked about."""
    orders = [[((one[0],), (one[1],)) for one in ways.orders_NWO[place].tolist()] for place in places]
    told = [measure_information(one, seed=seed) for one in orders]
    value = {
        "random": [0.0 for _ in told],
        "uncertainty": [one.total if one else 0.0 for one in told],
        "information": [one.unadjusted if one else 0.0 for one in told],  # one vote in each order
    }[strategy]
    keys = [str(place) for place in places]
    beta = 1.0 if strategy == "information" else 0.0
    chooser = Chooser(keys, np.array(value), [ways.pairs[place] for place in places], beta=beta, seed=seed)
    asked: list[str] = []
    left = dict.fromkeys(keys)
    while left and len(asked) < BUDGETS[-1]:
        key = chooser.choose(left, asked)
        assert key is not None
        del left[key]
        asked.append(key)
    return [int(key) for key in asked]


def _improve(mean_NW: Floats, label_N: Floats, asked: Sequence[int], test: Any, rule: str) -> Floats:
    """right of each test pair, by the way or the weights that the labels of the asked pairs give."""
    right_AW = _right(mean_NW[list(asked)], label_N[list(asked)][:, None])
    right_W = right_AW.sum(axis=0)
    if rule == "chosen":
        best = right_W == right_W.max()
        return np.asarray(_right(mean_NW[test][:, best], label_N[test][:, None]).mean(axis=1))
    weight_W = np.log((right_W + 1) / (len(asked) - right_W + 1))
    return _right(0.5 + ((mean_NW[test] - 0.5) * weight_W).sum(axis=1), label_N[test])


def _right(probability: Floats, label: Floats) -> Floats:
    """1 for the right side, a half for none."""
    return np.where(
        np.abs(probability - 0.5) < 1e-9, 0.5, ((probability > 0.5) == (label > 0.5)).astype(float)
    )


def _read_llmbar(judge: str, data: Path) -> Ways:
    pairs = read_llmbar_pairs(data / "llmbar")
    by_pair: dict[str, dict[str, tuple[float, float]]] = {}
    for method, is_last, item in read_llmbar_outputs(
        data / "judge-outputs" / "llmbar" / f"{judge}.jsonl.gz", pairs
    ):
        if is_last:
            given, swapped = read_votes(item.judgment)
            if not given and not swapped:  # each answer was rated alone, which has no order
                given = swapped = ({"A": 1.0, "B": 0.0}.get(item.judgment.winner or "", 0.5),)
            by_pair.setdefault(item.judgment.pair.id, {})[method] = (
                given[0] if given else 0.5,
                swapped[0] if swapped else 0.5,
            )
    methods = sorted(set.intersection(*(set(one) for one in by_pair.values())))
    kept = [pair for pair in pairs.values() if pair.id in by_pair]
    return Ways(kept, np.array([[by_pair[pair.id][method] for method in methods] for pair in kept]))


def _read_judgebench(data: Path) -> Ways:
    said = {"A>B": 1.0, "B>A": 0.0}
    ways: list[dict[str, tuple[float, float]]] = []
    rows: dict[str, Any] = {}
    for path in sorted((data / "judge-outputs" / "judgebench").glob("*gpt-4o-2024-05-13__*")):
        if "pilot" in path.name:
            continue
        way = {}
        for row in read_rows(path):
            decisions = [(one or {}).get("decision") for one in row.data["judgments"]]
            first, second = (said.get(one, 0.5) for one in decisions[:2])
            way[row.data["pair_id"]] = (first, 1 - second)
            rows[row.data["pair_id"]] = row.data
        ways.append(way)
    pairs = [
        PreferencePair(
            id=name,
            prompt=(user(row["question"]),),
            response_a=(assistant(row["response_A"]),),
            response_b=(assistant(row["response_B"]),),
            label="A" if row["label"] == "A>B" else "B",
        )
        for name, row in rows.items()
        if all(name in way for way in ways)
    ]
    return Ways(pairs, np.array([[way[pair.id] for way in ways] for pair in pairs]))


def _words(text: str) -> set[str]:
    return set(text.lower().split())


CRITERIA: Mapping[str, Callable[[str, str], float]] = {
    "longer": lambda question, answer: len(answer),
    "shorter": lambda question, answer: -len(answer),
    "more headings, lists and bold": lambda question, answer: count_marks(answer),
    "more of the question's words": lambda question, answer: len(_words(question) & _words(answer)),
    "more digits": lambda question, answer: sum(one.isdigit() for one in answer),
    "fewer repeated words": lambda question, answer: len(_words(answer)) / (1 + len(answer.split())),
    "no refusal": lambda question, answer: -float(is_refusal(answer)),
    "no question back": lambda question, answer: -answer.count("?"),
    "longer sentences": lambda question, answer: len(answer.split()) / (1 + answer.count(".")),
    "more quotations": lambda question, answer: answer.count('"') + answer.count("["),
}


def _read_preferences(name: str, data: Path) -> Ways:
    read = read_pairs(data / "preference-train" / f"{name}.jsonl.gz", on_error="skip")
    pairs = [pair for pair in read if pair.label in ("A", "B")][:_MOST]
    rows = []
    for pair in pairs:
        question, a, b = (answer_text(one) for one in (pair.prompt, pair.response_a, pair.response_b))
        signs = [np.sign(measure(question, a) - measure(question, b)) for measure in CRITERIA.values()]
        rows.append([((1 + sign) / 2, (1 + sign) / 2) for sign in signs])
    return Ways(pairs, np.array(rows, dtype=np.float64))


DATASETS: Mapping[str, Callable[[Path], Ways]] = {
    **{f"llmbar {judge}": partial(_read_llmbar, judge) for judge in ("GPT-4", "LLaMA2", "Falcon")},
    "judgebench": _read_judgebench,
    **{
        name: partial(_read_preferences, name)
        for name in ("mtbench_human_300", "webgpt_test", "autoj_pairwise_test", "hh_helpful_test")
    },
}
