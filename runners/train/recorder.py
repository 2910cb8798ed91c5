"""What a run writes of its rollouts while it trains: prompts, replies with their rewards, token tables."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow
from torch import Tensor

from eval.core import files
from eval.core.tables import write_parquet
from eval.core.terminal import plain
from eval.engines.requests import tokenizer_of
from methods import Credit, Rollouts
from runners.data.prompts import messages
from runners.run.config import Settings
from runners.run.run_dir import RunDir
from runners.train.contexts import Contexts, shown

TEACHER = "\n# teacher"  # begins the titles in prompts.txt
ROWS = 16  # rollouts of a token table


class Recorder:
    """Writes the rollouts of every step and, at intervals, one table row per token."""

    def __init__(self, run: RunDir, processor: Any, contexts: Sequence[str], settings: Settings) -> None:
        """`contexts`: the names of what the method's teachers read."""
        every, options = settings.train.record_every, settings.model.template_options
        self._system, self._contexts = settings.model.system, list(contexts)
        self._run, self._tokenizer, self._every = run, tokenizer_of(processor), every
        self._plain = self._tokenizer is processor  # a text model's
        self._render = partial(processor.apply_chat_template, tokenize=False, add_generation_prompt=True, **options)
        self._ids: list[str] = []

    def rollouts(
        self, inputs: list[dict[str, Any]], texts: list[str], told: list[Contexts], own: slice, rollouts: Rollouts
    ) -> None:
        """`inputs`, `texts` and `told` are this process's rollouts, the rows `own` of all."""
        step, process = rollouts.step, own.start // len(inputs)
        texts_told = {n: [one[n].text if n in one else None for one in told] for n in self._contexts or [""]}
        table = pyarrow.table(
            {
                "step": [step] * len(inputs),
                "id": [example["id"] for example in inputs],
                "prompt": [example["prompt"][-1]["content"] for example in inputs],
                "answer": [example["answer"] for example in inputs],
                "reply": texts,
                **{self._column("told", name): said for name, said in texts_told.items()},
                "reward": rollouts.rewards_B[own].tolist(),
                "advantage": rollouts.advantages_B[own].tolist(),
            }
        )
        own_file = f"step{step:05d}-{process}.parquet" if process else f"step{step:05d}.parquet"
        write_parquet(self._run.path / "completions" / own_file, table)
        self._ids = [example["id"] for example in inputs] if process == 0 else []
        if process == 0:
            self._prompts(inputs, told)

    def _column(self, what: str, context: str) -> str:
        """One column where there is one teacher, else one for each."""
        return what if len(self._contexts) < 2 else f"{what}_{context}"

    def _prompts(self, inputs: list[dict[str, Any]], told: list[Contexts]) -> None:
        """Show and keep one student prompt and, once somebody was told something, the teachers', as rendered."""
        i = next((i for i, contexts in enumerate(told) if contexts), 0)
        file = self._run.path / "prompts.txt"
        there = file.read_text(errors="replace") if file.exists() else ""  # of a run that goes on, too
        if there and (TEACHER in there or not told[i]):
            return
        student = inputs[i]["prompt"][-1]["content"]
        text = f"# student\n{self._shown(student, len(inputs[i]['images']))}\n"
        for name in told[i]:
            asked, pictures = shown(name, inputs[i], told[i])
            title = TEACHER if len(self._contexts) < 2 else f"{TEACHER}: {name}"
            text += f"{title}\n{self._shown(asked, len(pictures))}\n"
        files.write(file, text)
        print(plain(text))

    def _shown(self, text: str, pictures: int) -> str:
        return str(self._render(messages(text, pictures, self._system, self._plain)))

    def tokens(self, ids_BT: Tensor, rollouts: Rollouts, credit: Credit) -> None:
        """At intervals: token, both log-probabilities, weight and final advantage of the step's first rollouts.

        A rollout that nobody scored, because its advantage is zero, is left out.
        """
        if not self._ids or (rollouts.step > 1 and rollouts.step % self._every):
            return
        assert rollouts.student_BT is not None
        rows = []
        scored = rollouts.student_BT[: len(self._ids)].ne(0).any(1).nonzero()[:, 0].tolist()
        for b in scored[:ROWS]:
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
        table = pyarrow.Table.from_pylist(rows)
        write_parquet(self._run.path / "tokens" / f"step{rollouts.step:05d}.parquet", table)
