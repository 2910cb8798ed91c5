"""Numbers with their 95 % intervals, a line a method: differences from somebody, or rates."""

from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.figures.axes import CHARACTER, Scale, line, picture, text, x_axis
from reports.figures.looks import Look
from reports.stats.estimate import Estimate

WIDTH, ROW, HEAD = 560, 22, 30


@dataclass(frozen=True)
class Line:
    """One method's number, in 0..1; a hollow mark where `apart` is False: no test tells it from none."""

    label: str
    look: Look
    found: Estimate
    apart: bool = True


@dataclass(frozen=True)
class Intervals:
    """`panels` are headings with their lines, drawn in percent; `axis` says what the numbers are. Differences are
    `signed`."""

    panels: tuple[tuple[str, tuple[Line, ...]], ...]
    axis: str
    signed: bool = False

    def svg(self) -> Markup:
        lines = [each for _, part in self.panels for each in part]
        left = 16 + CHARACTER * max(len(each.label) for each in lines)
        x = _scale([each.found for each in lines], left, WIDTH - 62)
        parts, top = list[str](), 4.0
        for head, part in self.panels:
            bottom = top + HEAD + ROW * len(part)
            start = max(4.0, min(left, WIDTH - CHARACTER * len(head)))  # a long one begins further left
            parts += [text(start, top + 18, head, kind="head"), x_axis(x, top + HEAD - 4, bottom)]
            if x.low <= 0 <= x.high:
                parts.append(line(x(0), top + HEAD - 4, x(0), bottom, "zero"))
            parts += [_line(each, x, left, top + HEAD + ROW * (i + 0.5), self.signed) for i, each in enumerate(part)]
            top = bottom + 24
        parts.append(text((x.start + x.end) / 2, top + 12, self.axis, "middle", "soft"))
        told = f"{self.axis}. " + "; ".join(
            f"{head}: " + ", ".join(f"{each.label} {_words(each.found)}" for each in part) for head, part in self.panels
        )
        return picture(WIDTH, top + 20, told, parts)


def _scale(found: list[Estimate], start: float, end: float) -> Scale:
    ends = [100 * v for cell in found for v in (cell.mean, cell.low, cell.high) if v is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.04 * ((high - low) or 1.0)
    return Scale(low - room if low < 0 else 0.0, (high + room) if high > 0 else room, start, end)


def _words(cell: Estimate) -> str:
    ends = "" if cell.low is None or cell.high is None else f" ({100 * cell.low:.1f} to {100 * cell.high:.1f})"
    return f"{100 * cell.mean:.1f}{ends}"


def _line(each: Line, x: Scale, left: float, y: float, signed: bool) -> str:
    cell = each.found
    reach = ""
    if cell.low is not None and cell.high is not None:
        reach = line(x(100 * cell.low), y, x(100 * cell.high), y, "bar")
    kind = "mark" if each.apart else "hollow"
    mark = each.look.mark(x(100 * cell.mean), y, kind, str(escape(f"{each.label}: {_words(cell)}")))
    label = text(left - 8, y + 4, each.label, "end")
    shown = f"{100 * cell.mean:+.1f}" if signed and round(100 * cell.mean, 1) else f"{100 * cell.mean:.1f}"
    value = text(WIDTH - 4, y + 4, shown.replace("-", "−"), "end", "soft")
    return label + each.look.group(reach + mark) + value
