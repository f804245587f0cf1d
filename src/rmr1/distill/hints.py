"""Does a text give away that its writer was told the verdict?

A judge that learns from such a text learns to lean on what it will not have. Words that judging needs are signs only beside
a side's name and a word of preference: an answer may be correct, a puzzle may have a hint, a chart a label. Quotations and
summaries of the responses are not looked at; thinking is. English only. Every pattern looks inside one sentence and has
bounded repeats, so the time is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rmr1.verdicts.trace import read_outline

_WORDS = r"""
W \w{1,12}[ ]
THE the|this|that|your
OLD previous|earlier|prior|former
JUDGE judge|evaluator|reviewer|grader|assessor
CLAIM answer|verdict|winner|judge?ment|choice|label|outcome
WAS was|is|has been|had been
VERDICT verdict|label|judge?ment|ruling|preference|winner
GIVEN provided|given|stated|supplied|specified|indicated|predetermined|pre-determined|revealed|disclosed|required|prescribed|desired|intended|mandated|expected|target|reference|gold(en|[- ]standard)?|official|ground[- ]truth|known|annotated|human|assigned|designated
RIGHT correct|right|true|actual|proper
SIDE \[\[[AB]\]\]|(chatbots?|assistants?|responses?|answers?|models?|option|side) ([AB]|one|two)\b|the (first|second) (chatbot|assistant|response|answer|one)\b|(?-i:\b[AB]\b(?!['.]?[a-z]))
BETTER (better|best|preferred|preferable|superior|stronger|correct|right|winner|winning|wins?|won|favou?red|chosen)\b
IS_BETTER {SIDE}( \S{1,20}){0,4}? {BETTER}
CHOICE_IS ({RIGHT}|preferred|better|winning|best) {W}?(answer|choice|verdict|response|one|option|chatbot|judge?ment|winner|pick) (is|was|should be|must be) (in fact )?{SIDE}
ERROR wrong|incorrect(ly)?|mistaken(ly)?|flawed|faulty|erroneous(ly)?|in error|mistakes?|errors?|overlooked|missed|misjudged|misread|failed|backwards?
SOURCE hints?|notes?|feedback|guidance|corrections?|labels?|labell?ing|annotations?|annotators?|annotated data|answer key|gold|dataset|ground[- ]truth|metadata|reference
PICKED preferred|favou?red|judged|concluded|chose|chosen|ranked|picked|sided|decided|rated|gave|given|voted|ruled|selected|named|called|put|declared|awarded|placed|thought
WORK analysis|judge?ment|verdict|evaluation|assessment|ranking|decision|comparison|conclusion|review|take|attempt|try|pass|reasoning|trace|choice|preference|answer|response
NAMED \[\[[AB]\]\]|(chatbot|assistant|response) [AB]\b
HANDED handed|shown|given|told|supplied|provided|disclosed|revealed|communicated|passed|fed|announced
EARLIER previous|earlier|prior|initial|first|original|last|past|former
"""
"""Names of regular expressions. SOURCE is what a verdict that was told may come from, NAMED a side that is no option of a
question with letters."""

_SIGNS = r"""
a verdict that was given
    \b(the|this|that|a|its|your|our|with|by|from) {W}?{GIVEN} {W}?{VERDICT}\b(?! of\b)
    \b{THE} (gold|ground[- ]truth|provided|given|reference|correct|true) (verdicts?|labels?|judge?ments?|rulings?|preferences?|rankings?|winners?)\b
    \bthe {RIGHT} (verdict|ruling|judge?ment)\b(?! (of|in|for|on)\b)
    \b(verdict|label|judge?ment|preference) (that )?(was|is|has been|I was|I am|you) (\w{1,10} )?(given(?! to\b)|gave|provided|supplied|told|revealed|specified|stated)\b
    \bground[- ]truth\b.{0,80}({IS_BETTER}|{SIDE}|{VERDICT}\b|prefer)
    \bas (already )?(stated|given|indicated|provided|specified|instructed|told|noted|mentioned|established|required|directed|revealed)\b.{0,40}\b({RIGHT}|preferred|winning) (verdict|judge?ment|ruling|label|preference|winner|chatbot|response)\b
    \b{VERDICT}\b( \w{1,12}){0,3} {WAS} (already )?(disclosed|revealed|announced|settled|fixed|decided|known|predetermined|supplied|provided)\b
    \b(known|given|provided|stated|predetermined|supplied|expected) (outcome|result|winner)\b.{0,60}{SIDE}
    \b(knowing|with|given) (the|which|who) {W}?(outcome|winner|verdict|preference)\b.{0,20}\b(in mind|in hand|beforehand|in advance|known|already)\b
    \b(information|knowledge|statement|confirmation|assurance) that (the )?{IS_BETTER}
    \b(you|I|we) (already )?(have|had|has) (already )?been given (the|that) .{0,20}\b{VERDICT}\b
    ^\W{0,3}(\w{1,10}, )?(given|since|because|as|knowing|considering|assuming|granted|seeing) (that )?(the )?({RIGHT}|final|preferred|winning|better|gold|target) {W}?(answer|verdict|judge?ment|choice|label|ruling|decision|outcome|response|one|winner) (is|was|being|must be|should be|has to be) ({NAMED}|{SIDE} ?(,|$))
    \b(verdict|outcome|winner|result|conclusion|judge?ment|ruling|preference|decision) (here )?(must|has to|needs to|ought to|is (supposed|required|meant|known|said|stated|given) to) (be|go to|favou?r|come out (as|for)|end (up )?(as|with|at)) {SIDE}
    {SIDE}( \w{1,10})? (is|was|has been) (already )?(supposed|meant|known|said|stated|declared|assumed|expected|taken|given|required) (to be|as) (the )?(\w{1,10} )?(better|best|preferred|winner|winning|right|chosen|stronger|superior|favou?red)\b
    \b(already|now) (that )?(I|we) (already )?(know|have been told|have seen|have learnt|have learned) .{0,40}({SIDE} (\w{1,10} )?(wins?|won|be|is|was)\b|\b(verdict|winner|label)\b)
    \b(I|we)('ve| have| had| was| were) (already )?(been )?(seen|known|learnt|learned|{HANDED}) (with )?(that )?(the|which|who|what) {W}{0,2}(verdict|winner|label|ruling|preferred (one|side|chatbot|response|answer)|(better|right|correct) (one|side|chatbot|response))\b
    \b(having|after) (already )?(been )?(seen|seeing|known|knowing|learnt|learned|learning|{HANDED}|being {HANDED}) (that )?(the|which|who) {W}{0,2}(verdict|winner|label|ruling|outcome|preference)\b
    \b(verdict|label|winner|outcome|ruling|judge?ment|preference) (that )?(I )?(was|is|has been|had been|am|were) {W}?{HANDED} (to (me|us)|in advance|beforehand|above|below|at the (end|start|beginning|top))
    \b(right|correct|proper) (call|choice|verdict|pick|decision|judge?ment|winner) (was|would have been|should have been|ought to have been) {SIDE}
    \bwhy (would|might|could|should|did|was|is|were) (the )?{SIDE}( \w{1,10})? (be |have been |considered |judged |seen as |labell?ed |marked ){0,3}(as )?(the )?(preferred|chosen|favou?red|winner|winning)\b
somebody who told it
    \b(I|we) (was|were|am|are|'m|'re|have been|had been|got) {W}?(told|informed|advised|instructed|notified|given)\b.{0,60}({IS_BETTER}|{CHOICE_IS}|{SIDE}( \w{1,10}){0,2} should win)
    \b(hint|note|correction|label|annotation|answer key|instructions?|prompt|user|system|feedback|you)( (have|has|had|already|clearly|explicitly|here|above|also|just)){0,2} (says?|said|states?|stated|tells?|told|indicates?|indicated|reveals?|revealed|specif(y|ies|ied)|confirms?|confirmed|suggests?|mentions?|gave|gives?|informed|notes?)\b.{0,60}({IS_BETTER}|{CHOICE_IS})
    \b(according to|based on|per|following|given|in (the )?light of|considering) {THE} {W}?(hint|note|correction|annotations?|annotators?|answer key|gold|labels?)\b(?=.{0,100}{SIDE})
    \b(from|by|with|per|as|because|since) (the|this|that|your|a) {W}?{SOURCE}\b.{0,80}({IS_BETTER}|{CHOICE_IS}|(winner|verdict|preference) (is|was))
    \b(the|this|that|your|per|its) {W}?{SOURCE}( \S{1,20}){0,8}? (makes?|made|shows?|says?|prefers?|favou?rs?|favou?red|preferred|gives?|names?|points?|marks?|labels?|labell?ed|demands?|wants?|requires?|expects?|tells?|clear|confirms?|settles?)\b.{0,40}({IS_BETTER}|{SIDE} should\b|(preferred|winner|verdict)\b)
    {SIDE}.{0,40},? as {THE} {W}?{SOURCE} (demands?|wants?|says?|requires?|expects?|indicates?|states?|tells?|confirms?|suggests?|shows?)\b
    \b(dataset|label|annotators?|raters?|graders?|annotation) {W}?(labels?|marks?|tags?|says?|gives?|lists?|names?) (this |the )?(pair |example |item )?(as )?{SIDE}
    \bper (the|your) {W}?({SOURCE}|instructions?)\b.{0,30}({IS_BETTER}|(winner|verdict|choice) is)
    \b(pointed out|made clear|disclosed|revealed|communicated) to (me|us) that {IS_BETTER}
    \b(instructions?|prompt|message|task|request|question|text) {W}?(reveals?|gives? away|discloses?|announces?|makes? (it )?clear) .{0,30}({IS_BETTER}|{VERDICT}\b)
    \b(it|this|that|which|{SIDE}) {WAS} (already )?(marked|labell?ed|designated|declared|flagged|tagged|annotated|given) (as|to be) (the )?(preferred|better|winner|winning|chosen|gold|best)\b
    \bcase for {SIDE} (because|since|as) (it|that) (was|is|has been)\b
    \bthe (hint|correction) (that )?(you|I was|was) (\w{1,10} )?(given|gave|provided|supplied)\b
    \bcorrection (you|that you) (gave|provided|made)\b
    \b(annotators?|labell?ers?|raters?|graders?|human judges|humans|people) (\w{1,10} )?(preferred|prefer|chose|favou?red|picked|selected) {SIDE}
    \b(already know|since (we|I) know|(given|knowing) that|knowing|it is (already )?known)( that)? (the )?{SIDE}( \w{1,10}){0,3} (is|was|to be) (\w{1,10} )?(better|best|preferred|correct choice|right choice|winner|superior|stronger)\b
    \b{THE} {W}?(hint|note|correction|label|annotation|answer key|gold)( (\w{1,10} ){0,5}?| )(says?|said|states?|stated|tells?|told|warns?|warned|indicates?|indicated|reveals?|explains?|explained|claims?|notes?|points?|pointed|insists?|confirms?|shows?|makes? clear) .{0,60}\b(winner|verdict|judge?ment|preferred|mistaken|label|(this|it|that) (was|is) (wrong|incorrect|mistaken|right|correct))\b
    \b{THE} (hint|note|correction|label|annotation)( \w{1,10}){0,2} (tells|told|informs|informed|reminds|reminded|gives|gave|instructs|instructed) (me|us)\b
    \b(the|this|that|its|your) {W}?(label|annotation|answer key|gold answer|ground[- ]truth)( (here|already|clearly|though|however))? (prefers?|preferred|favou?rs?|favou?red|picks?|picked|chooses?|chose|goes to|goes for|went to|points? to|names?|named|gives?|gave|is|was|says|has) (in favou?r of )?({SIDE}|\[\[)
    \b(following|adopting|accepting|trusting|taking) {THE} (provided|given|supplied|stated|specified|indicated|prescribed) (answer|verdict|label|choice|preference|result|outcome)\b.{0,60}{SIDE}
    \b(I|we|you)('ve| have| was| were| am| are)? (been )?(told|informed|advised|instructed) (me |us )?(that )?(the|my|our) {W}?{CLAIM} (is|was|should be|must be|has to be|would be) {SIDE}
    \b(user|prompt|note|hint|message|system|instructions?|task) (has |have |had )?(already )?(told|tells?|informed|informs?) (me|us) .{0,40}\b{CLAIM} (is|was|should be|must be|has to be) {SIDE}
    \b(annotators?|labell?ers?|raters?|graders?|crowd ?workers?) (probably |may have |might have |must have |seem to (have )?|likely |evidently |apparently )?(dis)?(preferred|prefer|liked?|favou?red|favou?r|chose|choose|picked|valued?|wanted|penali[sz]ed?|rewarded)\b
    \b(instructions?|prompt|note|task|message|user|request) (.{0,50} )?(says?|asks?|asked|tells?|told|wants?|requires?|required|demands?|directs?|instructs?|instructed) (me |us )?(to )?(conclude|end|finish|decide|rule|side|settle|vote|close|argue|land) (\w{1,10} ){0,2}?(with|on|for|at|in favou?r of) ({NAMED}|{SIDE}$)
a judgment before this one
    \bmy (own )?{EARLIER} {W}?{WORK}\b.{0,120}\b{ERROR}\b
    \b{ERROR}\b.{0,60}\bmy (own )?{EARLIER} {W}?{WORK}\b
    \bmy (own )?(previous|earlier|prior|past|former|last) {W}?(judge?ment|verdict|evaluation|analysis|assessment|ranking|decision|attempt|trace|conclusion)\b
    \b(the|this|that) {OLD} {W}?(judge?ment|verdict|evaluation|judge)\b(?! (of|by|in)\b)
    \b(the|this|that) (flawed|erroneous|faulty|mistaken|incorrect) (judge?ment|verdict|evaluation|trace|(analysis|reasoning) (above|below|before|earlier))\b
    \bmy (first|initial|original) (attempt|try|pass|take|verdict|judge?ment)\b.{0,60}\b({ERROR}|preferred|favou?red|chose|picked|ranked|gave)\b
    \b(contrary to|unlike|different(ly)? from) what I (had )?{W}?(concluded|judged|said|decided|thought|wrote|argued|found|believed|claimed)\b
    \bI (had )?(previously|earlier|originally|wrongly|mistakenly|incorrectly|erroneously) (preferred|favou?red|judged|concluded|chose|ranked|picked|sided|decided|rated|gave|selected)\b.{0,60}{SIDE}
    \bI (had|have)? ?{W}?{PICKED} .{0,30}{SIDE}.{0,60}\b(mistake|mistaken(ly)?|wrong(ly)?|error|overlooked|misjudged|does not hold|cannot stand|was unfair)\b
    \b(before|earlier|previously|last time|the first time|first time around|in my first \w{1,12}),? I (had )?{W}?{PICKED}\b.{0,40}{SIDE}
    \bI (had )?{PICKED} .{0,30}{SIDE}.{0,20} (before|earlier|previously|last time|the first time)\b
    \bmy (own )?{W}?(mistake|error|misjudge?ment|oversight|fault|slip)s? (last time|before|earlier|previously|was|then|the first time|lay)\b
    \bthis time (around,? )?I {W}?(side|choose|prefer|pick|go|judge|favou?r|find|conclude|name|rank)\b
    \b{JUDGE} before me\b
    \b(earlier|previous|prior|former|first|old) {JUDGE}\b.{0,60}\b({ERROR}|{PICKED})\b
    \b(mistake|error|wrong|mistaken) (of|in|when|to) (I )?(prefer(ring|red)?|choos(e|ing)|chose|favou?r(ing|ed)?|rank(ing|ed)|pick(ing|ed)?|sid(e|ing)) (with )?{SIDE}
    \b(the|this|that|an?) {OLD} {W}?(assessment|trace|reasoning|critique|decision|ranking|grading|rating)\b(?! (of|by|in|from|that (chatbot|assistant|response)|step)\b)
    \bmy (own )?(revised|corrected|updated|changed|amended|reversed|new) (judge?ment|verdict|evaluation|assessment|ranking|decision|preference|conclusion)\b
    \b(revis|chang|correct|revers|overturn|amend|reconsider|withdraw)\w{0,6} (my|the (earlier|previous|prior|first|initial|original)) {W}?(judge?ment|verdict|ruling|preference)\b
    \b(the|this|that) (judge?ment|verdict|evaluation|trace|ruling|critique) (that was |which was |I was )?(shown|quoted|reproduced|presented|supplied|provided|included|given) (above|below|here|to me|to us|before|earlier|at the end)\b
    \bmy (own )?(initial|first|original) (verdict|judge?ment|ruling|preference) (was|had been|went|fell|gave|treated|ignored|relied|rested)\b
    \b(where|why|how) (I|the (previous|earlier|prior|first|initial|original) \w{1,12}) (went (wrong|astray)|erred|failed|was (wrong|mistaken))\b
    \b(it|that|this|which|I) (was|were|had been|have been) (wrongly|mistakenly|incorrectly|unfairly|originally|initially|previously) {PICKED}\b
    \bas (was |I )?(previously|originally|initially|wrongly|mistakenly) (was )?{PICKED}\b
a verdict as the aim
    \b(arrive at|reach|get to|support|justify|match|matches|agrees? with|consistent with|in line with|align(s|ed)? with) (the|this|that) {W}?({GIVEN}|{RIGHT}) {W}?{VERDICT}\b
    \b(asked|instructed|told|supposed|required|have|need|task is|job is) (me |us )?to (justify|defend|argue|rationali[sz]e|explain why|show why|show that|support)\b.{0,30}{SIDE}.{0,30}\b(better|preferred|wins?|superior|stronger|winner|chosen)\b
    \b(justify|rationali[sz]e) (the )?(verdict|choice|label|preference) (of|for) {SIDE}
    \b(expected|supposed|meant|required|told|instructed|obliged|bound) to (give|choose|pick|conclude|prefer|select|favou?r|side|end|say|judge|rule|name|write|find|reach|arrive|come)\b.{0,40}{SIDE}
    \byou (have )?(asked|want(ed)?|request(ed)?|require[ds]?|instructed|insist(ed)?|demand(ed)?|expect(ed)?)\b.{0,60}(\[\[[AB]\]\]|{IS_BETTER}|{SIDE} to (win|be)\b)
    \b(must|have to|need to|should|am to|are to|will|task is to) (now )?(make|build|argue|present) (the|a) {W}?case for {SIDE}
    \bwork(ing)? backwards?\b.{0,60}({VERDICT}\b|{SIDE})
    \b(verdict|answer|winner|judge?ment) (must|has to|needs to|is (supposed|required|meant) to) (be|come out as|end (up )?(as|with)) \[\[[AB]\]\]
    \b(justify|defend|explain|support|argue for|back up|rationali[sz]e) (the|this|that|a|my) {W}?(verdict|ruling|judge?ment|label|outcome|preference|choice) (of |for |that |in favou?r of )?({NAMED}|{SIDE}$)
    \b(I|we) (have|need|are|am|must|ought) (to )?(end up|arrive|land|come out|come down|finish up) (\w{1,10} )?(at|with|on|for) {SIDE}
    \b(without|not|never|avoid|don't|refrain from) (to )?(ever |explicitly |directly )?(mention(ing)?|refer(ring)? to|reveal(ing)?|cit(e|ing)|allud(e|ing) to|giv(e|ing) away|let(ting)? on|disclos(e|ing)|say(ing)?) (that )?(the|this|any|I|we|my|about the) {W}?(note|hint|label|verdict|correction|was told|were told|had been told|know the|knew the|earlier judge?ment|previous judge?ment)\b
    \b(as if|as though|pretend(ing)?( that)?|like one who|as (some)?one who) (I |we )?(had|have|was|were|did|do|does|know|knew)? ?(not|never|n't|nothing) (been )?(told|know|known|given|shown|seen|informed)\b
"""
"""What a sentence speaks of, and the regular expressions that show it; every group is one that captures nothing."""


def _compile(words: str, signs: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """(kind, pattern) of each sign, with the names filled in."""
    known: dict[str, str] = {}

    def expand(pattern: str) -> str:
        plain = re.sub(r"\((?!\?)", "(?:", pattern)
        return re.sub(r"\{([A-Z_]+)\}", lambda name: f"(?:{known[name[1]]})", plain)

    for line in words.strip().split("\n"):
        name, _, pattern = line.partition(" ")
        known[name] = expand(pattern)
    kind = ""
    for line in signs.strip().split("\n"):
        if line.startswith(" "):
            yield kind, re.compile(expand(line.strip()), re.IGNORECASE)
        else:
            kind = line


_PATTERNS = tuple(_compile(_WORDS, _SIGNS))
_SENTENCE = re.compile(r"[^.!?\n]{1,600}(?:[.!?](?=\S)[^.!?\n]{0,600}){0,8}[.!?]{0,3}")
_TAG = re.compile(r"<[^<>\n]{1,40}>")
_MARKUP = re.compile(r"[*_`]{1,3}")
_BLANKS = re.compile(r"[ \t\u00a0]{1,100}")


class Hint(NamedTuple):
    """A sentence that gives the writer away."""

    kind: str
    """What it speaks of."""
    sentence: str


def find_hint(text: str) -> Hint | None:
    """The first sentence of a judge's text that shows that its writer was told the verdict; None where none does."""
    outline = read_outline(text)
    for part in (outline.thinking or "", *outline.own_texts()):
        for sentence in _split(part):
            for kind, pattern in _PATTERNS:
                if pattern.search(sentence):
                    return Hint(kind=kind, sentence=sentence)
    return None


def _split(text: str) -> Iterator[str]:
    """Sentences, without marks of emphasis; a tag ends one."""
    for found in _SENTENCE.finditer(_TAG.sub("\n", text.replace("’", "'"))):
        sentence = _BLANKS.sub(" ", _MARKUP.sub("", found[0])).strip()
        if sentence:
            yield sentence
