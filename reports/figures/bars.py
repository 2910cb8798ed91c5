"""One bar a method with its standard error."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.figures.looks import Look
from reports.stats.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Bars:
    """`bars` are label, look and value in 0..1, drawn in percent."""

    bars: tuple[tuple[str, Look, Estimate], ...]
    axis: str

    @property
    def size(self) -> tuple[float, float]:
        return 6.2, 0.8 + 0.36 * len(self.bars)

    def draw(self, figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, look, value) in enumerate(self.bars):
            mean, error = 100 * value.mean, 100 * (value.stderr or 0.0)
            axes.barh(place, mean, color=look.colour, alpha=0.65, height=0.62)
            axes.errorbar(mean, place, xerr=error, color="#333333", ecolor="#333333", capsize=3, linewidth=1)
            end = (mean + error, place)
            axes.annotate(f"{mean:.1f} %", end, xytext=(6, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(self.bars)), [label for label, _, _ in self.bars])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(0, max([1.0, *(115 * (value.mean + (value.stderr or 0.0)) for _, _, value in self.bars)]))
        axes.set_xlabel(textwrap.fill(self.axis, 74))
