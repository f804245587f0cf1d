"""Structural injections against rendering: which would act in a prompt as users typed it, and whether any does when escaped.

Every injection is put into the question and into each answer, in every prompt family, single-turn and as a whole
conversation. The prompt is written twice: by the renderer, and raw, with the same texts as they are. What each reader
(`rmr1.audit.attacks.readers`, and the control tokens of chat templates) finds there is held against what it finds in the
prompt without the injection. An injection is inert if that is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

from rmr1.audit.attacks.catalogue import Injection, Texts, inject
from rmr1.audit.attacks.readers import (
    find_delimiters,
    find_speakers,
    find_thinking,
    read_quoting,
    read_repeated,
    split_answers,
)
from rmr1.audit.attacks.templates import Template, load_templates
from rmr1.engines.openai.wire import build_messages
from rmr1.messages import Messages, assistant, user
from rmr1.prompts.escape import unescape
from rmr1.prompts.families import RUBRIC_WRITER, SHIPPED, PromptFamily, load_family
from rmr1.prompts.render import RATINGS, parse_transcript, render_prompt, render_question
from rmr1.records import JudgePrompt, PreferencePair, RubricItem

Form = Literal["single", "multi"]
Place = Literal["question", "A", "B"]
"""The text that holds the injection: the question or an answer."""

FORMS: tuple[Form, ...] = ("single", "multi")
PLACES: tuple[Place, ...] = ("question", "A", "B")
BOUNDARY, TURNS, VERDICT, QUOTED, THINKING, SERVER = (
    "delimiters of blocks",
    "turns of transcripts",
    "verdict, if the judge repeats it",
    "judgment that quotes it",
    "marks of thinking",
    "messages to a server",
)
READERS = (BOUNDARY, TURNS, VERDICT, QUOTED, THINKING, SERVER)
"""What may take user text for structure, beside the templates."""

_CRITERIA = (RubricItem(text="Is it right?", weight=0.7), RubricItem(text="Is it clear?", weight=0.3))
_TEXTS = (
    "Which river is the longer one?",
    "The first one, by far.",
    "The second one, I think.",
    "Both are.",
    "None is.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One injection at one place of one prompt."""

    injection: str
    kind: str
    family: str
    form: Form
    place: Place
    raw: frozenset[str]
    """The readers on which it acts if nothing is escaped."""
    rendered: frozenset[str]
    """Those on which it acts in the prompt that judges are asked with; empty if it is inert."""

    @property
    def is_inert(self) -> bool:
        """Whether no reader takes it for structure."""
        return not self.rendered


def prove_inert(
    injections: Iterable[Injection],
    families: Sequence[str | PromptFamily] = SHIPPED,
    templates: Sequence[Template] | None = None,
    *,
    special_tokens: tuple[str, ...] = (),
) -> Iterator[Trial]:
    """Yield a trial for every injection, family, form of prompt and place.

    Args:
        templates: chat templates whose control tokens are looked for; by default the package's five.
        special_tokens: what the judge's tokenizer names, as `render_prompt` takes it. The default is that of a server, whose
            tokens nobody knows.

    Raises:
        ConfigError: jinja2 is not installed, or there is no such family.
    """
    templates = load_templates() if templates is None else templates
    chosen = tuple(injections)
    for family in map(load_family, families):
        for form in FORMS:
            scene = _Scene(family, form, templates, special_tokens)
            for injection in chosen:
                for place in scene.places:
                    yield scene.try_one(injection, place)


class _Scene:
    """A prompt family and a form of prompt, with what every reader finds in a harmless one."""

    def __init__(
        self,
        family: PromptFamily,
        form: Form,
        templates: Sequence[Template],
        special_tokens: tuple[str, ...],
    ):
        self.family, self.form, self.templates, self._tokens = family, form, templates, special_tokens
        number = family.num_answers
        self.places = PLACES[: 1 + min(number, 2)]
        self._pair = _make_pair(form, number)
        self._frame = self._render(_name_texts(self._pair)).messages
        harmless = self._render(self._pair)
        self._before = {
            place: self._read(harmless, self._text_at(place, self._pair), place) for place in self.places
        }

    def try_one(self, injection: Injection, place: Place) -> Trial:
        """Put the injection there and see on what it acts."""
        own, other = ("B", "A") if place == "B" else ("A", "B")
        pair = _inject(self._pair, place, injection.write(own, other))
        raw, rendered = self._write_raw(pair), self._render(pair)
        text = self._text_at(place, pair)
        return Trial(
            injection=injection.name,
            kind=injection.kind,
            family=self.family.name,
            form=self.form,
            place=place,
            raw=frozenset(self._list_acted(raw, text, place, pair, is_raw=True)),
            rendered=frozenset(
                self._list_acted(rendered, self._take_out(rendered, place), place, pair, is_raw=False)
            ),
        )

    def _list_acted(
        self, prompt: JudgePrompt, shown: str | None, place: Place, pair: PreferencePair, *, is_raw: bool
    ) -> Iterator[str]:
        if shown is None or not self._are_blocks_whole(prompt, pair, is_raw=is_raw):
            yield BOUNDARY
        found = self._read(prompt, shown or "", place)
        yield from (name for name, value in found.items() if value != self._before[place][name])

    def _read(self, prompt: JudgePrompt, shown: str, place: Place) -> dict[str, Any]:
        """What every reader finds in the prompt, and in what a judge writes that repeats the text `shown` there and, if it
        decides, decides against it."""
        rival = prompt.labels[0 if place == "B" or prompt.labels == RATINGS else -1]
        content = prompt.messages[-1].text
        sent = build_messages(prompt.messages)
        tokens = [one.find_tokens(str(message["content"])) for message in sent for one in self.templates]
        return {
            BOUNDARY: find_delimiters(content),
            **({TURNS: find_speakers(content)} if self.form == "multi" else {}),
            VERDICT: read_repeated(shown, prompt.labels),
            QUOTED: read_quoting(shown, prompt.labels, rival),
            THINKING: find_thinking(content),
            SERVER: ([message["role"] for message in sent], tokens),
            **{one.name: one.find_tokens(one.render(prompt.messages)) for one in self.templates},
        }

    def _are_blocks_whole(self, prompt: JudgePrompt, pair: PreferencePair, *, is_raw: bool) -> bool:
        """Whether the protocol's parser finds in each block what the user wrote there, and all of it; True of a family
        that does not show two answers, whose blocks it does not read."""
        if self.family.num_answers != 2:
            return True
        blocks = split_answers(prompt.messages[-1].text)
        if blocks is None:
            return False
        is_conversation = self.form == "multi"

        def plain(text: str) -> str:
            return text if is_raw else unescape(text, self._tokens, transcript=is_conversation)

        question, *answers = blocks
        if not is_conversation:
            wanted = [pair.prompt[0].text, *(response[0].text for response in pair.responses)]
            return [plain(text or "") for text in (question, *answers)] == wanted
        turns = [
            [(message.role, plain(message.text)) for message in parse_transcript(text or "")]
            for text in answers
        ]
        return question is None and turns == [
            [(message.role, message.text) for message in (*pair.prompt, *response)]
            for response in pair.responses
        ]

    def _render(self, pair: PreferencePair) -> JudgePrompt:
        if self.family.name == RUBRIC_WRITER:
            return render_question(pair, special_tokens=self._tokens, family=self.family)
        criteria = _CRITERIA if self.family.has_criteria else ()
        return render_prompt(pair, self.family, special_tokens=self._tokens, criteria=criteria)

    def _write_raw(self, pair: PreferencePair) -> JudgePrompt:
        """The prompt with the pair's texts as they are."""
        *head, last = self._frame
        filled = replace(last, content=_fill(last.text, pair) or "")
        return replace(self._render(self._pair), messages=(*head, filled))

    def _text_at(self, place: Place, pair: PreferencePair) -> str:
        return _list_texts(pair)[_number_of(place, pair)]

    def _take_out(self, prompt: JudgePrompt, place: Place) -> str | None:
        """What stands in the prompt where the text of `place` does; None if it is not built as it should be."""
        word = f"Zq{_number_of(place, self._pair)}uz"
        pieces = re.split(r"(Zq\d+uz)", self._frame[-1].text)
        first = pieces.index(word)
        shape = (
            "(.*?)" if number == first else ".*?" if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
        match = re.fullmatch("".join(shape), prompt.messages[-1].text, re.DOTALL)
        return None if match is None else match[1]


def _make_pair(form: Form, num_answers: int) -> PreferencePair:
    question, *answers = _TEXTS
    prompt: Messages = (user(question),)
    if form == "multi":
        prompt = (*prompt, assistant("Which two do you mean?"), user("Any two, please."))
    first, second, *others = ((assistant(text),) for text in answers)
    pair = PreferencePair(id="proof", prompt=prompt, response_a=first, response_b=second)
    return replace(pair, others=tuple(others)) if num_answers == 4 else pair


def _inject(pair: PreferencePair, place: Place, texts: Texts) -> PreferencePair:
    if place != "question":
        return inject(pair, place, texts)
    first, *rest = pair.prompt
    changed = inject(replace(pair, response_a=(assistant(first.text),)), "A", texts).response_a
    return replace(pair, prompt=(user(changed[0].text), *rest))


def _name_texts(pair: PreferencePair) -> PreferencePair:
    """The pair with a word of its own for each text."""
    words = (f"Zq{number}uz" for number in count())

    def name(messages: Messages) -> Messages:
        return tuple(replace(message, content=next(words)) for message in messages)

    prompt, first, second, *others = [name(messages) for messages in (pair.prompt, *pair.responses)]
    return replace(pair, prompt=prompt, response_a=first, response_b=second, others=tuple(others))


def _list_texts(pair: PreferencePair) -> list[str]:
    return [message.text for messages in (pair.prompt, *pair.responses) for message in messages]


def _number_of(place: Place, pair: PreferencePair) -> int:
    return {"question": 0, "A": len(pair.prompt), "B": len(pair.prompt) + 1}[place]


def _fill(text: str | None, pair: PreferencePair) -> str | None:
    """The text with those of the pair in the place of their words."""
    own = _list_texts(pair)
    return None if text is None else re.sub(r"Zq(\d+)uz", lambda match: own[int(match[1])], text)
