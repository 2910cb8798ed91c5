"""Options that several commands share. Imports nothing heavy, so that `--help` is instant."""

import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer

from eval.core.errors import UserError

Preset = Annotated[str, typer.Option(help="cpu, lora, paper, or a YAML file.")]
Set = Annotated[list[str], typer.Option("--set", help="Override a setting: train.steps=10, params.clip=0.1 …")]


def _suite(name: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UserError(f"--suite {name!r} names a folder below --out: letters, digits, dots and dashes")
    return name


Suite = Annotated[str, typer.Option(help="Name of the group of runs that are compared.", callback=_suite)]


def _jobs(number: int) -> int:
    most = max(2, len(os.sched_getaffinity(0)))
    if number > most:
        raise UserError(
            f"--jobs {number}: this machine has {most} cores, and each run wants one; at most --jobs {most}"
        )
    return number


Jobs = Annotated[int, typer.Option(help="Runs at once; 0: one more than cores, at most 3.", min=0, callback=_jobs)]
Out = Annotated[Path, typer.Option(help="Folder of all suites.")]


def sets(named: dict[str, object]) -> list[str]:
    """Options that were given, as what `--set` takes."""
    return [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None]
