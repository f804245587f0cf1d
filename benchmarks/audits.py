"""Whether `rmr1 audit` finds the faults that judges have, how large they are, and none if there are none.

    python benchmarks/audits.py judges [--runs 200] [--pairs 300] [--seed 0]
                                          judges made with faults of drawn kinds and sizes, and judges without
    python benchmarks/audits.py labels RUN [RUN ...] [--seed 0] [--draws 5]
                                          wrong labels planted in judged pairs, 2, 5 and 10% of them: precision at their number
    python benchmarks/audits.py recorded FILE ... [--llmbar DATA]
                                          the audits of recorded judges, also of LLMBar's
    python benchmarks/audits.py cases solution|weights|refusal FILE ... [--sample 30] [--seed 0]
                                          texts that an audit counts, to be read by hand; refusals are those of pairs

A constructed judge writes whole texts (rubric scores, quotations, a solution, a verdict with its log-probability), which are
read as any judge's are. What was drawn is not shown to the audits; it is compared with their intervals afterwards.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path

import numpy as np
from llmbar import read_llmbar_outputs, read_llmbar_pairs

from rmr1 import read_pairs
from rmr1.audit.agreement import Run
from rmr1.audit.audits import AUDITS, AuditGathering
from rmr1.audit.evidence import read_solution, read_totals
from rmr1.audit.facts import tell_facts
from rmr1.audit.finals import has_options, read_finals
from rmr1.audit.finding import Finding, raise_alarms
from rmr1.audit.quotes import answer_text
from rmr1.audit.refusing import is_refusal
from rmr1.audit.wrong_labels import WRONG_LABEL_COLUMNS, doubt_labels
from rmr1.bench.recorded import read_recorded
from rmr1.bench.run import number_judgments
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, Order, PreferencePair, RubricItem
from rmr1.report.audited import audit_run
from rmr1.report.sentences import AUDIT_HEADER, format_finding
from rmr1.report.tables import make_table, print_table
from rmr1.screen import one_line, print, print_text
from rmr1.store.runs import RUN_FILE, read_judgments

FAULTS: Mapping[str, tuple[float, float]] = {
    "position": (0.08, 0.6),
    "length": (0.15, 0.7),
    "grounding": (0.05, 0.4),
    "calibration": (0.06, 0.25),
    "solution": (0.05, 0.4),
    "weights": (0.1, 0.4),
}
"""Audit -> the least and the largest fault that is drawn."""
CRITERIA = tuple(
    RubricItem(text=text, weight=weight)
    for text, weight in (
        ("Is it true?", 0.5),
        ("Does it show its steps?", 0.3),
        ("Is it pleasant to read?", 0.2),
    )
)
MADE = ("level", "hinge")
"""Audits of which these judges have some by their making, because scores are drawn."""
FLIPS = 0.1
"""Pairs of which a judge without faults names another answer in one of the orders."""
MOST_SURE = 0.995
_WORDS = (
    "the",
    "lamp",
    "pillow",
    "river",
    "stone",
    "paper",
    "light",
    "green",
    "quick",
    "slow",
    "coin",
    "shelf",
    "road",
)
_SPREAD = 8.0
"""Of the share of invented quotations from prompt to prompt: that of a Beta distribution of so many draws."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a judge says of many pairs, before it is written down. Signs are +1 for A."""

    prompt: np.ndarray
    longer: np.ndarray
    """Which answer is longer."""
    label: np.ndarray
    said: np.ndarray
    """[pairs, orders]: the answer named, in the pair's frame."""
    sure: np.ndarray
    """The told probability of the answer named."""


def decide(draw: np.random.Generator, pairs: int, faults: Mapping[str, float]) -> Decisions:
    """Draw labels, and what the judge makes of them."""
    prompt = np.sort(draw.integers(0, max(2, pairs * 2 // 3), pairs))
    ease = draw.uniform(0.62, 0.9, prompt.max() + 1)[prompt]
    chance = np.clip(ease + draw.uniform(-0.07, 0.07, pairs), 0.5, 0.97)
    label, longer = (draw.choice([-1, 1], pairs) for _ in range(2))
    content = np.where(draw.random(pairs) < chance, label, -label)
    said = np.stack([content, content], axis=1)
    flips = np.flatnonzero(draw.random(pairs) < FLIPS)
    said[flips, draw.integers(0, 2, len(flips))] *= -1
    said = np.where(draw.random(said.shape) < faults.get("length", 0.0), longer[:, None], said)
    said = np.where(draw.random(said.shape) < faults.get("position", 0.0), np.array([1, -1]), said)
    sure = np.minimum(MOST_SURE, chance + faults.get("calibration", 0.0))
    return Decisions(prompt, longer, label, said, sure)


def find_truth(faults: Mapping[str, float], seed: int) -> dict[str, float]:
    """The sizes that the audits are to find, from what was drawn; that of calibration, on which the others bear, from many
    pairs of the same judge."""
    truth = {name: faults.get(name, 0.0) for name in FAULTS}
    truth["length"] *= 1 - truth["position"]
    truth["markdown"] = 0.0
    many = decide(np.random.default_rng([seed, 1]), 1_000_000, faults)
    of_a = np.where(many.said > 0, many.sure[:, None], 1 - many.sure[:, None]).mean(axis=1)
    right = np.where(np.abs(of_a - 0.5) < 1e-9, 0.5, (of_a > 0.5) == (many.label > 0))
    truth["calibration"] = float((np.maximum(of_a, 1 - of_a) - right).mean())
    return truth


def write_judgments(draw: np.random.Generator, pairs: int, faults: Mapping[str, float]) -> Iterator[Judgment]:
    """The judge's texts, read as any judge's."""
    said = decide(draw, pairs, faults)
    invents = faults.get("grounding", 0.0)
    shares = np.full(said.prompt.max() + 1, invents)
    if invents:
        shares = draw.beta(invents * _SPREAD, (1 - invents) * _SPREAD, len(shares))
    for number in range(pairs):
        label = "A" if said.label[number] > 0 else "B"
        short = int(draw.integers(8, 30))
        sizes = (short, int(short * draw.uniform(1.02, 2.2)) + 1)[:: 1 if said.longer[number] < 0 else -1]
        results = draw.choice(np.arange(10, 1000), 2, replace=False)
        answers = [
            _write_answer(draw, size, int(result)) for size, result in zip(sizes, results, strict=True)
        ]
        lengths = [len(one) for one in answers]
        if (lengths[0] > lengths[1]) != (said.longer[number] > 0):
            answers[0 if said.longer[number] > 0 else 1] += " And so on." * (
                abs(lengths[0] - lengths[1]) // 10 + 2
            )
        pair = PreferencePair(
            id=str(number),
            prompt=(user(f"What is the number of case {said.prompt[number]}?"),),
            response_a=(assistant(answers[0]),),
            response_b=(assistant(answers[1]),),
            label="A" if label == "A" else "B",
            subset=("easy", "middling", "hard")[said.prompt[number] % 3],
        )
        votes = []
        orders: tuple[Order, ...] = ("given", "swapped")
        for order, sign in zip(orders, said.said[number], strict=True):
            side = int(sign < 0)  # in the pair's frame
            first = side if order == "given" else 1 - side  # in the prompt's
            solved = side if draw.random() >= faults.get("solution", 0.0) else 1 - side
            text = _write_text(
                draw, answers, results, order, first, solved, float(shares[said.prompt[number]]), faults
            )
            p = float(said.sure[number])
            logprobs = (("AB"[first], log(p)), ("BA"[first], log(1 - p)))
            generation = Generation(text=text, finish_reason="stop", verdict_logprobs=logprobs)
            votes.append(
                cast_vote(generation, order=order, sample=0, rule="tagged", num_criteria=len(CRITERIA))
            )
        yield conclude(pair, votes, family="criteria", rule="tagged", criteria=CRITERIA)


def _write_answer(draw: np.random.Generator, words: int, result: int) -> str:
    chosen = [str(one) for one in draw.choice(_WORDS, words)]
    if draw.random() < 0.4:
        chosen[0] = f"**{chosen[0]}**"
    return f"{' '.join(chosen)}. The number is {result}."


def _write_text(
    draw: np.random.Generator,
    answers: Sequence[str],
    results: np.ndarray,
    order: Order,
    first: int,
    solved: int,
    invents: float,
    faults: Mapping[str, float],
) -> str:
    shown = answers if order == "given" else answers[::-1]
    quotes = []
    for name, answer in zip("AB", shown, strict=True):
        words = answer.split()
        start = int(draw.integers(0, len(words) - 4))
        words = words[start : start + 4]
        if draw.random() < invents:
            words.insert(2, "never")
        quotes.append(f"<quote_{name}>{' '.join(words)}</quote_{name}>")
    leads = first if draw.random() >= faults.get("weights", 0.0) else 1 - first
    scores = _draw_scores(draw, leads)
    tags = [
        f"<score_{number}>A: {a}, B: {b}</score_{number}>" for number, (a, b) in enumerate(scores, start=1)
    ]
    return (
        f"<type>Reasoning</type><solution>It comes to {results[solved]}.</solution><eval>{' against '.join(quotes)}\n"
        + "\n".join(tags)
        + f"</eval><answer>[[{'AB'[first]}]]</answer>"
    )


def _draw_scores(draw: np.random.Generator, leads: int) -> list[tuple[int, int]]:
    while True:
        quality = draw.normal(6, 1.5, 2)
        quality.sort()
        found = np.clip(np.rint(quality[::-1] + draw.normal(0, 0.8, (len(CRITERIA), 2))), 1, 10).astype(int)
        sums = [
            sum((one.weight or 0) * int(row[side]) for one, row in zip(CRITERIA, found, strict=True))
            for side in (0, 1)
        ]
        if abs(sums[0] - sums[1]) > 1e-9:
            turned = (sums[0] > sums[1]) != (leads == 0)
            return [(int(b), int(a)) if turned else (int(a), int(b)) for a, b in found]


@dataclass(slots=True)
class Score:
    """How often an audit was right about a kind of judges."""

    runs: int = 0
    inside: int = 0
    alarms: int = 0
    told: int = 0
    errors: list[float] = field(default_factory=list)

    def add(self, finding: Finding, truth: float) -> None:
        """Count one run."""
        self.runs += 1
        self.alarms += finding.alarm
        if finding.size is not None and finding.interval is not None:
            self.told += 1
            self.inside += finding.interval[0] - 1e-12 <= truth <= finding.interval[1] + 1e-12
            self.errors.append(finding.size - truth)


def try_judges(runs: int, pairs: int, seed: int) -> None:
    """Audit judges with one or two faults, and judges without."""
    with_fault: dict[str, Score] = {name: Score() for name in FAULTS}
    without: dict[str, Score] = {}
    others = 0
    for number in range(runs):
        draw = np.random.default_rng([seed, number])
        kinds = draw.choice(list(FAULTS), 1 + number % 2, replace=False)
        faults = {str(kind): float(draw.uniform(*FAULTS[kind])) for kind in kinds}
        truth = find_truth(faults, seed + number)
        for finding in audit(write_judgments(draw, pairs, faults)):
            if finding.name in faults:
                with_fault[finding.name].add(finding, truth[finding.name])
            elif finding.alarm and abs(truth.get(finding.name, 0.0)) <= finding.limit:
                others += 1
    false_runs = strict_runs = 0
    for number in range(runs):
        draw = np.random.default_rng([seed, runs + number])
        evidence = gather(write_judgments(draw, pairs, {})).evidence()
        findings = raise_alarms(one.examine(one, evidence) for one in AUDITS)
        false_runs += any(one.alarm for one in findings)
        strict = [replace(one, limit=0.0) for one in AUDITS if one.name not in MADE]
        strict_runs += any(one.alarm for one in raise_alarms(one.examine(one, evidence) for one in strict))
        for finding in findings:
            without.setdefault(finding.name, Score()).add(finding, 0.0)
    print(f"{runs} judges with one or two faults, {pairs} pairs each in both orders, seed {seed}")
    print_scores(with_fault)
    total = sum(one.told for one in with_fault.values())
    inside = sum(one.inside for one in with_fault.values())
    print(f"all faults: {inside} of {total} sizes inside the interval ({100 * inside / total:.1f}%)")
    print(f"alarms of audits whose fault the judge has not: {others}")
    print(f"\n{runs} judges without faults: {false_runs} with any alarm ({100 * false_runs / runs:.1f}%)")
    print(f"the same with all limits at 0: {strict_runs} ({100 * strict_runs / runs:.1f}%)")
    print_scores({name: one for name, one in without.items() if name not in MADE})
    print(
        "level and hinge, of which these judges have some by their making: "
        + ", ".join(f"{without[name].alarms} alarms of {name}" for name in MADE)
    )


def print_scores(scores: Mapping[str, Score]) -> None:
    rows = [
        (
            name,
            one.runs,
            f"{one.inside} of {one.told}",
            f"{100 * one.inside / one.told:.1f}",
            f"{100 * float(np.mean(one.errors)):+.2f}",
            f"{100 * float(np.std(one.errors)):.2f}",
            one.alarms,
        )
        for name, one in scores.items()
        if one.told
    ]
    print_table(make_table(("Audit", "runs", "inside 95%", "%", "mean error", "its spread", "alarms"), rows))


def audit(judgments: Iterator[Judgment]) -> tuple[Finding, ...]:
    return gather(judgments).findings()


def gather(judgments: Iterator[Judgment]) -> AuditGathering:
    gathering = AuditGathering()
    for key, judgment in number_judgments(judgments):
        gathering.add(tell_facts(key, judgment))
    return gathering


def read_source(source: Path) -> list[tuple[str, Judgment]]:
    if (source / RUN_FILE).is_file():
        return list(read_judgments(source))
    return list(number_judgments(one.judgment for one in read_recorded(source)))


def try_labels(sources: Sequence[Path], draws: int, seed: int) -> None:
    """Turn labels, rank them, and count the turned ones among as many as were turned."""
    read = [dict(read_source(one)) for one in sources]
    shared = sorted(set.intersection(*(set(one) for one in read)))
    wanted = [key for key in shared if read[0][key].pair.label in ("A", "B")]
    known = [sum(one[key].correct or False for key in wanted) / len(wanted) for one in read]
    told = ", ".join(f"{100 * one:.1f}" for one in known)
    print(f"{len(wanted):,} labelled pairs; judges right in {told}%")
    rows = []
    for share in (0.02, 0.05, 0.1):
        planted, hits, chances, contradicted = round(share * len(wanted)), [], [], []
        for number in range(draws):
            turned = set(
                np.random.default_rng([seed, number, planted]).choice(wanted, planted, replace=False).tolist()
            )
            doubts = doubt_labels([_plant(one, wanted, turned) for one in read], seed=seed).doubts
            hits.append(sum(one.key in turned for one in doubts[:planted]) / planted)
            contradicted.append(len(doubts))
            chances.append(planted / len(wanted))
        rows.append(
            (
                f"{100 * share:.0f}%",
                planted,
                f"{100 * float(np.mean(hits)):.1f}",
                f"{100 * min(hits):.1f} to {100 * max(hits):.1f}",
                f"{100 * float(np.mean(chances)):.1f}",
                f"{np.mean(contradicted):.0f}",
            )
        )
    header = ("Planted", "labels", "precision %", "over draws", "by chance %", "contradicted")
    print_table(make_table(header, rows))


def _plant(judgments: Mapping[str, Judgment], wanted: Sequence[str], turned: set[str]) -> Run:
    """One judge's verdicts on the pairs with some labels turned; the keys stay."""
    gathering = AuditGathering(*WRONG_LABEL_COLUMNS)
    for key in wanted:
        judgment = judgments[key]
        facts = tell_facts(key, judgment)
        if key in turned:
            facts = replace(facts, label="B" if facts.label == "A" else "A")
        gathering.add(facts)
    return Run(name="", evidence=gathering.evidence())


def try_recorded(sources: Sequence[Path], llmbar: Path | None) -> None:
    """The audits of recorded judges, or of LLMBar's, one for each method."""
    for source in sources:
        named = (
            {source.name: audit_run(source).findings}
            if llmbar is None
            else dict(_audit_llmbar(source, llmbar))
        )
        for name, findings in named.items():
            print(f"\n{name}: {findings[0].items:,} judgments")
            rows = [tuple(map(one_line, format_finding(one))) for one in findings if one.size is not None]
            print_table(make_table(AUDIT_HEADER, rows, has_notes=True))


def _audit_llmbar(source: Path, data: Path) -> Iterator[tuple[str, tuple[Finding, ...]]]:
    methods: dict[str, list[Judgment]] = {}
    for method, is_last, item in read_llmbar_outputs(source, read_llmbar_pairs(data)):
        if is_last:
            methods.setdefault(method, []).append(item.judgment)
    for method, judgments in methods.items():
        yield f"{source.name}, {method}", audit(iter(judgments))


def print_cases(sources: Sequence[Path], name: str, sample: int, seed: int) -> None:
    """Texts that an audit counts, to be checked by hand: as many that it holds against the judge as there are, up to half,
    and others."""
    cases = [one for source in sources for one in list_cases(source, name)]
    cases = sorted(cases, key=lambda one: random.Random(f"{seed} {one[1]}").random())
    against = [text for is_against, text in cases if is_against][: sample // 2]
    rest = [text for is_against, text in cases if not is_against][: sample - len(against)]
    print(
        f"{len(cases):,} cases, {sum(one for one, _ in cases):,} held against the judge; {len(against) + len(rest)} shown"
    )
    for text in (*against, *rest):
        print_text(text + "\n")


def list_cases(source: Path, name: str) -> Iterator[tuple[bool, str]]:
    """Whether it is held against the judge (of refusals: whether it is taken for one), and what there is to be read."""
    if name == "refusal":
        yield from _list_refusals(source)
        return
    for key, judgment in read_source(source):
        answers = [answer_text(one) for one in judgment.pair.responses]
        with_options = has_options(answer_text(judgment.pair.prompt))
        for vote in judgment.votes:
            facts = tell_facts(key, replace(judgment, votes=(vote,)))
            if name == "weights" and facts.sums:
                evaluation = one_line((vote.verdict.trace.evaluation or "")[-200:])
                head = f"\n[{key[:12]} {vote.order}] totals of the pair {read_totals(vote)}, verdict {vote.winner}"
                yield facts.sums_denied > 0, f"{head}\n  {evaluation}"
            elif name == "solution" and facts.solutions:
                own, is_block = read_solution(vote)
                a, b = (dict(read_finals(one, with_options=with_options)) for one in answers)
                said = dict(read_finals(own, with_options=with_options, is_loose=is_block))
                parts = [
                    f"  {title:<4}... {one_line(text[-300:])}"
                    for title, text in zip(("own", "A", "B"), (own, *answers), strict=True)
                ]
                head = f"\n[{key[:12]} {vote.order}] own {said}, A {a}, B {b}, verdict {vote.winner}"
                yield facts.solutions_denied > 0, "\n".join([head, *parts])


def _list_refusals(source: Path) -> Iterator[tuple[bool, str]]:
    """The answers of a file of pairs."""
    for pair in read_pairs(source):
        for side, answer in zip("AB", map(answer_text, pair.responses), strict=False):
            is_taken = is_refusal(answer)
            yield is_taken, f"\n[{pair.id} {side}] {pair.subset}: {is_taken}\n  {one_line(answer[:400])}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    judges = verbs.add_parser("judges")
    judges.add_argument("--runs", type=int, default=200)
    judges.add_argument("--pairs", type=int, default=300)
    judges.add_argument("--seed", type=int, default=0)
    labels = verbs.add_parser("labels")
    labels.add_argument("runs", nargs="+", type=Path)
    labels.add_argument("--draws", type=int, default=5)
    labels.add_argument("--seed", type=int, default=0)
    recorded = verbs.add_parser("recorded")
    recorded.add_argument("files", nargs="+", type=Path)
    recorded.add_argument("--llmbar", type=Path, help="LLMBar's data, of which the files are results")
    cases = verbs.add_parser("cases")
    cases.add_argument("name", choices=("solution", "weights", "refusal"))
    cases.add_argument("files", nargs="+", type=Path)
    cases.add_argument("--sample", type=int, default=30)
    cases.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.verb == "judges":
        try_judges(arguments.runs, arguments.pairs, arguments.seed)
    elif arguments.verb == "labels":
        try_labels(arguments.runs, arguments.draws, arguments.seed)
    elif arguments.verb == "recorded":
        try_recorded(arguments.files, arguments.llmbar)
    else:
        print_cases(arguments.files, arguments.name, arguments.sample, arguments.seed)


if __name__ == "__main__":
    main()
