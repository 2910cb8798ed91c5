"""Where the names of a scatter's marks go, so that none lies on another or on a mark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE, LETTER, MARK = 13.0, 7.0, 5.0  # pixels: a name's height, each of its letters, and half a mark
STEP = LINE / 2  # by which a name is moved up or down until it is free


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.bottom <= other.top or other.bottom <= self.top)

    def within(self, frame: "Box") -> bool:
        down = frame.top <= self.top and self.bottom <= frame.bottom
        return down and frame.left <= self.left and self.right <= frame.right


@dataclass(frozen=True)
class Name:
    """Where a name starts or ends (`anchor`), next to its mark; `led` by a line where that is far."""

    x: float
    y: float
    anchor: str
    led: bool


def place(marks: Sequence[tuple[float, float]], labels: Sequence[str], frame: Box) -> list[Name]:
    """The names of marks at (x, y), in their order.

    Beside its mark, right of it or left, as long as that is free. The others, those of a crowd, go up or down: the
    upper half up, the lower half down, from the middle outwards, so that their lines do not cross.
    """
    taken = [Box(x - MARK, y - MARK, x + MARK, y + MARK) for x, y in marks]
    names: dict[int, Name] = {}

    def try_at(which: int, steps: Iterable[int]) -> None:
        for box, name in _candidates(marks[which], LETTER * len(labels[which]), steps):
            if box.within(frame) and not any(box.meets(other) for other in taken):
                taken.append(box)
                names[which] = name
                return

    downwards = sorted(range(len(marks)), key=lambda which: marks[which][1])
    for which in downwards:
        try_at(which, [0])
    crowd = [which for which in downwards if which not in names]
    middle = len(crowd) // 2
    all_steps = range(1, int((frame.bottom - frame.top) / STEP))
    for which in reversed(crowd[:middle]):
        try_at(which, [*(-n for n in all_steps), *all_steps])
    for which in crowd[middle:]:
        try_at(which, [*all_steps, *(-n for n in all_steps)])
    for which, (x, y) in enumerate(marks):  # where nothing is free
        names.setdefault(which, Name(x + MARK + 3, y, "start", False))
    return [names[which] for which in range(len(marks))]


def _candidates(mark: tuple[float, float], wide: float, steps: Iterable[int]) -> Iterable[tuple[Box, Name]]:
    for n in steps:
        gap = MARK + 3 + 3 * min(4, abs(n))  # what a line to the mark needs to be seen
        y, led = mark[1] + STEP * n, abs(n) > 1
        right, left = mark[0] + gap, mark[0] - gap
        yield Box(right, y - LINE / 2, right + wide, y + LINE / 2), Name(right, y, "start", led)
        yield Box(left - wide, y - LINE / 2, left, y + LINE / 2), Name(left, y, "end", led)
