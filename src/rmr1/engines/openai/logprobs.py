"""Log-probabilities of the verdict letters, from what a chat-completions server reports.

A server names for each token of its text the most likely tokens at that place, twenty at most. The token that holds
the verdict letter is found by counting bytes, for tokens may split a character. As in `rmr1.engines.hf.tokens` the
piece is compared: `[[A` against `[[B`, ` A` against ` B`.

A label whose piece is not among the reported tokens is less likely than the last of them and than all that is left
over together; the smaller of these bounds stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, isnan, log, nan
from typing import Any, NamedTuple

_LOWEST = -9999.0
"""What servers write for a probability of zero; JSON knows no infinity."""
_CONTEXTS = (96, 32)


class VerdictLogprobs(NamedTuple):
    """The labels' log-probabilities, and the sum of their probabilities."""

    logprobs: tuple[tuple[str, float], ...]
    mass: float


class TokenLogprobs(NamedTuple):
    """One token of the text, and what could have stood in its place."""

    piece: bytes
    logprob: float
    """Not a number if the server did not say."""
    alternatives: tuple[tuple[bytes, float], ...]


def read_token_logprobs(value: Any) -> tuple[TokenLogprobs, ...] | None:
    """A choice's `logprobs` object as tokens; None if the server sent none or another form."""
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list) or not content:
        return None
    tokens = []
    for entry in content:
        own = _read_entry(entry)
        if own is None:
            return None
        others = [_read_entry(other) for other in entry.get("top_logprobs") or ()]
        known = tuple(other for other in others if other is not None and not isnan(other[1]))
        tokens.append(TokenLogprobs(*own, known))
    return tuple(tokens)


def align_verdict(
    tokens: Sequence[TokenLogprobs], content: str, span: tuple[int, int], labels: Sequence[str]
) -> VerdictLogprobs | None:
    """The labels' log-probabilities if `content[span]` is the verdict letter.

    `tokens` may hold more than `content`: reasoning that the server took out, or end tokens. None if the letter
    cannot be found among them, spans several, or shares its token with another word.
    """
    letter = content[slice(*span)]
    if (at := _find_letter(tokens, content, span)) is None:
        return None
    token, offset = at
    try:
        before = token.piece[:offset].decode()
        after = token.piece[offset + len(letter.encode()) :].decode()
    except UnicodeDecodeError:
        return None
    if before + letter + after != token.piece.decode() or any(char.isalnum() for char in before + after):
        return None
    known = known_at(token)
    if token.piece not in known:
        return None
    is_lower = letter == letter.lower() != letter.upper()
    pieces = [(before + (label.lower() if is_lower else label) + after).encode() for label in labels]
    if not known.keys() >= {*pieces} and not token.alternatives:
        return None
    bound = bound_others(known)
    logprobs = tuple((label, known.get(piece, bound)) for label, piece in zip(labels, pieces, strict=True))
    mass = sum(exp(known[piece]) for piece in pieces if piece in known)
    return VerdictLogprobs(logprobs, min(1.0, mass))


def known_at(token: TokenLogprobs) -> dict[bytes, float]:
    """Log-probabilities at the token's place: of the token itself, if the server told it, and of the alternatives."""
    known = dict(token.alternatives)
    if not isnan(token.logprob):
        known[token.piece] = token.logprob
    return known


def bound_others(known: Mapping[bytes, float]) -> float:
    """The highest log-probability that a token can have which is not in `known`, of which there is at least one."""
    rest, bound = 1.0 - sum(map(exp, known.values())), min(known.values())
    return max(_LOWEST, min(bound, log(rest)) if rest > 0.0 else bound)


def _read_entry(entry: Any) -> tuple[bytes, float] | None:
    if not isinstance(entry, dict):
        return None
    token, logprob, raw = entry.get("token"), entry.get("logprob"), entry.get("bytes")
    # Writers of JSON that know no infinity put null in its place, or in that of what is not a number.
    value = nan if logprob is None else logprob
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    piece = token.encode(errors="surrogatepass")
    if isinstance(raw, list):
        try:
            piece = bytes(raw)
        except (TypeError, ValueError):
            return None
    return piece, nan if isnan(value) or value == inf else max(_LOWEST, min(0.0, float(value)))


def _find_letter(
    tokens: Sequence[TokenLogprobs], content: str, span: tuple[int, int]
) -> tuple[TokenLogprobs, int] | None:
    """The letter's token, and the letter's offset in its bytes."""
    joined = b"".join(token.piece for token in tokens)
    start = len(content[: span[0]].encode(errors="surrogatepass"))
    end = start + len(content[slice(*span)].encode(errors="surrogatepass"))
    raw = content.encode(errors="surrogatepass")
    place = joined.rfind(raw.rstrip())
    place = place + start if place >= 0 and end <= len(raw.rstrip()) else -1
    for width in _CONTEXTS:
        if place >= 0:
            break
        context = raw[max(0, start - width) : end]
        # Only where there is no doubt: the same words may stand in the reasoning too.
        if joined.count(context) == 1:
            place = joined.find(context) + len(context) - (end - start)
    if place < 0:
        return None
    for token in tokens:
        if place < len(token.piece):
            return (token, place) if place + (end - start) <= len(token.piece) else None
        place -= len(token.piece)
    return None
