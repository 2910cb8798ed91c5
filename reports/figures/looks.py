"""How a method looks in every figure: colour for screens, dash and marker for black-and-white print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from reports.suite import paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import LineStyleType


@dataclass(frozen=True)
class Look:
    """Drawn alone it is the swatch of a legend whose words are the page's own text."""

    colour: str
    dash: LineStyleType
    marker: str
    size: ClassVar[tuple[float, float]] = (0.6, 0.18)

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a matplotlib line."""
        return {"color": self.colour, "linestyle": self.dash, "marker": self.marker}

    def draw(self, figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.plot([0, 1, 2], [0, 0, 0], **self.line, markevery=[1])


# Okabe and Ito's colour-blind safe palette: first the paper's rows in their order, then everybody else's.
_PAPER = (
    Look("#8c8c8c", "solid", ""),
    Look("#0072B2", "solid", "o"),
    Look("#D55E00", (0, (5, 1.5)), "s"),
    Look("#009E73", (0, (1, 1)), "^"),
    Look("#CC79A7", (0, (5, 1, 1, 1)), "D"),
    Look("#000000", "solid", "v"),
)
_OTHERS = (
    Look("#E69F00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Look("#56B4E9", (0, (8, 2)), "X"),
    Look("#7A5195", (0, (2, 2)), "*"),
)


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """One fixed look a method, whatever else is in the suite; methods beyond the paper's take turns by name."""
    known = dict(zip(paper.LABELS, _PAPER, strict=True))
    others = sorted(set(methods) - known.keys())
    return {m: known[m] if m in known else _OTHERS[others.index(m) % len(_OTHERS)] for m in methods}
