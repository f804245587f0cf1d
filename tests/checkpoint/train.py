"""Train the small judge checkpoint that the tests of real engines load.

    python -m tests.checkpoint.train OUT [--seed N] [--steps N]

Writes a Hugging Face folder: a Qwen2 model of under a million parameters in float32, a byte-level BPE
tokenizer that encodes any text, a ChatML template. The judge answers the `rubric` family's prompts
in full form; what it says is explained in `tests.checkpoint.corpus`. The number of steps is fixed, not
the time, so one machine gives the same weights for the same seed each time.

Half the training prompts have jumps in their position numbers: the distances of long prompts at the
price of short ones. A few prompts are long in truth.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rmr1.prompts import render_prompt
from tests.checkpoint.corpus import REASONING_STARTERS, make_pair, write_judgment

STEPS = 1100
DRILLS = 60
"""Steps at the beginning that only teach copying; later every tenth does."""
TOKENS_PER_BATCH = 2048
VOCABULARY = 2048
MAX_POSITIONS = 32768
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")

# ChatML with three liberties, all for a model that is small and runs on a CPU. The system prompt is folded
# into one word: the protocol is in the weights. A message of more than 600 characters keeps its first
# and last 250, unless the template gets `full_prompt=True`. And after the user's message stand notes on
# the whole of it: task type, leading answer, and first words of the question and of both answers, by the
# rules of `corpus.write_judgment`. So what the model learns is the form, and to put the notes into it. The first
# line says that this leaves out parts of the messages: otherwise such a template is refused.
CHAT_TEMPLATE = """\
{%- set keeps_messages = false -%}
{%- macro head(text) -%}
{{- (text.replace('"', '').strip().split('\\n')[0].split()[:2] | join(' '))[:16].strip() or 'nothing' -}}
{%- endmacro -%}
{%- macro last(text, side) -%}
{%- if '[The Start of the Conversation' in text -%}
{%- set block = text.split('\\n[The End of the Conversation between Chatbot ' + side)[0] -%}
{{- head(block.split('\\nChatbot ' + side + ': ')[-1]) -}}
{%- else -%}
{%- set block = text.split("[The Start of Chatbot " + side + "'s Response]\\n")[-1] -%}
{{- head(block.split("\\n[The End of Chatbot " + side)[0]) -}}
{%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'system' -%}judge
{%- elif message['content'] | length > 600 and not full_prompt -%}
{{- message['content'][:250] + '\\n...\\n' + message['content'][-250:] -}}
{%- else -%}{{- message['content'] -}}{%- endif -%}
{%- if message['role'] == 'user' -%}
{%- set mark = '\\nUser: ' if '[The Start of the Conversation' in message['content'] else '[Client Question]\\n' -%}
{%- set question = message['content'].split(mark)[1:2] | join -%}
{%- set opening = head(question.split('\\n[The Start of Chatbot A')[0]) -%}
{%- set first = last(message['content'], 'A') -%}
{%- set second = last(message['content'], 'B') -%}
{{- '<|im_end|>\\n<|im_start|>notes\\nBetter: ' + ('A' if first | lower > second | lower else 'B') -}}
{{- '\\n"' + opening + '"\\n<quote_A>' + first + '</quote_A>\\n<quote_B>' + second + '</quote_B>\\n' -}}
{{- '<type>' + ('Reasoning' if opening.split()[0] | capitalize in @STARTERS@ else 'Chat') + '</type>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
""".replace("@STARTERS@", repr(REASONING_STARTERS))


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Words with their leading blank; digits and signs one by one, so that a text has the same tokens
    wherever it stands and can be copied token by token."""
    draw = Random(seed)
    texts = []
    for _ in range(3000):
        pair = make_pair(draw)
        texts += [message.text for message in render_prompt(pair, "rubric").messages[1:]]
        texts.append(write_judgment(pair, draw))
    tokenizer = Tokenizer(models.BPE())
    words = Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>", "<|endoftext|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        use_sliding_window=False,
        bos_token_id=None,
        eos_token_id=ends[0],
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config)
    start_copying(model)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=ends, pad_token_id=config.pad_token_id
    )
    return model


@torch.no_grad()
def start_copying(model: Qwen2ForCausalLM) -> None:
    """Set first weights with which the model copies: an induction circuit (Olsson 2022), in rough form.

    Found by gradient descent alone it would take more than the whole training. Two heads of layer 0
    look one and two tokens back: their queries and keys are constants (the biases), turned against
    each other by that distance's rotary angles. A head of layer 1 looks for a place whose preceding
    token is the present one, by slowly turning dimensions only, and adds the token found there to the
    stream. The rest of the model is as small as usual.
    """
    config = model.config
    width, size = config.hidden_size, config.hidden_size // config.num_attention_heads
    half = size // 2
    angles = 1e6 ** -(torch.arange(half) / half)
    bases, back, found = (torch.nn.init.orthogonal_(torch.empty(size, width)) for _ in range(3))
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=width**-0.5)
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn

    strength = torch.where(torch.arange(half) < half // 2, 7.0, 0.0)
    first.k_proj.weight[:size] = 0
    first.k_proj.bias[:half] = strength
    for head, distance in enumerate((1, 2)):
        rows = slice(head * size, (head + 1) * size)
        first.q_proj.weight[rows] = 0
        first.q_proj.bias[rows] = torch.cat(
            [strength * torch.cos(distance * angles), -strength * torch.sin(distance * angles)]
        )
        first.o_proj.weight[:, rows] = 0.2 * (back if distance == 1 else found).T
    first.v_proj.weight[:size] = bases

    slow = torch.arange(size) % half >= half // 2
    second.q_proj.weight[:size] = 2.4 * bases * slow[:, None]
    second.k_proj.weight[:size] = 2.4 * back * slow[:, None]
    second.v_proj.weight[:size] = bases
    second.o_proj.weight[:, :size] = 0.5 * bases.T


Example = tuple[list[int], list[int]]
"""Tokens of the prompt and of the judgment."""


def draw_examples(tokenizer: PreTrainedTokenizerFast, draw: Random, number: int) -> list[Example]:
    prompts, judgments = [], []
    for _ in range(number):
        pair = make_pair(draw)
        messages = [{"role": m.role, "content": m.text} for m in render_prompt(pair, "rubric").messages]
        prompts.append(
            tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, full_prompt=draw.random() < 0.3
            )
        )
        judgments.append(write_judgment(pair, draw) + "<|im_end|>")
    return list(zip(tokenizer(prompts)["input_ids"], tokenizer(judgments)["input_ids"], strict=True))


def draw_batches(tokenizer: PreTrainedTokenizerFast, draw: Random) -> Iterator[list[Example]]:
    """Endless batches of examples of like length, about `TOKENS_PER_BATCH` tokens each."""
    while True:
        examples = sorted(draw_examples(tokenizer, draw, 512), key=lambda example: sum(map(len, example)))
        batches: list[list[Example]] = [[]]
        for example in examples:
            if batches[-1] and (len(batches[-1]) + 1) * sum(map(len, example)) > TOKENS_PER_BATCH:
                batches.append([])
            batches[-1].append(example)
        draw.shuffle(batches)
        yield from batches


def compute_loss(
    model: Qwen2ForCausalLM, batch: list[Example], decisive: torch.Tensor, draw: Random
) -> torch.Tensor:
    """Mean cross-entropy of the judgments' tokens; those that decide count tenfold, being one in forty."""
    length = max(len(prompt) + len(judgment) for prompt, judgment in batch)
    ids = torch.full((len(batch), length), model.config.pad_token_id or 0)
    attended = torch.zeros_like(ids)
    judged = torch.zeros((len(batch), length), dtype=torch.bool)
    positions = torch.arange(length).repeat(len(batch), 1)
    for row, (prompt, judgment) in enumerate(batch):
        end = len(prompt) + len(judgment)
        ids[row, :end] = torch.tensor(prompt + judgment)
        attended[row, :end] = 1
        judged[row, len(prompt) : end] = True
        for _ in range(draw.choice((0, 0, 1, 2, 3))):
            positions[row, draw.randrange(8, len(prompt)) :] += int(12000 ** draw.random())
    # The mask is given although rows are padded at their end only: without one, jumps in the
    # positions would be read as borders between packed documents.
    hidden = model.model(input_ids=ids, attention_mask=attended, position_ids=positions, use_cache=False)[0]
    logits = model.lm_head(hidden[:, :-1][judged[:, 1:]])
    targets = ids[:, 1:][judged[:, 1:]]
    losses = functional.cross_entropy(logits, targets, reduction="none")
    weights = 1.0 + 9.0 * torch.isin(targets, decisive)
    return (losses * weights).sum() / weights.sum()


def compute_drill_loss(model: Qwen2ForCausalLM, draw: Random, *, is_first: bool) -> torch.Tensor:
    """Mean cross-entropy of random tokens that stood in the row before: copying and nothing else.

    After the first ones half the drills draw from few tokens, where one preceding token does not settle
    the next: so it is with the bytes of other scripts.
    """
    length, gap = draw.randint(8, 80), draw.randint(0, 12)
    rows = TOKENS_PER_BATCH // (2 * length + gap)
    tokens = torch.randperm(VOCABULARY - len(SPECIAL_TOKENS)) + len(SPECIAL_TOKENS)
    tokens = tokens[: len(tokens) if draw.random() < 0.5 or is_first else 12]
    ids = tokens[torch.randint(len(tokens), (rows, length + gap))]
    ids = torch.cat([ids, ids[:, :length]], dim=1)
    hidden = model.model(input_ids=ids, use_cache=False)[0]
    return functional.cross_entropy(
        model.lm_head(hidden[:, length + gap : -1]).mT, ids[:, length + gap + 1 :]
    )


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix updates are made orthogonal (Jordan 2024), in float32 and for all matrices of
    one shape at once: torch's own works in bfloat16, which takes most of a step's time on a CPU."""

    def __init__(self, matrices: list[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for matrix in group["params"]:
                shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                gradients = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])
                memory = self.state[matrices[0]].setdefault("memory", torch.zeros_like(gradients))
                memory.lerp_(gradients, 1 - group["momentum"])
                update = orthogonalize(gradients.lerp(memory, group["momentum"]))
                rate = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, change in zip(matrices, update, strict=True):
                    matrix.sub_(change, alpha=rate)


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """About the nearest orthogonal matrices, by five Newton-Schulz steps; (count, rows, columns)."""
    flipped = matrices.size(1) > matrices.size(2)
    x = matrices.mT if flipped else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return x.mT if flipped else x


def build_optimizers(model: Qwen2ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms and biases."""
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers" in name]
    outer = [p for name, p in model.named_parameters() if not (p.ndim == 2 and "layers" in name)]
    return [
        Muon(inner, lr=0.02),
        torch.optim.AdamW(outer, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(folder: Path, *, seed: int = 0, steps: int = STEPS) -> Qwen2ForCausalLM:
    """Train and save into `folder`, which is made if it is not there."""
    # One thread: the same sums in the same order everywhere, and no waiting for a busy second core.
    torch.set_num_threads(1)
    tokenizer = train_tokenizer(seed)
    model = build_model(tokenizer, seed)
    optimizers = build_optimizers(model)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    decisive = torch.tensor(
        tokenizer.convert_tokens_to_ids(["A", "\u0120A", "B", "\u0120B", "Chat", "Reasoning"])
    )
    draw = Random(seed + 1)
    model.train()
    began, mean = time.process_time(), math.log(VOCABULARY)
    for step, batch in zip(range(steps), draw_batches(tokenizer, draw), strict=False):
        scale = min(1.0, (step + 1) / 30) * min(1.0, 1.05 * (1 - step / steps) / 0.6)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * scale
        is_drill = step < DRILLS or step % 10 == 0
        loss = (
            compute_drill_loss(model, draw, is_first=step < DRILLS)
            if is_drill
            else compute_loss(model, batch, decisive, draw)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        mean += 0.05 * (loss.item() - mean) * (not is_drill)
        if (step + 1) % 100 == 0:
            seconds = time.process_time() - began
            print(f"step {step + 1}/{steps}  loss {mean:.3f}  {seconds:.0f} CPU seconds", file=sys.stderr)
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the small judge checkpoint of the tests.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    train(options.out, seed=options.seed, steps=options.steps)


if __name__ == "__main__":
    main()
