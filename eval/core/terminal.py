"""What a command says on standard output."""

import sys

from rich.console import Console

console = Console(width=None if sys.stdout.isatty() else 120)


def say(text: str) -> None:
    """A line as it is: no markup, no folding, so that a path in it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
