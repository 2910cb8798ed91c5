"""A metric over training steps, one line a method; alone, or all metrics as small multiples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from reports.figures.looks import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 1.7
ACROSS = 4  # small multiples in a row


@dataclass(frozen=True, eq=False)
class Curve:
    """One method: `seeds` has a column a seed by step, `mean` their mean by step."""

    method: str
    label: str
    look: Look
    seeds: pd.DataFrame
    mean: pd.Series[float]


@dataclass(frozen=True, eq=False)
class Curves:
    """One metric. The page draws it without a legend, as it shows one for all."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    from_zero: bool = True
    legend: bool = True

    @property
    def size(self) -> tuple[float, float]:
        return 4.6, 3.6 if self.legend else 2.9

    def draw(self, figure: Figure) -> None:
        self.draw_on(figure.subplots())
        if self.legend:
            handles = [_handle(curve.label, curve.look) for curve in self.curves]
            figure.legend(handles=handles, loc="outside lower center", ncols=3)

    def draw_on(self, axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for position, curve in enumerate(self.curves):
            _draw_curve(axes, curve, position)
        axes.set_title(self.title)
        axes.set_xlabel("optimizer step")
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        axes.set_ylabel(self.unit)
        low, high = axes.dataLim.intervaly
        if low < 0:
            axes.axhline(0, color="#555555", linewidth=0.8)
        elif self.from_zero:
            # From just below 0, so that a line that stays at 0 does not hide behind the axis.
            top = 1.05 * high if high > 0 else 1.0
            axes.set_ylim(-0.03 * top, top)


def _draw_curve(axes: Axes, curve: Curve, position: int) -> None:
    for seed in curve.seeds:
        axes.plot(curve.seeds.index, curve.seeds[seed], color=curve.look.colour, linewidth=0.6, alpha=0.3)
    axes.plot(
        curve.mean.index,
        curve.mean,
        **curve.look.line,
        linewidth=WIDTH,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        # Shifted, so that markers do not meet.
        markevery=(position * len(curve.mean) // 40, max(1, len(curve.mean) // 6)),
    )


def _handle(label: str, look: Look) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], **look.line, linewidth=WIDTH, label=label)


@dataclass(frozen=True, eq=False)
class Overview:
    """All metrics as small multiples, the legend in the place after the last."""

    panels: tuple[Curves, ...]
    legend: dict[str, Look]  # by label

    @property
    def _down(self) -> int:
        return len(self.panels) // ACROSS + 1

    @property
    def size(self) -> tuple[float, float]:
        return 13, 2.9 * self._down

    def draw(self, figure: Figure) -> None:
        grid = figure.subplots(self._down, ACROSS, squeeze=False).ravel()
        for axes, panel in zip(grid, self.panels, strict=False):
            panel.draw_on(axes)
        for axes in grid[len(self.panels) :]:
            axes.set_axis_off()
        handles = [_handle(label, look) for label, look in self.legend.items()]
        grid[len(self.panels)].legend(handles=handles, loc="center", fontsize=11)
