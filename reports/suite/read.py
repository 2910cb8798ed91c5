"""A suite folder read into plain records: runs, their last evaluation, their metrics, and what was wrong on the way.

The run directory is the only interface. Whatever is missing or half written becomes a warning that the report prints;
only a folder that is no suite at all is an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from eval import benches
from eval.core import files
from eval.core.errors import UserError
from reports.suite import paper

BENCHES = {bench.name: bench.label for bench in benches.BENCHES.values()}
BASE = "base"


@dataclass(frozen=True)
class Result:
    """One bench of one evaluation. Scores and rates lie in 0..1; `score` is None where answers are unknown."""

    bench: str
    edition: str
    data_id: str
    score: float | None
    stderr: float | None
    n: int
    unit: str
    scores: dict[str, Any]
    parsed: float | None
    truncated: float | None
    rule: str
    task_version: str
    grader_version: str
    generation: dict[str, Any]


@dataclass(frozen=True)
class Leakage:
    """Replies of one evaluation that mention an unseen reference: rate 0..1 with its standard error over n replies."""

    rate: float
    stderr: float | None
    n: int
    phrases: dict[str, int]


@dataclass(frozen=True)
class Run:
    """One run directory. `results` holds the benches of its last evaluated step, in table order."""

    folder: Path
    method: str
    label: str
    seed: int
    status: str
    steps_done: int
    steps: int
    record: dict[str, Any]
    settings: dict[str, Any]
    eval_step: int | None
    results: dict[str, Result]
    leakage: Leakage | None

    @property
    def name(self) -> str:
        return f"{self.method}/seed{self.seed}"

    @property
    def finished(self) -> bool:
        return self.status == "done"


@dataclass(frozen=True, eq=False)
class Suite:
    """The runs reported together. `metrics` is tidy: method, label, seed, step, then one column a metric."""

    name: str
    runs: tuple[Run, ...]
    metrics: pd.DataFrame
    problems: tuple[str, ...]


def load_suite(folder: Path) -> Suite:
    """Read runs/<suite>; raises UserError where `folder` holds no run."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a suite, runs/<suite>, whose runs are <method>/seed<k>/")
    if (folder / "run.json").exists():
        raise UserError(
            f"{folder} is one run; give the suite folder two levels above it: {folder.resolve().parents[1]}"
        )
    problems: list[str] = []
    runs, frames = [], []
    for run_dir in sorted(p for p in folder.glob("*/seed*") if p.is_dir()):
        run = _read_run(run_dir, problems)
        if run is not None:
            runs.append(run)
            frames.append(_read_metrics(run, problems))
    if not runs:
        raise UserError(f"{folder} holds no run (<method>/seed<k>/run.json); train first: cli.py sweep, or cli.py demo")
    _refuse_twins(runs)
    metrics = pd.concat(frames, ignore_index=True)
    runs.sort(key=_row_order)
    return Suite(folder.resolve().name, tuple(runs), metrics, tuple(problems))


def _row_order(run: Run) -> tuple[int, str, int]:
    known = list(paper.LABELS)
    return known.index(run.method) if run.method in known else len(known), run.method, run.seed


def _refuse_twins(runs: list[Run]) -> None:
    seen: dict[str, Path] = {}
    for run in runs:
        if run.name in seen:
            raise UserError(f"{seen[run.name]} and {run.folder} both call themselves {run.name}; move one of them away")
        seen[run.name] = run.folder


def _read_json(path: Path, shown: str, problems: list[str]) -> dict[str, Any] | None:
    """The object in a JSON file; None with a problem noted where it is broken, None alone where it is absent."""
    if not path.exists():
        return None
    value = files.read_object(path)
    if value is None:
        problems.append(f"{shown} cannot be read and was left out.")
    return value


def _read_run(folder: Path, problems: list[str]) -> Run | None:
    shown = f"{folder.parent.name}/{folder.name}"
    record = _read_json(folder / "run.json", f"{shown}/run.json", problems)
    if record is None:
        if not (folder / "run.json").exists():
            problems.append(f"{shown} has no run.json and was left out.")
        return None
    method, seed = str(record.get("method") or folder.parent.name), record.get("seed")
    eval_step, results, leakage = _read_evaluation(folder, shown, problems)
    return Run(
        folder=folder,
        method=method,
        label=str(record.get("label") or method),
        seed=int(folder.name.removeprefix("seed") if seed is None else seed),
        status=str(record.get("status") or "unknown"),
        steps_done=int(record.get("steps_done") or 0),
        steps=int(record.get("steps") or 0),
        record=record,
        settings=_read_settings(folder, shown, problems),
        eval_step=eval_step,
        results=results,
        leakage=leakage,
    )


def _read_settings(folder: Path, shown: str, problems: list[str]) -> dict[str, Any]:
    path = folder / "settings.yaml"
    if not path.exists():
        return {}
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        settings = None
    if not isinstance(settings, dict):
        problems.append(f"{shown}/settings.yaml cannot be read and was left out.")
        return {}
    return settings


def _read_evaluation(
    folder: Path, shown: str, problems: list[str]
) -> tuple[int | None, dict[str, Result], Leakage | None]:
    """The last step that has a bench result: one step a run, so that no row mixes checkpoints."""
    steps = sorted(int(p.name) for p in (folder / "eval").glob("*") if p.name.isdecimal())
    for step in reversed(steps):
        results = {}
        for bench in BENCHES:
            name = f"{shown}/eval/{step}/{bench}/result.json"
            result = _read_json(folder / "eval" / str(step) / bench / "result.json", name, problems)
            if result is not None:
                results[bench] = _result(bench, result)
        if results:
            name = f"{shown}/eval/{step}/leakage.json"
            leakage = _read_json(folder / "eval" / str(step) / "leakage.json", name, problems)
            return step, results, None if leakage is None else _leakage(leakage)
    return None, {}, None


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def _result(bench: str, raw: dict[str, Any]) -> Result:
    return Result(
        bench=bench,
        edition=str(raw.get("edition", "unknown")),
        data_id=str((raw.get("identity") or {}).get("data_id")),
        score=_number(raw.get("score")),
        stderr=_number(raw.get("stderr")),
        n=int(raw.get("n") or 0),
        unit=str(raw.get("unit", "")),
        scores=dict(raw.get("scores") or {}),
        parsed=_number(raw.get("parsed")),
        truncated=_number(raw.get("truncated")),
        rule=str(raw.get("rule")),
        task_version=str(raw.get("task_version")),
        grader_version=str(raw.get("grader_version")),
        generation=dict(raw.get("generation") or {}),
    )


def _leakage(raw: dict[str, Any]) -> Leakage | None:
    rate = _number(raw.get("rate"))
    if rate is None:
        return None
    phrases = {str(k): int(v) for k, v in (raw.get("phrases") or {}).items()}
    return Leakage(rate, _number(raw.get("stderr")), int(raw.get("n") or 0), phrases)


def _read_metrics(run: Run, problems: list[str]) -> pd.DataFrame:
    """metrics.jsonl as a frame, one row a step. A killed run may end in half a line; a resumed one may repeat steps."""
    rows: dict[int, dict[str, Any]] = {}
    repeated = 0
    lines = files.read_lines(run.folder / "metrics.jsonl")
    unreadable = lines.damaged + lines.torn
    for row in lines.rows:
        try:
            step = int(row["step"])
        except (ValueError, TypeError, KeyError):
            unreadable += 1
            continue
        repeated += step in rows
        rows[step] = {k: v for k, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    if unreadable:
        problems.append(f"{run.name}/metrics.jsonl: {unreadable} unreadable line(s) left out.")
    if repeated:
        problems.append(f"{run.name}/metrics.jsonl: {repeated} repeated step(s), the last value of each is used.")
    frame = pd.DataFrame([rows[step] for step in sorted(rows)])
    keys = pd.DataFrame({"method": run.method, "label": run.label, "seed": run.seed}, index=frame.index)
    return pd.concat([keys, frame.drop(columns=[c for c in keys if c in frame])], axis=1)
