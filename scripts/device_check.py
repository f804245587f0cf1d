"""Every path of the package that runs on a GPU, once, in one table; for machines that tests do not see.

    python scripts/device_check.py [--out DIR] [--minutes 6] [--only NAME ...] [--device cuda]

Needs a checkout with the extras `train` and, for some lines, vllm, trl, flash_attn or bitsandbytes; what is not installed
is told as absent. Each check is a process of its own with what is left of the time, so that a failure or a hanging one
costs itself alone. DIR keeps every log and check.json. The answer is 1 if any check failed. `--device cpu` runs the same
lines on a processor, with sizes to match: it tries the script and tells nothing of a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RMR1 = (sys.executable, "-m", "rmr1")
STEP = (sys.executable, str(ROOT / "benchmarks" / "grpo_step.py"))
_LEAST_SECONDS = 10.0
"""Time that must be left for a check to begin."""
_LEAST_ACCURACY = 0.8
"""Share of pairs of its own world that the bundled judge has to judge rightly, by whichever engine."""
_MOST_MEMORY = (0.85, 1.15)
"""Measured memory as a share of the forecast."""
_MOST_RATIO = {"fp32": 1e-3, "bf16": 0.1}
"""Most that a token's log-probability may differ on average between sampler and trainer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One path."""

    name: str
    what: str
    command: tuple[str, ...]
    read: Callable[[Path, str], str]
    """What was found, from the folder of all results and the log; an AssertionError is a failure."""
    needs: tuple[str, ...] = ()
    """Libraries."""
    num_gpus: int = 1
    after: tuple[str, ...] = ()
    """Checks whose results it reads."""


@dataclass(slots=True, kw_only=True)
class Finding:
    """What a check gave."""

    name: str
    what: str
    state: str
    """"ok", "FAILED", "absent" or "no time"."""
    seconds: float = 0.0
    found: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where it all runs, and sizes that this place computes in seconds."""

    name: str
    count: int
    pairs: int
    model: Mapping[str, int]
    """`model.from_scratch` of the model whose memory is measured."""
    row_tokens: int
    shape: str
    """`--shape` of benchmarks/grpo_step.py."""
    more: dict[str, str] = field(default_factory=dict)

    @property
    def is_gpu(self) -> bool:
        return self.name == "cuda"


def find_device(name: str) -> Device:
    import torch

    small = {"hidden_size": 128, "layers": 3, "heads": 4, "kv_heads": 2, "intermediate_size": 384}
    half = {"hidden_size": 896, "layers": 24, "heads": 14, "kv_heads": 2, "intermediate_size": 4864}
    if name == "cpu":
        return Device(name=name, count=1, pairs=8, model=small, row_tokens=2048, shape="small")
    if not torch.cuda.is_available():
        raise SystemExit("device_check: torch sees no GPU; --device cpu tries the script alone")
    more = {"gpu": torch.cuda.get_device_name(0), "memory": f"{torch.cuda.mem_get_info(0)[1] / 1e9:.0f} GB"}
    count = torch.cuda.device_count()
    return Device(name=name, count=count, pairs=200, model=half, row_tokens=16384, shape="0.5b", more=more)


def list_checks(device: Device, out: Path) -> list[Check]:
    """All of them, those that others need first."""
    on = f"--set=engine.device={device.name}"
    pairs = str(out / "pairs.jsonl")

    def judge(name: str, *words: str, model: str = "tiny", **more: Any) -> Check:
        command = (*RMR1, "judge", pairs, "-m", model, "-o", str(out / name), *words)
        return Check(name=name, command=command, read=_read_accuracy(name), after=("pairs",), **more)

    def train(verb: str, name: str, recipe: Mapping[str, Any], **more: Any) -> Check:
        path = out / f"{name}.json.toml"
        path.write_text(write_toml(recipe))
        words = ("--processes=2",) if more.get("num_gpus", 1) > 1 else ()
        return Check(name=name, command=(*RMR1, verb, str(path), "-o", str(out / name), *words), **more)

    world = {"items": 4000, "distribution": "biased"}
    scratch = {**device.model, "context": 8192, "tokenizer": {"vocabulary": 3072, "examples": 500}}
    common = {"device": device.name, "checkpoint": {"every": 0}}
    sft = {
        **common,
        "model": {"precision": "bf16", "checkpointing": True, "from_scratch": scratch},
        "data": {"max_tokens": 2048, "world": world},
        "batch": {"tokens": 2 * device.row_tokens, "row_tokens": device.row_tokens},
        "optim": {"lr": 1e-4, "steps": 3},
    }
    adapted = {
        **sft,
        "model": {"precision": "bf16", "base": str(out / "sft")},
        "lora": {"r": 8},
    }
    grpo = {
        **common,
        "model": {"precision": "fp32", "base": "tiny"},
        "data": {"world": {**world, "start": 200_000}},
        "rollout": {"prompts": 8, "samples": 4, "max_new_tokens": 320, "rows": 32},
        "update": {"row_tokens": 4096},
        "optim": {"lr": 1e-5, "steps": 2},
    }
    in_bf16 = {**grpo, "model": {**grpo["model"], "precision": "bf16"}}
    with_vllm = {**grpo, "rollout": {**grpo["rollout"], "engine": "vllm", "gpu_memory": 0.2}}
    scalar = {
        **common,
        "model": {"precision": "fp32", "base": "tiny"},
        "data": {"max_tokens": 1024, "world": world},
        "batch": {"examples": 16},
        "optim": {"lr": [1e-3], "tokens": 30_000},
    }
    step = (
        *STEP,
        "--device",
        device.name,
        "--only",
        "512/128/8",
        "--beta",
        "0.001",
        "--repeats",
        "1",
        "--no-kept",
    )
    own = "flex,split,row" if device.is_gpu else "merged,split,row"
    return [
        Check(
            name="pairs",
            what="labelled pairs of the world",
            command=(*RMR1, "world", "export", pairs, "-n", str(device.pairs), "--split", "test"),
            read=lambda out, log: log.strip().splitlines()[-1][:60],
        ),
        Check(name="doctor", what="what is installed", command=(*RMR1, "doctor"), read=_read_doctor),
        judge("judge-fp32", on, "--set=engine.dtype=float32", what="transformers, float32"),
        judge("judge-bf16", on, "--set=engine.dtype=bfloat16", what="transformers, bfloat16"),
        judge("votes", on, "--order=both", "--votes=4", "--temperature=0.7", what="both orders, four votes"),
        judge("guided", on, "--guide", what="guided, cache kept between parts"),
        judge(
            "flash",
            on,
            "--set=engine.dtype=bfloat16",
            "--set=engine.attn_implementation=flash_attention_2",
            what="flash attention",
            needs=("flash_attn",),
        ),
        judge("vllm", model="vllm:tiny", what="vLLM judges", needs=("vllm",)),
        Check(
            name="attention-fp32",
            what="shared prompts against rows, float32",
            command=(*step, "--shape", "small", "--dtype", "fp32", "--arms", own),
            read=_read_step,
        ),
        Check(
            name="attention-bf16",
            what="shared prompts against rows, bfloat16",
            command=(*step, "--shape", "small", "--dtype", "bf16", "--arms", own),
            read=_read_step,
        ),
        train("sft", "sft", sft, what="fine-tuning, fused AdamW, memory", read=_read_memory("sft")),
        train("sft", "lora", adapted, what="adapters", read=_read_memory("lora"), after=("sft",)),
        train(
            "sft",
            "qlora",
            {**adapted, "lora": {**adapted["lora"], "quantize": "nf4"}},
            what="adapters on four bits",
            read=_read_memory("qlora"),
            after=("sft",),
            needs=("bitsandbytes",),
        ),
        train(
            "grpo", "grpo-fp32", grpo, what="reinforcement, sampler against trainer", read=_read_ratio("fp32")
        ),
        train("grpo", "grpo-bf16", in_bf16, what="the same in bfloat16", read=_read_ratio("bf16")),
        train(
            "grpo",
            "grpo-vllm",
            with_vllm,
            what="rollouts by vLLM, weights in place",
            read=_read_ratio("fp32", "grpo-vllm"),
            needs=("vllm",),
        ),
        train("scalar", "scalar", scalar, what="scalar model", read=_read_loss("scalar")),
        judge("scores", on, model=str(out / "scalar"), what="scalar model judges", needs=()),
        train(
            "sft", "sharded", sft, what="fine-tuning over two GPUs", read=_read_memory("sharded"), num_gpus=2
        ),
        train(
            "grpo",
            "grpo-sharded",
            grpo,
            what="reinforcement over two GPUs",
            read=_read_ratio("fp32", "grpo-sharded"),
            num_gpus=2,
        ),
        Check(
            name="trl",
            what="a step of GRPO beside TRL, bfloat16",
            command=(
                *step,
                "--shape",
                device.shape,
                "--dtype",
                "bf16" if device.is_gpu else "fp32",
                "--arms",
                f"{own.split(',')[0]},trl",
            ),
            read=_read_step,
            needs=("trl",),
        ),
    ]


def _read_accuracy(name: str) -> Callable[[Path, str], str]:
    def read(out: Path, log: str) -> str:
        found = json.loads((out / name / "summary.json").read_text())
        told = f"{found['correct']} of {found['labelled']} right, {found['unparsed']} unparsed, {found['failed']} failed"
        assert not found["failed"], told
        if name != "scores":  # a scalar model of a few steps knows nothing yet
            assert found["accuracy"] >= _LEAST_ACCURACY, told
        return told

    return read


def _read_doctor(out: Path, log: str) -> str:
    return next((line.strip() for line in log.splitlines() if "GPU" in line), "no GPU named")[:60]


def _read_metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines, "no metrics"
    return lines


def _read_loss(name: str) -> Callable[[Path, str], str]:
    def read(out: Path, log: str) -> str:
        losses = [line["loss"] for line in _read_metrics(out / name) if "loss" in line]
        assert losses and all(abs(loss) < 1e4 for loss in losses), losses
        return f"loss {losses[0]:.3f} to {losses[-1]:.3f}"

    return read


def _read_memory(name: str) -> Callable[[Path, str], str]:
    """The loss, and measured memory beside the forecast."""

    def read(out: Path, log: str) -> str:
        told = _read_loss(name)(out, log)
        measured = max(line.get("memory_gb", 0.0) for line in _read_metrics(out / name))
        words = (*RMR1, "sft", str(out / f"{name}.json.toml"), "--dry-run", "--json")
        dry = subprocess.run(words, capture_output=True, text=True, env=_environment())
        forecast = json.loads(dry.stdout)["estimate"]["peak_bytes"] / 1e9
        told += f"; {measured:.2f} GB measured, {forecast:.2f} forecast ({measured / forecast:.2f})"
        if json.loads((out / f"{name}.device").read_text()) == "cuda":
            assert _MOST_MEMORY[0] <= measured / forecast <= _MOST_MEMORY[1], told
        return told

    return read


def _read_ratio(dtype: str, name: str | None = None) -> Callable[[Path, str], str]:
    def read(out: Path, log: str) -> str:
        found = _read_metrics(out / (name or f"grpo-{dtype}"))
        ratios = [line["sampler_log_ratio"] for line in found if "sampler_log_ratio" in line]
        assert ratios, "no sampler_log_ratio was logged"
        told = f"sampler against trainer {max(map(abs, ratios)):.2e} a token"
        assert max(map(abs, ratios)) <= _MOST_RATIO[dtype], told
        return told

    return read


def _read_step(out: Path, log: str) -> str:
    """The comparisons of the table's lines; arms whose gradients differ end the command with an error."""
    told = [
        line.split("  ", 1)[0].split()[0] + ": " + line[line.index(" step x") :].strip()
        for line in log.splitlines()
        if " step x" in line
    ]
    assert told, "no comparison in the log"
    return "; ".join(told)


def write_toml(values: Mapping[str, Any], place: str = "") -> str:
    """Plain values and tables."""
    lines = [
        f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, Mapping)
    ]
    if place:
        lines.insert(0, f"\n[{place}]")
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines.append(write_toml(value, f"{place}.{name}" if place else name))
    return "\n".join(lines) + ("" if place else "\n")


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def run_check(
    check: Check, device: Device, out: Path, done: Mapping[str, Finding], seconds: float
) -> Finding:
    """Run it, within so many seconds."""
    finding = Finding(name=check.name, what=check.what, state="absent")
    missing = [name for name in check.needs if find_spec(name) is None]
    if missing or check.num_gpus > device.count:
        finding.found = f"{', '.join(missing)} not installed" if missing else f"needs {check.num_gpus} GPUs"
        return finding
    if lacking := [name for name in check.after if name in done and done[name].state != "ok"]:
        finding.found = f"{lacking[0]} gave nothing to go on from"
        return finding
    if seconds < _LEAST_SECONDS:
        finding.state = "no time"
        return finding
    (out / f"{check.name}.device").write_text(json.dumps(device.name))
    began = time.monotonic()
    log = out / f"{check.name}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            check.command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=out,
            env=_environment(),
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            code = None
    finding.seconds = time.monotonic() - began
    text = log.read_text(errors="replace")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")[:200]
    finding.state = "FAILED"
    if code is None:
        finding.found = f"stopped after {seconds:.0f} s: {last}"
    elif code != 0:
        finding.found = f"exit {code}: {last}"
    else:
        try:
            finding.found, finding.state = check.read(out, text), "ok"
        except Exception as error:  # a result of another form is this check's failure, not the script's
            finding.found = f"{type(error).__name__}: {error}"[:300]
    return finding


def print_table(findings: Sequence[Finding]) -> None:
    width = max(len(one.name) for one in findings)
    for one in findings:
        print(f"{one.state:8}{one.name:{width + 2}}{one.seconds:6.1f} s  {one.what}: {one.found}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Every GPU path of the package, once.")
    parser.add_argument(
        "--out", type=Path, default=Path("device_check"), help="folder of logs and check.json"
    )
    parser.add_argument("--minutes", type=float, default=6.0, help="time for all of it")
    parser.add_argument("--only", nargs="+", help="these checks, and what they need")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args()
    ends = time.monotonic() + 60 * options.minutes
    device = find_device(options.device)
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(f"device_check: {options.out}: is not empty; name another --out")
    options.out.mkdir(parents=True, exist_ok=True)
    out = options.out.resolve()
    checks = list_checks(device, out)
    if options.only:
        known = {one.name: one for one in checks}
        if unknown := [name for name in options.only if name not in known]:
            raise SystemExit(f"device_check: no check {unknown[0]!r}; there are {', '.join(known)}")
        wanted = {*options.only, *(before for name in options.only for before in known[name].after)}
        checks = [one for one in checks if one.name in wanted]
    print(" ".join([f"device {device.name} x {device.count}", *device.more.values()]), flush=True)
    done: dict[str, Finding] = {}
    for check in checks:
        done[check.name] = run_check(check, device, out, done, ends - time.monotonic())
        print_table([done[check.name]])
    told = {"device": asdict(device), "checks": [asdict(one) for one in done.values()]}
    (out / "check.json").write_text(json.dumps(told, indent=1) + "\n")
    counts = {
        state: sum(one.state == state for one in done.values())
        for state in ("ok", "FAILED", "absent", "no time")
    }
    print(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    return 1 if counts["FAILED"] or not counts["ok"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
