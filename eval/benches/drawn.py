"""Drawn visual arithmetic: the embedded data set, made from a seed and nothing else.

A picture shows three clusters of shapes, one colour each, in cells of a 4 x 4 grid. A question asks for a number
that follows from the counts in one to seven dependent steps, and a demonstration is the written chain of these
steps. Its numbers can *slip* (be off by one, the chain going on from the slip), which is what makes a model trained
on it know how to solve the problems and yet be unreliable at exactly the decisive tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # a command line that only names the benches draws nothing
    from PIL import Image, ImageDraw

COLOURS = {"red": (220, 40, 40), "blue": (40, 70, 220), "green": (30, 160, 60), "black": (20, 20, 20)}
SHAPES = ("circle", "square", "triangle")
SIDE, CELL, RADIUS = 64, 16, 2
# A cluster stands in one cell, like the eyes of a die: the tiny model can then learn to count within minutes.
PLACES = {
    1: ((0, 0),),
    2: ((-4, -4), (4, 4)),
    3: ((-4, -4), (0, 0), (4, 4)),
    4: ((-4, -4), (-4, 4), (4, -4), (4, 4)),
    5: ((-4, -4), (-4, 4), (0, 0), (4, -4), (4, 4)),
}
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Group:
    """All shapes of one colour in a picture."""

    count: int
    colour: str
    shape: str


@dataclass(frozen=True)
class Scene:
    """Three groups and where their shapes stand, in pixels of a 64 x 64 picture."""

    groups: tuple[Group, ...]
    centres: tuple[tuple[tuple[int, int], ...], ...]

    def picture(self) -> Image.Image:
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (SIDE, SIDE), "white")
        pen = ImageDraw.Draw(image)
        for group, centres in zip(self.groups, self.centres, strict=True):
            for x, y in centres:
                _draw(pen, group, x, y)
        return image


def _draw(pen: ImageDraw.ImageDraw, group: Group, x: int, y: int) -> None:
    r, fill = RADIUS, COLOURS[group.colour]
    if group.shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)
    elif group.shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill=fill)
    else:
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)


def make_scene(rng: random.Random) -> Scene:
    cells = [(CELL // 2 + CELL * i, CELL // 2 + CELL * j) for i in range(4) for j in range(4)]
    groups, centres = [], []
    for colour, (x, y) in zip(rng.sample(list(COLOURS), 3), rng.sample(cells, 3), strict=True):
        group = Group(rng.randint(1, max(PLACES)), colour, rng.choice(SHAPES))
        left, top = x + rng.randint(-1, 1), y + rng.randint(-1, 1)
        groups.append(group)
        centres.append(tuple((left + dx, top + dy) for dx, dy in PLACES[group.count]))
    return Scene(tuple(groups), tuple(centres))


class Teller:
    """Writes a chain of steps; every number it states or computes may slip."""

    def __init__(self, slip: float, rng: random.Random) -> None:
        self.text, self.slips = "I see ", list[tuple[int, int]]()
        self._slip, self._rng = slip, rng

    def _state(self, before: str, value: float, unit: float = 1) -> float:
        # Drawn even when the slip rate is 0, so that a seed fixes the same problem whatever the rate.
        slipped, up = self._rng.random() < self._slip, self._rng.random() < 0.5
        if slipped:
            value += unit if up or value < unit else -unit
        start = len(self.text) + len(before)
        self.text += f"{before}{number(value)}, "
        if slipped:
            self.slips.append((start, start + len(number(value))))
        return value

    def see(self, group: Group) -> float:
        # The colour comes first: the count can then be read off the picture right where it is written.
        return self._state(f"{group.colour} {group.shape}s=", group.count)

    def compute(self, x: float, op: str, y: float) -> float:
        # A slip upstream may lead below zero, which no count is.
        value = max(0.0, _apply(x, op, y))
        return self._state(f"{number(x)}{op}{number(y)}=", value, 0.5 if x == 0.5 else 1)


def _apply(x: float, op: str, y: float) -> float:
    return x + y if op == "+" else x - y if op == "-" else x * y


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


class Kind(NamedTuple):
    """A family of problems: how many numbers a chain states, the question, and the chain itself."""

    numbers: int
    question: str
    solve: Callable[[Teller, Sequence[Group], Sequence[int]], float]


def _total(t: Teller, g: Sequence[Group], w: Sequence[int]) -> float:
    a, b, c = t.see(g[0]), t.see(g[1]), t.see(g[2])
    return t.compute(t.compute(a, "+", b), "+", c)


def _weighted(t: Teller, g: Sequence[Group], w: Sequence[int]) -> float:
    a, b = t.see(g[0]), t.see(g[1])
    return t.compute(t.compute(w[0], "*", a), "+", b)


def _both(t: Teller, g: Sequence[Group], w: Sequence[int]) -> float:
    a, b = t.see(g[0]), t.see(g[1])
    x, y = t.compute(w[0], "*", a), t.compute(w[1], "*", b)
    return t.compute(x, "+", y)


def _minus(t: Teller, g: Sequence[Group], w: Sequence[int]) -> float:
    a, b, c = t.see(g[0]), t.see(g[1]), t.see(g[2])
    return t.compute(t.compute(t.compute(w[0], "*", a), "+", b), "-", c)


def _all(t: Teller, g: Sequence[Group], w: Sequence[int]) -> float:
    a, b, c = t.see(g[0]), t.see(g[1]), t.see(g[2])
    x, y = t.compute(w[0], "*", a), t.compute(w[1], "*", b)
    return t.compute(t.compute(x, "+", y), "+", c)


KINDS: dict[str, Kind] = {
    "count": Kind(1, "How many {a} shapes are there?", lambda t, g, w: t.see(g[0])),
    "half": Kind(
        2, "Each {a} shape weighs 0.5 kg. What is their weight?", lambda t, g, w: t.compute(0.5, "*", t.see(g[0]))
    ),
    "sum": Kind(
        3, "How many {a} and {b} shapes are there together?", lambda t, g, w: t.compute(t.see(g[0]), "+", t.see(g[1]))
    ),
    "difference": Kind(
        3, "How many more {a} than {b} shapes are there?", lambda t, g, w: t.compute(t.see(g[0]), "-", t.see(g[1]))
    ),
    "weighted": Kind(4, "Each {a} shape is worth {v} points, each {b} shape 1. How many points in total?", _weighted),
    "total": Kind(5, "How many {a}, {b} and {c} shapes are there together?", _total),
    "both": Kind(5, "Each {a} shape is worth {v} points, each {b} shape {w}. How many points in total?", _both),
    "minus": Kind(
        6, "Each {a} shape is worth {v} points, each {b} shape 1, and each {c} shape costs 1. How many points?", _minus
    ),
    "all": Kind(
        7, "Each {a} shape is worth {v} points, each {b} shape {w}, each {c} shape 1. How many points in total?", _all
    ),
}
TRAINING_KINDS = tuple(k for k, kind in KINDS.items() if 3 <= kind.numbers <= 6)


class Demonstration(NamedTuple):
    """A written chain, the number it arrives at, and the character spans of the numbers that slipped."""

    text: str
    value: float
    slips: list[tuple[int, int]]


@dataclass(frozen=True)
class Problem:
    """A question about a scene. `options` makes it multiple choice; then the answer is a letter."""

    scene: Scene
    kind: str
    groups: tuple[Group, ...]
    weights: tuple[int, int]
    options: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        a, b, c = (group.colour for group in self.groups)
        v, w = self.weights
        return KINDS[self.kind].question.format(a=a, b=b, c=c, v=v, w=w)

    @property
    def value(self) -> float:
        return self.chain().value

    @property
    def answer(self) -> str:
        return self.conclude(self.value)

    def conclude(self, value: float) -> str:
        """The final answer that a chain ending in `value` gives: the number, or the letter that it has in its block."""
        if not self.options:
            return number(value)
        return LETTERS[round(value / self.unit) % len(self.options)]

    @property
    def unit(self) -> float:
        """The step between neighbouring answers."""
        return 0.5 if self.kind == "half" else 1.0

    def chain(self, slip: float = 0.0, rng: random.Random | None = None) -> Demonstration:
        teller = Teller(slip, rng or random.Random(0))
        value = KINDS[self.kind].solve(teller, self.groups, self.weights)
        return Demonstration(teller.text, value, teller.slips)

    def demonstrate(self, slip: float = 0.0, rng: random.Random | None = None) -> Demonstration:
        """The whole reply: the chain, the option of its last number if there are options, and the answer in a box."""
        text, value, slips = self.chain(slip, rng)
        answer = self.conclude(value)
        # Right behind the number: its letter is then found by looking the number up among the options.
        end = f"{text.removesuffix(', ')}({answer}) " if self.options else text
        return Demonstration(f"{end}so \\boxed{{{answer}}}", value, slips)


def make_problem(rng: random.Random, kind: str, scene: Scene | None = None) -> Problem:
    scene = scene or make_scene(rng)
    groups = rng.sample(scene.groups, 3)
    if kind == "difference" and groups[0].count < groups[1].count:
        groups[0], groups[1] = groups[1], groups[0]
    if kind == "minus":  # the subtrahend is the smallest, so that no true answer is below zero
        groups.sort(key=lambda group: -group.count)
    weights = rng.sample((2, 3), 2)
    return Problem(scene, kind, tuple(groups), (weights[0], weights[1]))


def with_options(problem: Problem, n: int) -> Problem:
    """The same problem with n options: the block of n neighbouring numbers that holds the answer, in order.

    A slip lands on another option, and the letter follows from the number alone (its rest modulo n), which the tiny
    model learns as it learns sums; options in random order it did not learn to look up.
    """
    first = problem.value - problem.unit * (round(problem.value / problem.unit) % n)
    options = tuple(number(first + problem.unit * i) for i in range(n))
    return Problem(problem.scene, problem.kind, problem.groups, problem.weights, options)


def drawn_problem(rng: random.Random, kinds: Sequence[str] = TRAINING_KINDS, options: float = 0.25) -> Problem:
    """A problem of the training distribution: three to six numbers, one in four with options."""
    problem = make_problem(rng, rng.choice(kinds))
    return with_options(problem, 4) if rng.random() < options else problem


def question_text(problem: Problem) -> str:
    """The question with its options, as a training set states it."""
    return problem.question + "".join(f"\n({chr(65 + i)}) {o}" for i, o in enumerate(problem.options))


def in_words(problem: Problem) -> str:
    """The question with its scene described, for a row without a picture."""
    groups = [f"{g.count} {g.colour} {g.shape}{'s' * (g.count > 1)}" for g in problem.scene.groups]
    verb = "is" if problem.scene.groups[0].count == 1 else "are"
    return f"There {verb} {', '.join(groups[:-1])} and {groups[-1]}. {question_text(problem)}"


def in_two_pictures(problem: Problem, first: int) -> tuple[str, list[Image.Image]]:
    """The question over two pictures: one shows the first groups of the scene, the other the rest."""
    scene = problem.scene
    parts = Scene(scene.groups[:first], scene.centres[:first]), Scene(scene.groups[first:], scene.centres[first:])
    return f"Look at <image> and <image> together. {question_text(problem)}", [part.picture() for part in parts]


_SEEN = re.compile(r"(\w+) \w+=(\d+)")
_COMPUTED = re.compile(r"(\d+(?:\.\d+)?)([-+*])(\d+(?:\.\d+)?)=(\d+(?:\.\d+)?)")


def find_slips(text: str, groups: Sequence[Group]) -> list[tuple[int, int]]:
    """Character spans of the wrong numbers in any written chain about a picture with these groups.

    A count is wrong against the picture, a result against its own operands: what follows from a slip is not one.
    """
    counts = {group.colour: group.count for group in groups}
    wrong = [m.span(2) for m in _SEEN.finditer(text) if counts.get(m[1]) != int(m[2])]
    for m in _COMPUTED.finditer(text):
        if max(0.0, _apply(float(m[1]), m[2], float(m[3]))) != float(m[4]):
            wrong.append(m.span(4))
    return sorted(wrong)
