"""The world's nouns and names. A fifth of each list is held out of training, by name."""

from __future__ import annotations

from rmr1.world.draw import Words, as_noun


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = Words(
    name="names",
    seen=_split(
        "Mia Tom Ann Ben Lea Max Zoe Sam Eva Leo Ida Paul Nina Carl Ella Hugo Lucy Otto Anna Finn Clara Jack "
        "Maria Oscar Julia David Sara Peter Laura Simon Emma Felix Alice Bruno Helen Victor Irene Martin Diana "
        "George Olga Henry Tessa Louis Vera Frank Wendy Ralph Yara Boris Nora Edgar Sofia Ivan Greta Walter "
        "Hanna Robert Lydia Arthur Kate Adam Monica Philip Sandra Thomas Ruth Joseph Esther Daniel Miriam Aaron "
        "Naomi Ethan Amber Dylan Molly Owen"
    ),
    held_out=_split(
        "Kira Jonas Petra Milo Selma Anton Freya Casper Bianca Theo Ingrid Rafael Stella Emil Paula Viktor "
        "Nadia Gustav Linda Marco"
    ),
)

THINGS = Words(
    name="things",
    seen=_split(
        "apple pear plum lemon orange peach melon banana cherry onion carrot egg cookie muffin pancake bagel "
        "pretzel candle lantern lamp button ribbon needle hat cap glove sock shirt jacket belt boot coin stamp "
        "sticker postcard envelope letter pencil pen marker crayon brush eraser ruler notebook magazine map "
        "card marble ball kite doll puzzle balloon drum flute whistle bell shell stone feather flower tulip "
        "seed acorn bucket basket bottle jar cup plate bowl spoon fork kettle towel pillow blanket mirror clock "
        "ring bracelet key chain rope hook nail hammer brick tile ladder wheel helmet umbrella backpack wallet "
        "bead"
    ),
    held_out=_split(
        "ticket sandwich mug poster puppet violin cushion medal trophy magnet badge screw torch necklace "
        "curtain suitcase pinecone battery teapot compass toothbrush saucer racket pumpkin"
    ),
)
"""Small things that are counted, bought and mentioned."""

PLACES = Words(
    name="places",
    seen=_split(
        "bakery museum library market harbor castle garden zoo theater cafe school farm park village hotel "
        "factory church stadium gallery tower cinema pool bookstore workshop orchard mill palace temple camp "
        "beach forest island"
    ),
    held_out=_split("aquarium vineyard monastery lighthouse pavilion greenhouse brewery fortress"),
)

PEOPLE = Words(
    name="people",
    seen=_split(
        "neighbor uncle teacher boss cousin sister brother aunt grandmother roommate colleague coach tenant "
        "landlord doctor nephew"
    ),
    held_out=_split("niece grandfather plumber classmate"),
)

EVENTS = Words(
    name="events",
    seen=_split(
        "concert picnic exam wedding party meeting race parade festival lecture dance trip auction play "
        "birthday dinner"
    ),
    held_out=_split("banquet tournament rehearsal interview"),
)

OBJECTS = Words(
    name="objects",
    seen=_split("safe door gate car box drawer locker cabinet garage trunk shed chest"),
    held_out=_split("vault cellar container"),
)
"""What can be locked."""

WORD_LISTS = (NAMES, THINGS, PLACES, PEOPLE, EVENTS, OBJECTS)

HELD_OUT_WORDS = frozenset(form for words in WORD_LISTS for word in words.held_out for form in as_noun(word))
"""Every held-out noun and name, singular and plural."""

WEEKDAYS = _split("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COLORS = _split("red blue green yellow white black brown purple pink gray")
