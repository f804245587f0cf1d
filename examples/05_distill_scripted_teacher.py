"""Two teachers write judgments to train on: the first one errs, the second one is told the verdict and writes anew.

Both are played by functions here; in a recipe they are names of models. No download, no server, a second or two.
"""

import json
import tempfile
from pathlib import Path

from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.run import run_distill
from rmr1.engines.scripted import ScriptedEngine
from rmr1.prompts import parse_blocks
from rmr1.records import JudgePrompt

PAIRS = [
    ("What is 17 + 25?", "17 + 25 makes 42.", "17 + 25 makes 43, I am sure of that.", "A"),
    ("What is 9 * 8?", "9 * 8 is 72.", "The product of 9 and 8 is 81, as everybody knows.", "A"),
    ("Name the capital of France.", "It is Lyon.", "The capital of France is Paris.", "B"),
]


def write_judgment(prompt: JudgePrompt, winner: str, remark: str) -> str:
    """A judgment in the form that the prompt asks for, with real quotations."""
    blocks = parse_blocks(prompt.messages[-1].text)
    return (
        "<type>Reasoning</type>\n<solution>Worked out by hand.</solution>\n"
        f"<eval><quote_A>{blocks.response_a}</quote_A> against <quote_B>{blocks.response_b}</quote_B>. {remark}</eval>\n"
        f"<answer>[[{winner}]]</answer>"
    )


def prefer_longer(prompt: JudgePrompt, sample: int) -> str:
    blocks = parse_blocks(prompt.messages[-1].text)
    winner = "A" if len(blocks.response_a) > len(blocks.response_b) else "B"
    return write_judgment(prompt, winner, "The longer one says more.")


def follow_the_note(prompt: JudgePrompt, sample: int) -> str:
    verdict = prompt.messages[-1].text.split("The right verdict is [[")[1][0]
    if "9 * 8" in prompt.messages[-1].text:
        return write_judgment(prompt, verdict, f"As stated, the correct verdict is {verdict}.")
    return write_judgment(prompt, verdict, f"Only Chatbot {verdict} has the right result.")


folder = Path(tempfile.mkdtemp())
rows = [
    {"id": f"pair-{number}", "prompt": question, "response_a": a, "response_b": b, "label": label}
    for number, (question, a, b, label) in enumerate(PAIRS)
]
(folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
recipe = DistillRecipe.from_values(
    {
        "data": {"train": str(folder / "pairs.jsonl")},
        "pass1": {"teacher": "scripted:one"},
        "pass2": {"teacher": "scripted:two"},
    },
    "this example",
)
teachers = {1: ScriptedEngine(prefer_longer, "one"), 2: ScriptedEngine(follow_the_note, "two")}
summary = run_distill(recipe, folder / "distilled", engines=teachers)

print(f"right in pass 1: {summary['right']['pass1']} of {summary['labelled']}")
for line in (folder / "distilled/train.jsonl").read_text().splitlines():
    row = json.loads(line)
    print(f"kept {row['id']} of pass {row['pass']}: {row['messages'][-1]['content'].splitlines()[-1]}")
for line in (folder / "distilled/dropped.jsonl").read_text().splitlines():
    row = json.loads(line)
    print(f"dropped {row['id']}: {row['reason']} ({row['detail']})")
