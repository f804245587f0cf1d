"""What OpenRLHF decodes from tokens: a prompt, an answer, and the tokens that end a turn."""

from __future__ import annotations

import pytest

from rmr1.server.service import ServiceError
from rmr1.server.wire.openrlhf import cut_answer


@pytest.mark.parametrize(
    ("query", "prompt", "answer"),
    [
        ("What?\n4", "What?\n", "4"),
        ("What?\n4<|im_end|>\n", "What?\n", "4"),
        ("What?\n4</s></s>", "What?\n", "4"),
        ("What?\n an answer, indented", "What?\n", " an answer, indented"),
        ("<s> What?4", "<s>What?\n", "4"),
        ("[INST] What? [/INST] 4</s>", "[INST]What?[/INST]", "4"),
        ("What?\nI write </b> and 4 </b>", "What?\n", "I write </b> and 4 </b>"),
        ("What?\n<answer>4</answer>", "What?\n", "<answer>4</answer>"),
        ("What?\n<|im_end|>", "What?\n", ""),
    ],
)
def test_the_answer_is_what_stands_between(query: str, prompt: str, answer: str) -> None:
    assert cut_answer(query, prompt) == answer


@pytest.mark.parametrize("query", ["", "What", "When?\n4", "hat?\n4"])
def test_another_prompt_is_refused(query: str) -> None:
    with pytest.raises(ServiceError, match="does not begin with its prompt"):
        cut_answer(query, "What?\n")
