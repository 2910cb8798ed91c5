"""Mini editions of the benches: drawn visual arithmetic in each bench's official schema.

They exist so that loading, prompting, grading and aggregation run on a machine with nothing to download.
A mini score says nothing about the bench it imitates; every id starts with `mini_` to keep the two apart.
Pictures are PIL images in the column where the official set has them.
"""

from eval.benches.bench import Bench
from eval.core.errors import UserError
from eval.grading.score import Row

DRAWING = 2  # results on another drawing of the same names are of other rows
EDITIONS = {"mini": 1, "mini-large": 19}  # how often the quick edition's 40 to 70 rows a bench are drawn


def mini_rows(bench: Bench, split: str, edition: str = "mini") -> list[Row]:
    """The rows of one mini edition, always the same; raises UserError for a split that is not drawn.

    `mini` is quick and too small to compare methods; a cell of `mini-large` has a standard error below 1.5 points.
    """
    if not bench.mini_splits:
        raise UserError(f"{bench.name}: there is no mini edition; use --data <local file or folder>")
    if split not in bench.mini_splits:
        drawn = ", ".join(bench.mini_splits)
        raise UserError(f"{bench.name}: the mini edition has no split {split}; it has {drawn}")
    return [row for row, _ in bench.draw(split, 0, EDITIONS[edition])]
