"""Controls: methods changed in one place, to find out what a method's gain comes of. Asked for by name, as methods are,
and in no `--methods all`.

Weights permuted within each reply: are they more than noise? Their sign turned round: is it their direction? A
reference that is wrong, of another problem or "?": is it what the teacher is told? Half of the rollouts shaped: which?
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from methods.base import Context, Credit, Method, Rollouts, Sibling, Task
from methods.opsd import OPSD
from methods.rlsd import RLSD
from methods.words import context

LETTERS, NUMBERS = "ABCD", 20  # what a reference of another problem is drawn from


def wrong(answer: str) -> str:
    """The next letter or number; what is neither is told with a remark that makes it another."""
    if _is_letter(answer):
        return next((letter for letter in LETTERS if letter > answer), LETTERS[0])
    try:
        value = float(answer)
    except ValueError:
        return f"not {answer}"
    other = f"{value + 1:.12g}"
    return other if math.isfinite(value) and float(other) != value else f"not {answer}"


def another(task: Task) -> str:
    """An answer of the same form, fixed by the problem, that says nothing about it; what is no letter gets a number."""
    draw = zlib.crc32(f"{task.answer} {task.solution}".encode())
    pool = [*LETTERS] if _is_letter(task.answer) else [str(n) for n in range(1, NUMBERS + 1)]
    others = [answer for answer in pool if answer != task.answer]
    return others[draw % len(others)]


def _is_letter(answer: str) -> bool:
    """Of one option: "BC" names two, and an empty answer none, though both are parts of LETTERS."""
    return len(answer) == 1 and "A" <= answer <= "Z"


@dataclass(frozen=True)
class RLSDPermuted(RLSD):
    name = "rlsd_permuted"
    label = "RLSD, weights permuted"
    credit_by_row = False  # one draw for the whole batch

    def credit(self, rollouts: Rollouts) -> Credit:
        found = super().credit(rollouts)
        if found.weights_BT is None:
            return found
        generator = torch.Generator().manual_seed(rollouts.step)
        weights_BT = found.weights_BT.clone()
        for weights_T, mask_T in zip(weights_BT, rollouts.mask_BT.bool(), strict=True):
            own = weights_T[mask_T]
            weights_T[mask_T] = own[torch.randperm(len(own), generator=generator).to(own.device)]
        return shaped(found, rollouts, weights_BT)


@dataclass(frozen=True)
class RLSDFlipped(RLSD):
    name = "rlsd_flipped"
    label = "RLSD, sign flipped"

    def credit(self, rollouts: Rollouts) -> Credit:
        if rollouts.student_BT is None:
            return super().credit(rollouts)
        swapped = {"answer": rollouts.student_BT}
        return super().credit(replace(rollouts, student_BT=rollouts.teacher["answer"], teacher=swapped))


@dataclass(frozen=True)
class RLSDNegative(RLSD):
    """Shapes the rollouts that are pushed down, as the official code's `negative_only`."""

    name = "rlsd_negative"
    label = "RLSD, negative only"

    def credit(self, rollouts: Rollouts) -> Credit:
        return of_one_sign(super().credit(rollouts), rollouts, rollouts.advantages_B < 0)


@dataclass(frozen=True)
class RLSDPositive(RLSD):
    name = "rlsd_positive"
    label = "RLSD, positive only"

    def credit(self, rollouts: Rollouts) -> Credit:
        return of_one_sign(super().credit(rollouts), rollouts, rollouts.advantages_B > 0)


@dataclass(frozen=True)
class RLSDWrong(RLSD):
    name = "rlsd_wrong"
    label = "RLSD, wrong reference"

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"answer": context("answer", wrong(task.answer))}


@dataclass(frozen=True)
class RLSDAnother(RLSD):
    name = "rlsd_another"
    label = "RLSD, another's reference"

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"answer": context("answer", another(task))}


@dataclass(frozen=True)
class RLSDBlank(RLSD):
    name = "rlsd_blank"
    label = "RLSD, blank reference"

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"answer": context("answer", "?")}


@dataclass(frozen=True)
class RLSDSolution(RLSD):
    name = "rlsd_solution"
    label = "RLSD, told the solution"

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"answer": context("solution", task.solution)} if task.solution else super().contexts(task, group, own)


@dataclass(frozen=True)
class OPSDWrong(OPSD):
    name = "opsd_wrong"
    label = "OPSD, wrong reference"

    def contexts(self, task: Task, group: Sequence[Sibling], own: int) -> Mapping[str, Context]:
        return {"reference": context("answer", wrong(task.answer))}


def shaped(found: Credit, rollouts: Rollouts, weights_BT: Tensor) -> Credit:
    """The credit with other weights."""
    advantages_BT = rollouts.advantages_B[:, None] * weights_BT * rollouts.mask_BT
    return found._replace(advantages=advantages_BT, weights_BT=weights_BT)


def of_one_sign(found: Credit, rollouts: Rollouts, keep_B: Tensor) -> Credit:
    """The credit with the weights of the other rollouts at 1."""
    if found.weights_BT is None:
        return found
    ones_BT = torch.ones_like(found.weights_BT)
    return shaped(found, rollouts, torch.where(keep_B[:, None], found.weights_BT, ones_BT))


_SHAPED = RLSDPermuted, RLSDFlipped, RLSDNegative, RLSDPositive
_TOLD = RLSDWrong, RLSDAnother, RLSDBlank, RLSDSolution, OPSDWrong
CONTROLS: dict[str, type[Method]] = {kind.name: kind for kind in (*_SHAPED, *_TOLD)}
