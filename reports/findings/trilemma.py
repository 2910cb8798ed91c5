"""Table 3 of the paper by stated criteria: is a method stable, does it improve, is it free of leaks?"""

from dataclasses import dataclass

from reports.findings.differences import differences, differs
from reports.findings.heldout import ACCURACY, held_out
from reports.findings.leaking import leaks
from reports.suite import paper
from reports.suite.read import Suite

CRITERIA = (
    "Stable: of at least three evaluated steps after the base, the last score lies no further below the highest than "
    "1.96 standard errors of a difference between two scores. Improving: the last score is above the base's, told "
    "apart after correction. Leak-free: no detector finds measurably more leaking replies than in the base's. A dash: "
    "not measured."
)


@dataclass(frozen=True)
class Verdicts:
    """True, False, or None where it was not measured."""

    label: str
    stable: bool | None
    improving: bool | None
    leak_free: bool | None


def trilemma(suite: Suite) -> list[Verdicts]:
    """A row for each trained method."""
    data, found = differences(suite), leaks(suite)
    curves = next((methods for panel, methods in held_out(suite) if panel.key == ACCURACY), {})
    rows = []
    for method, label in data.labels.items():
        if method == paper.BASE:
            continue
        gain = data.between(method, paper.BASE, data.columns[0].key)
        more = [each.rows[method].more for each in found if method in each.rows]
        free = None if not more or None in more else not any(m is not None and m.mean > 0 and differs(m) for m in more)
        stable = None
        if method in curves and gain is not None and gain.stderr is not None:
            mean = curves[method].mean(axis=1)
            trained = mean[mean.index > 0]
            stable = bool(trained.max() - trained.iloc[-1] <= 1.96 * gain.stderr) if len(trained) > 2 else None
        improving = None if gain is None else gain.mean > 0 and differs(gain)
        rows.append(Verdicts(label, stable, improving, free))
    return rows
