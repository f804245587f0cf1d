"""The data card: the figures of `rmr1.curate.figures` for people, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmr1.curate.contamination import KINDS
from rmr1.curate.figures import TEXTS
from rmr1.curate.filters import ABOUT, REASONS
from rmr1.screen import markdown_text


def format_card(description: Mapping[str, Any]) -> str:
    """The card of what curate.json says."""
    counts, recipe = description["counts"], description["recipe"]
    parts = [
        _format_head(description),
        _format_sources(counts),
        _format_dropped(counts),
        _format_bad_rows(counts),
        _format_benchmarks(counts, recipe),
        _format_splits(counts, recipe),
        _format_lengths(counts),
        _format_languages(counts),
        _format_inputs(description),
    ]
    return "\n".join(part for part in parts if part)


def _format_head(description: Mapping[str, Any]) -> str:
    counts, versions = description["counts"], description["versions"]
    splits = ", ".join(f"{one['pairs']:,} in {name}" for name, one in counts["splits"].items())
    lines = [
        "# Data card",
        "",
        f"{counts['kept']:,} preference pairs of {counts['total']['prompts']:,} prompts ({splits}), out of "
        f"{counts['read']:,} that were read from {len(counts['sources'])} sources; {counts['unreadable']:,} rows "
        f"could not be read. Seed {description['recipe']['seed']}, rmr1 {versions['rmr1']}. "
        "`curate.json` holds the recipe and every figure, `dropped.jsonl` every pair that is not here and why.",
        "",
    ]
    lines += [f"- Note: {markdown_text(note)}" for note in counts["notes"]]
    return "\n".join(lines + [""] * bool(counts["notes"]))


def source_rows(counts: Mapping[str, Any], total: str) -> list[list[Any]]:
    """The rows of each source, and under the name `total` of all: read, bad rows, dropped, kept, and each split."""
    rows = [
        [
            name,
            one["read"],
            one["unreadable"],
            sum(one["dropped"].values()) - one["unreadable"],
            one["kept"],
            *one["splits"].values(),
        ]
        for name, one in counts["sources"].items()
    ]
    return [*rows, [total, *(sum(row[at] for row in rows) for at in range(1, len(rows[0])))]]


def _format_sources(counts: Mapping[str, Any]) -> str:
    header = ["Source", "Read", "Bad rows", "Dropped", "Kept", *counts["splits"]]
    legend = "Read counts pairs; read = dropped + kept for every source."
    return _section("Sources", _table(header, source_rows(counts, "**all**")), legend)


def _format_dropped(counts: Mapping[str, Any]) -> str:
    names = list(counts["sources"])
    rows = [
        [f"{reason}: {ABOUT[reason]}", *(counts["sources"][name]["dropped"].get(reason, 0) for name in names)]
        for reason in REASONS
    ]
    rows = [[*row, sum(row[1:])] for row in rows if any(row[1:])]
    if not rows:
        return _section("What was dropped", "Nothing.\n")
    legend = "A pair is counted under the first reason that applies, in this order."
    return _section("What was dropped", _table(["Reason", *names, "all"], rows), legend)


def _format_bad_rows(counts: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: {markdown_text(row)}"
        for name, one in counts["sources"].items()
        for row in one.get("first_bad_rows", ())
    ]
    text = "".join(f"{line}\n" for line in lines)
    return _section("Rows that could not be read", text, "The first of each source.") if lines else ""


def _format_benchmarks(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    found = counts["benchmarks"]
    if not found:
        return _section("Overlap with benchmarks", "Not looked for: the recipe has no `[decontaminate]`.\n")
    length = recipe["decontaminate"]["ngram"]

    def figures(part: Mapping[str, Any]) -> list[int]:
        return [part["pairs"], part["prompts"], *(part["prompts_by_kind"][kind] for kind in KINDS)]

    rows, details = [], []
    for name, one in found.items():
        rows.append([name, one["prompts"], one["unreadable"], *figures(one["removed"])])
        details += [[source, name, *figures(part)] for source, part in one["sources"].items()]
    legend = (
        f"Pairs and different prompts with an overlap, whatever else would have dropped them; by the nearest kind: the same "
        f"prompt to the character, the same wording (also of one turn), {length} words in a row. One pair may overlap "
        "with several benchmarks."
    )
    header = ["Benchmark", "Its prompts", "Bad rows", "Pairs removed", "Prompts removed", *KINDS]
    text = _table(header, rows)
    if details:
        text += "\n" + _table(["Source", "Benchmark", "Pairs", "Prompts", *KINDS], details)
    if counts["not_compared_with"]:
        text += f"\nNot compared with: {', '.join(counts['not_compared_with'])}.\n"
    return _section("Overlap with benchmarks", text, legend)


def _format_splits(counts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    splits = {**counts["splits"], "**all**": {"pairs": counts["kept"], **counts["total"]}}
    rows = [
        [name, one["pairs"], one["prompts"], one["multi_turn"], *one["labels"].values()]
        for name, one in splits.items()
    ]
    groups = counts["prompt_groups"]
    legend = (
        f"Preferred sides: {recipe['sides']}. Splits are drawn by prompt: {groups['prompts']:,} prompts in "
        f"{groups['groups']:,} groups of prompts that are alike or continue each other; the largest has {groups['largest']:,}."
    )
    header = ["Split", "Pairs", "Prompts", "Multi-turn", "A preferred", "B preferred", "Ties", "No label"]
    return _section("Splits and sides", _table(header, rows), legend)


def _format_lengths(counts: Mapping[str, Any]) -> str:
    parts = []
    for unit in ("characters", "tokens"):
        rows = []
        for name, one in [*counts["sources"].items(), ("**all**", counts["total"])]:
            if unit not in one or one[unit]["prompt"] is None:
                continue
            quantiles = [
                " / ".join(f"{one[unit][text][at]:,}" for at in ("median", "p95", "max")) for text in TEXTS
            ]
            longer = one[unit]["preferred_longer"]
            rows.append([name, *quantiles, "–" if longer is None else f"{100 * longer:.1f}%"])
        if rows:
            header = ["Source", "Prompt", "Preferred", "Other", "Preferred is longer"]
            legend = "Median / 95% / longest, of what was kept."
            parts.append(_section(f"Lengths in {unit}", _table(header, rows), legend))
    return "\n".join(parts)


def _format_languages(counts: Mapping[str, Any]) -> str:
    rows = []
    for name, one in counts["sources"].items():
        # The codes are stored in their order.
        most = sorted(one.get("languages", {}).items(), key=lambda pair: -pair[1])[:8]
        if most:
            rows.append([name, ", ".join(f"{code} {number:,}" for code, number in most)])
    table = _table(["Source", "Likeliest language"], rows)
    legend = "Of the pairs that came to this filter, the last one."
    return _section("Languages", table, legend) if rows else ""


def _format_inputs(description: Mapping[str, Any]) -> str:
    rows = [
        [kind, name, ", ".join(str(one.get("sha256") or one.get("dataset"))[:40] for one in found)]
        for kind, named in description["inputs"].items()
        for name, found in named.items()
    ]
    return _section("Inputs", _table(["Kind", "Name", "SHA-256 or dataset"], rows))


def _section(title: str, text: str, legend: str = "") -> str:
    return f"## {title}\n\n" + (f"{legend}\n\n" if legend else "") + text


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    is_number = [all(isinstance(row[at], int) for row in rows) for at in range(len(header))]
    rule = ["---:" if one else "---" for one in is_number]
    cells = [[_cell(value) for value in line] for line in (header, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (cells[0], rule, *cells[1:]))


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else markdown_text(str(value))
