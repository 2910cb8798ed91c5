"""Drawn visual arithmetic: the embedded data set, made from a seed and nothing else.

A picture shows three clusters of shapes, one colour each, in cells of a 4 x 4 grid. Some clusters are *covered*: a
grey patch hides their middle, where one more shape may be, so that their count is a guess and not a fact. A question
asks for a number that follows from the counts in one to seven dependent steps, and a demonstration is the written
chain of these steps, in one of several valid *ways*. Its numbers can *slip* (be off by one, the chain going on from
the slip), which is what makes a model trained on it know how to solve the problems and yet be unreliable at exactly
the decisive tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
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
# How often a cluster is covered, with nothing under the patch (an even count) and with a shape (an odd one from 3 on).
# So under a patch there is a shape in 70 % of the pictures, and no reader of the picture alone can be surer.
COVERED = (0.15, 0.35)
PATCH = (150, 150, 150)
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Group:
    """All shapes of one colour in a picture."""

    count: int
    colour: str
    shape: str
    covered: bool = False

    @property
    def visible(self) -> int:
        """How many shapes the picture shows."""
        return self.count - self.count % 2 if self.covered else self.count


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
            if group.covered:  # every arrangement is symmetric, so its middle is its mean
                x, y = (sum(axis) // len(centres) for axis in zip(*centres, strict=True))
                pen.rectangle((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=PATCH)
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
        count, shape = rng.randint(1, max(PLACES)), rng.choice(SHAPES)
        group = Group(count, colour, shape, covered=rng.random() < COVERED[count % 2] and count > 1)
        left, top = x + rng.randint(-1, 1), y + rng.randint(-1, 1)
        groups.append(group)
        centres.append(tuple((left + dx, top + dy) for dx, dy in PLACES[group.count]))
    return Scene(tuple(groups), tuple(centres))


class Teller:
    """Writes a chain of steps; every number it states or computes may slip."""

    def __init__(self, slip: float, rng: random.Random) -> None:
        self.text, self._slip, self._rng = "I see ", slip, rng

    def _state(self, before: str, value: float, unit: float = 1) -> float:
        # Drawn even when the slip rate is 0, so that a seed fixes the same problem whatever the rate.
        slipped, up = self._rng.random() < self._slip, self._rng.random() < 0.5
        if slipped:
            value += unit if up or value < unit else -unit
        self.text += f"{before}{number(value)}, "
        return value

    def see(self, group: Group) -> float:
        # The colour comes first: the count can then be read off the picture right where it is written.
        return self._state(f"{group.colour} {group.shape}s=", group.count)

    def compute(self, x: float, op: str, y: float) -> float:
        return self._state(f"{number(x)}{op}{number(y)}=", computed(x, op, y), 0.5 if x == 0.5 else 1)


def computed(x: float, op: str, y: float) -> float:
    """What a step is worth. A slip upstream may lead below zero, which no count is."""
    return max(0.0, x + y if op == "+" else x - y if op == "-" else x * y)


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


class Way(NamedTuple):
    """How a chain is written: the order of the terms, and whether each is worked out and added at once (or all counts
    come first, then the products, then the sums)."""

    order: tuple[int, ...]
    at_once: bool = False


class Kind(NamedTuple):
    """A family of problems: the question, and its answer as a sum of the three counts, each `n` or `factor*n`.

    A factor `v` or `w` is one of the problem's two weights.
    """

    question: str
    terms: str

    @property
    def parsed(self) -> list[tuple[str, str]]:
        """The sign and the factor ("" for 1) of each term."""
        return [(sign or "+", factor) for sign, factor in re.findall(r"([-+]?)(?:([\w.]+)\*)?n", self.terms)]

    @property
    def numbers(self) -> int:
        """How many numbers a chain states: every count, product and sum."""
        return len(re.findall(r"n|[-+*]", self.terms))

    @property
    def ways(self) -> list[Way]:
        """The valid ways: terms of like sign and factor in any order, worked out at once or not where that differs."""
        terms = self.parsed
        orders = [o for o in permutations(range(len(terms))) if [terms[i] for i in o] == terms]
        differs = len(terms) > 2 or (len(terms) == 2 and any(factor for _, factor in terms))
        return [Way(order, at_once) for at_once in (False, True)[: 1 + differs] for order in orders]

    def solve(self, teller: Teller, groups: Sequence[Group], weights: Sequence[int], way: Way) -> float:
        """What the steps that the teller writes arrive at."""
        factors = {"v": weights[0], "w": weights[1], "0.5": 0.5}
        terms = self.parsed
        counts: dict[int, float] = {}
        products: dict[int, float] = {}

        def product(i: int) -> float:
            n, factor = counts[i] if i in counts else teller.see(groups[i]), terms[i][1]
            return teller.compute(factors[factor], "*", n) if factor else n

        if not way.at_once:
            counts.update({i: teller.see(groups[i]) for i in way.order})
            products.update({i: product(i) for i in way.order})
        total = 0.0
        for place, i in enumerate(way.order):
            value = products[i] if i in products else product(i)
            total = teller.compute(total, terms[i][0], value) if place else value
        return total


KINDS: dict[str, Kind] = {
    "count": Kind("How many {a} shapes are there?", "n"),
    "half": Kind("Each {a} shape weighs 0.5 kg. What is their weight?", "0.5*n"),
    "sum": Kind("How many {a} and {b} shapes are there together?", "n+n"),
    "difference": Kind("How many more {a} than {b} shapes are there?", "n-n"),
    "weighted": Kind("Each {a} shape is worth {v} points, each {b} shape 1. How many points in total?", "v*n+n"),
    "total": Kind("How many {a}, {b} and {c} shapes are there together?", "n+n+n"),
    "both": Kind("Each {a} shape is worth {v} points, each {b} shape {w}. How many points in total?", "v*n+w*n"),
    "minus": Kind(
        "Each {a} shape is worth {v} points, each {b} shape 1, and each {c} shape costs 1. How many points?", "v*n+n-n"
    ),
    "all": Kind(
        "Each {a} shape is worth {v} points, each {b} shape {w}, each {c} shape 1. How many points in total?",
        "v*n+w*n+n",
    ),
    "net": Kind(
        "Each {a} shape is worth {v} points, each {b} shape {w}, and each {c} shape costs 1. How many points in total?",
        "v*n+w*n-n",
    ),
}
TRAINING_KINDS = tuple(k for k, kind in KINDS.items() if kind.numbers >= 3)


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
        return self.chain()[1]

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

    @property
    def ways(self) -> list[Way]:
        """The valid ways to write the chain, that in the question's order first."""
        return KINDS[self.kind].ways

    def chain(self, slip: float = 0.0, rng: random.Random | None = None, way: Way | None = None) -> tuple[str, float]:
        """The written steps, and the number that they arrive at."""
        teller = Teller(slip, rng or random.Random(0))
        value = KINDS[self.kind].solve(teller, self.groups, self.weights, way or self.ways[0])
        return teller.text, value

    def demonstrate(self, slip: float = 0.0, rng: random.Random | None = None, way: Way | None = None) -> str:
        """The whole reply: the chain, the option of its last number if there are options, and the answer in a box."""
        return self.finish(*self.chain(slip, rng, way))

    def finish(self, text: str, value: float) -> str:
        """The reply whose steps are `text` and arrive at `value`."""
        answer = self.conclude(value)
        # Right behind the number: its letter is then found by looking the number up among the options.
        end = f"{text.removesuffix(', ')}({answer}) " if self.options else text
        return f"{end}so \\boxed{{{answer}}}"


def make_problem(rng: random.Random, kind: str) -> Problem:
    scene = make_scene(rng)
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
    return replace(problem, options=options)


def drawn_problem(rng: random.Random, kinds: Sequence[str] = TRAINING_KINDS, options: float = 0.25) -> Problem:
    """A problem of the training distribution: three to seven numbers, one in four with options."""
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
