"""Mini-batches -> steps of the optimizer: the half of a rollout that learns.

Each mini-batch makes one step: its live groups are packed into rows, each process takes its share of them, and the
losses, whose weights count the whole mini-batch, add up. Neither packing nor the number of processes changes the step.

Shapes: `N` completion tokens of a row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from rmr1.attention.groups import GroupRow, build_group_row, pack_groups
from rmr1.attention.proof.ask import find_turning
from rmr1.attention.proof.attending import set_attention
from rmr1.attention.proof.probe import FAULT
from rmr1.attention.proof.training import RowPaths
from rmr1.devices import widest_float
from rmr1.errors import ConfigError
from rmr1.train.group import add_up, count_processes, take_share
from rmr1.train.grpo.batches import MiniBatch, ScoredGroup, UpdateRow, build_update_row
from rmr1.train.grpo.logprobs import GroupLogprobs, prove_groups
from rmr1.train.grpo.objective import SUMS, compute_loss
from rmr1.train.grpo.recipe import GrpoRecipe, Objective
from rmr1.train.row import agree
from rmr1.train.sharding import Held
from rmr1.train.start import Trainee, load_base, load_divided
from rmr1.train.stored import load_skeleton
from rmr1.train.update import Updater

STATS = (*SUMS, "entropy")
"""What `GroupLoss` sums over the tokens that count, in its order."""


class GroupLoss(torch.nn.Module):
    """A causal language model whose forward gives the loss of a row of groups."""

    def __init__(
        self,
        model: PreTrainedModel,
        objective: Objective,
        *,
        temperature: float,
        paths: RowPaths | None = None,
    ):
        super().__init__()
        self.policy = GroupLogprobs(model, temperature=temperature, paths=paths)
        self.objective = objective

    def forward(
        self,
        update: UpdateRow,
        ref_N: torch.Tensor | None,
        old_N: torch.Tensor | None,
        is_alone: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss; the sums named in `STATS`, in the widest numbers and detached; and sum, number and largest of the
        differences between the sampler's log-probabilities and the policy's, all 0 once `old_N` is given.

        `ref_N` and `old_N` are log-probabilities under the reference, and under the weights that sampled if those are
        no longer the policy's.
        """
        logprobs_N, entropies_N = self.policy(update.row, is_alone=is_alone)
        loss = compute_loss(
            self.objective,
            logprobs_N=logprobs_N,
            advantages_N=update.advantages,
            weights_N=update.weights,
            old_logprobs_N=old_N,
            ref_logprobs_N=ref_N,
            sampler_logprobs_N=update.sampler_logprobs,
        )
        is_counted_N = update.weights != 0
        wide = widest_float(logprobs_N.device)
        sums = [one.detach().to(wide) for one in (*loss.sums.values(), (entropies_N * is_counted_N).sum())]
        apart = torch.zeros(3, dtype=wide, device=logprobs_N.device)
        if old_N is None and is_counted_N.any():
            found = (logprobs_N.detach() - update.sampler_logprobs).abs()[is_counted_N].to(wide)
            apart = torch.stack([found.sum(), is_counted_N.sum().to(wide), found.max()])
        return loss.value, torch.stack(sums), apart


class Reference:
    """The model as it was before reinforcement: the policy without its adapters, or a copy that stays."""

    def __init__(
        self,
        held: Held,
        *,
        adapted: Any = None,
        temperature: float,
        paths: RowPaths,
    ):
        """`held` is the copy, or with `adapted`, peft's wrapper, the policy itself."""
        self._adapted = adapted
        self._held = held
        self._model = model = cast(PreTrainedModel, held.model)
        self._logprobs = GroupLogprobs(model, temperature=temperature, paths=paths)
        if adapted is None:
            model.requires_grad_(False)

    @torch.no_grad()
    def compute(self, row: GroupRow, *, is_alone: bool = False) -> torch.Tensor:
        """Log-probabilities `[N]` of the row's completion tokens."""
        was_training = self._model.training
        without = contextlib.nullcontext() if self._adapted is None else self._adapted.disable_adapter()
        self._model.eval()
        try:
            with without, self._logprobs.attention():
                logprobs_N: torch.Tensor = self._held.read(partial(self._logprobs, is_alone=is_alone), row)[0]
        finally:
            self._model.train(was_training)
        return logprobs_N


class Learner:
    """The policy's loss, the reference it is held to, and the optimizers of its weights."""

    def __init__(
        self, trainee: Trainee, recipe: GrpoRecipe, objective: Objective, accelerator: Any, output: Path
    ):
        """A reference is loaded if the objective has a KL term and there are no adapters."""
        self.model = trainee.model
        self.recipe = recipe
        self.objective = objective
        self.accelerator = accelerator
        self.device = accelerator.device
        self.wide = widest_float(self.device)
        temperature = recipe.rollout.temperature
        self.held = trainee.held
        with self.held.gathered(), accelerator.autocast():
            paths = prove_groups(self.model)
        self.paths = agree(self.model, paths)
        self.notes = list(self.paths.notes)
        """What was found out about the model, a line each."""
        self._is_compared = False
        self.reference = self._load_reference(trainee, temperature) if objective.beta else None
        self.loss = GroupLoss(self.model, objective, temperature=temperature, paths=self.paths)
        self.updater = Updater(self.loss, recipe, output)

    def update(
        self,
        batches: Sequence[MiniBatch],
        factor: float,
        *,
        rollout: int,
        seed: Callable[..., None] | None = None,
    ) -> tuple[dict[str, float], list[float]]:
        """A step of the optimizer for each mini-batch that has a live group; `rollout` is for complaints, and `seed`
        is called with the places of a mini-batch and of a row in it before that row is computed.

        Returns sums over the tokens that count, by the names of `STATS` and "loss", and the gradients' lengths. With
        the sums come "sampler_log_ratio", a mean, and "sampler_log_ratio_max" of what the sampling weights learnt from.
        """
        olds = self.compute_old(batches, seed=seed)
        totals = torch.zeros(len(STATS) + 1, dtype=self.wide, device=self.device)
        apart: dict[str, float] = {}
        norms = []
        for number, batch in enumerate(batches):
            if not batch.groups:
                continue
            sums, differences = self.backward(
                batch, olds.get(number), seed=None if seed is None else partial(seed, number)
            )
            totals += sums
            if differences[1]:
                mean, largest = float(differences[0] / differences[1]), float(differences[2])
                apart = {"sampler_log_ratio": mean, "sampler_log_ratio_max": largest}
                self._compare(mean)
            norms.append(self.updater.step(f"rollout {rollout}", float(totals[0]), factor))
        self.updater.check_weights(f"after rollout {rollout}")
        return {**dict(zip(("loss", *STATS), totals.tolist(), strict=True)), **apart}, norms

    def _compare(self, mean: float) -> None:
        """Complain, once, if the log-probabilities of sampler and trainer differ by more than rounding."""
        was_compared, self._is_compared = self._is_compared, True
        if was_compared or mean <= FAULT * self.paths.noise / self.recipe.rollout.temperature:
            return
        found = (
            f"{type(self.model).__name__}: log-probabilities of sampler and trainer differ by {mean:.2g} nats per "
            f"token (noise {self.paths.noise:.2g})"
        )
        if self.recipe.rollout.engine != "vllm":
            raise ConfigError(
                f"{found}, so it would learn from texts of another model; choose another model, or "
                "rollout.engine = 'vllm' with objective.importance = 'truncate'"
            )
        self.notes.append(
            f"{found}: vLLM rounds otherwise; objective.importance = 'truncate' corrects what that does"
        )

    def backward(
        self,
        batch: MiniBatch,
        old: Mapping[int, torch.Tensor] | None = None,
        *,
        seed: Callable[..., None] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of a mini-batch's loss on every process; the loss and its sums, `[1 + STATS]`; and how far the
        sampler is from the trainer, as `GroupLoss` gives it.

        `old` is of `compute_old`; None says that the policy still has the weights that sampled.
        """
        ranks = count_processes()
        totals = torch.zeros(len(STATS) + 1, dtype=self.wide, device=self.device)
        apart = torch.zeros(3, dtype=self.wide, device=self.device)
        with self.loss.policy.attention():
            for one in self._share(batch):
                if seed is not None:
                    seed(one.place)
                update = build_update_row(one.groups, batch, self.objective, self.device)
                with self.accelerator.autocast():
                    ref_N = None
                    if self.reference is not None:
                        ref_N = self.reference.compute(update.row, is_alone=one.is_alone)
                    old_N = None if old is None else update.sampler_logprobs if not old else old[one.place]
                    value, sums, differences = self.held(self.loss, update, ref_N, old_N, one.is_alone)
                # Processes' gradients are averaged, so each one's part counts `ranks` times.
                (value * (one.weight * ranks)).backward()
                totals += one.weight * torch.cat([value.detach().to(self.wide)[None], sums])
                apart[:2] += one.weight * differences[:2]
                apart[2] = torch.maximum(apart[2], one.weight * differences[2])
        if ranks > 1:
            add_up(totals)
            add_up(apart[:2])
            torch.distributed.all_reduce(apart[2:], torch.distributed.ReduceOp.MAX)
        return totals, apart

    def _share(self, batch: MiniBatch) -> Iterator[_Pass]:
        """The passes of this process: rows of groups, first those whose completions go through the model one by one,
        a group to a row; and rows that count for nothing, because all processes make the same passes."""
        joined: list[int] = []
        alone: list[int] = []
        for place, one in enumerate(batch.groups):
            group = one.group
            longest = len(group.prompt) + max(map(len, group.completions))
            (joined if self.paths.joins_within(longest) else alone).append(place)
        packed = pack_groups([batch.groups[place].group for place in joined], self.recipe.update.row_tokens)
        kinds = (
            (True, [[place] for place in alone]),
            (False, [[joined[one] for one in row] for row in packed]),
        )
        number = 0
        for is_alone, rows in kinds:
            costs = [float(sum(batch.groups[place].group.num_tokens for place in row)) for row in rows]
            for row in take_share(costs):
                if row is None:
                    yield _Pass(groups=[_shorten(batch.groups[0])], place=-1, weight=0.0, is_alone=is_alone)
                else:
                    groups = [batch.groups[place] for place in rows[row]]
                    yield _Pass(groups=groups, place=number + row, weight=1.0, is_alone=is_alone)
            number += len(rows)

    @torch.no_grad()
    def compute_old(
        self, batches: Sequence[MiniBatch], *, seed: Callable[..., None] | None = None
    ) -> dict[int, dict[int, torch.Tensor]]:
        """For each mini-batch that is trained after the first update, log-probabilities under the weights before it.

        The sampler's own serve, an empty dict, unless they are corrected by importance: then the trainer's are
        computed, `[N]` for each row that this process will learn from.
        """
        later = [number for number in range(1, len(batches)) if batches[number].groups]
        if self.objective.importance == "none":
            return {number: {} for number in later}
        found: dict[int, dict[int, torch.Tensor]] = {}
        with self.loss.policy.attention(), self.accelerator.autocast():
            for number in later:
                found[number] = {}
                for one in self._share(batches[number]):
                    if seed is not None:
                        seed(number, one.place)
                    row = build_group_row([group.group for group in one.groups], self.device)
                    read = partial(self.loss.policy, is_alone=one.is_alone)
                    found[number][one.place] = self.held.read(read, row)[0]
        return found

    def _load_reference(self, trainee: Trainee, temperature: float) -> Reference:
        if trainee.adapted is not None:
            return Reference(trainee.held, adapted=trainee.adapted, temperature=temperature, paths=self.paths)
        dtype = torch.float32 if self.recipe.model.precision == "fp32" else torch.bfloat16
        if count_processes() > 1:
            model = self.recipe.model
            held = load_divided(
                self.recipe,
                self.device,
                skeleton=lambda: load_skeleton(model, dtype),
                whole=lambda: load_base(model, torch.device("cpu"), dtype),
                adapt=_freeze,
            )
        else:
            held = Held(load_base(self.recipe.model, self.device, dtype))
        copy = cast(PreTrainedModel, held.model.eval())
        set_attention(copy, self.model.config._attn_implementation)
        turning = None if self.paths.turning is None else find_turning(copy)
        paths = replace(self.paths, turning=turning)
        return Reference(held, temperature=temperature, paths=paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """A row of groups that a process computes."""

    groups: list[ScoredGroup]
    place: int
    """Number of the row in its mini-batch; -1 if it counts for nothing."""
    weight: float
    is_alone: bool
    """Its completions go through the model one by one."""


def _shorten(one: ScoredGroup) -> ScoredGroup:
    """A group of as many completions, of a token each after a token."""
    samples = [
        replace(sample, tokens=sample.tokens[:1], logprobs=sample.logprobs[:1]) for sample in one.samples
    ]
    prepared = replace(one.task.prepared, tokens=one.task.prepared.tokens[:1])
    return replace(one, task=replace(one.task, prepared=prepared), samples=samples)


def _freeze(model: PreTrainedModel) -> None:
    model.requires_grad_(False)
