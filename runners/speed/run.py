"""The whole benchmark: every cell of a plan, one after another, in this process."""

import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from eval.core.errors import UserError
from eval.engines.requests import kept_random_state
from methods import METHODS
from runners.run.run_dir import now, versions
from runners.speed import head_cells, parts_cells, scoring_cells, step_cells, trajectories
from runners.speed import plan as plans
from runners.speed.measure import small_garbage
from runners.speed.report import line, write
from runners.speed.result import Row

Say = Callable[[str], None]


def bench(device: str, quick: bool, out: Path, say: Say) -> list[Row]:
    """Measure, say each row as it is there, and write `out`/speed-<machine>.{json,md,png}.

    Raises UserError where the device is missing.
    """
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch sees no GPU here; choose --device cpu")
    with kept_random_state(), _one_thread(device), small_garbage(), tempfile.TemporaryDirectory() as folder:
        about = _about(device, quick)
        say(", ".join(f"{name} {value}" for name, value in about.items()))
        rows = []
        for row in _rows(plans.plan(device, quick), device, Path(folder)):
            say(line(row))
            rows.append(row)
        about["load after"] = _load()
    path = write(rows, about, out / f"speed-{_slug(about)}{'-quick' if quick else ''}")
    say(f"written: {path}")
    return rows


def _rows(plan: plans.Plan, device: str, folder: Path) -> Iterator[Row]:
    for cell in plan.ratios:
        yield scoring_cells.counters(cell, plan.shape, device)
    yield from scoring_cells.controls(plan.control, plan.shape, device, plan.rounds)
    for cell in plan.ratios:
        yield from scoring_cells.measure(cell, plan.shape, device, plan.rounds, "P:C", plan.targets)
    for cell in plan.sweep:
        yield from scoring_cells.measure(cell, plan.shape, device, plan.rounds, "sweep")
    for cell in plan.parts:
        yield parts_cells.measure(cell, plan.shape, device, plan.rounds, plan.targets)
    for number, cell in enumerate(plan.steps):
        yield from step_cells.measure(cell, plan.shape, device, plan.rounds, folder / str(number), plan.targets)
    for method in METHODS if plan.trajectory else ():
        yield trajectories.measure(method, plan.trajectory, folder / method)
    yield head_cells.sdpo(plan.sdpo, plan.shape, device, plan.rounds)
    for head in plan.heads:
        yield from head_cells.measure(head, device, plan.rounds)


def _about(device: str, quick: bool) -> dict[str, Any]:
    used = versions()
    return {
        "machine": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": device,
        "cells": "quick" if quick else "full",
        "time": now(),
        "load before": _load(),
        **{name: used[name] for name in ("python", "torch", "transformers", "trl")},
    }


def _slug(about: dict[str, Any]) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", str(about["machine"]).lower()).strip("-")
    return words if about["device"] == "cuda" else f"{words}-{about['cores']}core"


def _processor() -> str:
    """The processor's name; of the host nothing."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return named.group(1) if named else platform.machine() or "cpu"


def _load() -> float:
    return round(os.getloadavg()[0], 2)


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a CPU: more threads than idle cores would measure the scheduler."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
