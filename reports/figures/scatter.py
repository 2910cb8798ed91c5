"""Two numbers of each method against each other, one point a method with both intervals."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.figures.axes import Scale, line, picture, text, x_axis, y_axis
from reports.figures.looks import Look
from reports.figures.names import Box, Name, place
from reports.stats.estimate import Estimate

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 460, 26, 282


@dataclass(frozen=True)
class Point:
    label: str
    look: Look
    x: Estimate
    y: Estimate


@dataclass(frozen=True)
class Scatter:
    """Values lie in 0..1 and are drawn in percent."""

    points: tuple[Point, ...]
    x: str
    y: str

    def svg(self) -> Markup:
        x = _scale([p.x for p in self.points], LEFT, RIGHT)
        y = _scale([p.y for p in self.points], BOTTOM, TOP)
        marks = [(x(100 * p.x.mean), y(100 * p.y.mean)) for p in self.points]
        names = place(marks, [p.label for p in self.points], Box(LEFT, TOP, RIGHT, BOTTOM))
        drawn = [_point(*each, x, y) for each in zip(self.points, marks, names, strict=True)]
        told = f"{self.y} against {self.x}: " + "; ".join(
            f"{p.label} {100 * p.y.mean:.1f} at {100 * p.x.mean:.1f}" for p in self.points
        )
        axes = [y_axis(y, LEFT, RIGHT), x_axis(x, TOP, BOTTOM), text(4, 14, self.y, kind="soft")]
        axes.append(text((LEFT + RIGHT) / 2, HEIGHT - 8, self.x, "middle", "soft"))
        return picture(WIDTH, HEIGHT, told, axes + drawn)


def _scale(found: list[Estimate], start: float, end: float) -> Scale:
    ends = [100 * v for cell in found for v in (cell.mean, *_ends(cell))]
    room = 0.06 * ((max(ends) - min(ends)) or 1.0)
    return Scale(min(ends) - room, max(ends) + room, start, end)


def _ends(cell: Estimate) -> tuple[float, float]:
    """The interval, or one standard error where there is none."""
    error = cell.stderr or 0.0
    return (
        cell.mean - error if cell.low is None else cell.low,
        cell.mean + error if cell.high is None else cell.high,
    )


def _point(point: Point, at: tuple[float, float], name: Name, x: Scale, y: Scale) -> str:
    (left, right), (low, high) = _ends(point.x), _ends(point.y)
    parts = line(x(100 * left), at[1], x(100 * right), at[1], "thin") + line(
        at[0], y(100 * low), at[0], y(100 * high), "thin"
    )
    if name.led:
        parts += line(*at, name.x, name.y, "lead")
    told = f"{point.label}: {100 * point.y.mean:.1f} at {100 * point.x.mean:.1f}"
    parts += point.look.mark(*at, told=str(escape(told)))
    return point.look.group(parts) + text(name.x, name.y + 4, point.label, name.anchor, "name")
