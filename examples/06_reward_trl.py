"""TRL 1.16: the judge as the reward of `GRPOTrainer`. `python examples/06_reward_trl.py [POLICY] [URL]`

    pip install 'rmr1[serve,train]'
    rmr1 serve -m MODEL                                     # where the judge has its GPU
    python examples/06_reward_trl.py POLICY http://HOST:8300

Without POLICY nothing is trained: the reward is called as the trainer calls it, with a scripted judge in this process,
which prefers the longer answer. A row of the data needs a prompt, nothing else.
"""

import sys

from rmr1 import Judge
from rmr1.integrations.trl import JudgeReward

GENERATIONS = 4
ROWS = [{"prompt": [{"role": "user", "content": f"Name {number} large animals."}]} for number in range(2, 10)]


def train(policy: str, url: str) -> None:
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir="grpo",
        num_generations=GENERATIONS,
        per_device_train_batch_size=GENERATIONS,
        max_completion_length=64,
        max_steps=2,
        bf16=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    )
    GRPOTrainer(
        model=policy,
        reward_funcs=JudgeReward(url, num_generations=GENERATIONS),
        args=config,
        train_dataset=Dataset.from_list(ROWS),
    ).train()


if len(sys.argv) > 1:
    train(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8300")
else:
    reward = JudgeReward(Judge("scripted:longer"), num_generations=GENERATIONS)
    answers = ["A whale.", "A whale and an elephant.", "", "A whale and a cow."]
    completions = [[{"role": "assistant", "content": answer}] for answer in answers]
    rewards = reward([ROWS[0]["prompt"]] * GENERATIONS, completions)
    for answer, value in zip(answers, rewards, strict=True):
        print(f"{value if value is None else format(value, '+.2f')}  {answer}")
