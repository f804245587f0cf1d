"""Bills: so many of each thing at its price, a discount, change from a note."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.world.arithmetic import MAX_NUMBER, list_mistakes
from rmr1.world.draw import Draw, a, read_templates
from rmr1.world.items import RIGHT, Exercise, Slip, Solution
from rmr1.world.words import NAMES, PLACES, THINGS

TEXTS = read_templates(
    """
shopping.price
    {A} costs {p}. | The price of {a} is {p}. | You pay {p} for {a}. | {A} is sold for {p}.
    {A} has a price of {p}.
    * You pay a price of {p} for {a}.
shopping.basket
    {N} buys {goods}. | {N} wants {goods}. | At the {place} {N} takes {goods}. | {N} orders {goods}.
    {N} needs {goods} for a party.
    * At the {place} {N} orders {goods}. | For a party {N} buys {goods}.
shopping.discount
    A coupon saves {n} coins. | The shop takes {n} coins off the bill. | There is a discount of {n} coins.
    The bill drops by {n} coins.
    * A coupon takes {n} coins off the bill.
shopping.question
    How many coins does {N} pay? | What is the bill in coins? | How much does {N} have to pay?
    Find the price of it all.
    * How many coins does {N} have to pay?
shopping.change
    {N} pays with {n} coins. How many coins come back? | {N} had {n} coins. How many coins are left?
    From {n} coins, how much change does {N} get?
    * {N} pays with {n} coins. How much change does {N} get?
shopping.answer
    {N} pays {x} coins | The bill is {x} coins | It costs {x} coins | The total is {x} | {N} has to pay {x}
    * The total bill is {x}
shopping.change_answer
    {N} gets {x} coins | The change is {x} | There remain {x} coins | {N} keeps {x} coins
    * There remain {x} coins of change
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shopping(Exercise):
    basket: tuple[tuple[int, int], ...]
    """(quantity, price) of what is bought."""
    discount: int = 0
    purse: int = 0
    """What is paid with; 0 where the bill itself is asked for."""

    def solve(self, mistake: Slip = RIGHT) -> Solution | None:
        lines: list[str] = []

        def write(left: int, sign: str, right: int) -> int:
            result = {"+": left + right, "-": left - right, "*": left * right}[sign]
            if mistake.at(len(lines)) == "slip":
                result += mistake.amount
            lines.append(f"{left} {sign} {right} = {result}")
            return result

        parts = [
            price if mistake.at(index) == "skip" else write(quantity, "*", price)
            for index, (quantity, price) in enumerate(self.basket)
        ]
        value = parts[0]
        for part in parts[1:]:
            value = write(value, "+", part)
        if self.discount and mistake.at(1) != "extra":
            value = write(value, "-", self.discount)
        if self.purse and mistake.at(2) != "extra":
            value = write(self.purse, "-", value)
        numbers = [value, *(int(line.rpartition(" ")[2]) for line in lines)]
        if min(numbers) < 0 or max(numbers) > MAX_NUMBER:
            return None
        return Solution(lines=tuple(lines), answer=str(value))

    def mistakes(self) -> tuple[Slip, ...]:
        found = [*list_mistakes(len(self.basket), "skip"), *list_mistakes(self.steps, "slip")]
        found += [Slip(kind="extra", step=1)] * 2 if self.discount else []
        found += [Slip(kind="extra", step=2)] * 2 if self.purse else []
        return tuple(found)


def draw_shopping(draw: Draw, steps: int) -> Shopping | None:
    """A bill of so many steps: one kind of thing (1 to 3 steps) or two kinds (3 to 5)."""
    kinds = 2 if steps > 3 or (steps == 3 and draw.chance(0.5)) else 1
    rest = steps - (2 * kinds - 1)
    has_discount = rest == 2 or (rest == 1 and draw.chance(0.5))
    has_purse = rest == 2 or (rest == 1 and not has_discount)
    name = draw.word(NAMES)
    things = draw.nouns(THINGS, kinds + draw.number(0, 1) if kinds == 1 else kinds)
    prices = [draw.number(2, 9) for _ in things]
    basket = tuple((draw.number(2, 5), price) for price in prices[:kinds])
    total = sum(quantity * price for quantity, price in basket)
    discount = draw.number(1, min(9, total - 1)) if has_discount else 0
    if total > MAX_NUMBER or (has_purse and total - discount > MAX_NUMBER - 2):
        return None
    purse = draw.number(max(2, total - discount), MAX_NUMBER) if has_purse else 0
    sentences = []
    for thing, price in zip(things, prices, strict=True):
        one = a(thing.one)
        coins = f"{price} coins"
        sentences.append(
            draw.template(TEXTS["shopping.price"]).format(A=one[0].upper() + one[1:], a=one, p=coins)
        )
    draw.random.shuffle(sentences)
    goods = " and ".join(
        f"{quantity} {thing.counted(quantity)}" for thing, (quantity, _) in zip(things, basket, strict=False)
    )
    text = draw.template(TEXTS["shopping.basket"])
    sentences.append(text.format(N=name, goods=goods, place=draw.word(PLACES) if "{place}" in text else ""))
    if has_discount:
        unit = "coin" if discount == 1 else "coins"
        sentences.append(
            draw.template(TEXTS["shopping.discount"])
            .format(n=discount)
            .replace(f"{discount} coins", f"{discount} {unit}")
        )
    sentences.append(
        draw.template(TEXTS["shopping.change" if has_purse else "shopping.question"]).format(N=name, n=purse)
    )
    return Shopping(
        steps=steps,
        turns=(" ".join(sentences),),
        cores=TEXTS["shopping.change_answer" if has_purse else "shopping.answer"],
        fields=(("N", name), ("coins", "coin|coins")),
        basket=basket,
        discount=discount,
        purse=purse,
    )
