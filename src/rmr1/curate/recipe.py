"""What a curation recipe says, checked. Unknown keys are errors that name the nearest known one.

Paths may name environment variables (`$RMR1_SHARED/data`); those of sources and benchmarks begin at `root`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rmr1.data.files import expand_names, is_pattern, kind_of, part_split
from rmr1.data.hub import parse_dataset_name
from rmr1.errors import ConfigError, DataError
from rmr1.named import FormName, ModelName
from rmr1.records import Label
from rmr1.settings import Complaint, Mistakes, Place, Section, rule

Rule = Literal["drop", "keep"]
Paths = str | tuple[str, ...]

RESERVED = ("dropped", "card", "curate")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class Bounds(Section):
    """Both ends are allowed values."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)

    def __contains__(self, number: int) -> bool:
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)


class FilterRecipe(Section):
    """Rules for the pairs that stay. `[filters]` holds for all sources, `[sources.NAME.filters]` wins over it key by
    key."""

    keep_sources: tuple[str, ...] | None = None
    """Names that the rows' own `source` may have, as patterns (`magpie_*`)."""
    drop_sources: tuple[str, ...] = ()
    keep_subsets: tuple[str, ...] | None = None
    drop_subsets: tuple[str, ...] = ()
    ties: Rule = "drop"
    unlabelled: Rule = "drop"
    identical: Rule = "drop"
    """Pairs whose responses are the same but for white space."""
    forbid: tuple[str, ...] = ()
    """Texts that no response may hold."""
    prompt_characters: Bounds | None = None
    response_characters: Bounds | None = None
    """Length of each response."""
    pair_characters: Bounds | None = None
    """Length of prompt and both responses together."""
    prompt_tokens: Bounds | None = None
    response_tokens: Bounds | None = None
    pair_tokens: Bounds | None = None
    languages: tuple[str, ...] = ()
    """Codes such as "en"; empty: all."""
    language_confidence: float = Field(default=0.9, ge=0, le=1)
    """A pair in another language is dropped only where the identifier is this sure of it."""

    @property
    def counts_tokens(self) -> bool:
        return any((self.prompt_tokens, self.response_tokens, self.pair_tokens))


class CurateSourceRecipe(Section):
    data: Paths
    """Files, folders, patterns (`data/*.jsonl`), or datasets of the hub (`org/name:config@split`)."""
    split: str | None = None
    format: FormName | None = None
    """The name of a reader, where the columns do not tell."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our column names to the file's, for files of no known form."""
    label: dict[str, Label] | None = None
    """What the values of the label's column mean, as `{"1" = "A", "2" = "B"}`; None: as the form has it."""
    on_invalid: Literal["skip", "fail"] = "skip"
    """Rows that cannot be read are counted and listed, or end the run."""
    take: int | None = Field(default=None, ge=1)
    """So many pairs."""
    share: float | None = Field(default=None, gt=0, le=1)
    """This share of the pairs that are left of the source."""
    weight: float | None = Field(default=None, gt=0)
    """Size relative to the other sources that have a weight."""
    sample: Literal["seeded", "shuffle", "first"] = "seeded"
    """The choice of pairs: drawn pair by pair from seed and content; the first of the whole source in the order
    of `datasets.Dataset.shuffle(seed)`; or the first in the file."""
    seed: int | None = None
    """Seed of `sample`; by default the recipe's."""
    expected: int | None = Field(default=None, ge=1)
    """Pairs that should be left after the filters. A dry run reckons with it where it does not read; a run that
    finds another number says so."""
    filters: FilterRecipe = FilterRecipe()

    @rule
    def _check_size(self) -> Iterator[str]:
        if sum(one is not None for one in (self.take, self.share, self.weight)) > 1:
            yield "name one of take, share and weight"


class DuplicateRecipe(Section):
    exact: bool = True
    """The same prompt with the same two responses, in either order, but for white space. Copies whose labels
    disagree all go."""
    near: float = Field(default=0.8, ge=0, le=1)
    """Estimated Jaccard similarity (MinHash) of both prompts and both responses from which on the later of two
    pairs goes; 0 is off."""
    prompts: float = Field(default=0.7, ge=0, le=1)
    """Estimated similarity from which on two prompts go to the same split; 0 is off."""
    permutations: int = Field(default=128, ge=16, le=1024)
    """Length of a MinHash; 4 bytes each."""
    per_prompt: int | None = Field(default=None, ge=1)
    """Most pairs of one prompt."""


class DecontaminateRecipe(Section):
    benchmarks: dict[str, Paths]
    """Name to files, folders or datasets; any form of pairs or lists that can be read."""
    ngram: int = Field(default=13, ge=2)
    """Words in a row that a prompt may not share with a benchmark's prompt."""


class MixRecipe(Section):
    total: int | None = Field(default=None, ge=1)
    """Pairs in all: sources with a weight share what the others leave."""
    on_shortage: Literal["fail", "less"] = "fail"
    """What happens if a source has fewer pairs than are asked of it."""


class CurateRecipe(Section):
    seed: int = 0
    root: str = "."
    """The folder that relative paths begin at."""
    tokenizer: ModelName = None
    """Hugging Face name or folder, or "tiny", for lengths in tokens."""
    sides: Literal["balanced", "alternate", "as-read"] = "balanced"
    """The side of the preferred response: drawn from the seed, exactly half A in every split; A, B, A, B, ... over
    all sources as the paper's data; or where its file has it."""
    order: Literal["mixed", "sources"] = "mixed"
    """Rows of a split are shuffled by the seed, or source after source."""
    sources: dict[str, CurateSourceRecipe] = Field(min_length=1)
    duplicates: DuplicateRecipe = DuplicateRecipe()
    decontaminate: DecontaminateRecipe | None = None
    mix: MixRecipe = MixRecipe()
    splits: dict[str, float | Literal["rest"]] = Field(default={"pairs": "rest"}, min_length=1)
    """Name to share of all prompts, in (0, 1), or "rest"."""

    @rule
    def _check_names(self) -> Iterator[str]:
        for name in (*self.sources, *self.splits):
            if not _NAME.fullmatch(name):
                yield f"{name!r} is no name: letters, digits and _ . - are allowed"

    @rule
    def _check_splits(self) -> Iterator[str]:
        for name, share in self.splits.items():
            if name in RESERVED:
                yield f"splits: {name!r} is the name of another file; choose another"
            if share != "rest" and not 0 < share <= 1:
                yield f"splits.{name}: {share} is no share in (0, 1] and not 'rest'"
        shares = [share for share in self.splits.values() if share != "rest"]
        rests = len(self.splits) - len(shares)
        total = sum(shares)
        if rests > 1 or total > 1 + 1e-9 or (rests == 0 and total < 1 - 1e-9):
            yield f"splits: the shares add up to {total:g} with {rests} of 'rest'; expected 1, or less and one 'rest'"

    @rule
    def _check_total(self) -> Iterator[Complaint]:
        taken = sum(source.take or 0 for source in self.sources.values())
        if self.mix.total is not None and taken > self.mix.total:
            yield (
                ("mix", "total"),
                f"mix.total is {self.mix.total:,}, but the sources without a weight give {taken:,}; change one of them",
            )

    @rule
    def _check_tokenizer(self) -> Iterator[str]:
        for name, source in self.sources.items():
            if self.tokenizer is None and source.filters.counts_tokens:
                yield f"sources.{name}: limits in tokens need 'tokenizer', a model's name or folder"

    @classmethod
    def complete(cls, values: Any, mistakes: Mistakes, section: Place) -> Any:
        """The common filters under those of each source; what is wrong with them is told once."""
        if "filters" not in values:
            return values
        values = dict(values)
        before, common = len(mistakes), values.pop("filters")
        mistakes.read(FilterRecipe, common, (*section, "filters"))
        if len(mistakes) == before and isinstance(sources := values.get("sources"), Mapping):
            values["sources"] = {name: _with_filters(one, common) for name, one in sources.items()}
        return values

    def look_around(self, mistakes: Mistakes, section: Place) -> None:
        """Note data of sources and benchmarks that are not there."""
        before = len(mistakes)
        with mistakes.catch((*section, "root")):
            _expand(self.root, "root")
        if len(mistakes) > before:
            return
        with mistakes.catch():
            for key, paths in self.list_data():
                name = ".".join(place := (*section, *key))
                with mistakes.catch():
                    for path in (paths,) if isinstance(paths, str) else paths:
                        with mistakes.catch(place):
                            find_paths(self, path, name)

    def list_data(self) -> Iterator[tuple[Place, Paths]]:
        """What is read, and the key that names it: sources and benchmarks."""
        for name, source in self.sources.items():
            yield ("sources", name, "data"), source.data
        for name, paths in {} if self.decontaminate is None else self.decontaminate.benchmarks.items():
            yield ("decontaminate", "benchmarks", name), paths

    @property
    def shares(self) -> dict[str, float]:
        """Split to its share of all prompts; they add up to 1."""
        rest = max(0.0, 1 - sum(share for share in self.splits.values() if share != "rest"))
        return {name: rest if share == "rest" else float(share) for name, share in self.splits.items()}


def _with_filters(source: Any, common: Mapping[str, Any]) -> Any:
    own = source.get("filters", {}) if isinstance(source, Mapping) else None
    return {**source, "filters": {**common, **own}} if isinstance(own, Mapping) else source


def locate(recipe: CurateRecipe, paths: Paths, place: str) -> tuple[str, ...]:
    """What `paths` names, with variables and `root` put in, and files in place of patterns; `place` names the key in
    an error."""
    root = Path(_expand(recipe.root, "root"))
    found = []
    for one in (paths,) if isinstance(paths, str) else paths:
        text = _expand(one, place)
        path = str(root / text)
        found.append(text if is_dataset(text) and not _is_there(path) else path)
    return expand_names(found)


def find_paths(recipe: CurateRecipe, paths: Paths, place: str) -> tuple[str, ...]:
    """The paths as `locate` gives them, which are there; one that is missing is an error."""
    found = locate(recipe, paths, place)
    for path in found:
        if not is_dataset(path) and not _is_there(path):
            what = "no file fits this pattern" if is_pattern(path) else "no such file or folder"
            raise DataError(f"{place}: {what}: {path}; name another, or the folder it is in with root")
    return found


def is_dataset(path: str) -> bool:
    """Whether a located path is a dataset of the hub."""
    return not _is_there(path) and kind_of(Path(path)) is None and parse_dataset_name(path) is not None


def _is_there(path: str) -> bool:
    return Path(part_split(path)[0]).exists()


def _expand(text: str, place: str) -> str:
    expanded = os.path.expanduser(os.path.expandvars(text))
    missing = re.search(r"\$\{?(\w+)\}?", expanded)
    if missing:
        raise ConfigError(
            f"{place}: {text!r} needs the environment variable {missing[1]}, which is not set; "
            "set it, or name a folder as its root (rmr1 curate --set root=DIR, rmr1 train --set curate.root=DIR)"
        )
    return expanded
