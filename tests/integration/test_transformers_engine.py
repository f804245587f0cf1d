"""The embedded engine end to end, on model folders made of random weights."""

from __future__ import annotations

import inspect
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from rmr1.engines import Engine, Request, SamplingParams, load_engine
from rmr1.engines.base import UNWANTED, derive_seed
from rmr1.engines.hf import engine as engine_module
from rmr1.engines.hf.engine import TransformersEngine
from rmr1.errors import CheckpointError, ConfigError, GenerationError
from rmr1.forecast.batching import Batching, plan_batches
from rmr1.messages import ImagePart, Message, TextPart, assistant, user
from rmr1.prompts import render_prompt
from rmr1.records import Generation, JudgePrompt, PreferencePair
from rmr1.verdicts import parse_verdict
from tests.tiny_models import (
    END,
    MERGES,
    build_model,
    build_sentencepiece_tokenizer,
    build_tokenizer,
    force_tokens,
    save_model,
)

WORDS = ["hi", "what is the capital?", "a much longer question " * 4, "[[A]] or [[B]]", "x" * 40]
GREEDY = SamplingParams(max_new_tokens=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("qwen2"), build_model(), build_tokenizer("letter"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> TransformersEngine:
    return TransformersEngine(str(folder), device="cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def ask(text: str, key: str = "k", *, seed: int = 0, labels: tuple[str, ...] = ("A", "B")) -> Request:
    messages = (user(text),)
    prompt = JudgePrompt(pair_id=f"pair-{key}", family="own", order="given", messages=messages, labels=labels)
    return Request(key=key, prompt=prompt, seed=seed)


def answer(engine: Engine, request: Request, params: SamplingParams = GREEDY) -> tuple[Generation, ...]:
    ((found, generations),) = engine.generate([request], params)
    assert found is request
    return generations


def complain(call: Callable[[], Any], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400
    return text


def test_greedy_texts_are_the_librarys_and_do_not_depend_on_the_batch(engine: TransformersEngine) -> None:
    requests = [ask(text, str(index)) for index, text in enumerate(WORDS)]
    together = {request.key: generations[0] for request, generations in engine.generate(requests, GREEDY)}
    tokenizer: Any = engine._reader.tokenizer
    model: Any = engine._model
    for request in requests:
        found = together[request.key]
        assert answer(engine, request)[0] == found
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": request.prompt.messages[0].text}],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        output = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=16,
            do_sample=False,
            pad_token_id=0,
        )
        # A last character that is not complete is left out; a byte that can begin none stays.
        written = tokenizer.decode(output[0, ids.shape[1] :])
        assert found.text in (written, written.removesuffix("\ufffd"))
        assert (found.prompt_tokens, found.completion_tokens) == (ids.shape[1], 16)
        assert (found.finish_reason, found.seed, found.model) == ("length", None, engine.name)
    assert len({generation.text for generation in together.values()}) == len(WORDS)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_samples_are_reproduced_by_their_seeds_in_any_batch(
    folder: Path, engine: TransformersEngine, batch_size: int
) -> None:
    params = SamplingParams(max_new_tokens=12, temperature=1.0, top_p=0.95, num_samples=3)
    requests = [ask(text, str(index), seed=index) for index, text in enumerate(WORDS)]
    other = TransformersEngine(str(folder), device="cpu", batch_size=batch_size)
    found = {request.key: generations for request, generations in other.generate(reversed(requests), params)}
    for index, request in enumerate(requests):
        assert found[request.key] == answer(engine, request, params)
        assert len({generation.text for generation in found[request.key]}) == 3
        assert [generation.seed for generation in found[request.key]] == [
            derive_seed(index, sample) for sample in range(3)
        ]
    again = answer(engine, ask(WORDS[0], "0", seed=99), params)
    assert again != found["0"]


def test_seeds_are_exact_in_json_and_differ() -> None:
    seeds = {derive_seed(seed, sample) for seed in range(100) for sample in range(10)}
    assert len(seeds) == 1000 and max(seeds) < 2**53 and json.loads(json.dumps(max(seeds))) == max(seeds)


def test_a_prompt_is_computed_once_for_its_samples(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    forward = type(engine._model).forward

    def counted(self: PreTrainedModel, *args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(self, *args, **kwargs)

    counted.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(engine._model), "forward", counted)
    generations = answer(engine, ask("hi"), SamplingParams(max_new_tokens=3, num_samples=5, temperature=1.0))
    assert shapes == [(1, generations[0].prompt_tokens), (5, 1), (5, 1)]


def test_the_stream_is_read_a_few_batches_ahead(folder: Path) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for index in range(10_000):
            pulled += 1
            yield ask("hi", str(index))

    engine = TransformersEngine(str(folder), device="cpu", batch_size=2)
    found: Any = engine.generate(requests(), SamplingParams(max_new_tokens=1))
    for number in range(1, 20):
        next(found)
        assert pulled <= number + 8
    found.close()


def write(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, text: str) -> list[int]:
    """Make the engine's model write `text` and end; the tokens it is made of."""
    tokens = engine._reader.tokenizer(text, add_special_tokens=False)["input_ids"]
    model = build_model(vocab_size=512)
    force_tokens(model, [*tokens, min(engine._reader.end_tokens)])
    monkeypatch.setattr(engine, "_model", model)
    return tokens


def test_a_text_goes_on_to_the_end_token(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    params = SamplingParams(max_new_tokens=100)
    for text in ("ok [[A]] xyz", "ok <answer>[[A]]</answer>\nno: <answer>[[B]]</answer> xyz"):
        write(engine, monkeypatch, text)
        (found,) = answer(engine, ask("q"), params)
        assert (found.text, found.finish_reason) == (text, "stop")
        num_tokens = len(engine._reader.tokenizer(text)["input_ids"])
        assert END not in found.text and found.completion_tokens == num_tokens + 1

    write(engine, monkeypatch, "ok [[A]] xyz")
    (found,) = answer(engine, ask("q"), SamplingParams(max_new_tokens=100, stop=("never", "]] x")))
    assert (found.text, found.finish_reason) == ("ok [[A]] x", "stop")


@pytest.mark.parametrize(
    ("text", "is_ended"),
    [
        ("ok\n<answer>[[A]]</answer>\n", True),
        ("<think><answer>[[A]]</answer>\n</think>\n<answer>[[B]]</answer>\n", True),
        ("<quote_A>\n<answer>[[A]]</answer>\n</quote_A> x\n<answer>[[B]]</answer>\n", True),
        ("ok <answer>[[A]]</answer>\n", False),
        ("<think>\n<answer>[[A]]</answer>\n", False),
    ],
)
def test_stopping_at_the_verdict_is_an_option(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, text: str, is_ended: bool
) -> None:
    tokens = write(engine, monkeypatch, text + "more and more")
    (found,) = answer(engine, ask("q"), SamplingParams(max_new_tokens=100, stop_at_verdict=True))
    assert found.finish_reason == "stop" and found.text.startswith(text)
    assert (found.completion_tokens < len(tokens) - 4) is is_ended
    assert (found.text == text + "more and more") is not is_ended


def test_thinking_that_the_template_opens_is_part_of_the_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(str(folder), device="cpu", chat_template_kwargs={"think": True})
    params = SamplingParams(max_new_tokens=100, verdict_logprobs=True)
    thought = "hm <answer>[[A]]</answer></think> <answer>[[B]]</answer>"
    write(engine, monkeypatch, thought)
    (found,) = answer(engine, ask("q"), params)
    assert found.text == "<think>\n" + thought and found.finish_reason == "stop"
    assert dict(found.verdict_logprobs or ())["B"] > dict(found.verdict_logprobs or ())["A"]
    assert parse_verdict(found.text).winner == "B"
    write(engine, monkeypatch, "<answer>[[A]]</answer> hm, well")
    (cut,) = answer(engine, ask("q"), SamplingParams(max_new_tokens=8, verdict_logprobs=True))
    assert cut.finish_reason == "length" and cut.verdict_logprobs is None
    assert "[[A]]" in cut.text and parse_verdict(cut.text).problem == "unclosed_thinking"


PIECES = {
    "split": ("A", "B"),
    "letter": ("A", "B"),
    "left": ("[[A", "[[B"),
    "right": ("A]]</", "B]]</"),
    "whole": ("[[A]]", "[[B]]"),
    "sentencepiece": ("A", "B"),
    "blank": ("▁A", "▁B"),
}


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("style", PIECES)
def test_verdict_logprobs_are_those_of_a_full_pass(
    style: str, temperature: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(str(folder), device="cpu")
    tokenizer = (
        build_sentencepiece_tokenizer() if style in ("sentencepiece", "blank") else build_tokenizer(style)
    )
    monkeypatch.setattr(engine._reader, "tokenizer", tokenizer)
    text = "A or B? <answer>[[ A ]]</answer>" if style == "blank" else "A or B? <answer>[[A]]</answer>"
    tokens = write(engine, monkeypatch, text)
    params = SamplingParams(
        max_new_tokens=100, verdict_logprobs=True, temperature=temperature, top_k=1, num_samples=2
    )
    generations = answer(engine, ask("q", seed=5), params)
    numbers: Any = tokenizer.convert_tokens_to_ids(list(PIECES[style]))
    at = len(tokens) - 1 - tokens[::-1].index(numbers[0])
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "q"}], tokenize=False, add_generation_prompt=True
    )
    ids = [*tokenizer(prompt, add_special_tokens=False)["input_ids"], *tokens]
    logits = engine._model(input_ids=torch.tensor([ids])).logits[0, len(ids) - len(tokens) + at - 1]
    expected = logits.log_softmax(dim=-1)[numbers].tolist()
    for found in generations:
        assert found.text == text
        assert found.verdict_logprobs is not None and found.verdict_mass is not None
        assert [label for label, _ in found.verdict_logprobs] == ["A", "B"]
        assert [value for _, value in found.verdict_logprobs] == pytest.approx(expected, abs=1e-4)
        assert found.verdict_mass == pytest.approx(sum(map(math.exp, expected)), abs=1e-5)
        assert 0 < found.verdict_mass <= 1


@pytest.mark.parametrize("case", ["lopsided", "several", "small"])
def test_verdicts_without_a_token_of_their_own_are_scored_whole(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(str(folder), device="cpu")
    tokenizer = build_tokenizer("lopsided" if case == "lopsided" else "letter")
    monkeypatch.setattr(engine._reader, "tokenizer", tokenizer)
    verdict, labels, spelled = {
        "lopsided": ("[[A]]", ("A", "B"), [["[[A]]"], ["[[", "B", "]]"]]),
        "several": ("[[10]]", ("7", "10"), [["7"], ["1", "0"]]),
        "small": ("[[a]]", ("A", "B"), [["a"], ["b"]]),
    }[case]
    head = "so <answer>" + ("" if case == "lopsided" else "[[")
    before = tokenizer(head, add_special_tokens=False)["input_ids"]
    write(engine, monkeypatch, f"so <answer>{verdict}</answer>")
    params = SamplingParams(max_new_tokens=100, verdict_logprobs=True)
    (found,) = answer(engine, ask("q", labels=labels), params)
    assert found.text == f"so <answer>{verdict}</answer>"
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "q"}], tokenize=False, add_generation_prompt=True
    )
    start = [*tokenizer(prompt, add_special_tokens=False)["input_ids"], *before]
    expected = []
    for names in spelled:
        numbers: Any = tokenizer.convert_tokens_to_ids(names)
        logits = (
            engine._model(input_ids=torch.tensor([[*start, *numbers]])).logits[0].log_softmax(dim=-1).detach()
        )
        expected.append(
            sum(float(logits[len(start) - 1 + index, number]) for index, number in enumerate(numbers))
        )
    assert [label for label, _ in found.verdict_logprobs or ()] == list(labels)
    assert [value for _, value in found.verdict_logprobs or ()] == pytest.approx(expected, abs=1e-4)


def test_no_verdict_has_no_logprobs(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    write(engine, monkeypatch, "no verdict here")
    (found,) = answer(engine, ask("q"), SamplingParams(max_new_tokens=100, verdict_logprobs=True))
    assert found.text == "no verdict here"
    assert found.verdict_logprobs is None and found.verdict_mass is None


def test_overlong_prompts_are_skipped_and_nothing_is_cut(
    engine: TransformersEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    found = {
        request.key: generations
        for request, generations in engine.generate(
            [ask("x" * 200_000, "long"), ask("hi", "short"), ask("y" * 485, "tight")],
            SamplingParams(max_new_tokens=64, num_samples=2, temperature=1.0),
        )
    }
    (skipped, same) = found["long"]
    assert skipped == same and skipped.finish_reason == "skipped" and skipped.text == ""
    assert skipped.prompt_tokens > 190_000
    assert (
        skipped.error == f"prompt of {skipped.prompt_tokens} tokens is longer than the model's context of 512"
    )
    assert found["short"][0].completion_tokens == 64
    for tight in found["tight"]:
        assert 448 < tight.prompt_tokens < 512
        assert (tight.finish_reason, tight.completion_tokens) == ("length", 512 - tight.prompt_tokens)
    assert capfd.readouterr() == ("", "")


def test_the_last_place_of_the_context_is_used(folder: Path, engine: TransformersEngine) -> None:
    size = answer(engine, ask("hello"))[0].prompt_tokens
    fits = TransformersEngine(str(folder), device="cpu", max_model_len=size + 1)
    assert answer(fits, ask("hello"))[0].completion_tokens == 1
    full = TransformersEngine(str(folder), device="cpu", max_model_len=size, on_overlong="skip")
    assert answer(full, ask("hello"))[0].finish_reason == "skipped"
    strict = TransformersEngine(str(folder), device="cpu", max_model_len=size, on_overlong="fail")
    text = complain(lambda: answer(strict, ask("hello", "7")), GenerationError)
    assert text == f"pair 'pair-7': prompt of {size} tokens is longer than the model's context of {size}"


def test_bad_items_take_no_neighbours_along(engine: TransformersEngine) -> None:
    picture = Message(role="user", content=(TextPart(text="see"), ImagePart(url="file:x.png")))
    requests = [ask("hi", "good")]
    for key, messages in (("picture", (picture,)), ("tool", (user("hi"), Message(role="tool", content="x")))):
        prompt = JudgePrompt(pair_id=key, family="own", order="given", messages=messages)
        requests.append(Request(key=key, prompt=prompt))
    found = {request.key: generations[0] for request, generations in engine.generate(requests, GREEDY)}
    assert found["good"] == answer(engine, requests[0])[0]
    assert found["picture"].finish_reason == found["tool"].finish_reason == "error"
    assert "this engine reads text only" in str(found["picture"].error)
    assert found["tool"].error == "the chat template refuses these messages: no tool turns here"


def test_out_of_memory_halves_the_batch(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ask(text, str(index)) for index, text in enumerate(WORDS)]
    expected = {request.key: generations for request, generations in engine.generate(requests, GREEDY)}
    decode = engine_module.decode
    sizes = []

    def small(model: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        sizes.append(len(prompts))
        if len(prompts) > 2 or any(
            len(prompt.tokens) == expected["2"][0].prompt_tokens for prompt in prompts
        ):
            raise torch.cuda.OutOfMemoryError
        return decode(model, prompts, *args, **kwargs)

    monkeypatch.setattr(engine_module, "decode", small)
    found = {request.key: generations for request, generations in engine.generate(requests, GREEDY)}
    assert sizes == [5, 2, 1, 1, 3, 1, 2]
    assert "out of GPU memory" in str(found.pop("2")[0].error)
    assert found == {key: generations for key, generations in expected.items() if key != "2"}


def test_fingerprint_knows_the_weights_and_not_the_place(folder: Path, copy: Path, tmp_path: Path) -> None:
    base = TransformersEngine(str(folder), device="cpu").fingerprint()
    assert base["dtype"] == "float32" and base["max_model_len"] == 512
    assert json.loads(json.dumps(base)) == base
    moved = Path(shutil.copytree(copy, tmp_path / "elsewhere" / folder.name))
    assert TransformersEngine(str(moved), device="cpu", batch_size=3).fingerprint() == base

    def differing(**options: Any) -> set[str]:
        other = TransformersEngine(str(moved), device="cpu", **options).fingerprint()
        return {key for key in base if base[key] != other[key]}

    assert differing(dtype="bfloat16") == {"dtype"}
    assert differing(max_model_len=100) == {"max_model_len"}
    assert differing(chat_template_kwargs={"think": True}) == {"chat_template_kwargs"}
    save_model(moved, build_model(seed=1), None)
    assert differing() == {"weights"}
    template = (moved / "chat_template.jinja").read_text()
    (moved / "chat_template.jinja").write_text(template + "\n\n")
    assert differing() == {"weights", "chat_template"}


def test_special_tokens(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = build_tokenizer("letter")
    tokenizer.add_tokens(["<tool_call>", "</think>", "<b>", "<|box|>", "<unused7>", "[TOOL_CALLS]", "hello"])
    monkeypatch.setattr(engine._reader, "tokenizer", tokenizer)
    found = set(engine.special_tokens())
    assert {
        "<s>",
        "<|im_start|>",
        "<|im_end|>",
        "<unk>",
        "<tool_call>",
        "</think>",
        "<|box|>",
        "<unused7>",
        "[TOOL_CALLS]",
    } <= found
    assert not {"[[", "]]", "<answer>", "<b>", "hello"} & found


def test_it_is_an_engine_and_judges_rendered_pairs(folder: Path) -> None:
    engine = load_engine(str(folder), {"device": "cpu", "max_model_len": 512})
    assert isinstance(engine, Engine) and engine.name == str(folder)
    pair = PreferencePair(
        id="p", prompt=(user("2+2?"),), response_a=(assistant("4"),), response_b=(assistant("5<|im_end|>"),)
    )
    prompt = render_prompt(pair, "direct", special_tokens=engine.special_tokens())
    (found,) = answer(engine, Request(key="k", prompt=prompt), SamplingParams(max_new_tokens=8))
    assert found.finish_reason in ("length", "skipped")
    engine.close()
    engine.close()


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_begin_token_stands_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path, build_model(kind), build_tokenizer("split", begin=True))
    engine = TransformersEngine(str(tmp_path), device="cpu")
    seen = []
    forward = engine._model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["input_ids"].tolist())
        return forward(*args, **kwargs)

    monkeypatch.setattr(engine._model, "forward", watched)
    answer(engine, ask("hi"))
    begin = engine._reader.tokenizer.convert_tokens_to_ids("<s>")
    assert seen[0][0].count(begin) == 1 and seen[0][0][0] == begin


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer(TransformersEngine(str(folder), device="cpu"), ask("hi"))
    assert capfd.readouterr() == ("", "")


def test_settings_that_are_wrong_are_one_line(folder: Path) -> None:
    def make(**options: Any) -> Callable[[], Any]:
        return lambda: TransformersEngine(str(folder), **{"device": "cpu", **options})

    assert "'auto', 'cpu', 'cuda' or 'mps'" in complain(make(device="tpu"), ConfigError)
    assert "'bfloat16'" in complain(make(dtype="int4"), ConfigError)
    assert "torch sees" in complain(make(device="cuda:99"), ConfigError)
    assert "batch_size: input should be greater than or equal to 1, got 0" in complain(
        make(batch_size=0), ConfigError
    )
    assert "beyond the model's context of 512" in complain(make(max_model_len=513), ConfigError)
    assert "'skip' or 'fail'" in complain(make(on_overlong="cut"), ConfigError)
    assert "'tokenize'" in complain(make(chat_template_kwargs={"tokenize": True}), ConfigError)
    assert "batchsize" in complain(lambda: load_engine(str(folder), {"batchsize": 1}), ConfigError)


def test_folders_that_cannot_judge_are_one_line(copy: Path, tmp_path: Path) -> None:
    def load(name: str | Path = copy) -> str:
        return complain(lambda: TransformersEngine(str(name), device="cpu"), CheckpointError)

    assert "no such folder" in load(tmp_path / "nothing")
    assert "no such folder" in load("./nothing")
    assert "is a file" in load(copy / "config.json")
    (tmp_path / "empty").mkdir()
    assert "no config.json" in load(tmp_path / "empty")

    (copy / "chat_template.jinja").rename(tmp_path / "template")
    assert "has no chat template" in load() and "chat_template.jinja" in load()
    (tmp_path / "template").rename(copy / "chat_template.jinja")

    (copy / "tokenizer.json").rename(tmp_path / "tokenizer")
    assert "holds no tokenizer" in load()
    (tmp_path / "tokenizer").rename(copy / "tokenizer.json")

    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "cannot be loaded" in load()
    (copy / "model.safetensors").unlink()
    assert "holds no weights" in load()
    save_model(copy, build_model(num_hidden_layers=1), None)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2, "layer_types": None}))
    assert "lacks 12 of its weights, first 'model.layers.1." in load()
    (copy / "config.json").write_text(
        json.dumps({**config, "architectures": ["Qwen2ForSequenceClassification"]})
    )
    assert "scores instead of writing" in load()
    (copy / "config.json").write_text("{")
    assert "cannot be loaded" in load()


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("We couldn't connect to the hub.\nCheck your internet connection.")

    monkeypatch.setattr("rmr1.engines.hf.loading.AutoConfig.from_pretrained", refuse)
    text = complain(lambda: TransformersEngine("owner/name", device="cpu"), CheckpointError)
    assert text.startswith(
        "model 'owner/name' cannot be loaded: We couldn't connect to the hub; check the name"
    )


def test_missing_torch_is_one_line() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from rmr1.engines import load_engine\n"
        "from rmr1.errors import ConfigError\n"
        "try: load_engine('owner/name')\n"
        "except ConfigError as error: print(error)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" in found.stdout and "pip install 'rmr1[hf]'" in found.stdout


def test_a_prompt_beyond_the_models_vocabulary_is_an_error_of_its_own(tmp_path: Path) -> None:
    save_model(tmp_path, build_model(vocab_size=300), build_tokenizer())
    engine = TransformersEngine(str(tmp_path), device="cpu")
    (found,) = answer(engine, ask("</answer> capital"))
    assert found.finish_reason == "error" and "do not fit" in str(found.error)


@pytest.mark.parametrize(
    ("sizes", "limits", "expected"),
    [
        ([], {}, []),
        ([(5, 5)] * 5, {"batch_size": 2}, [[0, 1], [2, 3], [4]]),
        ([(5, 5)] * 4, {"batch_size": 4, "num_samples": 2}, [[0, 1], [2, 3]]),
        ([(5, 5)] * 2, {"batch_size": 4, "num_samples": 9}, [[0], [1]]),
        # 2 rows of 90 + 10 are 200 tokens; the third would make it 300
        ([(90, 10), (50, 10), (40, 10), (5, 1)], {"max_batch_tokens": 200}, [[0, 1], [2, 3]]),
        ([(90, 1), (50, 30)], {"max_batch_tokens": 200}, [[0], [1]]),
        ([(500, 10), (5, 5)], {"max_batch_tokens": 200}, [[0], [1]]),
        ([(90, 1), (80, 1), (10, 1)], {"max_prefill_tokens": 180}, [[0, 1], [2]]),
    ],
)
def test_plan_batches(
    sizes: list[tuple[int, int]], limits: dict[str, int], expected: list[list[int]]
) -> None:
    samples = limits.pop("num_samples", 1)
    settings = {"batch_size": 99, "max_batch_tokens": 10**6, "max_prefill_tokens": 10**6}
    batching = Batching(**{**settings, **limits})
    assert list(plan_batches(sizes, batching, num_samples=samples)) == expected


def test_every_merge_style_is_covered() -> None:
    assert set(MERGES) - {"lopsided"} <= set(PIECES)


def test_a_text_that_nobody_waits_for_ends_and_takes_no_neighbour_along(engine: TransformersEngine) -> None:
    asked = 0

    def is_wanted() -> bool:
        nonlocal asked
        asked += 1
        return asked <= 3

    left = replace(ask(WORDS[1], "left"), is_wanted=is_wanted)
    stays = replace(ask(WORDS[2], "stays"), is_wanted=lambda: True)
    found = {one.key: texts[0] for one, texts in engine.generate([left, stays], GREEDY)}
    assert (found["left"].finish_reason, found["left"].error) == ("error", UNWANTED)
    assert found["stays"] == answer(engine, ask(WORDS[2], "stays"))[0]
    assert asked < GREEDY.max_new_tokens
