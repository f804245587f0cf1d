"""What of an answer's form is Markdown: headings, items of lists, bold; counted, not rendered."""

from __future__ import annotations

import re

HEADING = re.compile(r"^ {0,3}#{1,6} \S", re.M)
LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.M)
BOLD = re.compile(r"\*\*(?=\S)[^*\n]{1,200}(?<=\S)\*\*|(?<!\w)__(?=\S)[^_\n]{1,200}(?<=\S)__(?!\w)")


def count_marks(text: str) -> int:
    """Headings, items of lists and pieces in bold.

    >>> count_marks("# Steps\\n1. **Wash** it\\n2. Dry it")
    4
    """
    return sum(sum(1 for _ in form.finditer(text)) for form in (HEADING, LIST_ITEM, BOLD))
