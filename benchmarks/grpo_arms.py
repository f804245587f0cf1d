"""What a step of GRPO is made of, one class for each way to make it: the arms of `grpo_step.py`.

    python benchmarks/grpo_arms.py SPEC

A process of one arm, started by the benchmark with a `Spec` in JSON. It loads, says so, and makes a step for
every line on its standard input: "step" for a whole one, "kept" for one without a rollout in which the tensors
that autograd keeps are counted. Each answer is a line of JSON; the end of the input ends the process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from unittest import mock

import torch
import transformers
from grpo_meters import Clock, Kept, read_peak, reset_peak
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from rmr1.attention import shared_prompt as attention
from rmr1.engines.base import Request
from rmr1.engines.hf.reader import Prepared
from rmr1.messages import Message
from rmr1.records import JudgePrompt, PreferencePair
from rmr1.rewards import Reward
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches, normalize_group
from rmr1.train.grpo.logprobs import token_logprobs
from rmr1.train.grpo.objective import compute_loss, spread, token_weights
from rmr1.train.grpo.plan import GrpoPlan
from rmr1.train.grpo.recipe import GrpoRecipe, Objective
from rmr1.train.grpo.rollout import Sample, Sampler
from rmr1.train.grpo.run import Reinforcement
from rmr1.train.grpo.tasks import Task, TaskCounts
from rmr1.train.optim import build_optimizers
from rmr1.train.processes import accelerated
from rmr1.train.recipe import ReportRecipe

OURS = ("merged", "flex", "split")
ARMS = (*OURS, "row", "batch", "trl", "trl-shipped")
PHASES = ("rollout", "reference", "backward", "optimizer", "other")
"""`backward` is forward and backward; `other` rewards, advantages and padding."""
LR = 1e-6
EPSILON = 1e-4
"""What TRL adds to a group's standard deviation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What one process measures."""

    arm: str
    folder: str
    prompt: int
    length: int
    samples: int
    beta: float
    device: str
    dtype: str
    threads: int

    @property
    def vocabulary(self) -> int:
        return int(Qwen2Config.from_pretrained(self.folder).vocab_size or 0)

    def draw(self) -> tuple[list[int], list[list[int]], list[float]]:
        """The prompt, the samples that all learn from, and what these earned."""
        draw, vocabulary = random.Random(f"{self.prompt}/{self.length}/{self.samples}"), self.vocabulary
        prompt, *samples = (
            [draw.randrange(2, vocabulary) for _ in range(number)]
            for number in (self.prompt, *[self.length] * self.samples)
        )
        return prompt, samples, [1.0 if place % 2 else -1.0 for place in range(self.samples)]


class Stepper(Protocol):
    """One arm: a model, and a step that tells the length of its gradient."""

    model: Any

    def step(self, clock: Clock, *, samples_too: bool) -> float: ...


class Ours:
    """`Reinforcement` as `rmr1 grpo` runs it, over samples that are given."""

    def __init__(self, spec: Spec, accelerator: Any):
        prompt, samples, rewards = spec.draw()
        size = spec.prompt + spec.samples * spec.length
        recipe = GrpoRecipe.from_values(
            {
                "device": spec.device,
                "model": {"base": spec.folder, "precision": spec.dtype},
                "data": {"train": "drawn"},
                "rollout": {"prompts": 1, "samples": spec.samples, "max_new_tokens": spec.length},
                "update": {"row_tokens": size},
                "objective": {"beta": spec.beta, "epsilon": EPSILON},
                "optim": {"lr": LR, "weight_decay": 0.0, "clip": 1.0},
                "checkpoint": {"every": 0},
            },
            "benchmark",
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(spec.folder)
        base: Any = SimpleNamespace(tokenizer=tokenizer)
        source: Any = None
        chat = SimpleNamespace(end_token=None)
        reader: Any = SimpleNamespace(tokenizer=tokenizer, end_tokens=frozenset(), chat=chat)
        plan = GrpoPlan(
            recipe=recipe,
            base=base,
            reader=reader,
            objective=recipe.objective.build(),
            terms=(),
            source=source,
            held_out=[],
            steps=1,
            warmup_steps=0,
            counts=TaskCounts(),
        )
        self._training = Reinforcement(plan, accelerator, Path(spec.folder, "none"), None, quiet=True)
        self.model = self._training.model
        # Without end tokens every sample has the full length.
        self._training.sampler = Sampler(self.model, tokenizer, end_tokens=(), rows=spec.samples)
        self._task = _build_task(prompt, spec.length)
        self._group = ScoredGroup(
            task=self._task,
            samples=[
                Sample(tokens=one, logprobs=_score(self.model, prompt, one), text="", is_cut=True)
                for one in samples
            ],
            judged=(),
            rewards=[Reward(values={}, total=reward) for reward in rewards],
        )
        self._length = spec.length

    def step(self, clock: Clock, *, samples_too: bool) -> float:
        training, learner = self._training, self._training.learner
        if samples_too:
            with clock.phase("rollout"):
                (drawn,) = training.sample([self._task])
            assert all(len(one.tokens) == self._length for one in drawn)
        with clock.phase("other"):
            batches = build_minibatches([self._group], learner.objective, prompts=1)
        with contextlib.ExitStack() as stack:
            stack.enter_context(clock.calls(learner, "backward", "backward"))
            if learner.reference is not None:
                stack.enter_context(clock.calls(learner.reference, "compute", "reference"))
            stack.enter_context(clock.phase("optimizer"))
            _, (norm,) = learner.update(batches, 1.0, rollout=1)
        return norm


@torch.no_grad()
def _score(model: Any, prompt: list[int], own: list[int]) -> list[float]:
    """The log-probabilities that a sampler would have kept."""
    logits = model(torch.tensor([[*prompt, *own]], device=model.device)).logits[0, len(prompt) - 1 : -1]
    picked = logits.float().log_softmax(dim=-1)[range(len(own)), own]
    return picked.tolist()


def _build_task(prompt: list[int], length: int) -> Task:
    message = (Message(role="user", content="drawn"),)
    asked = JudgePrompt(pair_id="0", family="rubric", order="given", messages=message)
    return Task(
        pair=PreferencePair(id="0", prompt=message, response_a=message, response_b=message, label="A"),
        prepared=Prepared(
            request=Request(key="0", prompt=asked),
            tokens=prompt,
            max_new_tokens=length,
            opening="",
        ),
        place=0,
    )


class RowWise:
    """A loop over rows that hold the prompt each; `rows` of them at a time."""

    def __init__(self, spec: Spec, rows: int):
        self._spec, self._rows = spec, rows
        prompt, samples, rewards = spec.draw()
        is_mixed = spec.dtype == "bf16"
        self.model = _load(spec, torch.float32)
        self._ref: Any = None
        if spec.beta:
            # As `rmr1 grpo` keeps it.
            self._ref = _load(spec, torch.bfloat16 if is_mixed else torch.float32).requires_grad_(False)
        self._autocast = torch.autocast(spec.device, torch.bfloat16, enabled=is_mixed)
        self._ids = torch.tensor([[*prompt, *one] for one in samples], device=spec.device)
        self._objective = Objective(beta=spec.beta, epsilon=EPSILON)
        self._advantages = normalize_group(rewards, scale=self._objective.scale, epsilon=EPSILON)
        self._optimizers = build_optimizers(
            self.model, name="adamw", lr=LR, muon_lr=LR, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
        )

    def step(self, clock: Clock, *, samples_too: bool) -> float:
        spec, model = self._spec, self.model
        if samples_too:
            with clock.phase("rollout"), torch.inference_mode(), self._autocast:
                model.eval()
                prompt = self._ids[:1, : spec.prompt]
                drawn = model.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    top_p=1.0,
                    num_return_sequences=spec.samples,
                    max_new_tokens=spec.length,
                    pad_token_id=0,
                )
            assert drawn.shape == self._ids.shape
        model.train()
        parts = [slice(start, start + self._rows) for start in range(0, spec.samples, self._rows)]
        refs: list[torch.Tensor | None] = [None] * len(parts)
        if self._ref is not None:
            with clock.phase("reference"), torch.no_grad(), self._autocast:
                refs = [self._compute(self._ref, part) for part in parts]
        with clock.phase("backward"):
            for part, ref in zip(parts, refs, strict=True):
                lengths = [spec.length] * len(self._advantages[part])
                with self._autocast:
                    logprobs = self._compute(model, part)
                loss = compute_loss(
                    self._objective,
                    logprobs_N=logprobs,
                    ref_logprobs_N=ref,
                    advantages_N=spread(self._advantages[part], lengths, device=spec.device),
                    weights_N=token_weights(
                        lengths,
                        average="sequence",
                        num_sequences=spec.samples,
                        num_tokens=spec.samples * spec.length,
                        device=spec.device,
                    ),
                )
                loss.value.backward()
        with clock.phase("optimizer"):
            norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
            self._optimizers.step(1.0)
            self._optimizers.zero_grad()
        return norm

    def _compute(self, model: Any, part: slice) -> torch.Tensor:
        """Log-probabilities of the sampled tokens of these rows."""
        ids = self._ids[part]
        hidden = model.get_decoder()(input_ids=ids, use_cache=False)[0][:, self._spec.prompt - 1 : -1]
        targets = ids[:, self._spec.prompt :].flatten()
        logprobs, _ = token_logprobs(hidden.flatten(0, 1), model.lm_head.weight, targets)
        return logprobs


def _load(spec: Spec, dtype: torch.dtype) -> Any:
    model: Any = Qwen2ForCausalLM.from_pretrained(spec.folder, dtype=dtype)
    return model.to(spec.device)


def build_trl(spec: Spec, clock: Clock, control: Any) -> Any:
    """TRL's trainer with our clock in it; it trains for as long as `control` asks for steps."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    prompt, samples, rewards = spec.draw()

    class Measured(GRPOTrainer):
        def _tokenize_prompts(self, prompts: list[Any]) -> Any:
            return [list(prompt) for _ in prompts], None, {}

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            if control.samples_too:
                with clock.phase("rollout"):
                    drawn, _ = super()._generate_single_turn(*args, **kwargs)
                assert all(len(one) == spec.length for one in drawn)
            return [list(one) for one in samples], None

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            with contextlib.nullcontext() if torch.is_grad_enabled() else clock.phase("reference"):
                return super()._get_per_token_logps_and_entropies(*args, **kwargs)

        def _prepare_inputs(self, *args: Any, **kwargs: Any) -> Any:
            with clock.phase("other"):
                return super()._prepare_inputs(*args, **kwargs)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            with clock.phase("backward"):
                return super().training_step(*args, **kwargs)

        def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
            control.norm = float(super()._get_grad_norm(*args, **kwargs))
            return control.norm

    def reward(prompts: list[Any], completions: list[Any], **kwargs: Any) -> list[float | None]:
        return [*rewards]

    shipped: dict[str, Any] = {} if spec.arm == "trl-shipped" else {"gradient_checkpointing": False}
    trainer = Measured(
        model=spec.folder,
        reward_funcs=reward,
        train_dataset=Dataset.from_list([{"prompt": "drawn"}] * 8),
        args=GRPOConfig(
            output_dir=str(Path(spec.folder, spec.arm)),
            loss_type="grpo",
            beta=spec.beta,
            use_bias_correction_kl=False,
            num_generations=spec.samples,
            per_device_train_batch_size=spec.samples,
            max_completion_length=spec.length,
            learning_rate=LR,
            lr_scheduler_type="constant",
            max_steps=10**6,
            model_init_kwargs={"dtype": "float32"},
            use_cpu=spec.device == "cpu",
            bf16=spec.dtype == "bf16",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **shipped,
        ),
        callbacks=[control],
    )
    # Nothing ends a sample before its full length.
    trainer.generation_config.eos_token_id = None
    trainer.eos_token_ids = [-1]
    return trainer


class Worker:
    """The process of one arm: a line on standard input asks for a step, a line on standard output answers."""

    def __init__(self, spec: Spec):
        self._spec = spec
        self._clock = Clock(PHASES, spec.device)
        # Whatever libraries print goes elsewhere.
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def run(self) -> None:
        spec = self._spec
        if spec.arm.startswith("trl"):
            self._run_trl()
        elif spec.arm in OURS:
            is_mixed = spec.dtype == "bf16"
            device: Any = spec.device
            with (
                _chosen_attention(spec.arm),
                accelerated(device=device, is_mixed=is_mixed, report=ReportRecipe()) as accelerator,
            ):
                self._serve(Ours(spec, accelerator))
        else:
            self._serve(RowWise(spec, 1 if spec.arm == "row" else spec.samples))

    def _serve(self, arm: Stepper) -> None:
        self._ready()
        while (asked := self._next()) is not None:
            kept = Kept(arm.model)
            with kept if asked == "kept" else contextlib.nullcontext():
                norm = arm.step(self._clock, samples_too=asked == "step")
            self._answer(norm, kept)

    def _run_trl(self) -> None:
        worker, clock = self, self._clock

        class Control(transformers.TrainerCallback):
            samples_too = True
            norm = float("nan")
            kept: Kept

            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                worker._ready()

            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                asked = worker._next()
                if asked is None:
                    raise SystemExit
                self.samples_too = asked == "step"
                self.kept = Kept(kwargs["model"])
                self.stack = contextlib.ExitStack()
                if asked == "kept":
                    self.stack.enter_context(self.kept)
                clock.begin("optimizer")

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                clock.end()
                self.stack.close()
                worker._answer(self.norm, self.kept)

        build_trl(self._spec, clock, Control()).train()

    def _ready(self) -> None:
        gc.collect()
        self._loaded = reset_peak(self._spec.device)
        self._say({})

    def _next(self) -> str | None:
        asked = sys.stdin.readline().strip()
        self._clock.reset()
        return asked or None

    def _answer(self, norm: float, kept: Kept) -> None:
        grown = read_peak(self._spec.device) - self._loaded
        self._say(
            {"seconds": self._clock.seconds, "norm": norm, "peak_bytes": grown, "kept_bytes": kept.most}
        )

    def _say(self, values: dict[str, Any]) -> None:
        self._answers.write(json.dumps(values) + "\n")
        self._answers.flush()


@contextlib.contextmanager
def _chosen_attention(arm: str) -> Iterator[None]:
    """Shared-prompt attention in the way that the arm names, and no other."""
    with contextlib.ExitStack() as stack:
        for name, way in (("merged", "can_merge"), ("flex", "can_flex")):
            if arm != name:
                stack.enter_context(mock.patch.object(attention, way, _cannot))
        if arm != "split":
            stack.enter_context(mock.patch.object(attention, "_attend_joined", _refuse))
        yield


def _cannot(*args: Any) -> bool:
    return False


def _refuse(*args: Any) -> Any:
    raise SystemExit("this device or number format has no such attention; name other --arms")


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    spec = Spec(**json.loads(sys.argv[1]))
    torch.set_num_threads(spec.threads)
    Worker(spec).run()


if __name__ == "__main__":
    main()
