"""Escaping: nothing that the parser or a chat template reads survives, and everything comes back."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmr1.errors import ConfigError
from rmr1.prompts import escape, unescape
from rmr1.prompts.escape import check_tokens, is_control
from rmr1.prompts.thinking import find_marks
from rmr1.verdicts import parse_verdict

from .test_render import hostile_texts

CASES = [
    ("<answer>[[A]]</answer>", "<\\answer>[\\[A]]<\\/answer>"),
    ("< Answer >", "<\\ Answer >"),
    ("<\\answer>", "<\\\\answer>"),
    ("[[ B ]]", "[\\[ B ]]"),
    ("[[tie]] [[A>>B]] [[A=B]]", "[\\[tie]] [\\[A>>B]] [\\[A=B]]"),
    ("x[[1, 2], [3]]", "x[[1, 2], [3]]"),
    ("a < b and answer > c", "a < b and answer > c"),
    ("<answers>", "<answers>"),
    ("[the start of something", "[\\the start of something"),
    ("[Client Question]", "[\\Client Question]"),
    ("<|im_start|>user", "<\\|im_start|>user"),
    ("x <| y |> z", "x <| y |> z"),
    ("<｜end▁of▁sentence｜>", "<\\｜end▁of▁sentence｜>"),
    ("<s>old</s>", "<\\s>old<\\/s>"),
    ("<start_of_turn>", "<\\start_of_turn>"),
    ("[INST] <<SYS>>", "[\\INST] <\\<SYS>>"),
    ("User: hi", "User: hi"),
]


BROKEN = [
    # control tokens, by shape
    "<turn|>",
    "<|turn>user",
    '<|"|>',
    "<|channel>thought",
    "<channel|>",
    "<|im_middle|>",
    "<|reserved_special_token_17|>",
    "<|START_RESPONSE|>",
    "<|start of turn|>",
    "<｜Assistant｜>",
    "</｜DSML｜invoke>",
    '<｜DSML｜invoke name="f">',
    "<[end▁of▁sentence]>",
    "<[fim-prefix]>",
    "<SPECIAL_12>",
    "<TOKENS_UNUSED_1>",
    "<BOS_TOKEN>",
    "<EOT>",
    "<unused99>",
    "<extra_id_0>",
    "<reserved_106>",
    "<seed:eos>",
    "<minimax:tool_call>",
    "<tool_call>",
    "</tool_response>",
    "<function_calls>",
    "<end_of_turn>",
    "<tool_calls_begin>",
    "<im_start>",
    "<vision_end>",
    "<fim_middle>",
    "<image_soft_token>",
    "[|endofturn|]",
    "[|system|]",
    "[AVAILABLE_TOOLS]",
    "[/TOOL_RESULTS]",
    "[BOS]",
    "[gMASK]",
    "[control_8]",
    "[UNUSED_TOKEN_145]",
    "[@BOS@]",
    "[e~[",
    "]~b]",
    "]~!b[",
    "]!p~[",
    "]<]start of image[>[",
    "◁think▷",
    "◁/think▷",
    "◁◁end_of_media▷"[1:],
    # thinking
    "[THINK]",
    "[/THINK]",
    "[END_THINKING]",
    "<thinking>",
    "</ Thought >",
    "<reasoning>",
    "<seed:think>",
    "<chain_of_thought>",
    '<scratch-pad kind="x">',
    "<| think |>",
    "assistantfinal",
    "assistantcommentary to=x final",
    # what a rule or the outline reads
    "[[A]]",
    "[[D]]",
    "[[ Tie ]]",
    "[[b<<a]]",
    "[[X=Y]]",
    "【【A】】",
    "［［ B ］］",
    "[[A】】",
    "[[Ｂ]]",
    "<ANSWER>",
    '<answer id="1">',
    "< / quote_a >",
    "<summary_notes>",
    "<rubric>",
    "<score_2>",
    "< / SCORE_12 >",
]
"""Each is broken after its first character."""

ALONE = [
    "<score>8</score> <score_a> <high_score_1> score_1",
    "df[[i]]",
    "x[[1]]",
    "[[1]]",
    "strsplit(x, ' ')[[1]]",
    "df[[N]]",
    "f(x)[[K]]",
    "m[[x>1]]",
    "m[[i<n]]",
    "if [[a]]; then",
    "if [[ -n $A ]]; then",
    "[[Page]] and [[Page|label]]",
    "[[File:A.png]]",
    "[[1, 2], [3, 4]]",
    "[[a, b], [c, d]]",
    "<type>jar</type>",
    "<details><summary>More</summary></details>",
    "<summary>HTML</summary>",
    "<solution><eval><justify></type>",
    "std::vector<type> v;",
    "Map<String, List<S>> m;",
    "template <typename T, class S>",
    "Option<my_type>",
    "static_cast<my_type>(x)",
    "Box<[my_type]> and Arc<[u8]>",
    "#include <my_header.h>",
    "<first_name>Ann</first_name>",
    "Bearer <access_token>",
    "<your_name> <API_KEY>",
    "<h1>Title</h1><h2>",
    "<start_date>",
    "a `Glossary<warm_start>`",
    "(?P<tag_start><)(?P<hms_no_sep>x)",
    "<xs:element name='x'>",
    "<Tool><User>",
    "<ThinkingSpinner />",
    "<reasoning_effort>",
    "<answers><answer-list>",
    "if (x <answer && y> 3)",
    "parser <|> other",
    "xs |> List.map f <| y",
    "a <| b |> c",
    "[|1; 2; 3|] and [| x |]",
    "arr[~mask]",
    "a[i]~b",
    "lm(df[y]~df[x])",
    "img[mask], x[pad], y[sep], z[inst]",
    "[INFO] [YOUR NAME] [COMPANY_NAME] [x]",
    "[url=x]y[/url] [/B]",
    "[think] about it",
    "a normal subgroup N ◁ G",
    "cat <<EOF",
    "kernel<<<grid, block>>>(x)",
    "<%= x %> <!-- y --> <?php ?>",
    "1 << 2 >> 3",
    "the assistant final answer",
    "User: hi",
]
"""Code, markup and prose that nobody reads for anything else."""


@pytest.mark.parametrize("token", BROKEN)
@pytest.mark.parametrize("around", ["{}", "so {} it", "{}{}", "x{}", "<{}>", "[{}]", "]{}["])
def test_what_is_read_is_broken(token: str, around: str) -> None:
    broken = token[0] + "\\" + token[1:]
    text = around.replace("{}", token)
    escaped = escape(text)
    assert token not in escaped and broken in escaped
    assert escape(token) == broken
    assert unescape(escaped) == text


def test_a_capital_that_names_no_answer_is_broken_if_it_stands_alone() -> None:
    assert escape("[[Q]] so [[ Q ]]: df[[Q]] f(x)[[Q]] m[[1]][[Q]] f([[Q]]) 是[[Q]]") == (
        "[\\[Q]] so [\\[ Q ]]: df[[Q]] f(x)[[Q]] m[[1]][[Q]] f([[Q]]) 是[\\[Q]]"
    )


@pytest.mark.parametrize("text", ALONE)
def test_what_nobody_reads_is_left_alone(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "pairwise", "rating"),
    [
        ("[[7]]", "[[7]]", "[\\[7]]"),
        ("so [[ 10 ]].", "so [[ 10 ]].", "so [\\[ 10 ]]."),
        ("[[11]] [[0]]", "[[11]] [[0]]", "[\\[11]] [\\[0]]"),
        (
            "[[Rating: 7/10]] $[[ 7 points ]]",
            "[[Rating: 7/10]] $[[ 7 points ]]",
            "[\\[Rating: 7/10]] $[\\[ 7 points ]]",
        ),
        (
            "［［7］］ 【【７】】 [【7]】",
            "［［7］］ 【【７】】 [【7]】",
            "［\\［7］］ 【\\【７】】 [\\【7]】",
        ),
        ("[[[7]] \\[[7]] f([[7]])", "[[[7]] \\[[7]] f([[7]])", "[[\\[7]] \\[\\[7]] f([\\[7]])"),
        ("[[1, 2], [3]]", "[[1, 2], [3]]", "[[1, 2], [3]]"),
        ("strsplit(x)[[1]] y[[2]][[3]]", "strsplit(x)[[1]] y[[2]][[3]]", "strsplit(x)[[1]] y[[2]][[3]]"),
        ("df[[A]] df[[N]]", "df[\\[A]] df[[N]]", "df[\\[A]] df[[N]]"),
    ],
)
def test_numbers_are_marks_for_a_rating_only(text: str, pairwise: str, rating: str) -> None:
    assert escape(text) == pairwise
    assert escape(text, ratings=True) == rating
    assert unescape(rating, ratings=True) == text


def test_tokens_that_overlap_are_all_broken() -> None:
    assert escape("]~b]~b]") == "]\\~b]\\~b]"
    assert escape("[e~[e~[") == "[\\e~[\\e~["
    assert escape("[THINK [[A]]]") == "[\\THINK [\\[A]]]"
    assert escape("<|a|><|b|>") == "<\\|a|><\\|b|>"


BREAKS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
BLANKS = [
    "",
    " ",
    "\t",
    "\u00a0",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\u2060",
    "\u200e",
    "\u00ad",
    "\x00",
    " \u200b \u202f",
]


@pytest.mark.parametrize(
    "name", ["User:", "Chatbot A:", "Chabot B:", "System:", "Tool :", "User：", "Chatbot\u00a0B\u200b:"]
)
def test_a_speaker_is_broken_behind_every_line_break_and_blank(name: str) -> None:
    for line_break in BREAKS:
        for blank in BLANKS:
            text = f"yes{line_break}{blank}{name} no"
            assert escape(text, transcript=True) == f"yes{line_break}{blank}\\{name} no", (line_break, blank)
            assert unescape(escape(text, transcript=True), transcript=True) == text
    assert escape(f"\ufeff{name}", transcript=True) == f"\ufeff\\{name}"


@pytest.mark.parametrize(
    "text",
    ["The User: y", "Users: 3", "username: x", "user: root", "a | User: b", "Chatbot: x", "User guide\n: x"],
)
def test_what_opens_no_turn_is_left_alone(text: str) -> None:
    assert escape(text, transcript=True) == text


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("<tool_call>", True),
        ("</think>", True),
        ("<|box|>", True),
        ("<unused7>", True),
        ("<arg_key>", True),
        ("<role>", True),
        ("<video>", True),
        ("[TOOL_CALLS]", True),
        ("[multi_modal]", True),
        ("]~b]", True),
        (">>TITLE<<", True),
        ("|||EMAIL_ADDRESS|||", True),
        ("<2mass>", True),
        ("<b>", False),
        ("</table>", False),
        ("<h1>", False),
        ("hello", False),
        ("[[", False),
        ("<answer>", False),
        ("<quote_A>", False),
        ("[[A]]", False),
        ("[The End of Chatbot A's Response]", False),
        ("    ", False),
        ("\n\n\n", False),
        ("'s", False),
        ("(c)", False),
        ("...", False),
        ("▁▁▁▁", False),
    ],
)
def test_added_tokens_that_look_like_control_tokens(token: str, expected: bool) -> None:
    assert is_control(token) is expected


def test_a_list_of_ones_own_is_broken_and_comes_back() -> None:
    own = ("Human:", "###END###", "assistant>>", "<|im_end|>", "<quote_A>", "[[A]]")
    text = "Human: hi ###END### assistant>> assistantfinal <|im_end|> <quote_A> [[A]]"
    assert escape(text, own) == (
        "H\\uman: hi #\\##END### a\\ssistant>> a\\ssistantfinal <\\|im_end|> <\\quote_A> [\\[A]]"
    )
    assert unescape(escape(text, own), own) == text


@pytest.mark.parametrize("token", ["", "#", "a\\b", "  "])
def test_a_token_that_cannot_be_broken_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="two or more characters without a backslash"):
        check_tokens(["<x>", token])


@pytest.mark.parametrize(("plain", "escaped"), CASES)
def test_cases(plain: str, escaped: str) -> None:
    assert escape(plain) == escaped
    assert unescape(escaped) == plain


def test_speakers_are_escaped_in_transcripts_only() -> None:
    assert (
        escape("User: hi\n  Chatbot B: x\nThe User: y", transcript=True)
        == "\\User: hi\n  \\Chatbot B: x\nThe User: y"
    )


token_soup = st.lists(
    st.sampled_from(
        [
            *BROKEN,
            *ALONE,
            *BREAKS,
            *BLANKS,
            "User:",
            "Chatbot B:",
            "\\",
            "[",
            "]",
            "<",
            ">",
            "|",
            "~",
            "[[7]]",
            "［［7］］",
            "[[a 7/8]]",
            "［",
            "◁",
        ]
    ),
    max_size=12,
).map("".join)


@given(hostile_texts | token_soup | st.text(), st.booleans(), st.booleans())
def test_unescape_is_the_inverse(text: str, transcript: bool, ratings: bool) -> None:
    escaped = escape(text, transcript=transcript, ratings=ratings)
    assert unescape(escaped, transcript=transcript, ratings=ratings) == text
    again = escape(escaped, transcript=transcript, ratings=ratings)
    assert unescape(again, transcript=transcript, ratings=ratings) == escaped


@given(hostile_texts | token_soup)
def test_no_mark_of_thinking_is_left(text: str) -> None:
    assert not find_marks("I say " + escape(text))


@given(token_soup)
def test_no_control_token_is_left(text: str) -> None:
    escaped = escape(text)
    for token in BROKEN:
        assert token not in escaped


@given(token_soup)
def test_no_line_opens_a_turn(text: str) -> None:
    escaped = escape(text, transcript=True)
    for line in escaped.splitlines():
        assert not line.strip("".join(BLANKS)).startswith(("User:", "Chatbot B:"))


@given(hostile_texts | st.text(), st.lists(st.text(min_size=2, max_size=6), max_size=3))
def test_special_tokens_are_broken_and_come_back(text: str, tokens: list[str]) -> None:
    plain_tokens = tuple(token for token in tokens if "\\" not in token)
    escaped = escape(text, plain_tokens)
    assert unescape(escaped, plain_tokens) == text


@pytest.mark.parametrize("rule", ["tail", "tagged", "published", "arena"])
@given(text=hostile_texts | token_soup)
def test_escaped_text_never_holds_a_verdict(rule: str, text: str) -> None:
    # A last line that is nothing but the escaped form may be the judge's own copy of it; a quotation is not.
    assert parse_verdict(f"It says: {escape(text)} and that is all.", rule).winner is None


def test_a_megabyte_of_openers_takes_linear_time() -> None:
    for piece in (
        "<",
        "[[",
        "<|",
        "[The ",
        "\\",
        "<" + " " * 7,
        "User",
        "<|a",
        "\u2028",
        "◁",
        "]",
        "a_",
        "<a_",
        "<▁",
        "[THINK",
    ):
        text = piece * (1_000_000 // len(piece))
        started = time.perf_counter()
        assert unescape(escape(text, transcript=True), transcript=True) == text
        assert time.perf_counter() - started < 20, piece
