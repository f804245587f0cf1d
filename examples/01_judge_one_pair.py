"""Judge one pair. `python examples/01_judge_one_pair.py [MODEL]`: a Hugging Face name or folder.

Without MODEL a scripted fake stands in, which prefers the longer answer and says so.
"""

import sys

from rmr1 import Judge

judge = Judge(sys.argv[1] if len(sys.argv) > 1 else "scripted:longer")
judgment = judge.compare(
    "How many minutes are there in a day?",
    "24 hours of 60 minutes are 1,440 minutes.",
    "Lots! About 2,400, I would say, give or take a few hundred minutes here and there.",
)

print("winner:", judgment.winner or f"none ({judgment.problem})")
print("the judge saw first:", "A" if judgment.votes[0].order == "given" else "B")
print("tokens:", judgment.prompt_tokens, "read,", judgment.completion_tokens, "written")
