"""A suite folder read into plain records: runs, their last evaluation, their metrics, and what was wrong on the way.

The run directory is the only interface. Whatever is missing or half written becomes a warning that the report prints;
only a folder that is no suite at all is an error.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml
from pydantic import TypeAdapter, ValidationError

from eval.benches import BENCHES
from eval.benches.summary import standing
from eval.core import files
from eval.core.errors import UserError
from reports.suite import paper
from reports.suite.records import Head, Leakage, Localised, Probe, Result

T = TypeVar("T")
Record = dict[str, Any]


@dataclass(frozen=True)
class Evaluated:
    """What was measured of one checkpoint: results by bench, leakage by detector."""

    results: dict[str, Result]
    leakage: dict[str, Leakage]

    @property
    def scores(self) -> dict[str, float]:
        """By bench, where its answers are known."""
        return {bench: result.score for bench, result in self.results.items() if result.score is not None}


@dataclass(frozen=True)
class Run:
    """One run directory. `evaluated` holds its evaluated steps in order; `results`, `scores` and `leakage` are the last
    one's."""

    folder: Path
    method: str
    label: str
    seed: int
    status: str
    steps_done: int
    steps: int
    record: dict[str, Any]
    settings: dict[str, Any]
    evaluated: dict[int, Evaluated]
    probes: dict[str, Probe] = field(default_factory=dict)
    localised: Localised = field(default_factory=dict)  # by checkpoint and method
    external: bool = False  # an evaluation of a model that no run here trained

    @property
    def eval_step(self) -> int | None:
        """One step a run, so that no row mixes checkpoints."""
        return max(self.evaluated, default=None)

    @property
    def last(self) -> Evaluated:
        return self.evaluated[max(self.evaluated)] if self.evaluated else Evaluated({}, {})

    @property
    def results(self) -> dict[str, Result]:
        return self.last.results

    @property
    def scores(self) -> dict[str, float]:
        return self.last.scores

    @property
    def leakage(self) -> dict[str, Leakage]:
        return self.last.leakage

    @property
    def samples(self) -> Path:
        """The folder of the last evaluation; samples.parquet lies in `samples / bench`."""
        return self.folder if self.external else self.folder / "eval" / str(self.eval_step)

    @property
    def name(self) -> str:
        return f"{self.method}/seed{self.seed}"

    @property
    def finished(self) -> bool:
        return self.status == "done"

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The metrics that the run declares, each with a title, a unit and a help text."""
        metrics = self.record.get("metrics")
        return {k: v for k, v in metrics.items() if isinstance(v, dict)} if isinstance(metrics, dict) else {}


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
        if suites := sorted({path.parents[2] for path in folder.glob("*/*/seed*/run.json")}):
            raise UserError(f"{folder} holds suites, not runs: give one of {', '.join(map(str, suites))}")
        raise UserError(f"{folder} holds no run (<method>/seed<k>/run.json); train first: cli.py sweep, or cli.py demo")
    _refuse_twins(runs)
    metrics = pd.concat(frames, ignore_index=True)
    runs.sort(key=_row_order)
    return Suite(folder.resolve().name, tuple(runs), metrics, tuple(problems))


def load_run(folder: Path) -> Run:
    """One run; raises UserError where `folder` holds none."""
    found = _read_run(folder, []) if (folder / "run.json").exists() else None
    if found is None:
        raise UserError(
            f"{folder} is no run: it has no readable run.json; name one such as runs/<suite>/<method>/seed0"
        )
    return found


def load_evaluation(folder: Path) -> Run:
    """What `eval --model` wrote, as a run of no steps; raises UserError where `folder` holds no result."""
    found = _read_step(folder, "", [])
    if not found.results:
        raise UserError(f"{folder} holds neither a run nor an evaluation (<bench>/result.json)")
    record = {"model": folder.name}
    return Run(folder, folder.name, folder.name, 0, "done", 0, 0, record, {}, {0: found}, external=True)


def _row_order(run: Run) -> tuple[int, str, int]:
    known = list(paper.LABELS)
    return known.index(run.method) if run.method in known else len(known), run.method, run.seed


def _refuse_twins(runs: list[Run]) -> None:
    seen: dict[str, Path] = {}
    for run in runs:
        if run.name in seen:
            raise UserError(f"{seen[run.name]} and {run.folder} both call themselves {run.name}; move one of them away")
        seen[run.name] = run.folder


def _read(run: Path, name: str, kind: type[T], problems: list[str]) -> T | None:
    """A run's file; None with a problem noted where it is broken, None alone where it is absent."""
    path = run / name
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        return TypeAdapter(kind).validate_python(yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text))
    except ValidationError:
        fault = "was written by an older version: evaluate again (cli.py eval)"
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        fault = "cannot be read and was left out"
    problems.append(f"{_shown(run)}/{name} {fault}.")
    return None


def _shown(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"


def _read_run(folder: Path, problems: list[str]) -> Run | None:
    record = _read(folder, "run.json", Record, problems)
    if record is None:
        if not (folder / "run.json").exists():
            problems.append(f"{_shown(folder)} has no run.json and was left out.")
        return None
    try:
        head = Head.model_validate(record)
        seed = int(folder.name.removeprefix("seed")) if head.seed is None else head.seed
    except ValueError as error:
        said = " ".join(str(error).split())[:120]
        problems.append(f"{_shown(folder)}/run.json is damaged, and the run was left out ({said}).")
        return None
    method = head.method or folder.parent.name
    return Run(
        folder=folder,
        method=method,
        label=head.label or method,
        seed=seed,
        status=head.status or "unknown",
        steps_done=head.steps_done or 0,
        steps=head.steps or 0,
        record=record,
        settings=_read(folder, "settings.yaml", Record, problems) or {},
        evaluated=_read_evaluated(folder, problems),
        probes=_read_probes(folder, problems),
        localised=_read(folder, "credit/localisation.json", Localised, problems) or {},
    )


def _read_probes(folder: Path, problems: list[str]) -> dict[str, Probe]:
    """The last probed checkpoint's; what else stands in the file (the price of leaks) is no probe."""
    steps = [int(p.parent.name) for p in folder.glob("eval/*/probes.json") if p.parent.name.isdecimal()]
    read = _read(folder, f"eval/{max(steps)}/probes.json", dict[str, Probe | Record], problems) if steps else None
    return {name: found for name, found in (read or {}).items() if isinstance(found, Probe)}


def _read_evaluated(folder: Path, problems: list[str]) -> dict[int, Evaluated]:
    """The steps that have a bench result, in order."""
    steps = sorted(int(p.name) for p in (folder / "eval").glob("*") if p.name.isdecimal())
    found = {step: _read_step(folder, f"eval/{step}/", problems) for step in steps}
    return {step: evaluated for step, evaluated in found.items() if evaluated.results}


def _read_step(folder: Path, below: str, problems: list[str]) -> Evaluated:
    read = {bench: _read(folder, f"{below}{bench}/result.json", Result, problems) for bench in BENCHES}
    results = {bench: _standing(bench, result) for bench, result in read.items() if result is not None}
    leakage = (_read(folder, f"{below}leakage.json", dict[str, Leakage], problems) or {}) if results else {}
    return Evaluated(results, {detector: part for detector, part in leakage.items() if part.rate is not None})


def _standing(bench: str, result: Result) -> Result:
    """The result with what its score stands on for its edition: a part of the official set is not the official one."""
    stands = standing(BENCHES[bench], result.edition, result.n, result.limit)
    return result.model_copy(update={"edition": stands})


def _read_metrics(run: Run, problems: list[str]) -> pd.DataFrame:
    """metrics.jsonl as a frame, one row a step. A killed run may end in half a line; a resumed one may repeat steps."""
    rows: dict[int, dict[str, Any]] = {}
    try:
        lines = files.read_lines(run.folder / "metrics.jsonl")
    except UserError as error:
        problems.append(f"{error}.")
        lines = files.Lines([], 0, False)
    repeated, unreadable = 0, lines.damaged + lines.torn
    for row in lines.rows:
        try:
            step = int(row["step"])
        except (ValueError, TypeError, KeyError, OverflowError):
            unreadable += 1
            continue
        repeated += step in rows
        rows[step] = {
            k: v for k, v in row.items() if isinstance(v, int | float) and abs(v) < 1e300 and not isinstance(v, bool)
        }
    if unreadable:
        problems.append(f"{run.name}/metrics.jsonl: {unreadable} unreadable line(s) left out.")
    if repeated:
        problems.append(f"{run.name}/metrics.jsonl: {repeated} repeated step(s), the last value of each is used.")
    frame = pd.DataFrame([rows[step] for step in sorted(rows)])
    keys = pd.DataFrame({"method": run.method, "label": run.label, "seed": run.seed}, index=frame.index)
    return pd.concat([keys, frame.drop(columns=[c for c in keys if c in frame])], axis=1)
