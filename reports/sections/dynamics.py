"""Over training: held-out scores first, then every declared metric over the optimizer steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from reports.figures.lines import Curve, Lines
from reports.figures.looks import Look, looks
from reports.findings.heldout import Panel, held_out, reached
from reports.sections.section import Section, template
from reports.suite import paper
from reports.suite.read import Suite
from reports.suite.rows import row_labels

FIELDS = ("title", "unit", "help", "smooth", "from_zero")
FIRST = ("leakage",)  # what the page shows before the other metrics


@dataclass(frozen=True, eq=False)
class Dynamics:
    """`panels` holds each panel with its curves in row order, `trained` the looks by label of who has metrics, `axes`
    what a step of each method stands at: tokens and hours by step. `reached` are sentences."""

    window: int
    panels: list[tuple[Panel, Lines]]
    trained: dict[str, Look]
    axes: dict[str, dict[str, list[list[float]]]]
    reached: list[str]


@lru_cache(maxsize=1)  # the leakage section shows a panel, too
def dynamics(suite: Suite) -> Dynamics:
    measured = {run.method for run in suite.runs if run.method != paper.BASE}
    labels = {m: label for m, label in row_labels(suite).items() if m in measured | set(suite.metrics["method"])}
    look = looks(row_labels(suite))
    drawn = []
    for panel, methods in held_out(suite):
        frames = {m: frame * panel.scale for m, frame in methods.items() if m in labels}
        drawn.append((panel, tuple(Curve(m, labels[m], look[m], f, f.mean(axis=1)) for m, f in frames.items())))
    for panel in panels(suite):
        found = {m: curve(suite.metrics, m, panel) for m in labels}
        curves = [Curve(m, labels[m], look[m], seeds, mean) for m, (seeds, mean) in found.items() if len(seeds)]
        drawn.append((panel, tuple(curves)))
    shown = [method for method in labels if any(c.method == method for _, curves in drawn for c in curves)]
    smoothed = window(suite.metrics)
    lines = [
        (p, Lines(p.title, p.drawn_unit, curves, p.from_zero, p.marked, smoothed if p.smooth else 1))
        for p, curves in drawn
    ]
    return Dynamics(smoothed, lines, {labels[m]: look[m] for m in shown}, _axes(suite.metrics), _reached(drawn, labels))


def panels(suite: Suite) -> list[Panel]:
    """The recorded metrics that a run declares, leakage first; where two runs differ, the first row's words."""
    words = {name: told for run in reversed(suite.runs) for name, told in run.declared.items()}
    order = dict.fromkeys(name for run in suite.runs for name in run.declared)
    recorded = [name for name in order if name in suite.metrics and suite.metrics[name].notna().any()]
    return [
        Panel(name, **{"title": name} | {field: words[name][field] for field in FIELDS if field in words[name]})
        for name in sorted(recorded, key=lambda name: name not in FIRST)
    ]


def window(metrics: pd.DataFrame) -> int:
    """Steps that a thick line averages over: about a twentieth of the longest run, odd so that it is centred."""
    steps = int(metrics["step"].max()) if "step" in metrics and len(metrics) else 0
    return 2 * round(steps / 40) + 1


def curve(metrics: pd.DataFrame, method: str, panel: Panel) -> tuple[pd.DataFrame, pd.Series[float]]:
    """Values in the panel's unit: one column a seed by step, and their mean over the steps that every seed reached."""
    rows = metrics[metrics["method"] == method].dropna(subset=[panel.key])
    seeds = rows.pivot(index="step", columns="seed", values=panel.key) * panel.scale
    mean = seeds.dropna().mean(axis=1)
    if panel.smooth:
        mean = mean.rolling(window(metrics), center=True, min_periods=1).mean()
    return seeds, mean


def _axes(metrics: pd.DataFrame) -> dict[str, dict[str, list[list[float]]]]:
    """By axis and method, pairs of step and where it stands, mean over seeds, at some forty steps."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    if "step" not in metrics:
        return found
    hours = metrics.groupby(["method", "seed"])["seconds"].cumsum() / 3600 if "seconds" in metrics else None
    for name, values in {"tokens": metrics.get("tokens"), "hours": hours}.items():
        if values is None or values.isna().any():
            continue
        means = values.groupby([metrics["method"], metrics["step"]]).mean()
        for method, part in means.groupby(level=0):
            line = part.droplevel(0)
            kept = line.iloc[[*range(0, len(line) - 1, max(1, len(line) // 40)), -1]]
            pairs = [[float(step), float(f"{value:.5g}")] for step, value in zip(kept.index, kept, strict=True)]
            found.setdefault(name, {})[str(method)] = [[0.0, 0.0], *pairs]
    return found


def _reached(drawn: list[tuple[Panel, tuple[Curve, ...]]], labels: dict[str, str]) -> list[str]:
    """When the others have what GRPO ends with: in held-out accuracy, and in training reward."""
    sentences = []
    for panel, curves in drawn:
        if panel.key not in ("held_out_accuracy", "reward"):
            continue
        found = reached({curve.method: curve.mean for curve in curves})
        if found is None or found[1][paper.PLAIN] is None:
            continue
        target, steps = found
        when = ", ".join(
            f"{labels[m]} {f'at step {step}' if step else 'never'}" for m, step in steps.items() if m != paper.PLAIN
        )
        every = "of the evaluated steps" if panel.marked else "of the averaged curves"
        sentences.append(
            f"{panel.title} that {labels[paper.PLAIN]} ends with ({target:.3g} {panel.drawn_unit.split(',')[0]}) is "
            f"first reached: {when}. {labels[paper.PLAIN]} itself is there at step {steps[paper.PLAIN]} ({every})."
        )
    return sentences


def _json(data: Dynamics) -> dict[str, Any]:
    """Curves in the unit that stands beside them."""
    drawn = {
        panel.key: {
            "title": panel.title,
            "unit": panel.drawn_unit,
            "mean_smoothed": panel.smooth,
            "methods": {curve.method: _curve_json(curve) for curve in lines.curves},
        }
        for panel, lines in data.panels
    }
    return {"dynamics": {"smoothing_window_steps": data.window, "panels": drawn, "reached": data.reached}}


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        "steps": [int(step) for step in curve.seeds.index],
        "seeds": {str(seed): _numbers(curve.seeds[seed]) for seed in curve.seeds},
        "mean": _numbers(curve.mean.reindex(curve.seeds.index)),
    }


def _numbers(values: pd.Series[float]) -> list[float]:
    """Ten digits: beyond them lie the summation orders of different libraries."""
    return [float(f"{v:.10g}") for v in values]


DYNAMICS = Section(
    "dynamics",
    dynamics,
    template(__file__),
    "Over training",
    json=_json,
    figures=lambda data: {panel.key: lines for panel, lines in data.panels},
)
