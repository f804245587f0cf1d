"""Checks every row of a distillation from the synthetic world by other means than `rmr1.distill` used.

    .venv/bin/python benchmarks/distill_verify.py DIR

Nothing of `rmr1.distill`, the parser or the renderer is used: prompts are taken apart by plain text search, the label is worked
out from the world's item, and every count of summary.json is counted again. Prints what it checked; exits with 1 at the
first kind of fault.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rmr1.world import sample_pair

VERDICT = re.compile(r"<answer>\[\[([AB])\]\]</answer>\Z")
QUOTE = re.compile(r"<quote_([AB])>(.*?)</quote_\1>", re.DOTALL)
WEIGHT = re.compile(r"^\d+\. .*\((\d+)%\)$", re.MULTILINE)
FORMS = {
    "Reasoning": re.compile(
        r"<type>Reasoning</type>\s*<solution>.+</solution>\s*<eval>.+</eval>\s*<answer>", re.DOTALL
    ),
    "Chat": re.compile(
        r"<type>Chat</type>\s*<rubric>.+<justify>.+</justify>\s*</rubric>\s*<eval>.+</eval>\s*<answer>",
        re.DOTALL,
    ),
}
TOLD = (
    "note to the judge",
    "correct verdict",
    "right verdict",
    "earlier judgment",
    "as stated",
    "was told",
    "provided label",
)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def shown_answers(prompt: str) -> dict[str, str]:
    """What the prompt calls Chatbot A and B: the answer, or the whole conversation."""
    found = {}
    for label in "AB":
        for start, end in (
            (f"[The Start of Chatbot {label}'s Response]", f"[The End of Chatbot {label}'s Response]"),
            (
                f"[The Start of the Conversation between Chatbot {label} and the Client]",
                f"[The End of the Conversation between Chatbot {label} and the Client]",
            ),
        ):
            if start in prompt:
                found[label] = prompt.split(start)[1].split(end)[0]
    return found


def check_row(row: dict[str, Any], world: dict[str, Any]) -> list[str]:
    """What is wrong with a row."""
    system, user, judgment = (message["content"] for message in row["messages"])
    index = int(row["id"].rpartition("-")[2])
    pair = sample_pair(world["seed"], index, split="train", distribution=world["distribution"]).pair
    better = (pair.response_a if pair.label == "A" else pair.response_b)[-1].text
    answers = shown_answers(user)
    faults = []
    verdict = VERDICT.search(judgment)
    if verdict is None:
        return ["no verdict at the end"]
    if better.strip() not in answers[verdict[1]]:
        faults.append("verdict is not the label")
    if verdict[1] != row["verdict"]:
        faults.append("column 'verdict' differs from the text")
    if (row["order"] == "given") != (pair.label == verdict[1]):
        faults.append("column 'order' does not fit")
    quotes = QUOTE.findall(judgment)
    if not quotes:
        faults.append("no quotation")
    if any(
        " ".join(text.split()).lower() not in " ".join(answers[side].split()).lower() for side, text in quotes
    ):
        faults.append("a quotation stands in no answer")
    kind = "Reasoning" if "<type>Reasoning</type>" in judgment else "Chat"
    if FORMS[kind].match(judgment) is None:
        faults.append("form")
    if kind == "Chat" and sum(map(int, WEIGHT.findall(judgment.split("<justify>")[0]))) != 100:
        faults.append("weights")
    if any(words in judgment.lower() for words in TOLD):
        faults.append("the judgment shows that it was told")
    if "[[" in user or any(words in (system + user).lower() for words in TOLD[:2]):
        faults.append("the prompt holds a verdict")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rows, dropped = read(folder / "train.jsonl"), read(folder / "dropped.jsonl")
    summary = json.loads((folder / "summary.json").read_text())
    world = json.loads((folder / "run.json").read_text())["data"]["world"]
    faults = Counter[str]()
    for row in rows:
        faults.update(check_row(row, world))
    keys = [row["key"] for row in rows + dropped]
    if len(set(keys)) != len(keys):
        faults["a pair occurs twice"] += 1
    waiting = sum(summary["waiting"].values())
    if len(keys) + waiting != summary["pairs"]:
        faults["rows, dropped and waiting are not all pairs"] += 1
    if len(rows) != summary["rows"] or Counter(row["reason"] for row in dropped) != Counter(
        summary["dropped"]
    ):
        faults["summary.json counts otherwise"] += 1
    for number, about in enumerate(summary["passes"], start=1):
        path = folder / f"pass{number}.jsonl"
        lines = read(path) if path.exists() else []
        # What failed and was asked again was paid for too.
        retried = folder / f"pass{number}-failed.jsonl"
        paid = lines + (read(retried) if retried.exists() else [])
        used = [sum(line.get(name, 0) for line in paid) for name in ("prompt_tokens", "completion_tokens")]
        if [len(lines), *used] != [about["asked"], about["prompt_tokens"], about["completion_tokens"]]:
            faults[f"pass {number}: summary.json counts otherwise"] += 1
        if len({line["key"] for line in lines}) != len(lines):
            faults[f"pass {number}: a pair was answered twice"] += 1
    print(
        f"{len(rows):,} rows and {len(dropped):,} dropped pairs checked, {waiting:,} waiting; faults: {dict(faults) or 'none'}"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
