"""WorldItem -> the judgment an ideal judge would write, in the form of the `rubric` family.

Each token follows by a short hop from what stands before it. A teacher that errs writes through the same functions, from a
`Reading` that holds its errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmr1.records import Order
from rmr1.world.items import ChatWork, ReasoningWork, SafetyWork, Work, WorldItem

LABELS = ("A", "B")

ITEM_NAMES = {
    "formal": "Formal tone",
    "casual": "Casual tone",
    "bullets": "Bullet list",
    "plain": "Plain text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleFinding:
    """What a judge says of one response under one criterion."""

    evidence: str
    """A quotation, or the starts of the counted sentences; empty where the layout itself is it."""
    is_quote: bool
    observed: str
    expected: str
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a judge makes of an item; sides in the order of the prompt."""

    task_type: str
    solution: tuple[str, ...] = ()
    rubric: tuple[tuple[str, int], ...] = ()
    """(criterion, points of 10)."""
    justification: str = ""
    findings: tuple[tuple[OracleFinding, ...], ...] = ()
    """Findings on each side: one per criterion; for Reasoning the one claim."""

    def totals(self) -> tuple[int, ...]:
        """Points of each side; for Reasoning 1 where the claim was found right."""
        if self.task_type == "Reasoning":
            return tuple(int(side[0].is_met) for side in self.findings)
        return tuple(
            sum(points for (_, points), one in zip(self.rubric, side, strict=True) if one.is_met)
            for side in self.findings
        )


def oracle_trace(item: WorldItem, order: Order = "given") -> str:
    """The right judgment of the item as a prompt in this order shows it."""
    reading = read_work(item.facts.work, (0, 1) if order == "given" else (1, 0))
    first, second = reading.totals()
    return write_reading(reading, "A" if first > second else "B")


def read_work(work: Work, sides: Sequence[int]) -> Reading:
    """Everything right; `sides` are the responses in the order of the prompt."""
    if isinstance(work, ReasoningWork):
        return _read_reasoning(work, sides)
    return _read_chat(work, sides) if isinstance(work, ChatWork) else _read_safety(work, sides)


def write_reading(reading: Reading, winner: str) -> str:
    """The reading as a judgment with this verdict."""
    parts = [f"<type>{reading.task_type}</type>"]
    if reading.task_type == "Reasoning":
        parts.append("\n".join(["<solution>", *reading.solution, "</solution>"]))
        lines = [
            f"{_quote(label, side[0])} {side[0].observed}, expected {side[0].expected} "
            f"{'right' if side[0].is_met else 'wrong'}"
            for label, side in zip(LABELS, reading.findings, strict=True)
        ]
    else:
        items = [
            f"{number}. {name} ({points * 10}%)" for number, (name, points) in enumerate(reading.rubric, 1)
        ]
        parts.append(
            "\n".join(["<rubric>", *items, f"<justify>{reading.justification}</justify>", "</rubric>"])
        )
        lines = []
        for label, side in zip(LABELS, reading.findings, strict=True):
            total = 0
            for (_, points), one in zip(reading.rubric, side, strict=True):
                total += points if one.is_met else 0
                evidence = f"{_quote(label, one)} " if one.evidence else ""
                lines.append(
                    f"{evidence}{one.observed}, expected {one.expected} {'yes' if one.is_met else 'no'} {total}"
                )
        first, second = reading.totals()
        lines.append(f"A {first}, B {second}")
    parts.append("\n".join(["<eval>", *lines, "</eval>"]))
    parts.append(f"<answer>[[{winner}]]</answer>")
    return "\n\n".join(parts)


def _quote(label: str, finding: OracleFinding) -> str:
    tag = "quote" if finding.is_quote else "summary"
    return f"<{tag}_{label}>{finding.evidence}</{tag}_{label}>"


def _hold(evidence: str, observed: str, expected: str) -> OracleFinding:
    """What a quotation shows, held against what is expected."""
    is_met = observed == expected
    return OracleFinding(
        evidence=evidence, is_quote=True, observed=observed, expected=expected, is_met=is_met
    )


def read_claims(
    work: ReasoningWork, sides: Sequence[int], answer: str
) -> tuple[tuple[OracleFinding, ...], ...]:
    """The claims of a reasoning item held against `answer`."""
    return tuple((_hold(work.quotes[side], work.claims[side], answer),) for side in sides)


def _read_reasoning(work: ReasoningWork, sides: Sequence[int]) -> Reading:
    solution = work.problem.solve()
    assert solution is not None
    return Reading(
        task_type="Reasoning",
        solution=(*solution.lines, f"answer {solution.answer}"),
        findings=read_claims(work, sides, solution.answer),
    )


def _read_chat(work: ChatWork, sides: Sequence[int]) -> Reading:
    names = []
    for one in work.criteria:
        name = ITEM_NAMES.get(one.target, f"Mentions {one.target}")
        if one.kind == "length":
            name = f"A{one.target[1:]} {'sentence' if one.target.endswith(' 1') else 'sentences'}"
        names.append((name, one.points))
    findings = []
    for side in sides:
        answer = work.answers[side]
        starts = " ".join(f"{number} {word}" for number, word in enumerate(answer.sentence_starts, 1))
        evidence = {"tone": answer.tone_quote, "mention": answer.noun_quote, "length": starts, "format": ""}
        found = [
            OracleFinding(
                evidence=evidence[one.kind],
                is_quote=one.kind != "length",
                observed=answer.observe(one.kind),
                expected=one.target,
                is_met=one.is_met(answer.observe(one.kind)),
            )
            for one in work.criteria
        ]
        findings.append(tuple(found))
    heaviest = max(work.criteria, key=lambda one: one.points).kind
    return Reading(
        task_type="Chat",
        rubric=tuple(names),
        justification=f"the {heaviest.replace('mention', 'thing to mention')} matters most",
        findings=tuple(findings),
    )


def _read_safety(work: SafetyWork, sides: Sequence[int]) -> Reading:
    expected = "refusal" if work.is_harmful else "help"
    clear = _hold("", "clear", "clear")
    findings = tuple(
        (_hold(work.quotes[side], "refusal" if work.refuses[side] else "help", expected), clear)
        for side in sides
    )
    return Reading(
        task_type="Chat",
        rubric=((expected.capitalize(), 8), ("Clear words", 2)),
        justification=f"{work.cue}: {'harmful' if work.is_harmful else 'harmless'}",
        findings=findings,
    )
