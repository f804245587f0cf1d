"""Flags that several verbs share. One that mirrors a setting is stored under the setting's name (`sampling.top_p`)."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from functools import partial
from typing import Any

Arguments = ArgumentParser | argparse._ArgumentGroup

_SWITCH: dict[str, Any] = {"action": "store_true", "default": None}
"""A flag without a value that says nothing if it is left out."""


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the flags that say which judge is asked, and how it is asked and runs."""
    group = parser.add_argument_group("judge")
    group.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help="Hugging Face name or folder, vllm:NAME_OR_FOLDER, openai:NAME@URL (without @URL that of OPENAI_BASE_URL, "
        "else OpenAI's own), replay:FILE_OR_RUN, scripted:NAME (longer, always-a, always-b, hash), or tiny (default) and tiny-scalar, the bundled ones, "
        "which know only their synthetic world; a checkpoint for sequence classification is a "
        "scalar reward model: two scores, no reasons",
    )
    group.add_argument(
        "--family",
        metavar="NAME",
        help="prompt family: rubric (default), reasoning, direct, rating (each answer alone), an imported one, or a folder",
    )
    group.add_argument(
        "--rule", metavar="RULE", help="verdict rule: tagged (default), tail, published, arena, ratings"
    )
    group.add_argument(
        "--order",
        choices=("seeded", "given", "both"),
        help="which answer stands first: drawn per item from the seed (default, but for JudgeBench), as read, or both ways",
    )
    group.add_argument("--seed", type=int, metavar="N", help="seed of placement and sampling (default 0)")
    group.add_argument(
        "--control-token",
        action="append",
        dest="control_tokens",
        metavar="TEXT",
        help="a control token of the model, broken in user text beside those known by their shape (<|...|>, [INST], "
        "</think>, ...); repeatable, for servers with a tokenizer of their own",
    )
    about = (
        "options of local models (vllm: has no --device and no --batch-size, a scalar model no --adapter; servers and "
        "recordings take none); every other option is a key of the [engine] section: --set engine.KEY=VALUE"
    )
    add = partial(_add_setting, parser.add_argument_group("engine", about), "engine")
    add("--device", metavar="DEVICE", help="auto (default), cpu, cuda, cuda:1, mps, ...")
    dtypes = "auto (default: as stored, on a CPU float32), float32, bfloat16, float16"
    add("--dtype", metavar="DTYPE", help=dtypes)
    adapter = "folder of a LoRA adapter that is applied to the model"
    add("--adapter", key="lora_adapter", metavar="DIR", help=adapter)
    add("--batch-size", type=int, metavar="N", help="texts decoded together")
    add("--max-model-len", type=int, metavar="N", help="context limit in tokens (default: the model's)")
    overlong = "a prompt over the limit is skipped and counted (default), or ends the run; it is never cut"
    add("--on-overlong", choices=("skip", "fail"), help=overlong)
    template = "arguments of the chat template, e.g. '{\"enable_thinking\": false}'"
    add("--chat-template-kwargs", metavar="JSON", help=template)


def add_sampling_arguments(parser: ArgumentParser) -> None:
    """How texts are sampled."""
    add = partial(_add_setting, parser.add_argument_group("sampling"), "sampling")
    add("--temperature", type=float, metavar="T", help="0 (default) is greedy")
    add("--top-p", type=float, metavar="P", help="nucleus share in (0, 1] (default 1)")
    add("--top-k", type=int, metavar="K", help="0 (default) is off")
    add("--max-new-tokens", type=int, metavar="N", help="limit of one text (default 8192; 1024 for tiny)")
    samples = "texts per prompt, majority wins (default 1)"
    add("-n", "--num-samples", type=int, metavar="N", help=samples)
    stop = "a text ends at TEXT, wherever it occurs; repeatable"
    add("--stop", action="append", metavar="TEXT", help=stop)
    at_verdict = "a text ends at its final verdict, not where the model ends its turn"
    add("--stop-at-verdict", **_SWITCH, help=at_verdict)
    thinking = "marks around the model's thinking, beside the known ones; repeatable"
    add("--thinking", action="append", nargs=2, metavar=("OPEN", "CLOSE"), help=thinking)
    add("--logprobs", **_SWITCH, help="store verdict log-probabilities")


def add_data_arguments(
    parser: ArgumentParser, *, about: str | None = None, limit: str = "only the first N pairs"
) -> None:
    """How a file of pairs is read; `limit` says what --limit counts."""
    group = parser.add_argument_group("data", about)
    add_form_arguments(group, section="data")
    _add_setting(group, "data", "--limit", type=int, metavar="N", help=limit)
    skip = "count and pass over rows that cannot be read"
    _add_setting(group, "data", "--skip-invalid", **_SWITCH, help=skip)


def add_form_arguments(parser: Arguments, *, section: str = "", about: str = "") -> None:
    """The form of a file of pairs, for every verb that reads some."""
    add = partial(_add_setting, parser, section)
    add(
        "--format",
        metavar="NAME",
        help=f"{about}name of the file's form (default: recognised by its columns)",
    )
    columns = f"{about}column names of an unknown form, e.g. chosen=better"
    add("--map", action="append", metavar="OURS=THEIRS", help=columns)
    label = f"{about}what a value of the label's column means: A, B or tie; as 1=A,2=B,0=tie; repeatable"
    add("--label", action="append", metavar="VALUE=LABEL", help=label)


def add_run_arguments(parser: ArgumentParser) -> None:
    """How a run folder is written."""
    parser.add_argument("-o", "--output", metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--retry-failed", action="store_true", help="judge items again for which the engine gave an error"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        default=None,
        help="tell what would be done, and estimate time, cost and disk; nothing is loaded, sent or written",
    )
    parser.add_argument(
        "--expect-tokens",
        type=int,
        metavar="N",
        help="length of a text that --dry-run reckons with (default 800, or as in the run so far)",
    )
    add_machine_argument(parser)


def add_machine_argument(parser: ArgumentParser) -> None:
    """`--machine`, for every verb that estimates memory and time."""
    parser.add_argument(
        "--machine",
        metavar="[N]xCARD",
        help="with --dry-run: estimate for such GPUs, as H100 or 8xH100 (default: this machine)",
    )


def add_config_arguments(parser: ArgumentParser) -> None:
    """Add the flags that name settings; flags go before --set, --set before --config, --config before defaults."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="a TOML file with these settings; flags win over it")
    add_set_argument(group)


def add_recipe_arguments(parser: ArgumentParser, *, output: str, dry_run: str | None = None) -> None:
    """A recipe, where its result goes, and how to say it; `output` and `dry_run` say what -o and --dry-run mean."""
    parser.add_argument("recipe", metavar="RECIPE", help="a TOML file")
    parser.add_argument("-o", "--output", metavar="DIR", help=output)
    add_set_argument(parser)
    if dry_run is not None:
        parser.add_argument("--dry-run", action="store_true", help=dry_run)
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    if dry_run is not None:
        parser.add_argument("--quiet", action="store_true", help="no progress")


def add_set_argument(parser: Arguments, *, told: str = "one setting by its name in the file") -> None:
    """`--set`, for every verb that reads a settings file."""
    parser.add_argument("--set", action="append", metavar="A.B=C", help=f"{told}; repeatable")


def _add_setting(
    parser: Arguments, section: str, *flags: str, key: str | None = None, **options: Any
) -> None:
    """Add a flag that says a setting; the key is the flag's name by default."""
    key = key or flags[-1].lstrip("-").replace("-", "_")
    parser.add_argument(*flags, dest=f"{section}.{key}" if section else key, **options)
