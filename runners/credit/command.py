"""`cli.py credit`. Imports what it needs inside, so that `--help` is instant."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.core.errors import UserError
from eval.core.terminal import say


def credit(
    run: Annotated[list[Path], typer.Option(help="A run directory; several ones' groups are taken together.")],
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
    opened = [RunDir(path) for path in run]
    for each in opened:
        each.info()  # says so where the folder is no run
    chosen = methods_of(opened[0], methods)
    if item is not None:
        if len(opened) > 1:
            raise UserError("--item is of one run: give one --run")
        say(f"token tables, heat.html and heat.png: {show(opened[0], chosen, item, checkpoint, text)}")
        return
    student = f"{opened[0].path.parent.name}, step {checkpoint}" if checkpoint else "base"
    for line in table(student, localise(opened, chosen, checkpoint, groups)):
        say(line)


COLUMNS = {  # of the table, and their numbers in localisation.json
    "auc": "auc", "stated": "auc_stated", "told a wrong answer": "auc_wrong_reference", "unclipped": "auc_unclipped",
    "permuted": "auc_permuted", "share": "share", "share unclipped": "share_unclipped", "base": "base", "kept": "kept",
}  # fmt: skip


def table(student: str, found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of a Markdown table, a method each; "wrong" and "right" count the replies behind the numbers after them."""
    heads = [*COLUMNS]
    heads = ["student", "method", "wrong", *heads[:5], "right", *heads[5:]]
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|" + "---|" * (len(heads) - 2)
    for name, numbers in found.items():
        cells = {"student": student, "method": name, "wrong": numbers["auc"]["n"], "right": numbers["share"]["n"]}
        for head, key in COLUMNS.items():
            cells[head] = _cell(numbers.get(key))
        yield f"| {' | '.join(str(cells[head]) for head in heads)} |"


def _cell(measured: dict[str, Any] | None) -> str:
    if measured is None or measured["value"] is None:
        return "–"
    shown = [f"{measured[key]:.3f}".removeprefix("0") for key in ("value", "stderr") if measured[key] is not None]
    return " ± ".join(shown)
