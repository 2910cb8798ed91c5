"""What a run writes while it trains: metrics, rollouts, token tables, and the marker of a whole checkpoint."""

import time
from functools import partial
from typing import Any

import pyarrow
from accelerate import PartialState
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from eval.core import files
from eval.core.tables import write_parquet
from methods import Credit, Privilege, Rollouts
from runners.data.prompts import messages, told_text
from runners.run.run_dir import RunDir

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
TEACHER = "\n# teacher\n"  # stands above its prompt in prompts.txt


class Recorder:
    """Writes the rollouts of every step and, at intervals, one table row per token."""

    def __init__(self, run: RunDir, processor: Any, every: int, rows: int = 16) -> None:
        self._run, self._tokenizer, self._every, self._rows = run, processor.tokenizer, every, rows
        self._render = partial(processor.apply_chat_template, tokenize=False, add_generation_prompt=True)
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
        table = pyarrow.table(
            {
                "step": [step] * len(inputs),
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
        write_parquet(self._run.path / "completions" / own_file, table)
        self._ids = [example["id"] for example in inputs] if process == 0 else []
        if process == 0:
            self._prompts(inputs, told)

    def _prompts(self, inputs: list[dict[str, Any]], told: list[Privilege | None]) -> None:
        """Show and keep one student prompt and, once somebody was told something, the teacher's, as rendered."""
        i = next((i for i, privilege in enumerate(told) if privilege), 0)
        privilege, images = told[i], len(inputs[i]["images"])
        file = self._run.path / "prompts.txt"
        there = file.read_text(errors="replace") if file.exists() else ""  # of a run that goes on, too
        if there and (TEACHER in there or not privilege):
            return
        student = inputs[i]["prompt"][-1]["content"]
        text = f"# student\n{self._render(messages(student, images))}\n"
        if privilege:
            text += f"{TEACHER}{self._render(messages(told_text(student, privilege), images))}\n"
        files.write(file, text)
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
        table = pyarrow.Table.from_pylist(rows)
        write_parquet(self._run.path / "tokens" / f"step{rollouts.step:05d}.parquet", table)


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
        files.append_lines(self._run.metrics, [row])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder, step = self._run.checkpoints / f"checkpoint-{state.global_step}", state.global_step // self._updates
        self._teacher.save(folder)
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            for written in (*folder.rglob("*"), folder, folder.parent, self._run.metrics):
                files.sync(written)
            files.write_json(folder / "complete.json", {"step": step}, durable=True)
            self._run.update(steps_done=step)
