"""Ask whether a judge is to be trusted: its habits, its honesty, its agreement with others and with itself.

  rmr1 audit runs/x                          every audit: the size of the fault, its interval, how much it is of
  rmr1 audit runs/x runs/y                   and how far the judges agree on the pairs that both judged
  rmr1 audit outputs.jsonl.gz                recorded outputs of another judge, as bench --from takes them
  rmr1 audit runs/x --fail-on position:0.1 --fail-on grounding
                                             exit code 1 if a size is more than the limit, or if it is an alarm
  rmr1 audit runs/x --labels                 the labels that the judge contradicts, the least likely first

position     the answer shown first wins because it is first
length, markdown, refusal    the longer answer, that with more Markdown, or that which refuses wins beyond its being right
grounding    quotations that do not stand in the answer they name
calibration  confidence less accuracy
votes        two votes on the same prompt differ
solution, weights    verdicts against the judge's own solution, or against its own scores
twins, level, hinge  rubrics that say the same twice, do not tell answers apart, or hang on one criterion
people, judges       agreement with people (labels.jsonl of the run) and between runs

Sizes are shares or differences of shares in percent, of agreement kappa or alpha. An alarm is a size beyond the audit's own
limit by more than chance: all audits of a judge together raise a false one with a chance of 5% at most. docs/audits.md says
how to read each, and what it cannot say.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rmr1.audit.agreement import BETWEEN, PEOPLE
from rmr1.audit.audits import AUDITS
from rmr1.audit.finding import Finding
from rmr1.audit.wrong_labels import Doubt, Doubts, doubt_labels
from rmr1.cli.filters import add_filter_arguments, read_filter
from rmr1.cli.options import add
from rmr1.errors import ConfigError
from rmr1.nearest import suggest
from rmr1.report.audited import AuditedRun, audit_between, audit_run
from rmr1.report.sentences import AUDIT_HEADER, format_finding
from rmr1.report.tables import make_table, print_table
from rmr1.screen import one_line, print, print_json

NAMES = (*(one.name for one in AUDITS), PEOPLE.name, BETWEEN.name)


@dataclass(frozen=True, slots=True)
class Gate:
    """One --fail-on."""

    name: str
    limit: float | None
    """The worst size that passes; None if an alarm decides."""

    def judge(self, finding: Finding, run: str) -> str | None:
        """Why a finding does not pass; None if it does."""
        place = f"{run}: {self.name}"
        if finding.size is None:
            return f"{place} cannot be told: it lacks {finding.lacks}"
        if self.limit is None:
            return f"{place} is an alarm: {finding.says}" if finding.alarm else None
        word = "less" if finding.is_coefficient else "more"
        failed = f"{place} is {finding.size:+.4g}, {word} than the limit {self.limit:g}: {finding.says}"
        return failed if finding.is_beyond(self.limit) else None


def add_arguments(parser: ArgumentParser) -> None:
    add(parser, "RUN", "folders of judging runs, or recorded outputs", nargs="+", dest="runs")
    add(
        parser,
        "--fail-on NAME[:LIMIT]",
        "exit code 1 if this audit's size is more than LIMIT (of people and judges: less), or without LIMIT if it is an "
        "alarm; also if it cannot be told; repeatable",
        action="append",
    )
    labels = "rank the labels that the judges contradict instead; of several runs all judges together"
    add(parser, "--labels", labels)
    add(parser, "--limit N", "with --labels: at most N labels (default 20; 0 = all)")
    add(parser, "--seed N", "with --labels: seed of the folds (default 0)", default=0)
    add(parser, "--json", "JSON on standard output")
    add_filter_arguments(parser)


def run(arguments: Namespace) -> int:
    gates = [_read_gate(one) for one in arguments.fail_on or ()]
    sources = list(dict.fromkeys(arguments.runs))
    _check(arguments, gates, sources)
    wanted = read_filter(arguments)
    runs = [audit_run(source, wanted) for source in sources]
    if empty := [one.name for one in runs if not one.ids]:
        told = "no judgment matches" if wanted.given else "no judgments in it"
        print(f"rmr1: {', '.join(map(one_line, empty))}: {told}", file=sys.stderr)
        return 1
    if arguments.labels:
        return _rank_labels(arguments, runs)
    between = audit_between(runs)
    if arguments.json:
        print_json({"runs": [one.describe() for one in runs], "judges": [one.describe() for one in between]})
    else:
        _print(runs, between)
    failures = list(_judge_gates(gates, runs, between))
    for line in failures:
        print(f"rmr1: {one_line(line)}", file=sys.stderr)
    return 1 if failures else 0


def _check(arguments: Namespace, gates: Sequence[Gate], sources: Sequence[str]) -> None:
    if arguments.limit is not None and not arguments.labels:
        raise ConfigError("--limit is for --labels; the audits are shown all")
    if arguments.limit is not None and arguments.limit < 0:
        raise ConfigError(f"--limit {arguments.limit}: expected 0 or more")
    if arguments.labels and gates:
        raise ConfigError("--labels and --fail-on: choose one")
    if len(sources) < 2 and any(gate.name == BETWEEN.name for gate in gates):
        raise ConfigError(f"--fail-on {BETWEEN.name}: there is one run; name two or more")


def _read_gate(text: str) -> Gate:
    name, colon, limit = text.partition(":")
    if name not in NAMES:
        raise ConfigError(
            f"--fail-on {text!r}: no audit {name!r}{suggest(name, NAMES) or '; there are ' + ', '.join(NAMES)}"
        )
    if not colon:
        return Gate(name, None)
    try:
        value = float(limit)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"--fail-on {text!r}: expected a limit from 0 to 1, as {name}:0.1")
    return Gate(name, value)


def _judge_gates(gates: Sequence[Gate], runs: Sequence[AuditedRun], between: Sequence[Finding]) -> list[str]:
    failures = []
    for gate in gates:
        places = (
            [("judges", between)] if gate.name == BETWEEN.name else [(one.name, one.findings) for one in runs]
        )
        for place, findings in places:
            failures += [gate.judge(one, place) for one in findings if one.name == gate.name]
    return [one for one in failures if one is not None]


def _print(runs: Sequence[AuditedRun], between: Sequence[Finding]) -> None:
    for one in runs:
        alarms = [finding.name for finding in one.findings if finding.alarm]
        print(f"{one_line(one.name)}: {len(one.ids):,} judgments, {_tell_alarms(alarms)}")
        _print_findings([finding for finding in one.findings if finding.size is not None])
        for finding in one.findings:
            if finding.size is None:
                print(f"{finding.name:<12} lacks {one_line(finding.lacks or '')}")
        print("")
    if between:
        print(f"between the judges: {_tell_alarms([finding.name for finding in between if finding.alarm])}")
        _print_findings(between)


def _tell_alarms(names: Sequence[str]) -> str:
    return f"alarms: {', '.join(names)}" if names else "no alarm"


def _print_findings(findings: Sequence[Finding]) -> None:
    rows = [tuple(map(one_line, format_finding(one))) for one in findings]
    if rows:
        print_table(make_table(AUDIT_HEADER, rows, has_notes=True))


def _rank_labels(arguments: Namespace, runs: Sequence[AuditedRun]) -> int:
    found = doubt_labels([one.run for one in runs], seed=arguments.seed)
    limit = 20 if arguments.limit is None else arguments.limit
    shown = found.doubts[: limit or None]
    ids = runs[0].ids
    if arguments.json:
        described = found.describe(limit or None)
        for one, doubt in zip(described["labels"], shown, strict=True):
            one["id"] = ids[doubt.key]
        print_json(described)
    else:
        _print_labels(found, shown, ids)
    return 0 if found.doubts else 1


def _print_labels(found: Doubts, shown: Sequence[Doubt], ids: Mapping[str, str]) -> None:
    rows = [
        (one.key[:12], one_line(ids[one.key]), one.label, f"{100 * one.probability:.1f}") for one in shown
    ]
    if rows:
        print_table(make_table(("Key", "Pair", "Label", "likely %"), rows, texts=3))
    judges = "the judge contradicts" if found.judges == 1 else f"{found.judges} judges together contradict"
    print(
        f"of {found.used:,} labels {judges} {len(found.doubts):,}; {len(shown):,} shown, the least likely first "
        f"(log loss {found.log_loss:.3f} on other prompts; 0.693 tells nothing)"
    )
