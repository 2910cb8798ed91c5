"""`cli.py data …`. Imports what it needs inside, so that `--help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from eval.core.terminal import say
from runners.run.options import Preset, Set, sets

data_app = typer.Typer(no_args_is_help=True, help="Prepare training data.")


@data_app.command(name="filter")
def filter_data(
    out: Annotated[Path, typer.Option(help="Where the kept rows are written: a .parquet, training data again.")],
    data: Annotated[str | None, typer.Option(help="data.source: synthetic, a hub id, a file or folder.")] = None,
    model: Annotated[str | None, typer.Option(help="A checkpoint folder, a hub id, or `embedded`.")] = None,
    k: Annotated[int, typer.Option(help="Rollouts per row.", min=1)] = 4,
    limit: Annotated[int | None, typer.Option(help="Only the first rows.", min=1)] = None,
    keep_max_pass_rate: Annotated[float, typer.Option(help="0 keeps what fails every time.", min=0, max=1)] = 0.0,
    engine: Annotated[str | None, typer.Option(help="transformers or vllm.")] = None,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
    preset: Preset = "cpu",
    set: Set = [],  # noqa: B006
) -> None:
    """Keep the rows that a model fails, as MMFineReason-123K was made. The same command again resumes."""
    from runners.run.config import resolve

    asked = {"data.source": data, "model.path": model, "eval.engine": engine}
    sampled = {"eval.temperature": temperature, "eval.max_new_tokens": max_new_tokens}
    settings = resolve(preset, "base", seed, [*set, *sets({**asked, **sampled})])
    from runners.data.filter import Filter, filter_rows

    say(filter_rows(Filter(settings, k, limit, keep_max_pass_rate), out))
