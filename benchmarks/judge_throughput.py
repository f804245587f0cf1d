"""What judging costs beyond generating: `GenerativeJudge` against the engines' bare generation.

    .venv-engines/bin/python benchmarks/judge_throughput.py [--shape 0.5b --pairs 4] [--only vllm|transformers|items]

Random weights that never end a text, so every row has the full length. `GenerativeJudge` with a run folder,
on the vLLM and on the transformers engine, against two other ways to answer the same rendered prompts:
`vllm.LLM.generate` with all prompts at once (in turns, each in a process of its own: CPU time and wall time,
median, least and most of the rounds), and the usual loop of `model.generate`, one prompt after another. Also what rendering, reading and storing one item take. A ratio above 1 favours `GenerativeJudge`.
Without vLLM installed the rest is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rmr1.engines.base import Engine, SamplingParams
from rmr1.judge import GenerativeJudge
from rmr1.judge.settings import JudgeSettings
from rmr1.judge.summary import has_answer, list_failures
from rmr1.judge.votes import cast_vote
from rmr1.messages import assistant, user
from rmr1.prompts import load_family, render_prompt
from rmr1.records import Generation, PreferencePair
from rmr1.store.runs import open_run

SHAPES: dict[str, dict[str, Any]] = {
    "1m": {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18_944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152_064,
    },
}
"""The second and third are those of Qwen2.5-0.5B and 7B, embeddings untied."""
CONTEXT = 2048
# No mark ends a message: the judge would take it for the end of its own text.
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}\n{% endfor %}<|im_start|>assistant\n"
FAMILY = replace(load_family("rubric"), system="judge")
"""The system prompt is one word, so that a prompt can be as short as asked for."""
WORDS = (
    "the",
    "of",
    "and",
    "answer",
    "question",
    "city",
    "river",
    "number",
    "because",
    "water",
    "light",
    "people",
)


def build_checkpoint(folder: Path, shape: dict[str, Any], device: str) -> int:
    """A random Qwen2 model with a byte-level tokenizer; returns its number of parameters."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [" ".join(WORDS)] * 50,
        trainers.BpeTrainer(
            vocab_size=512,
            special_tokens=["<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        # The library adds an end token of its own to the tokenizer: beyond what the model can write.
        **{"vocab_size": core.get_vocab_size(), **shape},
        max_position_embeddings=CONTEXT,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
    )
    model: Any = transformers.Qwen2ForCausalLM(config)
    model = model.to(torch.float32 if device == "cpu" else torch.bfloat16)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def render(tokenizer: Any, pair: PreferencePair) -> list[int]:
    """The tokens of the pair's prompt, as the engines make them."""
    turns = [{"role": turn.role, "content": turn.text} for turn in render_prompt(pair, FAMILY).messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def make_pairs(tokenizer: Any, number: int, length: int) -> list[PreferencePair]:
    """Pairs whose prompts have `length` tokens each, within two."""
    draw = random.Random(0)
    pairs = []
    for index in range(number):
        words = [draw.choice(WORDS) for _ in range(2 * length)]
        low, high = 1, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            if len(render(tokenizer, _pair(index, words[:middle]))) <= length:
                low = middle
            else:
                high = middle - 1
        pairs.append(_pair(index, words[:low]))
    return pairs


def _pair(index: int, words: list[str]) -> PreferencePair:
    half = len(words) // 2
    return PreferencePair(
        id=str(index),
        prompt=(user(f"question {index}"),),
        response_a=(assistant(" ".join(words[:half])),),
        response_b=(assistant(" ".join(words[half:])),),
    )


def judge(engine: Engine, pairs: list[PreferencePair], sampling: SamplingParams) -> int:
    """Judge with a run folder; returns the tokens written."""
    settings = JudgeSettings(order="given", sampling=sampling)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_run(Path(folder) / "run", {"engine": "benchmark"}) as run,
    ):
        judgments = [one for _, one in GenerativeJudge(engine, FAMILY, settings).run(iter(pairs), run=run)]
    failures = Counter(reason for one in judgments for reason in list_failures(one))
    if failures or not all(map(has_answer, judgments)):
        raise SystemExit(f"not every pair was answered: {dict(failures)}")
    return sum(one.completion_tokens for one in judgments)


Clocked = tuple[float, int]
"""Seconds, and the tokens written in them."""


def clock(work: Callable[[], int]) -> Clocked:
    started = time.perf_counter()
    tokens = work()
    return time.perf_counter() - started, tokens


def report(name: str, ours: Clocked, others: dict[str, Clocked | None]) -> None:
    rate = ours[1] / ours[0]
    print(f"{name:<24} {ours[0]:7.2f} s {rate:8.0f} tokens/s", end="")
    for other, clocked in others.items():
        if clocked is not None:
            seconds, tokens = clocked
            print(f"   {other} {tokens / seconds:8.0f} tokens/s, ratio {rate * seconds / tokens:.2f}", end="")
    print(flush=True)


def settings_to_try(new: int) -> list[SamplingParams]:
    base = SamplingParams(max_new_tokens=new, temperature=1.0, top_p=0.95)
    return [replace(base, num_samples=1), replace(base, num_samples=8)]


def clock_one_by_one(folder: Path, prompts: list[list[int]], new: int, device: str) -> list[Clocked]:
    """`model.generate` for one prompt after another, as the reference's demonstration does it."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model = model.to(device).eval()
    found = []
    for sampling in settings_to_try(new):

        def work(sampling: SamplingParams = sampling) -> int:
            tokens = 0
            # A share of the prompts is enough for a rate, and they are all alike.
            for prompt in prompts[: max(2, len(prompts) // (4 * sampling.num_samples))]:
                ids = torch.tensor([prompt], device=device)
                answer = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=True,
                    top_p=0.95,
                    top_k=0,
                    max_new_tokens=new,
                    num_return_sequences=sampling.num_samples,
                    pad_token_id=0,
                )
                tokens += answer.shape[0] * (answer.shape[1] - len(prompt))
            return tokens

        found.append(clock(work))
        seconds, tokens = found[-1]
        print(
            f"{f'model.generate n={sampling.num_samples}':<24} {seconds:7.2f} s {tokens / seconds:8.0f} tokens/s"
        )
    return found


class Spent(NamedTuple):
    """What one arm took once."""

    cpu_seconds: float
    """User and system time of all threads."""
    wall_seconds: float
    tokens: int


def start_judge(folder: Path, pairs: list[PreferencePair], limits: dict[str, Any]) -> Any:
    """An engine of ours: (what judges all pairs with some sampling, vLLM's own engine)."""
    from rmr1.engines.vllm import VLLMEngine

    engine = VLLMEngine(str(folder), **limits)
    return partial(judge, engine, pairs), engine._require_core().engine


def start_bare(folder: Path, prompts: list[list[int]], limits: dict[str, Any], *, is_text: bool) -> Any:
    """The same with `vllm.LLM`, which makes text of the tokens only with `is_text`."""
    import vllm

    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    num_threads = torch.get_num_threads()
    if (size := limits.pop("kv_cache_gb", None)) is not None:
        limits |= {
            "dtype": "float32",
            "kv_cache_memory_bytes": int(size * (1 << 30)),
            "enforce_eager": True,
        }
    bare = vllm.LLM(str(folder), use_tqdm_on_load=False, **limits)
    torch.set_num_threads(num_threads)
    inputs = [vllm.TokensPrompt(prompt_token_ids=tokens) for tokens in prompts]

    def work(sampling: SamplingParams) -> int:
        # Without seeds: the CPU build fails where a prompt with one is computed in parts.
        wanted = vllm.SamplingParams(
            n=sampling.num_samples,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            ignore_eos=True,
            detokenize=is_text,
        )
        answers = bare.generate(inputs, wanted, use_tqdm=False)
        return sum(len(output.token_ids) for answer in answers for output in answer.outputs)

    return work, bare.llm_engine


ARMS: dict[str, Callable[..., Any]] = {
    "GenerativeJudge": lambda folder, pairs, prompts, limits: start_judge(folder, pairs, limits),
    "LLM.generate": lambda folder, pairs, prompts, limits: start_bare(folder, prompts, limits, is_text=True),
    "LLM.generate of tokens": lambda folder, pairs, prompts, limits: start_bare(
        folder, prompts, limits, is_text=False
    ),
}


def serve(channel: Any, arm: str, num_threads: int, *arguments: Any) -> None:
    """One arm in a process of its own, since one can hold but one vLLM: takes samplings until there is none."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    torch.set_num_threads(num_threads)
    work, core = ARMS[arm](*arguments)
    channel.send(None)
    while (sampling := channel.recv()) is not None:
        core.reset_prefix_cache()
        before, started = os.times(), time.perf_counter()
        tokens = work(sampling)
        after, wall = os.times(), time.perf_counter() - started
        channel.send(Spent(after.user + after.system - before.user - before.system, wall, tokens))


def measure_vllm(
    folder: Path,
    pairs: list[PreferencePair],
    prompts: list[list[int]],
    new: int,
    device: str,
    one_by_one: list[Clocked | None],
    rounds: int,
) -> None:
    """The arms in turns, so that what else a machine does meets all of them."""
    limits: dict[str, Any] = {"max_num_seqs": 64, "max_model_len": CONTEXT}
    limits |= {"kv_cache_gb": 1.0} if device == "cpu" else {"gpu_memory_utilization": 0.9 / len(ARMS)}
    context = multiprocessing.get_context("spawn")
    channels = {}
    for arm in ARMS:
        channels[arm], end = context.Pipe()
        told = (end, arm, torch.get_num_threads(), folder, pairs, prompts, dict(limits))
        context.Process(target=serve, args=told, daemon=True).start()
        channels[arm].recv()

    def ask(arm: str, sampling: SamplingParams) -> Spent:
        channels[arm].send(sampling)
        spent: Spent = channels[arm].recv()
        return spent

    for sampling, slow in zip(settings_to_try(new), one_by_one, strict=True):
        for arm in ARMS:
            ask(arm, replace(sampling, max_new_tokens=8))
        spent: dict[str, list[Spent]] = {arm: [] for arm in ARMS}
        for number in range(rounds):
            for arm in list(ARMS)[:: -1 if number % 2 else 1]:
                spent[arm].append(ask(arm, sampling))
        ours = spent["GenerativeJudge"]
        rate = median(one.tokens / one.wall_seconds for one in ours)
        told = "" if slow is None else f", {rate * slow[0] / slow[1]:.1f} times model.generate"
        print(f"vllm n={sampling.num_samples}: GenerativeJudge {rate:.0f} tokens/s{told}")
        for arm in list(ARMS)[1:]:
            pairs_of = list(zip(ours, spent[arm], strict=True))
            cpu = [b.cpu_seconds / a.cpu_seconds * a.tokens / b.tokens for a, b in pairs_of]
            wall = [b.wall_seconds / a.wall_seconds * a.tokens / b.tokens for a, b in pairs_of]
            print(f"  against {arm}: {spread(cpu)} by CPU time, {spread(wall)} by wall time", flush=True)
    for channel in channels.values():
        channel.send(None)


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def measure_transformers(
    folder: Path, pairs: list[PreferencePair], new: int, device: str, one_by_one: list[Clocked | None]
) -> None:
    from rmr1.engines.hf.engine import TransformersEngine

    engine = TransformersEngine(str(folder), device=device)
    for sampling, slow in zip(settings_to_try(new), one_by_one, strict=True):
        ours = clock(lambda sampling=sampling: judge(engine, pairs, sampling))  # type: ignore[misc]
        report(f"transformers n={sampling.num_samples}", ours, {"model.generate": slow})
    engine.close()


def measure_items(pairs: list[PreferencePair], tokenizer: Any, new: int) -> None:
    """Microseconds of each step of one item, at n=1 and with no engine."""
    text = (
        "<eval>" + " ".join(random.Random(1).choices(WORDS, k=new - 10)) + "</eval>\n<answer>[[A]]</answer>"
    )
    generation = Generation(text=text, finish_reason="stop", prompt_tokens=512, completion_tokens=new)
    number = 20 * len(pairs)

    class Recorded:
        name = "recorded"

        def fingerprint(self) -> dict[str, object]:
            return {}

        def special_tokens(self) -> tuple[str, ...]:
            return ("<|im_start|>", "<|im_end|>")

        def generate(self, requests: Any, params: SamplingParams) -> Iterator[Any]:
            for request in requests:
                yield request, (generation,)

        def close(self) -> None: ...

    many = pairs * 20
    rendering, _ = clock(
        lambda: sum(len(render_prompt(pair, FAMILY, order="given").messages) for pair in many)
    )
    tokens, _ = clock(lambda: sum(len(render(tokenizer, pair)) for pair in many))
    parsing, _ = clock(
        lambda: sum(
            cast_vote(generation, order="given", sample=0, rule="tagged", labels=("A", "B")).sample
            for _ in many
        )
    )
    settings = JudgeSettings(order="given", sampling=SamplingParams(max_new_tokens=new))
    judgments = dict(GenerativeJudge(Recorded(), FAMILY, settings).run(iter(many)))
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder) / "run", {}) as run:

        def store() -> int:
            for key, one in judgments.items():
                run.append(key, one)
            return len(judgments)

        storing, _ = clock(store)
    everything, _ = clock(lambda: judge(Recorded(), many, settings.sampling))
    micro = 1e6 / number
    print(
        f"one item, microseconds: rendering {rendering * micro:.0f} · template and tokens "
        f"{(tokens - rendering) * micro:.0f} · reading the verdict {parsing * micro:.0f} · storing "
        f"{storing * micro:.0f} · GenerativeJudge in all, without the engine {everything * micro:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="1m")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--prompt", type=int, default=512, help="tokens (default 512)")
    parser.add_argument("--new", type=int, default=256, help="tokens (default 256)")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--rounds", type=int, default=5, help="of the arms with vLLM, in turns (default 5)")
    parser.add_argument("--only", choices=("vllm", "transformers", "items"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = build_checkpoint(folder, SHAPES[arguments.shape], device)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        pairs = make_pairs(tokenizer, arguments.pairs, arguments.prompt)
        prompts = [render(tokenizer, pair) for pair in pairs]
        where = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores"
        print(
            f"{date.today()} · {platform.machine()} · {where} · {torch.get_num_threads()} torch threads · "
            f"torch {torch.__version__} · transformers {transformers.__version__}\n"
            f"Qwen2, {parameters / 1e6:.2f} M parameters, {SHAPES[arguments.shape]['num_hidden_layers']} layers of "
            f"{SHAPES[arguments.shape]['hidden_size']}, {'float32' if device == 'cpu' else 'bfloat16'} · {len(pairs)} "
            f"pairs, prompts of {min(map(len, prompts))}-{max(map(len, prompts))} tokens, {arguments.new} new tokens a row"
        )
        if arguments.only in (None, "items"):
            measure_items(pairs, tokenizer, arguments.new)
        if arguments.only == "items":
            return
        slow: list[Clocked | None] = [*clock_one_by_one(folder, prompts, arguments.new, device)]
        if arguments.only in (None, "transformers"):
            measure_transformers(folder, pairs, arguments.new, device, slow)
        if arguments.only == "vllm" or (arguments.only is None and importlib.util.find_spec("vllm")):
            measure_vllm(folder, pairs, prompts, arguments.new, device, slow, arguments.rounds)


if __name__ == "__main__":
    main()
