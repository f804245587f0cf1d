"""TRL's RewardTrainer, fed with tokens that are ready, in an order that is given, and told to be quiet.

What it does here is the loss, -log sigmoid(score of the better answer - score of the worse one) (Bradley and
Terry 1952; InstructGPT), the loop around it, and checkpoints to go on from.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn.functional import softplus
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from rmr1.attention.proof.scoring import prove_scoring
from rmr1.console import Display
from rmr1.devices import find_gpu
from rmr1.engines.hf.loading import blaming, quiet
from rmr1.errors import CheckpointError, ConfigError
from rmr1.store.kinds import CHECKPOINTS, METRICS
from rmr1.train.folder import RunFolder
from rmr1.train.memory import peak_memory_gb
from rmr1.train.numbers import check_finite, check_finite_weights, check_moving_share
from rmr1.train.optim import compute_rate
from rmr1.train.scalar.optim import build_scalar_optimizer
from rmr1.train.scalar.pairs import PairStore
from rmr1.train.scalar.plan import ScalarPlan

_STATE_FILE = "trainer_state.json"
"""Written last into a checkpoint, so one that has it is whole."""


def import_trl() -> Any:
    """TRL's names that are used.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from trl import RewardConfig, RewardTrainer
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training a scalar model needs {error.name}, which is not installed; pip install 'rmr1[train]'"
        ) from None
    return SimpleNamespace(RewardConfig=RewardConfig, RewardTrainer=RewardTrainer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Peak learning rates of one training."""

    lr: float
    muon_lr: float

    @property
    def name(self) -> str:
        """As a folder's name: `lr-0.002`."""
        return f"lr-{self.lr:g}" if self.muon_lr == self.lr else f"lr-{self.lr:g}-muon-{self.muon_lr:g}"


def train(
    plan: ScalarPlan, rate: Rate, model: PreTrainedModel, folder: RunFolder, display: Display
) -> dict[str, Any]:
    """Train the model to the end of the plan, from the folder's last checkpoint where there is one; its figures.

    Raises:
        TrainingError: it has diverged.
        ConfigError: a setting does not suit this machine, or the weights' number format rounds steps away.
        CheckpointError: a checkpoint cannot be written or read.
    """
    recipe, course = plan.recipe, plan.course
    checkpoints = folder.path / CHECKPOINTS
    start = find_complete_checkpoint(checkpoints)
    folder.rewind(0 if start is None else read_step(start))
    watcher = Watcher(plan, rate, model, folder, display, has_start=start is not None)
    optimizer = build_scalar_optimizer(model, recipe.optim, lr=rate.lr, muon_lr=rate.muon_lr)
    warning = check_moving_share(optimizer.parts, rate=rate.lr, most_stuck=recipe.model.max_stuck_share)
    if warning is not None and start is None:
        display.say(f"rmr1: {warning}")

    def factor(step: int) -> float:
        return compute_rate(
            step,
            total=course.num_steps,
            warmup=plan.warmup_steps,
            schedule=recipe.optim.schedule,
            min_ratio=recipe.optim.min_ratio,
        )

    watcher.factor = factor
    tokenizer = deepcopy(plan.base.tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(plan.pad)
    with quiet(), alone():
        trainer = _build_trainer(
            plan,
            checkpoints,
            model=model,
            train_dataset=plan.train.as_dataset(course.order),
            processing_class=tokenizer,
            optimizers=(optimizer, LambdaLR(optimizer, factor)),
            callbacks=[watcher],
        )
        watcher.trainer = trainer
        trainer.remove_callback(PrinterCallback)
        with blaming(recipe.model.base or "from scratch", model, "trained"):
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
            watcher.check_weights()
            held_out = watcher.look() if len(plan.held_out) else {}
    return {
        "lr": rate.lr,
        **({"muon_lr": rate.muon_lr} if recipe.optim.name == "muon" else {}),
        "steps": course.num_steps,
        "examples": len(course.order),
        "tokens": course.tokens[-1],
        "seconds": round(watcher.seconds, 3),
        "loss": watcher.loss,
        **held_out,
    }


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Take back at the end what accelerate keeps for the whole process, such as the precision."""
    from accelerate.state import AcceleratorState

    is_first = not AcceleratorState._shared_state
    try:
        yield
    finally:
        if is_first:
            AcceleratorState._reset_state(reset_partial_state=True)


def _build_trainer(plan: ScalarPlan, folder: Path, **arguments: Any) -> Any:
    trl = import_trl()

    base: Any = trl.RewardTrainer

    class Trainer(base):
        """Takes the pairs in the order that they have, and writes no model card."""

        def _get_train_sampler(self, *arguments: Any, **options: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def create_model_card(self, *arguments: Any, **options: Any) -> None:
            return None

        def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
            watcher.check_weights()
            try:
                super()._save_checkpoint(*arguments, **options)
            except (OSError, SafetensorError, RuntimeError) as error:
                place = folder / f"checkpoint-{self.state.global_step}"
                shutil.rmtree(place, ignore_errors=True)
                last = find_complete_checkpoint(folder)
                stays = f"{last.name} stays" if last else "none was written before"
                reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
                raise CheckpointError(
                    f"{place}: the checkpoint cannot be written ({reason}); {stays}: free space, then run the "
                    "same command again"
                ) from None

    (watcher,) = arguments["callbacks"]
    recipe = plan.recipe
    at_once = recipe.batch.examples_at_once or recipe.batch.examples
    wanted = recipe.report.report_to
    try:
        config = trl.RewardConfig(
            output_dir=str(folder),
            seed=recipe.seed,
            use_cpu=recipe.device == "cpu" or find_gpu() is None,
            bf16=recipe.model.precision == "bf16",
            gradient_checkpointing=recipe.model.checkpointing,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=recipe.batch.examples // at_once,
            num_train_epochs=1,
            max_grad_norm=recipe.optim.clip,
            learning_rate=recipe.optim.lr[0],
            max_length=None,
            save_strategy="steps" if recipe.checkpoint.every else "no",
            save_steps=recipe.checkpoint.every or 1,
            save_total_limit=recipe.checkpoint.keep,
            logging_steps=recipe.report.every,
            logging_nan_inf_filter=False,
            report_to=wanted if isinstance(wanted, str) else list(wanted),
            run_name=recipe.report.project,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        return Trainer(args=config, **arguments)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ConfigError(f"TRL refuses the recipe: {str(error).strip().splitlines()[0]}") from None


class Watcher(TrainerCallback):
    """Writes metrics.jsonl, shows progress, looks at the held-out pairs."""

    def __init__(
        self,
        plan: ScalarPlan,
        rate: Rate,
        model: PreTrainedModel,
        folder: RunFolder,
        display: Display,
        *,
        has_start: bool,
    ):
        self.trainer: Any = None
        self.factor: Any = None
        self.loss: float | None = None
        self._plan = plan
        self._rate = rate
        self._model = model
        self._folder = folder
        self._display = display
        self._before = _read_seconds(folder.path) if has_start else 0.0
        self._began = self._logged = time.perf_counter()
        self._logged_tokens = 0
        self._step = 0
        self._last: dict[str, float] = {}
        """Figures of the last good look at them."""

    @property
    def seconds(self) -> float:
        """Training time, that of earlier starts included."""
        return self._before + time.perf_counter() - self._began

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = self._logged = time.perf_counter()
        self._step = state.global_step
        self._logged_tokens = self._tokens()
        if self._step:
            self._display.say(f"rmr1: {self._folder.path}: going on after step {self._step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step = state.global_step
        every = self._plan.recipe.evaluation.every
        if every and self._step % every == 0 and self._step < self._plan.course.num_steps:
            self.look()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        self.loss = float(logs["loss"])
        norm = float(logs.get("grad_norm") or 0.0)
        self._check({"loss": self.loss, "gradient": norm})
        now, tokens = time.perf_counter(), self._tokens()
        values = {
            "step": self._step,
            "loss": self.loss,
            "accuracy": logs.get("accuracy"),
            "margin": logs.get("margin"),
            "lr": self.factor(self._step - 1) * self._rate.lr,
            "grad_norm": norm,
            "tokens": tokens,
            "tokens_per_second": (tokens - self._logged_tokens) / max(now - self._logged, 1e-9),
            "seconds": self.seconds,
            "memory_gb": peak_memory_gb(self._model.device),
        }
        self._logged, self._logged_tokens = now, tokens
        self._folder.log(values)
        self._display.update(values)

    def look(self) -> dict[str, float]:
        """Held-out figures, logged."""
        plan = self._plan
        with self.trainer.accelerator.autocast():
            values = score_held_out(
                self._model, plan.held_out, pad=plan.pad, batch_size=plan.recipe.evaluation.batch_size
            )
        self._check({**self._last, "held-out loss": values["held_out_loss"]})
        self._folder.log({"step": self._step, **values})
        self._display.say(
            f"step {self._step}, rate {self._rate.lr:g}: held-out loss {values['held_out_loss']:.4f}, "
            f"{100 * values['held_out_accuracy']:.1f}% of {len(plan.held_out)} pairs right"
        )
        self._logged = time.perf_counter()
        return values

    def check_weights(self) -> None:
        """
        Raises:
            TrainingError: a step has left weights that are no numbers.
        """
        place = f"rate {self._rate.lr:g}, after step {self._step}"
        check_finite_weights(place, self._model, last=self._last, folder=self._folder.path)

    def _check(self, figures: dict[str, float]) -> None:
        """
        Raises:
            TrainingError: a figure is no number.
        """
        place = f"rate {self._rate.lr:g}, step {self._step}"
        check_finite(place, figures, last=self._last, folder=self._folder.path)
        self._last = figures

    def _tokens(self) -> int:
        return self._plan.course.tokens[self._step - 1] if self._step else 0


@torch.no_grad()
def score_held_out(
    model: PreTrainedModel, store: PairStore, *, pad: int, batch_size: int
) -> dict[str, float]:
    """Mean loss, and the share of pairs whose better answer has the higher score; equal scores are wrong."""
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    order = sorted(range(len(store)), key=lambda place: -store.num_tokens(place))
    for start in range(0, len(order), batch_size):
        pairs = [store.get(place) for place in order[start : start + batch_size]]
        rows = [pair[side] for side in (0, 1) for pair in pairs]
        better, worse = score_rows(model, rows, pad=pad).chunk(2)
        loss += float(softplus(worse - better).sum())
        correct += int((better > worse).sum())
    model.train(was_training)
    return {"held_out_loss": loss / len(store), "held_out_accuracy": correct / len(store)}


def score_rows(model: PreTrainedModel, rows: Sequence[Sequence[int]], *, pad: int) -> torch.Tensor:
    """Scores `[B]` of conversations, padded on the right under a mask as TRL pads them in training."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=model.device)
    scores: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return scores.float().squeeze(-1)


def check_batches(model: PreTrainedModel, *, pad: int, max_tokens: int) -> tuple[str, ...]:
    """See to it that a batch of conversations gives the scores of each alone; notes on what was set for that.

    Raises:
        ConfigError: it does not, so that pairs cannot be trained on in batches.
    """
    found = prove_scoring(model, lambda rows, _: score_rows(model, rows, pad=pad), may_be_bare=False)
    if found.padding == "none":
        raise ConfigError(f"{found.notes[-1]}; pairs are trained on in batches here: choose another model")
    if found.turning is not None and found.turning.border < max_tokens:
        raise ConfigError(
            f"{type(model).__name__}: positions are turned otherwise in texts of more than {found.turning.border} "
            f"tokens, so a pair's scores would depend on the longest of its batch; set data.max_tokens = "
            f"{found.turning.border}"
        )
    return found.notes


def find_complete_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; others are deleted, since a kill left them."""
    found = None
    for place in sorted(folder.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2])):
        try:
            read_step(place)
        except (OSError, ValueError, KeyError):
            shutil.rmtree(place, ignore_errors=True)
        else:
            found = place
    return found


def read_step(checkpoint: Path) -> int:
    """Finished steps of a checkpoint."""
    return int(json.loads((checkpoint / _STATE_FILE).read_text(encoding="utf-8"))["global_step"])


def _read_seconds(folder: Path) -> float:
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0.0
    return max((json.loads(line).get("seconds", 0.0) for line in lines), default=0.0)
