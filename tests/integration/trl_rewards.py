"""A step of TRL's GRPO with a judge of ours as its reward; alone, or under torchrun as a process of several.

python -m tests.integration.trl_rewards FOLDER PER_DEVICE URL

FOLDER holds `base`, a model. What the rewards were asked and gave goes to `FOLDER/rank-N.json`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rmr1.integrations.trl import JudgeReward
from rmr1.judge.judge import Judge

SIZE = 4
PROMPTS = ("Which is larger?", "Say more.")
WRITTEN = {PROMPTS[0]: ("10", "70", "silent", "30"), PROMPTS[1]: ("5", "60", "7", "80")}
"""What is written for a prompt if the model itself does not."""


class Recorded(JudgeReward):
    """Keeps what it was asked and gave."""

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        rewards = super().__call__(prompts, completions, **columns)
        self.calls.append({"prompts": prompts, "completions": completions, "rewards": rewards})
        return rewards


def take_step(
    folder: Path, rewards: list[Recorded], *, per_device: int, steps: int = 1, is_written: bool = False
) -> Any:
    """A trainer after its steps, on completions of its model or those that are written here."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    counts = dict.fromkeys(PROMPTS, 0)

    def roll_out(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        texts = []
        for prompt in prompts:
            texts.append(WRITTEN[prompt][counts[prompt] % SIZE])
            counts[prompt] += 1
        tokenizer = trainer.processing_class
        return {
            "prompt_ids": [tokenizer(prompt)["input_ids"] for prompt in prompts],
            "completion_ids": [tokenizer(text)["input_ids"] for text in texts],
            "logprobs": None,
        }

    trainer: Any = GRPOTrainer(
        model=str(folder / "base"),
        reward_funcs=rewards,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        rollout_func=roll_out if is_written else None,
        args=GRPOConfig(
            output_dir=str(folder / "out"),
            num_generations=SIZE,
            per_device_train_batch_size=per_device,
            max_completion_length=12,
            max_steps=steps,
            logging_steps=1,
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            seed=3,
            model_init_kwargs={"dtype": "float32"},
        ),
    )
    trainer.train()
    return trainer


def main() -> None:
    folder, per_device, url = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with Judge("scripted:longer") as judge:
        rewards = [
            Recorded(url, num_generations=SIZE, name="served"),
            Recorded(judge, num_generations=SIZE, name="direct"),
        ]
        take_step(folder, rewards, per_device=per_device)
    rank = int(os.environ.get("RANK", 0))
    (folder / f"rank-{rank}.json").write_text(json.dumps([one.calls for one in rewards]))


if __name__ == "__main__":
    main()
