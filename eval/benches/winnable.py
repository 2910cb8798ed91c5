"""Whether a row can be won: its own gold answer, in a box, must be right under the default rule."""

from eval.benches.bench import Bench
from eval.grading.score import Row
from eval.grading.spelling import restored


def lost(bench: Bench, row: Row) -> str | None:
    """Why no reply can be right on this row, or None. A row without an answer is not graded, and has no reason.

    A gold of several is won by its first. Needs the columns that grading reads.
    """
    if row.get(bench.answer) is None:
        return None
    shown = next(iter(bench.golds(row)), "")
    if not shown.strip():
        return "its answer is empty"
    if bench.grade(row, f"\\boxed{{{restored(shown)}}}", "default").correct:
        return None
    return f"its own answer {shown!r} counts as wrong under the default rule"
