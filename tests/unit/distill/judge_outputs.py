"""All judge texts of the shared data, whatever file they stand in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_judge_texts(shared: Path) -> Iterator[tuple[str, str]]:
    """(file, text) of every text that a judge wrote; score pairs without words are among them."""
    folder = shared / "data" / "judge-outputs"
    for path in sorted(folder.rglob("*.jsonl.gz")):
        name = path.relative_to(folder).as_posix()
        if name == "vicuna-blog/questions_answers.jsonl.gz":
            continue
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                for text in _texts(name.partition("/")[0], json.loads(line)):
                    if text.strip():
                        yield name, text
    published = shared / "data" / "rm-r1-published"
    for path in sorted(published.rglob("log_result/*.json")):
        for log in _walk(json.loads(path.read_text(encoding="utf-8"))):
            if isinstance(log, dict) and isinstance(log.get("answers"), str):
                yield path.name, log["answers"]
    for cell in json.loads((published / "demo_outputs.json").read_text(encoding="utf-8")):
        yield "demo_outputs.json", cell["text"]


def _texts(kind: str, row: dict[str, Any]) -> Iterator[str]:
    if kind == "judgebench":
        for judgment in row["judgments"]:
            inner = judgment.get("judgment") or {}
            for holder in (inner, judgment):
                for key in ("response", "raw_judge_A", "raw_judge_B"):
                    if isinstance(holder.get(key), str):
                        yield holder[key]
    elif kind == "llmbar":
        for value in _walk(row["results"]):
            if isinstance(value, dict) and "completion" in value:
                completion = value["completion"]
                yield completion[0] if isinstance(completion, list) else completion
    elif kind == "vicuna-blog":
        yield row["text"]
    elif kind == "alpaca_eval_cot":
        raw = row.get("raw_completion")
        if isinstance(raw, dict):
            yield str(raw.get("concise_explanation") or "")
        elif isinstance(raw, str):
            yield raw
    elif kind == "judgelrm":
        yield str(row.get("output") or "")


def _walk(value: Any) -> Iterator[Any]:
    yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _walk(child)
