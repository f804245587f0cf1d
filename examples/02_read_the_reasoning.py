"""Read a judgment's reasoning as data: task type, rubric, solution, quotations and whether they are real.

The text below is what a judge wrote; `parse_verdict` is the parser that every part of rmr1 uses.
"""

from rmr1 import parse_verdict
from rmr1.verdicts.grounding import is_grounded

QUESTION = "Write a birthday wish for my gardening aunt."
ANSWER_A = "May your roses bloom and your weeds sleep in. Happy birthday, Aunt Ida!"
TEXT = """<type>Chat</type>
<rubric>
1. Personal (60%): it is about gardening and about her.
2. Short enough for a card (40%)
<justify>A wish is personal first.</justify>
</rubric>
<eval>
<quote_A>May your roses bloom</quote_A> is for a gardener.
<quote_A>with love from the greenhouse</quote_A>
<summary_B>Chatbot B wishes a happy birthday and nothing more.</summary_B>
</eval>
<answer>[[A]]</answer>"""

verdict = parse_verdict(TEXT)
print("winner:", verdict.winner, "· task:", verdict.trace.task_type)
for item in verdict.trace.rubric:
    print(f"  {item.weight:.0%}  {item.text}")
for quote in verdict.trace.quotes:
    print(
        "  quote:",
        quote.text,
        "->",
        "stands in the answer" if is_grounded(quote.text, ANSWER_A) else "INVENTED",
    )

cut_off = parse_verdict(TEXT[:200])
print("the same text cut off:", cut_off.winner, f"({cut_off.problem})")
