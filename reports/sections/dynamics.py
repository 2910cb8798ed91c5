"""Training dynamics: every declared metric over the optimizer steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.figures.curves import Curve, Curves, Overview
from reports.figures.looks import Look, looks
from reports.figures.picture import Drawing
from reports.sections.section import Section, template
from reports.suite.read import Suite
from reports.suite.rows import row_labels

FIELDS = ("title", "unit", "help", "smooth", "from_zero")


@dataclass(frozen=True)
class Panel:
    """One metric: what stands beside its curves, and how they are drawn. Shares, 0..1, are drawn in percent."""

    key: str
    title: str
    unit: str = ""
    help: str = ""
    smooth: bool = True
    from_zero: bool = True

    @property
    def scale(self) -> float:
        return 100.0 if self.unit.startswith("share") else 1.0

    @property
    def drawn_unit(self) -> str:
        return self.unit.replace("share", "%")


@dataclass(frozen=True, eq=False)
class Dynamics:
    """`panels` holds each panel with its curves in row order, `trained` the looks by label of who has metrics."""

    window: int
    panels: list[tuple[Panel, tuple[Curve, ...]]]
    trained: dict[str, Look]

    def drawn(self, legend: bool = False) -> list[tuple[Panel, Curves]]:
        return [(p, Curves(p.title, p.drawn_unit, curves, p.from_zero, legend)) for p, curves in self.panels]


def dynamics(suite: Suite) -> Dynamics:
    labels = {m: label for m, label in row_labels(suite).items() if m in set(suite.metrics["method"])}
    look = looks(labels)
    drawn = []
    for panel in panels(suite):
        found = {m: curve(suite.metrics, m, panel) for m in labels}
        curves = [Curve(m, labels[m], look[m], seeds, mean) for m, (seeds, mean) in found.items() if len(seeds)]
        drawn.append((panel, tuple(curves)))
    return Dynamics(window(suite.metrics), drawn, {label: look[m] for m, label in labels.items()})


def panels(suite: Suite) -> list[Panel]:
    """The recorded metrics that a run declares; where two runs differ, the first row's words."""
    words = {name: told for run in reversed(suite.runs) for name, told in run.declared.items()}
    order = dict.fromkeys(name for run in suite.runs for name in run.declared)
    recorded = [name for name in order if name in suite.metrics and suite.metrics[name].notna().any()]
    return [
        Panel(name, **{"title": name} | {field: words[name][field] for field in FIELDS if field in words[name]})
        for name in recorded
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


def _json(data: Dynamics) -> dict[str, Any]:
    """Curves in the unit that stands beside them."""
    drawn = {
        panel.key: {
            "title": panel.title,
            "unit": panel.drawn_unit,
            "mean_smoothed": panel.smooth,
            "methods": {curve.method: _curve_json(curve) for curve in curves},
        }
        for panel, curves in data.panels
    }
    return {"dynamics": {"smoothing_window_steps": data.window, "panels": drawn}}


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        "steps": [int(step) for step in curve.seeds.index],
        "seeds": {str(seed): _numbers(curve.seeds[seed]) for seed in curve.seeds},
        "mean": _numbers(curve.mean.reindex(curve.seeds.index)),
    }


def _numbers(values: pd.Series[float]) -> list[float]:
    """Ten digits: beyond them lie the summation orders of different libraries."""
    return [float(f"{v:.10g}") for v in values]


def _figures(data: Dynamics) -> dict[str, Drawing]:
    drawn: dict[str, Drawing] = {panel.key: curves for panel, curves in data.drawn(legend=True)}
    plain = tuple(curves for _, curves in data.drawn())
    return {**drawn, "overview": Overview(plain, data.trained)} if drawn else {}


DYNAMICS = Section("dynamics", dynamics, template(__file__), "Training dynamics", json=_json, figures=_figures)
