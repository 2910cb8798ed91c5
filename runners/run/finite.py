"""The first number that is not finite ends a run: all that followed would be computed from it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from eval.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Phase = Literal["rollouts", "credit", "update"]
SHOWN = 8  # rollouts that a message names


class NotFinite(UserError):
    """A number of a step is NaN or infinite. `where` begins the line: which step, which phase."""

    def __init__(self, where: str, what: str, rollouts: Sequence[int] = ()) -> None:
        numbers = ", ".join(map(str, rollouts[:SHOWN])) + (", …" if len(rollouts) > SHOWN else "")
        of = f" (rollout{'s' * (len(rollouts) > 1)} {numbers})" if rollouts else ""
        super().__init__(
            f"{where}: {what} not finite{of}; the last whole checkpoint is kept: "
            "mend the settings (train.learning_rate, train.temperature, params) or the model, and use another --suite"
        )


def require_finite(step: int, phase: Phase, what: str, value: "Tensor | float", rollouts: Sequence[int] = ()) -> None:
    """Raises NotFinite for NaN and infinity. `rollouts`: the number in the step of each row of `value`."""
    where = f"step {step}, {phase}"
    if isinstance(value, float | int):
        if not math.isfinite(value):
            raise NotFinite(where, what)
        return
    finite = value.detach().isfinite()
    if not finite.all():
        bad = (~finite).reshape(len(value), -1).any(1).nonzero()[:, 0].tolist() if rollouts else []
        raise NotFinite(where, what, [rollouts[i] for i in bad])
