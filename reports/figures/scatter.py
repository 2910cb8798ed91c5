"""Two numbers of each method against each other, one point a method with both intervals."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.figures.axes import Scale, line, picture, text, x_axis, y_axis
from reports.figures.looks import Look
from reports.stats.estimate import Estimate

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 460, 26, 282
LINE, LETTER, MARK = 13.0, 7.0, 5.0  # pixels: of a name its height and each letter, and half a mark


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def within(self, left: float, top: float, right: float, bottom: float) -> bool:
        return left <= self.left and top <= self.top and self.right <= right and self.bottom <= bottom


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
        placed = [Box(at[0] - MARK, at[1] - MARK, at[0] + MARK, at[1] + MARK) for at in marks]
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


def _point(point: Point, x: Scale, y: Scale, placed: list[Box]) -> str:
    at = x(100 * point.x.mean), y(100 * point.y.mean)
    (left, right), (low, high) = _ends(point.x), _ends(point.y)
    cross = line(x(100 * left), at[1], x(100 * right), at[1], "thin") + line(
        at[0], y(100 * low), at[0], y(100 * high), "thin"
    )
    told = f"{point.label}: {100 * point.y.mean:.1f} at {100 * point.x.mean:.1f}"
    mark = point.look.mark(*at, told=str(escape(told)))
    box, side = _free(at, point.label, placed)
    placed.append(box)
    near = box.left if side == "start" else box.right
    baseline = box.top + LINE - 4
    lead = line(*at, near, baseline - 4, "lead") if abs(baseline - 4 - at[1]) > LINE / 2 else ""
    return point.look.group(cross + lead + mark) + text(near, baseline, point.label, side, "name")


def _free(at: tuple[float, float], label: str, placed: list[Box]) -> tuple[Box, str]:
    """Where a mark's name goes, and which of its ends is there: right of the mark, else left; and as few lines below or
    above as leave other names and marks free. Where nothing is free, right beside it."""
    wide = LETTER * len(label)
    shifts = sorted((way * n for n in range(int(HEIGHT / LINE)) for way in (1, -1)), key=abs)
    for down in shifts:
        top = at[1] + LINE * down - LINE / 2
        gap = MARK + 3 + 6 * min(2, abs(down))  # what a line to the mark needs to be seen
        for box, side in (
            (Box(at[0] + gap, top, at[0] + gap + wide, top + LINE), "start"),
            (Box(at[0] - gap - wide, top, at[0] - gap, top + LINE), "end"),
        ):
            if box.within(LEFT, TOP, RIGHT, BOTTOM) and not any(box.meets(other) for other in placed):
                return box, side
    top = at[1] - LINE / 2
    return Box(at[0] + 8, top, at[0] + 8 + wide, top + LINE), "start"
