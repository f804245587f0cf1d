"""One curation from recipe to folder."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmr1.curate.card import format_card
from rmr1.curate.choose import Selection, choose
from rmr1.curate.contamination import build_index
from rmr1.curate.figures import count_all
from rmr1.curate.filters import Drop, Reason
from rmr1.curate.folder import CARD, DROPPED, SCAN, load_scan, new_folder, read_finished, save_scan
from rmr1.curate.inputs import CurateSource, find_benchmarks, find_sources
from rmr1.curate.recipe import CurateRecipe
from rmr1.curate.scan import Report, Scan, scan_sources
from rmr1.curate.similar import import_datasketch
from rmr1.curate.write import WritePlan, order_rows, place_sides, split_prompts, write_splits
from rmr1.errors import DataError
from rmr1.store.codec import dumps
from rmr1.store.fingerprint import fingerprint_source, hash_file
from rmr1.store.identity import list_versions
from rmr1.store.kinds import CURATION_FILE
from rmr1.store.replace import write_json, write_text

_LIBRARIES = ("rmr1", "numpy", "datasketch", "py3langid", "transformers", "tokenizers")


def run_curation(recipe: CurateRecipe, output: str | Path, *, report: Report | None = None) -> dict[str, Any]:
    """Curate into a folder; gives what its curate.json says, and `was_finished` where it was there already.

    Raises:
        ConfigError: the recipe asks for something that cannot be, or for a library that is not installed.
        DataError: a source cannot be read, is short, or nothing is left.
        RunError: the folder holds something else or cannot be written.
    """
    report = report or (lambda stage, done: None)
    folder = Path(output)
    if not folder.name or folder.name == "..":
        folder = folder.resolve()
    if recipe.duplicates.near or recipe.duplicates.prompts:
        import_datasketch()
    sources, benchmarks = find_sources(recipe), find_benchmarks(recipe)
    report("looking at the inputs", 0)
    inputs = {
        "sources": {one.name: [*map(fingerprint_source, one.paths)] for one in sources},
        "benchmarks": {name: [*map(fingerprint_source, paths)] for name, paths in benchmarks.items()},
    }
    values = recipe.model_dump(mode="json")
    finished = read_finished(folder, identify({"recipe": values, "inputs": inputs}), identify)
    if finished is not None:
        return {**finished, "was_finished": True}
    versions = {"python": platform.python_version(), **list_versions(_LIBRARIES)}
    said = json.dumps({"recipe": values, "inputs": inputs, "versions": versions})
    key = hashlib.sha256(said.encode()).hexdigest()
    with new_folder(folder, key) as part:
        counts = _curate(recipe, sources, benchmarks, part, key, report)
        description: dict[str, Any] = {
            "recipe": values,
            "inputs": inputs,
            "versions": versions,
            "counts": counts,
        }
        write_text(part / CARD, format_card(description))
        description["files"] = {
            file.name: hash_file(file) for file in sorted(part.iterdir()) if file.name != SCAN
        }
        write_json(part / CURATION_FILE, description, indent=1)
    return description


def identify(description: Mapping[str, Any]) -> dict[str, Any]:
    """What of a curate.json decides the result. Data are known by their contents, wherever they lie."""
    recipe = dict(description["recipe"])
    recipe.pop("root")
    # Sources and splits are compared in their order; an object of JSON has none.
    recipe["sources"] = {
        name: {**_deciding(one), "position": position}
        for position, (name, one) in enumerate(recipe["sources"].items())
    }
    recipe["splits"] = [[name, share] for name, share in recipe["splits"].items()]
    if recipe["decontaminate"] is not None:
        names = list(recipe["decontaminate"]["benchmarks"])
        recipe["decontaminate"] = {**recipe["decontaminate"], "benchmarks": names}
    return {"recipe": recipe, "inputs": description["inputs"]}


def _deciding(source: Mapping[str, Any]) -> dict[str, Any]:
    """All but where the data lie; labels that are not mapped are left out, as they were before there was a mapping."""
    return {
        key: value
        for key, value in source.items()
        if key != "data" and not (key == "label" and value is None)
    }


def _curate(
    recipe: CurateRecipe,
    sources: tuple[CurateSource, ...],
    benchmarks: Mapping[str, tuple[str, ...]],
    folder: Path,
    key: str,
    report: Report,
) -> dict[str, Any]:
    index = None
    if recipe.decontaminate is not None:
        index = build_index(
            benchmarks, recipe.decontaminate.ngram, lambda name: report(f"reading benchmark {name}", 0)
        )
    scan, dropped_bytes = load_scan(folder, key, recipe)
    if scan.tallies:
        report(f"going on: {len(scan.tallies)} of {len(sources)} sources are read", 0)
    else:
        save_scan(folder, key, scan, 0)
    (folder / DROPPED).touch()
    with (folder / DROPPED).open("r+b") as dropped:
        dropped.truncate(dropped_bytes)
        dropped.seek(dropped_bytes)

        def note(place: str, source: str, drop: Drop) -> None:
            row = {"id": place, "source": source, "reason": drop.reason}
            dropped.write(dumps(row if drop.detail is None else {**row, "detail": drop.detail}) + b"\n")

        def save() -> None:
            dropped.flush()
            save_scan(folder, key, scan, dropped.tell())

        scan_sources(recipe, sources, index, note, report, scan, save)
        columns = scan.table.columns()
        num_rows = {name: tally.read + tally.unreadable for name, tally in scan.tallies.items()}
        choice = choose(recipe, sources, scan.table, columns, num_rows, lambda stage: report(stage, 0))
        if not choice.order:
            raise DataError(_say_empty(scan, choice))
        report("sorting into splits", 0)
        groups = scan.table.group_prompts(recipe.duplicates.prompts)
        splits = split_prompts(bytes(scan.table.prompts), groups, recipe.shares, recipe.seed)
        plan = WritePlan(
            splits=tuple(recipe.shares),
            split_of={item: splits[int(columns.prompt[item])] for item in choice.order},
            swapped=place_sides(recipe, scan.table, columns, choice.order, splits),
            position=order_rows(choice.order, scan.table, mixed=recipe.order == "mixed", seed=recipe.seed),
        )
        write_splits(folder, sources, scan.table, columns, choice, plan, note, report)
    return count_all(sources, scan.tallies, columns, choice, plan, groups.roots(), index)


def _say_empty(scan: Scan, choice: Selection) -> str:
    reasons: Counter[Reason] = Counter()
    for tally in scan.tallies.values():
        reasons.update(tally.dropped)
    reasons.update(choice.reasons.values())
    read = sum(tally.read for tally in scan.tallies.values())
    most = reasons.most_common(4)
    told = ", ".join(f"{number:,} {reason}" for reason, number in most)
    advice = "loosen the filters"
    if most and most[0][0] == "unlabelled":
        advice = 'name the column that says which is preferred (columns = { label = "THEIRS" })'
    return f"nothing is left of {read:,} pairs ({told}); {advice}"
