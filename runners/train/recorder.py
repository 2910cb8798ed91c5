"""What a run writes while it trains: metrics, rollouts, token tables, and the marker of a whole checkpoint."""

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import PartialState
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from methods import Credit, Privilege, Rollouts
from runners.data.prompts import messages, told_text
from runners.run.run_dir import RunDir, write_text

OWN = "bench/"  # marks what this project logs among TRL's metrics
# TRL's names -> ours. What is not here, and not marked as our own, is not kept.
NAMES = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "reward": "reward",
    "reward_std": "reward_std",
    "rewards/accuracy/mean": "accuracy",
    "entropy": "entropy",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "truncated",
    "frac_reward_zero_std": "dead_groups",
    "sampling/sampling_logp_difference/mean": "sampling_difference",
    "num_tokens": "tokens",
}


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    frame.to_parquet(temporary, index=False)
    os.replace(temporary, path)


class Recorder:
    """Writes the rollouts of every step and, at intervals, one table row per token."""

    def __init__(self, run: RunDir, processor: Any, every: int, rows: int = 16) -> None:
        self._run, self._tokenizer, self._every, self._rows = run, processor.tokenizer, every, rows
        self._render = partial(processor.apply_chat_template, tokenize=False, add_generation_prompt=True)
        self._shown = ""
        self._ids: list[str] = []

    def rollouts(
        self,
        inputs: list[dict[str, Any]],
        texts: list[str],
        told: list[Privilege | None],
        own: slice,
        rollouts: Rollouts,
    ) -> None:
        """`inputs`, `texts` and `told` are this process's rollouts, the rows `own` of all."""
        step, process = rollouts.step, own.start // len(inputs)
        frame = pd.DataFrame(
            {
                "step": step,
                "id": [example["id"] for example in inputs],
                "prompt": [example["prompt"][-1]["content"] for example in inputs],
                "answer": [example["answer"] for example in inputs],
                "reply": texts,
                "told": [privilege.text if privilege else None for privilege in told],
                "reward": rollouts.rewards_B[own].tolist(),
                "advantage": rollouts.advantages_B[own].tolist(),
            }
        )
        own_file = f"step{step:05d}-{process}.parquet" if process else f"step{step:05d}.parquet"
        write_parquet(frame, self._run.path / "completions" / own_file)
        self._ids = list(frame["id"]) if process == 0 else []
        if process == 0:
            self._prompts(inputs, told)

    def _prompts(self, inputs: list[dict[str, Any]], told: list[Privilege | None]) -> None:
        """Show and keep one student prompt and, once somebody was told something, the teacher's, as rendered."""
        i = next((i for i, privilege in enumerate(told) if privilege), 0)
        privilege, images = told[i], len(inputs[i]["images"])
        kinds = "student teacher" if privilege else "student"
        if self._shown in ("student teacher", kinds):
            return
        self._shown = kinds
        student = inputs[i]["prompt"][-1]["content"]
        text = f"# student\n{self._render(messages(student, images))}\n"
        if privilege:
            text += f"\n# teacher\n{self._render(messages(told_text(student, privilege), images))}\n"
        write_text(self._run.path / "prompts.txt", text)
        print(text)

    def tokens(self, ids_BT: Tensor, rollouts: Rollouts, credit: Credit) -> None:
        """At intervals: token, both log-probabilities, weight and final advantage of the step's first rollouts.

        A rollout that nobody scored, because its advantage is zero, is left out.
        """
        if not self._ids or (rollouts.step > 1 and rollouts.step % self._every):
            return
        assert rollouts.student_BT is not None and rollouts.teacher_BT is not None
        rows = []
        scored = rollouts.student_BT[: len(self._ids)].ne(0).any(1).nonzero()[:, 0].tolist()
        for b in scored[: self._rows]:
            for t in rollouts.mask_BT[b].nonzero()[:, 0].tolist():
                advantage = credit.advantages[b] if credit.advantages.dim() == 1 else credit.advantages[b, t]
                rows.append(
                    {
                        "rollout": b,
                        "id": self._ids[b],
                        "position": t,
                        "token": self._tokenizer.decode([int(ids_BT[b, t])]),
                        "student": rollouts.student_BT[b, t].item(),
                        "teacher": rollouts.teacher_BT[b, t].item(),
                        "weight": 1.0 if credit.weights_BT is None else credit.weights_BT[b, t].item(),
                        "advantage": advantage.item(),
                        "reward": rollouts.rewards_B[b].item(),
                    }
                )
        write_parquet(pd.DataFrame(rows), self._run.path / "tokens" / f"step{rollouts.step:05d}.parquet")


class RunCallback(TrainerCallback):  # type: ignore[misc]
    """Appends metrics, starts and renews the teacher, and completes each checkpoint.

    A step of ours is one generation batch: `updates` optimizer steps of the trainer.
    """

    def __init__(self, run: RunDir, teacher: Any, updates: int) -> None:
        self._run, self._teacher, self._updates, self._since = run, teacher, updates, time.perf_counter()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._teacher.start()
        checkpoint = self._run.last_checkpoint()
        if state.global_step and checkpoint:
            self._teacher.load(checkpoint)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._teacher.after_update(state.global_step, self._updates)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if not state.is_world_process_zero or "loss" not in logs:
            return
        row: dict[str, Any] = {"step": state.global_step // self._updates}
        row |= {ours: logs[theirs] for theirs, ours in NAMES.items() if theirs in logs}
        row |= {name.removeprefix(OWN): value for name, value in logs.items() if name.startswith(OWN)}
        row["seconds"] = round(time.perf_counter() - self._since, 3)
        self._since = time.perf_counter()
        with self._run.metrics.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder, step = self._run.checkpoints / f"checkpoint-{state.global_step}", state.global_step // self._updates
        self._teacher.save(folder)
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            write_text(folder / "complete.json", json.dumps({"step": step}) + "\n")
            self._run.update(steps_done=step)
