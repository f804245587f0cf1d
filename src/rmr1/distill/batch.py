"""The OpenAI batch format: what a pass has still to ask as request files, and result files as its answers.

A request line is {"custom_id", "method", "url", "body"}; a result line {"custom_id", "response": {"status_code", "body"},
"error"}. Of results good ones are stored, and that a prompt was refused by moderation; the rest stays open. A custom_id is
`rmr1-PASS-KEY`, so files of both passes may be mixed and imported in any order, twice too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rmr1.data.files import scan_rows
from rmr1.distill.ask import PassSettings, Question, read_texts
from rmr1.distill.budget import parse_budget
from rmr1.distill.folder import claim_pass, open_pass
from rmr1.distill.recipe import DistillRecipe
from rmr1.distill.run import list_questions, pass_settings, start_meter
from rmr1.distill.teachers import find_teacher
from rmr1.engines.base import derive_seed
from rmr1.errors import ConfigError, DataError, GenerationError
from rmr1.faces import name_option
from rmr1.records import Generation
from rmr1.store.codec import dumps
from rmr1.store.replace import replacing, writing
from rmr1.store.runs import RunWriter

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Most bytes of one file; OpenAI takes 50,000 requests and 200 MB."""
ENDPOINT = "/v1/chat/completions"

_CUSTOM_ID = re.compile(r"rmr1-([12])-([0-9a-f]{32}(?:-\d{1,9})?)")
_REASONERS = re.compile(r"(?:.*/)?(?:o\d|gpt-5)(?:[-.].*)?")
"""OpenAI's reasoning models take no temperature, and call the length limit by another name. A live server is asked again in another
form; a batch cannot be."""
_MOST_SHOWN = 3


def export_requests(
    recipe: DistillRecipe,
    folder: Path,
    number: int,
    output: Path,
    *,
    force: bool = False,
    most_requests: int = MOST_REQUESTS,
    most_bytes: int = MOST_BYTES,
) -> dict[str, Any]:
    """Write what a pass has still to ask, to several numbered files if one may not hold it all. A budget does not limit
    it, because nobody stops a batch at one; the figures say the most that it can take."""
    settings = recipe.passes[number - 1]
    teacher = find_teacher(settings)
    if teacher.served is None:
        raise ConfigError(
            f"pass {number}: teacher {teacher.name!r} is asked directly; batch files are for batch:NAME and openai:NAME"
        )
    _refuse_existing(output, force)
    run_settings = pass_settings(recipe, number)
    meter = start_meter(recipe, folder, None if recipe.budget is None else parse_budget(recipe.budget))
    read = num_bytes = 0
    lines = Counter[Path]()
    files: list[Path] = []
    with (
        open_pass(folder, recipe, number) as run,
        writing(output, "choose another name", kind=ConfigError),
        ExitStack() as opened,
    ):
        claim_pass(folder, number, settings, teacher.identify() or {})
        for question in list_questions(recipe, folder, number, is_answered=run.is_finished):
            line = dumps(
                {
                    "custom_id": f"rmr1-{number}-{question.item.key}",
                    "method": "POST",
                    "url": ENDPOINT,
                    "body": _build_body(teacher.served, question, run_settings, teacher.options),
                }
            )
            if not files or lines[files[-1]] == most_requests or num_bytes + len(line) + 1 > most_bytes:
                opened.close()  # the file before is whole
                number_of_file = f"-{len(files) + 1}" if files else ""
                files.append(output.with_name(f"{output.stem}{number_of_file}{output.suffix}"))
                _refuse_existing(files[-1], force)
                file = opened.enter_context(opened.enter_context(replacing(files[-1])).open("wb"))
                num_bytes = 0
            file.write(line + b"\n")
            lines[files[-1]] += 1
            read += question.num_tokens
            num_bytes += len(line) + 1
    most = lines.total() * settings.samples * settings.max_new_tokens
    cost = teacher.cost(read, most)
    found: dict[str, Any] = {
        "pass": number,
        "model": teacher.served,
        "requests": lines.total(),
        "prompt_tokens": read,
        "completion_tokens": {"most": most},
        "cost_usd": None if cost is None else {"most": cost},
        "files": [{"path": str(path), "requests": lines[path]} for path in files],
    }
    if meter.budget is not None:
        found["budget"] = {**asdict(meter.budget), "spent": round(meter.spent, 6)}
    return found


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise ConfigError(f"{path} exists; choose another name or pass {name_option('force', True)}")


_KINDS = ("refused", "failed", "given_up", "repeated", "foreign", "unreadable")


@dataclass(slots=True, kw_only=True)
class ImportCounts:
    """What became of the lines of result files."""

    lines: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    """Texts that were stored, by pass."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Prompts that moderation `refused` for good, which is stored; results that `failed`, whose requests stay open, and
    of them the ones `given_up`, stored as failures instead; answers `repeated`; lines `foreign` to this folder; and lines
    `unreadable`, cut short as a rule."""
    shown: dict[str, list[str]] = field(default_factory=dict)
    """The first of each kind of trouble, for people."""

    def note(self, kind: str, text: str) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= _MOST_SHOWN:
            self.shown.setdefault(kind, []).append(text)

    def describe(self) -> dict[str, Any]:
        stored = {name: self.stored[name] for name in ("pass1", "pass2")}
        return {"lines": self.lines, "stored": stored, **{kind: self.kinds[kind] for kind in _KINDS}}


def import_results(
    recipe: DistillRecipe, folder: Path, paths: Sequence[Path], *, give_up: bool = False
) -> ImportCounts:
    """Store the answers of output and error files, whole or cut short; with `give_up` an error as the pair's failure, which
    drops the pair, instead of left open."""
    counts = ImportCounts()
    for path in paths:
        for number, rows in _read_results(path, recipe, counts).items():
            with open_pass(folder, recipe, number) as run:
                settings = recipe.passes[number - 1]
                claim_pass(folder, number, settings, find_teacher(settings).identify() or {})
                _store(recipe, folder, number, rows, run, counts, give_up=give_up)
    if counts.lines and counts.kinds["foreign"] + counts.kinds["unreadable"] == counts.lines:
        (first, *_), *_ = counts.shown.values()
        raise DataError(
            f"none of the {counts.lines} lines answers a request of {folder} (first: {first}); expected the output or error "
            "file of a batch made from rmr1 distill export",
            path=", ".join(map(str, paths)),
        )
    return counts


def _read_results(
    path: Path, recipe: DistillRecipe, counts: ImportCounts
) -> dict[int, dict[str, Mapping[str, Any]]]:
    """Lines of a file by pass and key."""
    found: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in scan_rows(path):
        counts.lines += 1
        if isinstance(row, DataError):
            counts.note("unreadable", str(row))
            continue
        name = row.data.get("custom_id")
        match = _CUSTOM_ID.fullmatch(name) if isinstance(name, str) else None
        if match is None or int(match[1]) > len(recipe.passes):
            counts.note("foreign", f"{row.path}:{row.line}: custom_id {name!r}")
            continue
        rows = found.setdefault(int(match[1]), {})
        before = rows.get(match[2])
        if before is not None:
            counts.kinds["repeated"] += 1
            if _read_error(before) is None:
                continue
        rows[match[2]] = row.data
    return found


def _store(
    recipe: DistillRecipe,
    folder: Path,
    number: int,
    rows: dict[str, Mapping[str, Any]],
    run: RunWriter,
    counts: ImportCounts,
    *,
    give_up: bool,
) -> None:
    settings = pass_settings(recipe, number)
    for key in [key for key in rows if run.is_finished(key)]:
        counts.kinds["repeated"] += 1
        del rows[key]
    for question in list_questions(recipe, folder, number, is_answered=lambda key: key not in rows):
        key = question.item.key
        row = rows.pop(key)
        try:
            generations = _read_generations(row, question, settings)
        except GenerationError as error:
            counts.note("failed", f"rmr1-{number}-{key}: {error}")
            if not give_up:
                continue
            counts.kinds["given_up"] += 1
            generations = _fail(str(error), settings)
        else:
            if all(one.is_refused for one in generations):
                counts.kinds["refused"] += 1
            else:
                counts.stored[f"pass{number}"] += 1
        run.append(key, read_texts(question.item, generations, settings))
    for key in rows:
        counts.note("foreign", f"custom_id 'rmr1-{number}-{key}'")


def _fail(reason: str, settings: PassSettings, *, is_refused: bool = False) -> tuple[Generation, ...]:
    failure = Generation(text="", finish_reason="error", error=reason, is_refused=is_refused)
    return (failure,) * settings.params.num_samples


def _build_body(
    model: str, question: Question, settings: PassSettings, options: Mapping[str, Any]
) -> dict[str, Any]:
    from rmr1.engines.openai.wire import Dialect, build_body, build_messages

    is_reasoner = _REASONERS.fullmatch(model.lower()) is not None
    fixed = options.get("use_max_completion_tokens")
    is_renamed = is_reasoner if fixed is None else bool(fixed)
    params = settings.params
    # A batch goes to a hosted API, which refuses the rows that hold what is not its own format's.
    refused = {"min_p", "repetition_penalty", *(() if params.top_k > 0 else ("top_k",))}
    refused |= {"temperature", "top_p", "top_k"} if is_reasoner else set()
    return build_body(
        model=model,
        messages=build_messages(question.prompt.messages),
        params=params,
        dialect=Dialect(refused=frozenset(refused | ({"max_tokens"} if is_renamed else set()))),
        num_choices=params.num_samples,
        seed=derive_seed(settings.sampling_seed(question.item), 0, bits=31)
        if params.temperature > 0
        else None,
        extra=options.get("extra_body"),
    )


def _read_error(row: Mapping[str, Any]) -> str | None:
    """What went wrong with a request; None where there is an answer."""
    error, response = row.get("error"), row.get("response")
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("code") or "an error without words")
    if error:
        return str(error)
    if not isinstance(response, Mapping):
        return "the line holds no response"
    status, body = response.get("status_code"), response.get("body")
    if status is not None and status != 200:
        inner = body.get("error") if isinstance(body, Mapping) else None
        said = (inner.get("message"), inner.get("code")) if isinstance(inner, Mapping) else (inner,)
        return f"HTTP {status}" + "".join(f": {one}" for one in said if one)
    return None if isinstance(body, Mapping) else "the response has no body"


def _read_generations(
    row: Mapping[str, Any], question: Question, settings: PassSettings
) -> tuple[Generation, ...]:
    """The texts of a result, or that the prompt was refused; a GenerationError if it holds neither."""
    from rmr1.engines.openai.problems import is_moderated
    from rmr1.engines.openai.wire import ReplyError, estimate_usage, one_line, read_generations, read_reply

    if (problem := _read_error(row)) is not None:
        if not is_moderated(problem):
            raise GenerationError(one_line(problem))
        return _fail(one_line(problem), settings, is_refused=True)
    try:
        reply = read_reply(dumps(row["response"]["body"]))
    except ReplyError as error:
        raise GenerationError(one_line(str(error))) from None
    reply = replace(reply, usage=reply.usage or estimate_usage(question.num_tokens, reply.choices))
    params, labels = settings.params, question.prompt.labels
    found = read_generations(reply, params, labels, num_choices=params.num_samples, model=reply.model)
    return tuple(found)
