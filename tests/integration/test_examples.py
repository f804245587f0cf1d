"""The examples run as they stand and print what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

EXPECTED = {
    "01_judge_one_pair.py": ["winner: B", "the judge saw first:", "written"],
    "02_read_the_reasoning.py": [
        "winner: A · task: chat",
        "60%  Personal",
        "May your roses bloom -> stands in the answer",
        "with love from the greenhouse -> INVENTED",
        "the same text cut off: None (no_verdict)",
    ],
    "04_curate.py": [
        "3 of 7 pairs stay",
        "pairs:6 went: benchmark (own benchmark:1: same)",
        "pairs:3 went: contradiction",
        "distill: ['How long do I boil an egg?', 'how long do i boil an egg']",
    ],
    "05_distill_scripted_teacher.py": [
        "right in pass 1: 1 of 3",
        "kept pair-0 of pass 2",
        "dropped pair-1: hint",
    ],
    "06_reward_trl.py": [
        "-0.50  A whale.\n",
        "+0.50  A whale and an elephant.\n",
        "None  \n",
        "+0.00  A whale and a cow.\n",
    ],
    "07_reward_verl.py": [
        '{"split": "train", "index": 0, "question": "Name three large animals."}',
        '"reference": "Tokyo and Cairo."}',
        "module.path=pkg://rmr1.integrations.verl_manager",
    ],
    "08_reward_openrlhf.py": [
        r'"label": "{\"group\": \"train-0\", \"question\": \"Name three large animals.\"}"',
        r'"label": "{\"reference\": \"Tokyo and Cairo.\"',
    ],
    "09_reward_verifiers.py": [
        "-0.50  A whale.\n",
        "+0.50  A whale, an elephant and a giraffe.\n",
        "+0.00  A whale and a cow.\n",
    ],
    "03_reinforce_a_judge.py": ["step 1: ", "of 128 judgments right", "step 3: "],
}


def test_every_example_is_listed() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("[0-9]*.py")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_example(name: str) -> None:
    found = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=True)
    for line in EXPECTED[name]:
        assert line in found.stdout
    assert found.stderr == ""
