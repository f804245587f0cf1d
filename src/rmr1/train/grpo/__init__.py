"""Reinforcement learning with verifiable rewards: a judge samples judgments and learns from those that are right.

    recipe (TOML) ──> tasks ──> rollout ──> rewards ──> advantages ──> rows of groups ──> update
                       pairs     samples     of the       within a      prompt once        policy
                                             verdict      group         per group

`run_grpo` is what `rmr1 grpo` calls. A group, one prompt and its samples, is the unit of work: its prompt goes through
the model once in the rollout and once in the update, for policy and reference alike (shared prompts of PrefixGrouper
and Unsloth; group-relative advantages of DeepSeekMath, arXiv 2402.03300; recipe and reward of RM-R1, arXiv 2505.02387).
"""
