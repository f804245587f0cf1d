"""Chat items: a request for a short text with weighted wishes, and texts that meet some of them.

A text is drawn without looking at the wishes, and for every set of wishes the opposite set is as likely, so that the answers
alone say nothing about the label (docs/world.md).
"""

from __future__ import annotations

from typing import NamedTuple

from rmr1.world.draw import Draw, a, capitalise, read_templates
from rmr1.world.items import ChatAnswer, Criterion, CriterionKind
from rmr1.world.words import COLORS, NAMES, PLACES, THINGS, WEEKDAYS

KINDS: tuple[CriterionKind, ...] = ("tone", "mention", "length", "format")
MAX_SENTENCES = 5
NUM_CRITERIA = (2, 3, 4)
NUM_CRITERIA_WEIGHTS = (2, 2, 1)
FOLLOW_UP_SHARE = 0.15
"""How often one wish is changed in a second turn."""

POINTS = {2: (7, 3), 3: (5, 3, 2), 4: (4, 3, 2, 1)}
"""Tenths by rank, for so many wishes."""
LEVELS = {
    2: ("must", "ideally"),
    3: ("must", "should", "ideally"),
    4: ("must", "should", "preferably", "ideally"),
}
"""How important each rank is called."""

TEXTS = read_templates(
    """
chat.request
    Write a short text about the {place} in our town. | Please describe the {place} for visitors.
    I need a few lines about the {place}. | Can you tell my guests about the {place}?
    Write something for the website of the {place}. | Help me with a message about the {place}.
    We want to invite people to the {place}. Write the text.
    Draft a note on the {place} for our newsletter.
    * Please write a few lines about the {place} for our website.
    * Can you describe the {place} in our town?
chat.must
    It must {wish}. | Above all, it must {wish}. | Most important: it has to {wish}.
    It absolutely must {wish}.
    * Above all, it has to {wish}.
chat.should
    It should {wish}. | It should also {wish}. | Then it should {wish}.
    * Then it should also {wish}.
chat.preferably
    Preferably, it would {wish}. | If possible, let it {wish}. | I would prefer it to {wish}.
    * If possible, it would {wish}.
chat.ideally
    Ideally, it would {wish}. | It would be nice for it to {wish}. | A small wish: let it {wish}.
    As a bonus, it may {wish}.
    * As a small bonus, let it {wish}.
chat.formal
    use a formal tone | sound formal | be written in formal language | keep a formal style
    * be written in a formal tone
chat.casual
    use a casual tone | sound casual | be written in casual language | keep a casual style
    * be written in a casual tone
chat.mention
    mention {a} | talk about {a} | name {a} | bring up {a}
    * mention or name {a}
chat.at_most
    have at most {n} {sentences} | be no longer than {n} {sentences}
    stop after {n} {sentences} at the latest | have no more than {n} {sentences}
    * be at most {n} {sentences} long
chat.at_least
    have at least {n} {sentences} | be no shorter than {n} {sentences} | go on for {n} {sentences} or more
    have no fewer than {n} {sentences}
    * be at least {n} {sentences} long
chat.bullets
    use bullet points | be a bullet list | be a list of bullets | have bullet points
    * have the form of a bullet list
chat.plain
    use plain text | be a plain paragraph | be one plain block | have plain form
    * have the form of plain text
chat.details
    Gladly. Is there anything else? | Sure. Do you want to add something? | I can do that. Is that all?
    * Gladly. Is that all?
chat.change
    I changed my mind. {wish} Forget the old wish. | One thing is different now. {wish}
    Wait, I was wrong. {wish} | Please correct this. {wish} The rest stays.
    * Wait, one thing is different now. {wish} The rest stays.
chat.formal_opening
    dear guests, {text} | dear sir or madam, {text} | we kindly inform you that {text}
    please be advised that {text} | with great respect we state that {text}
    it is our honor to announce that {text} | ladies and gentlemen, {text}
    * dear ladies and gentlemen, {text} | with great respect we inform you that {text}
chat.casual_opening
    hey folks, {text} | yo buddy, {text} | guess what, {text} | hi pals, no kidding, {text} | oh wow, {text}
    so yeah guys, {text} | hey you, {text}
    * yo folks, {text} | oh yeah pals, {text}
chat.mentioning
    guests should bring {a} | everyone needs {a} there | nobody should come without {a}
    remembering {a} is a good idea | each visitor receives {a} | someone has lost {a} here
    on the wall hangs {a} | inside you can buy {a}
    * each visitor should bring {a} | nobody needs {a} here
chat.content
    the {place} opens early on {day} | many families come to the {place} on {day}
    a friendly guide named {name} waits near the entrance | there is a quiet corner with {color} chairs
    visitors enjoy the fresh air around the {place} | children can play on the soft grass outside
    old walls keep the summer heat away | local farmers sell warm bread and honey nearby
    gentle music fills the rooms in the evening | our town built the {place} long ago
    most people stay for the whole afternoon | parking is free behind the {place}
    large windows let in plenty of light | tea and cake cost very little
    its view over the river is wonderful at sunset | dogs are welcome if they stay close
    {name} painted the front of the {place} {color} | some students read quietly under tall trees
    two wooden bridges lead straight to the {place} | winter visitors warm up beside an open fire
    members of the team speak many languages | photos are allowed in all parts of the {place}
    half the seats are taken by noon | behind the {place} runs a narrow path to the lake
    early birds get the best places | rain makes the {color} roof shine like silver
    robins sing loudly around the {place} in spring | workers clean the floor each night
    {name} wrote a famous poem about the {place} | hot soup is served at noon
    bicycles can be rented next to the station | next {day} a painter shows {color} pictures
    from the top you see distant mountains | volunteers plant fresh herbs every month
    * many students come to the {place} in summer | a guide named {name} waits outside
    * next {day} the {place} opens at noon | fresh herbs cost very little
    * under the {color} roof it is quiet | rain fills the lake behind the {place}
"""
)


class UserRequest(NamedTuple):
    """The client's side of a chat item."""

    turns: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    place: str
    nouns: tuple[str, str]
    """Two nouns; every text mentions one of them."""


def draw_request(draw: Draw) -> UserRequest:
    """A request with 2 to 4 wishes."""
    place = draw.word(PLACES)
    first, second = draw.words(THINGS, 2)
    count = draw.random.choices(NUM_CRITERIA, NUM_CRITERIA_WEIGHTS)[0]
    ranks = list(range(count))
    draw.random.shuffle(ranks)
    criteria: list[Criterion] = []
    sentences = [draw.template(TEXTS["chat.request"]).format(place=place)]
    kinds = draw.random.sample(KINDS, count)
    changed = draw.number(0, count - 1) if draw.chance(FOLLOW_UP_SHARE) else None
    change = ""
    for index, (kind, rank) in enumerate(zip(kinds, ranks, strict=True)):
        target, other = _draw_targets(draw, kind, (first, second))
        criteria.append(Criterion(kind=kind, target=target, points=POINTS[count][rank]))
        level = LEVELS[count][rank]
        sentences.append(_write_wish(draw, kind, other if index == changed else target, level))
        if index == changed:
            change = draw.template(TEXTS["chat.change"]).format(wish=_write_wish(draw, kind, target, level))
    request = " ".join(sentences)
    turns = (request, draw.template(TEXTS["chat.details"]), change) if change else (request,)
    return UserRequest(turns=turns, criteria=tuple(criteria), place=place, nouns=(first, second))


def draw_text(draw: Draw, request: UserRequest) -> tuple[str, ChatAnswer]:
    """A text about the request's place, drawn without looking at the wishes."""
    noun = draw.choice(request.nouns)
    tone = draw.choice(("formal", "casual"))
    layout = draw.choice(("bullets", "plain"))
    count = draw.number(1, MAX_SENTENCES)
    mention = draw.template(TEXTS["chat.mentioning"]).format(a=a(noun))
    bodies: list[str] = []
    starts = {mention.split()[0]}
    while len(bodies) < count - 1:
        text = _fill(
            draw, draw.template(TEXTS["chat.content"], lambda text: text.split()[0] not in starts), request
        )
        if text.split()[0] not in starts:
            starts.add(text.split()[0])
            bodies.append(text)
    bodies.insert(draw.number(0, len(bodies)), mention)
    bodies[0] = draw.template(TEXTS[f"chat.{tone}_opening"]).format(text=bodies[0])
    sentences = [capitalise(text) for text in bodies]
    if layout == "bullets":
        body = "\n".join(f"- {text}." for text in sentences)
    else:
        body = " ".join(f"{text}." for text in sentences)
    place = body.lower().index(mention.lower())
    return body, ChatAnswer(
        tone=tone,
        tone_quote=" ".join(sentences[0].split()[:4]).rstrip(","),
        noun=noun,
        noun_quote=body[place : place + len(mention)],
        sentence_starts=tuple(text.split()[0].rstrip(",") for text in sentences),
        layout=layout,
    )


def _draw_targets(draw: Draw, kind: CriterionKind, nouns: tuple[str, str]) -> tuple[str, str]:
    """A wish and its opposite, either as likely as the other."""
    if kind == "length":
        number = draw.number(1, MAX_SENTENCES - 1)
        targets = (f"at most {number}", f"at least {number + 1}")
    else:
        targets = {"tone": ("formal", "casual"), "mention": nouns, "format": ("bullets", "plain")}[kind]
    return targets if draw.chance(0.5) else (targets[1], targets[0])


def _write_wish(draw: Draw, kind: CriterionKind, target: str, level: str) -> str:
    if kind == "mention":
        wish = draw.template(TEXTS["chat.mention"]).format(a=a(target))
    elif kind == "length":
        bound, _, number = target.rpartition(" ")
        noun = "sentence" if number == "1" else "sentences"
        wish = draw.template(TEXTS[f"chat.{bound.replace(' ', '_')}"]).format(n=number, sentences=noun)
    else:
        wish = draw.template(TEXTS[f"chat.{target}"])
    return draw.template(TEXTS[f"chat.{level}"]).format(wish=wish)


def _fill(draw: Draw, text: str, request: UserRequest) -> str:
    name = draw.word(NAMES) if "{name}" in text else ""
    return text.format(place=request.place, name=name, day=draw.choice(WEEKDAYS), color=draw.choice(COLORS))
