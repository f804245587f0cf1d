"""A mistake on the command line is one line that names the nearest right word."""

from __future__ import annotations

import pytest

from rmr1.cli.main import build_parser, main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jugde"], "rmr1: unknown verb 'jugde'; did you mean judge? (rmr1 --help)"),
        (
            ["judge", "p", "--modle", "x"],
            "rmr1 judge: unknown option --modle; did you mean --model? (rmr1 judge --help)",
        ),
        (["show", "--rong"], "rmr1 show: unknown option --rong; did you mean --wrong? (rmr1 show --help)"),
        (["probe", "laek", "f"], "rmr1 probe: unknown action 'laek'; did you mean leak? (rmr1 probe --help)"),
        (["judge", "--debug"], "rmr1 judge: unknown option --debug (rmr1 judge --help)"),
        (["judge", "p", "--order", "boht"], "'boht' is unknown; did you mean both?"),
        (["judge", "p", "--limit", "x"], "rmr1 judge: --limit: 'x' is not a whole number"),
        (["sft"], "rmr1 sft: RECIPE is missing (rmr1 sft --help)"),
        (["judge", "p", "--lim", "3"], "unknown option --lim"),
        (["show", "r", "--\x1b[31m\nx"], "unknown option --\\x1b[31m\\nx"),
    ],
)
def test_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    err = capsys.readouterr().err
    assert end.value.code == 2 and said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("word", "near"), [("rewardbnech", "rewardbench"), ("RM-Bench", "rm-bench"), ("judgebnch", "judgebench")]
)
def test_a_benchmark_is_suggested(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", word, "-m", "scripted:longer"]) == 2
    assert capsys.readouterr().err == f"rmr1: no benchmark {word!r}; did you mean {near}?\n"
    assert main(["bench", "zzz", "-m", "scripted:longer"]) == 2
    assert "there are rewardbench, " in capsys.readouterr().err


def test_values_may_begin_with_a_dash() -> None:
    found = build_parser().parse_args(["judge", "--a", "-5", "--b", "-yes", "--question", "-x y", "-n", "3"])
    assert (found.a, found.b, found.question, vars(found)["sampling.num_samples"]) == (
        "-5",
        "-yes",
        "-x y",
        3,
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["judge", "a", "-m", "x", "b"], {"pairs": ["a", "b"], "model": "x"}),
        (["judge", "-m", "x", "--", "a", "-b"], {"pairs": ["a", "-b"], "model": "x"}),
        (["judge", "--", "-b.jsonl"], {"pairs": ["-b.jsonl"]}),
        (["judge", "a", "--quiet", "--", "--json", "--"], {"pairs": ["a", "--json", "--"], "json": False}),
        (
            ["judge", "--thinking", "<a>", "</a>", "p"],
            {"pairs": ["p"], "sampling.thinking": [["<a>", "</a>"]]},
        ),
        (["judge", "--a=--", "p"], {"pairs": ["p"], "a": "--"}),
        (["judge", "-5", "--seed", "-5"], {"pairs": ["-5"], "seed": -5}),
        (["merge", "-o", "x", "-5", "--", "-b"], {"base": "-5", "adapter": "-b", "output": "x"}),
        (["merge", "a", "-o", "x", "b"], {"base": "a", "adapter": "b"}),
        (["show", "--", "-r"], {"run_folder": "-r"}),
        (["probe", "leak", "--map", "a=b", "--", "-x"], {"data": ["-x"], "map": ["a=b"]}),
        (["bench", "f", "--fail-under", "-3", "pairs"], {"benchmark": ["f", "pairs"], "fail_under": -3.0}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_positional_arguments_anywhere(words: list[str], expected: dict[str, object]) -> None:
    found = vars(build_parser().parse_args(words))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["judge", "--a", "--", "p"], "--a needs a value; write --a=VALUE"),
        (["judge", "--thinking", "<a>"], "--thinking needs 2 values"),
        (["judge", "--limit", "--json", "p"], "--limit needs a value"),
        (["merge", "a", "--", "b", "c"], "-o/--output is missing"),
        (["merge", "-o", "x", "--", "a", "b", "-c"], "'-c' is one argument too many"),
        (["show", "--wrong"], "RUN is missing"),
        (["probe", "leak", "--json"], "DATA is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_missing_or_too_much(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(words)
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["judge", "a", "-h"], ["judge", "a", "--help", "b"], ["probe", "leak", "x", "-h"]]
)
def test_help_anywhere(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        build_parser().parse_args(words)
    assert end.value.code == 0 and capsys.readouterr().out.startswith(f"usage: rmr1 {words[0]}")
