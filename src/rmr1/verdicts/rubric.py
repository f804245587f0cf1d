"""The inside of a `<rubric>` block -> criteria with weights; docs/verdicts.md says which forms are read.

- Lines indented deeper than a criterion's own, bullets under a numbered line or under a heading, and unmarked
  lines up to the next blank one are part of its text, joined by newlines; a line that only says
  "Weight: 40%" gives it its weight.
- A line without weight over deeper lines that have weights is a heading, not a criterion.
- A criterion's text is without marker, bold marks and the weight; a weight that is not usable (150%, 3/0, the range
  30-40%) stays in the text and the item has none.

Every pattern has bounded repeats and looks at the head of a line only, so the time is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmr1.records import RubricItem
from rmr1.verdicts.mentions import narrow

_HEAD_CHARS = 300
"""How far into a line a marker and a weight are looked for."""

_FLAGS = re.IGNORECASE | re.ASCII
_ABOUT = r"(?:(?:[~≈∼]|about|approx\.?|approximately|around|roughly|ca\.|约|大约)\s?)?"
_NUMBER = r"(?<![\d.])(\d{1,4}(?:\.\d{1,6})?|\.\d{1,6})(?![\d]|\.\d)"
_UNIT = r"(?:\s?(%|percent\b|points?\b|pts?\b)|\s?/\s?(\d{1,4})(?![\d.])|\s(?:out\s)?of\s(\d{1,4})(?![\d.]))?"
_AMOUNT = _ABOUT + _NUMBER + _UNIT + r"(?!\s{0,2}(?:[-–—~]|to\b)\s{0,2}\d)"
_WORD = r"(?:\bweight(?:ing|age)?|权重)"
_OF = r"\s{0,3}[*_]{0,2}\s{0,3}(?:[:=]|\bis\b|\bof\b)?\s{0,3}[*_]{0,2}\s{0,3}"

_MARKER = re.compile(r"(?:[-*+•]|(\(?\d{1,3}[.):]|[A-Za-z][.)]))(?:\s{1,8}|$)")
_BRACKETED = re.compile(
    rf"\s{{0,8}}[(\[{{]\s{{0,3}}((?:{_WORD}|\b(?:worth|scores?|points)){_OF})?{_AMOUNT}(\s{{0,3}}(?:of\s)?(?:the\s|total\s){{0,2}}{_WORD})?\s{{0,3}}[)\]}}]",
    _FLAGS,
)
_NAMED = re.compile(rf"[\s,;|–—-]{{0,8}}{_WORD}{_OF}{_AMOUNT}", _FLAGS)
_AFTER_DASH = re.compile(
    rf"(?<![\d%])(?:\s{{1,8}}[-–—|]|\s{{0,8}}[:=])[*_]{{0,2}}\s{{0,3}}[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}(?=\s{{0,3}}(?:$|[:;,.]))",
    _FLAGS,
)
_LEADING = re.compile(rf"[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}\s{{0,3}}([-–—:|]\s{{1,3}})?", _FLAGS)
_ONLY_WEIGHT = re.compile(rf"[*_]{{0,2}}{_WORD}{_OF}{_AMOUNT}[*_.\s]{{0,4}}", _FLAGS)
_CELL = re.compile(rf"[*_]{{0,2}}{_AMOUNT}[*_]{{0,2}}", _FLAGS)
_ELEMENT = re.compile(r"<(/?)(?:item|criterion|rubric_item)\b([^<>]{0,300})>", _FLAGS)
_ATTRIBUTE = re.compile(r"\b(name|title|weight)\s{0,3}=\s{0,3}[\"']([^\"']{0,200})[\"']", _FLAGS)
_TRAILING = re.compile(rf"\s{_AMOUNT}[*_]{{0,2}}$", _FLAGS)
"""The weight at the end of one of several criteria on a line: "Accuracy 40%"."""
_TOTAL = re.compile(
    r"[*_\s]{0,4}(?:(?:grand\s)?total|sum)(?:\s(?:weights?|scores?|points))?[*_\s:]{0,4}|合计|总计|总和",
    _FLAGS,
)
_BETWEEN = re.compile(r"\s{0,4}(?:[,;]\s{0,4}(?:and|&)\s|[,;]|\s(?:and|&)\s)\s{0,4}", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
"""JSON can write half a character, which no file takes."""
_JSON_START = re.compile(r"^[ \t]{0,8}[\[{]", re.MULTILINE)
_JSON_WEIGHTS = ("weight", "percentage", "points")
_JSON_NAMES = ("name", "criterion", "title", "dimension", "aspect")
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
        items = _read_elements(text, elements)
    else:
        items = _read_json(text) or _read_lines(text)
    return tuple(_drop_total([item for item in items if item.text]))


def _drop_total(items: Sequence[RubricItem]) -> Iterator[RubricItem]:
    """All but what adds the others up: by its name, or as the whole beside two or more parts."""
    weights = [item.weight or 0.0 for item in items]
    total = sum(weights)
    for item, weight in zip(items, weights, strict=True):
        is_whole = weight == 1 and abs(total - 2) < 1e-6 and len(items) > 2
        if not (is_whole or (weight and len(items) > 1 and _TOTAL.fullmatch(item.text))):
            yield item


def _read_lines(text: str) -> list[RubricItem]:
    drafts: list[_Draft] = []
    table: list[list[str]] = []
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
            if len(content) <= _HEAD_CHARS:
                current.weight = _weigh(_ONLY_WEIGHT.fullmatch(narrow(content)))
            if current.weight is not None:
                continue
        parts = _split_parts(content) or [_cut_weight(content, is_marked=bool(marker))]
        weight, rest = parts[0]
        if weight is not None and drafts and _TOTAL.fullmatch(_clean(rest)):
            is_open = False
            continue
        if current is not None and _is_child(current, indent, marker, weight):
            if weight is not None and marker and current.weight is None and indent > current.indent:
                if len(current.lines) == 1:
                    drafts.pop()  # a heading over weighted criteria
            else:
                current.lines.append(stripped)
                is_open = True
                continue
        if marker or weight is not None:
            drafts += [
                _Draft(indent=indent, marker=marker, weight=one, lines=[words]) for one, words in parts
            ]
            is_open = True
        elif current is not None and is_open:
            current.lines.append(stripped)
    items = [RubricItem(text=_clean("\n".join(draft.lines)), weight=draft.weight) for draft in drafts]
    return items + _read_table(table)


def _split_parts(content: str) -> list[tuple[float | None, str]]:
    """Several criteria on one line, each with a weight of its own; none if one of them has none."""
    plain = narrow(content) if len(content) <= _HEAD_CHARS else ""
    if not _BETWEEN.search(plain):
        return []
    cuts = [0]
    for found in _BETWEEN.finditer(plain):
        before = plain[: found.start()]
        if before.count("(") == before.count(")"):
            cuts += found.span()
    cuts.append(len(content))
    is_prose = plain.endswith((".", "!", "?", "。"))
    parts: list[tuple[float | None, str]] = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=True):
        weight, rest = _cut_part(content[start:end].strip(" .。"), is_prose=is_prose)
        if weight is None or not _clean(rest):
            return []
        parts.append((weight, rest))
    if len(parts) < 2:
        return []
    # A name before the first one alone is the list's: "Criteria: Accuracy (40%), Tone (60%)".
    _, colon, first = parts[0][1].rpartition(":")
    if colon and _clean(first) and not any(":" in _clean(rest) for _, rest in parts[1:]):
        parts[0] = (parts[0][0], first)
    return parts


def _cut_part(part: str, *, is_prose: bool) -> tuple[float | None, str]:
    """The item without its weight, as `_cut_weight`, for one of several; in a sentence only a weight in brackets counts."""
    if is_prose and not _BRACKETED.search(narrow(part)):
        return None, part
    found = _TRAILING.search(narrow(part))
    if found is None:
        return _cut_weight(part, is_marked=True)
    return _weigh(found, is_named=False), part[: found.start()]


def _read_json(text: str) -> list[RubricItem]:
    """Criteria from JSON that begins a line: an object of weights, or a list of objects with a name each."""
    start = _JSON_START.search(text)
    if start is None:
        return []
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start.end() - 1)
    except (ValueError, RecursionError):
        return []
    while isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        if not isinstance(inner, list) and not (
            isinstance(inner, dict) and inner.keys().isdisjoint(_JSON_WEIGHTS)
        ):
            break
        value = inner
    entries = list(_find_entries(value))
    amounts = [amount for _, amount in entries]
    is_percent = all(type(amount) is int for amount in amounts) and (
        sum(amounts) == 100 or (sum(amounts) == 200 and 100 in amounts)
    )
    return [
        RubricItem(
            text=_clean(_SURROGATE.sub("\ufffd", words)), weight=_weigh_json(amount, is_percent=is_percent)
        )
        for words, amount in entries
    ]


def _find_entries(value: Any) -> Iterator[tuple[str, Any]]:
    """(text, weight as written) of each entry that has a name."""
    if isinstance(value, dict):
        value = [
            {"name": name, **inner} if isinstance(inner, dict) else {"name": name, "weight": inner}
            for name, inner in value.items()
        ]
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, str):
            weight, words = _cut_weight(entry, is_marked=True)
            yield words, weight
        elif isinstance(entry, dict):
            names = [entry[key] for key in _JSON_NAMES if isinstance(entry.get(key), str)]
            amount = next((entry[key] for key in _JSON_WEIGHTS if key in entry), None)
            described = entry.get("description")
            if isinstance(amount, str) and _weigh_json(amount, is_percent=False) is None:
                amount, described = None, amount
            if names:
                yield ": ".join(words for words in (names[0], described) if isinstance(words, str)), amount


def _weigh_json(amount: Any, *, is_percent: bool) -> float | None:
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        return None
    return _weigh(_CELL.fullmatch(narrow(str(amount)[:100]).strip() + "%" * is_percent))


def _is_child(current: _Draft, indent: int, marker: str, weight: float | None) -> bool:
    if indent != current.indent:
        return indent > current.indent
    is_below = current.marker == "number" or (current.marker == "" and weight is None)
    return marker == "bullet" and is_below


def _weigh(found: re.Match[str] | None, *, is_named: bool = True) -> float | None:
    return None if found is None else _to_weight(found.groups(), is_named=is_named)


def _split_marker(line: str) -> tuple[str, str]:
    """("number" | "bullet" | "", the rest). Bold may open before a number: `**1. Accuracy**`."""
    opening = "**" if line.startswith("**") else ""
    found = _MARKER.match(line[len(opening) : len(opening) + 20])
    if found is None or (opening and found[1] is None):
        return "", line
    content = opening + line[len(opening) + found.end() :]
    return ("number" if found[1] else "bullet"), content.lstrip()


def _cut_weight(content: str, *, is_marked: bool) -> tuple[float | None, str]:
    """The weight of a line's criterion and the line without it."""
    size = min(len(content), _HEAD_CHARS)
    plain = narrow(content)
    if not _DIGIT.search(plain, 0, size):
        return None, content
    if not is_marked:
        # Without a marker it is prose unless the weight stands in the line's name.
        colon = plain.find(":", 0, size)
        if 0 <= colon <= 80 and _BRACKETED.search(plain, 0, colon):
            size = colon
        elif len(content) > 120:
            return None, content
    head = plain[:size]
    found = _LEADING.match(head)
    if found is not None and found.end() < len(head) and (is_marked or found.group(5)):
        weight = _to_weight(found.groups()[:4], is_named=False)
        if weight is not None:
            return weight, content[found.end() :]
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
                return weight, content[: found.start()] + content[found.end() :]
    return None, content


def _to_weight(groups: tuple[str | None, ...], *, is_named: bool) -> float | None:
    """The weight that `_AMOUNT`'s groups hold; a bare number counts where "weight" is said, else only a fraction."""
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
    head = head.strip(" \t-–—|,;")
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
        weight = _weigh(found)
        if found is None:
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
            if weight is None:
                weight = _weigh(found, is_named=is_named)
        text = _clean(": ".join(word for word in words if word))
        if text:
            items.append(RubricItem(text=text, weight=weight))
    return items
