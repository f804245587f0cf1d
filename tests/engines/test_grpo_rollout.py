"""Rollouts by vLLM, held against the trainer's own, with weights that change in place."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.engines.asking import ask, complain
from tests.engines.conftest import ANSWERS, HAS_VLLM

if not HAS_VLLM:
    pytest.skip("vllm is not installed here; see `make test-engines`", allow_module_level=True)

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rmr1.engines.base import SamplingParams
from rmr1.engines.hf.reader import Prepared, RequestReader, read_end_tokens
from rmr1.errors import ConfigError, GenerationError
from rmr1.messages import assistant, user
from rmr1.records import PreferencePair
from rmr1.train.grpo.rollout import Sample, Sampler
from rmr1.train.grpo.rollout_vllm import VllmSampler, merge_weights
from rmr1.train.grpo.tasks import Task
from tests.tiny_models import END, build_model, build_tokenizer, save_model

QUESTIONS = [*ANSWERS, "hi", "a long question of many words, told again and again " * 6]
CLOSE = 1e-3


class Trained:
    """A model of the trainer, and the prompts that it is asked."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.ends = read_end_tokens(self.model.config, self.tokenizer)

    def tasks(self, questions: Sequence[str], *, max_new_tokens: int = 40) -> list[Task]:
        reader = RequestReader(
            name="own",
            tokenizer=self.tokenizer,
            num_embeddings=len(self.tokenizer),
            max_model_len=1024,
            end_tokens=self.ends,
        )
        found = []
        for place, question in enumerate(questions):
            prepared = reader.prepare(ask(question), SamplingParams(max_new_tokens=max_new_tokens))
            assert isinstance(prepared, Prepared)
            pair = PreferencePair(
                id=str(place), prompt=(user("q"),), response_a=(assistant("a"),), response_b=(assistant("b"),)
            )
            found.append(Task(pair=pair, prepared=prepared, place=place))
        return found

    def sampler(self, model: PreTrainedModel | None = None) -> Sampler:
        return Sampler(model or self.model, self.tokenizer, end_tokens=self.ends, rows=16)

    def start(self) -> VllmSampler:
        return VllmSampler(
            self.folder,
            self.tokenizer,
            end_tokens=self.ends,
            max_model_len=512,
            dtype="float32",
            max_num_seqs=8,
            cpu_cache_bytes=100 << 20,
        )


@pytest.fixture(scope="module")
def parrot(make_parrot: Callable[[str], Path]) -> Trained:
    return Trained(make_parrot("letter"))


@pytest.fixture(scope="module")
def served(parrot: Trained) -> Iterator[VllmSampler]:
    sampler = parrot.start()
    yield sampler
    sampler.close()
    assert "is closed" in complain(
        lambda: sampler.sample(parrot.tasks(["hi"]), samples=1, temperature=0.0), GenerationError
    )


@torch.no_grad()
def trainer_logprobs(model: PreTrainedModel, task: Task, sample: Sample, temperature: float) -> torch.Tensor:
    """Of the sample's tokens, from one forward pass over prompt and sample."""
    ids = torch.tensor([[*task.tokens, *sample.tokens]])
    logits = model(input_ids=ids, use_cache=False).logits[0, len(task.tokens) - 1 : -1].float()
    logprobs = (logits / temperature).log_softmax(-1)
    return logprobs.gather(-1, ids[0, len(task.tokens) :, None])[:, 0]


def assert_same(found: list[list[Sample]], wanted: list[list[Sample]]) -> None:
    """Equal to the last token, and in log-probabilities by a thousandth."""
    assert [[one.tokens for one in group] for group in found] == [
        [one.tokens for one in group] for group in wanted
    ]
    for ours, others in zip(found, wanted, strict=True):
        for one, other in zip(ours, others, strict=True):
            assert (one.text, one.is_cut) == (other.text, other.is_cut)
            assert one.logprobs == pytest.approx(other.logprobs, abs=CLOSE)


def greedy(sampler: Sampler | VllmSampler, tasks: Sequence[Task]) -> list[list[Sample]]:
    return sampler.sample(tasks, samples=1, temperature=0.0)


def shake(model: PreTrainedModel, *, seed: int, by: float) -> None:
    """Move every weight by noise of the share `by` of its matrix's spread."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(by * weight.std() * torch.randn_like(weight))


def test_greedy_samples_are_those_of_the_other_sampler(served: VllmSampler, parrot: Trained) -> None:
    tasks = parrot.tasks(QUESTIONS)
    found = greedy(served, tasks)
    assert_same(found, greedy(parrot.sampler(), tasks))
    assert [group[0].text for group in found[: len(ANSWERS)]] == list(ANSWERS.values())
    assert found[3][0].tokens[-1] in parrot.ends and END not in found[3][0].text
    cut = served.sample(parrot.tasks(["plain"], max_new_tokens=5), samples=2, temperature=0.0)[0]
    assert [(len(one.tokens), one.is_cut) for one in cut] == [(5, True), (5, True)]
    assert served.sample(tasks[:1], samples=1, temperature=0.0, with_logprobs=False)[0][0].logprobs == []


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_logprobs_are_the_trainers_own(served: VllmSampler, parrot: Trained, temperature: float) -> None:
    tasks = parrot.tasks(QUESTIONS, max_new_tokens=25)
    worst = 0.0
    for task, group in zip(
        tasks, served.sample(tasks, samples=4, temperature=temperature, seed="one"), strict=True
    ):
        for sample in group:
            own = trainer_logprobs(parrot.model, task, sample, temperature)
            assert len(sample.logprobs) == len(sample.tokens) > 0
            worst = max(worst, (own - torch.tensor(sample.logprobs)).abs().max().item())
    print(f"temperature {temperature}: log-probabilities differ by {worst:.2g} at most")
    assert worst < CLOSE


def test_samples_follow_from_their_seeds(served: VllmSampler, parrot: Trained) -> None:
    tasks = parrot.tasks(["plain", "hi", "bare"], max_new_tokens=12)
    first = served.sample(tasks, samples=3, temperature=1.5, seed="7/0")
    assert all(len({tuple(one.tokens) for one in group}) == 3 for group in first)
    assert_same(served.sample(tasks[::-1], samples=3, temperature=1.5, seed="7/0")[::-1], first)
    assert served.sample(tasks, samples=3, temperature=1.5, seed="7/1") != first


def test_new_weights_are_sampled_from(served: VllmSampler, parrot: Trained) -> None:
    tasks = parrot.tasks(QUESTIONS)
    before = greedy(served, tasks)
    other = copy.deepcopy(parrot.model)
    shake(other, seed=1, by=0.3)
    kept = {name: weight.clone() for name, weight in other.named_parameters()}
    served.update_weights(other)
    assert all(torch.equal(weight, kept[name]) for name, weight in other.named_parameters())
    found = greedy(served, tasks)
    assert [one[0].tokens for one in found] != [one[0].tokens for one in before]
    assert_same(found, greedy(parrot.sampler(other), tasks))
    # They are vLLM's own: what the trainer does next is not seen before it is told.
    shake(other, seed=2, by=0.3)
    assert_same(greedy(served, tasks), found)
    served.update_weights(parrot.model)
    assert_same(greedy(served, tasks), before)


def test_adapters_are_added_on_the_way(served: VllmSampler, parrot: Trained) -> None:
    peft = pytest.importorskip("peft")
    model = copy.deepcopy(parrot.model)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    kept = {name: weight.clone() for name, weight in model.named_parameters()}
    tasks = parrot.tasks(QUESTIONS)
    wanted = greedy(parrot.sampler(model), tasks)
    assert [one[0].tokens for one in wanted] != [one[0].tokens for one in greedy(parrot.sampler(), tasks)]
    served.update_weights(model)
    assert_same(greedy(served, tasks), wanted)
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], kept[name]) for name in kept) and len(after) == len(kept)
    merged = dict(merge_weights(model))
    assert merged.keys() == dict(parrot.model.named_parameters()).keys()
    plain = adapted.merge_and_unload(safe_merge=True)
    for name, weight in plain.named_parameters():
        assert torch.allclose(merged[name], weight, atol=1e-6), name
    served.update_weights(parrot.model)


def test_adapters_that_do_not_merge_are_refused() -> None:
    peft = pytest.importorskip("peft")
    # peft itself warns of a tied output layer.
    for model, target, name in (
        (build_model(), "embed_tokens", "model.embed_tokens"),
        (build_model(tie_word_embeddings=True), "lm_head", "lm_head"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=[target]))
        text = complain(partial(_exhaust, model), ConfigError)
        assert f"an adapter of {name!r}" in text


def _exhaust(model: PreTrainedModel) -> None:
    list(merge_weights(model))


def test_a_prompt_that_is_too_long_stops_before_it_begins(served: VllmSampler, parrot: Trained) -> None:
    tasks = parrot.tasks(["hi", "x" * 900])
    text = complain(lambda: greedy(served, tasks), GenerationError)
    assert text.startswith("pair '1': the prompt of ") and "context of 512" in text
    assert len(greedy(served, tasks[:1])[0][0].tokens) > 0


def test_weights_of_another_shape_are_refused(served: VllmSampler, parrot: Trained) -> None:
    other = build_model(hidden_size=64, intermediate_size=96, num_attention_heads=2, num_key_value_heads=1)
    assert "does not take the trainer's weights" in complain(
        lambda: served.update_weights(other), GenerationError
    )


def test_a_tied_output_layer_follows(served: VllmSampler, tmp_path: Path) -> None:
    served.close()  # a process holds one engine at a time
    tokenizer = build_tokenizer("letter")
    model = build_model(
        hidden_size=64,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        initializer_range=0.2,
    )
    tied = Trained(save_model(tmp_path / "tied", model, tokenizer))
    tasks = tied.tasks(QUESTIONS, max_new_tokens=12)
    sampler = tied.start()
    try:
        assert_same(greedy(sampler, tasks), greedy(tied.sampler(), tasks))
        other = copy.deepcopy(tied.model)
        shake(other, seed=4, by=0.5)
        sampler.update_weights(other)
        wanted = greedy(tied.sampler(other), tasks)
        assert_same(greedy(sampler, tasks), wanted)
        found = sampler.sample(tasks, samples=2, temperature=1.0, seed="t")
        for task, group in zip(tasks, found, strict=True):
            for sample in group:
                own = trainer_logprobs(other, task, sample, 1.0)
                assert (own - torch.tensor(sample.logprobs)).abs().max() < CLOSE
    finally:
        sampler.close()
