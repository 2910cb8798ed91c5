"""Which cells are measured. They are fixed here, so that no result can choose its own."""

from dataclasses import dataclass, replace

from runners.speed.cells import LARGE, TINY, Cell, ModelShape
from runners.speed.head_cells import DIVERGENCES, REAL, HeadCell


@dataclass(frozen=True)
class Plan:
    """ratios: scoring and update, with targets. sweep: the update alone. parts: the update in micro-batches of one row.
    trajectory: its steps, or none. Rounds come after one that warms up."""

    shape: ModelShape
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


def plan(device: str, quick: bool) -> Plan:
    chosen = QUICK if quick else FULL
    if device == "cpu":
        return chosen
    return replace(
        chosen,
        shape=LARGE,
        rounds=2 * chosen.rounds,
        ratios=_doubled(chosen.ratios),
        sweep=_doubled(chosen.sweep),
        parts=_doubled(chosen.parts),
        steps=_doubled(chosen.steps),
    )


def _doubled(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Twice the tokens, in the same proportions: a GPU is not busy with the small ones."""
    return tuple(replace(c, prompt=2 * c.prompt, completion=2 * c.completion, visual=2 * c.visual) for c in cells)
