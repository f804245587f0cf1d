"""`--dry-run`: what a judging run would do and cost, with every assumption named. No weights are loaded, no request is sent and no folder is written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmr1.errors import ConfigError
from rmr1.forecast.machine import parse_machine
from rmr1.forecast.memory import CHARS_PER_TOKEN, MEMORY_SHARE
from rmr1.forecast.prices import compute_cost
from rmr1.judge.config import JudgeConfig
from rmr1.judge.estimate import (
    BYTES_PER_TOKEN,
    RECORD_BYTES,
    SERVER_FIRST_SECONDS,
    SERVER_TOKENS_PER_SECOND,
    PromptSize,
    StoredRun,
    Work,
    compute_server_seconds,
    expect_tokens,
    measure_work,
    read_stored_run,
)
from rmr1.judge.plan import JudgePlan, plan_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.records import PreferencePair
from rmr1.screen import format_bytes, format_gb, format_rough, format_usd, print, print_json
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
    arguments: Namespace,
    config: JudgeConfig,
    settings: JudgeSettings,
    pairs: Iterable[PreferencePair],
    *,
    data: Callable[[], Mapping[str, Any]] | None = None,
    keys: Keys | None = None,
) -> int:
    """Count, estimate and print; returns the exit code.

    `data` gives the data section of run.json, `keys` the items, if the data are known by them instead.
    """
    if config.cascade is not None:
        raise ConfigError(
            "how many pairs reach a cascade's stages is not known beforehand; estimate each stage alone"
        )
    given, sampling = check_expected(arguments), settings.sampling
    machine = None if arguments.machine is None else parse_machine(arguments.machine)
    plan = plan_judge(
        config.model, family=config.family, settings=settings, options=config.engine, machine=machine
    )
    stored = None
    if arguments.output is not None and (Path(arguments.output) / RUN_FILE).is_file():
        folder = Path(arguments.output)
        source = None if data is None else data()
        by_bytes = {} if source is None or keys is not None else {"data": source}
        # What the run itself would refuse; only what is known without the model is compared.
        sections, made = {**plan.sections, **by_bytes}, read_description(folder)
        known = {name: made.get(name) or {} for name in sections}
        before = {name: {key: known[name].get(key) for key in one} for name, one in sections.items()}
        refuse_differences(folder, before, sections)
        if keys is not None:
            finished = read_finished(folder / JUDGMENTS_FILE).keys
            refuse_other_items(folder, keys, finished=finished, data=source)
        stored = read_stored_run(folder, retry_failed=arguments.retry_failed)
    mean = None if stored is None else stored.mean_tokens
    where = "" if stored is None else f"the {stored.num_texts:,} texts in {stored.folder}"
    most = sum(plan.parts)
    expected, reason = expect_tokens(most, given=given, stored=mean, where=where)
    is_scalar = plan.kind == "scalar"
    work = Work(
        num_samples=0 if is_scalar else sampling.num_samples,
        max_new_tokens=most,
        expected_tokens=0 if is_scalar else expected,
    )
    each = work.expected_tokens / plan.num_written
    forecast = plan.forecast(num_samples=work.num_samples or 1, expected_tokens=each)

    def tell(size: PromptSize) -> None:
        if forecast is not None:
            for read, room in plan.list_passes(size, each):
                forecast.add(read, room)

    measure_work(pairs, plan.counter, work, stored=stored, on_prompt=tell)
    seconds = None if plan.pace is None else compute_server_seconds(work, plan.pace)
    figures = _collect(plan, work, stored, seconds if forecast is None else forecast.seconds())
    if forecast is not None:
        weights = forecast.decoder.weight_bytes * forecast.decoder.shape.parameters()
        figures["memory_bytes"] = round((weights + forecast.cache_bytes) / plan.num_devices)
    figures["assumptions"] = [*_list_assumptions(plan, work, stored, reason)]
    if arguments.json:
        print_json(figures)
        return 0
    print("Dry run: nothing was loaded, sent or written.\n")
    for label, text in _list_rows(plan, work, stored, settings.order, figures):
        print(f"{label:<16} {text}")
    print("\nAssumptions")
    for line in figures["assumptions"]:
        print(f"- {line}")
    return 0


def check_expected(arguments: Namespace) -> int | None:
    """The value of --expect-tokens."""
    tokens: int | None = arguments.expect_tokens
    if tokens is not None and tokens < 1:
        raise ConfigError(f"--expect-tokens {tokens}: expected at least 1")
    return tokens


def _collect(plan: JudgePlan, work: Work, stored: StoredRun | None, seconds: float | None) -> dict[str, Any]:
    figures: dict[str, Any] = {"model": plan.name, **work.describe()}
    if figures["prompt_tokens"] is not None:
        figures["prompt_tokens"]["counted_by"] = "characters" if plan.kind == "server" else "tokenizer"
    num_bytes, cost = work.stored_bytes, None
    if stored is not None and stored.num_items:
        num_bytes = stored.num_bytes / stored.num_items * (work.items - work.finished)
    if (price := plan.price) is not None:
        written = {"expected": round(work.expected_completion_tokens), "most": work.most_completion_tokens}
        cost = {
            name: round(compute_cost(price, prompt_tokens=work.asked_tokens, completion_tokens=count), 6)
            for name, count in written.items()
        }
    figures |= {
        "limit": plan.limit,
        "text_tokens": round(work.expected_tokens, 1),
        "seconds": None if seconds is None else float(f"{seconds:.3g}"),
        "cost_usd": cost,
        "disk_bytes": round(num_bytes),
    }
    if plan.outline is not None:
        machine = plan.outline.decoder.machine
        figures["machine"] = {
            "device": machine.name,
            "dtype": str(plan.outline.dtype).removeprefix("torch."),
            "flops_per_second": round(machine.get_flops(is_fp32=plan.outline.decoder.is_fp32)),
            "bytes_per_second": round(machine.bytes_per_second),
            "call_seconds": machine.call_seconds,
        }
    return figures


def _list_assumptions(plan: JudgePlan, work: Work, stored: StoredRun | None, reason: str) -> Iterator[str]:
    if plan.kind not in ("recorded", "scalar"):
        yield f"a text has {work.expected_tokens:,.0f} tokens: {reason}"
    if len(plan.parts) > 1:
        *others, last = plan.parts
        again = {
            "transformers": ", each of which reads again what stands before it",
            "vllm": ", each of which finds in the prefix cache what stands before it",
        }
        listed = f"{', '.join(map(str, others))} and {last}"
        yield f"a guided text is written in parts of at most {listed} tokens{again.get(plan.kind, '')}"
    if plan.kind == "server":
        yield f"a token has {CHARS_PER_TOKEN} characters: the server's tokenizer and context limit are not known here"
    if plan.outline is not None:
        yield from plan.outline.decoder.list_assumptions(str(plan.outline.dtype), is_flow=plan.kind == "vllm")
    if plan.kind == "transformers":
        yield "a batch lasts until its longest of R texts ends, taken as 1 + ln(R) / 3 times the mean"
    if plan.kind == "vllm":
        yield "vLLM computes every prompt: what its prefix cache saves is left out"
    if plan.pace is not None:
        pace, limits = plan.pace, [f"{plan.pace.concurrency} requests at a time"]
        limits += [f"{pace.requests_per_minute:,g} requests a minute"] if pace.requests_per_minute else []
        limits += [f"{pace.tokens_per_minute:,g} tokens a minute"] if pace.tokens_per_minute else []
        yield (
            f"the server writes {SERVER_TOKENS_PER_SECOND:g} tokens/s of a text after {SERVER_FIRST_SECONDS:g} s, "
            f"takes {', '.join(limits)}, and all samples of a prompt in one request"
        )
        if plan.sections.get("settings", {}).get("guide"):
            yield (
                "guided, every part of a text is a request of its own, and its prompt is read again: of prompt tokens, "
                "their cost and requests this counts one of up to four"
            )
    if plan.price is not None:
        yield (
            f"a million tokens cost {plan.price.prompt:g} USD read and {plan.price.completion:g} USD written; "
            "no discounts, no tries that fail"
        )
    if stored is not None and stored.num_items:
        yield f"an item takes the disk space of those in {stored.folder}"
    else:
        each = f", {work.expected_tokens:,.0f} tokens each" if plan.kind == "recorded" else ""
        yield f"the run folder takes the pairs, {BYTES_PER_TOKEN} bytes a token and {RECORD_BYTES} a text{each}"


def _list_rows(
    plan: JudgePlan, work: Work, stored: StoredRun | None, order: str, figures: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    done = "" if stored is None else f", of them {work.finished:,} finished in {stored.folder}"
    yield "items", f"{work.items:,}{done}"
    how = "one for each answer" if plan.kind == "scalar" else f"order {order}"
    yield "prompts", f"{work.prompts:,} ({how})"
    if plan.kind != "scalar":
        yield "texts", f"{work.texts:,} ({work.num_samples} a prompt)"
    if work.overlong:
        fate = "the run would end" if plan.options.get("on_overlong") == "fail" else "skipped"
        yield "over the limit", f"{work.overlong:,} prompts, limit {plan.limit:,} tokens: {fate}"
    elif plan.limit is not None:
        yield "over the limit", f"none, limit {plan.limit:,} tokens"
    if work.short:
        yield "less room", f"{work.short:,} prompts leave less than {work.max_new_tokens:,} tokens for a text"
    if work.failed:
        yield "cannot be asked", f"{work.failed:,} prompts that the chat template refuses"
    if not work.prompts:
        yield "tokens", "none: nothing is left to do"
    elif figures["prompt_tokens"] is None:
        yield "tokens", "not counted: nothing is computed"
    else:
        how = "estimated" if plan.kind == "server" else "counted"
        spread = f"median {work.median_tokens:,}, longest {work.longest_tokens:,}"
        yield "prompt tokens", f"{work.prompt_tokens:,} {how} ({spread})"
        if plan.kind != "scalar":
            expected = f"{work.expected_completion_tokens:,.0f} if a text has {work.expected_tokens:,.0f}"
            yield "text tokens", f"about {expected}; at most {work.most_completion_tokens:,}"
    if figures["seconds"] is not None:
        yield "time", f"about {format_rough(figures['seconds'])}; rough"
    if plan.outline is not None:
        machine, needed = plan.outline.decoder.machine, figures["memory_bytes"]
        is_short = machine.memory_bytes and needed > MEMORY_SHARE * machine.memory_bytes
        lack = f": TOO MUCH, {machine.name} has {format_gb(machine.memory_bytes)}" if is_short else ""
        yield "memory", f"about {format_gb(needed)} of a device{lack}"
    if plan.pace is not None:
        cost = figures["cost_usd"]
        unknown = "not known: no list price of this model; set engine.price_in and engine.price_out"
        told = cost and f"about {format_usd(cost['expected'])}; at most {format_usd(cost['most'])}"
        yield "cost", told or unknown
    size = max(figures["disk_bytes"], _LEAST_SHOWN_BYTES)
    yield "disk", f"{'about' if size > _LEAST_SHOWN_BYTES else 'at most'} {format_bytes(size)}"
