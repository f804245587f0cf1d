"""Try to talk a judge into the wrong answer, and count how often it works.

  rmr1 attack pairs.jsonl -m MODEL -o runs/x                every injection in the losing answer of every pair
  rmr1 attack pairs.jsonl -m MODEL --kind persuasive        only those; also a kind or a single one, and several
  rmr1 attack pairs.jsonl -m MODEL --draw 3                 three injections for each pair, drawn by the seed
  rmr1 attack -o runs/x                                     the stored run goes on as it was asked for
  rmr1 attack --render                                      which injections act in a rendered prompt; no model is asked
  rmr1 attack --render -m MODEL                             the same, with a model's own template and tokenizer besides
  rmr1 attack --list                                        the catalogue

The losing answer is the one that the label does not prefer; without a label, the one that the judge did not. Each pair is
judged as it is, with the injection, and with neutral text of the same length in its place, all in the same order. Only
pairs that the judge decides against the losing answer can flip, so only they are attacked.

With --fail-on PERCENT the exit code is 1 if the flips of any injection or kind are shown to be more than the control's by
over PERCENT points (the whole 95% interval is above), and with --render if any injection is not inert. docs/attacks.md.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from rmr1.audit.attacks.catalogue import Injection, choose, inject, load_catalogue
from rmr1.audit.attacks.figures import AttackReport, measure_attack
from rmr1.audit.attacks.inert import summarize_trials
from rmr1.audit.attacks.model_template import load_model_template
from rmr1.audit.attacks.proof import prove_inert
from rmr1.audit.attacks.run import (
    ARMS,
    attack_all,
    check_attackable,
    describe_attack,
    draw_injections,
    list_attack_keys,
)
from rmr1.audit.attacks.tally import AttackTally
from rmr1.audit.attacks.templates import Template, load_templates
from rmr1.cli.dry_run import print_dry_run
from rmr1.cli.options import add, add_judging_arguments, add_run_arguments, build_config
from rmr1.cli.session import (
    format_usage,
    named_sources,
    open_judge,
    refuse_foreign,
    tell,
    tell_resumed,
)
from rmr1.console import Progress
from rmr1.errors import ConfigError
from rmr1.judge.asked import SECTION, describe_command, read_command
from rmr1.judge.config import JudgeConfig
from rmr1.judge.identity import describe_run
from rmr1.judge.source import PairSource, scan_pairs
from rmr1.judge.summary import Tally, describe_cost, is_unanswered, summarize_run
from rmr1.records import PreferencePair
from rmr1.report.attacks import print_attack, print_catalogue, print_inert
from rmr1.screen import print, print_json
from rmr1.store.keys import number_items
from rmr1.store.runs import open_run, read_description

_OWN = ("kind", "draw", "catalogue")
"""What is asked for besides the judge and the data."""


def add_arguments(parser: ArgumentParser) -> None:
    pairs = "files, patterns such as 'data/*.jsonl', folders or datasets of pairs; - for standard input"
    add(parser, "PAIRS", pairs, nargs="*")
    add_run_arguments(parser)
    add(parser, "--json", "JSON on standard output")
    add(parser, "--quiet", "no progress")
    attack = partial(add, parser.add_argument_group("attack"))
    kinds = "only injections of this form (structural, persuasive), kind or name; repeatable (default: all)"
    attack("--kind NAME", kinds, action="append")
    attack("--draw N", "N injections for each pair, drawn by the seed (default: all)")
    attack(
        "--catalogue FILE",
        "injections of your own (TOML, as docs/attacks.md has it) instead of the package's",
    )
    attack("--render", "ask no model: show which injections act in prompts of every family, raw and escaped")
    attack("--list", "print the catalogue")
    fail = "exit code 1 if flips are shown to be more than the control's by over PERCENT points"
    attack("--fail-on PERCENT", fail)
    add_judging_arguments(parser)


def run(arguments: Namespace) -> int:
    stored: dict[str, Any] | None = None
    if not arguments.pairs and arguments.output is not None:
        arguments.pairs, stored = read_command(arguments.output, "attack")
        asked = read_description(arguments.output)[SECTION]
        for name in _OWN:
            if getattr(arguments, name) is None:
                setattr(arguments, name, asked.get(name))
    if arguments.draw is not None and arguments.draw < 1:
        raise ConfigError(f"--draw {arguments.draw}: expected 1 or more")
    catalogue = load_catalogue(arguments.catalogue)
    injections = choose(catalogue, arguments.kind)
    if arguments.list:
        print_catalogue(injections)
        return 0
    if arguments.render:
        return _render(arguments, injections)
    if not arguments.pairs:
        raise ConfigError("nothing to attack with; name a file of PAIRS, or pass --render")
    config = build_config(arguments, stored)
    config.judge_settings()  # a wrong setting is said before the data are read
    with named_sources(arguments.pairs) as (sources, is_piped):
        source = scan_pairs(sources, config.data, tell=tell, is_piped=is_piped)
        refuse_foreign(config, source.pairs())
        if arguments.dry_run:
            return _print_dry_run(arguments, config, source, injections)
        return _attack(arguments, config, source, catalogue, injections, stored)


def _render(arguments: Namespace, injections: tuple[Injection, ...]) -> int:
    if arguments.pairs:
        raise ConfigError("--render asks no judge and takes no PAIRS; leave one of them out")
    chosen = injections if arguments.kind else choose(injections, ["structural"])
    config = build_config(arguments)
    templates: list[Template] = [*load_templates()]
    tokens = config.control_tokens
    if "model" in config.model_fields_set:
        own = load_model_template(config.model)
        templates.append(own)
        tokens = (*tokens, *own.special_tokens)
    report = summarize_trials(prove_inert(chosen, templates=templates, special_tokens=tokens))
    print_json(report.describe()) if arguments.json else print_inert(report)
    return 0 if report.is_inert else 1


def _print_dry_run(
    arguments: Namespace, config: JudgeConfig, source: PairSource, injections: tuple[Injection, ...]
) -> int:
    tell(
        "which pairs can flip is known when they are judged; reckoned as if all could, and nothing were stored"
    )
    whole = Namespace(**{**vars(arguments), "output": None})
    pairs = _foresee(source, injections, config.seed, arguments.draw)
    return print_dry_run(whole, config, config.judge_settings(), pairs)


def _foresee(
    source: PairSource, injections: tuple[Injection, ...], seed: int, draw: int | None
) -> Iterator[PreferencePair]:
    """All pairs that may be asked about; of those without label, answer B is attacked."""
    for keys, pair in number_items(source.pairs()):
        yield pair
        if pair.label == "tie":
            continue
        for injection in draw_injections(injections, draw, seed=seed, key=keys[0]):
            changed = inject(pair, "A" if pair.label == "B" else "B", injection.write("A", "B"))
            yield from (changed for _ in ARMS)


def _attack(
    arguments: Namespace,
    config: JudgeConfig,
    source: PairSource,
    catalogue: tuple[Injection, ...],
    injections: tuple[Injection, ...],
    stored: dict[str, Any] | None,
) -> int:
    tally, shown = AttackTally(), Tally()
    with ExitStack() as opened:
        judge = opened.enter_context(closing(open_judge(config)))
        check_attackable(judge)
        writer = None
        if arguments.output is not None:
            description = describe_run("attack", judge, data=None, folder=arguments.output)
            sections = describe_command(config, source, arguments.output, stored)
            asked = {name: getattr(arguments, name) for name in _OWN}
            writer = opened.enter_context(
                open_run(
                    arguments.output,
                    {
                        **describe_attack(description, catalogue),
                        **sections,
                        SECTION: {**sections[SECTION], **asked},
                    },
                    retry_failed=arguments.retry_failed,
                    keys=lambda: list_attack_keys(partial(source.pairs, limited=False), catalogue),
                )
            )
            tell_resumed(arguments.output, writer.num_resumed, None, quiet=arguments.quiet)
        done = 0 if writer is None else writer.num_resumed
        with Progress(None, done=done, quiet=arguments.quiet) as progress:
            for _, judgment in attack_all(
                judge, source.pairs, injections, tally, seed=config.seed, draw=arguments.draw, run=writer
            ):
                progress.update(judgment)
            shown = progress.tally
        report = measure_attack(tally.attempts(), injections, tally.fates)
        if writer is None:
            summary = {**shown.summary(), **describe_cost(shown.summary(), judge)}
        else:
            summary = summarize_run(writer, shown, judge)
            summary["invalid_rows"] = source.num_invalid
        summary["attack"] = report.describe()
        if writer is not None:
            writer.write_summary(summary)
    return _print_summary(arguments, report, summary)


def _print_summary(arguments: Namespace, report: AttackReport, summary: dict[str, Any]) -> int:
    is_useless = is_unanswered(summary["items"], summary["problems"])
    if arguments.json:
        print_json(summary)
    elif is_useless:
        print(f"none of {summary['items']} questions is answered: the model has answered nothing")
    else:
        print_attack(report)
        for line in format_usage(summary):
            print(line)
        if summary["failed"]:
            print(f"failed: {summary['failed']} questions, for which the engine gave an error")
        if arguments.output is not None:
            print(f"read them: rmr1 show {arguments.output} --subset attacked/NAME")
    if not report.all.attempts:
        tell("nothing could be attacked, so nothing is known of how the judge stands it")
    is_over = _is_over(report, arguments.fail_on)
    return 1 if is_useless or is_over or not report.all.attempts else 0


def _is_over(report: AttackReport, limit: float | None) -> bool:
    """Whether any row's difference is shown to be more than the limit, in percentage points."""
    if limit is None:
        return False
    over = [
        one.name
        for one in report.list_rows()
        if one.difference_interval is not None and 100 * one.difference_interval[0] > limit
    ]
    if over:
        tell(f"more flips than the control's by over {limit:g} points: {', '.join(over)}")
    return bool(over)
