"""The fixed points of the judge protocol: tags, delimiters, and the tokens hostile text may imitate.

They are what RM-R1's released checkpoints were trained on (arXiv 2505.02387, figures 3 and 6;
templates in the reference repository's `mix_data.py`): wording may differ between prompt families,
these strings may not.
"""

from __future__ import annotations

from dataclasses import dataclass

TAGS = ("type", "rubric", "justify", "solution", "eval", "answer", "think", "thinking")
"""Tags without a side. `think` is the reasoning models' own."""

SIDE_TAGS = ("quote", "summary")
"""Tags that carry the side they speak of: `<quote_A>`, `<summary_B>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimiters:
    """The lines around each part of a judge prompt; `{label}` stands for A or B."""

    question: str
    response_start: str
    response_end: str
    conversation_start: str
    conversation_end: str

    def response(self, label: str) -> tuple[str, str]:
        return self.response_start.format(label=label), self.response_end.format(label=label)

    def conversation(self, label: str) -> tuple[str, str]:
        return self.conversation_start.format(label=label), self.conversation_end.format(label=label)


ENGLISH = Delimiters(
    question="[Client Question]",
    response_start="[The Start of Chatbot {label}'s Response]",
    response_end="[The End of Chatbot {label}'s Response]",
    conversation_start="[The Start of the Conversation between Chatbot {label} and the Client]",
    conversation_end="[The End of the Conversation between Chatbot {label} and the Client]",
)

CHINESE = Delimiters(
    question="[客户问题]",
    response_start="[客服{label}的回答开始]",
    response_end="[客服{label}的回答结束]",
    conversation_start="[客服{label}与客户的对话开始]",
    conversation_end="[客服{label}与客户的对话结束]",
)
"""A Chinese translation of the form that public training data uses; read, never written."""

DIALECTS = (ENGLISH, CHINESE)

CLIENT_NAME = "User"
CHATBOT_NAME = "Chatbot {label}"
"""How a transcript names its speakers."""
