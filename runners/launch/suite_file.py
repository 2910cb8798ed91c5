"""Suites as files: which methods, with how many seeds and which settings, in `runners/suites/*.yaml`.

Such a file is a preset (`delta_to`, then settings that all runs share) with a part `suite`, whose `variants` are rows
that differ from a method in some setting: `grpo@twice`. So each run of it is the ordinary `train --preset <file>`.
"""

from pathlib import Path

from pydantic import PositiveInt, ValidationError

from eval.core.errors import UserError
from eval.settings import SettingsSection
from runners.launch.job import Job
from runners.launch.sweep import jobs
from runners.run.config import SUITES, explain, resolve, suite_part


class SuitePart(SettingsSection):
    """The part `suite` of such a file."""

    about: str
    rows: dict[str, PositiveInt]  # method -> its seeds are 0 to this number - 1
    variants: dict[str, dict[str, dict[str, object]]] = {}  # method -> variant -> settings, as in methods/variants
    needs: dict[str, str] = {}  # folder -> the command that makes it
    seconds_a_step: float  # measured once on a core of its own, for the estimate
    seconds_an_evaluation: float


def read(name: str) -> SuitePart:
    """The part of one of our suites, or of a path to a .yaml. Raises UserError with the first fault."""
    part = suite_part(name) if name.endswith((".yaml", ".yml")) or name in names() else {}
    if not part:
        raise UserError(f"no suite {name}: choose one of {', '.join(names())}, or a path to a .yaml with a part suite")
    try:
        return SuitePart.model_validate(part)
    except ValidationError as error:
        raise UserError(explain(error, name)) from None


def names() -> list[str]:
    return sorted(file.stem for file in SUITES.glob("*.yaml"))


def plan(name: str, out: Path, overrides: list[str], evaluate: bool) -> list[Job]:
    """The jobs of a suite. Raises UserError where something that it needs is not there yet."""
    part = read(name)
    for folder, command in part.needs.items():
        if not Path(folder).exists():
            raise UserError(f"{name} needs {folder}: make it by `uv run {command}`")
    rows = {method: range(seeds) for method, seeds in part.rows.items()}
    return jobs(rows, name, Path(name).stem, out, overrides, evaluate)


def estimate(name: str, work: list[Job], parallel: int) -> str:
    """What is left to do, in words and hours."""
    part, benches = read(name), len(resolve(name, "base", 0, []).eval.benches)
    left = [max(job.steps - job.progress(), 0) for job in work]
    steps = sum(max(job.training - job.trained(), 0) for job in work)
    evaluations = (sum(left) - steps) / benches
    hours = (steps * part.seconds_a_step + evaluations * part.seconds_an_evaluation) / 3600 / parallel
    return (
        f"{part.about}\n{sum(map(bool, left))} of {len(work)} runs to do: {steps:,} steps, {evaluations:.0f} "
        f"evaluations, about {hours:.1f} hours with {parallel} at a time on as many cores"
    )
