"""Coverage-guided fuzzing of the parser: structured mutations of judge texts, every rule.

The first bytes choose labels, `truncated` and pieces of the protocol; the rest is free text between
them. Asserted: no exception, a problem from the closed list exactly where there is no winner, a winner
that the prompt has, finite ratings, weights and quotations in their ranges, and a time bound. A crash
is written to a file that is run again by giving it as the argument.

    pip install atheris        # in an environment of its own; not a dependency of the package
    PYTHONPATH=src python tests/fuzz/fuzz_verdicts.py -max_total_time=600 -max_len=1024 -len_control=0
"""

from __future__ import annotations

import math
import sys
import time

import atheris

with atheris.instrument_imports(include=["rmr1"]):
    from rmr1.records import PROBLEMS
    from rmr1.verdicts import RULES, parse_verdict

SECONDS_PER_MEGABYTE = 20.0
MAX_REPEATED_CHARS = 200
LABELS = (("A", "B"), ("A", "B", "C", "D"))
TAGS = ("think", "type", "rubric", "justify", "solution", "eval", "answer", "quote_A", "quote_B", "summary_A")
PIECES = (
    *(f"<{tag}>" for tag in TAGS),
    *(f"</{tag}>" for tag in TAGS),
    *(f"< /{tag.upper()} >" for tag in TAGS),
    *(
        "[[A]]",
        "[[B]]",
        "[[C]]",
        "[[tie]]",
        "[[A>>B]]",
        "[[B>A]]",
        "[[A=B]]",
        "[[A>A]]",
        "[\\[A]]",
        "<\\answer>",
    ),
    *("<answer>[[A]]</answer>", "<answer>[[B]]", "**[[A]]**", "<answer>9</answer><answer>8</answer>", "[["),
    *(
        "1. Accuracy (40%): ",
        "- **Tone** - 30%",
        "weight: 0.4",
        "(weight 3)",
        "25/100",
        "0.4 - ",
        "| a | 40% |",
    ),
    *(
        "<item weight='0.4'>",
        "</item>",
        "Assistant 1: 8",
        "A: 9/10",
        "8 9.5",
        "scores are (8, 9)",
        "<|im_end|>",
    ),
    *("\n", "\n\n", "   ", "\t", ":", "-", "|", "\ud800", "\u2028", "1" * 40, "[[" * 20, "<answer>" * 20),
)


def build_text(provider: atheris.FuzzedDataProvider) -> str:
    parts: list[str] = []
    while provider.remaining_bytes() > 1:
        choice = provider.ConsumeIntInRange(0, 255)
        if choice < len(PIECES):
            parts.append(PIECES[choice])
        elif choice < 200:
            parts.append(provider.ConsumeUnicode(choice - len(PIECES)))
        elif choice < 230 and parts and len(parts[-1]) < MAX_REPEATED_CHARS:
            parts.append(parts[-1] * (choice - 200))
        elif parts:
            # Cut what is there, as a token limit would.
            whole = "".join(parts)
            parts = [whole[: len(whole) - (choice - 229)]]
    return "".join(parts)


def check(text: str, rule: str, labels: tuple[str, ...], truncated: bool) -> None:
    started = time.perf_counter()
    verdict = parse_verdict(text, rule, labels, truncated)
    seconds = time.perf_counter() - started
    assert seconds < 1.0 + SECONDS_PER_MEGABYTE * len(text) / 1e6, (rule, seconds, len(text))
    assert (verdict.winner is None) == (verdict.problem is not None), verdict
    assert verdict.problem is None or verdict.problem in PROBLEMS, verdict
    assert verdict.winner is None or verdict.winner in (*labels, "tie"), verdict
    if verdict.ratings is not None:
        assert len(verdict.ratings) == len(labels) and all(map(math.isfinite, verdict.ratings)), verdict
    for item in verdict.trace.rubric:
        assert item.text and (item.weight is None or 0 <= item.weight <= 9999.999999), item
    for quoted in (*verdict.trace.quotes, *verdict.trace.summaries):
        assert quoted.side in labels and quoted.text in text, quoted
    if rule == "tail" and not truncated and labels == ("A", "B"):
        has_a, has_b = ("<answer>[[A]]</answer>" in text[-80:], "<answer>[[B]]</answer>" in text[-80:])
        assert verdict.winner == ("A" if has_a and not has_b else "B" if has_b and not has_a else None)


def test_one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    labels = LABELS[provider.ConsumeBool()]
    truncated = provider.ConsumeBool()
    text = build_text(provider)
    for rule in RULES:
        check(text, rule, labels, truncated)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
