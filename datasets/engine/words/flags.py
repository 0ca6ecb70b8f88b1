"""The parser of every command: its help keeps the lines of a docstring, and it suggests names for misspelt flags."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from datasets.engine.words.suggest import did_you_mean


class Flags(argparse.ArgumentParser):
    """A parser of a command line.

    Args:
        prog: the command.
        description: a docstring; its lines are kept if they fit into the terminal.
    """

    def __init__(self, prog: str, description: str | None = None, **options: Any) -> None:
        super().__init__(prog=prog, description=description, **{"formatter_class": Help, **options})

    def parse_args(  # type: ignore[override]  # overloaded there
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """The parsed flags; for an unknown flag, suggests a similar one and ends the process with exit code 2."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [word.partition("=")[0].lstrip("-") for word in unknown if word.startswith("-")]
            flag_of = {flag.lstrip("-"): flag for flag in self._option_string_actions}
            near = did_you_mean(flag_of, *flags, written=flag_of)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Ends the process with exit code 2 and the message, without the page of flags that would hide it."""
        self.exit(2, f"({self.prog} --help lists the flags)\n{self.prog}: error: {message}\n")


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of a docstring, except where a line is wider than the terminal.

    A paragraph of text with such a line is filled anew; a command, which is indented, continues after a backslash.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = re.split(r"\n\s*\n", textwrap.dedent(text).strip("\n"))
        return "\n\n".join(textwrap.indent(_fitted(paragraph, width), indent) for paragraph in paragraphs)


def _fitted(paragraph: str, width: int) -> str:
    lines = paragraph.splitlines()
    if all(len(line) <= width for line in lines):
        return paragraph
    if not any(line.startswith(" ") for line in lines):
        return textwrap.fill(" ".join(lines), width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(_command(line, width) for line in lines)


def _command(line: str, width: int) -> str:
    """An indented line, wrapped; its continuations are indented further."""
    deep = " " * (len(line) - len(line.lstrip()) + 4)
    if len(line) <= width:
        return line
    parts = textwrap.wrap(line, width - 2, subsequent_indent=deep, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(parts)
