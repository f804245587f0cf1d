"""The index of the viewer: how long a run takes to be indexed, and how fast its pages, filters, words and figures are.

    python benchmarks/viewer.py [-n 20000] [--folder DIR] [--json FILE]

The run is made up: judgments of 5 KB and more, in both orders, of words as frequent as in language (the k-th of
50,000 by 1 / k), with quotations of which one in ten is invented. In DIR it is kept, and not made again.

A million on two cores shared with other work (load 5 to 6), 2026-11-30: 5.8 GB in 351 s of processor time, 702 s by the
clock, 235 MiB of memory; index 1.76 GB. A page 0.001 to 0.07 s, a filter up to 0.15 s, a word in every judgment 0.08 s,
in another sequence 0.4 s and with a filter 0.6 s, a phrase in two of three 0.8 s and with all of these 4.3 s; columns
and figures 2.0 s and 485 MiB; everything else 68 MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from rmr1.audit.figures import FIGURE_COLUMNS, measure
from rmr1.audit.filters import Filter
from rmr1.judge.votes import cast_vote, conclude
from rmr1.messages import assistant, user
from rmr1.records import Generation, Judgment, PreferencePair
from rmr1.store.codec import dump_record, dumps
from rmr1.store.runs import JUDGMENTS_FILE, RUN_FILE
from rmr1.viewer.files import FOLDER
from rmr1.viewer.index import Index
from rmr1.viewer.search import Query

NUM_WORDS = 50_000
DISTINCT = 250_000
"""Judgments of different texts; making them takes longer than indexing them."""
REPEATS = 5


class Words:
    """Draws of words, the k-th of which is as frequent as 1 / k."""

    def __init__(self, seed: int):
        self._draw = np.random.default_rng(seed)
        letters = np.random.default_rng(0)
        syllables = [one + two for one in "bdfgklmnprstvz" for two in "aeiou"]
        self.all = [
            "".join(syllables[place] for place in letters.integers(0, len(syllables), 2 + number % 3))
            + str(number)
            for number in range(NUM_WORDS)
        ]
        self._shares = np.cumsum(1 / np.arange(1, NUM_WORDS + 1))
        self._drawn: Iterator[int] = iter(())

    def say(self, number: int) -> list[str]:
        """So many words."""
        taken = list(islice(self._drawn, number))
        while len(taken) < number:
            places = self._draw.random(200_000) * self._shares[-1]
            self._drawn = iter(np.searchsorted(self._shares, places).tolist())
            taken += islice(self._drawn, number - len(taken))
        return [self.all[place] for place in taken]

    def chance(self) -> float:
        """A number in [0, 1)."""
        return float(self._draw.random())


def make_judgment(number: int, words: Words) -> Judgment:
    """One judgment in both orders."""
    answers = [words.say(40 + int(60 * words.chance())) for _ in range(2)]
    texts = [" ".join(one) for one in answers]
    if words.chance() < 0.3:
        texts[0] = f"# {texts[0]}\n- **{texts[0][:40]}**"
    pair = PreferencePair(
        id=f"made-{number}", prompt=(user(" ".join(words.say(30))),), response_a=(assistant(texts[0]),),
        response_b=(assistant(texts[1]),), label="A" if words.chance() < 0.5 else "B", source="made up",
        subset=f"part {number % 20}",
    )  # fmt: skip
    better = pair.label if words.chance() < 0.8 else ("B" if pair.label == "A" else "A")
    votes = []
    for order in ("given", "swapped"):
        letter: str = "A" if (better == "A") == (order == "given") else "B"
        if words.chance() < 0.1:
            letter = "B" if letter == "A" else "A"
        if words.chance() < 0.01:
            letter = "nobody"
        quotes = []
        for place, side in enumerate("AB" if order == "given" else "BA"):
            start = int(words.chance() * 40)
            quoted = answers[place][start : start + 6] if words.chance() < 0.9 else words.say(6)
            quotes.append(f"<quote_{side}>{' '.join(quoted)}</quote_{side}> {' '.join(words.say(15))}")
        text = (
            f"<type>Chat</type>\n<rubric>\n1. {' '.join(words.say(5))} (60%)\n2. {' '.join(words.say(5))} (40%)\n"
            f"<justify>{' '.join(words.say(10))}</justify>\n</rubric>\n<eval>{' '.join(quotes)}</eval>\n<answer>[[{letter}]]</answer>"
        )
        p = 0.5 + words.chance() / 2
        logprobs = (("A", log(p)), ("B", log(1 - p))) if letter == "A" else (("A", log(1 - p)), ("B", log(p)))
        said = Generation(
            text=text, finish_reason="stop", prompt_tokens=900, completion_tokens=100 + int(200 * words.chance()),
            model="made up", verdict_logprobs=None if letter == "nobody" else logprobs,
        )  # fmt: skip
        votes.append(cast_vote(said, order=order, sample=0, rule="tagged"))
    return conclude(pair, votes, family="rubric", rule="tagged")


def make_lines(part: range) -> Iterator[bytes]:
    """Lines of a run, always the same."""
    words = Words(part.start + 1)
    for number in part:
        judgment = make_judgment(number, words)
        yield dumps({"key": hashlib.md5(str(number).encode()).hexdigest(), **dump_record(judgment)}) + b"\n"


def _write_part(task: tuple[range, Path]) -> None:
    part, path = task
    with path.open("wb") as file:
        file.writelines(make_lines(part))


def make_run(folder: Path, number: int) -> None:
    """Write the run, 10,000 judgments a task; those beyond `DISTINCT` have the texts of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    distinct = min(number, DISTINCT)
    parts = [range(start, min(start + 10_000, distinct)) for start in range(0, distinct, 10_000)]
    tasks = [(part, folder / f"part-{part.start}") for part in parts]
    whole = folder / f".{JUDGMENTS_FILE}"
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool, whole.open("wb") as file:
        for (_, path), _ in zip(tasks, pool.imap(_write_part, tasks), strict=True):
            with path.open("rb") as part_file:
                shutil.copyfileobj(part_file, file)
            path.unlink()
        file.flush()
        for number_made in range(distinct, number, distinct):
            turn = number_made // distinct
            with whole.open("rb") as made:
                for line in islice(made, min(distinct, number - number_made)):
                    renamed = line.replace(b'"id":"made-', b'"id":"made-%d-' % turn, 1)
                    file.write(renamed[:8] + b"%02d" % turn + renamed[10:])  # the beginning of the key
    whole.rename(folder / JUDGMENTS_FILE)
    (folder / RUN_FILE).write_text('{"format": 1, "model_name": "made up"}')


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def index_run(folder: Path, found: Any) -> None:
    """Index the run in a process of its own; seconds, processor seconds and memory go to `found`."""
    before, started, worked = peak_mib(), time.perf_counter(), time.process_time()
    with Index.open(folder) as index:
        index.refresh(lambda done, total: print(f"\r{done / total:.0%} {time.perf_counter() - started:.0f} s ", end="", flush=True))  # fmt: skip
    found.put((time.perf_counter() - started, time.process_time() - worked, peak_mib(), before))


def list_tasks(index: Index) -> dict[str, Callable[[], Any]]:
    """Name -> what is timed."""
    words = Words(0).all
    total = index.num_items
    middle = (
        index.search(Query(wanted=Filter(wrong=True), sort="confidence", is_descending=True), 0, 1)
        .rows[0]
        .number
    )

    def page(query: Query, start: int = 0) -> Callable[[], Any]:
        return lambda: index.search(query, start, 50)

    return {
        "first page": page(Query()),
        "last page": page(Query(), total - 50),
        "page in the middle, by confidence": page(Query(sort="confidence"), total // 2),
        "wrong": page(Query(wanted=Filter(wrong=True))),
        "wrong, the surest first": page(Query(wanted=Filter(wrong=True), sort="confidence", is_descending=True)),
        "flips": page(Query(wanted=Filter(flips=True))),
        "no verdict": page(Query(wanted=Filter(unparsed=True))),
        "failed (none)": page(Query(wanted=Filter(failed=True))),
        "invented, most first": page(Query(wanted=Filter(invented=True), sort="invented", is_descending=True)),
        "subset, wrong, unsure 0.6": page(Query(wanted=Filter(subset="part 7", wrong=True, unsure=0.6))),
        "invented, fewest first": page(Query(sort="invented")),
        "by id": page(Query(sort="id")),
        "by tokens": page(Query(sort="tokens", is_descending=True)),
        "a rare word": page(Query(words=words[45_000])),
        "a frequent word": page(Query(words=words[0])),
        "a frequent word, the surest first": page(Query(words=words[0], sort="confidence", is_descending=True)),
        "a word of one in a hundred": page(Query(words=words[3_000])),
        "two frequent words": page(Query(words=f"{words[1]} {words[20]}")),
        "a phrase of frequent words": page(Query(words=f'"{words[0]} {words[1]}"')),
        "a rare phrase": page(Query(words=f'"{words[300]} {words[400]}"')),
        "the beginning of words": page(Query(words=f"{words[500][:4]}*")),
        "a frequent word, wrong, the surest first": page(Query(words=words[0], wanted=Filter(wrong=True), sort="confidence", is_descending=True)),
        "a frequent word, no verdict, by tokens": page(Query(words=words[0], wanted=Filter(unparsed=True), sort="tokens")),
        "a frequent word and phrase, wrong, by id": page(Query(words=f'{words[2]} "{words[0]} {words[1]}"', wanted=Filter(wrong=True), sort="id")),
        "a frequent word, the last page": page(Query(words=words[0], sort="tokens"), total - 50),
        "a word in no judgment": page(Query(words="nowhere")),
        "before and behind": lambda: index.neighbours(Query(wanted=Filter(wrong=True), sort="confidence", is_descending=True), middle),
        "before and behind, a frequent word": lambda: index.neighbours(Query(words=words[0], sort="confidence"), middle),
        "one judgment": lambda: index.read(total // 2),
        "facets of subsets": lambda: index.counts("subset"),
        "columns of all figures": lambda: index.columns(*FIGURE_COLUMNS),
        "columns and figures": lambda: measure(index.columns(*FIGURE_COLUMNS)),
        "columns and figures of the wrong": lambda: measure(index.columns(*FIGURE_COLUMNS, query=Query(wanted=Filter(wrong=True)))),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", action="store_true", help="only read, by the index that is there")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="viewer-"))
    started = time.perf_counter()
    if not (folder / RUN_FILE).exists():
        make_run(folder, arguments.n)
        print(f"made in {time.perf_counter() - started:.0f} s")
    size = (folder / JUDGMENTS_FILE).stat().st_size
    seconds = processor = peak = before = float("nan")
    if not arguments.keep:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        work = context.Process(target=index_run, args=(folder, queue))
        work.start()
        seconds, processor, peak, before = queue.get()
        work.join()
    with Index.open(folder) as index:
        of_index = sum(path.stat().st_size for path in index.path.parent.iterdir())
        told: dict[str, Any] = {
            "judgments": index.num_items,
            "megabytes": size / 1e6,
            "kilobytes_each": size / 1e3 / index.num_items,
            "index_seconds": seconds,
            "index_processor_seconds": processor,
            "index_megabytes_per_second": size / 1e6 / seconds,
            "index_megabytes": of_index / 1e6,
            "index_share": of_index / size,
            "index_peak_mib": peak,
            "start_mib": before,
            "seconds": {},
        }
        print(
            "\r" + "\n".join(f"{name:28} {value:12,.2f}" for name, value in told.items() if name != "seconds")
        )
        for name, task in list_tasks(index).items():
            times = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                found = task()
                times.append(time.perf_counter() - began)
                if sum(times) > 20:
                    break
            told["seconds"][name] = {"first": times[0], "median": statistics.median(times)}
            count = (
                f"{found.total:,}{'' if found.is_total_exact else ' at least'}"
                if hasattr(found, "total")
                else ""
            )
            print(
                f"{name:44} {times[0]:8.3f} s {statistics.median(times):8.3f} s {peak_mib():7.0f} MiB  {count}"
            )
        told["peak_mib"] = peak_mib()
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
