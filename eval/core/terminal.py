"""What a command says on standard output."""

import sys

from rich.console import Console

# No markup and no emoji: names and models' text may look like them.
console = Console(width=None if sys.stdout.isatty() else 120, markup=False, emoji=False)


def plain(text: str) -> str:
    """Without what a terminal would obey: control characters but for line breaks and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def say(text: str) -> None:
    """A line as it is: no folding, so that a path in it can be copied."""
    console.print(plain(text), highlight=False, soft_wrap=True)
