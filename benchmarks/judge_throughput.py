"""What judging costs beyond generating: `run_judge` against the engines' bare generation.

    .venv-engines/bin/python benchmarks/judge_throughput.py [--pairs 48] [--only vllm|transformers|items]

Random weights that never end a text, so every row has the full length. For vLLM both ways work on
the same rendered prompts: `run_judge` with `VLLMEngine` and a run folder, and `vllm.LLM.generate` with all
prompts at once. For transformers the other way is the usual loop: `model.generate`, one prompt after
another. Last, what rendering, reading and storing one item take. A ratio above 1 favours `run_judge`.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rmr1.data.runs import open_run
from rmr1.engines.base import Engine, SamplingParams
from rmr1.judge.compare import cast_vote
from rmr1.judge.run import run_judge
from rmr1.judge.settings import JudgeSettings
from rmr1.prompts import load_family, render_prompt
from rmr1.records import Generation, PreferencePair, assistant, user

SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
# The system prompt is folded into one word, so that a prompt can be as short as asked for.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ 'judge' if message.role == 'system' else message.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
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


def build_checkpoint(folder: Path) -> int:
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
        **SHAPE,
        # The library adds an end token of its own to the tokenizer: beyond what the model can write.
        vocab_size=core.get_vocab_size(),
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
    )
    model = transformers.Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def render(tokenizer: Any, pair: PreferencePair) -> list[int]:
    """The tokens of the pair's prompt, as the engines make them."""
    turns = [{"role": turn.role, "content": turn.text} for turn in render_prompt(pair, "rubric").messages]
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
        return sum(
            judgment.completion_tokens
            for _, judgment in run_judge(iter(pairs), engine, load_family("rubric"), settings, run=run)
        )


def clock(work: Callable[[], int]) -> tuple[float, int]:
    started = time.perf_counter()
    tokens = work()
    return time.perf_counter() - started, tokens


def report(name: str, ours: tuple[float, int], theirs: tuple[float, int], what: str) -> None:
    rates = [tokens / seconds for seconds, tokens in (ours, theirs)]
    print(
        f"{name:<22} run_judge {ours[0]:7.2f} s {rates[0]:8.0f} tokens/s   {what} {theirs[0]:7.2f} s "
        f"{rates[1]:8.0f} tokens/s   ratio {rates[0] / rates[1]:.2f}",
        flush=True,
    )


def settings_to_try(new: int) -> Iterator[SamplingParams]:
    base = SamplingParams(max_new_tokens=new, temperature=1.0, top_p=0.95)
    yield replace(base, num_samples=1)
    yield replace(base, num_samples=8)


def measure_vllm(folder: Path, pairs: list[PreferencePair], prompts: list[list[int]], new: int) -> None:
    from rmr1.engines.vllm import VLLMEngine

    tries = list(settings_to_try(new))
    options: dict[str, Any] = {"kv_cache_gb": 1.0, "max_num_seqs": 64}
    engine = VLLMEngine(str(folder), **options)
    ours = []
    for sampling in tries:
        shorter = replace(sampling, max_new_tokens=8)
        judge(engine, pairs[:4], shorter)
        ours.append(clock(lambda sampling=sampling: judge(engine, pairs, sampling)))  # type: ignore[misc]
    engine.close()

    import vllm

    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    threads = torch.get_num_threads()
    bare = vllm.LLM(
        str(folder),
        dtype="float32",
        max_model_len=SHAPE["max_position_embeddings"],
        kv_cache_memory_bytes=1 << 30,
        max_num_seqs=64,
        enforce_eager=True,
        use_tqdm_on_load=False,
    )
    if torch.get_num_threads() != threads:
        print(f"(vllm.LLM runs on {torch.get_num_threads()} torch threads, run_judge on {threads})")
    inputs = [vllm.TokensPrompt(prompt_token_ids=tokens) for tokens in prompts]
    for sampling, mine in zip(tries, ours, strict=True):
        # Without seeds: the CPU build fails where a prompt with one is computed in parts.
        wanted = vllm.SamplingParams(
            n=sampling.num_samples, temperature=1.0, top_p=0.95, max_tokens=new, ignore_eos=True
        )
        bare.generate(inputs[:4], replace_length(wanted, 8), use_tqdm=False)
        bare.reset_prefix_cache()

        def work(wanted: Any = wanted) -> int:
            answers = bare.generate(inputs, wanted, use_tqdm=False)
            return sum(len(output.token_ids) for answer in answers for output in answer.outputs)

        report(f"vllm n={sampling.num_samples}", mine, clock(work), "LLM.generate")


def replace_length(wanted: Any, length: int) -> Any:
    shorter = wanted.clone()
    shorter.max_tokens = length
    return shorter


def measure_transformers(
    folder: Path, pairs: list[PreferencePair], prompts: list[list[int]], new: int
) -> None:
    from rmr1.engines.transformers import TransformersEngine

    engine = TransformersEngine(str(folder), device="cpu")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for sampling in settings_to_try(new):
        some = max(2, len(pairs) // sampling.num_samples)
        ours = clock(lambda sampling=sampling, some=some: judge(engine, pairs[:some], sampling))  # type: ignore[misc]

        def work(sampling: SamplingParams = sampling, some: int = some) -> int:
            tokens = 0
            for prompt in prompts[:some]:
                ids = torch.tensor([prompt])
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

        report(f"transformers n={sampling.num_samples}", ours, clock(work), "model.generate")


def measure_items(pairs: list[PreferencePair], tokenizer: Any, new: int) -> None:
    """Microseconds of each step of one item, at n=1 and with no engine."""
    text = (
        "<eval>" + " ".join(random.Random(1).choices(WORDS, k=new - 10)) + "</eval>\n<answer>[[A]]</answer>"
    )
    generation = Generation(text=text, finish_reason="stop", prompt_tokens=512, completion_tokens=new)
    family = load_family("rubric")
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
        lambda: sum(len(render_prompt(pair, family, order="given").messages) for pair in many)
    )
    tokens, _ = clock(lambda: sum(len(render(tokenizer, pair)) for pair in many))
    parsing, _ = clock(
        lambda: sum(
            cast_vote(generation, order="given", sample=0, rule="tagged", labels=("A", "B")).sample
            for _ in many
        )
    )
    everything, _ = clock(lambda: judge(Recorded(), many, SamplingParams(max_new_tokens=new)))
    micro = 1e6 / number
    print(
        f"one item, microseconds: rendering {rendering * micro:.0f} · template and tokens "
        f"{(tokens - rendering) * micro:.0f} · reading the verdict {parsing * micro:.0f} · run_judge in all, "
        f"storing with it and generating without {everything * micro:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--prompt", type=int, default=512, help="tokens (default 512)")
    parser.add_argument("--new", type=int, default=256, help="tokens (default 256)")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--only", choices=("vllm", "transformers", "items"))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = build_checkpoint(folder)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
        pairs = make_pairs(tokenizer, arguments.pairs, arguments.prompt)
        prompts = [render(tokenizer, pair) for pair in pairs]
        print(
            f"{date.today()} · {platform.machine()} · {os.cpu_count()} cores · {torch.get_num_threads()} torch threads · "
            f"torch {torch.__version__} · transformers {transformers.__version__}\n"
            f"Qwen2, {parameters / 1e6:.2f} M parameters, {SHAPE['num_hidden_layers']} layers of {SHAPE['hidden_size']}, "
            f"float32 · {len(pairs)} pairs, prompts of {min(map(len, prompts))}-{max(map(len, prompts))} tokens, "
            f"{arguments.new} new tokens a row"
        )
        if arguments.only in (None, "items"):
            measure_items(pairs, tokenizer, arguments.new)
        if arguments.only in (None, "transformers"):
            measure_transformers(folder, pairs, prompts, arguments.new)
        if arguments.only in (None, "vllm"):
            measure_vllm(folder, pairs, prompts, arguments.new)


if __name__ == "__main__":
    main()
