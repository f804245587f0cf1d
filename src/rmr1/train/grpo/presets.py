"""RM-R1's six reinforcement runs, as settings under a recipe's own.

arXiv 2505.02387, section 4 and appendix; rates from the reference repository's cluster scripts. The instruct
models start from the paper's supervised stage, which was not published: `model.base` is yours to name there.
What the defaults say already is not said again, or named options could not change it.
"""

from __future__ import annotations

from typing import Any


def _paper(lr: float, *, base: str | None, family: str) -> dict[str, Any]:
    return {
        "model": {"precision": "bf16", "checkpointing": True, **({"base": base} if base else {})},
        "data": {"family": family, "max_prompt_tokens": 4096},
        "rollout": {
            "engine": "vllm",
            "prompts": 1024,
            "samples": 7,
            "max_new_tokens": 8192,
            "temperature": 1.0,
        },
        "update": {"prompts": 128, "row_tokens": 65536},
        "objective": {"beta": 1e-3},
        "rewards": {"verdict": 1.0},
        "optim": {"name": "adamw", "lr": lr, "schedule": "constant", "warmup": 0, "clip": 1.0, "epochs": 1},
        "evaluation": {"every": 5},
        "checkpoint": {"every": 5},
    }


def _with_adapters(settings: dict[str, Any], *, gpu_memory: float) -> dict[str, Any]:
    """The same with adapters, whose rate is ten times that of whole weights, as is usual for them.

    vLLM's share leaves room on a GPU of 141 GB for the longest group's update: 7B and 14B fit. The weights of
    32B, which vLLM holds a second time, do not.
    """
    optim = {**settings["optim"], "lr": 10 * settings["optim"]["lr"]}
    rollout = {**settings["rollout"], "gpu_memory": gpu_memory}
    return {**settings, "lora": {"r": 32, "alpha": 64}, "optim": optim, "rollout": rollout}


_FULL = {
    "rm-r1-qwen-7b": _paper(1e-6, base=None, family="rubric"),
    "rm-r1-qwen-14b": _paper(7e-7, base=None, family="rubric"),
    "rm-r1-qwen-32b": _paper(5e-7, base=None, family="rubric"),
    "rm-r1-deepseek-7b": _paper(1e-6, base="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", family="reasoning"),
    "rm-r1-deepseek-14b": _paper(1e-6, base="deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", family="reasoning"),
    "rm-r1-deepseek-32b": _paper(8e-7, base="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", family="reasoning"),
}

PRESETS: dict[str, dict[str, Any]] = {
    **_FULL,
    **{
        f"{name}-lora": _with_adapters(settings, gpu_memory=0.27 if "14b" in name else 0.4)
        for name, settings in _FULL.items()
    },
}
