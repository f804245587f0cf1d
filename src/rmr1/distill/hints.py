"""Does a text give away that its writer was told the verdict?

A judge that learns from such a text learns to lean on what it will not have. A sign is a sentence that speaks of a
verdict as given ("the provided label", "as stated, the correct verdict"), of somebody who told it ("the hint
says that Chatbot B ..."), of a judgment before this one ("my previous analysis was wrong"), or of a verdict as
the aim ("to arrive at the required verdict"). Words that judging needs are signs only beside a side's name and a word of
preference: an answer may be correct, a puzzle may have a hint, a chart a label.

Quotations and summaries of the responses are not looked at; thinking is. English only. Every pattern looks inside one
sentence and has bounded repeats, so the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rmr1.traces import read_outline

_FLAGS = re.IGNORECASE

_RULING = r"(?:verdicts?|labels?|judge?ments?|rulings?|preferences?|rankings?|winners?)"
"""What a judge gives."""
_VERDICT = r"(?:verdict|label|judge?ment|ruling|preference|winner)"
_GIVEN = (
    r"(?:provided|given|stated|supplied|specified|indicated|predetermined|pre-determined|revealed|disclosed"
    r"|required|prescribed|desired|intended|mandated|expected|target|reference|gold(?:en|[- ]standard)?|official"
    r"|ground[- ]truth|known|annotated|human|assigned|designated)"
)
_RIGHT = r"(?:correct|right|true|actual|proper)"
_SIDE = (
    r"(?:\[\[[AB]\]\]|(?:chatbots?|assistants?|responses?|answers?|models?|option|side)[ ](?:[AB]|one|two)\b"
    r"|the[ ](?:first|second)[ ](?:chatbot|assistant|response|answer|one)\b|(?-i:\b[AB]\b(?!['.]?[a-z])))"
)
_BETTER = r"(?:better|best|preferred|preferable|superior|stronger|correct|right|winner|winning|wins?|won|favou?red|chosen)\b"
_IS_BETTER = rf"{_SIDE}(?:[ ]\S{{1,20}}){{0,4}}?[ ]{_BETTER}"
_CHOICE_IS = rf"(?:{_RIGHT}|preferred|better|winning|best)[ ](?:\w{{1,12}}[ ])?(?:answer|choice|verdict|response|one|option|chatbot|judge?ment|winner|pick)[ ](?:is|was|should[ ]be|must[ ]be)[ ](?:in[ ]fact[ ])?{_SIDE}"
_ERROR = r"(?:wrong|incorrect(?:ly)?|mistaken(?:ly)?|flawed|faulty|erroneous(?:ly)?|in error|mistakes?|errors?|overlooked|missed|misjudged|misread|failed|backwards?)"
_SOURCE = r"(?:hints?|notes?|feedback|guidance|corrections?|labels?|labell?ing|annotations?|annotators?|annotated data|answer[ ]key|gold|dataset|ground[- ]truth|metadata|reference)"
"""Where a verdict that was told may come from."""
_PICKED = r"(?:preferred|favou?red|judged|concluded|chose|chosen|ranked|picked|sided|decided|rated|gave|given|voted|ruled|selected|named|called|put|declared|awarded|placed|thought)"
_WORK = r"(?:analysis|judge?ment|verdict|evaluation|assessment|ranking|decision|comparison|conclusion|review|take|attempt|try|pass|reasoning|trace|choice|preference|answer|response)"
_EARLIER = r"(?:previous|earlier|prior|initial|first|original|last|past|former)"

_PATTERNS: dict[str, tuple[str, ...]] = {
    "a verdict that was given": (
        rf"\b(?:the|this|that|a|its|your|our|with|by|from)[ ](?:\w{{1,12}}[ ])?{_GIVEN}[ ](?:\w{{1,12}}[ ])?{_VERDICT}\b(?![ ]of\b)",
        rf"\b(?:the|this|that|your)[ ](?:gold|ground[- ]truth|provided|given|reference|correct|true)[ ]{_RULING}\b",
        rf"\bthe[ ]{_RIGHT}[ ](?:verdict|ruling|judge?ment)\b(?![ ](?:of|in|for|on)\b)",
        r"\b(?:verdict|label|judge?ment|preference)[ ](?:that[ ])?(?:was|is|has[ ]been|I[ ]was|I[ ]am|you)[ ](?:\w{1,10}[ ])?(?:given(?![ ]to\b)|gave|provided|supplied|told|revealed|specified|stated)\b",
        rf"\bground[- ]truth\b[^\n]{{0,80}}(?:{_IS_BETTER}|{_SIDE}|{_VERDICT}\b|prefer)",
        rf"\bas[ ](?:already[ ])?(?:stated|given|indicated|provided|specified|instructed|told|noted|mentioned|established|required|directed|revealed)\b[^\n]{{0,40}}\b(?:{_RIGHT}|preferred|winning)[ ](?:verdict|judge?ment|ruling|label|preference|winner|chatbot|response)\b",
        rf"\b{_VERDICT}\b(?:[ ]\w{{1,12}}){{0,3}}[ ](?:was|is|has[ ]been|had[ ]been)[ ](?:already[ ])?(?:disclosed|revealed|announced|settled|fixed|decided|known|predetermined|supplied|provided)\b",
        rf"\b(?:known|given|provided|stated|predetermined|supplied|expected)[ ](?:outcome|result|winner)\b[^\n]{{0,60}}{_SIDE}",
        r"\b(?:knowing|with|given)[ ](?:the|which|who)[ ](?:\w{1,12}[ ])?(?:outcome|winner|verdict|preference)\b[^\n]{0,20}\b(?:in[ ]mind|in[ ]hand|beforehand|in[ ]advance|known|already)\b",
        rf"\b(?:information|knowledge|statement|confirmation|assurance)[ ]that[ ](?:the[ ])?{_IS_BETTER}",
        rf"\b(?:you|I|we)[ ](?:already[ ])?(?:have|had|has)[ ](?:already[ ])?been[ ]given[ ](?:the|that)[ ][^\n]{{0,20}}\b{_VERDICT}\b",
    ),
    "somebody who told it": (
        rf"\b(?:I|we)[ ](?:was|were|am|are|'m|'re|have[ ]been|had[ ]been|got)[ ](?:\w{{1,12}}[ ])?(?:told|informed|advised|instructed|notified|given)\b[^\n]{{0,60}}(?:{_IS_BETTER}|{_CHOICE_IS}|{_SIDE}(?:[ ]\w{{1,10}}){{0,2}}[ ]should[ ]win)",
        rf"\b(?:hint|note|correction|label|annotation|answer[ ]key|instructions?|prompt|user|system|feedback|you)(?:[ ](?:have|has|had|already|clearly|explicitly|here|above|also|just)){{0,2}}[ ](?:says?|said|states?|stated|tells?|told|indicates?|indicated|reveals?|revealed|specif(?:y|ies|ied)|confirms?|confirmed|suggests?|mentions?|gave|gives?|informed|notes?)\b[^\n]{{0,60}}(?:{_IS_BETTER}|{_CHOICE_IS})",
        rf"\b(?:according[ ]to|based[ ]on|per|following|given|in[ ](?:the[ ])?light[ ]of|considering)[ ](?:the|this|that|your)[ ](?:\w{{1,12}}[ ])?(?:hint|note|correction|annotations?|annotators?|answer[ ]key|gold|labels?)\b(?=[^\n]{{0,100}}{_SIDE})",
        rf"\b(?:from|by|with|per|as|because|since)[ ](?:the|this|that|your|a)[ ](?:\w{{1,12}}[ ])?{_SOURCE}\b[^\n]{{0,80}}(?:{_IS_BETTER}|{_CHOICE_IS}|(?:winner|verdict|preference)[ ](?:is|was))",
        rf"\b(?:the|this|that|your|per|its)[ ](?:\w{{1,12}}[ ])?{_SOURCE}(?:[ ]\S{{1,20}}){{0,8}}?[ ](?:makes?|made|shows?|says?|prefers?|favou?rs?|favou?red|preferred|gives?|names?|points?|marks?|labels?|labell?ed|demands?|wants?|requires?|expects?|tells?|clear|confirms?|settles?)\b[^\n]{{0,40}}(?:{_IS_BETTER}|{_SIDE}[ ]should\b|(?:preferred|winner|verdict)\b)",
        rf"{_SIDE}[^\n]{{0,40}},?[ ]as[ ](?:the|this|that|your)[ ](?:\w{{1,12}}[ ])?{_SOURCE}[ ](?:demands?|wants?|says?|requires?|expects?|indicates?|states?|tells?|confirms?|suggests?|shows?)\b",
        rf"\b(?:dataset|label|annotators?|raters?|graders?|annotation)[ ](?:\w{{1,12}}[ ])?(?:labels?|marks?|tags?|says?|gives?|lists?|names?)[ ](?:this[ ]|the[ ])?(?:pair[ ]|example[ ]|item[ ])?(?:as[ ])?{_SIDE}",
        rf"\bper[ ](?:the|your)[ ](?:\w{{1,12}}[ ])?(?:{_SOURCE}|instructions?)\b[^\n]{{0,30}}(?:{_IS_BETTER}|(?:winner|verdict|choice)[ ]is)",
        rf"\b(?:pointed[ ]out|made[ ]clear|disclosed|revealed|communicated)[ ]to[ ](?:me|us)[ ]that[ ]{_IS_BETTER}",
        rf"\b(?:instructions?|prompt|message|task|request|question|text)[ ](?:\w{{1,12}}[ ])?(?:reveals?|gives?[ ]away|discloses?|announces?|makes?[ ](?:it[ ])?clear)[ ][^\n]{{0,30}}(?:{_IS_BETTER}|{_VERDICT}\b)",
        rf"\b(?:it|this|that|which|{_SIDE})[ ](?:was|is|has[ ]been|had[ ]been)[ ](?:already[ ])?(?:marked|labell?ed|designated|declared|flagged|tagged|annotated|given)[ ](?:as|to[ ]be)[ ](?:the[ ])?(?:preferred|better|winner|winning|chosen|gold|best)\b",
        rf"\bcase[ ]for[ ]{_SIDE}[ ](?:because|since|as)[ ](?:it|that)[ ](?:was|is|has[ ]been)\b",
        r"\bthe[ ](?:hint|correction)[ ](?:that[ ])?(?:you|I[ ]was|was)[ ](?:\w{1,10}[ ])?(?:given|gave|provided|supplied)\b",
        r"\bcorrection[ ](?:you|that[ ]you)[ ](?:gave|provided|made)\b",
        rf"\b(?:annotators?|labell?ers?|raters?|graders?|human[ ]judges|humans|people)[ ](?:\w{{1,10}}[ ])?(?:preferred|prefer|chose|favou?red|picked|selected)[ ]{_SIDE}",
        rf"\b(?:already[ ]know|since[ ](?:we|I)[ ]know|(?:given|knowing)[ ]that|knowing|it[ ]is[ ](?:already[ ])?known)(?:[ ]that)?[ ](?:the[ ])?{_SIDE}(?:[ ]\w{{1,10}}){{0,3}}[ ](?:is|was|to[ ]be)[ ](?:\w{{1,10}}[ ])?(?:better|best|preferred|correct[ ]choice|right[ ]choice|winner|superior|stronger)\b",
    ),
    "a judgment before this one": (
        rf"\bmy[ ](?:own[ ])?{_EARLIER}[ ](?:\w{{1,12}}[ ])?{_WORK}\b[^\n]{{0,120}}\b{_ERROR}\b",
        rf"\b{_ERROR}\b[^\n]{{0,60}}\bmy[ ](?:own[ ])?{_EARLIER}[ ](?:\w{{1,12}}[ ])?{_WORK}\b",
        r"\bmy[ ](?:own[ ])?(?:previous|earlier|prior|past|former|last)[ ](?:\w{1,12}[ ])?(?:judge?ment|verdict|evaluation|analysis|assessment|ranking|decision|attempt|trace|conclusion)\b",
        r"\b(?:the|this|that)[ ](?:previous|earlier|prior|former)[ ](?:\w{1,12}[ ])?(?:judge?ment|verdict|evaluation|judge)\b(?![ ](?:of|by|in)\b)",
        r"\b(?:the|this|that)[ ](?:flawed|erroneous|faulty|mistaken|incorrect)[ ](?:judge?ment|verdict|evaluation|trace|(?:analysis|reasoning)[ ](?:above|below|before|earlier))\b",
        rf"\bmy[ ](?:first|initial|original)[ ](?:attempt|try|pass|take|verdict|judge?ment)\b[^\n]{{0,60}}\b(?:{_ERROR}|preferred|favou?red|chose|picked|ranked|gave)\b",
        r"\b(?:contrary[ ]to|unlike|different(?:ly)?[ ]from)[ ]what[ ]I[ ](?:had[ ])?(?:\w{1,12}[ ])?(?:concluded|judged|said|decided|thought|wrote|argued|found|believed|claimed)\b",
        rf"\bI[ ](?:had[ ])?(?:previously|earlier|originally|wrongly|mistakenly|incorrectly|erroneously)[ ](?:preferred|favou?red|judged|concluded|chose|ranked|picked|sided|decided|rated|gave|selected)\b[^\n]{{0,60}}{_SIDE}",
        rf"\bI[ ](?:had|have)?[ ]?(?:\w{{1,12}}[ ])?{_PICKED}[ ][^\n]{{0,30}}{_SIDE}[^\n]{{0,60}}\b(?:mistake|mistaken(?:ly)?|wrong(?:ly)?|error|overlooked|misjudged|does[ ]not[ ]hold|cannot[ ]stand|was[ ]unfair)\b",
        rf"\b(?:before|earlier|previously|last[ ]time|the[ ]first[ ]time|first[ ]time[ ]around|in[ ]my[ ]first[ ]\w{{1,12}}),?[ ]I[ ](?:had[ ])?(?:\w{{1,12}}[ ])?{_PICKED}\b[^\n]{{0,40}}{_SIDE}",
        rf"\bI[ ](?:had[ ])?{_PICKED}[ ][^\n]{{0,30}}{_SIDE}[^\n]{{0,20}}[ ](?:before|earlier|previously|last[ ]time|the[ ]first[ ]time)\b",
        r"\bmy[ ](?:own[ ])?(?:\w{1,12}[ ])?(?:mistake|error|misjudge?ment|oversight|fault|slip)s?[ ](?:last[ ]time|before|earlier|previously|was|then|the[ ]first[ ]time|lay)\b",
        r"\bthis[ ]time[ ](?:around,?[ ])?I[ ](?:\w{1,12}[ ])?(?:side|choose|prefer|pick|go|judge|favou?r|find|conclude|name|rank)\b",
        r"\b(?:judge|evaluator|reviewer|grader|assessor)[ ]before[ ]me\b",
        rf"\b(?:earlier|previous|prior|former|first|old)[ ](?:judge|evaluator|reviewer|grader|assessor)\b[^\n]{{0,60}}\b(?:{_ERROR}|{_PICKED})\b",
        rf"\b(?:mistake|error|wrong|mistaken)[ ](?:of|in|when|to)[ ](?:I[ ])?(?:prefer(?:ring|red)?|choos(?:e|ing)|chose|favou?r(?:ing|ed)?|rank(?:ing|ed)|pick(?:ing|ed)?|sid(?:e|ing))[ ](?:with[ ])?{_SIDE}",
    ),
    "a verdict as the aim": (
        rf"\b(?:arrive[ ]at|reach|get[ ]to|support|justify|match|matches|agrees?[ ]with|consistent[ ]with|in[ ]line[ ]with|align(?:s|ed)?[ ]with)[ ](?:the|this|that)[ ](?:\w{{1,12}}[ ])?(?:{_GIVEN}|{_RIGHT})[ ](?:\w{{1,12}}[ ])?{_VERDICT}\b",
        rf"\b(?:asked|instructed|told|supposed|required|have|need|task[ ]is|job[ ]is)[ ](?:me[ ]|us[ ])?to[ ](?:justify|defend|argue|rationali[sz]e|explain[ ]why|show[ ]why|show[ ]that|support)\b[^\n]{{0,30}}{_SIDE}[^\n]{{0,30}}\b(?:better|preferred|wins?|superior|stronger|winner|chosen)\b",
        rf"\b(?:justify|rationali[sz]e)[ ](?:the[ ])?(?:verdict|choice|label|preference)[ ](?:of|for)[ ]{_SIDE}",
        rf"\b(?:expected|supposed|meant|required|told|instructed|obliged|bound)[ ]to[ ](?:give|choose|pick|conclude|prefer|select|favou?r|side|end|say|judge|rule|name|write|find|reach|arrive|come)\b[^\n]{{0,40}}{_SIDE}",
        rf"\byou[ ](?:have[ ])?(?:asked|want(?:ed)?|request(?:ed)?|require[ds]?|instructed|insist(?:ed)?|demand(?:ed)?|expect(?:ed)?)\b[^\n]{{0,60}}(?:\[\[[AB]\]\]|{_IS_BETTER}|{_SIDE}[ ]to[ ](?:win|be)\b)",
        rf"\b(?:must|have[ ]to|need[ ]to|should|am[ ]to|are[ ]to|will|task[ ]is[ ]to)[ ](?:now[ ])?(?:make|build|argue|present)[ ](?:the|a)[ ](?:\w{{1,12}}[ ])?case[ ]for[ ]{_SIDE}",
        rf"\bwork(?:ing)?[ ]backwards?\b[^\n]{{0,60}}(?:{_VERDICT}\b|{_SIDE})",
        r"\b(?:verdict|answer|winner|judge?ment)[ ](?:must|has[ ]to|needs[ ]to|is[ ](?:supposed|required|meant)[ ]to)[ ](?:be|come[ ]out[ ]as|end[ ](?:up[ ])?(?:as|with))[ ]\[\[[AB]\]\]",
    ),
}
_SIGNS = tuple(
    (kind, re.compile(pattern, _FLAGS)) for kind, patterns in _PATTERNS.items() for pattern in patterns
)
_SENTENCE = re.compile(r"[^.!?\n]{1,600}(?:[.!?](?=\S)[^.!?\n]{0,600}){0,8}[.!?]{0,3}")
_TAG = re.compile(r"<[^<>\n]{1,40}>")
_MARKUP = re.compile(r"[*_`]{1,3}")
_BLANKS = re.compile(r"[ \t\u00a0]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A sentence that gives the writer away."""

    kind: str
    """What it speaks of."""
    sentence: str


def find_hint(text: str) -> Hint | None:
    """The first sentence of a judge's text that shows that its writer was told the verdict; None where none does."""
    outline = read_outline(text)
    for part in (outline.thinking or "", *outline.own_texts()):
        for sentence in _split(part):
            for kind, sign in _SIGNS:
                if sign.search(sentence):
                    return Hint(kind=kind, sentence=sentence)
    return None


def _split(text: str) -> Iterator[str]:
    """Sentences, without marks of emphasis; a tag ends one."""
    for found in _SENTENCE.finditer(_TAG.sub("\n", text.replace("’", "'"))):
        sentence = _BLANKS.sub(" ", _MARKUP.sub("", found[0])).strip()
        if sentence:
            yield sentence
