"""A listener that keeps what it hears."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Listening:
    """Folds what it hears; may stop to listen after so many pieces."""

    most: int = 10**9
    texts: dict[int, str] = field(default_factory=dict)
    num_pieces: int = 0
    num_taken_back: int = 0

    @property
    def is_there(self) -> bool:
        return self.num_pieces < self.most

    def hear(self, sample: int, start: int, delta: str) -> None:
        known = self.texts.get(sample, "")
        assert start <= len(known)
        self.num_taken_back += start < len(known) and not (known[:start] + delta).startswith(known)
        self.texts[sample] = known[:start] + delta
        self.num_pieces += 1
