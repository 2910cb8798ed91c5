"""`cli.py credit`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.errors import UserError
from eval.core.terminal import say


def credit(
    run: Annotated[Path, typer.Option(help="A run directory.")],
    item: Annotated[str | None, typer.Option(help="An `id` of completions/: token tables and heat maps of it.")] = None,
    text: Annotated[str | None, typer.Option(help="A reply of your own to the item.")] = None,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; default: the run's own.")] = None,
    checkpoint: Annotated[int, typer.Option(help="Step of the student; 0 is the model before training.")] = 0,
    groups: Annotated[int, typer.Option(help="Groups to look for slips in (without --item).", min=1)] = 64,
) -> None:
    """Which tokens get the credit: heat maps of an item, or how well credit finds the slips of drawn problems."""
    from runners.credit.run import localise, methods_of, show
    from runners.run.run_dir import RunDir

    if text is not None and item is None:
        raise UserError("--text is a reply to an item: say which with --item")
    opened = RunDir(run)
    opened.info()  # says so where the folder is no run
    chosen = methods_of(opened, methods)
    if item is not None:
        say(f"token tables, heat.html and heat.png: {show(opened, chosen, item, checkpoint, text)}")
        return
    say(f"{'method':<18} {'what':<20} {'value':>7} {'stderr':>7} {'n':>5}")
    for name, found in localise(opened, chosen, checkpoint, groups).items():
        for what, measured in found.items():
            shown = ["–" if measured[key] is None else f"{measured[key]:.3f}" for key in ("value", "stderr")]
            say(f"{name:<18} {what:<20} {shown[0]:>7} {shown[1]:>7} {measured['n']:>5}")
