"""A turn of pieces -> the same as Markdown, code and maths, with the quotations in it marked."""

from __future__ import annotations

from rmr1.report.pieces import Turn


def format_turn(turn: Turn) -> Turn:
    return turn
