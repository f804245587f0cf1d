"""How many quotations of judges are found in the answers: recorded judges of others, and runs of ours.

    python benchmarks/quotes.py [SHARED] [--run RUN ...] [--sample 30] [--seed 0]

Recorded judges write no tags, so theirs are what stands in quotation marks: of four words or more, in 20 to 300
characters, of one line. Each is looked up in both answers, then in the question. Those of a run (`--run`) are tagged,
and looked up in the answer that they name. With `--sample` that many quotations are printed to be read, half of them
levelled ones and half of those that are in no answer, each with the nearest place.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

from rmr1 import read_judgments
from rmr1.audit.quotes import answer_text, link_quotes
from rmr1.screen import inert, print
from rmr1.verdicts.grounding import find_quote

PLACES = ("exact", "levelled", "question", "neither")
_DOUBLE = re.compile(r'(?<!\w)"(?!\s)([^"\n]*)"(?!\w)|“([^“”\n]*)”')
_SINGLE = re.compile(r"(?<!\w)'(?!\s)([^\n]*?)(?<!\s)'(?!\w)()")
"""For judges who write JSON, in which double ones would have to be escaped; an apostrophe stands inside a word."""
_WORDS, _CHARS = 4, range(20, 301)


class Quoted(NamedTuple):
    """One quotation and the texts in which it is looked up."""

    judge: str
    id: str
    text: str
    answers: tuple[str, ...]
    question: str

    @property
    def place(self) -> str:
        """One of `PLACES`."""
        matches = {find_quote(self.text, one).match for one in self.answers}
        if found := [one for one in PLACES[:2] if one in matches]:
            return found[0]
        return "question" if find_quote(self.text, self.question).match != "none" else "neither"


def list_quotations(text: str, marks: re.Pattern[str] = _DOUBLE) -> Iterator[str]:
    """What stands in quotation marks and is long enough not to be found by chance."""
    for found in marks.finditer(text):
        words = (found[1] or found[2] or "").strip()
        if len(words) in _CHARS and len(words.split()) >= _WORDS:
            yield words


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        yield from map(json.loads, file)


def read_judgebench(shared: Path) -> Iterator[Quoted]:
    for path in sorted((shared / "data/judge-outputs/judgebench").glob("*.jsonl.gz")):
        for row in read_lines(path):
            answers = (row["response_A"], row["response_B"])
            for one in row["judgments"]:
                # Judges that rate each answer alone (raw_judge_A) write JSON, whose strings are no quotations.
                said = one.get("judgment")
                text = said.get("response") if isinstance(said, dict) else None
                for words in list_quotations(text or ""):
                    yield Quoted("JudgeBench", row["pair_id"], words, answers, row["question"])


def read_rmr1(shared: Path) -> Iterator[Quoted]:
    folder = shared / "data/rm-r1-published"
    paths = [*folder.glob("*/RMB/*/log_result/logs.json"), *folder.glob("*/RMB/*/log_result/raw_logs.json")]
    for path in sorted(paths):
        for row in json.loads(path.read_text()):
            answers = tuple(row[name][-1]["content"] for name in ("text_chosen", "text_rejected"))
            question = "\n".join(one["content"] for one in row["text_chosen"][:-1])
            texts = row["answers"] if isinstance(row["answers"], list) else [row["answers"]]
            for text in texts:
                for words in list_quotations(str(text)):
                    yield Quoted(
                        "RM-R1", str(row.get("pair_uid") or row.get("bon_uid")), words, answers, question
                    )


def read_alpaca_eval(shared: Path) -> Iterator[Quoted]:
    for path in sorted((shared / "data/judge-outputs/alpaca_eval_cot").glob("*.jsonl.gz")):
        for number, row in enumerate(read_lines(path)):
            said = row.get("raw_completion")
            text = said.get("concise_explanation") if isinstance(said, dict) else said
            for words in [*list_quotations(text or ""), *list_quotations(text or "", _SINGLE)]:
                id = f"{path.name.split('.jsonl')[0]}/{number}"
                yield Quoted("AlpacaEval", id, words, (row["output_1"], row["output_2"]), row["instruction"])


def read_run(folder: Path) -> Iterator[Quoted]:
    for _, judgment in read_judgments(folder):
        answers = dict(zip("ABCD", map(answer_text, judgment.pair.responses), strict=False))
        question = answer_text(judgment.pair.prompt)
        for one in link_quotes(judgment):
            yield Quoted(str(folder), judgment.pair.id, one.text, (answers[one.side],), question)


def print_sample(found: list[tuple[str, Quoted]], number: int, seed: int) -> None:
    """Levelled ones with their place, and lost ones with the stretch of the answers that is most like them."""
    draw = random.Random(seed)
    for place in ("levelled", "neither"):
        of_place = [one for kind, one in found if kind == place]
        for one in draw.sample(of_place, min(number // 2, len(of_place))):
            print(f"\n[{place}] {one.judge} {one.id}")
            print(f"  said   {inert(one.text)}")
            for answer in one.answers:
                match, spans = find_quote(one.text, answer)
                if match != "none":
                    print("  place ", " ... ".join(answer[slice(*span)] for span in spans))
                elif place == "neither":
                    print("  near  ", _find_nearest(one.text, answer))


def _find_nearest(words: str, answer: str) -> str:
    matcher = SequenceMatcher(None, answer.casefold(), words.casefold(), autojunk=False)
    most = matcher.find_longest_match()
    start = max(0, most.a - most.b - 20)
    return answer[start : most.a - most.b + len(words) + 20] if most.size > 3 else "-"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", nargs="?", default="shared", type=Path)
    parser.add_argument("--run", action="append", default=[], type=Path)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    readers = (read_judgebench, read_rmr1, read_alpaca_eval)
    recorded = [(one.place, one) for read in readers for one in read(arguments.shared)]
    ours = [(one.place, one) for folder in arguments.run for one in read_run(folder)]
    print(f"{'':<24}{'quotations':>11}" + "".join(f"{place:>18}" for place in PLACES))
    names = dict.fromkeys(one.judge for _, one in [*recorded, *ours])
    for name in [*names, *["all recorded"] * bool(recorded)]:
        of_judge = [place for place, one in (recorded if name == "all recorded" else [*recorded, *ours])
                    if name in (one.judge, "all recorded")]  # fmt: skip
        counts = Counter(of_judge)
        shares = "".join(f"{counts[one]:>10} {100 * counts[one] / len(of_judge):5.1f} %" for one in PLACES)
        print(f"{name:<24}{len(of_judge):>11}{shares}")
    if arguments.sample:
        print_sample(recorded, arguments.sample, arguments.seed)


if __name__ == "__main__":
    main()
