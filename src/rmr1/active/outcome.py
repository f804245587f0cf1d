"""What people said of a pool -> a guideline, a calibration, and pairs to train on and to measure with.

    DIR/outcome/pairs.jsonl         labelled pairs, as grpo, scalar, distill and curate read them
    DIR/outcome/held-out.jsonl      those of the labelled pairs that were drawn at random, to measure with
    DIR/outcome/sft.jsonl           the judge's own judgments of `pairs.jsonl` that agree with people, as sft reads them
    DIR/outcome/guideline.json      criteria for the judge, beside the rubrics that it writes
    DIR/outcome/calibration.json    for the judge, with the guideline if there is one
    DIR/outcome/outcome.json        figures of all of it, every try of a criterion among them

What is measured is measured on pairs that were drawn at random: chosen ones are those that the judge finds hard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rmr1.active.annotators import SkilledLabels, settle_by_skill
from rmr1.active.guideline import Guideline, list_candidates, read_tried, try_guideline
from rmr1.active.judging import list_rubric_folders
from rmr1.active.pool import Pool
from rmr1.errors import DataError
from rmr1.judge.base import PairJudge, Watcher
from rmr1.judge.calibrate import Calibration, fit_calibration, write_calibration
from rmr1.judge.criteria import weigh_criteria
from rmr1.prompts import PromptFamily, render_prompt
from rmr1.records import Judgment, Label, Order, PreferencePair, Vote
from rmr1.store.codec import dump_record, dumps
from rmr1.store.labels import HumanLabel
from rmr1.store.replace import remove, replacing, write_json, writing
from rmr1.store.runs import read_description, read_judgments

OUTCOME_FOLDER = "outcome"
_FREE = "labels are kept: free space or permissions, then run it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What people's answers became."""

    folder: Path
    labels: SkilledLabels
    skipped: int
    """Items that nobody named a side of."""
    training: int
    """Pairs in pairs.jsonl."""
    held_out: int
    texts: int
    """Rows in sft.jsonl."""
    without_text: int
    """Training pairs with a clear side of which the judge never judged as people do."""
    guideline: Guideline
    calibration: Calibration | None
    no_calibration: str | None = None
    """Why there is none."""
    files: tuple[str, ...] = field(default=())
    """Names of those that were written."""

    def describe(self) -> dict[str, Any]:
        """The figures, as JSON values."""
        found = self.labels
        return {
            "labelled": len(found.labels),
            "disputed": len(found.disputed),
            "skipped": self.skipped,
            "people": sorted(found.skills),
            "skills": found.skills,
            "training": self.training,
            "held_out": self.held_out,
            "sft_rows": self.texts,
            "without_text": self.without_text,
            "guideline": self.guideline.describe(),
            "calibration": self.no_calibration or (self.calibration and self.calibration.held_out),
            "files": list(self.files),
        }


def write_outcome(
    pool: Pool,
    labels: Sequence[HumanLabel],
    judge: PairJudge | None = None,
    *,
    watcher: Watcher | None = None,
) -> Outcome:
    """Write what the labels became into DIR/outcome, in place of what was there.

    Args:
        judge: the one that judged the pool, to try criteria with; without it candidates are listed and none is kept.
        watcher: sees every judgment that the tries ask for.

    Raises:
        DataError: nobody has labelled, or a label is of an item that the pool does not hold.
    """
    pool.check_labels(labels)
    settled = settle_by_skill(labels)
    if not settled.labels:
        raise DataError(
            f"{pool.folder}: holds no label that people agree on; label first, and come back for the outcome"
        )
    candidates = list_candidates(pool, labels)
    guideline = Guideline(
        criteria=(), candidates=candidates, problem="no model was named that could be asked with them"
    )
    if judge is not None:
        guideline = try_guideline(pool, candidates, settled.labels, judge, watcher=watcher)
    folder = pool.folder / OUTCOME_FOLDER
    with writing(folder, _FREE):
        folder.mkdir(exist_ok=True)
    is_measured = {key: pool.is_check(key) for key in settled.labels}
    training = {key: label for key, label in settled.labels.items() if not is_measured[key]}
    held_out = {key: label for key, label in settled.labels.items() if is_measured[key]}
    rows = list(_choose_texts(pool, training))
    calibration, reason = _calibrate(pool, held_out, guideline)
    outcome = Outcome(
        folder=folder,
        labels=settled,
        skipped=len({one.key for one in labels} - set(settled.posteriors)),
        training=len(training),
        held_out=len(held_out),
        texts=len(rows),
        without_text=len(
            {key for key, label in training.items() if label != "tie"} - {r["key"] for r in rows}
        ),
        guideline=guideline,
        calibration=calibration,
        no_calibration=reason,
    )
    written = {
        "pairs.jsonl": list(_label_pairs(pool, training)),
        "held-out.jsonl": list(_label_pairs(pool, held_out)),
        "sft.jsonl": rows,
    }
    files = [name for name, values in written.items() if _write_lines(folder / name, values)]
    criteria = [dump_record(one) for one in guideline.criteria]
    files += _write_if(folder / "guideline.json", {"criteria": criteria} if criteria else None)
    if calibration is not None:
        write_calibration(folder / "calibration.json", calibration)
        files.append("calibration.json")
    else:
        remove(folder / "calibration.json")
    outcome = replace(outcome, files=tuple(files))
    write_json(folder / "outcome.json", outcome.describe())
    return outcome


def format_outcome(outcome: Outcome) -> list[str]:
    """The outcome, as lines for people."""
    found, guideline = outcome.labels, outcome.guideline
    disputed = f", {len(found.disputed)} disputed" if found.disputed else ""
    lines = [
        f"{len(found.labels)} pairs labelled by {len(found.skills)} people{disputed}, {outcome.skipped} skipped"
    ]
    for one in guideline.decisions:
        told = "kept" if one.is_kept else "left out"
        interval = (
            ""
            if one.interval is None
            else ", 95% interval {:+.1f} to {:+.1f}".format(*(100 * bound for bound in one.interval))
        )
        lines.append(
            f"{told}: {one.what} (named {one.named} times): {100 * one.before:.1f}% right before, {100 * one.after:.1f}% "
            f"after, of {one.pairs} pairs{interval}; better {one.better}, worse {one.worse}"
        )
    if guideline.problem is not None:
        names = ", ".join(one.item.name or one.item.text for one in guideline.candidates)
        lines.append(f"guideline: none is tried: {guideline.problem}{f'; named: {names}' if names else ''}")
    if outcome.calibration is None:
        lines.append(f"calibration: none: {outcome.no_calibration}")
    else:
        after, before = outcome.calibration.held_out, outcome.calibration.before
        lines.append(
            f"calibration: ECE {before['ece']:.3f} before, {after['ece']:.3f} after, of {outcome.calibration.pairs} pairs"
        )
    without = (
        f"; of {outcome.without_text} the judge never judged as people do" if outcome.without_text else ""
    )
    lines.append(
        f"training: {outcome.training} pairs, {outcome.texts} judgments that agree with people{without}; "
        f"{outcome.held_out} pairs drawn at random are kept apart"
    )
    lines.append(f"written: {outcome.folder}/ {', '.join(outcome.files)}")
    return lines


def _calibrate(
    pool: Pool, labels: Mapping[str, Label], guideline: Guideline
) -> tuple[Calibration | None, str | None]:
    """A calibration of the judge as the guideline leaves it, or why there is none."""

    def relabel() -> Iterator[Judgment]:
        for key, judgment in read_tried(pool, guideline.criteria):
            if key in labels:
                yield replace(judgment, pair=replace(judgment.pair, label=labels[key]))

    if not pool.settings.check:
        return None, "no pair was drawn at random, and of chosen ones a calibration holds for none but them"
    try:
        return fit_calibration(relabel(), _describe_tried(pool, guideline), seed=pool.settings.seed), None
    except DataError as error:
        return None, error.message


def _describe_tried(pool: Pool, guideline: Guideline) -> dict[str, Any]:
    """The description of the judge that made what `read_tried` reads."""
    description = read_description(next(list_rubric_folders(pool.folder, 1)))
    if guideline.criteria:
        criteria = [dump_record(one) for one in weigh_criteria(guideline.criteria)]
        description = {**description, "settings": {**description["settings"], "criteria": criteria}}
    return description


def _label_pairs(pool: Pool, labels: Mapping[str, Label]) -> Iterator[dict[str, Any]]:
    for key, label in labels.items():
        yield dump_record(replace(pool.items[key].pair, label=label))


def _choose_texts(pool: Pool, labels: Mapping[str, Label]) -> Iterator[dict[str, Any]]:
    """The rows: of each labelled pair and order the first text, over the rubrics, that says what people say."""
    chosen: set[tuple[str, Order]] = set()
    description = read_description(pool.folder)
    prompt = description["prompt"]
    texts = {name: prompt[name] for name in ("system", "single", "multi")}
    family = PromptFamily(name=prompt["family"], **texts)
    special_tokens = tuple(description["settings"].get("control_tokens", ()))
    for folder in list_rubric_folders(pool.folder, pool.settings.rubrics):
        for key, judgment in read_judgments(folder):
            for vote in judgment.votes if key in labels and labels[key] != "tie" else ():
                if vote.winner != labels[key] or (key, vote.order) in chosen or not judgment.criteria:
                    continue
                if vote.generation.finish_reason != "stop":
                    continue
                chosen.add((key, vote.order))
                prompt = render_prompt(
                    replace(judgment.pair, label=None),
                    family,
                    order=vote.order,
                    criteria=judgment.criteria,
                    special_tokens=special_tokens,
                )
                yield _make_row(key, judgment.pair, vote, [(one.role, one.text) for one in prompt.messages])


def _make_row(
    key: str, pair: PreferencePair, vote: Vote, prompt: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    messages = [{"role": role, "content": text} for role, text in prompt]
    return {
        "messages": [*messages, {"role": "assistant", "content": vote.generation.text}],
        "id": pair.id,
        "source": pair.source,
        "subset": pair.subset,
        "verdict": vote.verdict.winner,
        "order": vote.order,
        "key": key,
    }


def _write_lines(path: Path, values: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is anything to write; if not, an older file is taken away."""
    if not values:
        remove(path)
        return False
    with writing(path, _FREE), replacing(path) as part:
        part.write_bytes(b"".join(dumps(one) + b"\n" for one in values))
    return True


def _write_if(path: Path, values: Mapping[str, Any] | None) -> list[str]:
    if values is None:
        remove(path)
        return []
    write_json(path, values)
    return [path.name]
