"""Scoring and updating a batch, against TRL's own method on the same weights: exact work, time, memory, equality."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import Tensor

from runners.forward.batch import Rows
from runners.forward.logprobs import expose_hidden_states, student_scores
from runners.forward.split_group import SplitGroup
from runners.speed import stock
from runners.speed.cells import Cell, Cells, Sizes
from runners.speed.inputs import batch, random_model, twin
from runners.speed.measure import Counts, Ratio, count, peaks, ratio, times
from runners.speed.report import Row, Target

# Measured in float32 on every device. On a GPU the two layouts run other kernels, in other orders.
LIMITS = {
    "cpu": {"Δ logp": 2e-6, "Δ gradient": 1e-6, "Δ tower gradient": 1e-6},
    "cuda": {"Δ logp": 1e-4, "Δ gradient": 1e-4, "Δ tower gradient": 1e-4},
}
# Of P:C 4:1, 1:1 and 1:4: least speed-up with equal and ragged completions, most memory of the update.
SPEED = {4.0: (4.0, 5.0), 1.0: (2.0, 2.8), 0.25: (1.15, 1.7)}
MEMORY = {4.0: 0.3, 1.0: 0.55}
BOUND = 0.9  # least share of the speed-up that the counted operations allow
PARTS = "micro-batch 1"  # the table of updates with little memory: in micro-batches of one row
PARTS_SPEED, PARTS_MEMORY = 2.0, 1.0  # there: least speed-up where P >= C; most memory, in every cell

Gradients = dict[str, Tensor]
Score = Callable[[Rows], Tensor]
Call = Callable[[], Tensor]  # of an update: forward and backward; log-probabilities (B, T), gradients on the parameters


def relative(ours: Gradients, theirs: Gradients, part: str = "") -> float:
    """Norm of the difference over the norm, of all parameters with `part` in their names."""
    names = [name for name in theirs if part in name]
    if ours.keys() != theirs.keys() or not names:
        return float("inf")
    difference = sum((ours[name] - theirs[name]).double().pow(2).sum() for name in names)
    size = sum(theirs[name].double().pow(2).sum() for name in names)
    return float((difference / size) ** 0.5)


class Sides:
    """One model twice over the same parameters, as TRL prepares it and as we do, and one batch."""

    def __init__(self, cell: Cell, sizes: Sizes, device: str, shared_prefix: bool = True) -> None:
        self.device, self.cell = device, cell
        self.stock = random_model(sizes, device)
        self.ours = twin(self.stock)
        stock.prepare(self.stock)
        expose_hidden_states(self.ours, shared_prefix)
        self.batch = batch(cell, sizes.vocabulary, device)

    def stock_logps(self, rows: Rows) -> Tensor:
        return stock.log_probs(self.stock, rows)

    def our_logps(self, rows: Rows, group: SplitGroup | None = None) -> Tensor:
        return student_scores(self.ours, rows, 1.0, group=group).logp_BT

    def our_live_logps(self, rows: Rows) -> Tensor:
        """With the rows left out that have no gradient, as the trainer does."""
        live = self.batch.live
        logp_BT = self.our_logps(rows.select(live))
        index = torch.tensor(live).to(logp_BT.device)
        return logp_BT.new_zeros(self.batch.weight_BT.shape).index_copy(0, index, logp_BT)

    def scoring(self, score: Score) -> Call:
        """One pass over the batch without gradient."""
        return torch.no_grad()(partial(score, self.batch.rows))  # type: ignore[no-any-return]

    def update(self, score: Score, by_row: bool = False) -> Tensor:
        """Forward and backward of a weighted sum of log-probabilities (a policy gradient). by_row: each row alone."""
        self.stock.zero_grad(set_to_none=True)
        found = []
        for rows, weight_BT in self._single_rows if by_row else [(self.batch.rows, self.batch.weight_BT)]:
            logp_BT = score(rows)
            (logp_BT * weight_BT).sum().backward()
            found.append(logp_BT.detach())
        return torch.cat(found)

    @cached_property
    def _single_rows(self) -> list[tuple[Rows, Tensor]]:
        """Cut once: the copies of the pictures are not the update's."""
        return list(zip(self.batch.rows.split(1), self.batch.weight_BT.split(1), strict=True))

    def our_update_by_row(self) -> Tensor:
        return self.update(partial(self.our_logps, group=SplitGroup(len(self.batch.weight_BT))), by_row=True)

    @property
    def our_score(self) -> Score:
        return self.our_live_logps if self.cell.dead else self.our_logps

    def updates(self, table: str) -> tuple[Call, Call]:
        """TRL's and ours."""
        if table == PARTS:
            return partial(self.update, self.stock_logps, by_row=True), self.our_update_by_row
        return partial(self.update, self.stock_logps), partial(self.update, self.our_score)

    def apart(self, theirs: Call, ours: Call) -> dict[str, float]:
        """Largest difference of log-probabilities that count; relative differences of all gradients and of the picture
        tower's."""
        logps, gradients = [], []
        for update in (theirs, ours):
            logps.append(update())
            gradients.append({n: p.grad.clone() for n, p in self.stock.named_parameters() if p.grad is not None})
        mask_BT = self.batch.weight_BT != 0
        found = {"Δ logp": (logps[1] - logps[0])[mask_BT].abs().max().item()}
        found["Δ gradient"] = relative(gradients[1], gradients[0])
        if self.cell.visual:
            found["Δ tower gradient"] = relative(gradients[1], gradients[0], "visual")
        return found

    def scores_apart(self, ours: Score) -> dict[str, float]:
        mask_BT = self.batch.rows.completion_mask_BT.bool()
        difference_BT = self.scoring(ours)() - self.scoring(self.stock_logps)()
        return {"Δ logp": difference_BT[mask_BT].abs().max().item()}

    def measured(self, theirs: Call, ours: Call, rounds: int, memory: bool) -> tuple[Ratio, dict[str, float]]:
        """Speed, and the bounds of it that are counted; with `memory` also that."""
        if self.device == "cuda":
            self.stock.to(torch.bfloat16)
        calls = {"stock": theirs, "ours": ours}
        found = times(calls, rounds, self.device)
        work = count(self.stock, theirs), count(self.ours, ours)
        figures = {"FLOP bound": work[0].flops / work[1].flops, "token bound": work[0].tokens / work[1].tokens}
        if memory:
            figures |= peaks(calls, self.device, self.stock.zero_grad)
            self.stock.zero_grad()
        return ratio(found["stock"], found["ours"], self.device), figures


def measure(cell: Cell, chosen: Cells, device: str, table: str, targets: bool = False) -> Iterator[Row]:
    """Scoring without gradient, of the cells that have targets for it, and the update; equality first, in float32."""
    sides = Sides(cell, chosen.exact, device)
    sides.our_logps(sides.batch.rows)  # the first batch of a kind is scored both ways
    apart = {"scoring": sides.scores_apart(sides.our_score)} if table == "P:C" else {}
    apart["update"] = sides.apart(*sides.updates(table))
    if (chosen.sizes, chosen.timed) != (chosen.exact, 1):
        del sides  # its gradients, before another model is drawn
        cell = cell.longer(chosen.timed)
        sides = Sides(cell, chosen.sizes, device)
    for what in apart:
        scorings = sides.scoring(sides.stock_logps), sides.scoring(sides.our_score)
        both = sides.updates(table) if what == "update" else scorings
        speed, figures = sides.measured(*both, chosen.rounds, what == "update")
        figures["share of the FLOP bound"] = speed.median / figures["FLOP bound"]
        if device == "cuda":
            figures["tokens/s ours"] = int(sides.batch.rows.completion_mask_BT.sum()) / speed.below
        aims = _targets(cell, table, what, speed.median, figures) if targets else ()
        yield Row(f"{table}: {what}", cell.name, apart[what], LIMITS[device], speed, figures, aims)


def counters(cell: Cell, sizes: Sizes, device: str) -> Row:
    """What one pass without gradient computes: exact."""
    sides = Sides(cell, sizes, device)
    theirs, ours = sides.scoring(sides.stock_logps), sides.scoring(sides.our_logps)
    ours()  # the first batch of a kind is scored both ways
    figures: dict[str, float] = {}
    for name, *both in zip(Counts._fields, count(sides.stock, theirs), count(sides.ours, ours), strict=True):
        figures |= {f"{name.replace('_', ' ')} {who}": n for who, n in zip(("stock", "ours"), both, strict=True)}
    return Row("counters", cell.name, sides.scores_apart(sides.our_logps), LIMITS[device], None, figures)


def controls(cell: Cell, sizes: Sizes, device: str, rounds: int) -> Iterator[Row]:
    """What must go wrong: another order of the rows, another picture; and what must gain nothing."""
    sides = Sides(cell, sizes, device)
    rows = sides.batch.rows
    shuffled = replace(rows, completion_BT=rows.completion_BT.roll(1, 0))
    swapped = replace(rows, pictures={**rows.pictures, "pixel_values": rows.pictures["pixel_values"].flip(0)})
    for name, wrong in (("rows shuffled", shuffled), ("pictures swapped", swapped)):
        apart = sides.scores_apart(lambda _, wrong=wrong: sides.our_logps(wrong))  # type: ignore[misc]
        yield Row("control", f"{name}; {cell.name}", apart, LIMITS[device], must_fail=True)
    plain = Sides(cell, sizes, device, shared_prefix=False)
    yield _unshared(plain, "sharing switched off", plain.our_logps, rounds)
    plain.ours = plain.stock
    yield _unshared(plain, "stock against itself", plain.stock_logps, rounds)


def _unshared(sides: Sides, name: str, score: Score, rounds: int) -> Row:
    """A pass of as many tokens and pictures as stock's. What it still gains it owes to its head."""
    theirs, ours = partial(sides.update, sides.stock_logps), partial(sides.update, score)
    apart = sides.apart(theirs, ours)
    counts = count(sides.stock, theirs), count(sides.ours, ours)
    apart["Δ tokens"] = abs(counts[0].tokens - counts[1].tokens)
    apart["Δ pictures"] = abs(counts[0].pictures - counts[1].pictures)
    speed, bounds = sides.measured(theirs, ours, rounds, False)
    limits = LIMITS[sides.device] | {"Δ tokens": 0, "Δ pictures": 0}
    return Row("control", f"{name}; {sides.cell.name}", apart, limits, speed, bounds)


def _targets(cell: Cell, table: str, what: str, speed: float, figures: dict[str, float]) -> tuple[Target, ...]:
    shape = cell.prompt / cell.completion
    if table == PARTS:
        aims = [Target("memory", figures["memory"], "<=", PARTS_MEMORY)]
        return (*aims, Target("speed-up", speed, ">=", PARTS_SPEED)) if shape >= 1 else tuple(aims)
    aims = [Target("speed-up", speed, ">=", SPEED[shape][cell.ragged])]
    aims.append(Target("share of the FLOP bound", figures["share of the FLOP bound"], ">=", BOUND))
    if what == "update" and shape in MEMORY and not cell.ragged:
        aims.append(Target("memory", figures["memory"], "<=", MEMORY[shape]))
    return tuple(aims)
