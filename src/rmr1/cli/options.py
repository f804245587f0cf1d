"""Flags that several verbs share. Every flag mirrors a key of the config file (`cli/config.py`)."""

from __future__ import annotations

import argparse


def add_model_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
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
    engine = parser.add_argument_group(
        "engine",
        "options of local models (vllm: has no --device and no --batch-size, a scalar model no --adapter; servers and "
        "recordings take none); every other option is a key of the [engine] section: --set engine.KEY=VALUE",
    )
    engine.add_argument("--device", help="auto (default), cpu, cuda, cuda:1, mps, ...")
    engine.add_argument(
        "--dtype", help="auto (default: as stored, on a CPU float32), float32, bfloat16, float16"
    )
    engine.add_argument(
        "--adapter",
        dest="lora_adapter",
        metavar="DIR",
        help="folder of a LoRA adapter that is applied to the model",
    )
    engine.add_argument("--batch-size", type=int, metavar="N", help="texts decoded together")
    engine.add_argument(
        "--max-model-len", type=int, metavar="N", help="context limit in tokens (default: the model's)"
    )
    engine.add_argument(
        "--on-overlong",
        choices=("skip", "fail"),
        help="a prompt over the limit is skipped and counted (default), or ends the run; it is never cut",
    )
    engine.add_argument(
        "--chat-template-kwargs",
        metavar="JSON",
        help="arguments of the chat template, e.g. '{\"enable_thinking\": false}'",
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """How texts are sampled."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--temperature", type=float, metavar="T", help="0 (default) is greedy")
    group.add_argument("--top-p", type=float, metavar="P", help="nucleus share in (0, 1] (default 1)")
    group.add_argument("--top-k", type=int, metavar="K", help="0 (default) is off")
    group.add_argument(
        "--max-new-tokens", type=int, metavar="N", help="limit of one text (default 8192; 1024 for tiny)"
    )
    group.add_argument(
        "-n", "--num-samples", type=int, metavar="N", help="texts per prompt, majority wins (default 1)"
    )
    group.add_argument(
        "--stop", action="append", metavar="TEXT", help="a text ends at TEXT, wherever it occurs; repeatable"
    )
    group.add_argument(
        "--stop-at-verdict",
        action="store_true",
        default=None,
        help="a text ends at its final verdict, not where the model ends its turn",
    )
    group.add_argument(
        "--thinking",
        action="append",
        nargs=2,
        metavar=("OPEN", "CLOSE"),
        help="marks around the model's thinking, beside the known ones; repeatable",
    )
    group.add_argument(
        "--logprobs", action="store_true", default=None, help="store verdict log-probabilities"
    )


def add_data_arguments(
    parser: argparse.ArgumentParser, *, about: str | None = None, limit: str = "only the first N pairs"
) -> None:
    """How a file of pairs is read; `limit` says what --limit counts."""
    group = parser.add_argument_group("data", about)
    group.add_argument(
        "--format", metavar="NAME", help="name of the file's form (default: recognised by its columns)"
    )
    group.add_argument(
        "--map",
        action="append",
        metavar="OURS=THEIRS",
        help="column names of an unknown form, e.g. chosen=better",
    )
    add_label_argument(group)
    group.add_argument("--limit", type=int, metavar="N", help=limit)
    group.add_argument(
        "--skip-invalid",
        action="store_true",
        default=None,
        help="count and pass over rows that cannot be read",
    )


def add_label_argument(parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, about: str = "") -> None:
    """`--label`, for every verb that reads pairs."""
    parser.add_argument(
        "--label",
        action="append",
        metavar="VALUE=LABEL",
        help=f"{about}what a value of the label's column means: A, B or tie; as 1=A,2=B,0=tie; repeatable",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
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


def add_machine_argument(parser: argparse.ArgumentParser) -> None:
    """`--machine`, for every verb that estimates memory and time."""
    parser.add_argument(
        "--machine",
        metavar="[N]xCARD",
        help="with --dry-run: estimate for such GPUs, as H100 or 8xH100 (default: this machine)",
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name settings; flags go before --set, --set before --config, --config before defaults."""
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="a TOML file with these settings; flags win over it")
    group.add_argument(
        "--set", action="append", metavar="A.B=C", help="one setting by its name in the file; repeatable"
    )
