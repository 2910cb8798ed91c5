"""Forest plot: differences from one method with their intervals, a panel a bench."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.figures.looks import Look
from reports.stats.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE, HEAD = 0.24, 0.42  # inches that a line and a panel's heading take


@dataclass(frozen=True)
class Line:
    """One method's difference, in 0..1; `apart` where a test tells it from none."""

    label: str
    look: Look
    found: Estimate
    apart: bool


@dataclass(frozen=True)
class Forest:
    """`panels` are headings with their lines, drawn in points; `reference` is whom they are differences from."""

    panels: tuple[tuple[str, tuple[Line, ...]], ...]
    reference: str

    @property
    def size(self) -> tuple[float, float]:
        return 5.0, 0.7 + sum(HEAD + LINE * len(lines) for _, lines in self.panels)

    def draw(self, figure: Figure) -> None:
        heights = [HEAD / 2 + LINE * len(lines) for _, lines in self.panels]
        ratios = {"height_ratios": heights}
        axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw=ratios).ravel()
        for panel, (head, lines) in zip(axes, self.panels, strict=True):
            panel.set_title(head)
            _draw_panel(panel, lines)
        axes[-1].set_xlabel(f"points above (right) or below (left) {self.reference}, 95 % interval")


def _draw_panel(axes: Axes, lines: tuple[Line, ...]) -> None:
    axes.axvline(0, color="#333333", linewidth=0.9)
    for place, line in enumerate(lines):
        mean, low, high = line.found.mean, line.found.low, line.found.high
        if low is not None and high is not None:
            axes.plot([100 * low, 100 * high], [place, place], color=line.look.colour, linewidth=1.6)
        fill = line.look.colour if line.apart else "white"
        marker = line.look.marker or "o"
        axes.plot([100 * mean], [place], marker, color=line.look.colour, markerfacecolor=fill, markersize=6)
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
