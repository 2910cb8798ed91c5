"""Two numbers of each method against each other, one point a method with both intervals."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.figures.axes import CHARACTER, Scale, line, picture, text, x_axis, y_axis
from reports.figures.looks import Look
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
        placed = list[tuple[float, float]]()
        drawn = [_point(p, x, y, placed) for p in sorted(self.points, key=lambda p: -p.y.mean)]
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


def _point(point: Point, x: Scale, y: Scale, placed: list[tuple[float, float]]) -> str:
    at = x(100 * point.x.mean), y(100 * point.y.mean)
    (left, right), (low, high) = _ends(point.x), _ends(point.y)
    cross = line(x(100 * left), at[1], x(100 * right), at[1], "thin") + line(
        at[0], y(100 * low), at[0], y(100 * high), "thin"
    )
    told = f"{point.label}: {100 * point.y.mean:.1f} at {100 * point.x.mean:.1f}"
    mark = point.look.mark(*at, told=str(escape(told)))
    # Names go right of the mark, or left where there is no room, and below one another where they would meet.
    right_of = at[0] + 10 + CHARACTER * len(point.label) < RIGHT
    name = (at[0] + 8 if right_of else at[0] - 8, at[1] + 4)
    while any(abs(name[0] - other[0]) < 80 and abs(name[1] - other[1]) < 13 for other in placed):
        name = (name[0], name[1] + 13)
    placed.append(name)
    return point.look.group(cross + mark) + text(*name, point.label, "start" if right_of else "end", "name")
