"""`cli.py base`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import say


def base(
    steps: int = 2400,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="Where to save; runners/embedded/base replaces the embedded model.")] = Path(
        "runs/base"
    ),
) -> None:
    """Rebuild the embedded base model from nothing (about 40 minutes)."""
    from runners.embedded.warm_start import warm_start

    for name, value in warm_start(steps, out, seed).items():
        say(f"{name:<24} {value}")
