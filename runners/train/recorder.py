"""What a run writes of its rollouts while it trains: prompts, replies with their rewards, token tables."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from methods import Credit, Rollouts
from runners.data.prompts import messages
from runners.run.run_dir import RunDir, write_text
from runners.train.contexts import Told, shown


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    frame.to_parquet(temporary, index=False)
    os.replace(temporary, path)


class Recorder:
    """Writes the rollouts of every step and, at intervals, one table row per token."""

    def __init__(self, run: RunDir, processor: Any, contexts: Sequence[str], every: int, rows: int = 16) -> None:
        """`contexts`: the names of what the method's teachers read."""
        self._contexts = list(contexts)
        self._run, self._tokenizer, self._every, self._rows = run, processor.tokenizer, every, rows
        self._render = partial(processor.apply_chat_template, tokenize=False, add_generation_prompt=True)
        self._shown = ""
        self._ids: list[str] = []

    def rollouts(
        self,
        inputs: list[dict[str, Any]],
        texts: list[str],
        told: list[Told],
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
                **{self._column("told", name): [_text(one, name) for one in told] for name in self._contexts or [""]},
                "reward": rollouts.rewards_B[own].tolist(),
                "advantage": rollouts.advantages_B[own].tolist(),
            }
        )
        own_file = f"step{step:05d}-{process}.parquet" if process else f"step{step:05d}.parquet"
        write_parquet(frame, self._run.path / "completions" / own_file)
        self._ids = list(frame["id"]) if process == 0 else []
        if process == 0:
            self._prompts(inputs, told)

    def _column(self, what: str, context: str) -> str:
        """One column where there is one teacher, else one for each."""
        return what if len(self._contexts) < 2 else f"{what}_{context}"

    def _prompts(self, inputs: list[dict[str, Any]], told: list[Told]) -> None:
        """Show and keep one student prompt and, once somebody was told something, the teachers', as rendered."""
        i = next((i for i, contexts in enumerate(told) if contexts), 0)
        kinds = "student teacher" if told[i] else "student"
        if self._shown in ("student teacher", kinds):
            return
        self._shown = kinds
        student = inputs[i]["prompt"][-1]["content"]
        text = f"# student\n{self._render(messages(student, len(inputs[i]['images'])))}\n"
        for name in told[i]:
            asked, pictures = shown(name, inputs[i], told[i])
            title = "# teacher" if len(self._contexts) < 2 else f"# teacher: {name}"
            text += f"\n{title}\n{self._render(messages(asked, len(pictures)))}\n"
        write_text(self._run.path / "prompts.txt", text)
        print(text)

    def tokens(self, ids_BT: Tensor, rollouts: Rollouts, credit: Credit) -> None:
        """At intervals: token, both log-probabilities, weight and final advantage of the step's first rollouts.

        A rollout that nobody scored, because its advantage is zero, is left out.
        """
        if not self._ids or (rollouts.step > 1 and rollouts.step % self._every):
            return
        assert rollouts.student_BT is not None
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
                        **{self._column("teacher", n): v_BT[b, t].item() for n, v_BT in rollouts.teacher.items()},
                        "weight": 1.0 if credit.weights_BT is None else credit.weights_BT[b, t].item(),
                        "advantage": advantage.item(),
                        "reward": rollouts.rewards_B[b].item(),
                    }
                )
        write_parquet(pd.DataFrame(rows), self._run.path / "tokens" / f"step{rollouts.step:05d}.parquet")


def _text(contexts: Told, name: str) -> str | None:
    """The privileged part of what a rollout was told, None for nothing."""
    return contexts[name].text if name in contexts else None
