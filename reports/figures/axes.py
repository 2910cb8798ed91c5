"""What every picture is made of: a plotting area in SVG text. Colours come from figure.css, light or dark."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from markupsafe import Markup, escape

STYLE = Path(__file__).with_name("figure.css").read_text(encoding="utf-8")
CHARACTER = 8.6  # pixels that a letter of the labels takes, about


class Drawing(Protocol):
    """Plain data that can draw itself. `svg` stands in a page that has `STYLE`."""

    def svg(self) -> Markup: ...


def standalone(drawing: Drawing) -> str:
    """The drawing as a file of its own."""
    root, rest = str(drawing.svg()).split(">", 1)
    return f'{root} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}\n'


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, wanted: int) -> list[float]:
        """Round values within the scale, about `wanted` of them."""
        rough = (self.high - self.low) / wanted
        power = 10 ** math.floor(math.log10(rough))
        step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def picture(width: float, height: float, told: str, parts: Iterable[str], **data: object) -> Markup:
    """The whole SVG; `told` is what is read out in its place, `data` its data-* attributes."""
    more = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return Markup(
        f'<svg class="figure" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(told)}"{more}>'
        + "".join(parts)
        + "</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    marked = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marked}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through points in pixels."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def x_axis(scale: Scale, top: float, bottom: float) -> str:
    """Grid lines with their values below, in a group that a script may draw anew."""
    ticks = scale.ticks(5)
    shown = "".join(
        line(scale(v), top, scale(v), bottom, "grid") + text(scale(v), bottom + 15, number(v, ticks), "middle")
        for v in ticks
    )
    return f'<g class="x">{shown}</g>'


def y_axis(scale: Scale, left: float, right: float) -> str:
    ticks = scale.ticks(4)
    return "".join(
        line(left, scale(v), right, scale(v), "grid") + text(left - 6, scale(v) + 4, number(v, ticks), "end")
        for v in ticks
    )


def number(value: float, among: Sequence[float]) -> str:
    """With the digits that tell the ticks apart, and a real minus."""
    step = among[1] - among[0] if len(among) > 1 else max(abs(value), 1e-9)
    if max(map(abs, among)) >= 10_000:
        return f"{value:.2g}" if value else "0"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{digits}f}".replace("-", "−")
