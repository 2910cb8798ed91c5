"""The paper's items from a suite's runs, one file or two each."""

from collections.abc import Callable
from pathlib import Path

from eval.core import files
from eval.core.errors import UserError
from reports.figures import press
from reports.figures.looks import looks
from reports.findings.trilemma import CRITERIA, trilemma
from reports.sections.dynamics import dynamics
from reports.sections.table2 import TABLE2, tables
from reports.sections.tokens import token_credit
from reports.suite.comparable import require_comparable
from reports.suite.read import Suite
from reports.suite.rows import row_labels
from reports.writers.tables import WRITERS, md_table

CURVES = {  # item -> the keys of its panel, the first that was recorded
    "fig1a": ("held_out_accuracy",),
    "fig3a": ("held_out_leakage_", "leakage"),
    "fig3b": ("held_out_accuracy",),
    "fig3c": ("divergence",),
    "fig5a": ("reward",),
    "fig5b": ("entropy",),
    "fig5c": ("clip_rate",),
}


def write_item(item: str, suite: Suite, out: Path) -> list[Path]:
    """The files of one item below `out`; raises UserError where its runs lack what it shows."""
    if item not in ITEMS:
        raise UserError(f"unknown item {item!r}: choose one of {', '.join(ITEMS)}")
    require_comparable(suite.runs)
    return ITEMS[item](item, suite, out / item)


def _curves(item: str, suite: Suite, stem: Path) -> list[Path]:
    keys = CURVES[item]
    drawn = [(panel.key, lines) for panel, lines in dynamics(suite).panels]
    found = next((lines for key in keys for name, lines in drawn if name == key or name.startswith(key)), None)
    if found is None:
        what = "several evaluated steps (eval --at all)" if keys[0].startswith("held_out") else f"the metric {keys[0]}"
        raise UserError(f"{item} needs {what}, which no run of {suite.name} has")
    return _saved(stem, lambda: press.curves(found))


def _bars(item: str, suite: Suite, stem: Path) -> list[Path]:
    ours = tables(suite).ours
    look = looks(row_labels(suite))
    rows = [(row.label, look[row.method], [row.cells[c.key] for c in ours.columns]) for row in ours.rows]
    return _saved(stem, lambda: press.bars([column.head for column in ours.columns], rows))


def _tokens(item: str, suite: Suite, stem: Path) -> list[Path]:
    credit = token_credit(suite)
    if credit is None or not credit.steps:
        raise UserError(f"{item} needs token tables, which no run of {suite.name} has: train rlsd")
    step, items = list(credit.steps.items())[-1]
    replies = []
    for name, found in items:
        for r in found:
            title = f"{r.label}, {'right' if r.right else 'wrong'} reply to {name}, step {step}"
            replies.append((title, [(t.text, t.share) for t in r.tokens]))
    return _saved(stem, lambda: press.tokens(replies))


def _saved(stem: Path, draw: Callable[[], object]) -> list[Path]:
    undated = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    paths = [stem.with_suffix(f".{kind}") for kind in undated]
    with press.style(), files.replaced(*paths) as halves:
        figure = draw()
        for half, (kind, metadata) in zip(halves, undated.items(), strict=True):
            figure.savefig(half, format=kind, metadata=metadata)  # type: ignore[attr-defined]
    return paths


def _table2(item: str, suite: Suite, stem: Path) -> list[Path]:
    found = tables(suite)
    for kind, write in WRITERS.items():
        files.write(stem.with_suffix(f".{kind}"), write(TABLE2, [found.ours]))
    return [stem.with_suffix(f".{kind}") for kind in WRITERS]


def _table3(item: str, suite: Suite, stem: Path) -> list[Path]:
    words = {True: "yes", False: "no", None: "–"}
    rows = [
        (row.label.replace("|", " "), words[row.stable], words[row.improving], words[row.leak_free])
        for row in trilemma(suite)
    ]
    table = md_table(("Method", "Stable", "Improving", "Leak-free"), rows)
    files.write(stem.with_suffix(".md"), f"{table}\n\n{CRITERIA}\n")
    return [stem.with_suffix(".md")]


ITEMS: dict[str, Callable[[str, Suite, Path], list[Path]]] = {
    "table2": _table2,
    "table3": _table3,
    "fig1b": _bars,
    "fig6": _tokens,
    **dict.fromkeys(CURVES, _curves),
}
