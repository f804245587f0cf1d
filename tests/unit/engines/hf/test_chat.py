"""Chat templates: which form they are fed in, what is lost, what they write of the time, and what ends a turn."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, normalizers

from rmr1.engines.base import Request, SamplingParams, ScoreRequest
from rmr1.engines.hf.chat import Chat, find_lost
from rmr1.engines.hf.reader import Prepared, RequestReader, Unreadable
from rmr1.engines.hf.scorer import ConversationReader
from rmr1.engines.hf.tokens import encode_text
from rmr1.errors import CheckpointError, GenerationError, RunError
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.records import JudgePrompt
from tests.chat_templates import JOINED, MERGED, REFUSED, STYLES, Style, build_styled
from tests.tiny_models import BEGIN, END, build_tokenizer

NOW = "2024-07-05T08:09:10"
ASKED = (Message(role="system", content="S!"), user("Q!"))
LONG = "It has\n\n  \"signs\" & 'marks' <b>{{ m }}</b>, [[A]], \\n and äöü. " * 40


def tool(text: str) -> Message:
    return Message(role="tool", content=text)


@pytest.mark.parametrize("name", STYLES)
def test_a_question_with_system_text(name: str) -> None:
    style = STYLES[name]
    chat = Chat(build_styled(style))
    chat.begin_run({"template_time": NOW})
    assert chat.render(ASKED) == style.asked
    assert chat.describe() == {**style.judging, **({"template_time": NOW} if style.is_dated else {})}


@pytest.mark.parametrize("name", STYLES)
def test_no_text_is_lost(name: str) -> None:
    system, asked = Message(role="system", content=f"System. {LONG}"), user(f"Question. {LONG}")
    text = Chat(build_styled(STYLES[name])).render((system, asked))
    assert system.text.strip() in text and asked.text.strip() in text
    assert asked.text.strip() in Chat(build_styled(STYLES[name])).render((asked,))


@pytest.mark.parametrize("name", sorted(STYLES.keys() - {"last_turn_only"}))
def test_a_conversation_to_be_scored(name: str) -> None:
    style = STYLES[name]
    chat = Chat(build_styled(style), purpose="scoring")
    chat.begin_run({"template_time": NOW})
    assert chat.describe() == {**style.scoring, **({"template_time": NOW} if style.is_dated else {})}
    talk = (*ASKED, assistant("An answer."), user("More?"), user("Yes, more."), assistant("More of it."))
    text = chat.render(talk, add_generation_prompt=False)
    places = [text.index(message.text) for message in talk[1:]]
    assert places == sorted(places) and "S!" in text


@pytest.mark.parametrize("name", STYLES)
def test_the_token_that_ends_a_turn(name: str) -> None:
    style = STYLES[name]
    tokenizer = build_styled(style)
    wanted = None if style.end is None else tokenizer.convert_tokens_to_ids(style.end)
    assert Chat(tokenizer).end_token == wanted
    if name != "last_turn_only":
        assert Chat(tokenizer, purpose="scoring").end_token == wanted
        assert Chat(tokenizer, purpose="training").end_token == wanted


@pytest.mark.parametrize("name", STYLES)
def test_what_is_trained_on_is_what_is_asked(name: str) -> None:
    trained = Chat(build_styled(STYLES[name]), purpose="training")
    trained.begin_run({"template_time": NOW})
    assert trained.render(ASKED) == STYLES[name].asked


def test_a_form_that_does_more_does_not_change_what_is_asked() -> None:
    # In parts it takes several turns, but writes a question in another way.
    tokenizer = build_styled(
        "{% if messages | length > 2 and messages[0]['content'] is string %}{{ raise_exception('parts!') }}{% endif %}"
        "{% for m in messages %}{{ m['role'] }}: {% if m['content'] is string %}{{ m['content'] }}{% else %}"
        "- {{ m['content'][0]['text'] }}{% endif %} | {% endfor %}"
    )
    for purpose in ("judging", "training"):
        assert Chat(tokenizer, purpose=purpose).render(ASKED) == "system: S! | user: Q! | "  # type: ignore[arg-type]


def test_what_ends_a_turn_is_a_token_of_the_vocabulary() -> None:
    style = STYLES["zephyr"]
    words = build_styled(Style(template=style.template))  # `</s>` is plain text to it
    assert Chat(words).end_token is None
    # Not special, but added: looked up before text is split.
    words.add_tokens(["</s>"])
    assert Chat(words).end_token == words.convert_tokens_to_ids("</s>")


def test_the_templates_end_joins_those_that_the_checkpoint_names() -> None:
    tokenizer: Any = build_styled(STYLES["gemma_2"])
    end = tokenizer.convert_tokens_to_ids("<end_of_turn>")

    def read(**changes: Any) -> RequestReader:
        options = {"num_embeddings": len(tokenizer), "max_model_len": None, "end_tokens": (1,), **changes}
        return RequestReader(name="x", tokenizer=tokenizer, **options)

    assert read().end_tokens == {1, end}
    assert read().describe() == {**MERGED, "template_end_token": "<end_of_turn>"}
    assert read(end_tokens=(1, end)).describe() == MERGED
    # A token that the model does not know is never written.
    assert read(num_embeddings=end).end_tokens == {1} and read(num_embeddings=end).describe() == MERGED


@pytest.mark.parametrize(
    ("normalizer", "spelt"),
    [
        (normalizers.NFKC(), "＜|bang|＞"),
        (normalizers.Lowercase(), "<|BANG|>"),
        (normalizers.Replace("\u200b", ""), "<|ba\u200bng|>"),
    ],
    ids=["NFKC", "Lowercase", "Replace"],
)
def test_another_spelling_that_the_tokenizer_levels_to_a_control_token_is_refused(
    normalizer: Any, spelt: str
) -> None:
    """Escaping knows how a token is spelt, and some tokenizers look for it in normalised text."""
    tokenizer: Any = build_tokenizer()

    def read() -> RequestReader:
        size = len(tokenizer)
        return RequestReader(
            name="x", end_tokens=(), tokenizer=tokenizer, num_embeddings=size, max_model_len=None
        )

    tokenizer.add_tokens([AddedToken("<|bang|>", normalized=True, special=False)])
    assert read().encode((user(spelt),), "p")  # nothing is levelled
    tokenizer.backend_tokenizer.normalizer = normalizer
    bang = tokenizer.convert_tokens_to_ids("<|bang|>")
    assert bang in tokenizer(spelt)["input_ids"]
    with pytest.raises(Unreadable, match=r"turns into the control token '<\|bang\|>', spelt otherwise"):
        read().encode((user("So"), assistant(spelt)), "p")
    assert bang not in read().encode((user("<\\|bang|>"),), "p")[1]
    # One that is looked for as it is spelt cannot be written otherwise.
    text = spelt.replace("bang", "im_end").replace("BANG", "IM_END").replace("ba\u200bng", "im_\u200bend")
    assert read().encode((user(text),), "p")


@pytest.mark.parametrize("name", REFUSED)
def test_what_brings_the_question_through_in_no_form_is_refused(name: str) -> None:
    template, reason = REFUSED[name]
    tokenizer = build_styled(template)
    for purpose in ("judging", "scoring", "training"):
        with pytest.raises(CheckpointError) as caught:
            Chat(tokenizer, purpose=purpose)
        assert reason.replace("the user's", "the ") in str(caught.value).replace(
            "the user's", "the "
        ).replace("the assistant's", "the ")
        assert "put a chat_template.jinja" in str(caught.value) and "\n" not in str(caught.value)


def test_a_scorer_that_is_shown_the_answer_alone_is_refused() -> None:
    with pytest.raises(CheckpointError, match="it leaves out the user's text"):
        Chat(build_styled(STYLES["last_turn_only"]), purpose="scoring")


def test_a_template_that_condenses_on_purpose_says_so() -> None:
    template, _ = REFUSED["cut"]
    said = build_styled("{%- set keeps_messages = false -%}" + template)
    assert Chat(said).render((user(LONG),)).count("It has") < LONG.count("It has")
    told = Chat(build_styled(template), {"keeps_messages": False})
    assert told.render((user(LONG),)) == Chat(said).render((user(LONG),)) and told.describe() == {}


def test_the_shared_templates(shared: Path) -> None:
    found = json.loads((shared / "cases" / "chat-templates.json").read_text())
    assert found == {name: STYLES[name].template for name in found} and len(found) == 5


def test_several_turns_with_merged_system_text() -> None:
    chat = Chat(build_styled(STYLES["gemma_2"]), purpose="scoring")
    again = Message(role="system", content="Now in verse.")
    text = chat.render((*ASKED, assistant("x"), again, user("y"), user("z")))
    assert text == (
        "<s><start_of_turn>user\nS!\n\nQ!<end_of_turn>\n<start_of_turn>model\nx<end_of_turn>\n"
        "<start_of_turn>user\nNow in verse.\n\ny\n\nz<end_of_turn>\n<start_of_turn>model\n"
    )
    # With no user turn behind it, it becomes one.
    text = chat.render((ASKED[0], assistant("x")), add_generation_prompt=False)
    assert text == "<s><start_of_turn>user\nS!<end_of_turn>\n<start_of_turn>model\nx<end_of_turn>\n"
    with pytest.raises(GenerationError, match="Conversation roles must alternate"):
        chat.render((assistant("x"),))


def test_a_judge_never_needs_turns_to_be_joined() -> None:
    assert Chat(build_styled(STYLES["mistral_v01"])).describe() == MERGED
    assert Chat(build_styled(STYLES["mistral_v01"]), purpose="training").describe() == {**MERGED, **JOINED}


@pytest.mark.parametrize(
    ("name", "messages", "lost"),
    [
        # An earlier answer's thinking is no loss, the text after it is.
        ("deepseek_r1", (user("a"), assistant("<think>hm</think>So."), user("b")), None),
        ("qwen_3", (user("a"), assistant("<think>hm</think>So."), user("b"), assistant("c")), None),
        ("deepseek_r1", (user("a"), assistant("It is </think>"), user("b")), None),
        # What is to be scored is.
        ("deepseek_r1", (user("a"), assistant("<think>hm</think>So.")), "assistant"),
        # Blanks are not: this template writes them anew.
        ("qwen_3", (user("a"), assistant("<think>hm</think>So.")), None),
        ("qwen_3", (user("a"), assistant("<think>hm</think>So."), tool("4"), assistant("c")), None),
        ("llama_3", (user("a"), tool('{"x": "ä\n"}'), assistant("c")), None),
        ("deepseek_r1", (user("a"), tool("found"), assistant("c")), "tool"),
        ("drops_system", (user("a"), tool("found"), assistant("c")), "tool"),
        # Short texts that stand elsewhere too.
        ("deepseek_r1", (user("a"), assistant("b"), tool("a"), assistant("b")), "tool"),
        ("drops_system", (user("user"), tool("assistant"), assistant("x")), "tool"),
    ],
)
def test_each_prompt_is_checked(name: str, messages: tuple[Message, ...], lost: str | None) -> None:
    chat = Chat(build_styled(STYLES[name]), purpose="scoring")
    if lost is None:
        chat.render(messages, add_generation_prompt=False)
        return
    with pytest.raises(GenerationError, match=f"the chat template leaves out the text of the {lost} turn"):
        chat.render(messages, add_generation_prompt=False)


def test_a_text_that_the_template_knows_is_not_lost() -> None:
    protocol = "Be fair.\nSay \"A\" or 'B'."
    template = STYLES["always_invites"].template.replace(
        "{{ m['content'] }}", "{{ '<|p|>' if m['content'] == @ else m['content'] }}"
    )
    chat = Chat(build_styled(template.replace("@", repr(protocol))))
    assert "<|p|>" in chat.render((Message(role="system", content=protocol), user("x")))
    assert chat.describe() == {}


def test_readers_say_what_was_lost() -> None:
    tokenizer = build_styled(STYLES["drops_system"])
    talk = (user("a"), tool("found"), assistant("c"))
    read = ConversationReader(tokenizer=tokenizer, num_embeddings=len(tokenizer), max_model_len=None)
    score: Any = read.prepare(ScoreRequest(key="", pair_id="1", messages=talk))
    assert score.problem == "generation_failed" and "leaves out the text of the tool turn" in score.error
    judge = RequestReader(
        name="x", tokenizer=tokenizer, num_embeddings=len(tokenizer), max_model_len=None, end_tokens=()
    )
    prompt = JudgePrompt(pair_id="1", family="rubric", order="given", messages=talk, labels=("A", "B"))
    found: Any = judge.prepare(Request(key="", prompt=prompt), SamplingParams())
    assert found.finish_reason == "error" and "leaves out the text of the tool turn" in found.error
    prompt = JudgePrompt(pair_id="1", family="rubric", order="given", messages=ASKED, labels=("A", "B"))
    found = judge.prepare(Request(key="", prompt=prompt), SamplingParams())
    assert isinstance(found, Prepared)
    assert tokenizer.decode(found.tokens) == STYLES["drops_system"].asked


def test_a_run_keeps_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = Chat(build_styled(STYLES["dated"]))
    begun = chat.describe()["template_time"]
    monkeypatch.setattr("rmr1.engines.hf.chat.new_moment", lambda: "2031-12-24T18:00:00")
    first = chat.render(ASKED)
    time.sleep(1.1)  # the template writes seconds
    assert chat.render(ASKED) == first and chat.describe() == {"template_time": begun}
    # Another process goes on.
    other = Chat(build_styled(STYLES["dated"]))
    assert "24 Dec 2031 18:00:00" in other.render(ASKED)
    other.begin_run({"engine": "x", "template_time": begun})
    assert other.render(ASKED) == first and other.describe() == {"template_time": begun}
    # A run of its own again.
    other.begin_run(None)
    assert other.describe() == {"template_time": "2031-12-24T18:00:00"}
    # One that was stored before times were.
    other.begin_run({"engine": "x"})
    assert other.describe() == {} and "24 Dec 2031" in other.render(ASKED)
    with pytest.raises(RunError, match="template_time is 'noon'; expected a time such as"):
        other.begin_run({"template_time": "noon"})


def test_a_date_that_is_given_is_nothing_of_the_runs() -> None:
    chat = Chat(build_styled(STYLES["llama_3"]), {"date_string": "1 May 1999"})
    assert chat.describe() == {} and "Today Date: 1 May 1999" in chat.render(ASKED)


def test_template_text_has_one_begin_token() -> None:
    tokenizer: Any = build_tokenizer(begin=True)
    begin = tokenizer.convert_tokens_to_ids(BEGIN)
    assert tokenizer("hi")["input_ids"].count(begin) == 1
    text = Chat(tokenizer).render((user("hi"),))
    assert text == "<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    tokens = encode_text(tokenizer, text)
    assert tokens.count(begin) == 1 and tokens[0] == begin


def test_template_arguments_reach_the_template() -> None:
    assert Chat(build_tokenizer(), {"think": True}).render((user("hi"),)).endswith("<think>\n")
    quiet = Chat(build_styled(STYLES["qwen_3"]), {"enable_thinking": False})
    assert quiet.render(ASKED).endswith("assistant\n<think>\n\n</think>\n\n") and quiet.describe() == {}


def test_messages_the_engine_or_the_template_refuses() -> None:
    chat = Chat(build_tokenizer())
    picture = Message(role="user", content=(TextPart(text="see"), ImagePart(url="file:x.png")))
    with pytest.raises(GenerationError, match="reads text only"):
        chat.render((picture,))
    with pytest.raises(GenerationError, match="the chat template refuses these messages: no tool turns here"):
        chat.render((user("hi"), assistant("x"), tool("y")))


def test_finding_and_checking_take_little_time() -> None:
    tokenizer = build_styled(STYLES["qwen_3"])
    Chat(tokenizer)  # the library compiles a template once
    began = time.perf_counter()
    for _ in range(5):
        assert Chat(tokenizer).end_token == tokenizer.convert_tokens_to_ids(END)
    assert (time.perf_counter() - began) / 5 < 0.5
    messages = (Message(role="system", content=LONG * 40), user(LONG * 400))
    text = Chat(tokenizer).render(messages)
    assert len(text) > 1_000_000
    began = time.perf_counter()
    for _ in range(20):
        assert find_lost(text, messages, "") is None
    assert (time.perf_counter() - began) / 20 < 0.05
