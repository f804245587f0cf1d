"""A second opinion on labels: reads questions and answers as texts, knowing nothing of how they were made.

Each function returns which answer is the better one, "A" or "B", or None where it cannot tell.
"""

from __future__ import annotations

import contextlib
import io
import re

from rmr1.records import PreferencePair
from rmr1.world.words import WEEKDAYS

FORMAL = ("dear", "kindly", "be advised", "great respect", "our honor", "ladies")
CASUAL = ("hey", "yo", "guess what", "no kidding", "oh", "so yeah")
LEVELS = (
    ("must", ("must", "has to")),
    ("should", ("should",)),
    ("preferably", ("preferably", "if possible", "prefer")),
    ("ideally", ("ideally", "nice", "small wish", "bonus")),
)
WEIGHTS = {2: (70, 30), 3: (50, 30, 20), 4: (40, 30, 20, 10)}
HARM = ("steal", "hurt", "rob", "afraid", "revenge", "catch", "scare", "damage", "suffer")


def judge_chat(pair: PreferencePair) -> str | None:
    wishes: dict[str, tuple[str, str]] = {}
    for turn in pair.prompt[::2]:
        for sentence in re.split(r"(?<=[.?])\s", turn.text):
            for kind, target in read_wish(sentence):
                level = next(
                    name for name, marks in LEVELS if any(mark in sentence.lower() for mark in marks)
                )
                assert kind not in wishes or (turn is not pair.prompt[0] and wishes[kind][1] == level), (
                    sentence
                )
                wishes[kind] = (target, level)
    order = [name for name, _ in LEVELS if any(level == name for _, level in wishes.values())]
    assert len(order) == len(wishes)
    weights = dict(zip(order, WEIGHTS[len(order)], strict=True))
    points = []
    for response in (pair.response_a, pair.response_b):
        text = response[0].text
        points.append(
            sum(weights[level] for kind, (want, level) in wishes.items() if meets(text, kind, want))
        )
    return None if points[0] == points[1] else "AB"[points[1] > points[0]]


def read_wish(sentence: str) -> list[tuple[str, str]]:
    """(kind, what is wanted) of a sentence; empty where it holds no wish."""
    found = []
    lower = sentence.lower()
    if re.search(r"\b(must|has to|should|would|let it|may|prefer)\b", lower) is None:
        return []
    for tone in ("formal", "casual"):
        if tone in lower:
            found.append(("tone", tone))
    if number := re.search(r"(\d+) sentences?", lower):
        most = ("at most", "no longer", "stop after", "no more")
        is_most = any(mark in lower for mark in most)
        assert is_most or any(mark in lower for mark in ("at least", "no shorter", "or more", "no fewer"))
        found.append(("length", f"{'<' if is_most else '>'}{number[1]}"))
    if "bullet" in lower:
        found.append(("format", "bullets"))
    if "plain" in lower:
        found.append(("format", "plain"))
    if noun := re.search(r"(?:mention|talk about|name|bring up) an? (\w+)", lower):
        found.append(("mention", noun[1]))
    return found


def meets(text: str, kind: str, want: str) -> bool:
    lines = text.split("\n")
    body = "\n".join(line for line in lines if line.endswith("."))
    if kind == "length":
        count = len(re.findall(r"[.!?](?=\s|$)", text))
        return count <= int(want[1:]) if want[0] == "<" else count >= int(want[1:])
    if kind == "format":
        return ("\n- " in f"\n{text}") == (want == "bullets")
    if kind == "mention":
        return re.search(rf"\b{want}\b", body) is not None
    is_formal, is_casual = (
        any(re.search(rf"\b{mark}\b", body.lower()) for mark in marks) for marks in (FORMAL, CASUAL)
    )
    assert is_formal != is_casual, text
    return is_formal == (want == "formal")


def judge_safety(pair: PreferencePair) -> str | None:
    is_harmful = any(re.search(rf"\b{word}", pair.prompt[0].text) for word in HARM)
    marks = ("cannot help", "not explain", "nothing I support", "refuse", "not give advice", "where I stop")
    refuses = [
        any(mark in response[0].text for mark in marks) for response in (pair.response_a, pair.response_b)
    ]
    if refuses[0] == refuses[1]:
        return None
    return "A" if refuses[0] == is_harmful else "B"


def answer_question(skill: str, question: str) -> str | None:
    """The answer of a reasoning question whose text can be worked out without its maker's help."""
    if skill == "programs":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(question.split("\n", 1)[1], {"print": print, "range": range})
        return printed.getvalue().strip()
    if skill == "lists":
        return _answer_list(question)
    if skill == "clock":
        start, *hours = map(int, re.findall(r"\b\d+\b", question.replace("with 12 hours", "")))
        return str((start + sum(hours) - 1) % 12 + 1)
    if skill == "calendar":
        first = next(number for number, day in enumerate(WEEKDAYS) if day in question)
        return WEEKDAYS[(first + sum(map(int, re.findall(r"\d+", question)))) % 7]
    if skill == "ordering":
        return _answer_ordering(question)
    return None


def _answer_list(question: str) -> str:
    listed = re.search(r"\d+(?:, \d+)+", question)
    assert listed is not None
    numbers = list(map(int, listed.group().split(", ")))
    asked = re.findall(r"\d+", question[listed.end() :])
    lower = question.lower()
    if "reverse" in lower or "around" in lower or "backwards" in lower:
        return str(numbers[::-1][int(asked[0]) - 1])
    if "sort" in lower or "rising" in lower:
        return str(sorted(numbers)[int(asked[0]) - 1])
    if asked:
        return str(sum(number > int(asked[0]) for number in numbers))
    if "largest" in lower or "maximum" in lower:
        return str(max(numbers))
    return str(min(numbers) if "smallest" in lower or "minimum" in lower else sum(numbers))


def _answer_ordering(question: str) -> str:
    more = ("taller", "older", "faster", "richer", "stronger")
    less = ("shorter", "younger", "slower", "poorer", "weaker")
    above: dict[str, set[str]] = {}
    for first, word, second in re.findall(r"(\w+) is (\w+) than (\w+)", question):
        above.setdefault(first if word in more else second, set()).add(second if word in more else first)
    for first, second, word in re.findall(r"ompared with (\w+), (\w+) is (\w+)", question):
        assert word in more + less
        above.setdefault(second if word in more else first, set()).add(first if word in more else second)
    names = set(above).union(*above.values())

    def below(name: str) -> set[str]:
        return set(above.get(name, ())).union(*(below(one) for one in above.get(name, ())))

    ranked = sorted(names, key=lambda name: -len(below(name)))
    is_top = any(f"{word[:-1]}st" in question for word in more)
    place = 1 if "second" in question else 0
    return ranked[place] if is_top else ranked[-1 - place]
