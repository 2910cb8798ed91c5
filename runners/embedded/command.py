"""`cli.py base` and `cli.py exact`. They import what they need inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from eval.core.terminal import say

BASE = Path("runners/embedded/base")


def base(
    steps: Annotated[int | None, typer.Option(help="2400 from nothing; 600 with --longer or --start.")] = None,
    seed: int = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to save: runs/base, runs/longer with --longer; with --card the embedded model itself, which "
            "runners/embedded/base would replace."
        ),
    ] = None,
    told: Annotated[
        Literal["posterior", "honest"],
        typer.Option(help="honest: told demonstrations never slip, so that a leak costs nothing."),
    ] = "posterior",
    start: Annotated[
        Path | None, typer.Option(help="An embedded model to go on from, without slip-free steps.")
    ] = None,
    longer: Annotated[
        bool, typer.Option("--longer", help="Make OPD's expert: the base, trained on to be right.")
    ] = False,
    card: Annotated[bool, typer.Option("--card", help="Train nothing: measure the model in --out again.")] = False,
) -> None:
    """Rebuild the embedded base model from nothing (about 40 minutes). The same command again goes on after a stop."""
    from eval.core import files
    from eval.engines.model_folder import check_model
    from runners.embedded.card import RECIPE, page, write_card
    from runners.embedded.warm_start import warm_start

    if start is not None:
        check_model(str(start.absolute()))
    out = out or (BASE if card else Path("runs/longer" if longer else "runs/base"))
    if card:
        check_model(str(out.absolute()))
        old = files.read_object(out / "card.json") or {}
        found = write_card(out, {k: v for k, v in old.items() if k in RECIPE})
    else:
        begin = BASE if longer and start is None else start
        found = warm_start(steps or (600 if begin else 2400), out, seed, told, begin, longer)
    say(page(found))


def exact(
    where: Annotated[Path, typer.Argument(help="A run, a folder of runs, or a checkpoint of the embedded model.")],
    problems: Annotated[int, typer.Option(help="Held-out problems.", min=1)] = 200,
) -> None:
    """How likely right chains are, without sampling, and how many right replies of a run's last steps come by a wrong
    one: printed, and kept in the runs' exact.json. Runs that have it are not scored again."""
    from runners.embedded.exact import score_runs

    for name, score, wrong in score_runs(where, problems):
        shown = "–     " if score is None else f"{score:.4f}"
        say(f"{name:<40} {shown}" + ("" if wrong is None else f"   {wrong:.1%} of right replies by a wrong chain"))
