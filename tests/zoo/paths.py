"""What rmr1 computes for a model of the zoo, by the functions that the product calls once a model is loaded.

Each path gives what it found beside the truth, and the notes that its self-check left, if there is one. A model that
is refused raises an error of `rmr1.errors`.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from transformers import PreTrainedModel

from rmr1.attention import shared_cache as shared
from rmr1.attention.kept import Kept, Room
from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.decode import PromptRequest, RowRequest, decode, score_tokens
from rmr1.train import sft
from rmr1.train.grpo.batches import MiniBatch, ScoredGroup, build_update_row
from rmr1.train.grpo.learn import Learner
from rmr1.train.grpo.objective import Objective
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.rollout import Sample
from rmr1.train.processes import accelerated
from rmr1.train.recipe import Recipe, ReportRecipe
from rmr1.train.row import Example
from rmr1.train.start import Trainee
from tests.zoo.configs import Case, build_model
from tests.zoo.truth import EXACT_GRADIENT, Text, Truth, differ, differ_gradient, make_texts

DOCUMENTS = ((40, 50), (5, 20), (3, 9), (20, 30))
"""Tokens of prompt and judgment of the examples of a fine-tuning step."""
GROUPS = ((60, (30, 12)), (11, (5, 20, 7)), (25, (25, 1)))
"""Tokens of the prompts and their completions of an update."""
PROMPTS = ((70, 2), (17, 1), (5, 3), (33, 2))
"""Tokens of the prompts that are judged, and samples of each."""
NEW_TOKENS = 12
SPELLINGS = ((60, 3), (60, 5), (60, 1))
"""One prefix and the texts that are scored after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a path is from the truth."""

    difference: float
    """As a multiple of what is tolerated: above 1 it is wrong."""
    notes: tuple[str, ...] = ()
    """What the self-check says of it; slow if anything."""


Path_ = Callable[[Case, Truth], Outcome]


def train_sft(case: Case, truth: Truth, *, packing: bool) -> Outcome:
    """The loss of a fine-tuning step and its gradient."""
    texts = make_texts(DOCUMENTS, seed=1)
    judged = sum(len(text.own) for text in texts)
    model = build_model(case).train()
    recipe = Recipe.model_validate(
        {
            "model": {"base": "zoo", "precision": "fp32"},
            "data": {"train": "none.jsonl"},
            "batch": {"examples": len(texts), "packing": packing, "row_tokens": 512},
            "optim": {"name": "adamw", "steps": 1},
        }
    )
    plan: Any = SimpleNamespace(
        recipe=recipe,
        base=SimpleNamespace(tokenizer=None, context=512),
        notes=(),
        renderer=SimpleNamespace(end_token=None),
        counts=SimpleNamespace(largest_token=0),
        steps=1,
        warmup_steps=0,
        held_out=(),
    )
    examples = [Example(tokens=text.tokens, num_prompt=len(text.prompt)) for text in texts]
    with (
        _accelerator() as accelerator,
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(sft, "load_trainee", return_value=Trainee(model=model)),
    ):
        training = sft.FineTuning(plan, accelerator, Path(folder), None, quiet=True)
        loss = training.backward(examples, judged)
    wanted = [truth.logprobs(text) for text in texts]
    gradient = truth.gradient(texts, [torch.full((len(text.own),), -1.0 / judged) for text in texts])
    return Outcome(
        difference=max(
            differ([loss], [-float(torch.cat(wanted).sum()) / judged]) / truth.tolerance,
            _judge_gradient(model, gradient, truth),
        ),
        notes=_read_notes(training.loss),
    )


def train_grpo(case: Case, truth: Truth) -> Outcome:
    """The log-probabilities of an update's tokens, and its gradient."""
    groups, texts = _make_groups()
    model = build_model(case).train()
    with _accelerator() as accelerator:
        learner = _build_learner(model, accelerator, importance="none")
        batch = _make_batch(groups)
        learner.backward(batch)
        gradient = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
        # Log-probabilities are what a second mini-batch is compared with.
        learner.objective = Objective(beta=0.0, importance="truncate")
        empty = MiniBatch(groups=[], num_sequences=0, num_tokens=0)
        found = learner.compute_old([empty, batch])[1]
        passes = list(learner._share(batch))
    order = [groups.index(group) for one in passes for group in one.groups]
    ordered = [text for place in order for text in texts[place]]
    logprobs = torch.cat([found[one.place] for one in passes])
    wanted = torch.cat([truth.logprobs(text).detach() for text in ordered])
    update = build_update_row([groups[place] for place in order], batch, Objective(beta=0.0))
    weights = (-update.advantages * update.weights).split([len(text.own) for text in ordered])
    return Outcome(
        difference=max(
            differ(logprobs, wanted) / truth.tolerance,
            differ_gradient(gradient, truth.gradient(ordered, weights)) / _tolerate_gradient(truth),
        ),
        notes=_read_notes(learner),
    )


def judge(case: Case, truth: Truth, *, shares: bool, temperature: float = 0.0) -> Outcome:
    """Texts that are written, greedily or drawn, and what is said of their tokens' probabilities."""
    model = build_model(case)
    with _sharing(shares):
        return _decode(model, truth, _make_prompts(), temperature=temperature)


def go_on(case: Case, truth: Truth) -> Outcome:
    """Texts that go on from what was kept of them, if anything was; those of a prompt together."""
    model, room = build_model(case), Room(1 << 30)
    prompts = _make_prompts()
    params = SamplingParams(temperature=1.0)
    begun = [
        PromptRequest(tokens=prompt, max_new_tokens=3 + place, rows=[RowRequest(seed=place, keeps=True)])
        for place, prompt in enumerate(prompts)
    ]
    written = decode(model, begun, params, end_tokens=frozenset(), room=room)
    texts = [
        (*prompt, *row.tokens[:-1], *prompt[:2]) for prompt, (row,) in zip(prompts, written, strict=True)
    ]
    kept = [row.kept for (row,) in written]
    with _sharing(True):
        return _decode(model, truth, texts, kept, temperature=1.0)


def roll_out(case: Case, truth: Truth) -> Outcome:
    """The sampler's log-probabilities, from a model that a learner holds too."""
    model = build_model(case).train()
    with _accelerator() as accelerator:
        learner = _build_learner(model, accelerator, importance="none")
        model.eval()
        with _sharing(True):
            found = _decode(model, truth, _make_prompts(), temperature=1.0)
    return Outcome(difference=found.difference, notes=(*found.notes, *_read_notes(learner)))


def score(case: Case, truth: Truth) -> Outcome:
    """Log-probabilities of the spellings of a verdict."""
    first, *others = make_texts(SPELLINGS, seed=4)
    model = build_model(case)
    texts = [first, *(Text(prompt=first.prompt, own=one.own) for one in others)]
    found = score_tokens(model, first.prompt, [text.own for text in texts])
    wanted = torch.cat([truth.logprobs(text).detach() for text in texts])
    flat = [value for row in found for value in row]
    return Outcome(difference=differ(flat, wanted) / truth.tolerance, notes=_read_judging_notes(model))


PATHS: dict[str, Path_] = {
    "sft": functools.partial(train_sft, packing=True),
    "sft-alone": functools.partial(train_sft, packing=False),
    "grpo": train_grpo,
    "rollout": roll_out,
    "judge": functools.partial(judge, shares=False),
    "go-on": go_on,
    "judge-shared": functools.partial(judge, shares=True),
    "score": score,
}
"""Every way that the product computes a model in, by its name."""


def _make_prompts() -> list[tuple[int, ...]]:
    return [text.prompt for text in make_texts([(length, 0) for length, _ in PROMPTS], seed=3)]


def _decode(
    model: PreTrainedModel,
    truth: Truth,
    prompts: Sequence[tuple[int, ...]],
    begun: Sequence[Kept | None] | None = None,
    *,
    temperature: float,
) -> Outcome:
    kept = [None] * len(prompts) if begun is None else begun
    requests = [
        PromptRequest(
            tokens=prompt,
            max_new_tokens=NEW_TOKENS,
            begun=kept[place],
            rows=[
                RowRequest(seed=100 * place + sample, watch=_end_after(4 + 3 * ((place + sample) % 3)))
                for sample in range(samples)
            ],
        )
        for place, (prompt, (_, samples)) in enumerate(zip(prompts, PROMPTS, strict=True))
    ]
    params = SamplingParams(temperature=temperature)
    drawn = decode(model, requests, params, end_tokens=frozenset(), with_logprobs=True)
    worst = 0.0
    known: dict[Text, torch.Tensor] = {}
    for prompt, rows in zip(prompts, drawn, strict=True):
        for row in rows:
            text = Text(prompt=prompt, own=tuple(row.tokens))
            if text not in known:
                known[text], gap = truth.drawn(text)
                if temperature == 0:
                    worst = max(worst, gap / 2)  # two logits may each be off
            worst = max(worst, differ(row.logprobs, known[text]))
    return Outcome(difference=worst / truth.tolerance, notes=_read_judging_notes(model))


def _end_after(number: int) -> Callable[[int], bool]:
    """So that rows leave one after the other."""
    seen = 0

    def watch(_: int) -> bool:
        nonlocal seen
        seen += 1
        return seen >= number

    return watch


def _make_groups() -> tuple[list[ScoredGroup], list[list[Text]]]:
    groups, texts = [], []
    for number, (length, completions) in enumerate(GROUPS):
        prompt, *owns = make_texts([(length, 0), *((1, own) for own in completions)], seed=20 + number)
        texts.append([Text(prompt=prompt.prompt, own=one.own) for one in owns])
        groups.append(
            ScoredGroup(
                task=SimpleNamespace(tokens=prompt.prompt),  # type: ignore[arg-type]
                samples=[
                    Sample(tokens=list(one.own), logprobs=[0.0] * len(one.own), text="", is_cut=False)
                    for one in owns
                ],
                judged=[],
                rewards=[
                    SimpleNamespace(total=float(place % 2) + 0.3 * place)  # type: ignore[misc]
                    for place in range(len(owns))
                ],
            )
        )
    return groups, texts


def _make_batch(groups: Sequence[ScoredGroup]) -> MiniBatch:
    return MiniBatch(
        groups=groups,
        num_sequences=sum(len(group.samples) for group in groups),
        num_tokens=sum(len(sample.tokens) for group in groups for sample in group.samples),
    )


def _build_learner(model: PreTrainedModel, accelerator: Any, *, importance: Any) -> Learner:
    recipe = GrpoRecipe.model_validate(
        {
            "model": {"base": "zoo", "precision": "fp32"},
            "data": {"train": "none.jsonl"},
            "update": {"row_tokens": 512},
        }
    )
    objective = Objective(beta=0.0, importance=importance)
    return Learner(Trainee(model=model), recipe, objective, accelerator, Path())


@contextmanager
def _accelerator() -> Iterator[Any]:
    with accelerated(device="cpu", is_mixed=False, report=ReportRecipe()) as accelerator:
        yield accelerator


@contextmanager
def _sharing(shares: bool) -> Iterator[None]:
    """Share prompts however little that spares, or never."""
    least = 0 if shares else 1 << 60
    with mock.patch.dict(shared._MIN_SPARED_BYTES, dict.fromkeys(shared._MIN_SPARED_BYTES, least)):
        yield


def _tolerate_gradient(truth: Truth) -> float:
    return EXACT_GRADIENT * truth.tolerance / 1e-4


def _judge_gradient(model: PreTrainedModel, wanted: dict[str, torch.Tensor], truth: Truth) -> float:
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return differ_gradient(found, wanted) / _tolerate_gradient(truth)


def _read_notes(one: Any) -> tuple[str, ...]:
    """Of what holds paths, if there is a self-check."""
    paths = getattr(one, "paths", None)
    return tuple(getattr(paths, "notes", ()))


def _read_judging_notes(model: PreTrainedModel) -> tuple[str, ...]:
    try:
        from rmr1.attention.proof.judging import judging_paths
    except ModuleNotFoundError:
        return ()
    return tuple(judging_paths(model).notes)
