"""Table 1 of the paper from what the methods declare: who teaches, what is told, and where the update comes from."""

from rich.table import Table

from methods import METHODS
from methods.base import Teacher


def table() -> Table:
    """A row for each method of the registry, with its default parameters."""
    rows = Table("method", "rollouts", "policy gradient", "teacher: weights", "credit reads teacher")
    for name, kind in METHODS.items():
        method = kind()
        teachers = ", ".join(f"{context}: {_weights(teacher)}" for context, teacher in method.teachers.items())
        words = ("own", "yes" if method.policy_gradient else "no", teachers or "–")
        rows.add_row(name, *words, "each token" if method.credit_uses_teacher else "no")
    return rows


def _weights(teacher: Teacher) -> str:
    how = f" every {teacher.every} steps" if teacher.every else f" at {teacher.rate}" if teacher.rate else ""
    return teacher.kind + how
