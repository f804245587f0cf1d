"""Settings files: every mistake is told at once, with its key and line, before anything heavy is imported."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field

from rmr1.errors import ConfigError, DataError, SettingsError
from rmr1.named import find_missing_function, find_missing_model
from rmr1.settings import Mistakes, Section, check_settings, find_line, rule

SFT = """\
seeed = 1
[model]
base = "./nowhere/model"
precision = "fp64"
[data]
train = "traces.jsonl"
held_out = 5
held_out_share = 1.5
[batch]
[optim]
betas = [0.9, 1.5]
"""
SFT_TOLD = (
    "line 1: unknown key 'seeed'; did you mean 'seed'?",
    "line 3: model.base: './nowhere/model': no such folder, and not a Hugging Face name",
    "line 4: model.precision: input should be 'fp32', 'bf16' or 'bf16-pure', got 'fp64'",
    "line 6: data.train: traces.jsonl: no such file or folder",
    "line 7: data.held_out: input should be a valid string or a valid tuple, got 5",
    "line 8: data.held_out_share: input should be less than 1, got 1.5",
    "line 9: batch: name either examples or tokens of a step",
    "line 11: optim.betas.1: input should be less than 1, got 1.5",
)
GRPO = """\
preset = "rm-r1-7b"
[data]
train = "gone.csv"
format = "skywrk"
family = "rubrik"
order = "both"
[rollout]
prompts = 9
temperature = -1
[update]
prompts = 3
[objective]
options = ["dapo"]
[rewards]
verdit = 1.0
"own.py:score" = 0.5
"mine.py:scores" = 0.5
"no_such_module:f" = 0.5
[model]
base = "org/name"
"""
GRPO_TOLD = (
    "line 1: unknown preset 'rm-r1-7b'; expected one of rm-r1-qwen-7b",
    "line 3: data.train: gone.csv: no such file or folder",
    "line 4: data.format: no data format 'skywrk'; did you mean 'skywork'?",
    "line 5: data.family: prompt family 'rubrik' is not known",
    # Said of the whole, although a section that it is about has a mistake of its own.
    'with data.order "both" update.prompts must be even',
    "line 9: rollout.temperature: input should be greater than 0, got -1",
    "line 12: objective: option 'dapo' is not known; expected one of clip-higher",
    "line 15: rewards.verdit: reward 'verdit' is not known; did you mean 'verdict'?",
    "line 16: rewards.own.py:score: own.py cannot be read (No such file or directory)",
    "line 17: rewards.mine.py:scores: mine.py has no function 'scores'; did you mean 'score'?",
    "line 18: rewards.no_such_module:f: there is no module 'no_such_module'",
)
SCALAR = """\
[model]
from_scratch = { heads = 3, colour = "red" }
[data]
world = { items = 0 }
[batch]
examples = 6
examples_at_once = 4
[optim]
lr = [1e-3, 1e-3]
muon_lr = [1e-3]
"""
SCALAR_TOLD = (
    "line 2: unknown key 'model.from_scratch.colour'",
    "line 2: model.from_scratch: hidden_size must be an even number of times heads",
    "line 2: model.from_scratch: heads must be a multiple of kv_heads",
    "line 4: data.world.items: input should be greater than or equal to 1, got 0",
    "line 5: batch: examples must be a multiple of examples_at_once",
    "line 8: optim: lr names a rate twice",
    "line 8: optim: lr has 2 rates and muon_lr 1",
)
CURATE = """\
[filters]
tie = "drop"
[sources.mine]
data = "no.jsonl"
tak = 5
[sources.other]
data = "$RMR1_NOWHERE/x.jsonl"
take = 1
share = 0.5
[sources.third]
[splits]
card = 0.5
"""
CURATE_TOLD = (
    "line 2: unknown key 'filters.tie'; did you mean 'ties'?",
    "line 5: unknown key 'sources.mine.tak'; did you mean 'take'?",
    "line 4: sources.mine.data: no such file or folder: no.jsonl",
    "line 7: sources.other.data: '$RMR1_NOWHERE/x.jsonl' needs the environment variable RMR1_NOWHERE",
    "line 6: sources.other: name one of take, share and weight",
    "line 10: 'sources.third.data' is missing",
    "splits: 'card' is the name of another file; choose another",
    "splits: the shares add up to 0.5 with 0 of 'rest'",
)
DISTILL = """\
budget = "much"
family = "nope"
[data]
[pass1]
teacher = "scripted:nobody"
samples = 2
[pass2]
teacher = "longer one"
template = "gone.txt"
"""
DISTILL_TOLD = (
    "line 1: budget: budget 'much': expected tokens",
    "line 2: family: prompt family 'nope' is not known",
    "line 3: data: name either train, a file of pairs, or [data.world]",
    "line 5: pass1.teacher: scripted judge 'nobody' is not known",
    "line 4: pass1: 2 samples at temperature 0 would all be the same text",
    "line 8: pass2.teacher: 'longer one': no such folder, and not a Hugging Face name",
    "line 9: pass2.template: gone.txt: no such file",
)
TRAIN = """\
preset = "rm-r1-qwen-8b"
seed = "x"
[curate]
sources = { mine = { data = "no.jsonl", tak = 5 } }
[distill]
pass1 = { teacher = "foo:nobody" }
[sft]
optim = { lr = -1 }
[grpo]
rollot = {}
[bench]
benchmarks = ["rewardbnch", "pairs"]
judge = { ordr = "both" }
"""
TRAIN_TOLD = (
    "line 1: unknown preset 'rm-r1-qwen-8b'; expected one of rm-r1-qwen-7b",
    "line 2: seed: input should be a valid integer",
    "line 4: unknown key 'curate.sources.mine.tak'; did you mean 'take'?",
    "line 4: curate.sources.mine.data: no such file or folder: no.jsonl",
    "line 6: distill.pass1.teacher: unknown prefix 'foo:' of a model name",
    "line 8: sft.optim.lr: input should be greater than 0, got -1",
    "line 10: unknown key 'grpo.rollot'; did you mean 'rollout'?",
    "line 11: bench: no benchmark 'rewardbnch'; did you mean 'rewardbench'?",
    'line 11: bench: "pairs" stands alone',
    "line 13: unknown key 'bench.judge.ordr'; did you mean 'order'?",
)
JUDGE = """\
modell = "x"
[sampling]
temperature = "hot"
[data]
limit = 0
"""
JUDGE_TOLD = (
    "line 1: unknown key 'modell'; did you mean 'model'?",
    "line 3: sampling.temperature: input should be a valid number",
    "line 5: data.limit: input should be greater than or equal to 1, got 0",
)

SFT_LATE = """\
[model]
base = "tiny-scalar"
[data]
train = ["gone.jsonl", 5, "none*.jsonl"]
[batch]
examples = 2
[report]
report_to = "nosuch"
[lora]
alphas = 1
"""
SFT_LATE_TOLD = (
    "line 2: model.base: tiny-scalar is a scalar reward model, which writes no judgments",
    "line 4: data.train.1: input should be a valid string, got 5",
    "line 4: data.train: gone.jsonl: no such file or folder",
    "line 4: data.train: none*.jsonl: no file fits this pattern",
    "line 8: report.report_to: 'nosuch' is not a tracker that is installed",
    "line 10: unknown key 'lora.alphas'; did you mean 'alpha'?",
)
GRPO_LATE = """\
overlong_buffer = 99999
steps = 3
[model]
base = "tiny"
[data]
train = "gone.jsonl"
[optim]
max_new_tokens = 5
[rewards]
verdict = "much"
quots = 1.0
overlong = 0.5
"""
GRPO_LATE_TOLD = (
    "line 1: overlong_buffer is 99999; expected at most rollout.max_new_tokens, 8192",
    "line 2: unknown key 'steps'; did you mean 'optim.steps'?",
    "line 6: data.train: gone.jsonl: no such file or folder",
    "line 8: unknown key 'optim.max_new_tokens'; did you mean 'rollout.max_new_tokens'?",
    "line 10: rewards.verdict: input should be a valid number",
    "line 11: rewards.quots: reward 'quots' is not known; did you mean 'quotes'?",
)
DISTILL_LATE = """\
nosuch = 1
[data]
train = "gone.jsonl"
[pass1]
teacher = "tiny"
engine = { devise = "cpu", batch_size = 0 }
[pass2]
teacher = "openai:a@http://127.0.0.1:1/v1"
[pass2.engine]
concurency = 1
"""
DISTILL_LATE_TOLD = (
    "line 1: unknown key 'nosuch'",
    "line 3: data.train: gone.jsonl: no such file or folder",
    "line 6: pass1: unknown key 'engine.devise' for TransformersEngine; did you mean 'device'?",
    "line 6: pass1: engine.batch_size is 0; expected a positive number",
    "line 10: pass2: unknown key 'engine.concurency' for OpenAIEngine; did you mean 'concurrency'?",
)
TRAIN_LATE = """\
[curate]
sources = { mine = { data = "gone.jsonl" } }
[grpo]
steps = 1
model = { base = "short" }
[bench]
benchmarks = ["rewardbnch", 5]
[bench.judge]
family = "nosuch"
[bench.judge.sampling]
temperature = "hot"
[bench.judge.engine]
devise = "cpu"
dtype = "fp"
"""
TRAIN_LATE_TOLD = (
    "curate.sources.mine.data: no such file or folder: gone.jsonl",
    "line 4: unknown key 'grpo.steps'; did you mean 'grpo.optim.steps'?",
    "line 7: bench.benchmarks.1: input should be a valid string, got 5",
    "line 6: bench: no benchmark 'rewardbnch'; did you mean 'rewardbench'?",
    "line 8: bench.judge: prompt family 'nosuch' is not known",
    "line 11: bench.judge.sampling.temperature: input should be a valid number",
    "line 13: bench.judge: unknown key 'engine.devise' for TransformersEngine; did you mean 'device'?",
    "line 14: bench.judge: engine.dtype 'fp' is not known; expected 'auto', 'float32'",
)
JUDGE_LATE = """\
nosuch = 1
[engine]
devise = "cpu"
max_model_len = "long"
"""
JUDGE_LATE_TOLD = (
    "line 1: unknown key 'nosuch'",
    "line 3: unknown key 'engine.devise' for TransformersEngine; did you mean 'device'?",
    "line 4: engine.max_model_len: input should be a valid integer",
)

RUN = """\
import sys
from rmr1.cli.main import main
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "transformers", "pandas", "vllm", "datasets", "trl", "peft") if name in sys.modules]
print(code, heavy)
"""


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        (("sft", "r.toml", "-o", "x"), SFT, SFT_TOLD),
        (("grpo", "r.toml", "-o", "x"), GRPO, GRPO_TOLD),
        (("scalar", "r.toml", "-o", "x"), SCALAR, SCALAR_TOLD),
        (("curate", "r.toml", "-o", "x"), CURATE, CURATE_TOLD),
        (("distill", "run", "r.toml", "-o", "x"), DISTILL, DISTILL_TOLD),
        (("train", "r.toml", "-o", "x"), TRAIN, TRAIN_TOLD),
        (("judge", "pairs.jsonl", "--config", "r.toml"), JUDGE, JUDGE_TOLD),
        (("bench", "pairs", "pairs.jsonl", "--config", "r.toml"), JUDGE, JUDGE_TOLD),
        (("sft", "r.toml", "-o", "x"), SFT_LATE, SFT_LATE_TOLD),
        (("grpo", "r.toml", "-o", "x"), GRPO_LATE, GRPO_LATE_TOLD),
        (("distill", "run", "r.toml", "-o", "x"), DISTILL_LATE, DISTILL_LATE_TOLD),
        (("train", "r.toml", "-o", "x"), TRAIN_LATE, TRAIN_LATE_TOLD),
        (("train", "r.toml", "--dry-run"), TRAIN_LATE, TRAIN_LATE_TOLD),
        (("judge", "pairs.jsonl", "--config", "r.toml"), JUDGE_LATE, JUDGE_LATE_TOLD),
        (("bench", "pairs", "pairs.jsonl", "--config", "r.toml"), JUDGE_LATE, JUDGE_LATE_TOLD),
    ],
    ids=(
        *("sft", "grpo", "scalar", "curate", "distill", "train", "judge", "bench"),
        *("sft-late", "grpo-late", "distill-late", "train-late", "train-dry", "judge-late", "bench-late"),
    ),
)
def test_all_mistakes_are_told_before_anything_heavy_loads(
    tmp_path: Path, words: tuple[str, ...], text: str, told: tuple[str, ...]
) -> None:
    (tmp_path / "r.toml").write_text(text)
    (tmp_path / "mine.py").write_text("import torch\n\n\ndef score(sample):\n    return 1.0\n")
    run = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.stdout == "2 []\n", run.stderr
    heading, *lines = run.stderr.splitlines()
    assert heading == f"rmr1: r.toml: {len(told)} mistakes"
    missing = [one for one in told if not any(line.startswith(f"  {one}") or one in line for line in lines)]
    assert not missing and len(lines) == len(told), run.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        ("bench nosuch", "", "no benchmark 'nosuch'"),
        ("bench pairs pairs.jsonl gone*.jsonl -o x", "", "gone*.jsonl: no file fits this pattern"),
        ("bench pairs pairs.jsonl -m tiny -o x --dtype fp", "", "engine.dtype 'fp' is not known"),
        ("judge gone.jsonl", "", "gone.jsonl: no such file or folder"),
        ("judge pairs.jsonl -m ./nowhere", "", "'./nowhere': no such folder, and not a Hugging Face name"),
        ("judge pairs.jsonl -m tiny --adapter nowhere", "", "no adapter_config.json there"),
        (
            "judge pairs.jsonl -m tiny --batch-size 0",
            "",
            "engine.batch_size is 0; expected a positive number",
        ),
        ("judge pairs.jsonl -m tiny --family nosuch", "", "prompt family 'nosuch' is not known"),
        ("sft gone.toml -o x", "", "gone.toml: no such config file"),
        ("train gone.toml -o x", "", "gone.toml: no such config file"),
        (
            "sft r.toml -o x",
            '[model]\nbase = "tiny"\n[data]\ntrain = "pairs.jsonl"\nmax_tokens = 100000\n[batch]\nexamples = 1',
            "r.toml:5: data.max_tokens is 100000, and the model's context 8192; name at most that",
        ),
        (
            "scalar r.toml -o x",
            '[model]\nbase = "tiny"\n[data]\ntrain = "pairs.jsonl"\nmax_tokens = 100000',
            "r.toml:5: data.max_tokens is 100000, and the model's context 8192; name at most that",
        ),
        (
            "train r.toml -o x",
            '[curate]\nsources = { a = { data = "pairs.jsonl" } }\n[grpo]\nmodel = { base = "tiny" }\n'
            '[bench]\nmodel = "vllm:a/b"\njudge = { engine = { devise = "cpu" } }',
            "r.toml:7: bench.judge: unknown key 'engine.devise' for VLLMEngine",
        ),
        ("train pairs.jsonl --base tiny -o x --set grpo.steps=1", "", "did you mean 'grpo.optim.steps'?"),
        (
            "train pairs.jsonl --base tiny -o x --set steps=1",
            "",
            "did you mean 'sft.optim.steps' or 'grpo.optim.steps'?",
        ),
        ("probe bias gone*.csv", "", "gone*.csv: no file fits this pattern"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_heavy_loads(
    tmp_path: Path, words: str, text: str, told: str
) -> None:
    (tmp_path / "r.toml").write_text(text)
    rows = (
        f'{{"prompt": "q{number}?", "response_a": "a", "response_b": "b", "label": "{"AB"[number % 2]}"}}\n'
        for number in range(60)
    )
    (tmp_path / "pairs.jsonl").write_text("".join(rows))
    run = subprocess.run(
        [sys.executable, "-c", RUN, *words.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "2 []\n", run.stderr
    assert told in run.stderr and run.stderr.count("\n") == 1, run.stderr


class Inner(Section):
    low: int = 0
    high: int = 9

    @rule
    def _check(self) -> Iterator[str]:
        if self.low > self.high:
            yield f"low {self.low} is above high {self.high}"


class Outer(Section):
    inner: Inner = Inner()
    parts: dict[str, Inner] = Field(default_factory=dict)
    share: float = 0.5

    @rule
    def _check_share(self) -> Iterator[str]:
        if self.share * self.inner.high > 5:
            yield "too much"


def list_told(values: dict[str, object]) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        check_settings(Outer, values, "r.toml")
    return [one.text for one in raised.value.mistakes]


def test_a_rule_that_needs_an_unreadable_value_is_silent_and_others_are_not() -> None:
    assert list_told({"inner": {"low": 10}, "share": "much"}) == [
        "inner: low 10 is above high 9",
        "share: input should be a valid number, unable to parse string as a number, got 'much'",
    ]
    assert list_told({"inner": {"low": "x"}, "share": 1.0}) == [
        "inner.low: input should be a valid integer, unable to parse string as an integer, got 'x'",
        "too much",
    ]
    assert list_told({"parts": {"a": {"low": 10}, "b": {"hihg": 1}, "c": 3}, "share": 1.0}) == [
        "parts.a: low 10 is above high 9",
        "unknown key 'parts.b.hihg'; did you mean 'high'?",
        "parts.c: expected a section of keys and values, got 3",
        "too much",
    ]
    assert list_told({"share": float("nan")}) == ["share: input should be a finite number, got nan"]


def test_one_mistake_is_one_line_and_errors_survive_pickling(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("# note\nshare = 1.0\n")
    with pytest.raises(ConfigError) as raised:
        check_settings(Outer, {"shar": 1.0}, str(path))
    assert str(raised.value) == f"{path}: unknown key 'shar'; did you mean 'share'?"
    # The line is the file's only where the file says it, and not --set.
    for value, place in (("x", ""), (1.0, ":2")):
        mistakes = Mistakes(str(path))
        mistakes.add("no", ("share",), value=value)
        with pytest.raises(SettingsError) as raised:
            mistakes.tell()
        assert str(raised.value) == f"{path}{place}: no"
        copied = pickle.loads(pickle.dumps(raised.value))
        assert (copied.lines, copied.origin) == (raised.value.lines, str(path))


def test_what_was_raised_as_the_only_mistake_stays_what_it_was() -> None:
    mistakes = Mistakes("r.toml")
    with mistakes.catch():
        raise DataError("no such file", path="a.jsonl")
    with pytest.raises(DataError, match=r"^a\.jsonl: no such file$"):
        mistakes.tell()
    mistakes.add("another")
    with pytest.raises(SettingsError, match=r"r\.toml: 2 mistakes\n  a\.jsonl: no such file\n  another"):
        mistakes.tell()


def test_lines_of_keys() -> None:
    text = '''a = """
[b]
c = 1
"""
[b] # note
"c.d" = 1
e.f = 2
list = [
  1,
]
[b.g]
h = { i = 1 }
'''
    places = {
        ("a",): 1,
        ("b",): 5,
        ("b", "c.d"): 6,
        ("b", "e", "f"): 7,
        ("b", "list"): 8,
        ("b", "g"): 11,
        ("b", "g", "h", "i"): 12,
        ("b", "c"): None,
    }
    assert {place: find_line(text, place) for place in places} == places


@pytest.mark.parametrize(
    ("text", "function", "fault"),
    [
        ("def f(x): ...", "f", None),
        ("class f: ...", "f", None),
        ("f = len", "f", None),
        ("from math import sqrt as f", "f", None),
        ("if True:\n    def f(x): ...", "f", None),
        ("from os.path import *", "f", None),
        ("def g(x):\n    f = 1", "f", "has no function 'f'"),
        ("import nosuchlibrary\ndef f(x): ...", "f", "imports 'nosuchlibrary', which is not installed"),
        ("try:\n    import nosuchlibrary\nexcept ImportError: ...\ndef f(x): ...", "f", None),
        ("def f(x:", "f", ":1 is no Python: "),
    ],
)
def test_functions_by_path_are_looked_for_without_running_them(
    tmp_path: Path, text: str, function: str, fault: str | None
) -> None:
    file = tmp_path / "own.py"
    file.write_text(f"{text}\n")
    told = find_missing_function(f"{file}:{function}")
    assert told is None if fault is None else told is not None and fault in told


def test_functions_of_modules() -> None:
    assert find_missing_function("rmr1.named:find_missing_function") is None
    assert find_missing_function("rmr1.nomed:f") == "there is no module 'rmr1.nomed'"
    assert find_missing_function("verdict") is None
    assert find_missing_function(":f") == "expected 'module:function' or 'path/file.py:function'"


def test_models_by_name(tmp_path: Path) -> None:
    assert find_missing_model("tiny") is None and find_missing_model("org/name") is None
    assert "holds no config.json" in str(find_missing_model(str(tmp_path)))
    assert "no such folder" in str(find_missing_model("a b"))
