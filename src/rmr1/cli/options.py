"""Flags that several verbs share, and the settings that they make: flags over --set, --set over the config file.

A flag that mirrors a setting is stored under the setting's name (`sampling.top_p`).
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from rmr1.cluster.options import ClusterOptions, read_cluster_options
from rmr1.data.read import check_labels
from rmr1.errors import ConfigError
from rmr1.judge.config import JudgeConfig
from rmr1.records import Label
from rmr1.settings import assign_settings, read_toml, split_assignment

_TYPES: Mapping[str, Callable[[str], Any]] = {
    "N": int,
    "K": int,
    "G": float,
    "T": float,
    "P": float,
    "PERCENT": float,
}
"""Types of values by the word that stands for them."""


def add(
    parser: ArgumentParser | _ArgumentGroup, usage: str, help: str, *, section: str = "", **more: Any
) -> None:
    """Add an argument, written as `--help` shows it: `-n --number N`, `PAIRS`, or, a switch, `--strict`.

    One of a `section` of the settings says nothing if it is left out.
    """
    *flags, last = usage.split()
    if not last.startswith("-"):
        more = {"metavar": last, "type": _TYPES.get(last), **more}
    else:
        flags.append(last)
        if not {"choices", "nargs"} & more.keys():
            more = {"action": "store_true", "default": None if section else False, **more}
    if section:
        more["dest"] = f"{section}.{more.pop('dest', flags[-1].lstrip('-').replace('-', '_'))}"
    parser.add_argument(*(flags or [more.pop("dest", last.lower())]), help=help, **more)


def add_judging_arguments(
    parser: ArgumentParser,
    *,
    about: str | None = None,
    limit: str = "only the first N pairs",
    has_data: bool = True,
) -> None:
    """The judge that is asked, how it runs, samples and reads data, of which `about` tells and `limit` what --limit counts,
    and the flags that name settings."""
    judge = partial(add, parser.add_argument_group("judge"))
    judge(
        "-m --model MODEL",
        "Hugging Face name or folder, vllm:NAME_OR_FOLDER, openai:NAME@URL (without @URL that of OPENAI_BASE_URL, "
        "else OpenAI's own), decisions:NAME@URL (a decision endpoint: a probability, no reasons), replay:FILE_OR_RUN, scripted:NAME (longer, always-a, always-b, hash), or tiny (default) and tiny-scalar, the bundled ones, "
        "which know only their synthetic world; a checkpoint for sequence classification is a "
        "scalar reward model: two scores, no reasons",
    )
    family = (
        "rubric (default), reasoning, direct, criteria (with --criteria and --share-rubric), rating (each answer alone), "
        "an imported one, or a folder"
    )
    judge("--family NAME", f"prompt family: {family}")
    judge("--rule RULE", "verdict rule: tagged (default), tail, published, arena, ratings")
    judge(
        "--order",
        "which answer stands first: drawn per item from the seed (default, but for JudgeBench), as read, or both ways",
        choices=("seeded", "given", "both"),
    )
    judge("--seed N", "seed of placement and sampling (default 0)")
    judge(
        "--control-token TEXT",
        "a control token of the model, broken in user text beside those known by their shape (<|...|>, [INST], "
        "</think>, ...); repeatable, for servers with a tokenizer of their own",
        action="append",
        dest="control_tokens",
    )
    local = (
        "options of local models (vllm: has no --device and no --batch-size, a scalar model no --adapter; servers and "
        "recordings take none); every other option is a key of the [engine] section: --set engine.KEY=VALUE"
    )
    engine = partial(add, parser.add_argument_group("engine", local), section="engine")
    engine("--device DEVICE", "auto (default), cpu, cuda, cuda:1, mps, ...")
    engine("--dtype DTYPE", "auto (default: as stored, on a CPU float32), float32, bfloat16, float16")
    engine("--adapter DIR", "folder of a LoRA adapter that is applied to the model", dest="lora_adapter")
    engine("--batch-size N", "texts decoded together")
    engine("--max-model-len N", "context limit in tokens (default: the model's)")
    overlong = "a prompt over the limit is skipped and counted (default), or ends the run; it is never cut"
    engine("--on-overlong", overlong, choices=("skip", "fail"))
    engine(
        "--chat-template-kwargs JSON", "arguments of the chat template, e.g. '{\"enable_thinking\": false}'"
    )
    sampling = partial(add, parser.add_argument_group("sampling"), section="sampling")
    sampling("--temperature T", "0 (default) is greedy")
    sampling("--top-p P", "nucleus share in (0, 1] (default 1)")
    sampling("--top-k K", "0 (default) is off")
    sampling("--max-new-tokens N", "limit of one text (default 8192; 1024 for tiny)")
    samples = "texts per prompt, whose votes are counted (default 1); several are sampled at temperature 1 by default"
    sampling("-n --votes --num-samples N", samples)
    sampling("--stop TEXT", "a text ends at TEXT, wherever it occurs; repeatable", action="append")
    sampling("--stop-at-verdict", "a text ends at its final verdict, not where the model ends its turn")
    thinking = "marks around the model's thinking, beside the known ones; repeatable"
    sampling("--thinking", thinking, action="append", nargs=2, metavar=("OPEN", "CLOSE"))
    sampling("--logprobs", "store verdict log-probabilities")
    guide = parser.add_argument_group("guide")
    skeleton = "write the protocol's skeleton for the model, which fills it; every text ends with a verdict"
    guide.add_argument("--guide", action="store_const", const="protocol", help=skeleton)
    forced = "write the verdict for the model if its own text has none"
    guide.add_argument("--force-verdict", action="store_const", const="verdict", dest="guide", help=forced)
    add(guide, "--part-tokens N", "most tokens of a part of a guided judgment (default 1024)")
    criteria = partial(add, parser.add_argument_group("criteria"))
    criteria(
        "--criteria TEXT_OR_FILE",
        "judge by exactly these, and score each answer by each: a text, a criterion a line, or a file (plain text, "
        "TOML or JSON with text, name and weight)",
    )
    once = (
        "have the judge write a rubric for each question first, and go by it for all pairs, orders and votes"
    )
    criteria("--share-rubric", once, default=None)
    votes = partial(add, parser.add_argument_group("votes and probabilities"))
    by = "what decides: the most votes (default), or their mean probability, with --logprobs"
    votes("--vote-by", by, choices=("majority", "probability"))
    votes(
        "--stop-votes P",
        "cast no more votes once the leading side has the majority with probability P; 1: for certain",
    )
    cascade = (
        "ask in stages, each about what those before it left: prompt families and votes:K, both also of another model "
        "(FAMILY@MODEL), models alone (@MODEL), and decisions:NAME@URL"
    )
    votes("--cascade A,B,...", cascade)
    calibration = "calibrate the probabilities, or a cascade's stages, by this file of rmr1 calibrate"
    votes("--calibration FILE", calibration)
    start = "start only with a calibration that"
    votes("--least-labels N", f"{start} was fitted on N blind labels of people or more (rmr1 label --blind)")
    votes("--least-agreement P", f"{start} agrees with that share of them")
    votes("--least-kappa X", f"{start} has that kappa with them", type=float)
    votes("--cache DIR", "keep judgments in this folder, and take from it those that are there")
    if has_data:
        group = parser.add_argument_group("data", about)
        add_form_arguments(group, section="data")
        add(group, "--limit N", limit, section="data")
        add(group, "--skip-invalid", "count and pass over rows that cannot be read", section="data")
    settings = partial(add, parser.add_argument_group("settings"))
    settings("--config FILE", "a TOML file with these settings; flags win over it")
    settings("--set A.B=C", "one setting by its name in the file; repeatable", action="append")


def add_form_arguments(
    parser: ArgumentParser | _ArgumentGroup, *, section: str = "", about: str = ""
) -> None:
    """The form of a file of pairs, for every verb that reads some."""
    form = partial(add, parser, section=section)
    form("--format NAME", f"{about}name of the file's form (default: recognised by its columns)")
    columns = f"{about}column names of an unknown form, e.g. chosen=better"
    form("--map OURS=THEIRS", columns, action="append")
    label = f"{about}what a value of the label's column means: A, B or tie; as 1=A,2=B,0=tie; repeatable"
    form("--label VALUE=LABEL", label, action="append")


def add_run_arguments(parser: ArgumentParser) -> None:
    """How a run folder is written."""
    add(parser, "-o --output RUN", "run folder to write")
    add(parser, "--retry-failed", "judge items again for which the engine gave an error")
    dry_run = "tell what would be done, and estimate time, cost and disk; nothing is loaded, sent or written"
    add(parser, "--dry-run", dry_run)
    add_estimate_arguments(parser, expected="as in the run so far")


def add_cluster_arguments(parser: ArgumentParser) -> None:
    """The cluster whose actors judge, instead of this process."""
    cluster = partial(add, parser.add_argument_group("cluster"))
    where = (
        "judge over Ray: HOST:PORT, auto (the cluster of this machine), or local (one of this run; the default outside of "
        "a cluster); write the data first, or --ray=ADDRESS"
    )
    cluster("--ray ADDRESS", where, nargs="?", const="")
    actors = "actors, each with a model of its own: N, or N to begin with and M at most (default: one for each GPU, else for each machine)"
    cluster("--ray-actors N[,M]", actors)
    gpus = "GPUs of an actor (default: engine.tensor_parallel_size, or 1; none for servers)"
    cluster("--ray-gpus G", gpus)


def read_cluster(arguments: Namespace) -> ClusterOptions | None:
    """What the command line says of the cluster; None if this process is to judge."""
    return read_cluster_options(arguments.ray, actors=arguments.ray_actors, gpus=arguments.ray_gpus)


def add_estimate_arguments(parser: ArgumentParser, *, expected: str | None = None) -> None:
    """What --dry-run estimates with; `expected` says what a text's length is taken from before the default."""
    if expected is not None:
        text = f"length of a text that --dry-run reckons with (default 800, or {expected})"
        add(parser, "--expect-tokens N", text)
    machine = "with --dry-run: estimate for such GPUs, as H100 or 8xH100 (default: this machine)"
    add(parser, "--machine [N]xCARD", machine)


def add_recipe_arguments(parser: ArgumentParser, *, output: str, dry_run: str | None = None) -> None:
    """A recipe, where its result goes, and how to say it; `output` and `dry_run` say what -o and --dry-run mean."""
    add(parser, "RECIPE", "a TOML file")
    add(parser, "-o --output DIR", output)
    add(parser, "--set A.B=C", "one setting by its name in the file; repeatable", action="append")
    if dry_run is not None:
        add(parser, "--dry-run", dry_run)
    add(parser, "--json", "JSON on standard output")
    if dry_run is not None:
        add(parser, "--quiet", "no progress")


def build_config(arguments: Namespace, stored: Mapping[str, Any] | None = None) -> JudgeConfig:
    """The settings that a command line asks for, over those that are `stored` of a run that goes on."""
    given = vars(arguments)
    path = given.get("config")
    values = deepcopy(dict(stored or {})) if path is None else read_toml(path)
    assign_settings(values, given.get("set"))
    sections = {"data", "sampling", "engine"}
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        if value is not None and (section or key in JudgeConfig.model_fields.keys() - sections):
            target = values.setdefault(section, {}) if section else values
            target[key] = _PARSERS[key](value) if key in _PARSERS else value
    return JudgeConfig.from_values(values, path or "command line", look=True)


def parse_columns(values: Sequence[str] | None) -> dict[str, str]:
    """`chosen=better` as a mapping, of each value."""
    return dict(split_assignment(one, "--map", "OURS=THEIRS") for one in values or ())


def parse_labels(values: Sequence[str] | None) -> dict[str, Label] | None:
    """`1=A,2=B` as a mapping; a value may hold an equals sign: `A=B=tie`."""
    if values is None:
        return None
    found: dict[str, str] = {}
    for part in ",".join(values).split(","):
        value, equals, label = (one.strip() for one in part.rpartition("="))
        if not equals or not value:
            raise ConfigError(f"--label {part!r}: expected VALUE=LABEL, as in --label 1=A,2=B,0=tie")
        if found.setdefault(value, label) != label:
            raise ConfigError(f"--label: {value!r} is to mean {found[value]!r} and {label!r}")
    return dict(check_labels(found) or {})


def read_form(arguments: Namespace) -> dict[str, Any]:
    """How `--format`, `--map` and `--label` say that pairs are read, as arguments of the functions that read."""
    columns, labels = parse_columns(arguments.map), parse_labels(arguments.label)
    return {"format": arguments.format, "columns": columns, "labels": labels}


def _parse_json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--chat-template-kwargs: not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise ConfigError("--chat-template-kwargs: expected a JSON object")
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "map": parse_columns,
    "label": parse_labels,
    "cascade": lambda text: [one.strip() for one in text.split(",")],
    "chat_template_kwargs": _parse_json,
}
"""Key to how its flag is read."""
