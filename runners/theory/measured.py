"""The irreducible gap of a run: OPSD's loss, the marginal objective and their difference, checkpoint by checkpoint.

An item's references R are enumerated with their chances given the picture, so that the marginal teacher
P_T(v | x, y_<t) = sum_r P(r | x) P_T(v | x, r, y_<t) is an exact sum, and so are

    OPSD's loss         sum_r P(r | x) KL(P_T(. | r) || P_S)
    marginal objective  KL(marginal || P_S)
    information         I(Y_t; R | X, Y_<t) = H(marginal) - sum_r P(r | x) H(P_T(. | r))

of every token. Theorem 1 says that the first is the sum of the other two.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from eval.benches.drawn import Problem
from eval.core import files
from eval.core.errors import UserError
from eval.leakage.clustered import mean
from methods import Context, Method, Sibling, Task
from methods.functional import divergence
from methods.opsd import OPSD
from runners.credit.groups import models_of, problem_of, recorded_groups
from runners.credit.tokens import Models, Replies
from runners.embedded.information import fillings
from runners.probe.scored import logits, reply_ids
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.theory.identities import gap

REPLIES = 4  # of each item


class Measures(NamedTuple):
    """Nats a token (T,) of one reply. `sampled`: OPSD's loss with the one reference that training told; `apart`: what
    it has beyond `marginal` + `information`. Its mean is 0 but for which references were drawn, which makes the two
    sides of Theorem 1 independent measurements."""

    opsd: Tensor
    marginal: Tensor
    information: Tensor
    sampled: Tensor
    apart: Tensor


LABELS = (
    "OPSD's loss, all references",
    "marginal objective",
    "their difference I(Y_t; R | X, Y_<t)",
    "OPSD's loss, the told one",
    "told one minus all",
)
LOOKS = ("#0072B2", "#009E73", "#D55E00", "#999999")  # Okabe and Ito's, for all eyes; `apart` is not drawn


def measure(run: RunDir, n: int) -> Iterator[str]:
    """Writes `theory/gap.json` and `gap.png` of the model before training and of every checkpoint that is kept, on up
    to `n` items' recorded rollouts, and says a line about each. A run whose method tells its teacher no reference is
    measured with OPSD's. Raises UserError where the references cannot be enumerated."""
    settings = run.settings()
    method = build_method(settings.method, settings.params)
    if _told(method, Task("1", "1"), [], 0) == _told(method, Task("2", "2"), [], 0):
        method = OPSD()
    found: dict[str, Any] = {}
    for step in [0, *run.evaluable()]:
        models = models_of(run, settings, step)
        items, measured = list[str](), list[Measures]()
        # Whatever their rewards: these know something of the reference.
        for group in recorded_groups(run, step, n):
            of_item = _measured(method, models, group, problem_of(settings, group.item.id))
            measured += of_item
            items += [group.item.id] * sum(len(one.opsd) for one in of_item)
        joined = [torch.cat(values).tolist() for values in zip(*measured, strict=True)]
        found[str(step)] = {
            name: mean(values, items)._asdict() for name, values in zip(Measures._fields, joined, strict=True)
        }
        shown = "; ".join(
            f"{label} {found[str(step)][name]['value']:.4f} ± {found[str(step)][name]['stderr'] or 0:.4f}"
            for name, label in zip(Measures._fields, LABELS, strict=True)
        )
        yield f"step {step}, nats a token: {shown}"
    files.write_json(run.path / "theory" / "gap.json", found)
    draw(found).savefig(run.path / "theory" / "gap.png", dpi=130, format="png")
    yield f"numbers and figure: {run.path / 'theory'}"


def _told(method: Method, task: Task, group: list[Sibling], own: int) -> Context | None:
    return next(iter(method.contexts(task, group, own).values()), None)


def _measured(method: Method, models: Models, group: Replies, problem: Problem | None) -> list[Measures]:
    if problem is None:
        raise UserError("nobody knows the references of these items: --run needs a run on drawn problems")
    item, siblings = group.item, [Sibling(*pair) for pair in zip(group.replies, group.rewards, strict=True)]
    chances: dict[Context, float] = {}  # of what is told, which several references may agree in
    for chance, task in references(problem):
        told = _told(method, task if item.solution else task._replace(solution=None), siblings, 0)
        assert told is not None
        chances[told] = chances.get(told, 0.0) + chance
    own = _told(method, Task(item.answer, item.solution), siblings, 0)
    assert own in chances, f"{item.id}: what training told is none of its references"
    ids = [reply_ids(models.processor, reply) for reply in group.replies[:REPLIES]]
    teacher = models.holder(next(iter(method.teachers.values())))
    heard = {told: logits(teacher, models.processor, item.prompt(told), ids) for told in chances}
    found = []
    for b, student_TV in enumerate(logits(models.student, models.processor, item.prompt(), ids)):
        exact = gap(student_TV, torch.stack([of_all[b] for of_all in heard.values()]), list(chances.values()))
        sampled_T = divergence(student_TV.double(), heard[own][b].double(), 0)
        found.append(Measures(*exact, sampled_T, sampled_T - exact.marginal - exact.information))
    return found


def references(problem: Problem) -> list[tuple[float, Task]]:
    """P(r | x) with answer and solution: every way to fill the patches, as they are drawn, and every way to write.

    Where no cluster is covered and a chain has one way, this is the one reference, and nothing is left open.
    """
    return [
        (chance / len(filled.ways), Task(filled.answer, filled.demonstrate(way=way)))
        for chance, filled in fillings(problem)
        for way in filled.ways
    ]


def draw(found: dict[str, Any]) -> Figure:
    """All of them over training, with one standard error clustered by item."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.5, 4), layout="constrained")
        axes, steps = figure.subplots(), [int(step) for step in found]
        for name, label, colour in zip(Measures._fields, LABELS, LOOKS, strict=False):
            values = [found[str(step)][name]["value"] for step in steps]
            errors = [found[str(step)][name]["stderr"] or 0 for step in steps]
            axes.errorbar(steps, values, errors, label=label, color=colour, marker="o", capsize=2)
        axes.set(xlabel="step of the student", ylabel="nats a token")
        axes.legend(frameon=False)
    return figure
