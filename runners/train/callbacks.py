"""What happens at the edges of a step: the bar, the metrics, the teachers' renewal, whole checkpoints."""

import time
from typing import Any

from accelerate import PartialState
from rich.console import Console
from transformers import TrainerCallback

from eval.core import files, manifest
from eval.core.progress import Bar
from eval.leakage import IN_TRAINING
from runners.launch.card import write_card
from runners.run.finite import require_finite
from runners.run.run_dir import RunDir
from runners.run.world import rank
from runners.train.teacher import values


class StepBar(TrainerCallback):  # type: ignore[misc]
    """A context manager that is also a trainer callback, which is told of updates and shows steps."""

    def __init__(self, console: Console, title: str, steps: int, updates: int) -> None:
        self._bar, self._updates = Bar(title, steps, console=console), updates

    def __enter__(self) -> "StepBar":
        if rank() == 0:
            self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if rank() == 0:
            self._bar.__exit__(*error)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.begin_at(state.global_step // self._updates)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        note = f"reward {logs['reward']:.3f}" if "reward" in logs else ""
        self._bar.update(state.global_step // self._updates, note)


OWN = "bench/"  # marks what this project logs among TRL's metrics
THEIR_DIFFERENCE = "sampling/sampling_logp_difference/mean"  # vLLM's, where TRL forms the correction
TEACHER_TOKENS = "teacher_tokens"  # logged of each step, kept as a sum: as TRL does with the student's
# TRL's names -> ours. What is not here, and not marked as our own, is not kept.
NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "reward": "reward",
    "reward_std": "reward_std",
    "rewards/accuracy/mean": "accuracy",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "truncated",
    "frac_reward_zero_std": "dead_groups",
    THEIR_DIFFERENCE: "sampling_difference",
    "num_tokens": "tokens",
}
# What we log ourselves.
OTHERS = ("step", "seconds", "entropy", *IN_TRAINING, "told", "gap", "divergence", "importance")
RESERVED = frozenset({*NAMES.values(), TEACHER_TOKENS, *OTHERS})


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Appends metrics, starts and renews the teachers, and completes each checkpoint.

    A step of ours is one generation batch: `updates` optimizer steps of the trainer.
    """

    def __init__(
        self, run: RunDir, teachers: Any, credits: Any, processor: Any, updates: int, every: int | None = None
    ) -> None:
        """`every`: steps between the weights that are kept to be evaluated. `processor`: the model's own, saved with
        its weights in the place of the one that training used: that one has `model.max_pixels` in it, and would show an
        evaluation other pictures than the base's."""
        self._processor = processor
        self._run, self._teachers, self._kept, self._updates = run, teachers, (teachers, credits), updates
        self._since, self._every = time.perf_counter(), every
        self._teacher_tokens = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._teachers.start()
        before = files.read_lines(self._run.metrics).rows
        self._teacher_tokens = before[-1].get(TEACHER_TOKENS, 0.0) if before else 0.0
        if state.global_step:
            for kept in self._kept:
                kept.load(self._run.checkpoints / f"checkpoint-{state.global_step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._teachers.after_update(state.global_step, self._updates)
        if self._every and state.global_step % (self._every * self._updates) == 0:
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if not state.is_world_process_zero or "loss" not in logs:
            return
        step = state.global_step // self._updates
        require_finite(step, "update", "gradient norm", logs.get("grad_norm", 0.0))
        row: dict[str, Any] = {"step": step}
        row |= {ours: logs[theirs] for theirs, ours in NAMES.items() if theirs in logs}
        row |= {name.removeprefix(OWN): value for name, value in logs.items() if name.startswith(OWN)}
        if TEACHER_TOKENS in row:
            row[TEACHER_TOKENS] += self._teacher_tokens
            self._teacher_tokens = row[TEACHER_TOKENS]
        row["seconds"] = round(time.perf_counter() - self._since, 3)
        self._since = time.perf_counter()
        files.append_lines(self._run.metrics, [row])

    def on_save(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        folder, step = self._run.checkpoints / f"checkpoint-{state.global_step}", state.global_step // self._updates
        for p in model.parameters():
            if p.requires_grad:  # an update may break them though its loss and gradient were finite
                require_finite(step, "update", "weights", values(p))
        if state.is_world_process_zero:
            self._processor.save_pretrained(folder)
            write_card(self._run, folder, step)
        for kept in self._kept:
            kept.save(folder)
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            recorded = (*self._run.path.glob("completions/*"), *self._run.path.glob("tokens/*"), self._run.metrics)
            for written in recorded:
                files.sync(written)
            if self._every and step % self._every == 0:
                self._run.keep(folder, step)  # before the step counts as saved, or a kill would lose it
            manifest.seal(folder, step=step)
            self._run.update(steps_done=step)
            self._run.rotate()
