"""A metric over training, one line a method; several seeds as a band around their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from reports.figures.axes import Scale, line, path, picture, text, x_axis, y_axis
from reports.figures.looks import Look

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 394, 42, 208  # the last value below stands half to the right of it
POINTS = 120  # of a line at most: more are no pixels


@dataclass(frozen=True, eq=False)
class Curve:
    """One method: `seeds` has a column a seed by step, `mean` what is drawn thick, by step."""

    method: str
    label: str
    look: Look
    seeds: pd.DataFrame
    mean: pd.Series[float]


@dataclass(frozen=True, eq=False)
class Lines:
    """One metric over optimizer steps; `marked` where every point was measured by itself, `smooth` where the mean was
    smoothed, and so the seeds must be."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    from_zero: bool = True
    marked: bool = False
    window: int = 1

    def svg(self) -> Markup:
        x, y = self._scales()
        low = [line(LEFT, y(0), RIGHT, y(0), "zero")] if y.low < 0 < y.high else []
        drawn = [self._curve(curve, position, x, y) for position, curve in enumerate(self.curves)]
        told = f"{self.title}, {self.unit}, over optimizer steps: " + "; ".join(map(_spoken, self.curves))
        parts = [
            text(4, 16, self.title, kind="head"),
            text(4, 32, self.unit, kind="soft"),
            y_axis(y, LEFT, RIGHT),
            x_axis(x, TOP, BOTTOM),
            *low,
            *drawn,
            text((LEFT + RIGHT) / 2, HEIGHT - 6, "optimizer step", "middle", "soft unit"),
        ]
        ends = {"low": f"{x.low:g}", "high": f"{x.high:g}", "left": LEFT, "right": RIGHT}
        return picture(WIDTH, HEIGHT, told, parts, **ends)

    def _scales(self) -> tuple[Scale, Scale]:
        steps = [step for curve in self.curves for step in curve.seeds.index]
        values = np.concatenate([curve.seeds.to_numpy(float).ravel() for curve in self.curves])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if self.from_zero and low >= 0:
            low, high = 0.0, high or 1.0
        room = 0.05 * ((high - low) or abs(high) or 1.0)
        # From just below 0, so that a line that stays at 0 does not hide on the axis.
        y = Scale(low - room, high + room, BOTTOM, TOP)
        first, last = (0 if self.marked else min(steps)), max(steps)
        return Scale(first, last if last > first else first + 1, LEFT, RIGHT), y

    def _curve(self, curve: Curve, position: int, x: Scale, y: Scale) -> str:
        def points(values: pd.Series[float]) -> list[tuple[float, float]]:
            known = values.dropna()
            every = max(1, -(-len(known) // POINTS))
            kept = known.iloc[[*range(0, len(known) - 1, every), -1]] if len(known) else known
            return [(x(step), y(value)) for step, value in zip(kept.index, kept, strict=True)]

        parts = []
        if curve.seeds.shape[1] > 1:
            seeds = curve.seeds.rolling(self.window, center=True, min_periods=1).mean()
            around = points(seeds.max(axis=1)) + points(seeds.min(axis=1))[::-1]
            parts.append(f'<path class="band" d="{path(around)}Z"/>')
        elif self.window > 1:
            parts.append(f'<path class="thin" d="{path(points(curve.seeds.iloc[:, 0]))}"/>')
        if thick := points(curve.mean):
            parts.append(f'<path class="thick" d="{path(thick)}"{curve.look.dashes}/>')
        # Shifted, so that markers of different methods do not meet.
        every = 1 if self.marked else max(1, len(thick) // 5)
        shown = thick if self.marked else thick[position * len(thick) // 40 :: every]
        parts += [curve.look.mark(*at) for at in shown]
        inner = f"<title>{escape(curve.label)}</title>" + "".join(parts)
        return curve.look.group(inner, method=curve.method)


def _spoken(curve: Curve) -> str:
    known = curve.mean.dropna()
    return f"{curve.label} from {known.iloc[0]:.3g} to {known.iloc[-1]:.3g}" if len(known) else f"{curve.label} none"
