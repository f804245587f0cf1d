"""Tiny models that have learnt a few answers by heart, so that real engines write what a test needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tests.tiny_models import END, build_model, build_tokenizer, save_model

_STEPS = 1500
_GOOD_ENOUGH = 0.03


def save_parrot(folder: Path, answers: Mapping[str, str], *, style: str = "letter") -> Path:
    """A model folder whose model answers each of these questions with its text, and then ends.

    The weights are the same each time. An answer is learnt to about 97 % a token: log-probabilities
    are neither nought nor the same at each place.
    """
    tokenizer = build_tokenizer(style)
    end = tokenizer.convert_tokens_to_ids(END)
    model = build_model(
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        eos_token_id=end,
        initializer_range=0.05,
    )
    rows, labels = [], []
    for question, answer in answers.items():
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        given = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        wanted = [*tokenizer(answer, add_special_tokens=False)["input_ids"], end]
        rows.append(given + wanted)
        labels.append([-100] * len(given) + wanted)
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    targets = torch.tensor([row + [-100] * (longest - len(row)) for row in labels])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    model.train()
    for _ in range(_STEPS):
        # Padding stands on the right, where causal attention never looks.
        loss = model(input_ids=ids, labels=targets).loss
        if loss.item() < _GOOD_ENOUGH:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    else:
        raise AssertionError(f"the answers were not learnt: loss {loss.item():.3f}")
    return save_model(folder, model.eval(), tokenizer)
