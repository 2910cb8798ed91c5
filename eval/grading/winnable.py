"""Whether a row can be won: its own gold answer, in a box, must be right under the default rule."""

from eval.grading import BENCHES
from eval.grading.mmmu import golds_of
from eval.grading.score import Row
from eval.grading.spelling import restored

_GOLD = {"zerobench": "question_answer"}


def winnable(bench: str, row: Row) -> str | None:
    """Why no reply can be right on this row, or None. A row without an answer is not graded, and has no reason.

    A gold of several (MMMU) is won by its first. Needs the columns that grading reads.
    """
    gold = row.get(_GOLD.get(bench, "answer"))
    if gold is None:
        return None
    shown = next(iter(golds_of(gold)), "") if bench == "mmmu" else str(gold)
    if not shown.strip():
        return "its answer is empty"
    if BENCHES[bench].grade(row, f"\\boxed{{{restored(shown)}}}", "default").correct:
        return None
    return f"its own answer {shown!r} counts as wrong under the default rule"
