"""What the test checkpoint is trained on: random pairs, and the judgments it is to write about them.

`make_pair` draws questions and answers that look like chat logs to a tokenizer (prose, lists, code,
markdown, sums, other scripts, broken words; a few to several thousand characters; some of several
turns) and mean nothing. `write_judgment` gives the full form of the `rubric` family for any pair. All
it says follows from the words that the question and the two answers begin with:

- the task is Reasoning if the question begins with one of `REASONING_STARTERS`, else Chat, whatever its case;
- the quotations are the first words of the answers;
- the answer whose first words come later in the alphabet wins, in nine judgments of ten.

So its verdicts say nothing about quality; they depend on the texts, turn with the order and are not
quite sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from rmr1.messages import Message, assistant, user
from rmr1.records import PreferencePair

_T = TypeVar("_T")


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REASONING_STARTERS = _split(
    "What How Why Calculate Compute Solve Find If Given Which Implement Fix Prove When Where Who Is"
)
CHAT_STARTERS = _split(
    "Can I Tell Write Please Give Could Explain Describe Help Do You My In The Hi Create Generate Hello Make "
    "Provide Summarize Translate Rewrite We As Let Are Should Act"
)
CRITERIA = (
    ("Clarity", "plain words in a clear order"),
    ("Safety", "no help with harm"),
    ("Accuracy", "facts that hold"),
    ("Tone", "friendly and calm"),
    ("Depth", "more than the surface"),
    ("Brevity", "no needless words"),
    ("Relevance", "an answer to this question"),
    ("Structure", "parts that follow each other"),
    ("Honesty", "limits are named"),
    ("Usefulness", "steps one can take"),
)
_WEIGHTS = ((60, 40), (70, 30), (50, 50), (55, 45), (65, 35), (80, 20), (40, 60))
_GRADES = ("clearer", "safer", "more exact", "kinder", "more complete", "closer to the point", "better built")
_OPENERS = (
    "I'm sorry, but I can't",
    "I cannot",
    "I apologize",
    "I",
    "Sure! Here",
    "Sure, here is",
    " Sure",
    " Here are",
    "Here",
    "As an AI language model",
    "The",
    "To",
    "There are",
    "This",
    "It",
    "Yes,",
    "No,",
    "Certainly!",
    "Based on",
    "**",
    "#",
    "##",
    "1.",
    "-",
    '"',
    "```python\n",
    " 1.",
    "\n\n",
    "Title:",
    "In",
    "A",
    "You",
    "While",
    "Dear",
    "Of course!",
    "Hello!",
    "Thank you",
)
_WORDS = _split(
    "the of and to a in that is was for it with as his on be at by had not are but from or have an they which one "
    "you were all her she there would their we him been has when who will no more if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over "
    "man me even most made after also did many before must through back years where much your way well down should "
    "because each just those people how too little state good very make world still own see men work long get here "
    "between both life being under never day same another know while last might us great old year off come since "
    "against go came right used take three himself few house use during without again place around however home "
    "small found thought went say part once general high upon school every does got united left number course war "
    "until always away something fact water though less public put thing almost hand enough far took head yet "
    "government system better set told nothing night end why called eyes find going look asked later knew point "
    "next program city business give group toward young days let room word present side social given order often "
    "national second possible rather per face among form important things looked early white case large big need "
    "four within felt children along saw best church ever least power development light thing seemed family want "
    "interest area mind country others done turned although open help problem result answer question example "
    "information provide include using different health data language support process model step following ensure "
    "understand create consider based specific content available user project team history research experience "
    "community service value change learning level code function return list string text file class type method "
    "input output test error line table key client server product company market price customer personal online "
    "report study effect energy food travel music story character book movie game weather money law legal safety "
    "illegal harmful privacy account email website article technology computer software design environment culture "
    "relationship training management quality increase reduce improve avoid remember recommend suggest explain "
    "describe sorry cannot assist request topic harm please thank hope feel free additional"
)
_SYLLABLES = _split(
    "ba co di fe gu ha in jo ka lo mi na or pe qui ra st ti un ve wa xi yo za ch sh th ing tion er ly ment al ous "
    "an el is ed ph gr pl tr br cl sp en em re con pro"
)
_OTHER_SCRIPTS = (
    "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长",
    "привет это не на что как для мир слово день ответ вопрос может быть хорошо",
    "日本語のテキストはこのように書かれていますよねカタカナ",
    "안녕하세요 질문에 대한 답변입니다",
    "مرحبا هذا سؤال عن الحياة",
    "señor más corazón über straße école naïve façade ångström çok güzel",
    "😀🎉🚀👍❤️🔥✨🙏📚💡",
    "“quoted” — it’s • → ≤ √2 × π ≈ 3… €5 ½ ©",
)


def make_pair(draw: Random) -> PreferencePair:
    """A random pair: answers of mostly 5 to 250 characters, one pair in fifteen of up to 4,000."""
    low, high = (250, 4000) if draw.random() < 1 / 15 else (5, 250)
    sizes = [int(low * (high / low) ** draw.random()) for _ in range(2)]
    prompt: list[Message] = [user(_make_question(draw))]
    if draw.random() < 0.15:
        for _ in range(draw.choice((1, 1, 2))):
            prompt += [assistant(_make_answer(draw, draw.randint(5, 160))), user(_make_question(draw))]
    first, second = (_make_answer(draw, size) for size in sizes)
    return PreferencePair(
        id="", prompt=tuple(prompt), response_a=(assistant(first),), response_b=(assistant(second),)
    )


def write_judgment(pair: PreferencePair, draw: Random) -> str:
    """The judgment of any pair in the form of the `rubric` family; `draw` varies the wording only."""
    question = pair.prompt[0].text
    answers = (pair.response_a[-1].text, pair.response_b[-1].text)
    opening = cut_quote(question)
    ranks = [_rank(answer) for answer in answers]
    is_reasoning = opening.split()[0].capitalize() in REASONING_STARTERS
    first, second = (cut_quote(answer) for answer in answers)
    winner = "A" if (first.lower() > second.lower()) == (draw.random() < 0.9) else "B"
    quotes = (f"<quote_A>{first}</quote_A>", f"<quote_B>{second}</quote_B>")
    grade = _pick(draw, _GRADES, ranks[0] if winner == "A" else ranks[1])
    lines = [f"<type>{'Reasoning' if is_reasoning else 'Chat'}</type>", ""]
    if is_reasoning:
        number = _pick(draw, range(10), _rank(question) + ranks[0])
        lines += ["<solution>", f'Asked: "{opening}"', f"So the result is {number}.", "</solution>"]
    else:
        start = _rank(question)
        one, two = (_pick(draw, CRITERIA, start + shift) for shift in (0, 3))
        if one == two:
            two = CRITERIA[(CRITERIA.index(one) + 1) % len(CRITERIA)]
        share, rest = _pick(draw, _WEIGHTS, ranks[1])
        lines += ["<rubric>", f"1. {one[0]} ({share}%): {one[1]}", f"2. {two[0]} ({rest}%): {two[1]}"]
        lines += [f'<justify>{one[0]} first for "{opening}"</justify>', "</rubric>"]
    lines += ["", "<eval>", f"A: {quotes[0]}", f"B: {quotes[1]}"]
    if draw.random() < 0.25:
        lines += [f"<summary_A>{'weak' if winner == 'B' else grade}</summary_A>"]
    lines += [f"Better: {winner}, it is {grade}.", "</eval>", "", f"<answer>[[{winner}]]</answer>"]
    return "\n".join(lines)


def cut_quote(text: str) -> str:
    """The first two words of a text's first line, at most 16 characters, without double quotes."""
    words = text.replace('"', "").strip().split("\n")[0].split()[:2]
    return " ".join(words)[:16].strip() or "nothing"


def _rank(text: str) -> int:
    """Place in the alphabet of the first character, 1 to 26; 0 for anything but a letter."""
    first = text.strip()[:1].lower()
    return ord(first) - ord("a") + 1 if "a" <= first <= "z" else 0


def _pick(draw: Random, choices: Sequence[_T], index: int) -> _T:
    """Mostly the choice that `index` asks for: greedy texts follow the pair, sampled ones vary."""
    return choices[index % len(choices)] if draw.random() < 0.75 else draw.choice(choices)


def _make_question(draw: Random) -> str:
    starters = REASONING_STARTERS if draw.random() < 0.5 else CHAT_STARTERS
    start = draw.choice(starters) if draw.random() < 0.8 else _make_word(draw).capitalize()
    if draw.random() < 0.1:
        start = start.lower()
    if start in REASONING_STARTERS or draw.random() < 0.9:
        question = f"{start} {_make_sentence(draw)[:-1].lower()}{draw.choice('?.? ')}".rstrip()
    else:
        question = _make_sentence(draw)
    if draw.random() < 0.25:
        question += draw.choice((" ", "\n\n")) + _make_answer(draw, draw.randint(5, 120))
    return question


def _make_answer(draw: Random, size: int) -> str:
    """About `size` characters; a fifth of all answers is cut off in the middle of a word."""
    blocks: list[str] = []
    if draw.random() < 0.35:
        blocks.append(f"{draw.choice(_OPENERS)} {_make_sentence(draw).lower()}")
    while sum(map(len, blocks)) < size:
        blocks.append(_make_block(draw))
        blocks.append(draw.choice((" ", " ", "\n", "\n\n")))
    text = "".join(blocks)
    return text[:size] if draw.random() < 0.2 else text.rstrip()


def _make_block(draw: Random) -> str:
    kind = draw.random()
    if kind < 0.6:
        return _make_sentence(draw)
    if kind < 0.7:
        mark = draw.choice(("- ", "* ", "{}. ", "{}) ", "**{}.** "))
        return "\n".join(mark.format(index) + _make_sentence(draw) for index in range(1, draw.randint(3, 5)))
    if kind < 0.78:
        name, value = (draw.choice(_WORDS) for _ in range(2))
        return f"```python\ndef {name}({value}):\n    return {value} {draw.choice('+-*')} {draw.randint(0, 99)}\n```"
    if kind < 0.85:
        left, right = draw.randint(0, 999), draw.randint(0, 99)
        return f"{left} + {right} = {left + right}"
    if kind < 0.9:
        return f"{draw.choice(('# ', '## ', '**', ''))}{_make_sentence(draw)[:-1].title()}{draw.choice((':', '**', ''))}"
    script = draw.choice(_OTHER_SCRIPTS)
    start = draw.randrange(len(script))
    if draw.random() < 0.15:
        return "".join(
            chr(draw.choice((draw.randint(0xA1, 0x24FF), draw.randint(0x3041, 0xD7A3)))) for _ in range(6)
        )
    return script[start : start + draw.randint(1, 20)]


def _make_sentence(draw: Random) -> str:
    words = [_make_word(draw) for _ in range(draw.randint(2, 12))]
    text = " ".join(word + ("," if draw.random() < 0.06 else "") for word in words)
    if draw.random() < 0.08:
        text = text.replace(words[-1], f'"{words[-1]}"').replace(words[0], f"{words[0]}'s")
    return text[:1].upper() + text[1:] + draw.choice("....!?:")


def _make_word(draw: Random) -> str:
    kind = draw.random()
    if kind < 0.68:
        return draw.choice(_WORDS)
    if kind < 0.92:
        return "".join(draw.choices(_SYLLABLES, k=draw.randint(1, 4)))
    if kind < 0.96:
        return str(draw.randint(0, 10 ** draw.randint(1, 4)))
    return draw.choice(_WORDS).capitalize() if kind < 0.99 else draw.choice(_WORDS).upper()
