"""A turn of pieces -> the same as Markdown, code and maths, with the quotations in it marked."""

from __future__ import annotations
