"""The world's nouns and names. A fifth of each list is held out of training, by name."""

from __future__ import annotations

from rmr1.world.draw import Words, as_noun


def _read(name: str, seen: str, held_out: str) -> Words:
    return Words(name=name, seen=tuple(seen.split()), held_out=tuple(held_out.split()))


NAMES = _read(
    "names",
    "Mia Tom Ann Ben Lea Max Zoe Sam Eva Leo Ida Paul Nina Carl Ella Hugo Lucy Otto Anna Finn Clara Jack "
    "Maria Oscar Julia David Sara Peter Laura Simon Emma Felix Alice Bruno Helen Victor Irene Martin Diana "
    "George Olga Henry Tessa Louis Vera Frank Wendy Ralph Yara Boris Nora Edgar Sofia Ivan Greta Walter "
    "Hanna Robert Lydia Arthur Kate Adam Monica Philip Sandra Thomas Ruth Joseph Esther Daniel Miriam Aaron "
    "Naomi Ethan Amber Dylan Molly Owen",
    "Kira Jonas Petra Milo Selma Anton Freya Casper Bianca Theo Ingrid Rafael Stella Emil Paula Viktor "
    "Nadia Gustav Linda Marco",
)

THINGS = _read(
    "things",
    "apple pear plum lemon orange peach melon banana cherry onion carrot egg cookie muffin pancake bagel "
    "pretzel candle lantern lamp button ribbon needle hat cap glove sock shirt jacket belt boot coin stamp "
    "sticker postcard envelope letter pencil pen marker crayon brush eraser ruler notebook magazine map "
    "card marble ball kite doll puzzle balloon drum flute whistle bell shell stone feather flower tulip "
    "seed acorn bucket basket bottle jar cup plate bowl spoon fork kettle towel pillow blanket mirror clock "
    "ring bracelet key chain rope hook nail hammer brick tile ladder wheel helmet umbrella backpack wallet "
    "bead",
    "ticket sandwich mug poster puppet violin cushion medal trophy magnet badge screw torch necklace "
    "curtain suitcase pinecone battery teapot compass toothbrush saucer racket pumpkin",
)
"""Small things that are counted, bought and mentioned."""

PLACES = _read(
    "places",
    "bakery museum library market harbor castle garden zoo theater cafe school farm park village hotel "
    "factory church stadium gallery tower cinema pool bookstore workshop orchard mill palace temple camp "
    "beach forest island",
    "aquarium vineyard monastery lighthouse pavilion greenhouse brewery fortress",
)

PEOPLE = _read(
    "people",
    "neighbor uncle teacher boss cousin sister brother aunt grandmother roommate colleague coach tenant "
    "landlord doctor nephew",
    "niece grandfather plumber classmate",
)

EVENTS = _read(
    "events",
    "concert picnic exam wedding party meeting race parade festival lecture dance trip auction play "
    "birthday dinner",
    "banquet tournament rehearsal interview",
)

OBJECTS = _read(
    "objects",
    "safe door gate car box drawer locker cabinet garage trunk shed chest",
    "vault cellar container",
)
"""What can be locked."""

WORD_LISTS = (NAMES, THINGS, PLACES, PEOPLE, EVENTS, OBJECTS)

HELD_OUT_WORDS = frozenset(form for words in WORD_LISTS for word in words.held_out for form in as_noun(word))
"""Every held-out noun and name, singular and plural."""

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
COLORS = ("red", "blue", "green", "yellow", "white", "black", "brown", "purple", "pink", "gray")
