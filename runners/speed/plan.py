"""Which cells are measured. They are fixed here, so that no result can choose its own."""

from dataclasses import dataclass, replace

from runners.speed.cells import LARGE, TINY, Cell, ModelShape
from runners.speed.head_cells import DIVERGENCES, REAL, HeadCell


@dataclass(frozen=True)
class Plan:
    """ratios: scoring and update, with targets. sweep: the update alone. Rounds come after one that warms up."""

    shape: ModelShape
    rounds: int
    ratios: tuple[Cell, ...]
    sweep: tuple[Cell, ...]
    steps: tuple[Cell, ...]
    heads: tuple[HeadCell, ...]
    sdpo: Cell
    control: Cell
    targets: bool  # whether the cells are those that targets were set for


# P:C of 4:1, 1:1 and 1:4; half of each prompt is a picture.
RATIOS = (Cell(512, 128, 256), Cell(256, 256, 128), Cell(128, 512, 64))
FULL = Plan(
    TINY,
    5,
    (*RATIOS, *(replace(cell, ragged=True) for cell in RATIOS)),
    (
        *(Cell(384, 96, 256, group=group) for group in (1, 2, 4, 8, 16)),
        *(Cell(512, 128, visual) for visual in (0, 64, 256)),
        *(Cell(256, 64, 128, groups=2, dead=dead) for dead in (0.0, 0.5)),
    ),
    tuple(replace(cell, groups=2) for cell in RATIOS),
    (
        *(HeadCell(256, 128, REAL, kind) for kind in DIVERGENCES),
        *(HeadCell(256, 128, vocabulary, "JSD") for vocabulary in (2_048, 32_768)),
    ),
    Cell(256, 128, 0),
    Cell(256, 256, 128, groups=2),
    True,
)
QUICK = replace(
    FULL,
    rounds=3,
    ratios=(Cell(256, 64, 128), Cell(128, 128, 64)),
    sweep=(),
    steps=(Cell(128, 32, 64),),
    heads=(HeadCell(64, 64, 32_768, "JSD"),),
    sdpo=Cell(64, 32, 0),
    control=Cell(64, 32, 16, group=4, groups=2),
    targets=False,
)


def plan(device: str, quick: bool) -> Plan:
    chosen = QUICK if quick else FULL
    if device == "cpu":
        return chosen
    ratios, sweep, steps = (tuple(map(_doubled, cells)) for cells in (chosen.ratios, chosen.sweep, chosen.steps))
    return replace(chosen, shape=LARGE, rounds=2 * chosen.rounds, ratios=ratios, sweep=sweep, steps=steps)


def _doubled(cell: Cell) -> Cell:
    """Twice the tokens, in the same proportions: a GPU is not busy with the small ones."""
    return replace(cell, prompt=2 * cell.prompt, completion=2 * cell.completion, visual=2 * cell.visual)
