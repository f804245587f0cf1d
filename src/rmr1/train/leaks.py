"""Prompts that give the verdict away, found before they are trained on.

A judge that reads the answer in its prompt learns nothing else. Two signs are looked for in what remains of
a prompt when the question and both answers are taken out: one side's mark more often than the other's, and
always the right side's (a hint to the teacher that was left in); and a wording that stands with one verdict only.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from rmr1.errors import DataError
from rmr1.prompts.blocks import parse_blocks
from rmr1.records import Messages

FEWEST = 20
"""Prompts of one wording that all have one verdict: by chance less than once in half a million."""


class LeakCheck:
    """Sees every row once, and says at the end."""

    def __init__(self) -> None:
        self._wordings: dict[bytes, Counter[str]] = {}
        self._hints: Counter[bool] = Counter()
        self._first: tuple[str | None, int | None] = (None, None)

    def add(self, messages: Messages, label: str | None, *, path: str | None, line: int | None) -> None:
        """Look at a conversation whose last turn says `label`."""
        if label not in ("A", "B"):
            return
        frame, is_parsed = _frame(messages[:-1])
        excess = frame.count(f"[[{label}]]") - frame.count(f"[[{'B' if label == 'A' else 'A'}]]")
        if excess:
            if not self._hints:
                self._first = path, line
            self._hints[excess > 0] += 1
        if is_parsed:
            digest = hashlib.blake2b(frame.encode(errors="surrogatepass"), digest_size=16).digest()
            self._wordings.setdefault(digest, Counter())[label] += 1

    def finish(self) -> None:
        """Look at all rows together.

        Raises:
            DataError: prompts name the verdict, or their wording tells it.
        """
        if self._hints[True] and not self._hints[False]:
            path, line = self._first
            raise DataError(
                f"the prompt holds the verdict: outside the question and the answers it marks the side that the "
                f"judge then names, here and wherever it marks one ({self._hints[True]} rows); take it out, or set "
                "data.check_prompts = false",
                path=path,
                line=line,
            )
        pure = [
            count
            for count in self._wordings.values()
            if count.total() >= FEWEST and len(count) == 1 and len(self._wordings) > 1
        ]
        if pure:
            label = next(iter(pure[0]))
            raise DataError(
                f"the prompts give the verdict away: {pure[0].total()} of one wording (question and answers left "
                f"out) all end in [[{label}]]; give all prompts the same wording, or set data.check_prompts = false"
            )


def _frame(messages: Messages) -> tuple[str, bool]:
    """The prompt without question and answers, and whether they could be told from the rest."""
    parts, is_parsed = [], False
    for message in messages:
        text = message.text
        if message.role == "user":
            try:
                blocks = parse_blocks(text)
            except DataError:
                pass
            else:
                text, is_parsed = f"{blocks.prefix}\n{blocks.suffix}", True
        parts.append(f"{message.role}: {text}")
    return "\n".join(parts), is_parsed
