"""The prompt of the second pass: the plain judge prompt, then the right verdict and the judgment that missed it.

It is sent and never stored; what it holds beyond the plain prompt is the note in `second_pass.txt` (arXiv
2505.02387, section 3.2; in the reference's script too the verdict, the request and the wrong judgment follow the
user's message). Of a judgment that is right and fails another check `second_pass_right.txt` says so. One's own note is
a text file with the fields {prompt}, {verdict} and {judgment}, and serves for both.
"""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from rmr1.errors import ConfigError
from rmr1.messages import Message
from rmr1.records import JudgePrompt

_FIELDS = ("prompt", "verdict", "judgment")
_FIELD = re.compile(r"\{(prompt|verdict|judgment)\}")

JUDGMENT_START = "[The Start of the Earlier Judgment]"
JUDGMENT_END = "[The End of the Earlier Judgment]"
_CUT = "\n[... a part is left out here ...]\n"


class SecondPrompt(NamedTuple):
    """How a pair is asked about again."""

    template: str
    template_right: str
    """The one for an earlier judgment whose verdict is right."""
    max_judgment_chars: int

    def render(
        self, prompt: JudgePrompt, verdict: str, judgment: str, *, is_right: bool = False
    ) -> JudgePrompt:
        """`prompt` with the note; `judgment` is what was written before, and may be empty."""
        judgment = judgment.strip()
        if len(judgment) > self.max_judgment_chars:
            half = self.max_judgment_chars // 2
            judgment = judgment[:half] + _CUT + judgment[len(judgment) - half :]
        framed = f"\n{JUDGMENT_START}\n{judgment}\n{JUDGMENT_END}"
        values = {
            "prompt": prompt.messages[-1].text,
            "verdict": verdict,
            "judgment": framed if judgment and self.max_judgment_chars else "",
        }
        template = self.template_right if is_right else self.template
        # In one pass: braces in the data stay text.
        content = _FIELD.sub(lambda match: values[match[1]], template).rstrip("\n")
        return replace(prompt, messages=(*prompt.messages[:-1], Message(role="user", content=content)))


def load_second_prompt(template: str | None, max_judgment_chars: int) -> SecondPrompt:
    """The shipped notes, or the one in a file."""
    if template is None:
        folder = resources.files("rmr1.distill")
        text, right = (
            (folder / name).read_text("utf-8") for name in ("second_pass.txt", "second_pass_right.txt")
        )
    else:
        try:
            text = Path(template).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"pass2.template {template}: cannot be read ({reason})") from None
        missing = [name for name in _FIELDS[:2] if f"{{{name}}}" not in text]
        if missing:
            raise ConfigError(
                f"pass2.template {template}: it lacks {{{missing[0]}}}; it may hold "
                "{prompt}, {verdict} and {judgment}, and needs the first two"
            )
        right = text
    return SecondPrompt(template=text, template_right=right, max_judgment_chars=max_judgment_chars)
