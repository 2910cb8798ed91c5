"""Which cells are measured. They are fixed here, so that no result can choose its own."""

from dataclasses import dataclass, replace
from typing import NamedTuple

DIVERGENCES = {"KL(T || S)": 0.0, "JSD": 0.5, "KL(S || T)": 1.0}
REAL = 151_936  # the vocabulary of Qwen3-VL, for which the targets are


@dataclass(frozen=True)
class Cell:
    """A batch of groups: P prompt tokens, `visual` of them of one picture, and G completions of at most C tokens.

    ragged: lengths from a quarter of C to C, evenly spread. dead: the share of groups whose advantages are all zero.
    """

    prompt: int
    completion: int
    visual: int
    ragged: bool = False
    group: int = 8
    groups: int = 1
    dead: float = 0.0

    def longer(self, by: int) -> "Cell":
        return replace(self, prompt=by * self.prompt, completion=by * self.completion, visual=by * self.visual)

    @property
    def lengths(self) -> list[int]:
        if not self.ragged:
            return [self.completion] * self.group
        last = self.group - 1
        return [max(1, self.completion * (last + 3 * i) // (4 * last)) for i in range(self.group)]

    @property
    def name(self) -> str:
        parts = [f"P {self.prompt}, C {self.completion}", "ragged" if self.ragged else "equal", f"G {self.group}"]
        parts += [f"{self.visual} visual"]
        parts += [f"{self.groups} groups"] * (self.groups > 1) + [f"{self.dead:.0%} dead"] * (self.dead > 0)
        return ", ".join(parts)


class HeadCell(NamedTuple):
    """N tokens whose distributions over a vocabulary are compared."""

    tokens: int
    hidden: int
    vocabulary: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.kind}, V {self.vocabulary:,}, N {self.tokens}, D {self.hidden}"


class Sizes(NamedTuple):
    """Of a random Qwen3-VL; the rest is as in the published models."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    inner: int = 384
    vocabulary: int = 2048
    vision_hidden: int = 32
    vision_layers: int = 4
    vision_heads: int = 2
    vision_inner: int = 128


TINY = Sizes()
# The text part of Qwen3-VL-2B: about 1.7 B parameters, and a picture tower of 0.3 B.
LARGE = Sizes(2048, 28, 16, 8, 6144, 151_936, 1024, 24, 16, 4096)


@dataclass(frozen=True)
class Cells:
    """ratios: scoring and update, with targets. sweep: the update alone. parts: the update in micro-batches of one row.
    trajectory: its steps, or none. Rounds come after one that warms up. exact: of the model that equality is measured
    on, in float32. timed: by how much longer the prompts and completions are whose time and memory are taken. given:
    whole steps are timed with given rollouts (transformers' loop would take most of a GPU's, and nobody samples by it
    there) and an optimizer without state (nine trainers' have no room)."""

    sizes: Sizes
    rounds: int
    ratios: tuple[Cell, ...]
    sweep: tuple[Cell, ...]
    parts: tuple[Cell, ...]
    steps: tuple[Cell, ...]
    heads: tuple[HeadCell, ...]
    sdpo: Cell
    control: Cell
    trajectory: int
    targets: bool  # whether the cells are those that targets were set for
    exact: Sizes = TINY
    timed: int = 1
    given: bool = False


# P:C of 4:1, 1:1 and 1:4; half of each prompt is a picture.
RATIOS = (Cell(512, 128, 256), Cell(256, 256, 128), Cell(128, 512, 64))
FULL = Cells(
    TINY,
    5,
    (*RATIOS, *(replace(cell, ragged=True) for cell in RATIOS)),
    (
        *(Cell(384, 96, 256, group=group) for group in (1, 2, 4, 8, 16)),
        *(Cell(512, 128, visual) for visual in (0, 64, 256)),
        *(Cell(256, 64, 128, groups=2, dead=dead) for dead in (0.0, 0.5)),
    ),
    RATIOS,
    tuple(replace(cell, groups=2) for cell in RATIOS),
    (
        *(HeadCell(256, 128, REAL, kind) for kind in DIVERGENCES),
        *(HeadCell(256, 128, vocabulary, "JSD") for vocabulary in (2_048, 32_768)),
    ),
    Cell(256, 128, 0),
    Cell(256, 256, 128, groups=2),
    20,
    True,
)
QUICK = replace(
    FULL,
    rounds=3,
    ratios=(Cell(256, 64, 128), Cell(128, 128, 64)),
    sweep=(),
    parts=(Cell(128, 64, 64),),
    steps=(Cell(128, 32, 64),),
    heads=(HeadCell(64, 64, 32_768, "JSD"),),
    sdpo=Cell(64, 32, 0),
    control=Cell(64, 32, 16, group=4, groups=2),
    trajectory=2,
    targets=False,
)


def chosen(device: str, quick: bool) -> Cells:
    """On a GPU a larger model and more tokens in the same proportions: small ones take the time of starting kernels
    (an H200 gained nothing at 4,096 tokens). Ten thousand tokens with gradient take some 45 GiB there; equality, in
    float32 and with two sides' gradients kept, has its room with four layers only."""
    cells = QUICK if quick else FULL
    if device == "cpu":
        return cells

    heads = tuple(head._replace(tokens=2048, hidden=LARGE.hidden) for head in cells.heads)
    exact = LARGE._replace(layers=4, vision_layers=4)
    return replace(cells, sizes=LARGE, exact=exact, heads=heads, timed=4 if quick else 2, given=True)
