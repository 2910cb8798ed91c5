"""Scoring and updating a batch, against TRL's own method on the same weights: exact work, time, memory, equality."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from runners.forward.batch import Rows
from runners.forward.logprobs import expose_hidden_states, student_scores
from runners.speed.cells import Batch, Cell, ModelShape, batch, random_model, twin
from runners.speed.counters import Work, count
from runners.speed.measure import interleaved, peak, ratio
from runners.speed.result import Row, Target

# Measured in float32 on every device. On a GPU the two layouts run other kernels, in other orders.
LIMITS = {
    "cpu": {"Δ logp": 2e-6, "Δ gradient": 1e-6, "Δ tower gradient": 1e-6},
    "cuda": {"Δ logp": 1e-4, "Δ gradient": 1e-4, "Δ tower gradient": 1e-4},
}
# Of P:C 4:1, 1:1 and 1:4: least speed-up with equal and ragged completions, most memory of the update.
SPEED = {4.0: (4.0, 5.0), 1.0: (2.0, 2.8), 0.25: (1.15, 1.7)}
MEMORY = {4.0: 0.3, 1.0: 0.55}
BOUND = 0.9  # least share of the speed-up that the counted operations allow

Score = Callable[[], Tensor]


class Sides:
    """One model twice over the same parameters, as TRL prepares it and as we do, and one batch."""

    def __init__(self, cell: Cell, shape: ModelShape, device: str, shared_prefix: bool = True) -> None:
        self.device, self.cell = device, cell
        self.stock = random_model(shape, device)
        self.ours = twin(self.stock)
        add_fused_lm_head(self.stock, outputs=("log_probs", "entropy"))
        expose_hidden_states(self.ours, shared_prefix)
        self.batch: Batch = batch(cell, shape.vocabulary, device)

    def stock_logps(self, rows: Rows | None = None) -> Tensor:
        """(B, T), by TRL's unmodified method, entropies included."""
        rows = self.batch.rows if rows is None else rows
        inputs = rows.model_inputs()
        images = {"num_images": rows.images_B} if rows.pictures else {}
        trainer = SimpleNamespace(accelerator=SimpleNamespace(autocast=nullcontext))
        score = GRPOTrainer._get_per_token_logps_and_entropies.__wrapped__  # but for its profiler
        ids, mask = inputs.pop("input_ids"), inputs.pop("attention_mask")
        length = rows.completion_BT.shape[1]
        logp_BT: Tensor = score(trainer, self.stock, ids, mask, length, compute_entropy=True, **images, **inputs)[0]
        return logp_BT

    def our_logps(self, rows: Rows | None = None) -> Tensor:
        return student_scores(self.ours, self.batch.rows if rows is None else rows, 1.0).logp_BT

    def our_live_logps(self) -> Tensor:
        """With the rows left out that have no gradient, as the trainer does."""
        live = self.batch.live
        logp_BT = self.our_logps(self.batch.rows.select(live))
        return logp_BT.new_zeros(self.batch.weight_BT.shape).index_copy(
            0, torch.tensor(live).to(logp_BT.device), logp_BT
        )

    def update(self, score: Score) -> None:
        """Forward and backward of a weighted sum of log-probabilities: a policy gradient."""
        self.stock.zero_grad(set_to_none=True)
        (score() * self.batch.weight_BT).sum().backward()

    def gradients(self, score: Score) -> dict[str, Tensor]:
        self.update(score)
        return {name: p.grad.clone() for name, p in self.stock.named_parameters() if p.grad is not None}


def errors(sides: Sides, got: Score, gradient: bool) -> dict[str, float]:
    """Largest difference of log-probabilities; relative differences of all gradients and of the picture tower's."""
    with torch.no_grad():
        mask_BT = sides.batch.weight_BT != 0 if gradient else sides.batch.rows.completion_mask_BT.bool()
        found = {"Δ logp": (got() - sides.stock_logps())[mask_BT].abs().max().item()}
    if gradient:
        theirs, ours = sides.gradients(sides.stock_logps), sides.gradients(got)
        found["Δ gradient"] = relative(ours, theirs)
        if sides.cell.visual:
            found["Δ tower gradient"] = relative(ours, theirs, "visual")
    return found


def relative(ours: dict[str, Tensor], theirs: dict[str, Tensor], part: str = "") -> float:
    """Norm of the difference over the norm, of all parameters with `part` in their names."""
    names = [name for name in theirs if part in name]
    if ours.keys() != theirs.keys() or not names:
        return float("inf")
    difference = sum((ours[name] - theirs[name]).double().pow(2).sum() for name in names)
    size = sum(theirs[name].double().pow(2).sum() for name in names)
    return float((difference / size) ** 0.5)


def measure(cell: Cell, shape: ModelShape, device: str, rounds: int, table: str, targets: bool = False) -> list[Row]:
    """Scoring without gradient, unless some groups are dead, and the update; first in float32, for equality."""
    sides = Sides(cell, shape, device)
    got = sides.our_live_logps if cell.dead else sides.our_logps
    tokens = int(sides.batch.rows.completion_mask_BT.sum())
    found = {what: errors(sides, got, what == "update") for what in ("scoring", "update")}
    if device == "cuda":
        sides.stock.to(torch.bfloat16)
    rows = []
    for what in ("update",) if cell.dead or table == "sweep" else ("scoring", "update"):
        calls = {
            "stock": (lambda: _scored(sides.stock_logps))
            if what == "scoring"
            else lambda: sides.update(sides.stock_logps),
            "ours": (lambda: _scored(got)) if what == "scoring" else lambda: sides.update(got),
        }
        times = interleaved(calls, rounds, device)
        speed = ratio(times["stock"], times["ours"], device)
        bound = bounds_of(count(sides.stock, calls["stock"]), count(sides.ours, calls["ours"]))
        figures = {**bound, "share of the FLOP bound": speed.median / bound["FLOP bound"]}
        if what == "update":
            sides.stock.zero_grad(set_to_none=True)
            memory = {name: _peak(sides, call) for name, call in calls.items()}
            figures |= {"MiB stock": memory["stock"], "MiB ours": memory["ours"]}
            figures["memory"] = memory["ours"] / memory["stock"]
        if device == "cuda":
            figures["tokens/s ours"] = tokens / speed.below
        aims = _targets(cell, what, speed.median, figures) if targets else ()
        rows.append(Row(f"{table}: {what}", cell.name, found[what], LIMITS[device], speed, figures, aims))
    return rows


def counters(cell: Cell, shape: ModelShape, device: str) -> Row:
    """What one pass without gradient computes: exact."""
    sides = Sides(cell, shape, device)
    _scored(sides.our_logps)  # the first batch of a kind is scored both ways
    works = count(sides.stock, lambda: _scored(sides.stock_logps)), count(sides.ours, lambda: _scored(sides.our_logps))
    figures: dict[str, float] = {}
    for name, theirs, ours in zip(Work._fields, *works, strict=True):
        figures |= {f"{name.replace('_', ' ')} stock": theirs, f"{name.replace('_', ' ')} ours": ours}
    return Row("counters", cell.name, errors(sides, sides.our_logps, False), LIMITS[device], None, figures)


def controls(cell: Cell, shape: ModelShape, device: str, rounds: int) -> list[Row]:
    """What must go wrong: another order of the rows, another picture; and what must gain nothing."""
    sides = Sides(cell, shape, device)
    rows = sides.batch.rows
    shuffled = replace(rows, completion_BT=rows.completion_BT.roll(1, 0))
    pixels = rows.pictures["pixel_values"]
    swapped = replace(rows, pictures={**rows.pictures, "pixel_values": pixels.flip(0)})
    found = []
    for name, wrong in (("rows shuffled", shuffled), ("pictures swapped", swapped)):
        apart = errors(sides, lambda wrong=wrong: sides.our_logps(wrong), False)  # type: ignore[misc]
        found.append(Row("control", f"{name}; {cell.name}", apart, LIMITS[device], must_fail=True))
    plain = Sides(cell, shape, device, shared_prefix=False)
    for name, score in (("sharing switched off", plain.our_logps), ("stock against itself", plain.stock_logps)):
        found.append(_unshared(plain, name, score, rounds))
    return found


def _unshared(sides: Sides, name: str, score: Score, rounds: int) -> Row:
    """A pass of as many tokens and pictures as stock's. What it still gains it owes to its head."""
    calls = {"stock": lambda: sides.update(sides.stock_logps), "ours": lambda: sides.update(score)}
    times = interleaved(calls, rounds, sides.device)
    model = sides.stock if score == sides.stock_logps else sides.ours
    works = count(sides.stock, calls["stock"]), count(model, calls["ours"])
    bounds = bounds_of(*works)
    equal = errors(sides, score, True)
    equal |= {
        "Δ tokens": abs(works[0].tokens - works[1].tokens),
        "Δ pictures": abs(works[0].pictures - works[1].pictures),
    }
    limits = LIMITS[sides.device] | {"Δ tokens": 0, "Δ pictures": 0}
    speed = ratio(times["stock"], times["ours"], sides.device)
    return Row("control", f"{name}; {sides.cell.name}", equal, limits, speed, bounds)


@torch.no_grad()
def _scored(score: Score) -> None:
    score()


def _peak(sides: Sides, call: Callable[[], None]) -> float:
    used = peak(call, sides.device)
    sides.stock.zero_grad(set_to_none=True)
    return used


def bounds_of(stock: Work, ours: Work) -> dict[str, float]:
    return {"FLOP bound": stock.flops / ours.flops, "token bound": stock.tokens / ours.tokens}


def _targets(cell: Cell, what: str, speed: float, figures: dict[str, float]) -> tuple[Target, ...]:
    shape = cell.prompt / cell.completion
    aims = [Target("speed-up", speed, ">=", SPEED[shape][cell.ragged])]
    aims.append(Target("share of the FLOP bound", figures["share of the FLOP bound"], ">=", BOUND))
    if what == "update" and shape in MEMORY and not cell.ragged:
        aims.append(Target("memory", figures["memory"], "<=", MEMORY[shape]))
    return tuple(aims)
