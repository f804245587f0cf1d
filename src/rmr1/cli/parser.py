"""The parser of every verb: a mistake on the command line is one line that names it and the nearest right word."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from rmr1.nearest import suggest
from rmr1.screen import print

_LONG = re.compile(r"--[A-Za-z][\w-]*(=.*)?", re.DOTALL)
_NUMBER = re.compile(r"-\.?\d")
_KINDS = {"int": "a whole number", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that takes no abbreviations, says one line instead of a usage page, and takes a value that
    begins with a dash if it is no option. A verb's positional arguments may be anywhere among its options; they come
    from its `module`, which is imported when they are needed."""

    def __init__(self, *, module: str | None = None, **options: Any):
        super().__init__(**{"allow_abbrev": False, **options})
        self._module = module
        self._is_mixing = False
        self._behind_dashes: list[str] = []

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self._load()
        words = list(sys.argv[1:] if args is None else args)
        if self._is_mixing:  # a round of `parse_known_intermixed_args`: options, then the others
            found, rest = super().parse_known_args(words, namespace)
            self._behind_dashes, behind = [], self._behind_dashes
            return found, [*rest, *behind]
        words = self._attach_values(words)
        if self._subparsers is not None:
            found, rest = super().parse_known_args(words, namespace)
        else:
            if "--" in words:  # what stands behind it is for the second round, whatever it looks like
                place = words.index("--")
                words, self._behind_dashes = words[:place], words[place:]
            self._is_mixing = True
            try:
                found, rest = self.parse_known_intermixed_args(words, namespace)
            finally:
                self._is_mixing = False
        if rest:
            self.error(f"{rest[0]!r} is one argument too many")
        return found, rest

    def format_help(self) -> str:
        self._load()
        return super().format_help()

    def _load(self) -> None:
        if self._module is not None:
            module, self._module = import_module(self._module), None
            self.description = module.__doc__
            module.add_arguments(self)
            self.set_defaults(run=module.run)

    def error(self, message: str) -> NoReturn:
        """One line on standard error; exit code 2."""
        print(f"{self.prog}: {_reword(message)} ({self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)

    def _attach_values(self, words: list[str]) -> list[str]:
        """`--a -x` as `--a=-x`: the word after an option that takes one value is its value, unless it is an option.

        An unknown option is refused here, before what is missing: a mistyped one is often why it is.
        """
        attached: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return [*attached, word, *words]
            name = word.partition("=")[0]
            looks_like_option = word.startswith("-") and word != "-" and " " not in name
            if looks_like_option and not _NUMBER.match(word) and not self._is_known(word):
                options = [one for one in self._option_string_actions if one.startswith("--")]
                self.error(f"unknown option {name}{suggest(name, options)}")
            action = self._option_string_actions.get(word)
            if action is not None and action.nargs is None and words:
                value = words[0]
                if not value.startswith("-"):
                    attached.append(word)
                    word = words.pop(0)
                elif value not in ("-", "--") and not _LONG.fullmatch(value) and not self._is_known(value):
                    word = f"{word}{'=' if word.startswith('--') else ''}{words.pop(0)}"
            attached.append(word)
        return attached

    def _is_known(self, word: str) -> bool:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        return name in self._option_string_actions

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(one) for one in action.choices]
        is_verb = isinstance(action, argparse._SubParsersAction)
        what = f"unknown {str(action.metavar).lower()} {value!r}" if is_verb else f"{value!r} is unknown"
        text = f"{what}{suggest(str(value), choices) or '; expected ' + _join(choices)}"
        raise argparse.ArgumentError(None if is_verb else action, text)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and action.nargs is None and arg_strings == ["--"]:
            return self._get_value(action, "--")  # `--a=--`, of which argparse makes an empty list
        return super()._get_values(action, arg_strings)


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _reword(message: str) -> str:
    if match := re.fullmatch(r"the following arguments are required: (.*)", message, re.DOTALL):
        names = match[1].split(", ")
        return f"{_join(names).replace(' or ', ' and ')} {'is' if len(names) == 1 else 'are'} missing"
    if match := re.fullmatch(r"argument ([^:]*): invalid (int|float) value: (.*)", message, re.DOTALL):
        return f"{match[1]}: {match[3]} is not {_KINDS[match[2]]}"
    if match := re.fullmatch(r"argument ([^:]*): expected one argument", message):
        return f"{match[1]} needs a value; write {match[1].split('/')[-1]}=VALUE if it begins with a dash"
    if match := re.fullmatch(r"argument ([^:]*): expected (\d+) arguments", message):
        return f"{match[1]} needs {match[2]} values"
    return re.sub(r"^argument ([^:]*): ", r"\1: ", message)
