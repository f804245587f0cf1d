"""Each form by rows worked out by hand: what becomes prompt, answers, label, id and subset."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rmr1.data import list_formats, read_candidates, read_pairs, recognise
from rmr1.data.files import Row, read_rows
from rmr1.data.sources import find_reader
from rmr1.errors import ConfigError, DataError
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.records import Candidates, PreferencePair

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "data"


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def pairs_of(data: dict[str, Any], *, path: str = "set.jsonl", line: int = 7) -> list[PreferencePair]:
    """As `read_pairs` reads one row; the form is recognised."""
    row = Row(data=data, path=path, line=line)
    return recognise(data, data).pairs(row)


def pair_of(data: dict[str, Any], **place: Any) -> PreferencePair:
    (pair,) = pairs_of(data, **place)
    return pair


def simple(prompt: str, a: str, b: str, label: Any, **about: Any) -> PreferencePair:
    return PreferencePair(
        id=about.pop("id", "set:7"),
        prompt=(user(prompt),),
        response_a=(assistant(a),),
        response_b=(assistant(b),),
        label=label,
        **about,
    )


QA = {"question": "Q", "response_A": "one", "response_B": "two"}
RENDERED = (
    "Judge these.\n\n[Client Question]\nName a prime.\n\n"
    "[The Start of Chatbot A's Response]\nSeven.\n[The End of Chatbot A's Response]\n\n"
    "[The Start of Chatbot B's Response]\nNine,\n\nor <answer>[[A]]</answer>.\n[The End of Chatbot B's Response]"
)
RENDERED_TALK = (
    "[The Start of the Conversation between Chatbot A and the Client]\n"
    "User: Hi\nChatbot A: Hello!\nUser: Name a prime.\nIt should be odd.\nChatbot A: Seven.\n"
    "[The End of the Conversation between Chatbot A and the Client]\n\n"
    "[The Start of the Conversation between Chatbot B and the Client]\n"
    "User: Hi\nChabot B: Hello!\nUser: Name a prime.\nIt should be odd.\nChabot B: Nine.\n"
    "[The End of the Conversation between Chatbot B and the Client]"
)
CHINESE = (
    "[客户问题]\n能退款吗？\n\n[客服A的回答开始]\n可以。\n[客服A的回答结束]\n\n"
    "[客服B的回答开始]\n不行。\n[客服B的回答结束]\n\n请判定。"
)
HH = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Name a prime.\n\nAssistant: "

ROWS: list[tuple[str, dict[str, Any], list[PreferencePair]]] = [
    (
        "rmr1",
        {"id": "x", "prompt": "Q", "response_a": "a", "response_b": "b", "label": "tie", "source": "s", "subset": "t"},
        [simple("Q", "a", "b", "tie", id="x", source="s", subset="t")],
    ),
    ("rmr1", {"prompt": "Q", "response_a": "a", "response_b": "b"}, [simple("Q", "a", "b", None)]),
    ("rmr1", {"id": 5, "prompt": "Q", "response_a": "a", "response_b": "b", "label": None}, [simple("Q", "a", "b", None, id="5")]),
    ("rmr1-candidates", {"id": "x", "prompt": "Q", "responses": ["a", "b", "c"], "best": 1},
     [simple("Q", "b", "a", "A", id="x:1/2"), simple("Q", "b", "c", "A", id="x:2/2")]),
    ("trl-explicit", {"prompt": "Q", "chosen": "good", "rejected": "bad"}, [simple("Q", "good", "bad", "A")]),
    (
        "trl-explicit",
        {"prompt": [turn("user", "Q")], "chosen": [turn("assistant", "good")], "rejected": [turn("assistant", "bad")]},
        [simple("Q", "good", "bad", "A")],
    ),
    (
        "trl-implicit",
        {"chosen": [turn("user", "Q"), turn("assistant", "good")], "rejected": [turn("user", "Q"), turn("assistant", "bad")]},
        [simple("Q", "good", "bad", "A")],
    ),
    ("hh-rlhf", {"chosen": HH + "Seven. ", "rejected": HH + "Nine."},
     [PreferencePair(id="set:7", prompt=(user("Hi"), assistant("Hello!"), user("Name a prime.")),
                     response_a=(assistant("Seven."),), response_b=(assistant("Nine."),), label="A")]),
    ("dsp", {"text": ["\n\nHuman: Q\n\nAssistant: a", "\n\nHuman: Q\n\nAssistant: b"], "score": [1.0, 0.0]}, [simple("Q", "a", "b", "A")]),
    ("dsp", {"text": ["## Human:\nQ\n\n\n\n## Assistant:\na", "## Human:\nQ\n\n## Assistant:\nb"], "score": [-0.5, 0.5]}, [simple("Q", "a", "b", "B")]),
    ("dsp", {"text": ["## Human:\nQ\n\n## Assistant:\na", "## Human:\nQ\n\n## Assistant:\nb"], "score": [1, 1.0]}, [simple("Q", "a", "b", "tie")]),
    ("rm-r1", {"context_messages": [turn("system", "You judge."), turn("user", RENDERED)], "winner": "model_b"},
     [simple("Name a prime.", "Seven.", "Nine,\n\nor <answer>[[A]]</answer>.", "B")]),
    ("rm-r1", {"context_messages": [turn("user", CHINESE)], "winner": "model_a"}, [simple("能退款吗？", "可以。", "不行。", "A")]),
    ("rm-r1", {"context_messages": [turn("user", RENDERED_TALK)], "winner": "model_a"},
     [PreferencePair(id="set:7", prompt=(user("Hi"), assistant("Hello!"), user("Name a prime.\nIt should be odd.")),
                     response_a=(assistant("Seven."),), response_b=(assistant("Nine."),), label="A")]),
    ("sharegpt", {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"}],
                  "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
     [PreferencePair(id="set:7", prompt=(Message(role="system", content="S"), user("Q")),
                     response_a=(assistant("good"),), response_b=(assistant("bad"),), label="A")]),
    ("ifbench", {"text_chosen": [turn("user", "Q"), turn("assistant", "good")],
                 "text_rejected": [turn("user", "Q"), turn("assistant", "bad")], "id": 94046, "domain": "level-3"},
     [simple("Q", "good", "bad", "A", id="94046", subset="level-3")]),
    ("carejudge", {"id": "m1", "prompt": "Q", "response_a": "a", "response_b": "b", "label": "B", "domain": "mt",
                   "model_a": "m", "model_b": "n", "judge": "j", "turn": 1},
     [simple("Q", "a", "b", "B", id="m1", subset="mt")]),
    ("gsm8k-solutions",
     {"question": "1 + 1?", "ground_truth": "2",
      "6b_finetuning": {"is_correct": True, "solution": "two"}, "6b_verification": {"is_correct": False, "solution": "3"},
      "175b_finetuning": {"is_correct": False, "solution": "4"}, "175b_verification": {"is_correct": True, "solution": "2"}},
     [simple("1 + 1?", better, worse, "A", id=f"set:7/{names}", source="gsm8k-solutions")
      for better, worse, names in [("two", "3", "6b_finetuning>6b_verification"), ("two", "4", "6b_finetuning>175b_finetuning"),
                                   ("2", "3", "175b_verification>6b_verification"), ("2", "4", "175b_verification>175b_finetuning")]]),
    ("rewardbench", {"id": 0, "subset": "alpacaeval-easy", "prompt": "Q", "chosen": "good", "rejected": "bad", "provenance": "p"},
     [simple("Q", "good", "bad", "A", id="0", source="rewardbench", subset="alpacaeval-easy")]),
    ("rm-bench", {"id": 8, "subset": "alpacaeval", "prompt": "Q", "chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"]},
     [simple("Q", f"c{i}", f"r{j}", "A", id=f"8/c{i}r{j}", source="rm-bench", subset="set") for i in range(3) for j in range(3)]),
    ("rmb", {"pair_uid": "15", "conversation_input": [{"content": "Q", "language": "English", "role": "user"}],
             "chosen": {"llm_name": "m", "answer": "good"}, "reject": {"llm_name": "n", "answer": "bad"},
             "category_path": "Pairwise_set/Harmlessness/S1"},
     [simple("Q", "good", "bad", "A", id="15", source="rmb", subset="Pairwise_set/Harmlessness/S1")]),
    ("rmb-bon", {"bon_uid": "3", "conversation_input": [turn("user", "Q")], "bon_best": {"llm_name": "m", "answer": "good"},
                 "loser_list": [{"llm_name": "n", "answer": "bad"}, {"llm_name": "o", "answer": "worse"}],
                 "category_path": "BoN_set/Helpfulness/Chat", "rmb_file": "BoN_set/Helpfulness/Chat"},
     [simple("Q", "good", "bad", "A", id="3:1/2", source="rmb", subset="BoN_set/Helpfulness/Chat"),
      simple("Q", "good", "worse", "A", id="3:2/2", source="rmb", subset="BoN_set/Helpfulness/Chat")]),
    ("judgebench", {**QA, "pair_id": "p", "source": "mmlu-pro-law", "response_model": "gpt", "label": "B>A"},
     [simple("Q", "one", "two", "B", id="p", source="gpt", subset="mmlu-pro-law")]),
    ("llmbar", {"input": "Q", "output_1": "a", "output_2": "b", "label": 2}, [simple("Q", "a", "b", "B", source="llmbar", subset="set")]),
    ("auto-j", {"scenario": "chitchat", "label": 2, "prompt": "Q", "response 1": "a", "response 2": "b"},
     [simple("Q", "a", "b", "tie", source="auto-j", subset="chitchat")]),
    ("alpaca-eval", {"instruction": "Q", "dataset": "koala", "output_1": "a", "output_2": "b", "preference": 2.0},
     [simple("Q", "a", "b", "B", source="alpaca_eval", subset="koala")]),
    ("pandalm", {"idx": 157, "instruction": "Verify.", "input": "1 = 1", "response1": True, "response2": "Yes.",
                 "annotator1": 1, "annotator2": 0, "annotator3": 1},
     [simple("Verify.\n\n1 = 1", "True", "Yes.", "A", id="157", source="pandalm")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data", "expected"), ROWS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_rows(name, data, expected):
    assert recognise(data, data).name == name
    assert pairs_of(data) == expected


def test_every_verified_form_has_a_row_here():
    assert {name for name, _, _ in ROWS} == {reader.name for reader in list_formats() if reader.verified}


def read(name: str) -> list[PreferencePair]:
    return list(read_pairs(FIXTURES / f"{name}.jsonl"))


def form_of(name: str) -> str:
    row = next(read_rows(FIXTURES / f"{name}.jsonl"))
    return recognise(row.data, row.data).name


def test_unverified_forms_are_marked():
    names = {
        "skywork",
        "ultrafeedback",
        "code_preference",
        "math_step_dpo",
        "helpsteer3",
        "nemo_rl",
        "rewardbench2",
        "alpaca",
        "arena",
        "arena_table",
        "helpsteer2",
        "nectar",
        "openai",
        "shp",
    }
    assert {path.stem for path in FIXTURES.glob("*.jsonl")} == names
    forms = {name: form_of(name) for name in names}
    assert forms == {name: name.replace("_", "-") for name in names}
    assert {reader.name for reader in list_formats() if not reader.verified} == set(forms.values())


def test_skywork():
    first, second = read("skywork")
    assert first == simple("Name a prime.", "Seven.", "Nine.", "A", id="skywork:1", source="offset_bias")
    assert second.response_b == (assistant("Yo."), user("?"), assistant("Yo."))
    assert (second.prompt, second.response_a) == ((user("Hi"),), (assistant("Hello!"),))
    assert second.source == "magpie_ultra"


def test_ultrafeedback():
    assert read("ultrafeedback") == [simple("Name a prime.", "Seven.", "Nine.", "A", id="ab12")]


def test_code_preference():
    (pair,) = read("code_preference")
    assert pair.prompt == (user("Write add(a, b)."),)
    assert pair.response_a[0].text.endswith("a + b")
    assert pair.response_b[0].text.endswith("a - b")
    assert pair.label == "A"


def test_math_step_dpo_joins_the_first_steps_once():
    first, second = read("math_step_dpo")
    start = "Let's think step by step.\nStep 1: 3 * 4 = 12.\nStep 2:"
    assert first.response_a == (assistant(start + " 2 + 12 = 14. The answer is 14."),)
    assert first.response_b == (assistant(start + " 2 + 12 = 15. The answer is 15."),)
    assert first.subset == "MATH_Rephrased"
    assert (second.response_a, second.response_b) == ((assistant("Step 1: 2"),), (assistant("Step 1: 3"),))


def test_helpsteer3():
    first, second, third = read("helpsteer3")
    assert [pair.label for pair in (first, second, third)] == ["A", "B", "tie"]
    assert [message.role for message in first.prompt] == ["user", "assistant", "user"]
    assert (first.subset, second.prompt) == ("code", (user("Name a prime."),))


def test_nemo_rl():
    assert read("nemo_rl") == [
        simple("Name a prime.", "Seven.", "Nine.", "A", id="nemo_rl:1", subset="primes"),
        simple("Name a colour.", "Red.", "Blue.", "tie", id="nemo_rl:2:1/3", subset="colours"),
        simple("Name a colour.", "Red.", "Loud.", "A", id="nemo_rl:2:2/3", subset="colours"),
        simple("Name a colour.", "Blue.", "Loud.", "A", id="nemo_rl:2:3/3", subset="colours"),
    ]
    first, second = read_candidates(FIXTURES / "nemo_rl.jsonl")
    assert (first.best, [one[0].text for one in first.responses]) == (0, ["Seven.", "Nine."])
    assert (second.best, len(second.responses)) == (None, 3)


def test_rewardbench2():
    about = {"source": "rewardbench2", "subset": "Factuality"}
    ties = {"source": "rewardbench2", "subset": "Ties"}
    assert read("rewardbench2") == [
        simple("Name a prime.", "Seven.", "Nine.", "A", id="17/c0r0", **about),
        simple("Name a prime.", "Seven.", "Eight.", "A", id="17/c0r1", **about),
        simple("Name a prime.", "Seven.", "One.", "A", id="17/c0r2", **about),
        simple("Name a colour.", "Red.", "Loud.", "A", id="18/c0r0", **ties),
        simple("Name a colour.", "Blue.", "Loud.", "A", id="18/c1r0", **ties),
    ]
    first, second = read_candidates(FIXTURES / "rewardbench2.jsonl")
    assert (first.id, first.best, len(first.responses), first.subset) == ("17", 0, 4, "Factuality")
    assert (second.best, len(second.responses)) == (None, 3)


def test_alpaca():
    first, second = read("alpaca")
    system = Message(role="system", content="Be brief.")
    talk = (system, user("Hi"), assistant("Hello!"), user("Translate to English.\n\nHola"))
    assert (first.prompt, first.response_a, first.label) == (talk, (assistant("Hello"),), "A")
    assert second == simple("Name a prime.", "Seven.", "Nine.", "A", id="alpaca:2")


def test_arena_is_read_up_to_the_turn_that_was_judged():
    first, second = read("arena")
    assert first == simple("Name a prime.", "Nine.", "Seven.", "B", id="q1", subset="English")
    assert second == simple("Hi", "Yo.", "Hey.", "tie", id="q2")


def test_arena_table():
    first, second = read("arena_table")
    assert first.prompt == (user("Name a prime."), assistant("Seven."), user("Another."))
    assert (first.id, first.label, first.response_b) == ("30192", "B", (assistant("Five."),))
    assert second == simple("Name a colour.", "Red.", "Blue.", "tie", id="30193")


def test_helpsteer2():
    assert [(pair.label, pair.response_a[0].text) for pair in read("helpsteer2")] == [
        ("A", "Seven."),
        ("B", "Nine."),
        ("tie", "Red."),
    ]


def test_nectar():
    about = {"source": "nectar"}
    assert read("nectar") == [
        simple("Name a colour.", "Red.", "Loud.", "A", id="nectar:1:1/3", **about),
        simple("Name a colour.", "Red.", "Red.", "tie", id="nectar:1:2/3", **about),
        simple("Name a colour.", "Loud.", "Red.", "A", id="nectar:1:3/3", **about),
    ]
    (found,) = read_candidates(FIXTURES / "nectar.jsonl")
    assert (found.best, [one[0].text for one in found.responses]) == (0, ["Red.", "Loud.", "Red."])


def test_openai():
    first, second = read("openai")
    assert first.prompt == (Message(role="system", content="Be brief."), user("Weather in Paris?"))
    assert [message.text for message in first.response_a] == ['[tool call: weather {"city": "Paris"}]']
    assert [call.name for call in first.response_a[0].tool_calls] == ["weather"]
    assert first.response_b == (assistant("I do not know."),)
    assert second == simple("Name a prime.", "Seven.", "Nine.", "A", id="openai:2")


def test_shp():
    assert [(pair.label, pair.subset) for pair in read("shp")] == [
        ("A", "askculinary_train"),
        ("B", "askculinary_train"),
    ]


def test_candidates_of_our_own_form(tmp_path):
    path = tmp_path / "c.jsonl"
    rows = [
        {"id": "x", "prompt": "Q", "responses": ["a", [turn("assistant", "b")]], "best": 1, "subset": "s"},
        {"prompt": [turn("user", "Q")], "responses": ["a"]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    answers = (assistant("a"),), (assistant("b"),)
    assert list(read_candidates(path)) == [
        Candidates(id="x", prompt=(user("Q"),), responses=answers, best=1, subset="s"),
        Candidates(id="c:2", prompt=(user("Q"),), responses=answers[:1]),
    ]


@pytest.mark.parametrize(
    ("preference", "label"),
    [
        (1, "A"), (2, "B"), (1.0, "A"), ("2", "B"), ("1.0", "A"), (0, "tie"), (0.0, "tie"), (1.5, "tie"),
        (1.0312, "A"), (1.9, "B"), (None, None),
    ],
)  # fmt: skip
def test_alpaca_eval_preferences(preference, label):
    data = {"instruction": "Q", "output_1": "a", "output_2": "b", "preference": preference}
    assert pair_of(data).label == label


@pytest.mark.parametrize(
    ("votes", "label"),
    [((1, 1, 2), "A"), ((2, 0, 2), "B"), ((0, 0, 1), "tie"), ((0, 1, 2), None), ((1, 2), None), ((2,), "B")],
)
def test_pandalm_majority(votes, label):
    data = {"instruction": "Q", "response1": "a", "response2": "b"}
    data |= {f"annotator{number}": vote for number, vote in enumerate(votes, start=1)}
    assert pair_of(data).label == label


def test_rm_bench_domain_is_the_column_or_the_files_name():
    data = {"id": 8, "prompt": "Q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]}
    assert pairs_of(data, path="x/safety-refuse_filtered.jsonl.gz")[0].subset == "safety-refuse"
    assert pairs_of({**data, "domain": "math"}, path="total_dataset.json")[0].subset == "math"


def test_llmbar_part_is_the_file_or_its_folder():
    data = {"input": "Q", "output_1": "a", "output_2": "b", "label": 1}
    assert pair_of(data, path="llmbar_natural.jsonl.gz").subset == "llmbar_natural"
    assert pair_of(data, path="Dataset/LLMBar/Adversarial/Neighbor/dataset.json").subset == "Neighbor"


def test_the_tree_of_rmb(tmp_path):
    pairwise = next(row for form, row, _ in ROWS if form == "rmb")
    folder = tmp_path / "Pairwise_set" / "Harmlessness"
    folder.mkdir(parents=True)
    for name in ("S2", "S1"):
        rows = [{**pairwise, "category_path": f"Pairwise_set/Harmlessness/{name}"}] * 2
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=2))
    found = [pair.subset for pair in read_pairs(tmp_path)]
    assert found == ["Pairwise_set/Harmlessness/S1"] * 2 + ["Pairwise_set/Harmlessness/S2"] * 2


def test_conversations_that_part_early_are_trajectories():
    chosen = [turn("user", "Q"), turn("assistant", "a"), turn("user", "more"), turn("assistant", "b")]
    rejected = [turn("user", "Q"), turn("assistant", "c")]
    pair = pair_of({"chosen": chosen, "rejected": rejected})
    assert pair.prompt == (user("Q"),)
    assert pair.response_a == (assistant("a"), user("more"), assistant("b"))
    assert pair.response_b == (assistant("c"),)


def test_one_conversation_may_begin_the_other():
    longer = [turn("user", "Q"), turn("assistant", "a"), turn("user", "more"), turn("assistant", "b")]
    pair = pair_of({"chosen": longer[:2], "rejected": longer})
    assert pair.prompt == (user("Q"),)
    assert (len(pair.response_a), len(pair.response_b)) == (1, 3)


def test_equal_answers_are_a_tie():
    same = [turn("user", "Q"), turn("assistant", "a")]
    assert pair_of({"chosen": same, "rejected": same}) == simple("Q", "a", "a", "tie")


def test_messages_of_parts():
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "file:a.png"}},
        {"url": "https://example.org/b.png"},
    ]
    pair = pair_of({"prompt": [{"role": "user", "content": content}], "response_a": "a", "response_b": "b"})
    assert pair.prompt[0].content == (
        TextPart(text="What is this?"),
        ImagePart(url="file:a.png"),
        ImagePart(url="https://example.org/b.png"),
    )


def test_hh_turns_keep_what_is_inside():
    chosen = (
        "\n\nHuman: Hi\n\nAssistant: No.  Human: this is no turn\n\nHuman: Q\n\nAssistant: a\n\nAssistant: b"
    )
    rejected = "\n\nHuman: Hi\n\nAssistant: No.  Human: this is no turn\n\nHuman: Q\n\nAssistant: c"
    pair = pair_of({"chosen": chosen, "rejected": rejected})
    assert pair.prompt == (user("Hi"), assistant("No.  Human: this is no turn"), user("Q"))
    assert pair.response_a == (assistant("a"), assistant("b"))


OWN = {"prompt": "Q", "response_a": "a", "response_b": "b", "label": "A"}
TRL = {"prompt": "Q", "chosen": "good", "rejected": "bad"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**OWN, "label": "C"}, "label 'C' is not 'A', 'B' or 'tie'"),
        ({**OWN, "label": "a"}, "label 'a' is not 'A', 'B' or 'tie'"),
        ({**OWN, "label": ["A"]}, "label ['A'] is not 'A', 'B' or 'tie'"),
        ({**OWN, "label": True}, "label True is not 'A', 'B' or 'tie'"),
        ({**OWN, "response_b": ""}, "'response_b' is empty"),
        ({**OWN, "response_a": " \n"}, "'response_a' is empty"),
        ({**OWN, "response_a": None}, "'response_a' is empty"),
        ({**OWN, "response_a": []}, "'response_a' is empty"),
        ({**OWN, "prompt": ""}, "'prompt' is empty"),
        ({**OWN, "response_a": 7}, "'response_a' is a number, expected a text or a list of messages"),
        ({**OWN, "id": {}}, "'id' is an object, expected a text or a number"),
        ({**OWN, "subset": []}, "'subset' is a list, expected a text"),
        (
            {**OWN, "prompt": [turn("user", "Q"), turn("bot", "x")]},
            "message 2 of 'prompt' has the role 'bot', expected 'system', 'user', 'assistant' or 'tool'",
        ),
        ({**OWN, "prompt": [{"content": "Q"}]}, "message 1 of 'prompt' has the role null, expected 'system', 'user', 'assistant' or 'tool'"),
        ({**OWN, "prompt": [{"role": "user"}]}, "message 1 of 'prompt' has no content"),
        ({**OWN, "prompt": ["Q"]}, "message 1 of 'prompt' is a text, expected an object with role and content"),
        (
            {**OWN, "prompt": [{"role": "user", "content": [{"type": "audio"}]}]},
            "message 1 of 'prompt' has a part that is neither a text nor an image with a URL",
        ),
        ({"prompt": "Q", "responses": []}, "'responses' is an empty list, expected a list of answers"),
        ({"prompt": "Q", "responses": ["a", ""]}, "'responses[1]' is empty"),
        ({"prompt": "Q", "responses": ["a", "b"], "best": 2}, "best 2 is not a number from 0 to 1"),
        (
            {"prompt": "Q", "responses": ["a", "b"]},
            "'best' is null, so there is no pair in the list; read it as candidates",
        ),
        ({**TRL, "chosen": ""}, "'chosen' is empty"),
        (
            {"chosen": [turn("user", "Q"), turn("assistant", "a")], "rejected": [turn("user", "R"), turn("assistant", "b")]},
            "the prompts of chosen and rejected differ",
        ),
        (
            {
                "prompt": "R",
                "chosen": [turn("user", "Q"), turn("assistant", "a")],
                "rejected": [turn("user", "Q"), turn("assistant", "b")],
            },
            "the conversations in 'chosen' and 'rejected' do not repeat the text of 'prompt'",
        ),
        ({"chosen": [turn("user", "Q")], "rejected": [turn("user", "Q"), turn("assistant", "b")]}, "'chosen' has no answer"),
        (
            {"chosen": [turn("assistant", "a")], "rejected": [turn("assistant", "b")]},
            "the prompt in 'chosen' is empty",
        ),
        (
            {"chosen": "The sky is blue.", "rejected": "The sky is green."},
            "'chosen' is no transcript: it begins with 'The sky is blue.', expected 'Human:'; "
            "plain answers need a column 'prompt'",
        ),
        ({"chosen": HH + "a", "rejected": HH}, "the answer in 'rejected' is empty"),
        ({"text": ["\n\nHuman: Q"], "score": [1, 0]}, "'text' is a list, expected a list of two transcripts"),
        ({"text": [HH + "a", HH + "b"], "score": [1, None]}, "score [1, None] is not a list of two numbers"),
        (
            {"context_messages": [turn("user", RENDERED)], "winner": "<rubric>...</rubric>"},
            "winner '<rubric>...</rubric>' is not 'model_a' or 'model_b' (a judge's text stands there in the "
            "distillation set, which has no labels)",
        ),
        ({"input": "Q", "output_1": "a", "output_2": "b", "label": 3}, "label 3 is not 1 or 2"),
        ({**QA, "label": "A=B"}, "label 'A=B' is not 'A>B' or 'B>A'"),
        (
            {"instruction": "Q", "output_1": "a", "output_2": "b", "preference": 3},
            "preference 3 is not 0, null or a number from 1 to 2",
        ),
        (
            {"id": 8, "prompt": "Q", "chosen": ["a", "b"], "rejected": ["d", "e", "f"]},
            "'chosen' holds 2 answers, expected 3",
        ),
        (
            {"context": "Q", "response1": "a", "response2": "b", "overall_preference": 4},
            "overall_preference 4 is not a number from -3 to 3",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row(data, message):
    with pytest.raises(DataError) as caught:
        pairs_of(data)
    assert str(caught.value) == message


ODD: tuple[Any, ...] = (
    None, 3, -1.5, float("nan"), True, "", "x", [], {}, [None], ["x"], [1, 2], [{}], {"role": "user"},
    [{"role": "user", "content": None}], [{"role": [], "content": "x"}], {"from": "gpt", "value": 3},
    [{"rank": 1}], [{"rank": 0, "completion": 3}, {"rank": None}], {"is_correct": True}, {"answer": 4}, "\ud800",
)  # fmt: skip


def fixture_rows() -> list[tuple[str, dict[str, Any]]]:
    found = [(name, data) for name, data, _ in ROWS]
    for path in sorted(FIXTURES.glob("*.jsonl")):
        found += [(path.stem.replace("_", "-"), row.data) for row in read_rows(path)]
    return found


@pytest.mark.parametrize(
    ("name", "data"), fixture_rows(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_odd_values_are_data_errors_and_nothing_else(name, data):
    reader = find_reader(name)
    for column, odd in [(column, odd) for column in data for odd in ODD]:
        spoilt = copy.deepcopy(data) | {column: odd}
        row = Row(data=spoilt, path="set.jsonl", line=1)
        for convert in (reader.pairs, reader.candidates):
            if convert is None:
                continue
            with contextlib.suppress(DataError):
                convert(row)


def test_names_of_forms():
    names = [reader.name for reader in list_formats()]
    assert names == sorted(set(names))
    assert all(reader.source and reader.columns for reader in list_formats())
    with pytest.raises(ConfigError, match="no data format 'judgbench'; did you mean 'judgebench'"):
        find_reader("judgbench")
    with pytest.raises(ConfigError, match="no data format 'zzz'; expected one of rmr1, "):
        find_reader("zzz")


def test_recognition_by_columns_alone():
    assert recognise(["prompt", "chosen", "rejected"]).name == "trl-explicit"
    assert recognise(["chosen", "rejected", "source", "extra"]).name == "skywork"
    assert recognise(["id", "subset", "prompt", "chosen", "rejected"]).name == "rewardbench"


def test_gzip_and_messages_through_the_public_reader(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(OWN).encode()))
    assert list(read_pairs(path)) == [simple("Q", "a", "b", "A", id="a:1")]
