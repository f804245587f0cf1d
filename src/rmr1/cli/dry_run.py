"""`--dry-run`: what a judging run would do and cost, with every assumption named. Nothing is run.

No weights are loaded, no request is sent and no folder is written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rmr1.cli.usage import format_usd
from rmr1.doctor import format_bytes
from rmr1.errors import ConfigError
from rmr1.forecast.prices import compute_cost
from rmr1.forecast.speed import CALLS_PER_LAYER, MATMUL_SHARE
from rmr1.judge.config import JudgeConfig
from rmr1.judge.estimate import (
    BYTES_PER_TOKEN,
    CHARS_PER_TOKEN,
    DEFAULT_TEXT_TOKENS,
    RECORD_BYTES,
    SERVER_FIRST_SECONDS,
    SERVER_TOKENS_PER_SECOND,
    StoredRun,
    Work,
    compute_server_seconds,
    measure_work,
    read_stored_run,
)
from rmr1.judge.plan import JudgePlan, plan_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import PreferencePair
from rmr1.screen import print
from rmr1.store.identity import refuse_differences
from rmr1.store.runs import (
    JUDGMENTS_FILE,
    RUN_FILE,
    Keys,
    read_description,
    read_finished,
    refuse_other_items,
)

_LEAST_SHOWN_BYTES = 1 << 17


def print_dry_run(
    arguments: argparse.Namespace,
    config: JudgeConfig,
    settings: JudgeSettings,
    pairs: Iterable[PreferencePair],
    *,
    data: Callable[[], Mapping[str, Any]] | None = None,
    keys: Keys | None = None,
) -> int:
    """Count, estimate and print; returns the exit code.

    `data` gives the data section of run.json, `keys` the items, if the data are known by them instead.

    Raises:
        RunError: the folder holds a run that was made in another way.
        ConfigError, CheckpointError, DataError: as the run itself would.
    """
    if arguments.expect_tokens is not None and arguments.expect_tokens < 1:
        raise ConfigError(f"--expect-tokens {arguments.expect_tokens}: expected at least 1")
    plan = plan_judge(config.model, family=config.family, settings=settings, options=config.engine)
    stored = None
    if arguments.output is not None and (Path(arguments.output) / RUN_FILE).is_file():
        folder = Path(arguments.output)
        source = None if data is None else data()
        by_bytes = {} if source is None or keys is not None else {"data": source}
        _check_stored(folder, {**plan.sections, **by_bytes})
        if keys is not None:
            refuse_other_items(
                folder, keys, finished=read_finished(folder / JUDGMENTS_FILE).keys, data=source
            )
        stored = read_stored_run(folder, retry_failed=arguments.retry_failed)
    expected, reason = _expect_tokens(settings.sampling.max_new_tokens, stored, arguments.expect_tokens)
    if plan.kind == "scalar":
        work = Work(num_samples=0, max_new_tokens=0, expected_tokens=0)
    else:
        sampling = settings.sampling
        work = Work(
            num_samples=sampling.num_samples,
            max_new_tokens=sampling.max_new_tokens,
            expected_tokens=expected,
        )
    forecast = plan.forecast(num_samples=work.num_samples or 1, expected_tokens=work.expected_tokens)
    measure_work(
        pairs,
        plan.counter,
        work,
        stored=stored,
        on_prompt=None if forecast is None else lambda size: forecast.add(size.tokens or 0, size.room),
    )
    seconds = None
    if forecast is not None:
        seconds = forecast.seconds()
    elif plan.pace is not None:
        seconds = compute_server_seconds(work, plan.pace)
    figures = _collect(plan, work, stored, seconds)
    figures["assumptions"] = _list_assumptions(plan, work, stored, reason)
    if arguments.json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        _print_figures(plan, work, stored, settings, figures)
    return 0


def _check_stored(folder: Path, sections: Mapping[str, Any]) -> None:
    """Refuse a folder that the run itself would refuse; only what is known without the model is compared."""
    stored = read_description(folder)
    known = {
        name: {key: (stored.get(name) or {}).get(key) for key in section}
        for name, section in sections.items()
    }
    refuse_differences(folder, known, sections)


def _expect_tokens(most: int, stored: StoredRun | None, given: int | None) -> tuple[float, str]:
    """The length of a text, and where it is from."""
    if given is not None:
        return min(given, most), "as --expect-tokens says"
    if stored is not None and stored.mean_tokens:
        return min(stored.mean_tokens, most), f"the mean of the {stored.num_texts:,} texts in {stored.folder}"
    if most < DEFAULT_TEXT_TOKENS:
        return most, "the limit of --max-new-tokens"
    return DEFAULT_TEXT_TOKENS, "a guess; --expect-tokens N is another"


def _collect(plan: JudgePlan, work: Work, stored: StoredRun | None, seconds: float | None) -> dict[str, Any]:
    """All figures as plain JSON values."""
    figures: dict[str, Any] = {"model": plan.name, **work.describe()}
    if figures["prompt_tokens"] is not None:
        figures["prompt_tokens"]["counted_by"] = "characters" if plan.kind == "server" else "tokenizer"
    figures["limit"] = plan.limit
    figures["text_tokens"] = round(work.expected_tokens, 1)
    figures["seconds"] = None if seconds is None else float(f"{seconds:.3g}")
    figures["cost_usd"] = None
    if plan.price is not None:
        figures["cost_usd"] = {
            name: round(
                compute_cost(plan.price, prompt_tokens=work.asked_tokens, completion_tokens=tokens), 6
            )
            for name, tokens in (
                ("expected", round(work.expected_completion_tokens)),
                ("most", work.most_completion_tokens),
            )
        }
    num_bytes = work.stored_bytes
    if stored is not None and stored.num_items:
        num_bytes = stored.num_bytes / stored.num_items * (work.items - work.finished)
    figures["disk_bytes"] = round(num_bytes)
    if plan.speed is not None:
        figures["machine"] = {
            "device": plan.speed.device,
            "dtype": plan.speed.dtype,
            "flops_per_second": round(plan.speed.flops_per_second),
            "bytes_per_second": round(plan.speed.bytes_per_second),
            "call_seconds": plan.speed.call_seconds,
        }
    return figures


def _list_assumptions(plan: JudgePlan, work: Work, stored: StoredRun | None, reason: str) -> list[str]:
    lines = []
    if plan.kind not in ("recorded", "scalar"):
        lines.append(f"a text has {work.expected_tokens:,.0f} tokens: {reason}")
    if plan.kind == "server":
        lines.append(
            f"a token has {CHARS_PER_TOKEN} characters: the server's tokenizer and context limit are not known here"
        )
    if plan.outline is not None and plan.speed is not None:
        shape, speed = plan.outline.shape, plan.speed
        lines += [
            f"{speed.device} was measured just now in {speed.dtype}: matrix product "
            f"{speed.flops_per_second / 1e9:,.0f} GFLOP/s, memory copy {speed.bytes_per_second / 1e9:,.1f} GB/s, "
            f"small call {speed.call_seconds * 1e6:,.1f} us",
            f"the model, {shape.num_parameters / 1e6:,.1f}M parameters, reaches {MATMUL_SHARE:.0%} of that matrix speed, "
            f"and a step of all rows takes {CALLS_PER_LAYER} small calls a layer; loading it is left out",
        ]
        if plan.kind == "transformers":
            lines.append(
                "a batch lasts until its longest of R texts ends, taken as 1 + ln(R) / 3 times the mean"
            )
        if plan.kind == "vllm":
            lines.append("vLLM computes every prompt: what its prefix cache saves is left out")
    if plan.pace is not None:
        limits = [f"{plan.pace.concurrency} requests at a time"]
        if plan.pace.requests_per_minute:
            limits.append(f"{plan.pace.requests_per_minute:,g} requests a minute")
        if plan.pace.tokens_per_minute:
            limits.append(f"{plan.pace.tokens_per_minute:,g} tokens a minute")
        lines.append(
            f"the server writes {SERVER_TOKENS_PER_SECOND:g} tokens/s of a text after {SERVER_FIRST_SECONDS:g} s, "
            f"takes {', '.join(limits)}, and all samples of a prompt in one request"
        )
    if plan.price is not None:
        lines.append(
            f"a million tokens cost {plan.price.prompt:g} USD read and {plan.price.completion:g} USD written; "
            "no discounts, no tries that fail"
        )
    if stored is not None and stored.num_items:
        lines.append(f"an item takes the disk space of those in {stored.folder}")
    else:
        lines.append(
            f"the run folder takes the pairs, {BYTES_PER_TOKEN} bytes a token and {RECORD_BYTES} a text"
            + (f", {work.expected_tokens:,.0f} tokens each" if plan.kind == "recorded" else "")
        )
    return lines


def _print_figures(
    plan: JudgePlan,
    work: Work,
    stored: StoredRun | None,
    settings: JudgeSettings,
    figures: Mapping[str, Any],
) -> None:
    rows = [("items", f"{work.items:,}")]
    if stored is not None:
        rows[0] = ("items", f"{work.items:,}, of them {work.finished:,} finished in {stored.folder}")
    if plan.kind == "scalar":
        rows.append(("prompts", f"{work.prompts:,} (one for each answer)"))
    else:
        rows.append(("prompts", f"{work.prompts:,} (order {settings.order})"))
        rows.append(("texts", f"{work.texts:,} ({work.num_samples} a prompt)"))
    if work.overlong:
        fate = "the run would end" if plan.options.get("on_overlong") == "fail" else "skipped"
        rows.append(("over the limit", f"{work.overlong:,} prompts, limit {plan.limit:,} tokens: {fate}"))
    elif plan.limit is not None:
        rows.append(("over the limit", f"none, limit {plan.limit:,} tokens"))
    if work.short:
        rows.append(
            ("less room", f"{work.short:,} prompts leave less than {work.max_new_tokens:,} tokens for a text")
        )
    if work.failed:
        rows.append(("cannot be asked", f"{work.failed:,} prompts that the chat template refuses"))
    if not work.prompts:
        rows.append(("tokens", "none: nothing is left to do"))
    elif figures["prompt_tokens"] is None:
        rows.append(("tokens", "not counted: nothing is computed"))
    else:
        how = "estimated" if plan.kind == "server" else "counted"
        spread = f"median {work.median_tokens:,}, longest {work.longest_tokens:,}"
        rows.append(("prompt tokens", f"{work.prompt_tokens:,} {how} ({spread})"))
        if plan.kind != "scalar":
            expected = f"{work.expected_completion_tokens:,.0f} if a text has {work.expected_tokens:,.0f}"
            rows.append(("text tokens", f"about {expected}; at most {work.most_completion_tokens:,}"))
    if figures["seconds"] is not None:
        rows.append(("time", f"about {format_rough(figures['seconds'])}; rough"))
    if plan.pace is not None:
        cost = figures["cost_usd"]
        rows.append(
            ("cost", "not known: no list price of this model; set engine.price_in and engine.price_out")
            if cost is None
            else ("cost", f"about {format_usd(cost['expected'])}; at most {format_usd(cost['most'])}")
        )
    size = max(figures["disk_bytes"], _LEAST_SHOWN_BYTES)
    rows.append(("disk", f"{'about' if size > _LEAST_SHOWN_BYTES else 'at most'} {format_bytes(size)}"))
    print("Dry run: nothing was loaded, sent or written.\n")
    for label, text in rows:
        print(f"{label:<16} {text}")
    print("\nAssumptions")
    for line in figures["assumptions"]:
        print(f"- {line}")


def format_rough(seconds: float) -> str:
    """A time to two digits: `45 s`, `12 min`, `3.2 h`, `4.1 days`.

    >>> format_rough(2520)
    '42 min'
    """
    for unit, size, least in (("days", 86_400, 2), ("h", 3600, 1.5), ("min", 60, 1.5)):
        if seconds >= least * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1g} s"
