"""Reinforcement of a judge in one loop (GRPO): it samples judgments and learns from those that are right.

`python examples/03_reinforce_a_judge.py [MODEL] [STEPS]`: a judge's folder, by default the bundled one, on new
pairs of the synthetic world. Needs `pip install 'rmr1[train]'`. `rmr1 grpo` does the same with checkpoints,
several processes, a reference model and held-out figures.
"""

import sys

import torch

from rmr1.attention.groups import pack_groups
from rmr1.engines.hf.loading import load_checkpoint
from rmr1.engines.hf.reader import read_end_tokens
from rmr1.rewards import build_rewards, compute_rewards
from rmr1.train.examples import Position
from rmr1.train.grpo.batches import ScoredGroup, build_minibatches, build_update_row
from rmr1.train.grpo.learn import GroupLoss
from rmr1.train.grpo.objective import Objective
from rmr1.train.grpo.plan import build_grpo_plan
from rmr1.train.grpo.recipe import GrpoRecipe
from rmr1.train.grpo.rollout import Sampler
from rmr1.train.grpo.tasks import take_tasks

PROMPTS, SAMPLES, SEED = 16, 8, 0

name = sys.argv[1] if len(sys.argv) > 1 else "tiny"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3

# Where pairs come from and how they are asked: new pairs of the world, whose right verdicts are known.
plan = build_grpo_plan(
    GrpoRecipe.from_values(
        {
            "model": {"base": name},
            "data": {"world": {"items": 100_000, "start": 300_000, "held_out": 0}},
            "rollout": {"prompts": PROMPTS, "samples": SAMPLES, "max_new_tokens": 320},
        },
        "the example",
    )
)

# The policy, what samples from it, and what it is paid for: +1 for the right verdict, -1 for anything else.
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = load_checkpoint(name, device=device, dtype=torch.float32).model
tokenizer = plan.base.tokenizer
ends = read_end_tokens(model.generation_config, model.config, tokenizer)
sampler = Sampler(model, tokenizer, end_tokens=ends, rows=PROMPTS * SAMPLES)
terms = build_rewards({"verdict": 1.0})
objective = Objective(beta=0.0, average="token")
policy = GroupLoss(model, objective, temperature=1.0)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.0)

position = Position()
for step in range(1, steps + 1):
    # 1. Rollout: a group of judgments for each prompt, which is computed once for all of them.
    tasks, position = take_tasks(plan.source, PROMPTS, position)
    sampled = sampler.sample(tasks, samples=SAMPLES, temperature=1.0, seed=f"{SEED}/{step}")

    # 2. Rewards of the verdicts.
    groups = []
    for task, samples in zip(tasks, sampled, strict=True):
        judged = [sample.judge(task) for sample in samples]
        rewards = compute_rewards(terms, judged)
        groups.append(ScoredGroup(task=task, samples=samples, judged=judged, rewards=rewards))

    # 3. Update: groups that are all right or all wrong teach nothing and are left out; the others are packed
    #    into rows, each prompt once, and every sample is weighed by how much better it is than its group.
    (batch,) = build_minibatches(groups, objective, prompts=PROMPTS)
    loss = 0.0
    with policy.policy.attention():
        for places in pack_groups([group.group for group in batch.groups], 8192):
            row = build_update_row([batch.groups[place] for place in places], batch, objective, device)
            value, *_ = policy(row, None, None)
            value.backward()
            loss += value.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

    right = [reward.total > 0 for group in groups for reward in group.rewards]
    print(
        f"step {step}: {sum(right)} of {len(right)} judgments right, "
        f"{len(batch.groups)} of {len(groups)} groups live, loss {loss:+.4f}"
    )
