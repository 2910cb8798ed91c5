"""Whole optimizer steps through the real trainers: rollout, scoring, update; ours against stock TRL's."""

import gc
import io
import statistics
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, TrainerCallback
from transformers.training_args import OptimizerNames
from trl import GRPOTrainer

from eval.core import files
from eval.engines.requests import vision_ids
from methods import SELF_CONTAINED, Method
from runners.run.config import resolve
from runners.run.open import open_run
from runners.run.registry import build_method
from runners.run.run_dir import RunDir
from runners.speed import stock
from runners.speed.cells import TINY, Cell, Cells, Sizes
from runners.speed.inputs import FIRST, alternating, problems, processor_for, random_model, twin
from runners.speed.measure import Ratio, Time, clock, interleaved, ratio
from runners.speed.report import Row, Target
from runners.speed.scoring import relative
from runners.train.recorder import Recorder
from runners.train.run import build_trainer
from runners.train.trainer import BenchTrainer
from runners.train.trl_config import trl_config

# Of the gradient of a whole step: advantages of both signs cancel most of it, and rounding does not cancel.
LIMITS = {"cpu": {"Δ gradient": 1e-5}, "cuda": {"Δ gradient": 1e-3}}
STOCK, NAIVE = "stock GRPO", "stock GRPO + naive teacher"
LATER = ", teacher no longer asked"
PLAIN = ", row by row"  # a method of ours without sharing
STEP = 2  # the step that is taken again and again: the first one also writes a table of tokens


class OneStep(TrainerCallback):  # type: ignore[misc]
    """Makes `train` take one step, seeded, and times it and its parts, from the first batch to the changed weights."""

    def __init__(self, trainer: Any, device: str, number: int) -> None:
        self.trainer, self.device, self.number = trainer, device, number
        self.gradients: dict[str, Tensor] = {}
        self.keep_gradients = False
        self.time, self.parts = Time(0, 0), dict[str, float]()
        self._start, self._spent = Time(0, 0), defaultdict[str, float](float)
        trainer.add_callback(self)
        trainer.remove_callback(PrinterCallback)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        state.global_step = self.number - 1
        if isinstance(self.trainer, BenchTrainer):
            self.trainer.teachers.start()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        torch.manual_seed(0)
        self._spent.clear()
        self._start = clock(self.device)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.keep_gradients:
            self.gradients = {n: p.grad.clone() for n, p in self.trainer.model.named_parameters() if p.grad is not None}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if isinstance(self.trainer, BenchTrainer):
            self.trainer.teachers.after_update(state.global_step)
        self.time = clock(self.device).since(self._start)
        rollout, prepared = self._spent["rollout"], self._spent["prepared"]
        update = self.time.by(self.device) - prepared
        self.parts = {"rollout": rollout, "score": prepared - rollout, "update": update}

    def timed(self, part: str, call: Callable[[], Any]) -> Any:
        """A part of the step: the rollouts, or all that makes a batch of them."""
        start = clock(self.device)
        out = call()
        self._spent[part] += clock(self.device).since(start).by(self.device)
        return out

    def step(self) -> tuple[Time, dict[str, float]]:
        """Its time, and the seconds of its parts."""
        gc.collect()
        with redirect_stdout(io.StringIO()):  # the recorder shows a prompt
            self.trainer.train()
        return self.time, self.parts

    def gradients_of(self, cell: Cell, vocabulary: int) -> dict[str, Tensor]:
        """Of a step whose rollouts are given: what is sampled may turn on the last bit of a logit."""
        self.keep_gradients = True
        with stock.sampling(self.trainer, given_rollouts(cell, vocabulary)):
            self.step()
        self.keep_gradients = False
        found, self.gradients = self.gradients, {}
        return found


def given_rollouts(cell: Cell, vocabulary: int) -> Callable[..., Any]:
    """In place of sampling: the same drawn tokens in each step."""
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(FIRST, vocabulary, (cell.group * cell.groups, cell.completion), generator=random).tolist()
    return lambda *_, **__: ([list(row) for row in ids], None)


def roles() -> tuple[str, str]:
    """The method that stock TRL has as well, without a teacher, and the one whose credit a teacher weighs."""
    built = {name: build_method(name, {}) for name in SELF_CONTAINED}
    plain = next(name for name, method in built.items() if not method.teachers)
    return plain, next(name for name, method in built.items() if method.credit_uses_teacher)


def _step_without_teacher(method: Method) -> int:
    """One step after the first in which the method asks no teacher: that one may fall on the teacher's renewal."""
    rollout = torch.ones(1)
    return 1 + next(step for step in count(STEP) if not method.asks_teacher(step, rollout).any())


def trainers(
    cell: Cell, sizes: Sizes, device: str, folder: Path, names: list[str], whole: bool = False
) -> dict[str, OneStep]:
    """Each side's trainer over the very same parameters, which a learning rate of 0 leaves as they are. whole: methods
    that compare the k likeliest tokens compare all, for a tie at the border of k falls as rounding has it."""
    model, processor = random_model(sizes, device), processor_for(cell)
    (plain, weighed), rows, found = roles(), problems(cell, processor), {}
    for name in names:
        method = {STOCK: plain, NAIVE: weighed}.get(name, name.removesuffix(PLAIN).removesuffix(LATER))
        built = build_method(method, {})
        if whole and hasattr(built, "topk"):
            built = build_method(method, {"topk": sizes.vocabulary})
        number = _step_without_teacher(built) if name.endswith(LATER) else STEP
        settings = resolve("cpu", method, 0, [
            f"train.prompts={cell.groups}", f"train.generations={cell.group}", f"train.micro_batch={cell.group}",
            f"train.max_completion_tokens={cell.completion}", f"train.max_prompt_tokens={cell.prompt}",
            f"train.steps={number}", "train.learning_rate=0.0", "train.record_every=1000",
            f"train.shared_prefix={str(not name.endswith(PLAIN)).lower()}",
        ])  # fmt: skip
        run, own = RunDir(folder / name.replace(" ", "_")), twin(model)
        arguments = trl_config(settings, run, vision_ids(own.config))
        arguments.save_strategy = "no"
        arguments.generation_kwargs["suppress_tokens"] += [own.generation_config.eos_token_id]  # all reach C tokens
        shared = {
            "model": own, "processing_class": processor, "args": arguments, "reward_funcs": [alternating],
            "train_dataset": rows,
        }  # fmt: skip
        if name == STOCK:
            trainer: Any = GRPOTrainer(**shared)
        elif name == NAIVE:
            trainer = stock.NaiveRLSD(**shared, method=built)
        else:
            trainer = BenchTrainer(
                **shared, method=built, recorder=Recorder(run, processor, [*built.teachers], settings),
                banned=vision_ids(own.config), settings=settings,
            )  # fmt: skip
        found[name] = OneStep(trainer, device, number)
    return found


def measure(cell: Cell, chosen: Cells, device: str, folder: Path, aims: bool) -> list[Row]:
    """A step of each method and of the two baselines; equality first, in float32 and with given rollouts, on the tiny
    model: each of twelve trainers keeps its gradients."""
    plain, weighed = roles()
    alone = {name: name + PLAIN for name in SELF_CONTAINED if name not in (plain, weighed)}
    reference = {plain: STOCK, weighed: NAIVE, weighed + LATER: STOCK, **alone}
    names = [STOCK, NAIVE, *SELF_CONTAINED, weighed + LATER]
    sides = trainers(cell, TINY, device, folder / "equal", [*names, *alone.values()], whole=True)
    given = {name: side.gradients_of(cell, TINY.vocabulary) for name, side in sides.items()}
    apart = {name: relative(given[name], given[reference[name]]) for name in reference}
    apart[NAIVE] = apart[weighed]
    given.clear()
    sides.clear()
    cell = cell.longer(chosen.timed)
    timed = trainers(cell, chosen.sizes, device, folder / "timed", names)
    if device == "cuda":
        timed[STOCK].trainer.model.to(torch.bfloat16)
    with ExitStack() as replaced:
        for side in timed.values():
            if chosen.given:
                side.trainer.args.optim = OptimizerNames.SGD
                given_there = given_rollouts(cell, chosen.sizes.vocabulary)
                replaced.enter_context(stock.sampling(side.trainer, given_there))
            stock.watch(side.trainer, side.timed)
        found = interleaved({name: side.step for name, side in timed.items()}, chosen.rounds)
    times = {name: [time for time, _ in turns] for name, turns in found.items()}
    rows = []
    for name in timed:
        if name != STOCK:
            speed = ratio(times[name], times[STOCK], device)
            figures = {
                f"{part} {who}": statistics.median(parts[part] for _, parts in found[side])
                for who, side in (("stock", STOCK), ("ours", name))
                for part in ("rollout", "score", "update")
            }
            figures["tokens/s ours"] = cell.group * cell.groups * cell.completion / speed.above
            targets = _targets(name, cell, speed, name == weighed) if aims else ()
            errors = {"Δ gradient": apart[name]}
            rows.append(Row("step", f"{name} / {STOCK}; {cell.name}", errors, LIMITS[device], speed, figures, targets))
    extra, what = ratio(times[weighed], times[plain], device), f"{weighed} / our {plain}"
    aim = (Target(what, extra.median, "<=", 1.2),) if aims else ()
    equal = {"Δ gradient": max(apart[weighed], apart[plain])}
    rows.append(Row("step", f"{what}; {cell.name}", equal, LIMITS[device], extra, {}, aim))
    return rows


def _targets(name: str, cell: Cell, found: Ratio, weighed: bool) -> tuple[Target, ...]:
    """Of a method's step against stock GRPO's; of the one whose credit a teacher weighs more is asked."""
    if name == NAIVE or name.endswith(LATER):
        return ()
    wide = cell.prompt >= cell.completion
    limit = 1.0
    if weighed and wide:
        limit = 0.4 if cell.prompt >= 4 * cell.completion else 0.55
    return (Target(f"{name} / {STOCK}", found.median, "<=", limit),) if wide or weighed else ()


# Of any step, and of all steps' mean, in which a one-sided drift shows: as TRL compares two runs of one trajectory (its
# tests/invariant), with bounds far below its 5e-3 and 1e-3, which losses of this size would not notice.
DRIFT = {"Δ loss": 1e-5, "Δ grad_norm": 1e-5, "mean Δ loss": 1e-6, "mean Δ grad_norm": 1e-6}
FIGURES = ("loss", "grad_norm")
SIZE = ("train.prompts=2", "train.generations=8", "train.micro_batch=16", "train.max_completion_tokens=64")

Rollouts = list[list[list[int]]]


def trajectory(method: str, steps: int, folder: Path) -> Row:
    """Row by row first; then the very same rollouts again, packed. What is sampled may turn on a logit's last bit."""
    rollouts: Rollouts = []
    alone = _trained(method, steps, folder / "alone", False, rollouts)
    together = _trained(method, steps, folder / "together", True, rollouts)
    apart = {name: [a[name] - b[name] for a, b in zip(together, alone, strict=True)] for name in FIGURES}
    errors = {f"Δ {name}": max(map(abs, found)) for name, found in apart.items()}
    errors |= {f"mean Δ {name}": abs(sum(found)) / len(found) for name, found in apart.items()}
    largest = {f"largest {name}": max(abs(step[name]) for step in alone) for name in FIGURES}
    return Row("trajectory", f"{method}, {steps} steps", errors, DRIFT, None, largest)


def _trained(method: str, steps: int, folder: Path, shared_prefix: bool, rollouts: Rollouts) -> list[dict[str, float]]:
    """Each step's figures. Rollouts are noted where there are none yet, and taken where there are."""
    changes = [*SIZE, f"train.steps={steps}", f"train.shared_prefix={str(shared_prefix).lower()}"]
    run = RunDir(folder)
    settings, built, _ = open_run(resolve("cpu", method, 0, changes), run, "speed")
    trainer = build_trainer(settings, built, run, [])
    trainer.args.save_strategy = "no"
    given = iter(list(rollouts))

    def replayed(sample: Any, *args: Any, **kwargs: Any) -> tuple[list[list[int]], Any]:
        ids = next(given, None)
        if ids is None:
            ids, _ = sample(*args, **kwargs)
            rollouts.append(ids)
        return ids, None

    with redirect_stdout(io.StringIO()), stock.sampling(trainer, replayed):
        trainer.train()
    return files.read_lines(run.metrics).rows
