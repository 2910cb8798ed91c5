"""An update with little memory: micro-batches of one row, forward and backward, against TRL's on the same weights."""

from collections.abc import Callable

import torch
from torch import Tensor

from runners.forward.batch import Rows
from runners.forward.logprobs import student_scores
from runners.forward.split_group import SplitGroup
from runners.speed.cells import Cell, ModelShape
from runners.speed.counters import count
from runners.speed.measure import interleaved, peak, ratio
from runners.speed.result import Row, Target
from runners.speed.scoring_cells import LIMITS, Sides, bounds_of, relative

TABLE = "micro-batch 1: update"
SPEED, MEMORY = 2.0, 1.0  # least speed-up where P >= C; most memory, in every cell


class SingleRows:
    """The rows of a cell's one group in turn. Either side leaves its gradients on the same parameters."""

    def __init__(self, cell: Cell, shape: ModelShape, device: str) -> None:
        self.sides = Sides(cell, shape, device)
        self._parts = list(zip(self.sides.batch.rows.split(1), self.sides.batch.weight_BT.split(1), strict=True))

    def stock(self) -> Tensor:
        """Log-probabilities (B, T)."""
        return self._update(self.sides.stock_logps)

    def ours(self) -> Tensor:
        group = SplitGroup(len(self._parts))
        return self._update(lambda rows: student_scores(self.sides.ours, rows, 1.0, group=group).logp_BT)

    def _update(self, score: Callable[[Rows], Tensor]) -> Tensor:
        self.sides.stock.zero_grad(set_to_none=True)
        found = []
        for rows, weight_1T in self._parts:
            logp_1T = score(rows)
            (logp_1T * weight_1T).sum().backward()
            found.append(logp_1T.detach())
        return torch.cat(found)

    def apart(self) -> dict[str, float]:
        """How far the two sides are apart: see scoring_cells.errors."""
        found = {}
        for name, update in (("theirs", self.stock), ("ours", self.ours)):
            logp_BT = update()
            grads = {n: p.grad.clone() for n, p in self.sides.stock.named_parameters() if p.grad is not None}
            found[name] = logp_BT, grads
        (theirs_BT, theirs), (ours_BT, ours) = found["theirs"], found["ours"]
        mask_BT = self.sides.batch.rows.completion_mask_BT.bool()
        errors = {"Δ logp": (ours_BT - theirs_BT)[mask_BT].abs().max().item(), "Δ gradient": relative(ours, theirs)}
        return errors | ({"Δ tower gradient": relative(ours, theirs, "visual")} if self.sides.cell.visual else {})


def measure(cell: Cell, shape: ModelShape, device: str, rounds: int, targets: bool) -> Row:
    """Equality first, in float32; then time, counted work and memory."""
    both = SingleRows(cell, shape, device)
    sides, apart = both.sides, both.apart()
    if device == "cuda":
        sides.stock.to(torch.bfloat16)
    times = interleaved({"stock": both.stock, "ours": both.ours}, rounds, device)
    speed = ratio(times["stock"], times["ours"], device)
    figures: dict[str, float] = bounds_of(count(sides.stock, both.stock), count(sides.ours, both.ours))
    for name, update in (("stock", both.stock), ("ours", both.ours)):
        sides.stock.zero_grad(set_to_none=True)
        figures[f"MiB {name}"] = peak(update, device)
    figures["memory"] = figures["MiB ours"] / figures["MiB stock"]
    aims = [Target("memory", figures["memory"], "<=", MEMORY)]
    aims += [Target("speed-up", speed.median, ">=", SPEED)] * (cell.prompt >= cell.completion)
    return Row(TABLE, cell.name, apart, LIMITS[device], speed, figures, tuple(aims) if targets else ())
