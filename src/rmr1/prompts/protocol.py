"""The fixed points of the judge protocol: tags, delimiters, and the tokens hostile text may imitate.

They are what RM-R1's released checkpoints were trained on (arXiv 2505.02387, figures 3 and 6;
templates in the reference repository's `mix_data.py`): wording may differ between prompt families,
these strings may not.
"""

from __future__ import annotations

from typing import NamedTuple

TAGS = ("type", "rubric", "justify", "solution", "eval", "answer", "think", "thinking")
"""Tags without a side. `think` is the reasoning models' own."""
SIDE_TAGS = ("quote", "summary")
"""Tags that carry the side they speak of: `<quote_A>`, `<summary_B>`."""
SCORE_TAG = "score"
"""The tag of a criterion's scores, with its number: `<score_2>A: 8, B: 6</score_2>`. Our own addition to the protocol; only
prompts that give criteria ask for it."""
LEAST_SCORE, MOST_SCORE = 1, 10
"""The range of these scores."""


class Delimiters(NamedTuple):
    """The lines around each part of a judge prompt; `{label}` stands for A or B, `{edge}` for the start or the end."""

    question: str
    response_form: str
    conversation_form: str
    edges: tuple[str, str]

    def response(self, label: str) -> tuple[str, str]:
        start, end = (self.response_form.format(label=label, edge=edge) for edge in self.edges)
        return start, end

    def conversation(self, label: str) -> tuple[str, str]:
        start, end = (self.conversation_form.format(label=label, edge=edge) for edge in self.edges)
        return start, end


ENGLISH = Delimiters(
    "[Client Question]",
    "[The {edge} of Chatbot {label}'s Response]",
    "[The {edge} of the Conversation between Chatbot {label} and the Client]",
    ("Start", "End"),
)
CHINESE = Delimiters(
    "[客户问题]", "[客服{label}的回答{edge}]", "[客服{label}与客户的对话{edge}]", ("开始", "结束")
)
"""A Chinese translation of the form that public training data uses; read, never written."""

DIALECTS = (ENGLISH, CHINESE)

CLIENT_NAME = "User"
CHATBOT_NAME = "Chatbot {label}"
"""How a transcript names its speakers."""
