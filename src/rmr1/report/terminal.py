"""A judgment as a person wants to read it, on a terminal or in a pipe.

Everything that came from outside is printed as inert text: control characters are shown, not sent.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import exp

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rmr1.audit.quotes import LinkedQuote, answer_text, link_quotes
from rmr1.console import Console
from rmr1.errors import DataError
from rmr1.messages import Messages
from rmr1.prompts.render import format_weight
from rmr1.records import CriterionScores, Judgment, PreferencePair, Vote
from rmr1.report.diff import diff_words
from rmr1.report.numbered import Numbers, format_turns
from rmr1.report.pieces import mark_reasons, mark_turns
from rmr1.report.tables import Cell, make_table
from rmr1.screen import inert, one_line
from rmr1.verdicts.probability import tell_probability

_ONLY = {"a": ("[-", "-]", "red"), "b": ("{+", "+}", "green")}
"""Marks and colour of what is in one answer only."""

PROBLEM_TEXTS = {
    "empty": "the judge wrote nothing",
    "no_verdict": "the judge gave no verdict",
    "unclosed_thinking": "the judge never stopped thinking",
    "ambiguous": "the judge marked both sides",
    "contradiction": "the judge gave two different verdicts",
    "malformed_verdict": "the verdict is malformed",
    "unknown_label": "the verdict names no side of this prompt",
    "no_ratings": "the judge gave no usable ratings",
    "truncated": "the text was cut at its token limit before a verdict",
    "generation_failed": "the engine gave no text",
    "prompt_too_long": "the prompt is longer than the model's context",
    "split_vote": "the votes are split",
    "no_probability": "the engine did not tell the probability of each vote",
    "abstained": "no stage was sure enough, a person has to decide",
    "no_rubric": "the rubric that the question's judgments share could not be read",
}


def print_judgment(console: Console, key: str, judgment: Judgment, *, has_difference: bool = False) -> None:
    """Question, the answers with what the judge quoted, its reasoning and the verdict; with `has_difference`, A and B
    are shown as what is only in one of them."""
    pair, quotes = judgment.pair, link_quotes(judgment)
    numbers = Numbers(quotes)
    title = Text.assemble(("Pair ", "bold"), (one_line(pair.id), "bold cyan"))
    if pair.subset:
        title.append(f"  {one_line(pair.subset)}", style="dim")
    title.append(f"  {one_line(key[:12])}", style="dim")
    console.rule(title, align="left")
    print_panel(console, "Question", _conversation(pair.prompt))
    sides = list(zip("ABCD", pair.responses, strict=False))
    if has_difference:
        print_panel(
            console, f"{_name_answer('A', judgment)} and {_name_answer('B', judgment)}", _compare(pair)
        )
        del sides[:2]
    for side, response in sides:
        turns = mark_turns(response, [one for one in quotes if one.side == side])
        style = "green" if pair.label == side else "dim"
        print_panel(console, _name_answer(side, judgment), format_turns(turns, numbers), style=style)
    if judgment.scores is not None:
        console.print(f"scores: A {judgment.scores[0]:.4f}, B {judgment.scores[1]:.4f}", highlight=False)
    for number in range(len(judgment.votes)):
        _print_vote(console, judgment, number, [one for one in quotes if one.vote == number], numbers)
    console.print(verdict_line(judgment))
    console.print()


def print_panel(console: Console, title: str, body: RenderableType, *, style: str = "dim") -> None:
    """Print a body in a frame with its title; a `str` is inert text of several lines."""
    shown = Text(inert(body)) if isinstance(body, str) else body
    console.print(Panel(shown, title=Text(one_line(title)), title_align="left", border_style=style))


def format_judgment(judgment: Judgment) -> str:
    """What `print_judgment` prints, as plain text of the terminal's width."""
    page = io.StringIO()
    console = Console(file=page, color_system=None, force_terminal=False, force_jupyter=False)
    print_judgment(console, "", judgment)
    return page.getvalue().rstrip()


def verdict_line(judgment: Judgment) -> Text:
    """`Verdict: B is better (right)`, coloured where colours are on."""
    line = Text("Verdict: ", style="bold")
    if judgment.winner is None:
        line.append(
            f"none, {PROBLEM_TEXTS.get(judgment.problem or '', one_line(judgment.problem or 'unknown'))}",
            style="yellow",
        )
    elif judgment.winner == "tie":
        line.append("a tie")
    else:
        line.append(f"{one_line(judgment.winner)} is {'best' if judgment.kind == 'choice' else 'better'}")
    if judgment.confidence is not None and len(judgment.votes) > 1 and judgment.vote_by == "majority":
        line.append(f", {round(judgment.confidence * len(judgment.votes))} of {len(judgment.votes)} votes")
    if (probability := tell_probability(judgment)) is not None:
        line.append(f", P(A) {probability:.3f}" + (" calibrated" if judgment.calibrated is not None else ""))
    if judgment.stages:
        line.append(f", by stage {one_line(judgment.stages[-1].stage)}")
    if judgment.correct is not None:
        label = judgment.pair.label
        line.append(
            " (right)" if judgment.correct else f" (wrong, the label is {one_line(str(label))})",
            style="green" if judgment.correct else "red",
        )
    else:
        line.append(" (not labelled)", style="dim")
    return line


def _name_answer(side: str, judgment: Judgment) -> str:
    marks = ["preferred"] * (judgment.pair.label == side)
    marks += ["chosen by the judge"] * (judgment.winner == side)
    return f"Answer {side}" + (f" ({', '.join(marks)})" if marks else "")


def _compare(pair: PreferencePair) -> Text:
    """Both answers in one text, as `git diff --word-diff` writes it."""
    try:
        found = diff_words(answer_text(pair.response_a), answer_text(pair.response_b))
    except DataError as error:
        return Text(f"{one_line(error.message)}", style="yellow")
    unit = "words" if found.unit == "word" else "whole lines, because a stretch is too long for words"
    body = Text(f"{found.share:.0%} of the characters in both; ", style="dim")
    body.append("[-only in A-]", style=_ONLY["a"][2]).append(" ").append("{+only in B+}", style=_ONLY["b"][2])
    body.append(f", by {unit}\n\n")
    for piece in found.pieces:
        if piece.kind == "same":
            body.append(inert(piece.text))
        else:
            before, after, style = _ONLY[piece.kind]
            body.append(f"{before}{inert(piece.text)}{after}", style=style)
    return body


def _print_vote(
    console: Console, judgment: Judgment, number: int, quotes: Sequence[LinkedQuote], numbers: Numbers
) -> None:
    vote = judgment.votes[number]
    trace = vote.verdict.trace
    parts: list[RenderableType] = []
    if trace.thinking:
        parts.append(_section("Thinking", trace.thinking))
    if trace.rubric:
        rows = [
            ("-" if item.weight is None else format_weight(item.weight), Text(inert(item.text)))
            for item in trace.rubric
        ]
        parts.append(make_table(("Weight", "Rubric"), rows, texts=0, has_notes=True))
    if judgment.criteria:
        parts.append(_tabulate_scores(judgment, vote))
    if trace.justification:
        parts.append(_section("Why this rubric", trace.justification))
    if trace.solution:
        parts.append(_section("Own solution", trace.solution))
    left, summaries = quotes, trace.summaries
    if trace.evaluation is not None:
        turn = mark_reasons(vote, quotes)
        parts.append(_section("Evaluation", format_turns([turn], numbers, has_sides=True)))
        shown = {piece.quote for piece in turn.pieces}
        left, summaries = [one for one in quotes if one not in shown], ()
    if left or summaries:
        evidence: list[tuple[Cell, ...]] = [
            (
                f"[{numbers.of(one)}]",
                _side(one.said_side, vote),
                Text(f'"{inert(one.text)}"'),
                "yes" if one.is_found else Text("NOT FOUND", "red"),
            )
            for one in left
        ]
        note = Text("summary", style="dim")
        evidence += [("", _side(one.side, vote), Text(inert(one.text)), note) for one in summaries]
        table = make_table(("", "Of", "Evidence", "In the answer"), evidence, texts=4)
        for number in (0, 1, 3):
            table.columns[number].no_wrap = True
        parts.append(table)
    if not parts and vote.generation.text.strip():
        parts.append(_section("The judge wrote", vote.generation.text))
    if vote.generation.error:
        parts.append(_section("Error", vote.generation.error))
    is_rating = judgment.kind == "rating"
    parts.append(_vote_line(vote, is_rating=is_rating))
    head = f"Judge, {judgment.family}"
    if len(judgment.votes) > 1:
        head += f", vote {number + 1} of {len(judgment.votes)}"
    if trace.task_type:
        head += f": {trace.task_type} task"
    first = vote.name_in_pair("A")
    if is_rating:
        head += f", about answer {first} alone"
    elif first != "A":
        head += f" (it saw {first} first, as its A)"
    spaced = [one for part in parts for one in (part, Text())][:-1]
    print_panel(console, head, Group(*spaced), style="blue")


def _tabulate_scores(judgment: Judgment, vote: Vote) -> Table:
    """The criteria that the judge was given, with what each answer got in the pair's own names."""
    by_number = {one.criterion: one for one in vote.trace.scores}
    rows: list[tuple[Cell, ...]] = []
    for number, item in enumerate(judgment.criteria, start=1):
        found = by_number.get(number, CriterionScores(criterion=number))
        scores = ("-" if one is None else f"{one:g}" for one in (found.a, found.b))
        weight = "-" if item.weight is None else format_weight(item.weight)
        text = item.text if item.name is None else f"{item.name}: {item.text}"
        rows.append((*scores, weight, Text(inert(text))))
    num_scored = sum(one.is_complete for one in by_number.values())
    title = f"Criterion (scored {num_scored} of {len(rows)})"
    return make_table(("A", "B", "Weight", title), rows, texts=0, has_notes=True)


def _vote_line(vote: Vote, *, is_rating: bool) -> Text:
    verdict, generation = vote.verdict, vote.generation
    said = f"[[{verdict.winner}]]" if verdict.winner else f"no verdict ({verdict.problem})"
    if is_rating and verdict.ratings:
        said = f"{verdict.ratings[0]:g} of 10"
    verb = "said "
    if verdict.winner and not generation.text:
        said, verb = verdict.winner, "chose "
    line = Text.assemble((verb, "dim"), (one_line(said), "bold"))
    if generation.verdict_logprobs:
        shares = ", ".join(
            f"P({one_line(label)}) = {exp(min(value, 0.0)):.3f}"
            for label, value in generation.verdict_logprobs
        )
        line.append(f"  {shares}", style="dim")
    if verb == "said ":
        ended = f"ended by {one_line(generation.finish_reason)}"
        line.append(f"  {generation.completion_tokens} tokens, {ended}", style="dim")
    return line


def _side(side: str, vote: Vote) -> str:
    """The pair's name of a response; where the judge called it otherwise, its name too."""
    own = vote.name_in_pair(side)
    return side if own == side else f"{own} (its {side})"


def _section(title: str, text: str | Text) -> Text:
    return Text.assemble((f"{title}\n", "bold"), inert(text.strip()) if isinstance(text, str) else text)


def _conversation(messages: Messages) -> Text:
    if len(messages) == 1:
        return Text(inert(messages[0].text))
    body = Text()
    for number, message in enumerate(messages):
        body.append(("\n" if number else "") + f"{one_line(message.role)}: ", style="bold")
        body.append(inert(message.text))
    return body
