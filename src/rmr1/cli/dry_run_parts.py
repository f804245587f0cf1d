"""What a dry run of one judge and one of a cascade share: the figures of one judge, their assumptions, the stored run."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmr1.engines.base import SamplingParams
from rmr1.errors import ConfigError
from rmr1.forecast.numbers import CHARS_PER_TOKEN
from rmr1.forecast.prices import compute_cost
from rmr1.forecast.time import BatchForecast, FlowForecast
from rmr1.judge.estimate import (
    BYTES_PER_TOKEN,
    RECORD_BYTES,
    SERVER_FIRST_SECONDS,
    SERVER_TOKENS_PER_SECOND,
    PromptSize,
    StoredRun,
    Work,
    compute_server_seconds,
    read_stored_run,
)
from rmr1.judge.plan import JudgePlan
from rmr1.store.identity import refuse_differences
from rmr1.store.runs import (
    JUDGMENTS_FILE,
    RUN_FILE,
    Keys,
    read_description,
    read_finished,
    refuse_other_items,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One judge's part of a dry run, into which its prompts are counted."""

    plan: JudgePlan
    work: Work
    forecast: BatchForecast | FlowForecast | None
    """None if no machine of ours computes."""

    @classmethod
    def begin(cls, plan: JudgePlan, sampling: SamplingParams, expected: float) -> Estimate:
        """Nothing counted yet; `expected` is the length of a text."""
        work = Work(
            num_samples=sampling.num_samples if plan.writes else 0,
            max_new_tokens=sum(plan.parts),
            expected_tokens=expected if plan.writes else 0,
        )
        forecast = plan.forecast(num_samples=work.num_samples or 1, expected_tokens=work.expected_tokens)
        return cls(plan=plan, work=work, forecast=forecast)

    def add(self, size: PromptSize) -> None:
        """Count a prompt that will be asked into the forecast of time and memory."""
        if self.forecast is not None:
            self.forecast.add(size.tokens or 0, size.room)

    def collect(self, stored: StoredRun | None) -> dict[str, Any]:
        """The figures, as `--json` prints them, but for the assumptions."""
        plan, work, forecast = self.plan, self.work, self.forecast
        seconds = None if plan.pace is None else compute_server_seconds(work, plan.pace)
        seconds = seconds if forecast is None else forecast.seconds()
        figures: dict[str, Any] = {"model": plan.name, **work.describe()}
        if figures["prompt_tokens"] is not None:
            figures["prompt_tokens"]["counted_by"] = "characters" if plan.is_served else "tokenizer"
        num_bytes, cost = work.stored_bytes, None
        if stored is not None and stored.num_items:
            num_bytes = stored.num_bytes / stored.num_items * (work.items - work.finished)
        if (price := plan.price) is not None:
            written = {
                "expected": round(work.expected_completion_tokens),
                "most": work.most_completion_tokens,
            }
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
        if forecast is not None:
            weights = forecast.decoder.weight_bytes * forecast.decoder.shape.parameters()
            figures["memory_bytes"] = round((weights + forecast.cache_bytes) / plan.num_devices)
        return figures


def read_stored(
    arguments: Namespace,
    sections: Mapping[str, Any],
    *,
    data: Callable[[], Mapping[str, Any]] | None,
    keys: Keys | None,
) -> StoredRun | None:
    """What the run folder holds already, if there is one; `sections` is what is known of the judge's description.

    Raises:
        RunError: the run itself would refuse the folder.
    """
    if arguments.output is None or not (Path(arguments.output) / RUN_FILE).is_file():
        return None
    folder = Path(arguments.output)
    source = None if data is None else data()
    by_bytes = {} if source is None or keys is not None else {"data": source}
    # What the run itself would refuse; only what is known without the model is compared.
    sections, made = {**sections, **by_bytes}, read_description(folder)
    known = {name: made.get(name) or {} for name in sections}
    before = {name: {key: known[name].get(key) for key in one} for name, one in sections.items()}
    refuse_differences(folder, before, sections)
    if keys is not None:
        finished = read_finished(folder / JUDGMENTS_FILE).keys
        refuse_other_items(folder, keys, finished=finished, data=source)
    return read_stored_run(folder, retry_failed=arguments.retry_failed)


def list_assumptions(plan: JudgePlan, work: Work, stored: StoredRun | None, reason: str) -> Iterator[str]:
    """What the figures of one judge take for granted, a line each."""
    if plan.writes and plan.kind != "recorded":
        yield f"a text has {work.expected_tokens:,.0f} tokens: {reason}"
    if len(plan.parts) > 1:
        *others, last = plan.parts
        listed = f"{', '.join(map(str, others))} and {last}"
        yield f"a guided text is written in parts of at most {listed} tokens"
        if plan.is_served:
            yield (
                "every part of a guided text is a request of its own, and its prompt is read again: of prompt tokens, "
                "their cost and requests this counts one of up to four"
            )
    if plan.is_served:
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
        takes = f"takes {', '.join(limits)}"
        yield (
            f"the server writes {SERVER_TOKENS_PER_SECOND:g} tokens/s of a text after {SERVER_FIRST_SECONDS:g} s, "
            f"{takes}, and all samples of a prompt in one request"
            if plan.writes
            else f"the server answers after {SERVER_FIRST_SECONDS:g} s, and {takes}"
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


def check_expected(arguments: Namespace) -> int | None:
    """The value of --expect-tokens."""
    tokens: int | None = arguments.expect_tokens
    if tokens is not None and tokens < 1:
        raise ConfigError(f"--expect-tokens {tokens}: expected at least 1")
    return tokens
