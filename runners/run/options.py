"""Options that several commands share. Imports nothing heavy, so that `--help` is instant."""

import json
from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[str, typer.Option(help="cpu, lora, paper, or a YAML file.")]
Set = Annotated[list[str], typer.Option("--set", help="Override a setting: train.steps=10, params.clip=0.1 …")]
Suite = Annotated[str, typer.Option(help="Name of the group of runs that are compared.")]
Out = Annotated[Path, typer.Option(help="Folder of all suites.")]


def sets(named: dict[str, object]) -> list[str]:
    """Options that were given, as what `--set` takes."""
    return [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None]
