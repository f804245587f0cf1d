"""A step of GRPO beside TRL's trainer and beside a row-wise loop: CPU seconds by phase, and memory.

    .venv/bin/python benchmarks/grpo_step.py [--only 512/128/8] [--shape small] [--beta 0.001] [--repeats 3]
                                             [--threads 1] [--arms merged,row,trl] [--json]
    .venv/bin/python benchmarks/grpo_step.py --shape 50m --only 512/128/8 --beta 0.001
    .venv/bin/python benchmarks/grpo_step.py --device cuda --dtype bf16 --shape 0.5b

A case P/R/G is one prompt of P tokens and G samples of R tokens each: a rollout, the reference's pass unless
beta is 0, forward and backward, a step of AdamW. All arms start from the same random weights and use one
objective (RM-R1's, as TRL computes it). Each samples for itself to the full length; then all learn from the
same given samples, and a case whose first gradients differ in length between arms is an error. Arms:

    merged, flex, split   rmr1: `Reinforcement`, with its attention for processors, for GPUs, and for the rest
    row                   each sample a row of its own, forward and backward one after the other, output layer on
                          sampled tokens only: it never keeps more for backward than one row does
    batch                 the same with all rows of the group in one pass, as TRL passes them
    trl                   TRL's GRPOTrainer, gradient checkpointing off
    trl-shipped           the same as it ships: gradient checkpointing on

Neither padding nor a pass for old log-probabilities burdens any of them; `row` and `batch` sample by the
library's `generate`. Ours also keeps each sampled token's log-probability and looks for the verdict. On a
processor TRL's output layer scores the prompt's tokens too, on a GPU it does not: `row` is what tells the gain
of shared prompts alone. That idea is not ours: PrefixGrouper and Unsloth had it before. Without flags it runs
the small shape with KL and without, about an hour of CPU time; 50m takes some eleven times as long per case
(`--repeats 1 --no-kept --arms merged,row,trl,trl-shipped` is a third of that).

Each arm is a process of its own; on the CPU they take turns. Process CPU time there, so that what else runs on
the machine counts for little; on CUDA wall time. The best of the repeats for each phase by itself; the step is
their sum. Memory: the most that a process held beyond what it held after loading, the optimizer's state and
gradients included; and the most that autograd kept for backward at a time, weights left out. Ratios are
against the first of rmr1's arms; above 1 favours rmr1.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import grpo_arms
import torch
import transformers
from grpo_arms import ARMS, LR, OURS, PHASES, Spec
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rmr1.forecast.shape import ModelShape, compute_saving, count_row_flops, read_shape


def _shape(vocabulary: int, hidden: int, inner: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
    }


SHAPES = {
    "small": _shape(4096, 256, 1024, 4, 8),
    "50m": _shape(8192, 512, 2048, 12, 8),
    "0.5b": _shape(151_936, 896, 4864, 24, 14),
    "1.5b": _shape(151_936, 1536, 8960, 28, 12),
}
"""From small to large."""
CASES = ("512/128/8", "1024/256/8", "2048/256/8", "2048/512/7", "256/512/8")
BETAS = (1e-3, 0.0)
AGREEMENT = {"fp32": 1e-3, "bf16": 0.1}
"""How far the lengths of the gradients may be apart, relatively."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What all arms do."""

    shape: str
    folder: str
    """Of the model."""
    beta: float
    prompt: int
    length: int
    samples: int
    flops: float
    """Of a row-wise forward pass."""
    saving: float
    """How many times less arithmetic a forward pass takes with a shared prompt."""

    @property
    def sizes(self) -> str:
        return f"{self.prompt}/{self.length}/{self.samples}"

    @property
    def name(self) -> str:
        return f"{self.shape} {self.sizes} beta {self.beta:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was found for a case: by arm "seconds" by phase, "norm", "peak_bytes" and "kept_bytes"."""

    case: Case
    arms: dict[str, dict[str, Any]]

    @property
    def ours(self) -> str | None:
        return next((arm for arm in OURS if arm in self.arms), None)

    def step(self, arm: str) -> float:
        return float(sum(self.arms[arm]["seconds"].values()))

    def update(self, arm: str) -> float:
        seconds = self.arms[arm]["seconds"]
        return float(seconds["reference"] + seconds["backward"] + seconds["optimizer"])

    def compare(self, arm: str) -> dict[str, float]:
        """How many times our time, and our memory, the arm takes."""
        if self.ours is None or arm == self.ours:
            return {}
        theirs, ours = self.arms[arm], self.arms[self.ours]
        found = {
            "step": self.step(arm) / self.step(self.ours),
            "rollout": theirs["seconds"]["rollout"] / ours["seconds"]["rollout"],
            "update": self.update(arm) / self.update(self.ours),
        }
        kept = {"kept": theirs["kept_bytes"] / ours["kept_bytes"]} if theirs["kept_bytes"] else {}
        return found | kept

    def print_table(self, out: TextIO) -> None:
        columns = "".join(f"{name:>10}" for name in (*PHASES, "step", "peak MiB", "kept MiB"))
        print(
            f"\n{self.case.name}: a shared prompt saves {self.case.saving:.2f} times the arithmetic of an update\n"
            f"{'':12}{columns}",
            file=out,
        )
        for arm, found in self.arms.items():
            seconds = "".join(f"{found['seconds'][phase]:10.3f}" for phase in PHASES)
            kept = "-" if found["kept_bytes"] is None else f"{found['kept_bytes'] / 2**20:.0f}"
            memory = f"{found['peak_bytes'] / 2**20:10.0f}{kept:>10}"
            ratios = self.compare(arm)
            told = "".join(f"  {name} x{ratio:.2f}" for name, ratio in ratios.items())
            if arm == "row" and ratios:
                told += f"  ({ratios['update'] / self.case.saving:.2f} of the arithmetic's)"
            print(f"{arm:12}{seconds}{self.step(arm):10.3f}{memory}{told}", file=out, flush=True)

    def check_gradients(self, dtype: str) -> None:
        """
        Raises:
            SystemExit: the arms did not compute the same.
        """
        norms = {arm: found["norm"] for arm, found in self.arms.items()}
        if not max(norms.values()) / min(norms.values()) - 1 <= AGREEMENT[dtype]:
            raise SystemExit(f"{self.case.name}: gradients of different lengths: {norms}")


class Process:
    """The process of one arm."""

    def __init__(self, spec: Spec):
        self.arm = spec.arm
        threads = str(spec.threads)
        # TRL's trainer wants to see no more than one GPU.
        own = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        self._log = Path(spec.folder, f"{spec.arm}.log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, grpo_arms.__file__, json.dumps(asdict(spec))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={"CUDA_VISIBLE_DEVICES": "0", **os.environ, **own},
            )

    def ask(self, what: str = "") -> Any:
        """What the process answers; without a question, once it is ready.

        Raises:
            SystemExit: it has ended; the message is the end of what it said.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            if what:
                self._process.stdin.write(what + "\n")
                self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.arm} failed:\n{self._log.read_text()[-3000:]}")
        return json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


def measure(specs: Sequence[Spec], repeats: int, *, count_kept: bool) -> dict[str, dict[str, Any]]:
    """The best of each arm, as `Outcome.arms`; "norm" is of the first step."""
    best: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        processes = []
        for spec in specs:
            processes.append(Process(spec))
            stack.callback(processes[-1].close)
            processes[-1].ask()
        for _ in range(repeats):
            for process in processes:
                answer = process.ask("step")
                found = best.setdefault(process.arm, answer)
                for phase, seconds in answer["seconds"].items():
                    found["seconds"][phase] = min(found["seconds"][phase], seconds)
                found["peak_bytes"] = answer["peak_bytes"]
        for process in processes:
            # Checkpointing keeps its part where the count does not see it.
            is_seen = count_kept and process.arm != "trl-shipped"
            best[process.arm]["kept_bytes"] = process.ask("kept")["kept_bytes"] if is_seen else None
    return best


def list_goals(outcomes: Sequence[Outcome], device: str) -> list[dict[str, Any]]:
    """The goals that the outcomes can tell about: with KL, on a processor."""
    goals: list[dict[str, Any]] = []

    def add(outcome: Outcome, what: str, arm: str, name: str, least: float, unit: float = 1.0) -> None:
        if arm in outcome.arms and name in (ratios := outcome.compare(arm)):
            found = ratios[name] / unit
            goals.append({"goal": what, "where": outcome.case.name, "least": least, "found": found})

    for outcome in outcomes:
        case = outcome.case
        if device != "cpu" or case.beta != BETAS[0]:
            continue
        if least := {"512/128/8": 3.0, "2048/256/8": 4.0}.get(case.sizes):
            add(outcome, "step faster than TRL's, checkpointing off", "trl", "step", least)
        add(outcome, "update over row-wise, of the arithmetic's ratio", "row", "update", 0.85, case.saving)
        if case.sizes == "2048/256/8":
            add(outcome, "less kept for backward than the rows in one pass", "batch", "kept", 3.0)
    return goals


def save_model(shape: str, context: int, folder: Path) -> ModelShape:
    """A model of random weights with a tokenizer of made-up words."""
    torch.manual_seed(0)
    settings: Any = SHAPES[shape]
    config = Qwen2Config(
        **settings,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    core = Tokenizer(models.WordLevel({f"w{place}": place for place in range(settings["vocab_size"])}, "w0"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="w0", eos_token="w1")
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    return read_shape(config)


def build_cases(options: argparse.Namespace, folder: Path, out: TextIO) -> list[Case]:
    """All cases, from small to large, and the models that they need."""
    sizes = [tuple(map(int, case.split("/"))) for case in options.only or CASES]
    context = max(prompt + length for prompt, length, _ in sizes)
    cases = []
    for shape in sorted(set(options.shape), key=list(SHAPES).index):
        place = folder / shape
        model = save_model(shape, context, place)
        print(f"{shape}: {model.parameters():,} parameters, {SHAPES[shape]}", file=out)
        for prompt, length, samples in sizes:
            for beta in options.beta or BETAS:
                cases.append(
                    Case(
                        shape=shape,
                        folder=str(place),
                        beta=beta,
                        prompt=prompt,
                        length=length,
                        samples=samples,
                        flops=count_row_flops(model, prompt=prompt, new=length, samples=samples).total,
                        saving=compute_saving(model, prompt=prompt, new=length, samples=samples),
                    )
                )
    return sorted(cases, key=lambda case: case.flops)


def run_case(case: Case, options: argparse.Namespace) -> Outcome:
    specs = [
        Spec(
            arm=arm,
            folder=case.folder,
            prompt=case.prompt,
            length=case.length,
            samples=case.samples,
            beta=case.beta,
            device=options.device,
            dtype=options.dtype,
            threads=options.threads,
        )
        for arm in options.arms
    ]
    # In turns all have the machine's moods in common; a GPU has no room for all.
    together = [specs] if options.device == "cpu" else [[spec] for spec in specs]
    arms: dict[str, dict[str, Any]] = {}
    for some in together:
        arms |= measure(some, options.repeats, count_kept=not options.no_kept)
    return Outcome(case=case, arms=arms)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A step of GRPO beside TRL and a row-wise loop.")
    parser.add_argument("--only", action="append", metavar="P/R/G", help="one case; may be repeated")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="default small, on CUDA 0.5b")
    parser.add_argument("--beta", action="append", type=float, help="default 0.001 and 0")
    parser.add_argument("--arms", help=f"some of {','.join(ARMS)}; default those of the device")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-kept", action="store_true", help="leave out the step that counts what is kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=AGREEMENT, default="fp32")
    parser.add_argument("--json", action="store_true", help="one object to stdout, tables to stderr")
    options = parser.parse_args()
    for case in options.only or ():
        if len(case.split("/")) != 3 or not all(part.isdigit() and int(part) for part in case.split("/")):
            parser.error(f"--only {case!r} is not P/R/G, as 512/128/8")
        if int(case.rpartition("/")[2]) < 2:
            parser.error(f"--only {case!r}: a group has at least 2 samples")
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU")
    own = ("merged",) if options.device == "cpu" else ("flex", "split")
    if options.arms is None:
        options.arms = [arm for arm in ARMS if arm in own or arm not in OURS]
        if find_version("trl") is None:
            print("TRL is not installed: pip install -c constraints.txt 'trl==1.16.*'", file=sys.stderr)
            options.arms = [arm for arm in options.arms if not arm.startswith("trl")]
    else:
        options.arms = list(dict.fromkeys(options.arms.split(",")))
        if unknown := set(options.arms) - set(ARMS):
            parser.error(f"--arms {min(unknown)!r} is none of {', '.join(ARMS)}")
    options.shape = options.shape or ["small" if options.device == "cpu" else "0.5b"]
    return options


def find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_machine(device: str) -> str:
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    options = read_options()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    out = sys.stderr if options.json else sys.stdout
    settings = {
        "date": str(date.today()),
        "machine": find_machine(options.device),
        **{name: getattr(options, name) for name in ("device", "threads", "dtype", "repeats", "arms")},
        "versions": {name: find_version(name) for name in ("torch", "transformers", "trl")},
    }
    print("  ".join(f"{name}: {value}" for name, value in settings.items()), file=out)
    print(f"AdamW, lr {LR:g}; {'CPU' if options.device == 'cpu' else 'wall'} seconds", file=out)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        cases = build_cases(options, Path(folder), out)
        print(f"{len(cases)} cases; GFLOP of a row-wise forward pass:", file=out)
        for case in cases:
            print(f"  {case.name}: {case.flops / 1e9:.0f}", file=out, flush=True)
        began = time.monotonic()
        for number, case in enumerate(cases, start=1):
            outcome = run_case(case, options)
            outcome.check_gradients(options.dtype)
            outcome.print_table(out)
            outcomes.append(outcome)
            per_flop = (time.monotonic() - began) / sum(one.flops for one in cases[:number])
            left = per_flop * sum(one.flops for one in cases[number:])
            if left:
                print(f"about {left / 60:.0f} minutes left", file=sys.stderr, flush=True)
    goals = list_goals(outcomes, options.device)
    for goal in goals:
        state = "met" if goal["found"] >= goal["least"] else "NOT met"
        print(
            f"{state}: {goal['goal']}, {goal['where']}: {goal['found']:.2f}, wanted {goal['least']:g}",
            file=out,
        )
    if options.json:
        results = []
        for outcome in outcomes:
            case_values = {name: value for name, value in asdict(outcome.case).items() if name != "folder"}
            ratios = {arm: outcome.compare(arm) for arm in outcome.arms}
            results.append({**case_values, "arms": outcome.arms, "ratios": ratios})
        print(json.dumps({"settings": settings, "results": results, "goals": goals}, indent=1))


if __name__ == "__main__":
    main()
