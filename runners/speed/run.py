"""The whole benchmark: every cell, one after another, in this process."""

import json
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from eval.core import files
from eval.core.errors import UserError
from eval.engines.load import kept_random_state, threads
from methods import SELF_CONTAINED
from runners.run.run_dir import now, versions
from runners.speed import cells, scoring, steps, vocabulary
from runners.speed.measure import small_garbage
from runners.speed.report import Row, data, draw, line, markdown

Say = Callable[[str], None]


def run(device: str, quick: bool, out: Path, say: Say) -> list[Row]:
    """Measure, say each row as it is there, and write `out`/speed-<machine>.{json,md,png}.

    Raises UserError where the device is missing, or the folder cannot be written to.
    """
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch sees no GPU here; choose --device cpu")
    # On a CPU more threads than idle cores would measure the scheduler.
    with (
        kept_random_state(),
        threads(1 if device == "cpu" else None),
        small_garbage(),
        tempfile.TemporaryDirectory() as folder,
    ):
        about = _about(device, quick)
        say(", ".join(f"{name} {value}" for name, value in about.items()))
        rows = []
        for row in _rows(cells.chosen(device, quick), device, Path(folder)):
            say(line(row))
            rows.append(row)
        about["load after"] = _load()
    try:
        name = re.sub(r"[^a-z0-9]+", "-", str(about["machine"]).lower()).strip("-")
        name += "" if device == "cuda" else f"-{about['cores']}core"
        page = _write(rows, about, out, f"speed-{name}{'-quick' if quick else ''}")
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}; choose another --out") from None
    say(f"written: {page}")
    return rows


def _rows(chosen: cells.Cells, device: str, folder: Path) -> Iterator[Row]:
    rounds, targets = chosen.rounds, chosen.targets
    for cell in chosen.ratios:
        yield scoring.counters(cell, chosen.exact, device)
    yield from scoring.controls(chosen.control, chosen.exact, device, rounds)
    for cell in chosen.ratios:
        yield from scoring.measure(cell, chosen, device, "P:C", targets)
    for cell in chosen.sweep:
        yield from scoring.measure(cell, chosen, device, "sweep")
    for cell in chosen.parts:
        yield from scoring.measure(cell, chosen, device, scoring.PARTS, targets)
    for number, cell in enumerate(chosen.steps):
        yield from steps.measure(cell, chosen, device, folder / str(number), targets)
    for method in SELF_CONTAINED if chosen.trajectory else ():
        yield steps.trajectory(method, chosen.trajectory, folder / method)
    yield from vocabulary.sdpo(chosen.sdpo, chosen.exact, device, rounds)
    for head in chosen.heads:
        yield from vocabulary.measure(head, device, rounds)


def _write(rows: list[Row], about: dict[str, Any], out: Path, name: str) -> Path:
    """The page's path."""
    out.mkdir(parents=True, exist_ok=True)
    facts = json.dumps({"about": about, "rows": data(rows)}, indent=1) + "\n"
    files.write_all({out / f"{name}.json": facts, out / f"{name}.md": markdown(rows, about, f"{name}.png")})
    draw(rows, out / f"{name}.png")
    return out / f"{name}.md"


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


def _processor() -> str:
    """The processor's name; of the host nothing."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return named.group(1) if named else platform.machine() or "cpu"


def _load() -> float:
    return round(os.getloadavg()[0], 2)
