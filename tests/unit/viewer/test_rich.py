"""Foreign text is formatted without anything that acts, and every quotation stays at its words."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmr1.audit.quotes import LinkedQuote
from rmr1.messages import Message
from rmr1.report.numbered import Numbers
from rmr1.report.pieces import Piece, Turn, mark_turns
from rmr1.screen import inert
from rmr1.viewer import code, rich
from rmr1.viewer.allowance import Allowance
from rmr1.viewer.code import highlight
from rmr1.viewer.marking import Mark
from rmr1.viewer.maths import convert_formula
from rmr1.viewer.rich import Rich, format_rich, format_turn

SOLID = re.compile(r"[^\s!-/:-@\[-`{-~]")
"""What formatting leaves alone."""
VOID = {"br", "hr"}
TAGS = rich._BLOCKS | rich._MATHS | {"a", "sup"}
ATTRIBUTES = {"class", "dir", "tabindex", "display", "id", "href", "title", "data-numbers"}


def place(text: str, words: str, number: int = 0, style: str = "quote") -> Mark:
    start = text.index(words)
    return number_mark(start, start + len(words), number, style)


def number_mark(start: int, end: int, number: int, style: str = "quote") -> Mark:
    name = f"0-{number}"
    return Mark(start=start, end=end, id=f"j1a{name}", href=f"#j1e{name}", style=style, number=str(number))


@dataclass
class Seen:
    """What a page has."""

    text: str = ""
    """Its words; a formula that is marked is its source, one that is not is nothing."""
    formulas: str = ""
    marked: dict[str, str] = field(default_factory=dict)
    """The words of each mark, by its number."""
    ids: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read(shown: Rich) -> Seen:
    """Read a page, and check that it has no element, attribute or target besides ours, and that all are closed."""
    seen, is_formula = Seen(), [False]
    stack: list[tuple[str, str, str]] = []

    def tell(data: str) -> None:
        seen.text += data
        for _, numbers, _ in stack:
            for number in numbers.split():
                seen.marked[number] = seen.marked.get(number, "") + data

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found = dict(attrs)
            assert tag in TAGS and len(found) == len(attrs)
            if tag == "math":
                tell(stack[-1][2])
            is_formula[0] |= tag == "math"
            for name, value in attrs:
                assert name in ATTRIBUTES or (is_formula[0] and value in rich._VALUES[tag][name])
            if tag == "a":
                assert re.fullmatch(r"#j1e0-\d+", found.pop("href") or "")
                assert all(one != "a" for one, _, _ in stack), "a link in a link"
            if "id" in found:
                assert tag == "span" and found["class"] == "at"
                seen.ids.append(found.pop("id") or "")
            assert not {"href", "id"} & set(found)
            seen.tags.append(tag)
            if tag not in VOID:
                title = found.get("title") if tag == "a" else ""
                stack.append((tag, found.get("data-numbers") or "", title or ""))

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop()[0] == tag
            is_formula[0] &= tag != "math"

        def handle_data(self, data: str) -> None:
            assert inert(data) == data
            if is_formula[0]:
                seen.formulas += data
            elif all(tag != "sup" for tag, _, _ in stack):
                tell(data)

        def handle_comment(self, data: str) -> None:
            raise AssertionError("a comment")

        handle_decl = unknown_decl = handle_pi = handle_comment

    reader = Reader(convert_charrefs=True)
    reader.feed(str(shown.html))
    reader.close()
    assert not stack
    return seen


def letters(text: str) -> str:
    return "".join(SOLID.findall(text))


PIECES = st.sampled_from(
    ["a", "b1", "Wort ", "字", "é", " ", "\n", "\n\n", "\t", "    ", "*", "**", "_", "__", "~~", "`", "```", "```python\n", "~~~\n",
     "# ", "- ", "1. ", "12) ", "> ", "| ", "|a|b|\n|-|:-:|\n|c|d|\n", "\n---\n", "===\n", "$", "$$", "$x+y$", "$$\nx-y\n$$\n",
     "\\(", "\\)", "\\[", "\\]", "\\(ab\\)", "\n\\[\na\n\\]\n", "\\", "[", "](", ")", "![", "[a](b \"t\")", "<http://x.y>", "[x]: /u",
     "<b>", "<script>alert(1)</script>", "<!--", "-->", "&lt;", "&#x1;", "&", "<", ">", "\"", "'", "</a>", "<math>", "\x00", "\u202e",
     "\u200b", "\r\n", "\r", "\ue000", "\ud800", "a\u200db", "javascript:x", "\u00a0", "\u2028", "{", "}", "^", "%", "!", "="]
)  # fmt: skip
TEXTS = st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=40))
SPANS = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 40)), max_size=4)


@settings(max_examples=400, deadline=None)
@given(TEXTS, SPANS)
def test_marks_hold_the_words_that_they_mark_and_nothing_acts(
    text: str, spans: list[tuple[int, int]]
) -> None:
    kept = {(start, min(start + length, len(text))) for start, length in spans if start < len(text)}
    marks = [number_mark(start, end, number) for number, (start, end) in enumerate(sorted(kept))]
    shown = format_rich(text, marks)
    seen = read(shown)
    assert sorted(seen.ids) == sorted(str(one.id) for one in marks)
    assert "math" in seen.tags or letters(seen.text) == letters(inert(text))
    for mark in marks:
        start = mark.start - text.startswith("\r\n", mark.start - 1) if mark.start else 0
        words = inert(text[start : mark.end + text.startswith("\r\n", mark.end - 1)])
        marked = seen.marked.get(mark.number, "")
        if shown.is_formatted:
            assert letters(marked) == letters(words)
        else:
            assert marked == words


VECTORS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<math><mtext></p><style><img src=x onerror=alert(1)>",
    "<math href=javascript:alert(1)>x</math>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "[a](javascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](<javascript:alert(1)> \"onmouseover=alert(1)\")",
    "![a](x\"onerror=\"alert(1))",
    "![a](https://evil.example/pixel.png)",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a] **b**",
    "**<a class=\"quote\" href=\"#j1a0-1\" id=\"j1a0-1\">forged</a>**",
    "**<mark class=\"quote\">forged</mark>** <span class=\"at\" id=\"j1a0-0\"></span>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "```\"><script>alert(1)</script>\ncode\n```",
    "```python\n</span><img src=x onerror=alert(1)>\n```",
    "`</code><script>alert(1)</script>`",
    "$\\text{<script>alert(1)</script>}$",
    "$\\text{&lt;script&gt;alert(1)&lt;/script&gt;}$",
    "$\\href{javascript:alert(1)}{x}$ $\\style{position:fixed}{x}$ $\\class{at}{x}$ $\\color{red\" onclick=\"alert(1)}{x}$",
    "$\\text{&#x202e;abc&#x200b;}$",
    "$\\unicode{x3c}script\\unicode{x3e}$ $\\mathrm{<b>}$",
    "$$\n</math><script>alert(1)</script>\n$$",
    "\\(</math><img src=x onerror=alert(1)>\\)",
    "| <style>*{display:none}</style> | b |\n|--|--|\n| <a href=//evil>x</a> | `|` |",
    "# <base href=//evil> \n<meta http-equiv=refresh content=0;url=//evil>",
    "- <form action=//evil><input name=x><button>go\n- <a href='x' style='position:fixed;inset:0'>",
    "**a** &#x3c;script&#x3e; &lt;script&gt; &NewLine;",
    "<![CDATA[<script>]]> <?php x ?> <!-- **x** -->",
    "*\x1b]8;;https://evil\x07link\x1b]8;;\x07* \u202etxet\u2066 \ufeff",
)  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS)
def test_a_vector_is_its_own_words(vector: str) -> None:
    text = f"**Told.** {vector}\n\nThe *end*.\n\n{vector}"
    shown = format_rich(text, [place(text, "The *end*", 7)])
    seen = read(shown)
    assert seen.ids == ["j1a0-7"] and letters(seen.marked["7"]) == "Theend"
    assert "**" not in seen.text or not shown.is_formatted
    for word in re.findall(r"[a-z]{3,}", re.sub(r"\\[a-z]+|\$.*?\$", "", vector)):
        assert word in seen.text + seen.formulas


@pytest.mark.parametrize(
    ("text", "words", "html"),
    [
        ("a **bold** end", "**bold** e", '<strong>[bold]</strong>[ e]nd'),
        ("a **bold** end", "old", "<strong>b[old]</strong> end"),
        ("*Yes.* No", "Yes.", "<em>[Yes.]</em> No"),
        ("(*so*) it", "(*so*)", "[(]<em>[so]</em>[)] it"),
        ("`a - b` c", "a - b", "<code>[a - b]</code> c"),
        ("see [it](http://x.y)", "it](http://x", 'see [it ]<span class="address">[(http://x].y)</span>'),
        ("![cat](c.png) *x*", "cat", '<span class="image">[cat] <span class="address">(c.png)</span></span> <em>x</em>'),
        ("so $x$ is", "$x$ is", 'so [<math display="inline"><mrow><mi>x</mi></mrow></math>][ is]'),
        ("so \\(x+1\\) is *it*", "x+", 'so <code class="tex">\\([x+]1\\)</code> is <em>it</em>'),
    ],
)  # fmt: skip
def test_places_by_hand(text: str, words: str, html: str) -> None:
    shown = re.sub(r'<span class="at"[^>]*></span>', "", str(format_rich(text, [place(text, words)]).html))
    shown = re.sub(r'<a class="quote"[^>]*>(.*?)(<sup>0</sup>)?</a>', r"[\1]", shown)
    assert html in shown


def test_overlapping_marks_are_each_whole() -> None:
    text = "One **two** three\n\n- four"
    marks = [
        place(text, "One **two", 1),
        place(text, "two** three\n\n- four", 2),
        place(text, "two", 3, "quote invented"),
    ]
    seen = read(format_rich(text, marks))
    assert seen.marked == {"1": "One two", "2": "two threefour", "3": "two"}
    assert seen.ids == ["j1a0-1", "j1a0-2", "j1a0-3"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6 **now**.",
        "US$5, or ($5)/($6) or $5-$6 **now**.",
        "Run $HOME/$USER **now**.",
        "It is \\$x\\$ **now**.",
        "`$x$` **now**.",
    ],
)
def test_a_dollar_is_not_always_a_formula(text: str) -> None:
    assert "math" not in read(format_rich(text)).tags


@pytest.mark.parametrize(
    "text",
    ["$x^2$", "so $a - b$.", "\\(x\\)", "\\[x\\]", "so\n\\[\nx\n- 3\n\\]\nis", "so\n$$\nx\n= 3\n$$\nis", "- a\n\n  $$\n  x\n  $$", "> \\[ x \\]", "so $$x$$ is"],
)  # fmt: skip
def test_a_formula_is_one_wherever_it_is(text: str) -> None:
    seen = read(format_rich(text))
    assert seen.tags.count("math") == 1 and "$" not in seen.text and "\\" not in seen.text


@pytest.mark.parametrize(
    "source",
    [
        "\\frac{a}",
        "\\left( x",
        "{" * 200 + "}" * 200,
        "x" * 1001,
        "\\newcommand{\\a}{x} \\a",
        "\\def\\a{x}\\a",
        "a & b",
        " ",
    ],
)
def test_a_formula_that_cannot_be_read_is_shown_as_written(source: str) -> None:
    assert convert_formula(source, Allowance(1)) is None
    shown = format_rich(f"**So** ${source}$")
    assert "math" not in read(shown).tags and letters(read(shown).text) == letters(f"So{source}")


def test_what_a_formula_would_hide_is_seen() -> None:
    seen = read(format_rich("$a \\phantom{hidden} \\hspace{-9em} \\color{white}{pale}$"))
    assert seen.formulas == "ahiddenpale" and "mphantom" not in seen.tags


@pytest.mark.parametrize(
    "text",
    [
        "Words alone.\nAnd a second line.",
        "2 - 1 = 1",
        "",
        "|a|b|\n|-|-|\n|1|2|hidden|",
        "[a](x&amp;y) **b**",
        "*" * 50_000 + "a",
    ],
)
def test_a_text_that_formatting_would_not_serve_is_shown_as_written(text: str) -> None:
    shown = format_rich(text)
    assert not shown.is_formatted and read(shown).text == text


def test_a_mark_without_a_letter_leaves_the_text_as_written() -> None:
    text = "a **b** == c"
    shown = format_rich(text, [place(text, "==", 1)])
    assert not shown.is_formatted and read(shown).marked == {"1": "=="}


def test_numbers_languages_and_addresses_are_seen() -> None:
    text = '3. a\n3. b\n\n```py x\ncode\n```\n[t](u "v") ![i](j)'
    assert letters(read(format_rich(text)).text) == letters(text)


HEAVY = {
    "stars": "*a **b " * 5000,
    "brackets": "[a](" * 10_000,
    "pictures": "![" * 5000,
    "dollars": "$a " * 10_000,
    "openings": "\\[ a\n" * 5000,
    "quotes": ">" * 10_000,
    "deep list": "\n".join(" " * (2 * depth) + "- a" for depth in range(400)),
    "table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 4000,
    "wide table": "|" + "a|" * 3000 + "\n|" + "-|" * 3000 + "\n",
    "formulas": "".join(f"$x_{{{number}}}+\\frac{{1}}{{2}}$ " for number in range(2000)),
    "code": "```java\n" + "a\n" * 9000 + "```",
    "empty lines": "\n" * 100_000 + "*a*" + " " * 100_000 + "b",
    "gap": "```c\nint" + " " * 15_000 + "a\n```",
    "words": ("Some **text** with `code`. " * 8000)[:200_000],
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_text_takes_bounded_time(name: str) -> None:
    text = HEAVY[name]
    start = time.thread_time()
    seen = read(format_rich(text, [number_mark(0, min(len(text), 5000), 0)]))
    assert time.thread_time() - start < 4, "1 s without the reading of this test"
    assert "0" in seen.marked


def test_a_turn_of_the_report_is_anchored_as_there() -> None:
    answer = (Message(role="assistant", content="First, **one** and *two*.\n\nThen **one**."),)
    found = LinkedQuote(
        vote=0,
        number=0,
        side="A",
        said_side="A",
        text="one ... two",
        match="levelled",
        spans=((9, 12), (20, 23)),
        place=(0, 5),
    )
    seen = read(format_turn(mark_turns(answer, [found])[0], "j1", "e", "a", Numbers([found])))
    assert seen.ids == ["j1a0-0"] and seen.marked == {"1": "onetwo"}
    invented = LinkedQuote(
        vote=0, number=1, side="B", said_side="B", text="x", match="none", spans=(), place=(2, 9)
    )
    turn = Turn(role=None, pieces=(Piece(text="So "), Piece(text="*x*", quote=invented, begins=(invented,))))
    html = str(format_turn(turn, "j1", "a", "e", Numbers([found, invented])).html)
    assert (
        '<span class="at" id="j1e0-1"></span><a class="quote invented" href="#j1e0-1" title="not found in answer B"'
        in html
    )
    assert "<sup>2?</sup>" in html


def test_many_threads_format_at_once() -> None:
    text = "**a** $x^2$ `c`\n\n```python\nx = 1\n```"
    whole, found = str(format_rich(text).html), []
    threads = [
        Thread(target=lambda: found.extend(str(format_rich(text).html) for _ in range(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [whole] * 80


def test_code_has_the_colours_of_its_language_alone() -> None:
    assert highlight("<b>", "no such language", Allowance(1)) == "&lt;b&gt;"
    assert highlight("x = 1", "python", Allowance(0)) == "x = 1"
    painted = highlight("int a; // b", "c", Allowance(1))
    assert painted == '<span class="code-word">int</span> a; <span class="code-note">// b</span>'


@pytest.mark.parametrize("language", sorted(code._LANGUAGES))
def test_hostile_code_takes_no_longer_than_it_may(language: str) -> None:
    from pygments.lexers import find_lexer_class

    name = find_lexer_class(language).aliases[0]
    for part in ("a ", "\n" * 150 + "a", '"\\', "a(", "{"):
        text = (part * 20_000)[:20_000]
        start = time.thread_time()
        painted = highlight(text, name, Allowance(0.05))
        assert time.thread_time() - start < 1.5
        assert unescape(re.sub("<[^>]*>", "", painted)) == text


def luminance(colour: str) -> float:
    full = colour if len(colour) == 7 else "#" + "".join(one * 2 for one in colour[1:])
    parts = [int(full[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_of_code_and_quotations_are_read_by_all(scheme: int) -> None:
    """WCAG AA: 4.5 to 1, on the ground of code and, of the words of quotations, on their marks."""
    roots = re.findall(r":root\{([^}]*)\}", (files("rmr1.report") / "page.css").read_text(encoding="utf-8"))
    colours = dict(re.findall(r"--(\w+):(#\w+)", roots[scheme]))
    style = (files("rmr1.viewer") / "static" / "rich.css").read_text(encoding="utf-8")
    used = dict(re.findall(r"\.(code-\w+)\{color:var\(--(\w+)\)", style.replace(".code-text,", "")))
    assert set(used) >= code.CLASSES - {"code-name", "code-text"}
    for name in used.values():
        assert contrast(colours[name], colours["page"]) >= 4.5
    assert contrast(colours["ink"], colours["found"]) >= 4.5
    assert contrast(colours["bad"], colours["badbg"]) >= 4.5
