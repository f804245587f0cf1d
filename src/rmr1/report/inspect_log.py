"""Judgments -> a log of Inspect (inspect_ai), version 2 of its JSON form: `inspect view` and `read_eval_log` open it.

A sample is a judgment: the question is its input, the answers its choices, the deciding text its output, and
the score `verdict` says whether the winner is the label. Samples without a label have no score and do not count
in the accuracy.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import IO, Any

from rmr1.audit.quotes import answer_text
from rmr1.messages import Messages
from rmr1.records import Judgment
from rmr1.report.rows import clean, judgment_row
from rmr1.report.selection import Selection
from rmr1.store.codec import dumps
from rmr1.version import __version__

VERSION = 2
"""The number of the log's form, which inspect_ai 0.3 writes."""
SCORER = "verdict"

_STOPS = {"stop": "stop", "length": "max_tokens"}
_IN_SAMPLE = ("key", "question", "answer_a", "answer_b", "answer_c", "answer_d", "reasoning")
"""Columns of a row that the sample holds elsewhere."""


def write_inspect(selection: Selection, file: IO[bytes]) -> Counter[str]:
    """One JSON object. The run is read twice, because what is counted stands before the samples."""
    model = clean(selection.model_name)
    items = scored = right = prompt_tokens = completion_tokens = 0
    for _, judgment in selection:
        items += 1
        scored += judgment.correct is not None
        right += bool(judgment.correct)
        prompt_tokens += judgment.prompt_tokens
        completion_tokens += judgment.completion_tokens
    usage = {model: _usage(prompt_tokens, completion_tokens)}
    created = str(selection.description.get("created") or "1970-01-01T00:00:00+00:00")
    digest = hashlib.blake2b(dumps([str(selection.folder.name), created, model]), digest_size=11).hexdigest()
    metrics = {"accuracy": {"name": "accuracy", "value": right / scored}} if scored else {}
    score = {
        "name": SCORER,
        "scorer": SCORER,
        "scored_samples": scored,
        "unscored_samples": items - scored,
        "metrics": metrics,
    }
    head: dict[str, Any] = {
        "version": VERSION,
        "status": "success",
        "eval": {
            "eval_id": digest,
            "run_id": digest,
            "task_id": digest,
            "created": created,
            "task": "rmr1/judge",
            "dataset": {"name": clean(selection.folder.name), "samples": items},
            "model": model,
            "config": {},
            "packages": {"rmr1": __version__},
            "metadata": {"data": selection.description.get("data")},
        },
        "plan": {"name": "plan", "steps": []},
        "results": {"total_samples": items, "completed_samples": items, "scores": [score]},
        "stats": {"started_at": created, "completed_at": created, "model_usage": usage},
    }
    file.write(dumps(head)[:-1] + b',"samples":[')
    is_first = True
    for key, judgment in selection:
        file.write((b"\n" if is_first else b",\n") + dumps(_make_sample(key, judgment, model)))
        is_first = False
    file.write(b"\n]}\n")
    return Counter()


def _make_sample(key: str, judgment: Judgment, model: str) -> dict[str, Any]:
    row = judgment_row(key, judgment)
    deciding = judgment.deciding
    stop = "unknown" if deciding is None else _STOPS.get(deciding.generation.finish_reason, "unknown")
    said = {"role": "assistant", "content": row["reasoning"] or "", "source": "generate", "model": model}
    sample: dict[str, Any] = {
        "id": key,
        "epoch": 1,
        "input": _list_messages(judgment.pair.prompt),
        "choices": [clean(answer_text(response)) for response in judgment.pair.responses],
        "target": judgment.pair.label or "",
        "messages": [],
        "output": {
            "model": model,
            "choices": [{"message": said, "stop_reason": stop}],
            "usage": _usage(judgment.prompt_tokens, judgment.completion_tokens),
        },
        "metadata": {name: value for name, value in row.items() if name not in _IN_SAMPLE},
        "model_usage": {model: _usage(judgment.prompt_tokens, judgment.completion_tokens)},
        "total_time": judgment.seconds,
    }
    if judgment.correct is not None:
        value = "N" if judgment.winner is None else "C" if judgment.correct else "I"
        score = {"value": value, "answer": judgment.winner, "explanation": row["reasoning"]}
        sample["scores"] = {SCORER: score}
    return sample


def _list_messages(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "content": clean(message.text)} for message in messages]


def _usage(read: int, written: int) -> Mapping[str, int]:
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
