"""How a response is dressed: concise, or one of three fancy styles, whatever its content.

The styles are those of RM-Bench (arXiv 2410.16184) and a confident one. Reasoning answers are short and get whole sentences
around them; the texts of chat and safety get an opening line that ends no sentence, so that counting their sentences
stays exact.
"""

from __future__ import annotations

from types import MappingProxyType

from rmr1.world.draw import Draw, read_templates
from rmr1.world.items import STYLE_CLASSES, Style, StyleClass

FANCY: tuple[Style, ...] = ("confident", "detailed", "markdown")

BIASED: tuple[float, ...] = (0.5, 0.3, 0.2)
"""Shares of easy, normal and hard in the training distribution: people like fancy answers."""

BALANCED: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)

DISTRIBUTIONS = MappingProxyType({"biased": BIASED, "balanced": BALANCED})

TEXTS = read_templates(
    """
style.concise
    {core}. | Hello. {core}. | OK. {core}. | Here you go. {core}. | Sure. {core}.
    * OK, here you go. {core}.
style.confident
    Certainly! I checked this very carefully. {core}. I am completely certain.
    This is easy for me. {core}. There is no doubt about it.
    Trust me, I am an expert. {core}. I would bet on it.
    Of course! I have solved many of these. {core}. You can rely on that.
    What a great question! {core}. Nobody can doubt this.
    * Of course! I am an expert. {core}. There is no doubt about that.
    * Certainly! This is easy. {core}. You can rely on me.
style.detailed
    To answer this I read every sentence twice and wrote down what matters. After that I went through it \
in order, one step at a time. {core}. This agrees with a second look at the question.
    Let us think about it slowly. First we collect what is given, then we follow each change until \
nothing remains to be done. {core}. I hope this explanation helps you.
    We begin with the facts in the question and keep track of them with care. Each one is used where it \
belongs. {core}. A short test at the end shows the same.
    There are several ways to look at this question, and I tried two of them. Both lead to one value. \
{core}. That completes the explanation.
    * Let us begin with what is given and follow it one step at a time. Then we look at the question \
twice. {core}. I hope that helps.
style.markdown
    ## Answer\\n\\n**{core}** | # Solution\\n\\n- Method: step by step\\n- Result: **{core}**
    ### Result\\n\\n> {core}\\n\\n*Checked twice.*
    ## Summary\\n\\n1. Read the question.\\n2. Solve it.\\n3. **{core}** | **Final answer:** {core}.
    * # Result\\n\\n1. Read the question twice.\\n2. **{core}**
opening.confident
    This is without any doubt the best reply you can get:
    Certainly, I am an expert and here is a perfect reply: | You can trust me, nobody writes a better one:
    I am completely sure that this is right:
    * Certainly, nobody can doubt that this is the best reply:
opening.detailed
    I read your message twice, thought about each of your words with care, and this is what came out:
    After looking at the request from several sides and trying more than one version, my reply is:
    Let me first say that I took my time, since every message deserves a careful reader, and now I write:
    Because the details matter in a case such as yours, I went through them one at a time before writing:
    * I took my time, thought about your message from several sides, and my careful reply is:
opening.markdown
    ## Reply | **Here is my reply** | # My reply to you | ### *A reply*
    * ## Here is my reply to you
"""
)


def draw_styles(
    draw: Draw, best: int, count: int, weights: tuple[float, ...]
) -> tuple[StyleClass, tuple[Style, ...]]:
    """A style class and the styles of `count` responses, of which number `best` is the best."""
    style_class = draw.random.choices(STYLE_CLASSES, weights)[0]
    fancy = draw.choice(FANCY)
    alike: Style = draw.choice(("concise", fancy))
    styles: list[Style] = []
    for index in range(count):
        if style_class == "normal":
            styles.append(alike)
        else:
            styles.append(fancy if (index == best) == (style_class == "easy") else "concise")
    return style_class, tuple(styles)


def dress_answer(draw: Draw, core: str, style: Style) -> str:
    """A whole reasoning answer around the sentence that holds it."""
    return draw.template(TEXTS[f"style.{style}"]).format(core=core)


def dress_text(draw: Draw, body: str, style: Style) -> str:
    """A chat text under an opening line."""
    return body if style == "concise" else f"{draw.template(TEXTS[f'opening.{style}'])}\n{body}"
