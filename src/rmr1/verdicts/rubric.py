"""The inside of a `<rubric>` block -> criteria with weights.

A criterion is a numbered or bulleted line, a line without marker that has a weight, a row of a
markdown table, or an `<item weight="...">` element. What belongs to it:

- Lines indented deeper than its own, bullets under a numbered line or under a heading, and unmarked
  lines up to the next blank one are part of its text, joined by newlines; a line that only says
  "Weight: 40%" gives it its weight.
- A line without weight over deeper lines that have weights is a heading, not a criterion.
- Its text is without marker, bold marks and the weight; a weight that is not usable (150%, 3/0)
  stays in the text and the item has none.

Weights are written as "(40%)", "[weight: 3]", "(25/100)", "(5 points)", "- 30%", "weight: 0.4",
"40% - ...", "0.4 - ...". Every pattern has bounded repeats and looks at the head of a line only, so
the time is linear in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rmr1.records import RubricItem

_HEAD_CHARS = 300
"""How far into a line a marker and a weight are looked for."""

_FLAGS = re.IGNORECASE | re.ASCII
_NUMBER = r"(?<![\d.])(\d{1,4}(?:\.\d{1,6})?|\.\d{1,6})(?![\d]|\.\d)"
_UNIT = r"(?:\s?(%|percent\b|points?\b|pts?\b)|\s?/\s?(\d{1,4})(?![\d.])|\s(?:out\s)?of\s(\d{1,4})(?![\d.]))?"
_AMOUNT = _NUMBER + _UNIT
_WORD = r"weight(?:ing|age)?"
_OF = r"\s{0,3}[*_]{0,2}\s{0,3}(?:[:=]|\bis\b|\bof\b)?\s{0,3}[*_]{0,2}\s{0,3}"

_MARKER = re.compile(r"(?:[-*+\u2022]|(\(?\d{1,3}[.):]|[A-Za-z][.)]))(?:\s{1,8}|$)")
_BRACKETED = re.compile(
    rf"\s{{0,8}}[(\[{{]\s{{0,3}}({_WORD}{_OF})?{_AMOUNT}(\s{{0,3}}(?:of\s)?(?:the\s|total\s){{0,2}}{_WORD})?\s{{0,3}}[)\]}}]",
    _FLAGS,
)
_NAMED = re.compile(rf"[\s,;|\u2013\u2014-]{{0,8}}\b{_WORD}{_OF}{_AMOUNT}", _FLAGS)
_AFTER_DASH = re.compile(
    rf"(?:\s{{1,8}}[-\u2013\u2014|]|\s{{0,8}}[:=])[*_]{{0,2}}\s{{0,3}}[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}(?=\s{{0,3}}(?:$|[:;,.]))",
    _FLAGS,
)
_LEADING = re.compile(rf"[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}\s{{0,3}}([-\u2013\u2014:|]\s{{1,3}})?", _FLAGS)
_ONLY_WEIGHT = re.compile(rf"[*_]{{0,2}}{_WORD}{_OF}{_AMOUNT}[*_.\s]{{0,4}}", _FLAGS)
_CELL = re.compile(rf"[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}", _FLAGS)
_ELEMENT = re.compile(r"<(/?)(?:item|criterion|rubric_item)\b([^<>]{0,300})>", _FLAGS)
_ATTRIBUTE = re.compile(r"\b(name|title|weight)\s{0,3}=\s{0,3}[\"']([^\"']{0,200})[\"']", _FLAGS)
_DIGIT = re.compile(r"\d", re.ASCII)
_RULE_CELL = re.compile(r":?-{1,80}:?")


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A criterion while its lines are read."""

    indent: int
    marker: str
    """"number", "bullet" or "" (a line with a weight and no marker)."""
    weight: float | None
    lines: list[str] = field(default_factory=list)


def parse_rubric(text: str) -> tuple[RubricItem, ...]:
    """The criteria of a rubric, in order; none is invented where no line has the form of one."""
    elements = list(_ELEMENT.finditer(text))
    if any(not element.group(1) for element in elements):
        return tuple(item for item in _read_elements(text, elements) if item.text)
    drafts: list[_Draft] = []
    table: list[list[str]] = []
    items: list[RubricItem] = []
    is_open = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("|"):
            table.append([cell.strip() for cell in stripped.strip("|").split("|")])
            continue
        if not stripped:
            is_open = False
            continue
        indent = len(line) - len(line.lstrip())
        current = drafts[-1] if drafts else None
        marker, content = _split_marker(stripped)
        if current is not None and current.weight is None:
            current.weight = _read_only_weight(content)
            if current.weight is not None:
                continue
        weight, rest = _cut_weight(content, is_marked=bool(marker))
        if current is not None and _is_child(current, indent, marker, weight):
            if weight is not None and marker and current.weight is None and indent > current.indent:
                if len(current.lines) == 1:
                    drafts.pop()  # a heading over weighted criteria
            else:
                current.lines.append(stripped)
                is_open = True
                continue
        if marker or weight is not None:
            drafts.append(_Draft(indent=indent, marker=marker, weight=weight, lines=[rest]))
            is_open = True
        elif current is not None and is_open:
            current.lines.append(stripped)
    for draft in drafts:
        cleaned = _clean("\n".join(draft.lines))
        if cleaned:
            items.append(RubricItem(text=cleaned, weight=draft.weight))
    return tuple(items) + tuple(_read_table(table))


def _is_child(current: _Draft, indent: int, marker: str, weight: float | None) -> bool:
    if indent > current.indent:
        return True
    if indent < current.indent or marker != "bullet":
        return False
    if current.marker == "number":
        return True
    return current.marker == "" and weight is None


def _read_only_weight(content: str) -> float | None:
    """The weight on a line that says nothing else: "Weight: 40%"."""
    if len(content) > _HEAD_CHARS or not _DIGIT.search(content):
        return None
    found = _ONLY_WEIGHT.fullmatch(content)
    return None if found is None else _to_weight(found.groups(), is_named=True)


def _split_marker(line: str) -> tuple[str, str]:
    """("number" | "bullet" | "", the rest). Bold may open before a number: `**1. Accuracy**`."""
    opening = "**" if line.startswith("**") else ""
    found = _MARKER.match(line[len(opening) : len(opening) + 20])
    if found is None:
        return "", line
    if opening and found.group(1) is None:
        return "", line
    content = opening + line[len(opening) + found.end() :]
    return ("number" if found.group(1) else "bullet"), content.lstrip()


def _cut_weight(content: str, *, is_marked: bool) -> tuple[float | None, str]:
    """The weight of a line's criterion and the line without it."""
    head, tail = content[:_HEAD_CHARS], content[_HEAD_CHARS:]
    if not _DIGIT.search(head):
        return None, content
    if not is_marked:
        # Without a marker it is prose unless the weight stands in the line's name.
        name, colon, description = head.partition(":")
        if colon and len(name) <= 80 and _BRACKETED.search(name):
            head, tail = name, colon + description + tail
        elif len(content) > 120:
            return None, content
    found = _LEADING.match(head)
    if found is not None and found.end() < len(head) and (is_marked or found.group(5)):
        weight = _to_weight(found.groups()[:4], is_named=False)
        if weight is not None:
            return weight, head[found.end() :] + tail
    for pattern in (_BRACKETED, _NAMED, _AFTER_DASH):
        if pattern is not _BRACKETED and not is_marked and head.rstrip()[-1:] in ".!?":
            continue
        for found in pattern.finditer(head):
            groups = found.groups()
            is_named = pattern is _NAMED
            if pattern is _BRACKETED:
                is_named = groups[0] is not None or groups[-1] is not None
                groups = groups[1:-1]
            weight = _to_weight(groups, is_named=is_named)
            if weight is not None:
                return weight, head[: found.start()] + head[found.end() :] + tail
    return None, content


def _to_weight(groups: tuple[str | None, ...], *, is_named: bool) -> float | None:
    """From `_AMOUNT`'s groups; a bare number counts where "weight" is said, else only a fraction."""
    number, unit, *denominators = groups
    value = float(number or 0)
    denominator = next((float(part) for part in denominators if part is not None), None)
    if unit is not None and unit.lower() in ("%", "percent"):
        denominator = 100.0
    if denominator is not None:
        return round(value / denominator, 6) if denominator and value <= denominator else None
    if unit is not None or is_named:
        return value
    return value if "." in (number or "") and value <= 1 else None


def _clean(text: str) -> str:
    """Without bold marks, and without the blanks and dashes that a removed weight leaves."""
    head, *rest = text.replace("**", "").split("\n")
    if " :" in head:
        name, _, description = head.partition(":")
        head = name.rstrip() + ":" + description
    head = head.strip(" \t-\u2013\u2014|,;")
    if not rest:
        head = head.removesuffix(":").rstrip()
    return "\n".join([head, *rest]).strip()


def _read_elements(text: str, elements: list[re.Match[str]]) -> list[RubricItem]:
    items = []
    for index, element in enumerate(elements):
        if element.group(1):
            continue
        end = elements[index + 1].start() if index + 1 < len(elements) else len(text)
        attributes = {key.lower(): value for key, value in _ATTRIBUTE.findall(element.group(2))}
        content = text[element.end() : end].strip()
        found = _CELL.fullmatch(attributes.get("weight", "").strip())
        if found is not None:
            weight = _to_weight(found.groups(), is_named=True)
        else:
            weight, content = _cut_weight(_split_marker(content)[1], is_marked=True)
        name = attributes.get("name") or attributes.get("title")
        parts = [part for part in (name, _clean(content)) if part]
        items.append(RubricItem(text=": ".join(parts), weight=weight))
    return items


def _read_table(rows: list[list[str]]) -> list[RubricItem]:
    """Rows of a markdown table; the row over the ruled line is its header."""
    header: list[str] = []
    body: list[list[str]] = []
    for row in rows:
        if all(_RULE_CELL.fullmatch(cell[:100]) for cell in row):
            header = [cell.lower() for cell in body.pop()] if body else []
        else:
            body.append(row)
    items = []
    for row in body:
        weight: float | None = None
        words: list[str] = []
        for column, cell in enumerate(row):
            found = _CELL.fullmatch(cell[:100])
            if found is None:
                words.append(cell)
                continue
            is_named = column < len(header) and "weight" in header[column]
            value = _to_weight(found.groups(), is_named=is_named)
            if value is not None and weight is None:
                weight = value
        text = _clean(": ".join(word for word in words if word))
        if text:
            items.append(RubricItem(text=text, weight=weight))
    return items
