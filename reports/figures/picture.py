"""Drawings as bytes that depend on nothing but the data. matplotlib is imported when something is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = {
    "svg.hashsalt": "reports",  # without it every SVG carries random ids
    "text.parse_math": False,  # a $ in somebody's label is a $
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 3.4,
    "savefig.dpi": 150,
}


class Drawing(Protocol):
    """Plain data that can draw itself on an empty figure of its size in inches."""

    @property
    def size(self) -> tuple[float, float]: ...

    def draw(self, figure: Figure) -> None: ...


def pictures(drawing: Drawing, *kinds: str) -> list[bytes]:
    """The drawing as each of `kinds`, `png` or `svg`, without dates or version stamps."""
    import matplotlib.style
    from matplotlib.figure import Figure

    found = []
    # A reader's own matplotlibrc must not change the report.
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=drawing.size, layout="constrained")
        drawing.draw(figure)
        for kind in kinds:
            buffer = io.BytesIO()
            metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
            figure.savefig(buffer, format=kind, metadata=metadata)
            figure.set_layout_engine("none")  # placed once, for every format
            found.append(buffer.getvalue())
    return found
