"""Tells a listener how one row's text goes on, token by token; for the engines that hold a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from rmr1.engines.base import Request
from rmr1.engines.hf.reader import MARK_CHARS, Prepared, find_opening
from rmr1.engines.hf.tokens import TextStream


@dataclass(slots=True)
class Telling:
    """What was told of one text. Nothing of it is taken back."""

    prepared: Prepared
    number: int
    """The number of the sample."""
    stream: TextStream
    _held: str = ""
    _num_told: int = 0

    @property
    def request(self) -> Request:
        return self.prepared.request

    def tell(self) -> None:
        """Tell what is new, if anybody listens. Of a text whose prompt has opened the thinking, the beginning waits until it
        is known whether the model repeats the mark (`find_opening`)."""
        listener = self.request.listener
        if listener is None or not listener.is_there:
            return
        piece = self.stream.hear()
        opening = self.prepared.opening
        if opening and not self._num_told:
            self._held += piece
            if len(self._held) < len(opening) + MARK_CHARS:
                return
            piece = find_opening(opening, self._held, self.prepared.thinking) + self._held
            self._held = ""
        if piece:
            listener.hear(self.number, self._num_told, piece)
            self._num_told += len(piece)
